//! A hub's intake on a temporary directory, and bank deposits to feed it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Decimal128Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use minqiao_bus::{Bus, EmbeddedBus, EmbeddedOptions, Fence};
use minqiao_core::{BatchId, Clock, ManualClock, ProviderCode, Receipt, Timestamp};
use minqiao_intake::{Format, Intake, IntakeError, IntakeOptions, IntakeParts, KnownOptions, KnownVersions};
use minqiao_schemas::{Catalogue, Item, envelope};
use minqiao_store::{Membership, Store, StoreOptions};
use minqiao_vault::{Vault, VaultOptions};
use prometheus::Registry;

pub(crate) const ITEM: &str = "bank_deposit";
/// 2026-03-20T08:00:00+08:00.
pub(crate) const NOW: Timestamp = Timestamp(1_773_964_800_000);

pub(crate) struct Hub {
    pub(crate) intake: Intake,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) vault: Vault,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
}

impl Hub {
    pub(crate) async fn open(dir: &Path) -> Self {
        Self::open_with(dir, IntakeOptions::default(), |bus| bus).await
    }

    pub(crate) async fn open_with(
        dir: &Path,
        options: IntakeOptions,
        wrap: impl FnOnce(Arc<dyn Bus>) -> Arc<dyn Bus>,
    ) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedOptions::at(dir.join("bus"))).expect("a bus"));
        Self::open_on(dir, &dir.join("known"), options, wrap(bus), None).await
    }

    /// One of several hubs: keys and store are in `dir`, the bus is given, its own is `known` only.
    pub(crate) async fn open_on(
        dir: &Path,
        known: &Path,
        options: IntakeOptions,
        bus: Arc<dyn Bus>,
        membership: Option<Arc<Membership>>,
    ) -> Self {
        let vault = Vault::open(VaultOptions::at(dir.join("keys"))).expect("a vault");
        let store = Store::open(StoreOptions::at(dir.join("store.db"))).await.expect("a store");
        // Small enough that the tests write tables, too.
        let known = KnownOptions { item_entries_max: 300, entries_max: 1000, ..KnownOptions::at(known) };
        let known = KnownVersions::open(known, None).expect("known versions");
        let clock = Arc::new(ManualClock::at(NOW));
        let registry = Registry::new();
        let parts = IntakeParts {
            membership,
            vault: vault.clone(),
            bus: Arc::clone(&bus),
            store,
            known,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        let intake = Intake::open(parts, options, &registry).await.expect("an intake");
        Self { intake, bus, vault, clock, registry }
    }

    pub(crate) async fn send(&self, batch: &str, body: Bytes, format: Format) -> Result<Receipt, IntakeError> {
        self.intake.submit(&provider(), ITEM, &batch_id(batch), None, body, format).await
    }

    pub(crate) async fn send_rows(&self, batch: &str, rows: &[Deposit]) -> Result<Receipt, IntakeError> {
        self.send(batch, arrow_body(&arrow(rows)), Format::Arrow).await
    }

    /// Everything on the bus that counts for an item: account number in clear and the batch that brought it.
    pub(crate) async fn on_bus(&self, item: &str) -> Vec<(String, String)> {
        let topic = format!("minqiao.{item}");
        let mut rows = Vec::new();
        let partitions = self.bus.topics().await.expect("topics").into_iter().find(|t| t.name == topic);
        for partition in 0..partitions.expect("the topic").partitions {
            let end = self.bus.end_offset(&topic, partition).await.expect("end");
            let (mut from, mut fence) = (0, Fence::default());
            while from < end {
                let records = self.bus.fetch(&topic, partition, from, 1 << 22).await.expect("fetched");
                from += records.len() as u64;
                for record in records {
                    if !fence.admits(&record.headers) || record.headers.span.rows == 0 {
                        continue;
                    }
                    assert!(record.payload.len() <= self.bus.limits().message_bytes_max);
                    for batch in StreamReader::try_new(&*record.payload, None).expect("a stream") {
                        let batch = batch.expect("a batch");
                        assert_eq!(batch.num_rows() as u32, record.headers.span.rows);
                        // What is the same in all rows stands in the headers.
                        let sealed = catalogue_item(item).sealed_schema();
                        let of_rows = |field: &&Arc<Field>| !envelope::BATCH_COLUMNS.contains(&field.name().as_str());
                        let wanted: Vec<&Arc<Field>> = sealed.fields().iter().filter(of_rows).collect();
                        assert_eq!(batch.schema().fields().iter().collect::<Vec<_>>(), wanted);
                        let accounts = batch.column_by_name("account_token").expect("accounts").as_binary::<i32>();
                        let accounts = self.vault.unsealer().column(item, "account_token", accounts).expect("opened");
                        rows.extend(
                            accounts.iter().map(|account| {
                                (account.expect("an account").to_owned(), record.headers.batch_id.clone())
                            }),
                        );
                    }
                }
            }
        }
        rows
    }

    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("the metric exists");
        let fits = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|(name, value)| {
                metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
            })
        };
        family.get_metric().iter().filter(fits).map(|metric| metric.get_counter().get_value()).sum()
    }
}

pub(crate) fn catalogue_item(code: &str) -> &'static Item {
    Catalogue::embedded().item(code).expect("the catalogue has the item")
}

pub(crate) fn provider() -> ProviderCode {
    ProviderCode::new("civil-affairs.371000").expect("valid")
}

pub(crate) fn batch_id(id: &str) -> BatchId {
    BatchId::new(id).expect("valid")
}

/// One row of the item.
#[derive(Clone, Debug)]
pub(crate) struct Deposit {
    pub(crate) account: String,
    pub(crate) citizen: String,
    pub(crate) name: String,
    pub(crate) balance_cents: i128,
    pub(crate) updated_at: Option<i64>,
    pub(crate) op: Option<&'static str>,
}

/// Distinct, valid rows.
pub(crate) fn deposits(range: std::ops::Range<usize>) -> Vec<Deposit> {
    range
        .map(|n| Deposit {
            account: format!("6222{n:012}"),
            citizen: citizen(n),
            name: format!("测试{}", char::from_u32(0x4E00 + (n % 5000) as u32).expect("an ideograph")),
            balance_cents: n as i128 * 1037,
            updated_at: Some(NOW.0 - 86_400_000),
            op: None,
        })
        .collect()
}

/// A valid number of a person who does not exist, GB 11643.
pub(crate) fn citizen(n: usize) -> String {
    let body = format!("371002{}{:02}{:02}{:03}", 1950 + n / 1000 % 50, n / 100 % 12 + 1, n / 7 % 28 + 1, n % 1000);
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{body}{}", b"10X98765432"[sum as usize % 11] as char)
}

pub(crate) fn arrow(rows: &[Deposit]) -> RecordBatch {
    let item = catalogue_item(ITEM);
    let schema = item.submission_schema();
    let constant = |text: &str| Arc::new(StringArray::from(vec![text; rows.len()])) as ArrayRef;
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "query_batch_no" => constant("HC20260319"),
            "citizen_id" => Arc::new(rows.iter().map(|row| Some(row.citizen.as_str())).collect::<StringArray>()),
            "full_name" => Arc::new(rows.iter().map(|row| Some(row.name.as_str())).collect::<StringArray>()),
            "institution_code" => constant("C1010511003700"),
            "account_token" => Arc::new(rows.iter().map(|row| Some(row.account.as_str())).collect::<StringArray>()),
            "account_type_code" => constant("01"),
            "currency_code" => constant("CNY"),
            "balance_amount" => Arc::new(
                Decimal128Array::from_iter_values(rows.iter().map(|row| row.balance_cents))
                    .with_data_type(field.data_type().clone()),
            ),
            "balance_date" => Arc::new(Date32Array::from_iter_values(rows.iter().map(|_| 20_531))),
            "queried_at" => Arc::new(
                TimestampMillisecondArray::from_iter_values(rows.iter().map(|_| NOW.0 - 3_600_000))
                    .with_data_type(field.data_type().clone()),
            ),
            envelope::SOURCE_UPDATED_AT => Arc::new(
                rows.iter()
                    .map(|row| row.updated_at)
                    .collect::<TimestampMillisecondArray>()
                    .with_data_type(field.data_type().clone()),
            ),
            envelope::OP => Arc::new(rows.iter().map(|row| row.op).collect::<StringArray>()),
            _ => arrow::array::new_null_array(field.data_type(), rows.len()),
        })
        .collect();
    RecordBatch::try_new(schema, columns).expect("a batch")
}

pub(crate) fn arrow_body(batch: &RecordBatch) -> Bytes {
    // As the wire carries it: without the catalogue's metadata.
    let schema = batch.schema();
    let plain: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_metadata(Default::default())).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(plain)), batch.columns().to_vec()).expect("a batch");
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &batch.schema()).expect("a writer");
    writer.write(&batch).expect("written");
    writer.finish().expect("finished");
    drop(writer);
    out.into()
}

pub(crate) fn ndjson_body(rows: &[Deposit]) -> Bytes {
    let lines: Vec<String> = rows.iter().map(|row| json(row).to_string()).collect();
    lines.join("\n").into()
}

pub(crate) fn json(row: &Deposit) -> serde_json::Value {
    let mut value = serde_json::json!({
        "query_batch_no": "HC20260319",
        "citizen_id": row.citizen,
        "full_name": row.name,
        "institution_code": "C1010511003700",
        "account_token": row.account,
        "account_type_code": "01",
        "currency_code": "CNY",
        "balance_amount": decimal(row.balance_cents),
        "balance_date": "2026-03-19",
        "queried_at": "2026-03-20T07:00:00.000+08:00",
        "_op": row.op,
    });
    if row.updated_at.is_some() {
        value[envelope::SOURCE_UPDATED_AT] = "2026-03-19T08:00:00+08:00".into();
    }
    value
}

pub(crate) fn csv_body(rows: &[Deposit]) -> Bytes {
    let mut out = String::from(
        "query_batch_no,citizen_id,full_name,institution_code,account_token,account_type_code,currency_code,\
         balance_amount,balance_date,queried_at,_source_updated_at\r\n",
    );
    for row in rows {
        out.push_str(&format!(
            "HC20260319,{},\"{}\",C1010511003700,{},01,CNY,{},2026-03-19,2026-03-20 07:00:00,2026-03-19 08:00:00\r\n",
            row.citizen,
            row.name,
            row.account,
            decimal(row.balance_cents)
        ));
    }
    out.into()
}

fn decimal(cents: i128) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
