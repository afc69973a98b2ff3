//! Shapes of fields and the mask of each shape (`obligations.yaml`): the *how* beside Cedar's *whether*.

use serde::Deserialize;

use crate::{Mask, PolicyError, facts::FieldFacts};

/// The table of shapes.
#[derive(Debug, Clone)]
pub struct Obligations {
    /// People per published cell, at least.
    pub k: u32,
    rules: Vec<Rule>,
}

/// One line: fields that meet `when` have this shape and this mask.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    shape: String,
    mask: Mask,
    when: When,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    code_table: Option<String>,
    tag: Option<String>,
    #[serde(rename = "type")]
    ty: Option<String>,
    ends: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    k: u32,
    shapes: Vec<Rule>,
}

impl Obligations {
    /// Parses `obligations.yaml`.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let parse = |detail: String| PolicyError::Parse { file: "obligations.yaml".into(), detail };
        let file: File = serde_norway::from_str(text).map_err(|e| parse(e.to_string()))?;
        if file.k < 2 {
            return Err(parse("`k` must be at least 2".into()));
        }
        Ok(Self { k: file.k, rules: file.shapes })
    }

    /// Shape and mask of a field; `None` when no rule matches (then the field is absent for everybody).
    pub(crate) fn of(&self, field: &FieldFacts) -> Option<(&str, Mask)> {
        self.rules.iter().find(|rule| rule.when.holds(field)).map(|rule| (rule.shape.as_str(), rule.mask))
    }
}

impl When {
    fn holds(&self, field: &FieldFacts) -> bool {
        let table = match (self.code_table.as_deref(), field.code_table.as_deref()) {
            (None, _) => true,
            (Some("none"), actual) => actual.is_none(),
            (Some("any"), actual) => actual.is_some(),
            (wanted, actual) => wanted == actual,
        };
        table
            && self.tag.as_ref().is_none_or(|tag| field.tags.iter().any(|t| t == tag))
            && self.ty.as_ref().is_none_or(|ty| field.ty.starts_with(ty.as_str()))
            && self.ends.as_ref().is_none_or(|end| field.name.ends_with(end.as_str()))
    }
}
