//! `check`: every step on its own line, none of them hidden by the one before; sends nothing.

use std::path::Path;
use std::sync::Arc;

use minqiao_connector_api::layout::Layout;
use minqiao_connector_api::mapping::Mapping;
use minqiao_connector_api::source::{FileRef, Limits, SourceError, Sources};
use minqiao_connector_sources::FileSources;
use minqiao_core::{Clock, SystemClock};

use crate::config::Config;

/// Prints the steps; the exit status.
pub(crate) async fn check(config: &Config, offline: bool) -> anyhow::Result<u8> {
    let department = crate::department(config)?;
    eprintln!("✓ 配置与映射 / configuration and mappings: {}，{} items", department.name_zh, department.mappings.len());
    let mut bad = false;
    for mapping in &department.mappings {
        bad |= !files(mapping, &config.exports);
    }
    bad |= !step("断点目录可写 / state folder is writable", writable(&config.state));
    bad |= !step("报告目录可写 / report folder is writable", writable(&config.reports));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let gateway = crate::run::gateway(&config.gateway, &clock);
    bad |= !step("证书与私钥 / certificates and key", gateway.as_ref().map(|_| ()).map_err(|e| format!("{e:#}")));
    if let (Ok(gateway), false) = (gateway, offline) {
        let ready = gateway.ready().await;
        bad |= !step(
            "平台可达，证书被接受 / the hub answers and accepts the certificate",
            ready.map_err(|e| format!("{:#}", anyhow::Error::from(e))),
        );
    }
    Ok(if bad { 65 } else { 0 })
}

fn step(what: &str, result: Result<(), String>) -> bool {
    match result {
        Ok(()) => {
            eprintln!("✓ {what}");
            true
        }
        Err(error) => {
            eprintln!("✗ {what}: {error}");
            false
        }
    }
}

fn writable(folder: &Path) -> Result<(), String> {
    let probe = folder.join(".probe");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|e| format!("{}: {e}", folder.display()))
}

/// Opens every file of an item and binds its header.
fn files(mapping: &Mapping, exports: &Path) -> bool {
    let what = format!("{} {}", mapping.item.code, mapping.item.name_zh);
    let found = match FileSources.discover(exports, &mapping.source) {
        Ok(found) => found,
        Err(error) => return step(&what, Err(format!("{:#}", anyhow::Error::from(error)))),
    };
    if found.is_empty() {
        eprintln!("– {what}: 没有文件 / no file matches `{}`", mapping.source.files);
        return true;
    }
    let mut good = true;
    for file in &found {
        good &= step(&format!("{what}: {} ({} B)", file.name, file.bytes), header(mapping, file));
    }
    good
}

fn header(mapping: &Mapping, file: &FileRef) -> Result<(), String> {
    let source = FileSources.open(file, &mapping.source, &Limits::default(), None).map_err(|error| match error {
        SourceError::Refused { refusal, .. } => refusal.to_string(),
        other => format!("{:#}", anyhow::Error::from(other)),
    })?;
    Layout::bind(mapping, source.head(), &file.name).map(|_| ()).map_err(|refusal| refusal.to_string())
}
