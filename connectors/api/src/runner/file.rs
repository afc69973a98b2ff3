//! One file of one item: read, map, submit, account.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use minqiao_core::{BatchId, Outcome, Receipt};
use sm3::{Digest, Sm3};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::{ConnectorRun, Stop};
use crate::checkpoint::{Checkpoint, FileState};
use crate::gateway::{RejectedRow, Rejection, Submission, check_receipt};
use crate::journal::Journal;
use crate::layout::Layout;
use crate::mapper::{Mapped, Mapper, Reject};
use crate::mapping::Mapping;
use crate::progress::ProgressEvent;
use crate::reason::PlacedReason;
use crate::report::{Counts, FileReport};
use crate::source::{FileRef, Position, Refusal, Source, SourceError};

/// Rejects of one request.
const REJECTS_MAX: usize = 2000;
/// Rough bytes of one request of rejects.
const REJECT_BYTES_MAX: usize = 4 << 20;

/// A piece on its way through the pool.
struct Slot {
    end: Position,
    source_bytes: u64,
    digest: u64,
    mapped: oneshot::Receiver<Mapped>,
}

/// A piece whose rows are mapped.
struct Named {
    id: BatchId,
    end: Position,
    source_bytes: u64,
    mapped: Mapped,
}

/// A piece that the hub has answered for.
struct Answered {
    end: Position,
    source_bytes: u64,
    mapped: Mapped,
    receipt: Option<Receipt>,
}

/// Account of one file: what is in the journal, and what the checkpoint will say.
#[derive(Debug)]
struct Ledger {
    item: String,
    file: String,
    journal: Journal,
    state: FileState,
}

impl Ledger {
    /// Makes journal and state durable, in that order.
    fn save(mut self, checkpoint: &Mutex<Checkpoint>) -> Result<Self, Stop> {
        let (bytes, open) = self.journal.sync().map_err(Stop::Journal)?;
        self.state.journal_bytes = bytes;
        self.state.open_run = open;
        let mut checkpoint = checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint.set(&self.item, &self.file, self.state.clone());
        checkpoint.save()?;
        drop(checkpoint);
        Ok(self)
    }

    /// Merges batch rows and rejects into row order and writes what became of each.
    fn account(&mut self, answered: Answered, mapping: &Mapping) -> Result<Counts, Stop> {
        let Answered { end, mapped, receipt, .. } = answered;
        let mut counts = Counts::default();
        let mut outcomes = receipt.map(|r| r.outcomes).unwrap_or_default().into_iter().peekable();
        let mut rejects = mapped.rejects.into_iter().peekable();
        let mut push = |row: u32, outcome: Outcome, reasons: Vec<PlacedReason>| {
            counts.count(outcome, 1, reasons.first().map(|r| r.code.as_str()));
            self.journal.push(row, outcome, reasons).map_err(Stop::Journal)
        };
        for (at, &row) in mapped.rows.iter().enumerate() {
            while let Some(reject) = rejects.next_if(|reject| reject.row < row) {
                push(reject.row, Outcome::Quarantined, reject.reasons)?;
            }
            match outcomes.next_if(|o| o.row as usize == at) {
                None => push(row, Outcome::Accepted, Vec::new())?,
                Some(known) => {
                    let placed = |reason| PlacedReason::from_hub(reason, row, mapping);
                    push(row, known.outcome, known.reasons.into_iter().map(placed).collect())?;
                }
            }
        }
        for reject in rejects {
            push(reject.row, Outcome::Quarantined, reject.reasons)?;
        }
        self.state.counts.add(&counts);
        self.state.position = end;
        Ok(counts)
    }

    fn report(&self, journal: PathBuf) -> FileReport {
        FileReport {
            file: self.file.clone(),
            sheet: self.state.sheet.clone(),
            counts: self.state.counts.clone(),
            refused: self.state.refused.clone(),
            done: self.state.done,
            journal: Some(journal),
        }
    }
}

/// Delivers one file; the report says how far it came even when it stops.
pub(super) async fn deliver(
    run: &ConnectorRun,
    checkpoint: &Arc<Mutex<Checkpoint>>,
    mapping: &Arc<Mapping>,
    file: FileRef,
) -> (FileReport, Option<Stop>) {
    let untouched = FileReport {
        file: file.name.clone(),
        sheet: String::new(),
        counts: Counts::default(),
        refused: None,
        done: false,
        journal: None,
    };
    let opened = {
        let (run, checkpoint, mapping, file) = (run.clone(), Arc::clone(checkpoint), Arc::clone(mapping), file.clone());
        spawn_blocking(move || open(&run, &checkpoint, &mapping, &file)).await
    };
    let (mut ledger, reading) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(stop)) => return (untouched, Some(stop)),
        Err(_) => return (untouched, Some(Stop::Worker("opening"))),
    };
    let journal =
        checkpoint.lock().unwrap_or_else(PoisonError::into_inner).journal_path(&mapping.item.code, &file.name);
    let mut stop = None;
    if let Some(Reading { source, mapper }) = reading {
        let flow = Flow { run, checkpoint, mapping, file: &file, sheet: ledger.state.sheet.clone() };
        stop = flow.pump(&mut ledger, source, mapper).await.err();
        match save(ledger, checkpoint, &mut stop).await {
            Some(kept) => ledger = kept,
            None => return (untouched, stop),
        }
    } else {
        run.progress.event(&ProgressEvent::FileDone {
            department: &run.department.code,
            item: &mapping.item.code,
            file: &file.name,
            rows: &ledger.state.counts,
            skipped_bytes: file.bytes,
        });
    }
    (ledger.report(journal), stop)
}

/// Saves a last time; an earlier failure outranks one of saving.
async fn save(ledger: Ledger, checkpoint: &Arc<Mutex<Checkpoint>>, stop: &mut Option<Stop>) -> Option<Ledger> {
    let checkpoint = Arc::clone(checkpoint);
    match spawn_blocking(move || ledger.save(&checkpoint)).await {
        Ok(Ok(ledger)) => Some(ledger),
        Ok(Err(failed)) => {
            stop.get_or_insert(failed);
            None
        }
        Err(_) => {
            stop.get_or_insert(Stop::Worker("saving"));
            None
        }
    }
}

/// What is left to read of a file.
struct Reading {
    source: Box<dyn Source>,
    mapper: Mapper,
}

/// Opens file, journal and head. No reading is left when an earlier run finished the file, or when it is refused.
fn open(
    run: &ConnectorRun,
    checkpoint: &Mutex<Checkpoint>,
    mapping: &Arc<Mapping>,
    file: &FileRef,
) -> Result<(Ledger, Option<Reading>), Stop> {
    let item = &mapping.item.code;
    let content_id = run.sources.content_id(file)?;
    let (known, journal) = {
        let checkpoint = checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        (checkpoint.get(item, &file.name).cloned(), checkpoint.journal_path(item, &file.name))
    };
    let unchanged = known.filter(|state| {
        state.content_id == content_id
            && state.bytes == file.bytes
            && state.modified_millis == file.modified_millis
            && state.mapping == mapping.digest
            && state.piece_rows == run.options.limits.piece_rows
    });
    let fresh = || FileState {
        bytes: file.bytes,
        modified_millis: file.modified_millis,
        content_id: content_id.clone(),
        mapping: mapping.digest.clone(),
        piece_rows: run.options.limits.piece_rows,
        sheet: String::new(),
        position: Position::default(),
        journal_bytes: 0,
        open_run: None,
        counts: Counts::default(),
        done: false,
        refused: None,
    };
    let mut state = unchanged.unwrap_or_else(fresh);
    let journal = match Journal::open(&journal, state.journal_bytes, state.open_run.clone()) {
        // Somebody has taken the journal away: reading again from the start restores it, the hub answers as before.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            state = fresh();
            Journal::open(&journal, 0, None)
        }
        other => other,
    };
    let journal = journal.map_err(Stop::Journal)?;
    let ledger = |state| Ledger { item: item.clone(), file: file.name.clone(), journal, state };
    if state.done {
        return Ok((ledger(state), None));
    }
    let from = (state.position != Position::default()).then_some(state.position);
    let opened = run.sources.open(file, &mapping.source, &run.options.limits, from).map(|mut source| {
        state.sheet.clone_from(&source.head().sheet);
        let layout = Layout::bind(mapping, source.head(), &file.name)?;
        let mapper = Mapper::new(Arc::clone(mapping), layout, &run.options.limits);
        source.set_width(mapper.width());
        Ok(Reading { source, mapper })
    });
    match opened {
        Ok(Ok(reading)) => Ok((ledger(state), Some(reading))),
        Ok(Err(refusal)) | Err(SourceError::Refused { refusal, .. }) => {
            state.done = true;
            state.refused = Some(refusal);
            let ledger = ledger(state).save(checkpoint)?;
            Ok((ledger, None))
        }
        Err(other) => Err(other.into()),
    }
}

/// One file under way.
struct Flow<'a> {
    run: &'a ConnectorRun,
    checkpoint: &'a Arc<Mutex<Checkpoint>>,
    mapping: &'a Arc<Mapping>,
    file: &'a FileRef,
    sheet: String,
}

impl Flow<'_> {
    /// Pumps all pieces through; the ledger is valid whenever this returns.
    async fn pump(&self, ledger: &mut Ledger, source: Box<dyn Source>, mapper: Mapper) -> Result<(), Stop> {
        let skipped = ledger.state.position.offset;
        let (slots, queue) = mpsc::channel(self.run.options.pieces_ahead.max(1));
        let reader = spawn_blocking(move || read(source, mapper, &slots));
        let prefix = self.id_prefix(ledger);
        let queue = futures::stream::unfold(queue, |mut queue| async move { Some((queue.recv().await?, queue)) });
        let window = self.run.gateway.window().max(1);
        let mut before = None;
        let batches = queue.then(|slot| self.named(&prefix, slot)).map(|batch| {
            let batch: Named = batch?;
            let after = before.clone();
            if batch.mapped.batch.num_rows() > 0 {
                before = Some(batch.id.clone());
            }
            Ok::<_, Stop>((batch, after))
        });
        let answers = batches.map(|batch| async {
            let (batch, after) = batch?;
            self.answer(batch, after).await
        });
        let mut answers = Box::pin(answers.buffered(window));
        let mut saved_at = self.run.clock.monotonic();
        loop {
            let answered = tokio::select! {
                biased;
                () = self.run.cancel.cancelled() => return Err(Stop::Cancelled),
                answered = answers.next() => answered,
            };
            let Some(answered) = answered else { break };
            let answered = match answered {
                Err(Stop::Source(SourceError::Refused { refusal, .. })) => {
                    return self.end(ledger, Some(refusal), skipped);
                }
                other => other?,
            };
            let bytes = answered.source_bytes;
            let counts = ledger.account(answered, self.mapping)?;
            self.run.progress.event(&ProgressEvent::Advanced {
                department: &self.run.department.code,
                item: &self.mapping.item.code,
                file: &self.file.name,
                bytes,
                rows: counts,
            });
            let now = self.run.clock.monotonic();
            if now.saturating_sub(saved_at) >= self.run.options.checkpoint_every {
                self.checkpoint_now(ledger).await?;
                saved_at = now.max(saved_at + Duration::from_millis(1));
            }
        }
        reader.await.map_err(|_| Stop::Worker("reading"))?;
        self.end(ledger, None, skipped)
    }

    /// The file has been read to its end, or to where it is refused.
    fn end(&self, ledger: &mut Ledger, refused: Option<Refusal>, skipped_bytes: u64) -> Result<(), Stop> {
        ledger.journal.finish().map_err(Stop::Journal)?;
        ledger.state.done = true;
        ledger.state.refused = refused;
        self.run.progress.event(&ProgressEvent::FileDone {
            department: &self.run.department.code,
            item: &self.mapping.item.code,
            file: &self.file.name,
            rows: &ledger.state.counts,
            skipped_bytes,
        });
        Ok(())
    }

    async fn checkpoint_now(&self, ledger: &mut Ledger) -> Result<(), Stop> {
        // Flushing and fsync block for milliseconds at most once per interval; the other items' tasks may run elsewhere.
        let (bytes, open) = ledger.journal.sync().map_err(Stop::Journal)?;
        ledger.state.journal_bytes = bytes;
        ledger.state.open_run = open;
        let (item, file, state) = (ledger.item.clone(), ledger.file.clone(), ledger.state.clone());
        let checkpoint = Arc::clone(self.checkpoint);
        let saved = spawn_blocking(move || {
            let mut checkpoint = checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
            checkpoint.set(&item, &file, state);
            checkpoint.save()
        });
        Ok(saved.await.map_err(|_| Stop::Worker("saving"))??)
    }

    /// What all batch ids of this file share: who, what, which content, cut how (`CON-2`).
    fn id_prefix(&self, ledger: &Ledger) -> String {
        let state = &ledger.state;
        let mut hash = Sm3::new();
        let parts = [self.run.provider.as_str(), &self.file.name, &state.sheet, &state.content_id, &state.mapping];
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0x1f]);
        }
        hash.update((state.piece_rows as u64).to_le_bytes());
        format!("{}.{}", self.mapping.item.code, hex::encode(&hash.finalize()[..16]))
    }

    /// Waits for the mapped rows of a slot and names them.
    async fn named(&self, prefix: &str, slot: Result<Slot, SourceError>) -> Result<Named, Stop> {
        let Slot { end, source_bytes, digest, mapped } = slot?;
        let mapped = mapped.await.map_err(|_| Stop::Worker("mapping"))?;
        let id = batch_name(format!("{prefix}.{}.{digest:016x}", end.sequence))?;
        Ok(Named { id, end, source_bytes, mapped })
    }

    /// Hands the rows to the hub, behind those of `after`.
    async fn answer(&self, batch: Named, after: Option<BatchId>) -> Result<Answered, Stop> {
        let Named { id, end, source_bytes, mapped } = batch;
        let item: Arc<str> = self.mapping.item.code.as_str().into();
        let gateway = &self.run.gateway;
        let batch = async {
            let rows = mapped.batch.num_rows();
            if rows == 0 {
                return Ok(None);
            }
            let (item, batch) = (Arc::clone(&item), mapped.batch.clone());
            let submission = Submission { item, batch_id: id.clone(), after, batch };
            let receipt = gateway.submit(submission).await?;
            check_receipt(&receipt, &self.mapping.item.code, &id, rows)?;
            Ok::<_, Stop>(Some(receipt))
        };
        let rejects = async {
            for (at, rows) in chunks(&self.file.name, &self.sheet, &mapped.rejects).into_iter().enumerate() {
                let batch_id = batch_name(format!("{}.r{at}", id.as_str()))?;
                let count = rows.len();
                let rejection = Rejection { item: Arc::clone(&item), batch_id: batch_id.clone(), rows };
                let receipt = gateway.reject(rejection).await?;
                check_receipt(&receipt, &item, &batch_id, count)?;
            }
            Ok::<_, Stop>(())
        };
        let (receipt, ()) = futures::try_join!(batch, rejects)?;
        Ok(Answered { end, source_bytes, mapped, receipt })
    }
}

fn batch_name(name: String) -> Result<BatchId, Stop> {
    BatchId::new(name).map_err(|_| Stop::Worker("naming a batch"))
}

/// Reads pieces in order and hands each to the pool; the slot keeps its place. Ends when the queue is gone.
fn read(mut source: Box<dyn Source>, mapper: Mapper, slots: &mpsc::Sender<Result<Slot, SourceError>>) {
    let mapper = Arc::new(mapper);
    loop {
        let piece = match source.next_piece() {
            Ok(Some(piece)) => piece,
            Ok(None) => return,
            Err(error) => {
                // The last word of this reader; nobody listens any more if the queue is gone.
                drop(slots.blocking_send(Err(error)));
                return;
            }
        };
        let (done, mapped) = oneshot::channel();
        let slot = Slot { end: piece.end(), source_bytes: piece.source_bytes(), digest: piece.digest(), mapped };
        if slots.blocking_send(Ok(slot)).is_err() {
            return;
        }
        let mapper = Arc::clone(&mapper);
        rayon::spawn(move || {
            // A defect in mapping must cost one item, not the process: the receiver sees a closed channel.
            let mapped = catch_unwind(AssertUnwindSafe(|| mapper.map(&piece.rows())));
            if let Ok(mapped) = mapped {
                drop(done.send(mapped));
            }
        });
    }
}

/// Rejects as requests of bounded size.
fn chunks(file: &str, sheet: &str, rejects: &[Reject]) -> Vec<Vec<RejectedRow>> {
    let mut chunks: Vec<Vec<RejectedRow>> = Vec::new();
    let mut bytes = 0;
    for reject in rejects {
        let size: usize = 512 + reject.cells.iter().map(|(name, cell)| name.len() + cell.len() + 8).sum::<usize>();
        let full = |chunk: &Vec<RejectedRow>| chunk.len() >= REJECTS_MAX || bytes + size > REJECT_BYTES_MAX;
        if chunks.last().is_none_or(full) {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(RejectedRow {
                row: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
                locator: format!("{file}#{sheet}!{}", reject.row),
                source: reject.cells.iter().map(|(name, cell)| (name.clone(), cell.as_str().into())).collect(),
                reasons: reject.reasons.iter().map(PlacedReason::to_row_reason).collect(),
            });
        }
    }
    chunks
}
