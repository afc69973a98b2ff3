//! `minqiao catalogue list | show | check`.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use minqiao_doors::catalogue_routes::{item_view, overview};
use minqiao_schemas::{Catalogue, compat};

use super::CommandError;

/// The 73 information items.
#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// One line per item.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One item with its fields, levels and tags.
    Show {
        /// Item code, e.g. `bank_deposit`.
        item: String,
        /// As JSON, with code tables.
        #[arg(long)]
        json: bool,
    },
    /// Check the catalogue, or a changed copy of it against the one in force.
    Check {
        /// Folder of a changed catalogue; refused when a change would break what is stored or sent today.
        #[arg(long, value_name = "DIR")]
        changed: Option<PathBuf>,
    },
}

/// Runs the command.
pub fn run(command: &CatalogueCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let catalogue = Catalogue::try_embedded().map_err(|error| anyhow::anyhow!("{error}"))?;
    match command {
        CatalogueCommand::List { json: true } => {
            writeln!(out, "{}", serde_json::to_string_pretty(&overview(catalogue))?)?
        }
        CatalogueCommand::List { json: false } => {
            for item in catalogue.items() {
                writeln!(out, "{:>2}  {:<36} {:<24} {}", item.no, item.code, item.department, item.name_zh)?;
            }
        }
        CatalogueCommand::Show { item, json } => {
            let item = catalogue.item(item).ok_or_else(|| CommandError::UnknownItem(item.clone()))?;
            if *json {
                writeln!(out, "{}", serde_json::to_string_pretty(&item_view(catalogue, item))?)?;
                return Ok(());
            }
            writeln!(out, "{} {} · {}", item.no, item.code, item.name_zh)?;
            writeln!(out, "{}; {}, {}, level {}", item.grain, item.department, item.cadence, item.level)?;
            writeln!(out, "natural key: {}", item.natural_key.join(", "))?;
            for field in &item.fields {
                let tags: Vec<_> = field.tags.iter().map(|tag| tag.as_str()).collect();
                writeln!(
                    out,
                    "  {:<32} {:<16} {:<9} {} {:<10} {:<40} {}",
                    field.name,
                    field.ty.to_string(),
                    if field.required { "required" } else { "" },
                    field.level,
                    if field.is_sealed() { "sealed" } else { "" },
                    tags.join(","),
                    field.label_zh,
                )?;
            }
        }
        CatalogueCommand::Check { changed: None } => writeln!(out, "{}", catalogue.summary())?,
        CatalogueCommand::Check { changed: Some(folder) } => {
            let new = Catalogue::load_dir(folder).map_err(|error| anyhow::anyhow!("{error}"))?;
            writeln!(out, "{}", new.summary())?;
            let changes = compat::compare(catalogue, &new);
            let mut refused = 0;
            for change in &changes {
                writeln!(out, "{change}")?;
                refused += usize::from(change.verdict == compat::Verdict::Refused);
            }
            if refused > 0 {
                let all = changes.len();
                let mistakes = format!("{refused} of {all} changes would break what is stored or sent today");
                return Err(CommandError::Mistakes(mistakes).into());
            }
        }
    }
    Ok(())
}
