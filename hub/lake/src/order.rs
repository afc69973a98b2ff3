//! The order of rows in a file and the order of versions of one natural key.
//!
//! Versions: the greatest `_source_updated_at` wins (null is lowest), then `delete` over `upsert`, then the greatest
//! `_content_hash`. The order is total over different contents and does not look at arrival, so that every order of
//! arrival folds to the same state (LAKE-3).

use std::cmp::Ordering;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::TimestampMillisecondType;

use crate::LakeError;
use crate::layout::ItemLayout;

/// Where a row lies in every file: lead bytes, then key bytes, both as big-endian numbers. A null lead is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OrderKey {
    pub(crate) lead: u128,
    pub(crate) key: u128,
}

/// Positions of the version columns in a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VersionColumns {
    lead: usize,
    key: usize,
    updated_at: usize,
    op: usize,
    content_hash: usize,
    received_at: usize,
}

impl VersionColumns {
    /// In a batch of the whole sealed schema.
    pub(crate) fn whole(layout: &ItemLayout) -> Self {
        Self {
            lead: layout.lead,
            key: layout.key,
            updated_at: layout.updated_at,
            op: layout.op,
            content_hash: layout.content_hash,
            received_at: layout.received_at,
        }
    }

    /// In a batch of the schema's `columns`, ascending, all version columns among them.
    pub(crate) fn within(layout: &ItemLayout, columns: &[usize]) -> Option<Self> {
        let at = |column: usize| columns.iter().position(|c| *c == column);
        Some(Self {
            lead: at(layout.lead)?,
            key: at(layout.key)?,
            updated_at: at(layout.updated_at)?,
            op: at(layout.op)?,
            content_hash: at(layout.content_hash)?,
            received_at: at(layout.received_at)?,
        })
    }
}

/// The version columns of one batch, ready to compare.
#[derive(Debug, Clone)]
pub(crate) struct Versions {
    lead: FixedSizeBinaryArray,
    key: FixedSizeBinaryArray,
    updated_at: TimestampMillisecondArray,
    op: StringArray,
    content_hash: StringArray,
    received_at: TimestampMillisecondArray,
}

impl Versions {
    /// Reads the columns; the types were checked when the layout was made and when the batch was decoded.
    pub(crate) fn of(batch: &RecordBatch, columns: VersionColumns) -> Result<Self, LakeError> {
        let bytes = |column: usize| batch.column(column).as_fixed_size_binary_opt().cloned().ok_or(damaged());
        let text = |column: usize| batch.column(column).as_string_opt::<i32>().cloned().ok_or(damaged());
        let time = |column: &ArrayRef| column.as_primitive_opt::<TimestampMillisecondType>().cloned().ok_or(damaged());
        Ok(Self {
            lead: bytes(columns.lead)?,
            key: bytes(columns.key)?,
            updated_at: time(batch.column(columns.updated_at))?,
            op: text(columns.op)?,
            content_hash: text(columns.content_hash)?,
            received_at: time(batch.column(columns.received_at))?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.key.len()
    }

    pub(crate) fn order_key(&self, row: usize) -> OrderKey {
        OrderKey { lead: number(&self.lead, row), key: number(&self.key, row) }
    }

    /// Milliseconds; rows without it count as received before everything.
    pub(crate) fn received_at(&self, row: usize) -> i64 {
        if self.received_at.is_null(row) { i64::MIN } else { self.received_at.value(row) }
    }

    pub(crate) fn is_delete(&self, row: usize) -> bool {
        self.op.is_valid(row) && self.op.value(row) == "delete"
    }

    /// Greatest wins.
    pub(crate) fn cmp(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        let at = |v: &Self, row: usize| v.updated_at.is_valid(row).then(|| v.updated_at.value(row));
        at(self, row)
            .cmp(&at(other, other_row))
            .then_with(|| self.is_delete(row).cmp(&other.is_delete(other_row)))
            .then_with(|| self.content_hash.value(row).as_bytes().cmp(other.content_hash.value(other_row).as_bytes()))
    }
}

/// 16 bytes as a number that sorts like them; null is zero.
pub(crate) fn number(array: &FixedSizeBinaryArray, row: usize) -> u128 {
    if array.is_null(row) {
        return 0;
    }
    array.value(row).try_into().map_or(0, u128::from_be_bytes)
}

fn damaged() -> LakeError {
    LakeError::DamagedTable { table: "item".to_owned(), reason: "a version column has another type" }
}
