//! Which rows are seen (computation 1.2 and 1.6): current versions, without deleted keys and without rows whose name is
//! another person's.

use std::collections::{BTreeMap, HashMap};

use crate::{
    items::{Item, civil_affairs::AssistanceApplication, public_security::ResidentIdentity},
    row::{Delivery, Row, Value},
    scribe::Entry,
};

/// The seen rows of one family, by item.
#[derive(Debug)]
pub(crate) struct View {
    rows: HashMap<usize, Vec<Vec<Value>>>,
    alias: HashMap<String, String>,
}

fn key_columns(no: usize) -> &'static [usize] {
    use std::sync::OnceLock;
    static COLUMNS: OnceLock<Vec<Vec<usize>>> = OnceLock::new();
    &COLUMNS.get_or_init(|| {
        let mut all = vec![Vec::new(); 74];
        crate::items::each(|no, key, fields| {
            all[no] = key.iter().filter_map(|k| fields.iter().position(|(name, _)| name == k)).collect();
        });
        all
    })[no]
}

fn key(no: usize, row: &Row) -> String {
    let mut text = String::new();
    for column in key_columns(no) {
        match &row.values[*column] {
            Value::Text(t) => text.push_str(t),
            other => text.push_str(&format!("{other:?}")),
        }
        text.push('\u{1f}');
    }
    text
}

impl View {
    /// What is seen of `entries`; with `lost_too` as if every row had arrived undamaged.
    pub(crate) fn new(entries: &[Entry], lost_too: bool) -> View {
        let mut current: BTreeMap<(usize, String), &Entry> = BTreeMap::new();
        for entry in entries {
            if entry.delivery == Delivery::Quarantined && !lost_too {
                continue;
            }
            let slot = current.entry((entry.item, key(entry.item, &entry.row))).or_insert(entry);
            let rank = |e: &Entry| (e.row.source_updated_at, e.row.delete);
            if rank(entry) >= rank(slot) {
                *slot = entry;
            }
        }
        let mut rows: HashMap<usize, Vec<Vec<Value>>> = HashMap::new();
        for ((no, _), entry) in current {
            // The row of the application is used even when its name is wrong (D8).
            let wrong = entry.delivery == Delivery::Misnamed && !lost_too && no != AssistanceApplication::NO;
            if !entry.row.delete && !wrong {
                rows.entry(no).or_default().push(entry.row.values.clone());
            }
        }
        let mut view = View { rows, alias: HashMap::new() };
        for row in view.all::<ResidentIdentity>() {
            if let Some(new) = row.replaced_by_citizen_id {
                view.alias.insert(row.citizen_id.to_string(), new.to_string());
            }
        }
        view
    }

    /// All rows of an item, typed.
    pub(crate) fn all<T: Item>(&self) -> Vec<T> {
        self.rows.get(&T::NO).map(|rows| rows.iter().map(|r| T::from_values(r)).collect()).unwrap_or_default()
    }

    /// The person behind a number.
    pub(crate) fn person(&self, number: &str) -> String {
        let mut at = number;
        for _ in 0..self.alias.len() {
            match self.alias.get(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        at.to_owned()
    }
}
