//! The dependencies' own rules: licences that may be shipped, one version of the engine, one set of features whatever
//! package is asked for. Cargo answers from the lock file and the local registry; nothing is fetched.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Licences whose conditions an Apache-2.0 program meets by shipping their texts. MPL-2.0 is of the file, not of the
/// work: its crates are used unchanged.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that link the query engine: compiling it twice costs minutes.
const HEAVY: &[&str] = &["doors", "lake", "query", "server", "verify", "tests", "bench"];

fn cargo(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests folder has a parent");
    let output = Command::new(env!("CARGO")).args(arguments).args(["--offline", "--locked"]).current_dir(root).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// Whether a choice within an SPDX expression is allowed; `/` is the old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let mut tokens: Vec<String> = Vec::new();
    for word in expression.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        match tokens.last_mut() {
            // `X WITH exception` is one licence.
            Some(last) if word == "WITH" || last.ends_with(" WITH") => *last = format!("{last} {word}"),
            _ => tokens.push(word.to_owned()),
        }
    }
    let mut at = 0;
    let allowed = any_of(&tokens, &mut at);
    allowed && at == tokens.len()
}

fn any_of(tokens: &[String], at: &mut usize) -> bool {
    let mut allowed = all_of(tokens, at);
    while tokens.get(*at).is_some_and(|t| t == "OR") {
        *at += 1;
        allowed |= all_of(tokens, at);
    }
    allowed
}

fn all_of(tokens: &[String], at: &mut usize) -> bool {
    let mut allowed = one(tokens, at);
    while tokens.get(*at).is_some_and(|t| t == "AND") {
        *at += 1;
        allowed &= one(tokens, at);
    }
    allowed
}

fn one(tokens: &[String], at: &mut usize) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if token == "(" {
        let allowed = any_of(tokens, at);
        let closed = tokens.get(*at).is_some_and(|t| t == ")");
        *at += 1;
        return allowed && closed;
    }
    ALLOWED.contains(&token.as_str())
}

#[test]
fn licence_expressions_are_understood() {
    for good in ["MIT", "MIT/GPL-3.0", "GPL-2.0-only OR Apache-2.0", "(MIT OR GPL-3.0) AND ISC"] {
        assert!(is_allowed(good), "{good}");
    }
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0"));
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC", "GPL-3.0 WITH LLVM-exception", "AND MIT"] {
        assert!(!is_allowed(bad), "{bad}");
    }
}

#[test]
fn every_dependency_may_be_shipped() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1"])).expect("cargo's metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 300, "only {} packages", packages.len());
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "licences that nobody decided about: {wrong:#?}");
    // Only the registry: no commit of somebody's repository, no folder outside the workspace.
    let foreign: Vec<&Value> = packages
        .iter()
        .filter(|package| package["source"].as_str().is_some_and(|source| !source.starts_with("registry+")))
        .map(|package| &package["name"])
        .collect();
    assert!(foreign.is_empty(), "not from the registry: {foreign:?}");
}

#[test]
fn asking_for_one_package_compiles_the_engine_with_the_same_features() {
    let tree = |which: &[&str]| -> BTreeSet<String> {
        let edges = ["-e", "normal,build,dev", "-f", "{p} {f}", "--prefix", "none"];
        let text = cargo(&[&["tree"], which, &edges].concat());
        text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    };
    let workspace = tree(&["--workspace"]);
    for name in HEAVY {
        let alone = tree(&["-p", &format!("minqiao-{name}")]);
        // The way to Kafka speaks TLS only where OpenSSL's headers are wanted; nothing heavy stands on it.
        let on_purpose =
            |line: &&String| ["minqiao-bus-kafka ", "rdkafka ", "rdkafka-sys "].iter().any(|p| line.starts_with(p));
        let other: Vec<&String> = alone.difference(&workspace).filter(|line| !on_purpose(line)).collect();
        assert!(other.is_empty(), "minqiao-{name} alone resolves other features; pin them in hub/unify: {other:#?}");
    }
}

#[test]
fn one_version_of_the_engine_and_its_formats() {
    let lock = include_str!("../../Cargo.lock");
    for name in ["datafusion", "arrow", "parquet", "object_store", "rustls"] {
        let versions = lock.matches(&format!("name = \"{name}\"\n")).count();
        assert_eq!(versions, 1, "{versions} versions of {name}");
    }
}
