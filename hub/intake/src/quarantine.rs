//! Rejected rows: sealed on the way in, listed, shown and replayed on the way out.
//!
//! The rows of one batch are one Arrow IPC stream under one seal (kind `quarantine`, the blob's id): the submission's
//! columns, and for text formats and rejects a column `_raw` with the row as it came (a JSON object). What a listing
//! shows (item, batch, row number, reasons) is in clear in the store and holds no values.
//!
//! **Replay** judges waiting rows again, with corrections of single cells if given, and sends those that pass through the
//! usual path as a batch of their own, named after their ids: a replay that is interrupted and repeated is the same batch.
//! Rows that still break a rule keep waiting. Rejects never had canonical cells: they are replayed with corrections that
//! name every needed field, or better sent again by their connector.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::util::display::array_value_to_string;
use minqiao_core::{BatchId, ProviderCode};
use minqiao_store::quarantine::{BLOB_KIND, new_blob_id};
use minqiao_store::{BatchKind, NewQuarantined, QuarantineCount, QuarantineFilter, QuarantineStatus, Quarantined};
use minqiao_vault::{Sealer, Unsealer, sm3};
use serde_json::{Map, Value};

use crate::IntakeError;
use crate::decode::{CellFault, Raw, cells_to_batch};
use crate::intake::{Intake, Rows};
use crate::judge::{Rejected, judge};
use crate::jurisdiction::own_place;
use crate::publish::to_ipc;

/// Column of the row as it came.
const RAW: &str = "_raw";
/// Most rows of one replay.
const REPLAY_ROWS_MAX: usize = 10_000;

/// New values of some cells of a quarantined row: canonical name → text.
pub type Correction = Map<String, Value>;

/// A quarantined row in clear. Personal data: for the department's own staff, under audit.
#[derive(Clone)]
pub struct ShownRow {
    /// What is known of it without opening it.
    pub entry: Quarantined,
    /// Its cells: canonical names, or for rejects the connector's object with the source's columns.
    pub cells: Map<String, Value>,
}

impl std::fmt::Debug for ShownRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShownRow").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplaySummary {
    /// Accepted now.
    pub accepted: u64,
    /// Known already: the provider had sent the corrected row itself.
    pub duplicate: u64,
    /// Still break a rule; they keep waiting.
    pub still_rejected: u64,
    /// Not waiting any more, or rejects without a correction.
    pub skipped: u64,
}

/// Seals the rejected rows of a batch.
pub(crate) fn seal_rows(
    sealer: &Sealer,
    batch: &RecordBatch,
    raw: &Raw,
    rejected: &Rejected,
) -> Result<NewQuarantined, IntakeError> {
    if batch.num_columns() == 0 {
        // Rows of no cells at all have no columns to be taken from.
        let texts = rejected.keys().map(|row| raw.row(*row).unwrap_or_else(|| "{}".to_owned())).collect();
        return seal_rejects(sealer, texts);
    }
    let rows: Vec<u32> = rejected.keys().map(|row| u32::try_from(*row).unwrap_or(u32::MAX)).collect();
    let mut taken = take_record_batch(batch, &UInt32Array::from(rows)).map_err(failed)?;
    if !matches!(raw, Raw::Columns) {
        let texts: StringArray = rejected.keys().map(|row| raw.row(*row)).collect();
        taken = with_raw(&taken, texts)?;
    }
    seal(sealer, &taken)
}

/// Seals rejects, which have no canonical cells.
pub(crate) fn seal_rejects(sealer: &Sealer, lines: Vec<String>) -> Result<NewQuarantined, IntakeError> {
    let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
    seal(sealer, &with_raw(&empty, StringArray::from(lines))?)
}

fn seal(sealer: &Sealer, rows: &RecordBatch) -> Result<NewQuarantined, IntakeError> {
    let blob_id = new_blob_id();
    let sealed = sealer.seal_blob(BLOB_KIND, &blob_id, &to_ipc(rows)?)?;
    Ok(NewQuarantined { blob_id, sealed })
}

fn with_raw(batch: &RecordBatch, texts: StringArray) -> Result<RecordBatch, IntakeError> {
    let mut fields: Vec<Arc<Field>> = batch.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(RAW, DataType::Utf8, true)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(texts) as ArrayRef);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(failed)
}

fn open(unsealer: &Unsealer, blob_id: &str, sealed: &[u8]) -> Result<RecordBatch, IntakeError> {
    let clear = unsealer.open_blob(BLOB_KIND, blob_id, sealed)?;
    let mut reader = StreamReader::try_new(&*clear, None).map_err(failed)?;
    let damaged = || IntakeError::NotReplayable { what: "its sealed rows are damaged" };
    reader.next().ok_or_else(damaged)?.map_err(failed)
}

/// A row's cells as text: what it came as, or its columns.
fn cells(rows: &RecordBatch, row: usize) -> Result<Map<String, Value>, IntakeError> {
    let raw = rows.column_by_name(RAW).and_then(|column| column.as_string_opt::<i32>());
    if let Some(text) = raw.filter(|raw| raw.is_valid(row)).map(|raw| raw.value(row)) {
        return serde_json::from_str(text)
            .map_err(|_| IntakeError::NotReplayable { what: "its sealed rows are damaged" });
    }
    let mut cells = Map::new();
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        if column.is_valid(row) && field.name() != RAW {
            cells.insert(field.name().clone(), array_value_to_string(column, row).map_err(failed)?.into());
        }
    }
    Ok(cells)
}

impl Intake {
    /// Counts by item, provider, reason and status.
    pub async fn quarantine_counts(&self) -> Result<Vec<QuarantineCount>, IntakeError> {
        Ok(self.core().store.quarantine_counts().await?)
    }

    /// Rows that fit, without their cells.
    pub async fn quarantine_list(
        &self,
        filter: &QuarantineFilter,
        limit: u32,
    ) -> Result<Vec<Quarantined>, IntakeError> {
        Ok(self.core().store.quarantine_list(filter, limit).await?)
    }

    /// One row with its cells in clear.
    pub async fn quarantine_show(&self, id: &str) -> Result<ShownRow, IntakeError> {
        let core = self.core();
        let entry = core.store.quarantined(id).await?;
        let rows = open(&core.unsealer, &entry.blob_id, &core.store.quarantine_blob(&entry.blob_id).await?)?;
        let cells = cells(&rows, entry.blob_row as usize)?;
        Ok(ShownRow { entry, cells })
    }

    /// Gives rows up; answers how many were waiting.
    pub async fn quarantine_drop(&self, ids: &[String]) -> Result<u64, IntakeError> {
        let core = self.core();
        Ok(core.store.quarantine_resolve(ids, QuarantineStatus::Dropped, core.clock.now()).await?)
    }

    /// Judges rows again and sends those that pass; see the module. At most 10,000 ids.
    pub async fn quarantine_replay(
        &self,
        ids: &[String],
        corrections: &HashMap<String, Correction>,
    ) -> Result<ReplaySummary, IntakeError> {
        if ids.len() > REPLAY_ROWS_MAX {
            return Err(IntakeError::TooLarge {
                what: "the number of rows to replay",
                actual: ids.len(),
                max: REPLAY_ROWS_MAX,
                line: None,
                column: None,
            });
        }
        let mut summary = ReplaySummary::default();
        // Rows of one provider and item travel together.
        let mut groups: BTreeMap<(String, String), Vec<Quarantined>> = BTreeMap::new();
        for id in ids {
            let entry = self.core().store.quarantined(id).await?;
            let correctable = entry.kind == BatchKind::Batch || corrections.contains_key(&entry.id);
            if entry.status == QuarantineStatus::Waiting && correctable {
                groups.entry((entry.provider.clone(), entry.item.clone())).or_default().push(entry);
            } else {
                summary.skipped += 1;
            }
        }
        for ((provider, item), entries) in groups {
            self.replay_group(&provider, &item, entries, corrections, &mut summary).await?;
        }
        Ok(summary)
    }

    async fn replay_group(
        &self,
        provider: &str,
        item: &str,
        entries: Vec<Quarantined>,
        corrections: &HashMap<String, Correction>,
        summary: &mut ReplaySummary,
    ) -> Result<(), IntakeError> {
        let core = self.core();
        let provider = ProviderCode::new(provider)
            .map_err(|_| IntakeError::NotReplayable { what: "its provider code is damaged" })?;
        let item = core.admission.item(&provider, item)?;
        let mut blobs: HashMap<String, RecordBatch> = HashMap::new();
        let mut rows = Vec::with_capacity(entries.len());
        for entry in &entries {
            let blob = match blobs.get(&entry.blob_id) {
                Some(blob) => blob.clone(),
                None => {
                    let sealed = core.store.quarantine_blob(&entry.blob_id).await?;
                    let blob = open(&core.unsealer, &entry.blob_id, &sealed)?;
                    blobs.insert(entry.blob_id.clone(), blob.clone());
                    blob
                }
            };
            let mut row = match entry.kind {
                BatchKind::Batch => cells(&blob, entry.blob_row as usize)?,
                BatchKind::Rejects => Map::new(),
            };
            for (name, value) in corrections.get(&entry.id).into_iter().flatten() {
                row.insert(name.clone(), value.clone());
            }
            rows.push(row);
        }
        let today = core.clock.now().date();
        let (batch, faults) = cells_to_batch(&rows, item, &core.options.limits, today)?;
        let checker = core.checker(item)?;
        let rejected = judge(item, checker, &batch, &faults, own_place(&provider), today)?;
        let passing: Vec<&Quarantined> =
            entries.iter().enumerate().filter(|(row, _)| !rejected.contains_key(row)).map(|(_, entry)| entry).collect();
        summary.still_rejected += rejected.len() as u64;
        if passing.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = passing.iter().map(|entry| entry.id.clone()).collect();
        let named = sm3(ids.join("\n").as_bytes());
        let batch_id = BatchId::new(format!("replay.{}", hex::encode(&named[..16])))
            .map_err(|_| IntakeError::NotReplayable { what: "its ids make no batch id" })?;
        let keep: Vec<u32> = (0..batch.num_rows())
            .filter(|row| !rejected.contains_key(row))
            .map(|row| u32::try_from(row).unwrap_or(u32::MAX))
            .collect();
        let batch = take_record_batch(&batch, &UInt32Array::from(keep)).map_err(failed)?;
        let rows = Rows::Clear { batch, faults: Vec::<CellFault>::new(), digest: hex::encode(named) };
        let receipt = self.process(provider, item, batch_id, None, rows).await?;
        core.store.quarantine_resolve(&ids, QuarantineStatus::Replayed, core.clock.now()).await?;
        summary.accepted += u64::from(receipt.accepted);
        summary.duplicate += u64::from(receipt.duplicate);
        Ok(())
    }
}

fn failed(error: arrow::error::ArrowError) -> IntakeError {
    IntakeError::Vault(error.into())
}
