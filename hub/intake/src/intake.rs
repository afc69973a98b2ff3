//! The path of a batch.
//!
//! ```text
//! 1 admission            who, what, how fast; nothing is kept
//! 2 receipt before?      same batch id, same body: the same receipt, done
//!   flow                 if too much of the item waits for the lake: come again later ([`crate::flow`])
//! 3 decode judge seal    on one of two workers; clear text ends here
//!   turn                 if the sender names the batch before this one: after that one ([`crate::turn`])
//! 4 item's lane          one batch of an item at a time from here to 7; among several hubs, too ([`crate::claims`])
//! 5 known versions       catch up with the bus, tell new rows from duplicates
//! 6 bus                  append what is new; answers when durable
//! 7 known versions       remember it
//! 8 store                receipt and quarantined rows in one transaction
//! ```
//!
//! **Why the hub may die at any point** (`kill -9`, loss of power). Before 6 nothing was promised and nothing stored.
//! Between 6 and 8 rows are on the bus without a receipt: the sender, who got no answer, sends the batch again; step 5
//! reads from the bus what step 7 had not remembered and finds each of its rows under this very batch, counts it as
//! accepted and does not append it again; rows that had not made it are appended now. The receipt that results is the one
//! that the first attempt would have given. During 6, every message is on the bus whole or not at all, so the same holds
//! message by message. After 8 the receipt answers every repetition (step 2).
//!
//! **Why a caller may go away.** Steps 2 to 8 run as a task of their own: a connection that breaks does not stop a batch
//! half-way, and its repetition waits for it (one batch id is worked on once at a time) and gets its receipt.
//!
//! **Order.** A provider that awaits a receipt before it sends the next batch of an item, or that names in each batch the
//! one before it, has its batches on the bus in that order. Different items run in parallel; two workers bound the CPU and the clear text in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use minqiao_bus::Bus;
use minqiao_bus::api::topic_of;
use minqiao_core::{BatchEnvelope, BatchId, Clock, KindOf, Outcome, ProviderCode, Receipt, RowOutcome};
use minqiao_schemas::check::Checker;
use minqiao_schemas::{Catalogue, Item};
use minqiao_store::{BatchKind, Finished, Membership, NewQuarantined, NewReceipt, Store, StoredReceipt};
use minqiao_vault::{Sealer, Signer, Unsealer, Vault, sm3};
use prometheus::Registry;
use tokio::sync::{Mutex, Semaphore};

use crate::IntakeError;
use crate::admission::Admission;
use crate::claims::{Lanes, spawn_giver};
use crate::clear_text::holds_citizen_number;
use crate::decode::{CellFault, Decoded, Format, Raw, decode, rejects};
use crate::flow::Flow;
use crate::judge::{Rejected, judge};
use crate::jurisdiction::own_place;
use crate::known::{BatchTag, KnownVersions};
use crate::lane::{Decision, Lane};
use crate::metrics::Metrics;
use crate::options::IntakeOptions;
use crate::quarantine::{seal_rejects, seal_rows};
use crate::turn::Turns;

/// Locks that keep one batch id from being worked on twice at once; ids that share one only wait for each other.
const BATCH_LOCKS: usize = 256;
/// Topics that are made at once: a cluster takes its time for each.
const TOPICS_AT_ONCE: usize = 8;
/// When to come back if too many bytes are waiting.
const BUSY_RETRY: Duration = Duration::from_millis(250);

/// What an intake works with.
#[derive(Debug)]
pub struct IntakeParts {
    /// Seals, signs and, for replays, opens the quarantine.
    pub vault: Vault,
    /// Where accepted rows go.
    pub bus: Arc<dyn Bus>,
    /// Where receipts and the quarantine are.
    pub store: Store,
    /// Which versions exist.
    pub known: KnownVersions,
    /// Other hubs that take batches of this city, if there may be any.
    pub membership: Option<Arc<Membership>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Takes batches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    core: Arc<Core>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) options: IntakeOptions,
    pub(crate) admission: Admission,
    checkers: HashMap<&'static str, Checker>,
    sealer: Sealer,
    pub(crate) unsealer: Unsealer,
    signer: Signer,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: Store,
    pub(crate) known: KnownVersions,
    pub(crate) membership: Option<Arc<Membership>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    workers: Semaphore,
    pending: Semaphore,
    batch_locks: Vec<Mutex<()>>,
    pub(crate) lanes: Lanes,
    turns: Turns,
    pub(crate) flow: Flow,
}

/// What is to be processed.
pub(crate) enum Rows {
    /// A body of canonical rows.
    Body { body: Bytes, format: Format },
    /// A body of rows without canonical form.
    Rejects { body: Bytes },
    /// Rows of the quarantine, judged already.
    Clear { batch: RecordBatch, faults: Vec<CellFault>, digest: String },
}

impl Rows {
    fn kind(&self) -> BatchKind {
        match self {
            Self::Rejects { .. } => BatchKind::Rejects,
            Self::Body { .. } | Self::Clear { .. } => BatchKind::Batch,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Body { body, .. } | Self::Rejects { body } => body.len(),
            Self::Clear { batch, .. } => batch.get_array_memory_size(),
        }
    }

    fn digest(&self) -> String {
        match self {
            Self::Body { body, .. } | Self::Rejects { body } => hex::encode(sm3(body)),
            Self::Clear { digest, .. } => digest.clone(),
        }
    }
}

/// A batch after step 3: no clear text any more.
pub(crate) struct Prepared {
    digest: String,
    rows: usize,
    /// Good rows, sealed; `None` when there are none.
    pub(crate) sealed: Option<RecordBatch>,
    /// For each sealed row, its row in the batch as sent.
    pub(crate) origin: Vec<u32>,
    rejected: Rejected,
    quarantined: NewQuarantined,
}

impl Intake {
    /// Makes every item's topic and an intake over them, and registers its metrics.
    pub async fn open(parts: IntakeParts, options: IntakeOptions, registry: &Registry) -> Result<Self, IntakeError> {
        let IntakeParts { vault, bus, store, known, membership, clock } = parts;
        let metrics = Metrics::register(registry)
            .map_err(|error| IntakeError::Known { what: "its metrics", source: Some(Box::new(error)) })?;
        let items = Catalogue::embedded().items();
        let topics = items.iter().map(|item| {
            let bus = &bus;
            async move { bus.ensure_topic(&topic_of(&item.code), options.partitions).await }
        });
        let topics: Vec<_> = stream::iter(topics).buffered(TOPICS_AT_ONCE).try_collect().await?;
        let lanes = items.iter().zip(topics).map(|(item, topic)| {
            (item.code.as_str(), Arc::new(Mutex::new(Lane { topic, known: None, claim: None, settled: false })))
        });
        let lanes = lanes.collect();
        let core = Core {
            admission: Admission::new(&options, Arc::clone(&clock)),
            checkers: items.iter().map(|item| (item.code.as_str(), Checker::for_item(item))).collect(),
            sealer: vault.sealer(),
            unsealer: vault.unsealer(),
            signer: vault.signer(),
            bus,
            store,
            known,
            membership,
            clock,
            metrics,
            workers: Semaphore::new(options.workers.max(1)),
            pending: Semaphore::new((options.pending_bytes_max >> 10).max(1)),
            batch_locks: (0..BATCH_LOCKS).map(|_| Mutex::new(())).collect(),
            lanes,
            turns: Turns::default(),
            flow: Flow::new(items),
            options,
        };
        let core = Arc::new(core);
        spawn_giver(&core);
        Ok(Self { core })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Takes a batch of canonical rows. Answers once every accepted row is durable on the bus and every other one
    /// accounted for; the same batch id with the same body again answers the same receipt. `after` names the batch of
    /// the same provider and item that must be on the bus before this one.
    pub async fn submit(
        &self,
        provider: &ProviderCode,
        item: &str,
        batch_id: &BatchId,
        after: Option<&BatchId>,
        body: Bytes,
        format: Format,
    ) -> Result<Receipt, IntakeError> {
        self.take(provider, item, batch_id, after, Rows::Body { body, format }).await
    }

    /// Takes rows without canonical form (NDJSON, see the module `decode`): all of them go to quarantine.
    pub async fn reject(
        &self,
        provider: &ProviderCode,
        item: &str,
        batch_id: &BatchId,
        body: Bytes,
    ) -> Result<Receipt, IntakeError> {
        self.take(provider, item, batch_id, None, Rows::Rejects { body }).await
    }

    /// Receipts under a batch id: of one provider, or of all.
    pub async fn receipts(
        &self,
        batch_id: &BatchId,
        provider: Option<&ProviderCode>,
    ) -> Result<Vec<StoredReceipt>, IntakeError> {
        Ok(self.core.store.receipts(batch_id.as_str(), provider.map(ProviderCode::as_str)).await?)
    }

    /// Messages that this hub appended since it started, by item; items without any are left out.
    pub fn appended(&self) -> BTreeMap<&'static str, u64> {
        self.core.flow.appended()
    }

    /// Sends new batches of these items away until the next call, and of no others ([`IntakeError::LakeBehind`]).
    pub fn hold(&self, items: &BTreeSet<&'static str>) {
        self.core.flow.hold(items);
    }

    /// Fails when the index of versions takes nothing more until it is opened again.
    pub async fn check(&self) -> Result<(), IntakeError> {
        let core = Arc::clone(&self.core);
        tokio::task::spawn_blocking(move || core.known.check()).await.map_err(|_| IntakeError::Worker)?
    }

    /// Writes out what is only in memory; a later start then has nothing to catch up with. Not needed for safety.
    pub async fn close(&self) -> Result<(), IntakeError> {
        self.core.give_all_back().await;
        for lane in self.core.lanes.values() {
            let mut lane = lane.lock().await;
            if let Some(known) = &mut lane.known {
                self.core.known.flush(known)?;
            }
        }
        self.core.known.sync()
    }

    async fn take(
        &self,
        provider: &ProviderCode,
        item: &str,
        batch_id: &BatchId,
        after: Option<&BatchId>,
        rows: Rows,
    ) -> Result<Receipt, IntakeError> {
        let taken = match self.core.admit(provider, item, batch_id, after, &rows) {
            Ok(item) => self.process(provider.clone(), item, batch_id.clone(), after.cloned(), rows).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &taken {
            self.core.metrics.batches.with_label_values(&[error.code()]).inc();
        }
        taken
    }

    /// Steps 2 to 8, as a task that ends whatever becomes of the caller.
    pub(crate) async fn process(
        &self,
        provider: ProviderCode,
        item: &'static Item,
        batch_id: BatchId,
        after: Option<BatchId>,
        rows: Rows,
    ) -> Result<Receipt, IntakeError> {
        let core = Arc::clone(&self.core);
        let task = tokio::spawn(async move { core.run(provider, item, batch_id, after, rows).await });
        task.await.map_err(|_| IntakeError::Worker)?
    }
}

impl Core {
    fn admit(
        &self,
        provider: &ProviderCode,
        item: &str,
        batch_id: &BatchId,
        after: Option<&BatchId>,
        rows: &Rows,
    ) -> Result<&'static Item, IntakeError> {
        let item = self.admission.item(provider, item)?;
        // Batch ids are stored, repeated and logged as they are.
        for (header, id) in [("Idempotency-Key", Some(batch_id)), ("Minqiao-After", after)] {
            if id.is_some_and(|id| holds_citizen_number(id.as_str())) {
                return Err(IntakeError::IdentityInBatchId { header });
            }
        }
        self.admission.request(provider)?;
        let (actual, max) = (rows.bytes(), self.options.limits.body_bytes_max);
        if actual > max {
            return Err(IntakeError::TooLarge {
                what: "the body's length in bytes",
                actual,
                max,
                line: None,
                column: None,
            });
        }
        self.metrics.bytes.inc_by(actual as u64);
        Ok(item)
    }

    pub(crate) fn checker(&self, item: &Item) -> Result<&Checker, IntakeError> {
        let unknown = || IntakeError::UnknownItem { item: item.code.clone() };
        self.checkers.get(item.code.as_str()).ok_or_else(unknown)
    }

    async fn run(
        self: Arc<Self>,
        provider: ProviderCode,
        item: &'static Item,
        batch_id: BatchId,
        after: Option<BatchId>,
        rows: Rows,
    ) -> Result<Receipt, IntakeError> {
        let begun = self.clock.monotonic();
        let kind = rows.kind();
        let permits = u32::try_from(rows.bytes() >> 10).unwrap_or(u32::MAX).max(1);
        let busy = |_| IntakeError::RateLimited { retry_after: BUSY_RETRY };
        let _pending = self.pending.try_acquire_many(permits).map_err(busy)?;
        if let Some(before) = self.store.receipt(provider.as_str(), kind, batch_id.as_str()).await? {
            return self.repeated(item, &batch_id, rows, before.receipt).await;
        }
        self.flow.check(item)?;
        let received_at = self.clock.now();
        let envelope = BatchEnvelope { provider, batch_id, received_at };
        let prepared = self.prepare(item, rows, &envelope).await?;
        self.turns.after(&self.store, &envelope.provider, after.as_ref()).await?;

        let tag = BatchTag::of(envelope.provider.as_str(), envelope.batch_id.as_str());
        let _batch = self.batch_locks[tag.lock(BATCH_LOCKS)].lock().await;
        // Another attempt of this batch may have come to its end meanwhile.
        let before = self.store.receipt(envelope.provider.as_str(), kind, envelope.batch_id.as_str()).await?;
        if let Some(before) = before.map(|stored| stored.receipt) {
            return self.same(item, &envelope.batch_id, &prepared.digest, before);
        }
        self.admission.rows(&envelope.provider, prepared.rows)?;
        let (prepared, decision) = self.publish(item, prepared, &envelope).await?;
        if kind == BatchKind::Batch {
            self.turns.pass(tag);
        }
        let (receipt, quarantined) = self.receipt(item, &envelope, prepared, decision)?;
        let new = NewReceipt { kind, receipt: receipt.clone(), received_at };
        match self.store.finish_batch(new, &quarantined).await? {
            Finished::New => {
                self.count(item, &receipt);
                let seconds = self.clock.monotonic().saturating_sub(begun).as_secs_f64();
                self.metrics.batch_seconds.observe(seconds);
                Ok(receipt)
            }
            Finished::Before(before) => Ok(*before),
        }
    }

    /// Step 2: the same body has the same receipt.
    async fn repeated(
        self: &Arc<Self>,
        item: &Item,
        batch_id: &BatchId,
        rows: Rows,
        before: Receipt,
    ) -> Result<Receipt, IntakeError> {
        let digest = self.work(move || Ok(rows.digest())).await?;
        self.same(item, batch_id, &digest, before)
    }

    fn same(&self, item: &Item, batch_id: &BatchId, digest: &str, before: Receipt) -> Result<Receipt, IntakeError> {
        if digest == before.content_digest && before.item == item.code {
            self.metrics.batches.with_label_values(&["repeated"]).inc();
            Ok(before)
        } else {
            Err(IntakeError::BatchConflict { batch_id: batch_id.to_string() })
        }
    }

    /// Step 3, on a worker.
    async fn prepare(
        self: &Arc<Self>,
        item: &'static Item,
        rows: Rows,
        envelope: &BatchEnvelope,
    ) -> Result<Prepared, IntakeError> {
        let (core, envelope) = (Arc::clone(self), envelope.clone());
        self.work(move || core.prepare_now(item, rows, &envelope)).await
    }

    fn prepare_now(&self, item: &Item, rows: Rows, envelope: &BatchEnvelope) -> Result<Prepared, IntakeError> {
        let digest = rows.digest();
        let today = envelope.received_at.date();
        let decoded = match rows {
            Rows::Body { body, format } => decode(format, &body, item, &self.options.limits, today)?,
            Rows::Clear { batch, faults, .. } => Decoded { batch, faults, raw: Raw::Columns },
            Rows::Rejects { body } => return self.prepare_rejects(item, digest, &body),
        };
        let Decoded { batch, faults, raw } = decoded;
        let own_place = own_place(&envelope.provider);
        let rejected = judge(item, self.checker(item)?, &batch, &faults, own_place, today)?;
        let rows = batch.num_rows();
        let number = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
        let origin: Vec<u32> = (0..rows).filter(|row| !rejected.contains_key(row)).map(number).collect();
        let quarantined = if rejected.is_empty() {
            NewQuarantined::default()
        } else {
            seal_rows(&self.sealer, &batch, &raw, &rejected)?
        };
        let sealed = if origin.is_empty() {
            None
        } else if rejected.is_empty() {
            Some(self.sealer.seal_batch(item, &batch, envelope)?)
        } else {
            let good = take_record_batch(&batch, &UInt32Array::from(origin.clone()))
                .map_err(|error| IntakeError::Vault(error.into()))?;
            Some(self.sealer.seal_batch(item, &good, envelope)?)
        };
        Ok(Prepared { digest, rows, sealed, origin, rejected, quarantined })
    }

    fn prepare_rejects(&self, item: &Item, digest: String, body: &Bytes) -> Result<Prepared, IntakeError> {
        let rejects = rejects(body, item, &self.options.limits)?;
        let rows = rejects.lines.len();
        let quarantined =
            if rows == 0 { NewQuarantined::default() } else { seal_rejects(&self.sealer, rejects.lines)? };
        let rejected = rejects.reasons.into_iter().enumerate().collect();
        Ok(Prepared { digest, rows, sealed: None, origin: Vec::new(), rejected, quarantined })
    }

    fn receipt(
        &self,
        item: &Item,
        envelope: &BatchEnvelope,
        prepared: Prepared,
        decision: Decision,
    ) -> Result<(Receipt, NewQuarantined), IntakeError> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (duplicate, quarantined) = (number(decision.duplicates.len()), number(prepared.rejected.len()));
        let mut outcomes: Vec<RowOutcome> = decision
            .duplicates
            .into_iter()
            .map(|row| RowOutcome { row, outcome: Outcome::Duplicate, reasons: Vec::new() })
            .collect();
        outcomes.extend(prepared.rejected.into_iter().map(|(row, reasons)| RowOutcome {
            row: number(row),
            outcome: Outcome::Quarantined,
            reasons,
        }));
        outcomes.sort_by_key(|outcome| outcome.row);
        let mut receipt = Receipt {
            batch_id: envelope.batch_id.to_string(),
            item: item.code.clone(),
            provider: envelope.provider.to_string(),
            catalogue_version: item.catalogue_version.clone(),
            received_at: envelope.received_at.to_string(),
            rows: number(prepared.rows),
            accepted: decision.accepted,
            duplicate,
            quarantined,
            content_digest: prepared.digest,
            outcomes,
            key_id: String::new(),
            signature: String::new(),
        };
        self.signer.sign_receipt(&mut receipt)?;
        Ok((receipt, prepared.quarantined))
    }

    fn count(&self, item: &Item, receipt: &Receipt) {
        let Metrics { rows, quarantined, batches, .. } = &self.metrics;
        let counts =
            [("accepted", receipt.accepted), ("duplicate", receipt.duplicate), ("quarantined", receipt.quarantined)];
        for (outcome, count) in counts {
            rows.with_label_values(&[item.department.as_str(), &item.code, outcome]).inc_by(u64::from(count));
        }
        for reason in receipt.outcomes.iter().flat_map(|outcome| &outcome.reasons) {
            quarantined.with_label_values(&[item.department.as_str(), &reason.code]).inc();
        }
        batches.with_label_values(&["accepted"]).inc();
        tracing::debug!(
            item = item.code,
            provider = receipt.provider,
            rows = receipt.rows,
            accepted = receipt.accepted,
            duplicate = receipt.duplicate,
            quarantined = receipt.quarantined,
            "batch taken"
        );
    }

    /// Runs on a worker thread, when one of the few turns is free. A panic there (a parser's defect) costs the batch only.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T, IntakeError> + Send + 'static,
    ) -> Result<T, IntakeError> {
        let _turn = self.workers.acquire().await.map_err(|_| IntakeError::Worker)?;
        tokio::task::spawn_blocking(act).await.map_err(|_| IntakeError::Worker)?
    }
}
