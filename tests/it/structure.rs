//! The project's own rules, held against its files: who may depend on whom, where heavy crates may be named, alerts
//! and their runbooks, metrics that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests folder has a parent").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names under `[dependencies]` of a manifest; development dependencies are free.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let text = read(manifest);
    let section = text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_depend_only_downwards() {
    let words = ["schemas", "core"];
    let keys = ["policy", "vault"];
    let stores = ["lake", "bus", "bus-kafka", "store"];
    let with = |lists: &[&[&str]]| -> BTreeSet<String> {
        lists.iter().flat_map(|list| list.iter()).map(|name| format!("minqiao-{name}")).collect()
    };
    let allowed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::from([
        // No code, only features: under everything.
        ("hub/unify", with(&[])),
        ("schemas", with(&[])),
        ("hub/core", with(&[])),
        ("hub/vault", with(&[&words])),
        ("hub/policy", with(&[&words])),
        ("hub/bus", with(&[&words])),
        ("hub/bus-kafka", with(&[&words, &["bus"]])),
        // The store keeps the audit chain, whose hashes and signatures are the vault's.
        ("hub/store", with(&[&words, &["vault"]])),
        ("hub/lake", with(&[&words, &["bus"]])),
        ("hub/intake", with(&[&words, &keys, &["bus", "store"]])),
        ("hub/query", with(&[&words, &keys, &["lake"]])),
        ("hub/verify", with(&[&words, &keys, &["lake", "bus"]])),
        ("hub/doors", with(&[&words, &keys, &stores, &["intake", "query", "verify"]])),
        (
            "hub/server",
            with(&[
                &words,
                &keys,
                &stores,
                &[
                    "bus-kafka",
                    "intake",
                    "query",
                    "verify",
                    "doors",
                    "connector-api",
                    "connector-sources",
                    "municipality",
                ],
            ]),
        ),
        ("connectors/api", with(&[&words])),
        ("connectors/sources", with(&[&words, &["connector-api"]])),
        ("connectors/connector", with(&[&words, &["connector-api", "connector-sources"]])),
        // The city's truth means something only because it shares no code with the hub.
        ("connectors/municipality", with(&[&["schemas"]])),
    ]);
    for folder in fs::read_dir(root().join("hub")).expect("hub").filter_map(Result::ok) {
        if folder.path().is_dir() {
            let name = format!("hub/{}", folder.file_name().to_string_lossy());
            assert!(allowed.contains_key(name.as_str()), "{name} has no line in this test");
        }
    }
    for (crate_folder, may) in allowed {
        let found: BTreeSet<String> = dependencies(&format!("{crate_folder}/Cargo.toml"))
            .into_iter()
            .filter(|name| name.starts_with("minqiao-"))
            .collect();
        let wrong: Vec<_> = found.difference(&may).filter(|name| *name != "minqiao-unify").collect();
        assert!(wrong.is_empty(), "{crate_folder} may not depend on {wrong:?}");
    }
}

#[test]
fn each_heavy_dependency_has_one_home() {
    let homes: &[(&str, &[&str])] = &[
        ("deltalake-core", &["hub/lake"]),
        ("fjall", &["hub/bus", "hub/lake", "hub/intake"]),
        ("datafusion", &["hub/lake", "hub/query", "hub/verify"]),
        ("rdkafka", &["hub/bus-kafka"]),
        ("sqlx", &["hub/store"]),
        ("cedar-policy", &["hub/policy"]),
        ("axum", &["hub/doors"]),
        ("calamine", &["connectors/sources"]),
        ("rust_xlsxwriter", &["connectors/municipality"]),
        ("sm2", &["hub/vault"]),
        ("sm4", &["hub/vault"]),
    ];
    for folder in crate_folders() {
        let found = dependencies(&format!("{folder}/Cargo.toml"));
        for (heavy, allowed) in homes {
            assert!(!found.contains(*heavy) || allowed.contains(&folder.as_str()), "{folder} names {heavy}");
        }
    }
}

fn crate_folders() -> Vec<String> {
    let mut folders = vec!["schemas".to_owned()];
    for parent in ["hub", "connectors"] {
        for folder in fs::read_dir(root().join(parent)).expect("folder").filter_map(Result::ok) {
            if folder.path().join("Cargo.toml").is_file() {
                folders.push(format!("{parent}/{}", folder.file_name().to_string_lossy()));
            }
        }
    }
    folders
}

#[test]
fn the_connector_program_never_links_the_query_engine() {
    for folder in ["connectors/connector", "connectors/api", "connectors/sources", "schemas", "hub/core"] {
        let found = dependencies(&format!("{folder}/Cargo.toml"));
        for heavy in ["datafusion", "deltalake-core", "parquet", "sqlx", "cedar-policy"] {
            assert!(!found.contains(heavy), "{folder} names {heavy}");
        }
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let rules = read("ops/prometheus/alerts.yaml");
    let alerts: BTreeSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    let pages: BTreeSet<String> = fs::read_dir(root().join("ops/runbooks"))
        .expect("runbooks")
        .filter_map(Result::ok)
        .map(|page| page.file_name().to_string_lossy().trim_end_matches(".md").to_owned())
        .collect();
    assert!(!alerts.is_empty());
    assert_eq!(alerts, pages);
    let tests = read("ops/prometheus/alerts_test.yaml");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname: {alert}")), "{alert} has no promtool test");
    }
}

/// Every `minqiao_…` word of a text.
fn metric_names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("minqiao_"))
        .map(|word| ["_bucket", "_sum", "_count"].iter().find_map(|s| word.strip_suffix(s)).unwrap_or(word).to_owned())
        .collect()
}

/// The metrics that the hub's sources name.
fn exported_metrics() -> BTreeSet<String> {
    let mut exported = BTreeSet::new();
    let mut waiting: Vec<PathBuf> = vec![root().join("hub")];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).expect("folder").filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("source");
                for quoted in text.split('"').skip(1).step_by(1) {
                    if quoted.starts_with("minqiao_") && !quoted.contains(' ') {
                        exported.extend(metric_names(quoted));
                    }
                }
            }
        }
    }
    exported
}

/// A name that changes breaks somebody's dashboard: it changes here, too, where everybody sees it.
#[test]
fn the_list_of_metrics_is_whole() {
    let listed = metric_names(&read("ops/metrics.md"));
    assert_eq!(listed, exported_metrics(), "ops/metrics.md and the code differ");
}

#[test]
fn rules_and_dashboards_name_metrics_that_the_code_exports() {
    let exported = exported_metrics();
    for file in ["ops/prometheus/alerts.yaml", "ops/grafana/minqiao.json", "ops/prometheus/alerts_test.yaml"] {
        let missing: Vec<_> = metric_names(&read(file)).into_iter().filter(|name| !exported.contains(name)).collect();
        assert!(missing.is_empty(), "{file} names metrics that nobody exports: {missing:?}");
    }
}

#[test]
fn the_chart_and_the_workspace_agree_on_the_version() {
    let chart = read("helm/minqiao/Chart.yaml");
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("appVersion: \"{version}\"")), "Chart.yaml must name appVersion {version}");
}
