//! `preview`: what the files would become.

use std::sync::Arc;

use minqiao_connector_api::preview::{Preview, preview as look};
use minqiao_connector_api::source::Sources;
use minqiao_connector_sources::FileSources;
use minqiao_core::{Clock, SystemClock};

use crate::config::Config;

/// Prints previews of all files of an item, or of all items; the exit status.
#[expect(clippy::print_stdout, reason = "the preview is this command's output")]
pub(crate) fn preview(config: &Config, item: Option<&str>, rows: usize) -> anyhow::Result<u8> {
    let department = crate::department(config)?;
    let today = SystemClock::new().now().date();
    let mut refused = false;
    let mut found = false;
    for mapping in department.mappings.iter().filter(|m| item.is_none_or(|code| m.item.code == code)) {
        found = true;
        let mapping = Arc::new(mapping.clone());
        for file in FileSources.discover(&config.exports, &mapping.source)? {
            println!("── {} {} ← {}", mapping.item.code, mapping.item.name_zh, file.name);
            match look(&FileSources, &mapping, &file, rows, today) {
                Ok(preview) => show(&preview),
                Err(error) => {
                    refused = true;
                    println!("✗ {:#}", anyhow::Error::from(error));
                }
            }
        }
    }
    anyhow::ensure!(found, "--item: 该部门没有此信息项 / the department delivers no such item");
    Ok(if refused { 65 } else { 0 })
}

#[expect(clippy::print_stdout, reason = "the preview is this command's output")]
fn show(preview: &Preview) {
    for (row, values) in &preview.rows {
        let shown = preview.columns.iter().zip(values).filter(|(_, value)| !value.is_empty());
        let shown: Vec<String> = shown.map(|(name, value)| format!("{name}={value}")).collect();
        println!("{row:>8}  {}", shown.join("  "));
    }
    for (row, reasons) in &preview.refused {
        for reason in reasons {
            println!("{row:>8}  ✗ {}  {}\n            {}", reason.code, reason.message_zh, reason.message_en);
        }
    }
}
