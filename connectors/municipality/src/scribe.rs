//! Hands rows to the sink and remembers those that the truth needs.
//!
//! Registers are corrected: at the rates below a row arrives in two versions (in either order), or is deleted again.
//! Both belong to the lives, not to the injected errors, and the truth reads the versions as the hub must.

use std::sync::OnceLock;

use chrono::NaiveDate;

use crate::{
    calendar::{SNAPSHOT, TODAY, at},
    chance::Chance,
    items::{Item, Ts},
    row::{Delivery, Row, RowSink, Value},
};

/// A corrected row: the older version is sent first (per ten thousand).
const CORRECTED_PER_10K: u64 = 40;
/// A corrected row whose older version is sent after the newer one.
const LATE_PER_10K: u64 = 15;
/// A row that is deleted later.
const DELETED_PER_10K: u64 = 8;

/// A row as the truth remembers it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) item: usize,
    pub(crate) row: Row,
    pub(crate) delivery: Delivery,
}

/// Writes the rows of one block.
pub(crate) struct Scribe<'a> {
    sink: &'a mut dyn RowSink,
    chance: Chance,
    /// Rows of the present family, kept while `remember` is set.
    pub(crate) ledger: Vec<Entry>,
    pub(crate) remember: bool,
    /// Rows per item number.
    pub(crate) counts: Vec<u64>,
}

impl std::fmt::Debug for Scribe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scribe").field("rows", &self.counts.iter().sum::<u64>()).finish_non_exhaustive()
    }
}

/// Where and when a row comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Delivering county.
    pub(crate) county: u32,
    /// Day of the last change at the source.
    pub(crate) changed: NaiveDate,
    /// Day the delivered data are of.
    pub(crate) data: NaiveDate,
    /// See [`Row::critical`].
    pub(crate) critical: bool,
}

impl Origin {
    /// A state register row: changed on `changed`, delivered with the snapshot of yesterday.
    pub(crate) fn state(county: u32, changed: NaiveDate) -> Origin {
        Origin { county, changed: changed.min(SNAPSHOT), data: SNAPSHOT, critical: false }
    }

    /// An event or monthly row: its data are of the day itself.
    pub(crate) fn event(county: u32, changed: NaiveDate) -> Origin {
        let changed = changed.min(SNAPSHOT);
        Origin { county, changed, data: changed, critical: false }
    }

    /// The same, never lost.
    pub(crate) fn critical(self, critical: bool) -> Origin {
        Origin { critical, ..self }
    }
}

impl<'a> Scribe<'a> {
    /// A scribe for one block.
    pub(crate) fn new(sink: &'a mut dyn RowSink, chance: Chance) -> Scribe<'a> {
        Scribe { sink, chance, ledger: Vec::new(), remember: false, counts: vec![0; 74] }
    }

    /// Emits a row with its versions.
    pub(crate) fn put<T: Item>(&mut self, origin: Origin, item: T) {
        let minute = self.chance.range(8 * 60, 19 * 60);
        let Ts(updated) = at(origin.changed, minute);
        let updated = updated + self.chance.range(0, 59_999);
        let row = Row {
            values: item.into_values(),
            county: origin.county,
            source_updated_at: updated,
            data_date: origin.data,
            delete: false,
            critical: origin.critical,
        };
        let roll = self.chance.below(10_000);
        if roll < CORRECTED_PER_10K {
            if let Some(older) = self.older(T::NO, &row) {
                self.emit(T::NO, older);
            }
            self.emit(T::NO, row);
        } else if roll < CORRECTED_PER_10K + LATE_PER_10K {
            let older = self.older(T::NO, &row);
            self.emit(T::NO, row);
            if let Some(older) = older {
                self.emit(T::NO, older);
            }
        } else if roll < CORRECTED_PER_10K + LATE_PER_10K + DELETED_PER_10K && !kept(T::NO) && !origin.critical {
            let Ts(deleted) = at(TODAY, 60);
            let delete =
                Row { delete: true, source_updated_at: deleted.max(updated + 1), data_date: SNAPSHOT, ..row.clone() };
            self.emit(T::NO, row);
            self.emit(T::NO, delete);
        } else {
            self.emit(T::NO, row);
        }
    }

    fn emit(&mut self, no: usize, row: Row) {
        self.counts[no] += 1;
        if self.remember {
            let delivery = self.sink.emit(no, row.clone());
            self.ledger.push(Entry { item: no, row, delivery });
        } else {
            self.sink.emit(no, row);
        }
    }

    /// The version before the correction: another amount, a few days earlier. None for rows without amounts.
    fn older(&mut self, no: usize, row: &Row) -> Option<Row> {
        let mut older = row.clone();
        let amounts = amount_columns(no);
        if amounts.is_empty() {
            return None;
        }
        let column = *self.chance.pick(amounts);
        match &mut older.values[column] {
            Value::Decimal(amount) => *amount += (*amount / 10).max(100),
            _ => return None,
        }
        older.source_updated_at -= 86_400_000 * self.chance.range(1, 9);
        Some(older)
    }
}

/// Rows on which others rest are not deleted: applications, people and their families.
fn kept(no: usize) -> bool {
    matches!(no, 8..=10 | 18 | 20 | 21 | 23 | 49)
}

/// Money columns outside the natural key, per item number.
fn amount_columns(no: usize) -> &'static [usize] {
    static COLUMNS: OnceLock<Vec<Vec<usize>>> = OnceLock::new();
    let all = COLUMNS.get_or_init(|| {
        let mut all = vec![Vec::new(); 74];
        crate::items::each(|no, key, fields| {
            all[no] = fields
                .iter()
                .enumerate()
                .filter(|(_, (name, ty))| ty.contains("Dec") && !key.contains(name) && !name.contains("ratio"))
                .map(|(i, _)| i)
                .collect();
        });
        all
    });
    &all[no]
}
