//! The greatest date of a column over all versions that were known at a moment: how old a feed is.
//!
//! Files never change, so a file's answer is taken from its footer once and remembered. Only a file whose rows were
//! received partly before and partly after the moment is read.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimestampMillisecondType};
use minqiao_core::Timestamp;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::statistics::Statistics;

use crate::LakeError;
use crate::files::{FileOpener, FilePlace};
use crate::lake::ItemSnapshot;
use crate::layout::{ItemLayout, RECEIVED_AT};
use crate::merge::file_mask;

/// Files whose answers are remembered before all are forgotten.
const REMEMBERED: usize = 16_384;

/// Answers by column and place of a file.
#[derive(Debug, Default)]
pub(crate) struct Latest(Mutex<HashMap<(usize, String), Option<i32>>>);

impl ItemSnapshot {
    /// The greatest value of a `Date32` column in versions received at `at` or before, days since 1970-01-01; `None` when
    /// there is none.
    pub async fn latest_date(&self, column: &str, at: Timestamp) -> Result<Option<i32>, LakeError> {
        let (snapshot, column) = (self.clone(), column.to_owned());
        let looking = tokio::task::spawn_blocking(move || snapshot.latest_date_blocking(&column, at));
        looking.await.map_err(|_| LakeError::Task)?
    }

    fn latest_date_blocking(&self, column: &str, at: Timestamp) -> Result<Option<i32>, LakeError> {
        let layout = &self.picture.tables.layout;
        let position = layout.schema.index_of(column).ok();
        let position = position.filter(|at| *layout.schema.field(*at).data_type() == DataType::Date32);
        let unknown = || LakeError::UnknownColumn { item: layout.code.clone(), column: column.to_owned() };
        let position = position.ok_or_else(unknown)?;
        let mut latest = None;
        for file in self.picture.changes.files.values().filter(|file| file.received.0 <= at.0) {
            let place = self.picture.place_changes(file.clone());
            let of_file = if file.received.1 <= at.0 {
                self.latest_of_file(&place, position)?
            } else {
                read(layout, &self.scans.opener, &place, position, at)?
            };
            latest = latest.max(of_file);
        }
        Ok(latest)
    }

    /// Over all rows of a file.
    fn latest_of_file(&self, place: &FilePlace, column: usize) -> Result<Option<i32>, LakeError> {
        let (layout, opener) = (&self.picture.tables.layout, &self.scans.opener);
        let name = (column, place.location.to_string());
        if let Some(known) = self.scans.latest.0.lock().get(&name) {
            return Ok(*known);
        }
        let of_file = match stated(layout, opener, place, column)? {
            Some(of_file) => of_file,
            None => read(layout, opener, place, column, Timestamp(i64::MAX))?,
        };
        let mut known = self.scans.latest.0.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(name, of_file);
        Ok(of_file)
    }
}

/// What the footer says: the greatest value, or that there is none. `None` when it says nothing.
fn stated(
    layout: &ItemLayout,
    opener: &FileOpener,
    place: &FilePlace,
    column: usize,
) -> Result<Option<Option<i32>>, LakeError> {
    let reader = opener.open(place)?;
    let footer = opener.footer(place, &reader)?;
    let metadata = footer.metadata();
    let name = layout.schema.field(column).name();
    let columns = metadata.file_metadata().schema_descr().columns();
    let Some(at) = columns.iter().position(|one| one.name() == name) else { return Ok(Some(None)) };
    let mut latest = None;
    for group in metadata.row_groups() {
        let Some(Statistics::Int32(values)) = group.column(at).statistics() else { return Ok(None) };
        match values.max_opt() {
            Some(value) => latest = latest.max(Some(*value)),
            None if values.null_count_opt() == u64::try_from(group.num_rows()).ok() => {}
            None => return Ok(None),
        }
    }
    Ok(Some(latest))
}

/// Looks at every row.
fn read(
    layout: &ItemLayout,
    opener: &FileOpener,
    place: &FilePlace,
    column: usize,
    at: Timestamp,
) -> Result<Option<i32>, LakeError> {
    let reader = opener.open(place)?;
    let footer = opener.footer(place, &reader)?;
    let mask = file_mask(layout, &footer, &[column, layout.received_at]);
    let mut latest = None;
    for batch in ParquetRecordBatchReaderBuilder::new_with_metadata(reader, footer).with_projection(mask).build()? {
        let batch = batch?;
        let name = layout.schema.field(column).name();
        let (Some(dates), Some(received)) = (batch.column_by_name(name), batch.column_by_name(RECEIVED_AT)) else {
            continue;
        };
        let received = cast(received, &DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None))?;
        let received = received.as_primitive::<TimestampMillisecondType>();
        let known = dates.as_primitive::<Date32Type>().iter().zip(received);
        // A row without a moment counts as received at the epoch.
        let known = known.filter(|(_, received)| received.unwrap_or_default() <= at.0).filter_map(|(date, _)| date);
        latest = latest.max(known.max());
    }
    Ok(latest)
}
