//! A case folder's rows in the form that bus and lake hold, for a throw-away lake (case-folder.md).
//!
//! Rows are sealed like any others; only the envelope is what the folder says, because there it is given and not made:
//! times of arrival and content hashes decide which version counts.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use minqiao_core::BatchEnvelope;
use minqiao_schemas::envelope;
use minqiao_vault::{Sealer, VaultError};

use crate::folder::ItemRows;

/// Seals all rows of an item, batch by batch, keeping the envelope columns of the folder.
pub fn sealed(sealer: &Sealer, rows: &ItemRows, head: &BatchEnvelope) -> Result<Vec<RecordBatch>, VaultError> {
    rows.batches.iter().map(|batch| sealed_batch(sealer, rows, batch, head)).collect()
}

fn sealed_batch(
    sealer: &Sealer,
    rows: &ItemRows,
    batch: &RecordBatch,
    head: &BatchEnvelope,
) -> Result<RecordBatch, VaultError> {
    let given =
        [envelope::SOURCE_UPDATED_AT, envelope::RECEIVED_AT, envelope::DATA_DATE, envelope::OP, envelope::CONTENT_HASH];
    let submitted: Vec<usize> = (0..batch.num_columns())
        .filter(|at| {
            let name = batch.schema_ref().field(*at).name().as_str();
            name != envelope::RECEIVED_AT && name != envelope::CONTENT_HASH
        })
        .collect();
    let made = sealer.seal_batch(rows.item, &batch.project(&submitted)?, head)?;
    let columns: Vec<ArrayRef> = made
        .schema_ref()
        .fields()
        .iter()
        .zip(made.columns())
        .map(|(field, column)| match batch.column_by_name(field.name()) {
            // A null `_op` means upsert and was written out by the sealer.
            Some(own) if given.contains(&field.name().as_str()) && field.name() != envelope::OP => Arc::clone(own),
            _ => Arc::clone(column),
        })
        .collect();
    Ok(RecordBatch::try_new(made.schema(), columns)?)
}
