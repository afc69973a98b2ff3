//! `minqiao`: parses the command line, loads the configuration, runs one command, answers with an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use minqiao_server::commands::{self, Cli, Command};
use minqiao_server::config::Config;

fn main() -> ExitCode {
    // The text of a panic can quote a value; where it happened cannot (SEC-1).
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let _written = writeln!(io::stderr(), "minqiao: a part of the hub failed at {place}");
    }));
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A reader that went away (`| head`) is no failure of ours.
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            let _written = writeln!(io::stderr(), "minqiao: {}", commands::told(&error));
            ExitCode::from(commands::exit_code(&error))
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let mut config = Config::load(cli.config.as_deref(), std::env::vars())?;
    if let Some(data) = &cli.data {
        config.data_dir.clone_from(data);
    }
    if let Command::Serve { role: Some(roles) } = &cli.command {
        config.roles.clone_from(roles);
    }
    let config = config.check()?;
    let mut out = io::stdout().lock();
    match &cli.command {
        Command::Catalogue(command) => return commands::catalogue::run(command, &mut out),
        Command::Config(command) => return commands::configuration::run(command, &config, &mut out),
        _ => {}
    }
    drop(out);
    commands::run_with_runtime(cli, config)
}
