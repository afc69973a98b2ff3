//! May a new catalogue follow an old one? Stored history is read with the newest catalogue, and departments update their
//! connectors when they get to it, so a new version may only add what nobody has to know about.
//!
//! Allowed: a new item, table, code or optional field, a text that changed, a requirement that was dropped, a level that
//! rose. Refused: everything that makes a stored row or yesterday's submission mean something else, leak, or fail.

use std::collections::HashSet;
use std::fmt;

use crate::catalogue::Catalogue;
use crate::model::{Field, Item};

/// Whether a change may be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Old rows and old connectors go on working.
    Allowed,
    /// They would not; the reason stands in [`Change::why`].
    Refused,
}

/// One difference between two catalogues.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// May it be published.
    pub verdict: Verdict,
    /// Where: `bank_deposit.balance_amount`, `GBT2261_1.9`.
    pub at: String,
    /// What changed.
    pub what: String,
    /// Why it is allowed or refused.
    pub why: &'static str,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Allowed => "allowed",
            Verdict::Refused => "refused",
        };
        write!(f, "{verdict}: {}: {} ({})", self.at, self.what, self.why)
    }
}

/// Whether every change may be published.
pub fn is_compatible(changes: &[Change]) -> bool {
    changes.iter().all(|c| c.verdict == Verdict::Allowed)
}

/// Every difference that matters to data, in catalogue order; labels and remarks may change freely.
pub fn compare(old: &Catalogue, new: &Catalogue) -> Vec<Change> {
    let mut changes = Changes(Vec::new());
    for before in old.items() {
        match new.item(&before.code) {
            None => changes.refuse(&before.code, "item removed", "stored rows of the item could not be read"),
            Some(after) => compare_items(before, after, &mut changes),
        }
    }
    for added in new.items().iter().filter(|i| old.item(&i.code).is_none()) {
        changes.allow(&added.code, "item added", "nobody delivers or reads it yet");
    }
    compare_tables(old, new, &mut changes);
    if old.version() == new.version() && !changes.0.is_empty() {
        changes.refuse("version", "same version", "every stored row names the version that it was checked against");
    }
    changes.0
}

struct Changes(Vec<Change>);

impl Changes {
    fn allow(&mut self, at: impl Into<String>, what: impl Into<String>, why: &'static str) {
        self.0.push(Change { verdict: Verdict::Allowed, at: at.into(), what: what.into(), why });
    }

    fn refuse(&mut self, at: impl Into<String>, what: impl Into<String>, why: &'static str) {
        self.0.push(Change { verdict: Verdict::Refused, at: at.into(), what: what.into(), why });
    }
}

fn compare_items(old: &Item, new: &Item, changes: &mut Changes) {
    let code = &old.code;
    if old.natural_key != new.natural_key {
        changes.refuse(code, "natural key changed", "versions of one record would fall apart");
    }
    if old.subject_fields.first() != new.subject_fields.first() {
        changes.refuse(code, "subject changed", "a person's records would move to another partition");
    }
    if old.department != new.department {
        changes.refuse(code, "department changed", "providers could no longer deliver the item");
    }
    if old.no != new.no {
        changes.refuse(code, "number changed", "numbers are never reused");
    }
    if new.level < old.level {
        changes.refuse(code, "level lowered", "stored rows would open to more readers");
    }
    if old.authorization_required && !new.authorization_required {
        changes.refuse(code, "authorisation no longer required", "citizens consented under the old rule");
    }
    for before in &old.fields {
        match new.field(&before.name) {
            None => {
                let at = format!("{code}.{}", before.name);
                changes.refuse(at, "field removed or renamed", "stored values and connectors name it");
            }
            Some(after) => compare_fields(code, before, after, changes),
        }
    }
    for added in new.fields.iter().filter(|f| old.field(&f.name).is_none()) {
        let at = format!("{code}.{}", added.name);
        if added.required {
            changes.refuse(at, "required field added", "connectors do not deliver it, stored rows lack it");
        } else {
            changes.allow(at, "optional field added", "stored rows have no value there");
        }
    }
    let kept = |fields: &[Field], other: &Item| -> Vec<String> {
        fields.iter().filter(|f| other.field(&f.name).is_some()).map(|f| f.name.clone()).collect()
    };
    if kept(&old.fields, new) != kept(&new.fields, old) {
        changes.refuse(code, "fields reordered", "the content digest runs over the fields in order");
    }
}

fn compare_fields(item: &str, old: &Field, new: &Field, changes: &mut Changes) {
    let at = || format!("{item}.{}", old.name);
    if old.ty != new.ty {
        changes.refuse(at(), format!("type {} became {}", old.ty, new.ty), "stored values have the old type");
    }
    if old.code_table != new.code_table {
        changes.refuse(at(), "code table changed", "stored codes belong to the old table");
    }
    match (old.required, new.required) {
        (false, true) => changes.refuse(at(), "became required", "rows without it were accepted"),
        (true, false) => changes.allow(at(), "became optional", "rows with it stay valid"),
        _ => {}
    }
    if new.level < old.level {
        changes.refuse(
            at(),
            format!("level {} became {}", old.level, new.level),
            "stored values would open to more readers",
        );
    } else if new.level > old.level {
        changes.allow(at(), format!("level {} became {}", old.level, new.level), "policies decide by the newest level");
    }
    if old.tags.iter().any(|tag| !new.has_tag(*tag)) {
        changes.refuse(at(), "tag removed", "policies that protect the field by that tag would stop");
    } else if new.tags.len() > old.tags.len() {
        changes.allow(at(), "tag added", "policies decide by the newest tags");
    }
    if old.seal() != new.seal() {
        changes.refuse(at(), "sealing changed", "stored values are sealed the old way");
    }
}

fn compare_tables(old: &Catalogue, new: &Catalogue, changes: &mut Changes) {
    for before in old.code_tables() {
        let Some(after) = new.code_table(&before.id) else {
            changes.refuse(&before.id, "code table removed", "stored codes lose their meaning");
            continue;
        };
        let codes: HashSet<&str> = before.values.iter().map(|v| v.code.as_str()).collect();
        for value in before.values.iter().filter(|v| !after.index.contains_key(&v.code)) {
            changes.refuse(format!("{}.{}", before.id, value.code), "code removed", "stored rows hold it");
        }
        for value in after.values.iter().filter(|v| !codes.contains(v.code.as_str())) {
            changes.allow(format!("{}.{}", before.id, value.code), "code added", "nobody uses it yet");
        }
        if before.pattern != after.pattern {
            changes.refuse(&before.id, "pattern changed", "stored codes were accepted by the old one");
        }
    }
    for added in new.code_tables().iter().filter(|t| old.code_table(&t.id).is_none()) {
        changes.allow(&added.id, "code table added", "nobody uses it yet");
    }
}
