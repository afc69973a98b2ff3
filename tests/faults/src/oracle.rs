//! What was sent, what was acknowledged, and whether the hub kept its word.
//!
//! A row is named by its publisher and a number that only grows; everything else in it follows from that name, so
//! the judge needs no copy of what was sent. A person belongs to one publisher, and a publisher sends one batch after the
//! other: the numbers of a person's rows must grow along the log.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::ipc::reader::StreamDecoder;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use minqiao_bus::Fence;
use minqiao_bus::api::topic_of;
use minqiao_schemas::normalise::citizen_id;
use minqiao_schemas::{Catalogue, envelope};
use minqiao_server::hub::Hub;
use minqiao_tests::schedule::mixed;
use serde::Serialize;

/// An item whose rows are sent: a key of its own and an amount in clear, a person under seal. The other fields that it
/// requires are the same in all rows.
struct Sent {
    item: &'static str,
    key: &'static str,
    content: &'static str,
    person: &'static str,
    person_name: &'static str,
}

/// One publisher sends the one, the next the other, so that gateways and writers have something to share out.
const SENT: [Sent; 2] = [
    Sent {
        item: "land_contract_right",
        key: "contract_no",
        content: "contracted_area_mu",
        person: "contractor_citizen_id",
        person_name: "contractor_name",
    },
    Sent {
        item: "agri_subsidy_payment",
        key: "payment_no",
        content: "amount",
        person: "citizen_id",
        person_name: "full_name",
    },
];
/// People of one publisher.
const PEOPLE: u64 = 40;
const FETCH_BYTES: usize = 8 << 20;
/// 2026-01-01 in milliseconds; rows are a second apart.
const EPOCH_MILLIS: i64 = 1_767_225_600_000;

/// What one publisher did.
#[derive(Debug, Default)]
struct Ledger {
    issued: u64,
    acknowledged: Vec<Range<u64>>,
}

/// The memory of all publishers.
#[derive(Debug)]
pub(crate) struct Oracle {
    seed: u64,
    ledgers: Vec<Mutex<Ledger>>,
}

/// What the judge found; everything but the first four must be zero.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verdict {
    pub(crate) acknowledged: u64,
    /// Sent, never acknowledged, and in the lake all the same: allowed once.
    pub(crate) unacknowledged_but_stored: u64,
    pub(crate) messages: u64,
    /// Messages that a gateway got onto the log after the turn of the next one had begun: they count for nobody (BUS-7).
    pub(crate) fenced: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) never_sent: u64,
    pub(crate) changed: u64,
    pub(crate) out_of_order: u64,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.never_sent + self.changed + self.out_of_order == 0
    }
}

impl Oracle {
    pub(crate) fn new(seed: u64, publishers: usize) -> Self {
        Self { seed, ledgers: (0..publishers).map(|_| Mutex::default()).collect() }
    }

    fn ledger(&self, publisher: usize) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledgers[publisher].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the rows of a new batch, before it is sent.
    pub(crate) fn issue(&self, publisher: usize, rows: u64) -> Range<u64> {
        let mut ledger = self.ledger(publisher);
        let first = ledger.issued;
        ledger.issued += rows;
        first..ledger.issued
    }

    /// The hub's receipt for the rows has come.
    pub(crate) fn acknowledge(&self, publisher: usize, rows: Range<u64>) {
        let mut ledger = self.ledger(publisher);
        match ledger.acknowledged.last_mut().filter(|last| last.end == rows.start) {
            Some(last) => last.end = rows.end,
            None => ledger.acknowledged.push(rows),
        }
    }

    fn content(&self, publisher: usize, row: u64) -> i128 {
        i128::from(mixed(self.seed ^ ((publisher as u64) << 48) ^ row) % 10_000_000)
    }

    fn person(publisher: usize, row: u64) -> u64 {
        publisher as u64 * PEOPLE + mixed(row) % PEOPLE
    }

    fn sent(publisher: usize) -> &'static Sent {
        &SENT[publisher % SENT.len()]
    }

    /// The item that a publisher sends.
    pub(crate) fn item(publisher: usize) -> &'static str {
        Self::sent(publisher).item
    }

    /// The rows as a connector submits them.
    pub(crate) fn batch(&self, publisher: usize, rows: Range<u64>) -> anyhow::Result<RecordBatch> {
        let sent = Self::sent(publisher);
        let schema = Catalogue::embedded().item(sent.item).context("the catalogue has the item")?.submission_schema();
        let count = usize::try_from(rows.end - rows.start)?;
        let text = |value: &dyn Fn(u64) -> String| -> ArrayRef {
            Arc::new(rows.clone().map(|n| Some(value(n))).collect::<StringArray>())
        };
        let column = |name: &str, ty: &DataType| -> anyhow::Result<ArrayRef> {
            Ok(match (name, ty) {
                _ if name == sent.key => text(&|n| format!("F{publisher}-{n}")),
                _ if name == sent.person => text(&|n| citizen_number(Self::person(publisher, n))),
                _ if name == sent.person_name => text(&|_| "测试".to_owned()),
                ("record_status_code", _) => text(&|_| "1".to_owned()),
                ("subsidy_code", _) => text(&|_| "01".to_owned()),
                ("pay_year", _) => Arc::new(Int32Array::from(vec![2026; count])),
                (_, DataType::Decimal128(precision, scale)) if name == sent.content => {
                    let values: Decimal128Array = rows.clone().map(|n| Some(self.content(publisher, n))).collect();
                    Arc::new(values.with_precision_and_scale(*precision, *scale)?)
                }
                (envelope::SOURCE_UPDATED_AT, _) => {
                    let millis = |n: u64| i64::try_from(n).map(|n| EPOCH_MILLIS + n * 1000).ok();
                    let moments: TimestampMillisecondArray = rows.clone().map(millis).collect();
                    Arc::new(moments.with_data_type(DataType::clone(ty)))
                }
                _ => new_null_array(ty, count),
            })
        };
        let columns =
            schema.fields().iter().map(|f| column(f.name(), f.data_type())).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// Holds the lake and the log of a hub, which has caught up, against the ledgers.
    pub(crate) async fn judge(&self, hub: &Hub) -> anyhow::Result<Verdict> {
        let mut judge = Judge::new(self);
        for sent in &SENT {
            judge.hear_lake(hub, sent).await?;
            judge.hear_log(hub, sent).await?;
        }
        Ok(judge.verdict())
    }
}

/// Hears what lake and log hold, row by row.
struct Judge<'a> {
    oracle: &'a Oracle,
    /// How often each row of each publisher was met in the lake.
    times: Vec<Vec<u8>>,
    /// Where each person's last row was met on the log.
    last: HashMap<u64, (u32, u64)>,
    verdict: Verdict,
}

impl<'a> Judge<'a> {
    fn new(oracle: &'a Oracle) -> Self {
        let issued = |publisher| usize::try_from(oracle.ledger(publisher).issued).unwrap_or(usize::MAX);
        let times = (0..oracle.ledgers.len()).map(|publisher| vec![0; issued(publisher)]).collect();
        Self { oracle, times, last: HashMap::new(), verdict: Verdict::default() }
    }

    /// Every row of the item in the lake.
    async fn hear_lake(&mut self, hub: &Hub, sent: &Sent) -> anyhow::Result<()> {
        let table = SessionContext::new().read_table(hub.lake.changes(sent.item)?)?;
        let mut rows = table.select_columns(&[sent.key, sent.content])?.execute_stream().await?;
        while let Some(batch) = rows.next().await.transpose()? {
            let keys = cast(batch.column(0), &DataType::Utf8)?;
            let contents = batch.column(1).as_primitive::<Decimal128Type>();
            for (key, content) in keys.as_string::<i32>().iter().zip(contents) {
                self.stored(key, content);
            }
        }
        Ok(())
    }

    /// Every message of the item that counts.
    async fn hear_log(&mut self, hub: &Hub, sent: &Sent) -> anyhow::Result<()> {
        let topic = topic_of(sent.item);
        let partitions = hub.bus.topics().await?.iter().find(|t| t.name == topic).map_or(0, |t| t.partitions);
        ensure!(partitions > 0, "the log has no topic");
        for partition in 0..partitions {
            let end = hub.bus.end_offset(&topic, partition).await?;
            let (mut next, mut fence) = (0, Fence::default());
            while next < end {
                let records = hub.bus.fetch(&topic, partition, next, FETCH_BYTES).await?;
                ensure!(!records.is_empty(), "the log ends before its end");
                for record in records {
                    next = record.offset + 1;
                    if !fence.admits(&record.headers) {
                        self.verdict.fenced += 1;
                        continue;
                    }
                    self.message(partition, &rows_of(record.payload.into(), sent.key)?);
                }
            }
        }
        Ok(())
    }

    /// A row of the lake.
    fn stored(&mut self, key: Option<&str>, content: Option<i128>) {
        let named = key.and_then(name);
        let times = named.and_then(|(p, n)| self.times.get_mut(p)?.get_mut(usize::try_from(n).ok()?));
        let (Some((publisher, row)), Some(times)) = (named, times) else {
            self.verdict.never_sent += 1;
            return;
        };
        *times = times.saturating_add(1);
        self.verdict.doubled += u64::from(*times > 1);
        self.verdict.changed += u64::from(content != Some(self.oracle.content(publisher, row)));
    }

    /// A message of the log: along each partition the rows of a person come in the order in which they were sent, and
    /// no other partition has any.
    fn message(&mut self, partition: u32, rows: &[(usize, u64)]) {
        self.verdict.messages += 1;
        for (publisher, row) in rows {
            let before = self.last.insert(Oracle::person(*publisher, *row), (partition, *row));
            let in_order = before.is_none_or(|(p, earlier)| p == partition && earlier < *row);
            self.verdict.out_of_order += u64::from(!in_order);
        }
    }

    fn verdict(mut self) -> Verdict {
        for (publisher, times) in self.times.iter().enumerate() {
            let ledger = self.oracle.ledger(publisher);
            let mut acknowledged = 0;
            for row in ledger.acknowledged.iter().flat_map(Clone::clone) {
                acknowledged += 1;
                let met = usize::try_from(row).ok().and_then(|row| times.get(row)).is_some_and(|times| *times > 0);
                self.verdict.lost += u64::from(!met);
            }
            self.verdict.acknowledged += acknowledged;
            let stored = times.iter().filter(|times| **times > 0).count() as u64;
            self.verdict.unacknowledged_but_stored += stored.saturating_sub(acknowledged);
        }
        self.verdict
    }
}

fn name(key: &str) -> Option<(usize, u64)> {
    let (publisher, row) = key.strip_prefix('F')?.split_once('-')?;
    Some((publisher.parse().ok()?, row.parse().ok()?))
}

fn rows_of(mut payload: Buffer, key: &str) -> anyhow::Result<Vec<(usize, u64)>> {
    let mut decoder = StreamDecoder::new();
    let mut rows = Vec::new();
    while !payload.is_empty() {
        let Some(batch) = decoder.decode(&mut payload)? else { continue };
        let keys = cast(batch.column_by_name(key).context("a message has its key")?, &DataType::Utf8)?;
        for key in keys.as_string::<i32>() {
            rows.push(key.and_then(name).context("a message holds a row that nobody sent")?);
        }
    }
    Ok(rows)
}

/// A number that passes GB 11643; the people are the same in every run, and nobody.
fn citizen_number(person: u64) -> String {
    let body = format!("3710021960{:02}{:02}{:03}", person / 28 % 12 + 1, person % 28 + 1, person % 1000);
    let check = citizen_id::check_character(&body).unwrap_or_default();
    format!("{body}{check}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of one person, in the order of sending.
    fn of_one_person() -> (u64, u64) {
        let second = (1..200).find(|row| Oracle::person(0, *row) == Oracle::person(0, 0));
        (0, second.expect("forty people share two hundred rows"))
    }

    fn verdict(stored: impl Fn(&Oracle, &mut Judge<'_>)) -> Verdict {
        let oracle = Oracle::new(7, 1);
        let rows = oracle.issue(0, 200);
        oracle.acknowledge(0, rows);
        let mut judge = Judge::new(&oracle);
        stored(&oracle, &mut judge);
        judge.verdict()
    }

    fn all(oracle: &Oracle, judge: &mut Judge<'_>, rows: Range<u64>) {
        for row in rows {
            judge.stored(Some(&format!("F0-{row}")), Some(oracle.content(0, row)));
        }
    }

    #[test]
    fn a_hub_that_keeps_its_word_is_clean() {
        let (first, second) = of_one_person();
        let found = verdict(|oracle, judge| {
            all(oracle, judge, 0..200);
            judge.message(0, &[(0, first), (0, second)]);
        });
        assert!(found.is_clean() && found.acknowledged == 200, "{found:?}");
    }

    #[test]
    fn every_breach_is_seen() {
        let (first, second) = of_one_person();
        let lost = verdict(|oracle, judge| all(oracle, judge, 0..199));
        assert_eq!((lost.lost, lost.is_clean()), (1, false));
        let doubled = verdict(|oracle, judge| {
            all(oracle, judge, 0..200);
            all(oracle, judge, 5..6);
        });
        assert_eq!((doubled.doubled, doubled.is_clean()), (1, false));
        let strange = verdict(|oracle, judge| {
            all(oracle, judge, 0..200);
            judge.stored(Some("F0-200"), Some(0));
            judge.stored(Some("F1-0"), Some(0));
            judge.stored(None, None);
        });
        assert_eq!((strange.never_sent, strange.is_clean()), (3, false));
        let changed = verdict(|oracle, judge| {
            all(oracle, judge, 0..199);
            judge.stored(Some("F0-199"), Some(oracle.content(0, 199) + 1));
        });
        assert_eq!((changed.changed, changed.is_clean()), (1, false));
        let turned = verdict(|oracle, judge| {
            all(oracle, judge, 0..200);
            judge.message(0, &[(0, second), (0, first)]);
        });
        assert_eq!((turned.out_of_order, turned.is_clean()), (1, false));
        let strayed = verdict(|oracle, judge| {
            all(oracle, judge, 0..200);
            judge.message(0, &[(0, first)]);
            judge.message(1, &[(0, second)]);
        });
        assert_eq!((strayed.out_of_order, strayed.is_clean()), (1, false));
    }

    #[test]
    fn people_have_numbers_that_pass_and_differ() {
        let numbers: Vec<String> = (0..160).map(citizen_number).collect();
        for number in &numbers {
            assert!(citizen_id::is_canonical(number), "{number}");
        }
        let distinct: std::collections::HashSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len());
    }
}
