//! `minqiao policy check | explain`.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use minqiao_core::{Principal, ProviderCode, Purpose, Role};
use minqiao_doors::access::{AccessList, reader_of};
use minqiao_policy::{Policy, PolicySource};
use minqiao_schemas::Catalogue;

use super::CommandError;
use crate::config::Config;

/// Policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check policies against their schema and the catalogue; lists every mistake.
    Check {
        /// Folder of policies; default: the configured ones.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// What a principal sees of an item for a purpose, field by field, and which policies say so.
    Explain {
        /// Account of the access list, a role (`analyst`, `caseworker:371002`), or a connector as it reads feeds
        /// (`education.371002`).
        principal: String,
        /// Item code.
        item: String,
        /// What the data is for.
        #[arg(long, value_name = "CODE")]
        purpose: String,
        /// Application or alert number worked on.
        #[arg(long, value_name = "NUMBER")]
        case: Option<String>,
    },
}

/// Runs the command.
pub fn run(command: &PolicyCommand, config: &Config) -> anyhow::Result<()> {
    let catalogue = Catalogue::try_embedded().map_err(|error| anyhow::anyhow!("{error}"))?;
    let source = |folder: Option<&PathBuf>| match folder {
        Some(folder) => PolicySource::from_dir(folder),
        None => Ok(PolicySource::embedded()),
    };
    let mut out = std::io::stdout().lock();
    match command {
        PolicyCommand::Check { folder } => {
            let policy = Policy::parse(&source(folder.as_ref().or(config.access.policies.as_ref()))?, catalogue)?;
            let mistakes = policy.check(catalogue);
            for mistake in &mistakes {
                writeln!(out, "{mistake}")?;
            }
            if !mistakes.is_empty() {
                return Err(CommandError::Mistakes(format!("{} mistakes in the policies", mistakes.len())).into());
            }
            writeln!(out, "policies version {}: no mistakes", policy.version())?;
        }
        PolicyCommand::Explain { principal, item, purpose, case } => {
            let policy = Policy::load(&source(config.access.policies.as_ref())?, catalogue)?;
            let item = catalogue.item(item).ok_or_else(|| CommandError::UnknownItem(item.clone()))?;
            let principal = who(principal, config)?;
            let purpose = Purpose { code: purpose.clone(), case: case.clone() };
            write!(out, "{}", policy.explain(&principal, &purpose, item))?;
        }
    }
    Ok(())
}

/// An account of the access list, or a made-up principal with a role.
fn who(text: &str, config: &Config) -> anyhow::Result<Principal> {
    let list = config.access_list();
    if std::fs::exists(&list).unwrap_or(false)
        && let Some(user) = AccessList::load(&list)?.user(text)
    {
        return Ok((*user).clone());
    }
    // A department as its connector reads feeds: `education.371002`.
    if let Some(code) = ProviderCode::new(text).ok().filter(|code| code.division().is_some()) {
        return Ok(reader_of(&code));
    }
    let (role, county) = text.split_once(':').map_or((text, None), |(role, county)| (role, Some(county.to_owned())));
    let role = Role::parse(role).ok_or_else(|| CommandError::UnknownPrincipal { name: role.to_owned(), list })?;
    Ok(Principal { id: text.to_owned(), role, department: None, county })
}
