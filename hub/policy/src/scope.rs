//! Which county a row belongs to (`scopes.yaml`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{CountyBy, PolicyError};

/// The county rule of every item.
#[derive(Debug, Clone)]
pub struct Scopes {
    counties: BTreeMap<String, CountyBy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    counties: BTreeMap<String, String>,
}

impl Scopes {
    /// Parses `scopes.yaml`.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: File = serde_norway::from_str(text)
            .map_err(|e| PolicyError::Parse { file: "scopes.yaml".into(), detail: e.to_string() })?;
        let rule = |by: String| if by == "subject" { CountyBy::Subject } else { CountyBy::Field(by) };
        Ok(Self { counties: file.counties.into_iter().map(|(item, by)| (item, rule(by))).collect() })
    }

    /// The rule of an item; `None` = rows of this item belong to no county, so a confined principal sees none.
    pub fn county(&self, item: &str) -> Option<&CountyBy> {
        self.counties.get(item)
    }

    /// Every item named.
    pub fn items(&self) -> impl Iterator<Item = (&str, &CountyBy)> {
        self.counties.iter().map(|(item, by)| (item.as_str(), by))
    }
}
