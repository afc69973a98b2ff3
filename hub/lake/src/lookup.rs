//! One person's records of one item, in milliseconds: index, a few pages, versions compared in memory.
//!
//! A row found by a column that does not lead the order key may have been replaced by a version with another value
//! there (a new spouse, a new operator). Its successors are found by the lead, which all versions share; then versions
//! are compared and only winners that still hold the token are answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use minqiao_core::Token;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};

use crate::LakeError;
use crate::files::{FileOpener, FilePlace};
use crate::index::{PointIndex, file_id};
use crate::layout::{ItemLayout, LeadRange};
use crate::merge::{Keep, Merge, MergeSpec, file_mask};
use crate::snapshot::ReadSet;

/// A lookup in one item.
pub(crate) struct Lookup<'a> {
    pub(crate) layout: &'a Arc<ItemLayout>,
    pub(crate) set: &'a ReadSet,
    pub(crate) opener: &'a FileOpener,
    pub(crate) index: &'a PointIndex,
}

impl Lookup<'_> {
    /// Current rows, at the read set's moment, whose `column` holds one of the tokens; `columns` of the sealed schema
    /// in that order. Blocking.
    pub(crate) fn run(
        &self,
        column: usize,
        tokens: &[Token],
        columns: Vec<usize>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let mut rows = self.rows_of(column, tokens)?;
        if column != self.layout.lead && !self.set.plain {
            let leads = self.leads_of(&rows)?;
            let leads: Vec<Token> = leads.into_iter().collect();
            for (known, more) in rows.iter_mut().zip(self.rows_of(self.layout.lead, &leads)?) {
                known.extend(more);
                known.sort_unstable();
                known.dedup();
            }
        }
        let all: Vec<usize> = (0..self.layout.schema.fields().len()).collect();
        let mut batches = Vec::new();
        for (place, rows) in self.set.files.iter().zip(&rows) {
            if !rows.is_empty() {
                batches.push(self.read(place, rows, &all)?);
            }
        }
        let spec = MergeSpec {
            layout: Arc::clone(self.layout),
            columns: all,
            range: LeadRange::ALL,
            keep: Keep::Current,
            received_max: self.set.received_max,
            batch_rows: 8192,
        };
        let merged = Merge::of_batches(spec, batches)?;
        let mut answers = Vec::new();
        for batch in merged {
            let batch = holding(&batch?, column, tokens)?;
            if batch.num_rows() > 0 {
                answers.push(batch.project(&columns)?);
            }
        }
        Ok(answers)
    }

    /// Candidate rows of every file of the set.
    fn rows_of(&self, column: usize, tokens: &[Token]) -> Result<Vec<Vec<u32>>, LakeError> {
        let position = self.layout.indexed.iter().position(|indexed| *indexed == column);
        let of_file = |place: &FilePlace| {
            let indexed = match (position, file_id(&place.file.path)) {
                (Some(position), Some(file)) => self.index.rows(self.layout, &file, position, tokens)?,
                _ => None,
            };
            match indexed {
                Some(rows) => Ok(rows),
                None => self.search(place, column, tokens),
            }
        };
        self.set.files.iter().map(of_file).collect()
    }

    /// Reads the one column of a file that is not indexed yet.
    fn search(&self, place: &FilePlace, column: usize, tokens: &[Token]) -> Result<Vec<u32>, LakeError> {
        let reader = self.opener.open(place)?;
        let footer = self.opener.footer(place, &reader)?;
        let mask = file_mask(self.layout, &footer, &[column]);
        let batches =
            ParquetRecordBatchReaderBuilder::new_with_metadata(reader, footer).with_projection(mask).build()?;
        let (mut rows, mut base) = (Vec::new(), 0u32);
        for batch in batches {
            let batch = batch?;
            if batch.num_columns() == 0 {
                break;
            }
            rows.extend(matching(&batch, 0, tokens).into_iter().map(|row| base + row));
            base += u32::try_from(batch.num_rows()).unwrap_or_default();
        }
        Ok(rows)
    }

    fn leads_of(&self, rows: &[Vec<u32>]) -> Result<BTreeSet<Token>, LakeError> {
        let mut leads = BTreeSet::new();
        for (place, rows) in self.set.files.iter().zip(rows) {
            for batch in if rows.is_empty() { Vec::new() } else { self.read(place, rows, &[self.layout.lead])? } {
                let column = batch.column(0).as_fixed_size_binary();
                let valid = (0..column.len()).filter(|row| column.is_valid(*row));
                leads.extend(valid.filter_map(|row| column.value(row).try_into().ok().map(Token)));
            }
        }
        Ok(leads)
    }

    /// Rows of a file, ascending.
    fn read(&self, place: &FilePlace, rows: &[u32], columns: &[usize]) -> Result<Vec<RecordBatch>, LakeError> {
        let reader = self.opener.open(place)?;
        let footer = self.opener.footer(place, &reader)?;
        let mask = file_mask(self.layout, &footer, columns);
        let mut selectors = Vec::with_capacity(rows.len() * 2);
        let mut next = 0;
        for row in rows.iter().map(|row| *row as usize) {
            if row > next {
                selectors.push(RowSelector::skip(row - next));
            }
            selectors.push(RowSelector::select(1));
            next = row + 1;
        }
        let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, footer)
            .with_projection(mask)
            .with_row_selection(RowSelection::from(selectors))
            .build()?;
        Ok(batches.collect::<Result<_, _>>()?)
    }
}

/// Rows of a batch whose column holds one of the tokens.
fn matching(batch: &RecordBatch, column: usize, tokens: &[Token]) -> Vec<u32> {
    let Some(values) = batch.column(column).as_fixed_size_binary_opt() else { return Vec::new() };
    let holds = |row: &usize| values.is_valid(*row) && tokens.iter().any(|token| token.0 == values.value(*row));
    (0..values.len()).filter(holds).filter_map(|row| u32::try_from(row).ok()).collect()
}

fn holding(batch: &RecordBatch, column: usize, tokens: &[Token]) -> Result<RecordBatch, LakeError> {
    let rows = matching(batch, column, tokens);
    if rows.len() == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(take_record_batch(batch, &UInt32Array::from(rows))?)
}
