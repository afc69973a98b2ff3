//! The program as it is called: what it prints and which code it ends with.

use std::path::Path;
use std::process::{Command, Output};

use minqiao_bus::{EmbeddedBus, EmbeddedOptions};
use tempfile::TempDir;

fn minqiao(folder: &Path, arguments: &[&str]) -> Output {
    let data = folder.join("data");
    Command::new(env!("CARGO_BIN_EXE_minqiao"))
        .arg("--data")
        .arg(data)
        .args(arguments)
        .env_clear()
        .current_dir(folder)
        .output()
        .expect("the program runs")
}

fn shown(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("it ends by itself"), text(&output.stdout), text(&output.stderr))
}

/// A data folder with one user.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("made");
    std::fs::write(
        folder.path().join("data/access.yaml"),
        "users:\n  - {id: analyst, role: analyst}\nconnectors: []\n",
    )
    .expect("written");
    folder
}

#[test]
fn the_exit_code_is_that_of_the_kind() {
    let folder = folder();
    let cases: &[(i32, &str, &[&str])] = &[
        (66, "minqiao: no item `nope`", &["catalogue", "show", "nope"]),
        (66, "minqiao: no item `nope`", &["policy", "explain", "analyst", "nope", "--purpose", "statistics"]),
        (
            66,
            "minqiao: `nobody` is neither",
            &["policy", "explain", "nobody", "bank_deposit", "--purpose", "statistics"],
        ),
        (66, "minqiao: no user `nobody`", &["sql", "SELECT 1", "--as", "nobody", "--purpose", "statistics"]),
        (66, "minqiao: no item `nope`", &["bus", "inspect", "--item", "nope"]),
        (0, "", &["bus", "inspect", "--item", "bank_deposit"]),
        (66, "minqiao: there is no folder `/nope`", &["verify", "--from-folder", "/nope"]),
        (66, "minqiao: no user `nobody`", &["verify", "NOPE", "--as", "nobody"]),
        (64, "minqiao: `then` is no RFC 3339 time", &["verify", "NOPE", "--as-of", "then"]),
        (64, "minqiao: `then` is no date", &["verify", "NOPE", "--reverify-on", "then"]),
        (66, "minqiao: cannot read the configuration `nope.toml`", &["--config", "nope.toml", "config", "check"]),
    ];
    for (code, beginning, arguments) in cases {
        let (ended, _, told) = shown(&minqiao(folder.path(), arguments));
        assert!(ended == *code && told.starts_with(beginning), "{arguments:?}: {ended}, {told}");
    }
}

#[test]
fn an_application_that_is_not_known_is_not_found_and_told_once() {
    let folder = folder();
    let (code, _, told) = shown(&minqiao(folder.path(), &["verify", "NOPE"]));
    assert_eq!((code, told.matches("not known").count()), (66, 1), "{told}");
}

#[test]
fn a_bus_that_another_process_has_open_may_be_asked_again() {
    let folder = folder();
    let _held = EmbeddedBus::open(EmbeddedOptions::at(folder.path().join("data/bus"))).expect("the bus opens");
    let (code, _, told) = shown(&minqiao(folder.path(), &["bus", "inspect"]));
    assert!(code == 75 && told.contains("open in another process"), "{code}: {told}");
}

#[test]
fn an_answer_without_rows_names_its_columns() {
    let folder = folder();
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_name = 'nope'";
    let (code, answer, told) =
        shown(&minqiao(folder.path(), &["sql", sql, "--as", "analyst", "--purpose", "statistics"]));
    assert_eq!(code, 0, "{told}");
    assert!(answer.contains("| table_name |"), "{answer}");
}

#[test]
fn config_check_refuses_what_cannot_work() {
    let folder = folder();
    let file = "data_dir = \"\"\n[limits]\nquery_timeout = \"0s\"\n[log]\nfilter = \"!!!,=,=nonsense\"\n";
    std::fs::write(folder.path().join("minqiao.toml"), file).expect("written");
    let (code, text, told) = shown(&minqiao(folder.path(), &["--config", "minqiao.toml", "config", "check"]));
    assert_eq!((code, text.as_str()), (64, ""), "{told}");
    assert!(["data_dir", "limits.query_timeout", "log.filter"].iter().all(|key| told.contains(key)), "{told}");
}

#[test]
fn config_check_shows_every_key() {
    let folder = folder();
    let (code, text, told) = shown(&minqiao(folder.path(), &["config", "check"]));
    assert_eq!(code, 0, "{told}");
    for key in ["data_dir = ", "# keys_dir = ", "# [bus.kafka]", "# retention_hours = ", "# list = ", "# endpoint = "] {
        assert!(text.lines().any(|line| line.starts_with(key)), "{key}: {text}");
    }
}
