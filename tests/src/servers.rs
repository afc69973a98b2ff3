//! Servers that tests talk to when the environment names them.
//!
//! Each test says what did not run for want of one; it fails when `MINQIAO_TEST_REQUIRE` names it, as in continuous
//! integration.

use std::env;
use std::io::Write as _;

/// What an environment variable says of the servers that `requirement` stands for in `MINQIAO_TEST_REQUIRE`; `None` after
/// [`not_run`] when it says nothing.
pub fn named(variable: &str, requirement: &str) -> Option<String> {
    let found = env::var_os(variable).filter(|value| !value.is_empty());
    if found.is_none() {
        not_run(requirement, &format!("{variable} is not set; see tests/servers"));
    }
    found.map(|value| value.into_string().expect("addresses and folders of servers are UTF-8"))
}

/// Says that something did not run.
///
/// # Panics
///
/// When `MINQIAO_TEST_REQUIRE` names the requirement.
pub fn not_run(requirement: &str, why: &str) {
    // Past the test harness, which keeps what passing tests print; at once, so that it stays a line.
    let line = format!("NOT RUN on {requirement}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr");
    let required = env::var_os("MINQIAO_TEST_REQUIRE").unwrap_or_default();
    let required = required.to_string_lossy().split(',').any(|name| name == requirement);
    assert!(!required, "MINQIAO_TEST_REQUIRE names {requirement}: {why}");
}
