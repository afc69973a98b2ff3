//! A small city, sealed by a real vault, in memory or in Parquet files; hidden rows vary, visible rows do not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::datasource::MemTable;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use futures::stream::BoxStream;
use minqiao_core::{BatchEnvelope, BatchId, KindOf, ManualClock, Principal, ProviderCode, Purpose, Role, Timestamp};
use minqiao_policy::Policy;
use minqiao_query::{
    AuditSink, AuditUnavailable, BaseTables, Limits, Parameter, QueryClosed, QueryError, QueryOpened, QueryParts,
    QueryRequest, Sealing, SqlService, SystemError, SystemRows, SystemTable,
};
use minqiao_schemas::Catalogue;
use minqiao_vault::{Vault, VaultOptions};
use parking_lot::Mutex;

/// Rows of one item: field name and text; the rest is null.
pub(crate) type Rows = Vec<Vec<(&'static str, String)>>;

/// Which hidden rows exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    None,
    Canaries,
    OtherCanaries,
}

/// How the stored tables are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Memory,
    Parquet,
}

/// Own county of the caseworker and the statistician.
pub(crate) const HOME: &str = "371002";
const AWAY: &str = "371083";

#[derive(Debug, Default)]
struct Tables {
    providers: Mutex<BTreeMap<String, Arc<dyn TableProvider>>>,
    version: AtomicUsize,
}

impl BaseTables for Tables {
    fn current(&self, item: &str) -> Option<Arc<dyn TableProvider>> {
        self.providers.lock().get(item).cloned()
    }

    fn version(&self, _: &str) -> Option<u64> {
        Some(self.version.load(Ordering::SeqCst) as u64)
    }
}

#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    pub(crate) opened: Mutex<Vec<QueryOpened>>,
    pub(crate) closed: Mutex<Vec<QueryClosed>>,
    pub(crate) broken: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl AuditSink for AuditLog {
    async fn opened(&self, record: &QueryOpened) -> Result<(), AuditUnavailable> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(AuditUnavailable);
        }
        self.opened.lock().push(record.clone());
        Ok(())
    }

    async fn closed(&self, record: &QueryClosed) -> Result<(), AuditUnavailable> {
        self.closed.lock().push(record.clone());
        Ok(())
    }
}

pub(crate) struct City {
    pub(crate) service: SqlService,
    pub(crate) audit: Arc<AuditLog>,
    tables: Arc<Tables>,
    _keys: tempfile::TempDir,
    _files: Option<tempfile::TempDir>,
}

pub(crate) fn citizen(n: usize) -> String {
    format!("3710021960010100{n:02}")
}

impl City {
    pub(crate) async fn build(hidden: Hidden, storage: Storage, limits: Limits) -> Self {
        Self::of(people(hidden), storage, limits).await
    }

    /// Puts another stored table behind an item.
    pub(crate) fn replace(&self, item: &str, provider: Arc<dyn TableProvider>) {
        self.tables.providers.lock().insert(item.to_owned(), provider);
        self.tables.version.fetch_add(1, Ordering::SeqCst);
    }

    /// The stored table behind an item.
    pub(crate) fn stored(&self, item: &str) -> Arc<dyn TableProvider> {
        self.tables.current(item).expect("a stored table")
    }

    async fn of(items: BTreeMap<&'static str, Rows>, storage: Storage, limits: Limits) -> Self {
        let keys = tempfile::tempdir().expect("temporary directory");
        let vault = Vault::open(VaultOptions::at(keys.path().join("keys"))).expect("a new key ring");
        let files = (storage == Storage::Parquet).then(|| tempfile::tempdir().expect("temporary directory"));
        let tables = Arc::new(Tables::default());
        for (item, rows) in items {
            let batch = sealed(&vault, item, &rows);
            let provider = match &files {
                None => in_memory(batch),
                Some(dir) => in_parquet(batch, &dir.path().join(item)).await,
            };
            tables.providers.lock().insert(item.to_owned(), provider);
        }
        let audit = Arc::new(AuditLog::default());
        let service = SqlService::new(QueryParts {
            base: Arc::clone(&tables) as Arc<dyn BaseTables>,
            catalogue: Catalogue::embedded(),
            policy: Arc::new(Policy::embedded().expect("built-in policies")),
            sealing: Sealing::of(&vault),
            limits,
            audit: Arc::clone(&audit) as Arc<dyn AuditSink>,
            clock: Arc::new(ManualClock::at(Timestamp::parse("2026-03-20T08:00:00+08:00").expect("a time"))),
            system: vec![SystemTable::new(
                "audit_log",
                "审计日志",
                Arc::new(Pages(vec![events(&["a"]), events(&["b"])])),
            )],
        })
        .expect("a service");
        Self { service, audit, tables, _keys: keys, _files: files }
    }

    pub(crate) async fn small(hidden: Hidden) -> Self {
        Self::build(hidden, Storage::Memory, Limits::default()).await
    }

    /// Runs a statement; rows as text, or the error.
    pub(crate) async fn ask(&self, who: &str, sql: &str) -> Result<Vec<Vec<String>>, QueryError> {
        self.ask_with(who, sql, Vec::new()).await
    }

    pub(crate) async fn ask_with(
        &self,
        who: &str,
        sql: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Vec<String>>, QueryError> {
        let (principal, purpose) = asking(who);
        let request_id = format!("r{}", self.audit.opened.lock().len());
        let request = QueryRequest { request_id, door: "test", principal, purpose, sql: sql.to_owned(), parameters };
        let batches = self.service.query(request).await?.collect_batches().await?;
        Ok(batches.iter().flat_map(texts).collect())
    }

    /// What a caller learns, as one text: rows, or code and message of the error.
    pub(crate) async fn outcome(&self, who: &str, sql: &str) -> String {
        match self.ask(who, sql).await {
            Ok(rows) => format!("{rows:?}"),
            Err(error) => format!("{} {} {}", error.code(), error, error.message_zh()),
        }
    }
}

pub(crate) fn asking(who: &str) -> (Principal, Purpose) {
    let (role, county, code, case) = match who {
        "county" => (Role::Caseworker, Some(HOME), "monitoring", None),
        "case" => (Role::Caseworker, Some(HOME), "dibao_verification", Some("A-1")),
        "identity" => (Role::Caseworker, Some(HOME), "identity_check", Some("A-1")),
        "foreign case" => (Role::Caseworker, Some(AWAY), "dibao_verification", Some("A-1")),
        "analyst" => (Role::Analyst, None, "analysis", None),
        "analyst monitoring" => (Role::Analyst, None, "monitoring", None),
        "statistician" => (Role::Statistician, Some(HOME), "statistics", None),
        "operator" => (Role::Operator, None, "operations", None),
        "auditor" => (Role::Auditor, None, "audit", None),
        other => panic!("nobody is called {other}"),
    };
    let principal = Principal { id: who.replace(' ', "-"), role, department: None, county: county.map(str::to_owned) };
    (principal, Purpose { code: code.into(), case: case.map(str::to_owned) })
}

pub(crate) fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).expect("printable")).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect()).collect()
}

fn people(hidden: Hidden) -> BTreeMap<&'static str, Rows> {
    let mut items: BTreeMap<&'static str, Rows> = BTreeMap::new();
    let text = |value: &str| value.to_owned();
    let names = ["张三", "张四", "张五五", "王六", "王七", "张八"];
    for n in 1..=23 {
        let name = names.get(n - 1).copied().unwrap_or("李某");
        items.entry("resident_identity").or_default().push(vec![
            ("citizen_id", citizen(n)),
            ("full_name", text(name)),
            ("birth_date", text("1960-01-01")),
            ("sex_code", text("1")),
            ("hukou_division_code", text(HOME)),
            ("hukou_address", text("山东省威海市环翠区鲸园街道幸福小区3号楼")),
            ("mobile_phone", text("13800000000")),
        ]);
        let grade = if n <= 2 {
            "1"
        } else if n <= 17 {
            "2"
        } else {
            "3"
        };
        let kind = if n <= 12 {
            "1"
        } else if n <= 18 {
            "2"
        } else if n <= 20 {
            "3"
        } else {
            "4"
        };
        items.entry("disability_certificate").or_default().push(vec![
            ("disability_certificate_no", format!("{}11", citizen(n))),
            ("citizen_id", citizen(n)),
            ("full_name", text(name)),
            ("disability_type_code", text(kind)),
            ("disability_grade_code", text(grade)),
            ("division_code", text(HOME)),
        ]);
    }
    for n in 1..=6 {
        items.entry("temporary_assistance").or_default().push(assistance(n, names[n - 1], HOME, &n.to_string()));
        items.entry("bank_deposit").or_default().push(vec![
            ("query_batch_no", text("Q1")),
            ("citizen_id", citizen(n)),
            ("full_name", text(names[n - 1])),
            ("institution_code", text("ICBC")),
            ("account_token", format!("ACCOUNT-{n:08}")),
            ("balance_amount", format!("{n}000.00")),
        ]);
        if n <= 2
            && let Some(row) = items.get_mut("bank_deposit").and_then(|rows| rows.last_mut())
        {
            row.push(("interest_12m", text("12.34")));
        }
    }
    // Kind 1 has six people with an amount, kind 2 seven of whom two have one, kind 3 nine with one. Person 7 is alone in
    // five states.
    let aids = (1..=22).map(|n| (n, if n <= 13 { "1" } else { "7" }));
    for (at, (n, state)) in aids.chain(["2", "3", "4", "5", "6"].map(|state| (7, state))).enumerate() {
        let kind = if n <= 6 {
            "1"
        } else if n <= 13 {
            "2"
        } else {
            "3"
        };
        let mut row = vec![
            ("aid_no", format!("AID-{at}")),
            ("citizen_id", citizen(n)),
            ("full_name", text("李某")),
            ("aid_code", text(kind)),
            ("record_status_code", text(state)),
            ("division_code", text(HOME)),
        ];
        if kind != "2" || (8..=9).contains(&n) {
            row.push(("aid_amount", text("100.00")));
        }
        items.entry("disability_rehabilitation_aid").or_default().push(row);
    }
    // A child of 2020 whose assistance is hidden from everybody without `rowsOfMinors`.
    items.entry("resident_identity").or_default().push(vec![
        ("citizen_id", citizen(90)),
        ("full_name", text("小张")),
        ("birth_date", text("2020-05-05")),
        ("hukou_division_code", text(HOME)),
    ]);
    items.entry("assistance_application").or_default().push(vec![
        ("application_no", text("A-1")),
        ("applicant_citizen_id", citizen(1)),
        ("applicant_name", text("张三")),
        ("accept_town_code", text("371002001")),
        ("declared_monetary_assets", text("100.00")),
    ]);
    for (n, role) in [(2, "01"), (3, "06")] {
        items.entry("declared_household_member").or_default().push(vec![
            ("application_no", text("A-1")),
            ("citizen_id", citizen(n)),
            ("full_name", text(names[n - 1])),
            ("member_role_code", text(role)),
        ]);
    }
    items.entry("verification_authorization").or_default().push(vec![
        ("authorization_no", text("Z-1")),
        ("grantor_citizen_id", citizen(1)),
        ("grantor_name", text("张三")),
        ("signed_at", text("2026-01-01T00:00:00+08:00")),
        ("scope_codes", text("motor_vehicle, bank_deposit")),
        ("valid_from", text("2026-01-01")),
        ("status_code", text("1")),
    ]);
    for n in [1, 2] {
        items.entry("motor_vehicle").or_default().push(vec![
            ("vin", format!("VIN{n:014}")),
            ("plate_no", format!("鲁K0000{n}")),
            ("owner_citizen_id", citizen(n)),
            ("owner_name", text(names[n - 1])),
            ("division_code", text(HOME)),
        ]);
    }
    let canary = match hidden {
        Hidden::None => return items,
        Hidden::Canaries => "CANARY0",
        Hidden::OtherCanaries => "CANARY1-LONGER",
    };
    let count = if hidden == Hidden::Canaries { 40 } else { 3 };
    for n in 0..count {
        let name = format!("{canary}名{n}");
        let number = format!("3710831970010{n:05}");
        let mut row = assistance(1, &name, AWAY, &if n == 0 { "1001".into() } else { format!("{canary}-{n}") });
        row.retain(|(field, _)| *field != "citizen_id");
        row.push(("citizen_id", number.clone()));
        items.entry("temporary_assistance").or_default().insert(0, row);
        items.entry("disability_certificate").or_default().insert(
            0,
            vec![
                ("disability_certificate_no", format!("{number}11")),
                ("citizen_id", number.clone()),
                ("full_name", name.clone()),
                ("disability_type_code", text("1")),
                ("disability_grade_code", text("1")),
                ("division_code", text(AWAY)),
            ],
        );
        items.entry("resident_identity").or_default().insert(
            0,
            vec![
                ("citizen_id", number),
                ("full_name", name),
                ("birth_date", text("1970-01-01")),
                ("hukou_division_code", text(AWAY)),
            ],
        );
    }
    items
}

fn assistance(n: usize, name: &str, county: &str, case_no: &str) -> Vec<(&'static str, String)> {
    vec![
        ("case_no", case_no.to_owned()),
        ("citizen_id", citizen(n)),
        ("full_name", name.to_owned()),
        ("division_code", county.to_owned()),
        ("town_code", format!("{county}001")),
        ("amount", if n <= 4 { format!("{}.00", 600 + n) } else { format!("{}.00", 1200 + n) }),
    ]
}

fn sealed(vault: &Vault, item: &str, rows: &Rows) -> RecordBatch {
    let item = Catalogue::embedded().item(item).expect("an item");
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in &item.fields {
        let value =
            |row: &Vec<(&str, String)>| row.iter().find(|(name, _)| *name == field.name).map(|(_, v)| v.clone());
        let texts: StringArray = rows.iter().map(value).collect();
        let column = cast(&(Arc::new(texts) as ArrayRef), &field.ty.arrow()).expect("castable");
        fields.push(Field::new(&field.name, field.ty.arrow(), true));
        columns.push(column);
    }
    for row in rows {
        for (name, _) in row {
            assert!(item.field(name).is_some(), "{} has no field {name}", item.code);
        }
    }
    let submission = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("one length");
    let envelope = BatchEnvelope {
        provider: ProviderCode::new("civil-affairs.371002").expect("valid"),
        batch_id: BatchId::new("b1").expect("valid"),
        received_at: Timestamp::parse("2026-03-19T08:00:00+08:00").expect("a time"),
    };
    vault.sealer().seal_batch(item, &submission, &envelope).expect("sealed")
}

fn in_memory(batch: RecordBatch) -> Arc<dyn TableProvider> {
    // Two partitions, so that the plans are parallel ones.
    let half = batch.num_rows() / 2;
    let parts = vec![vec![batch.slice(0, half)], vec![batch.slice(half, batch.num_rows() - half)]];
    Arc::new(MemTable::try_new(batch.schema(), parts).expect("a table"))
}

async fn in_parquet(batch: RecordBatch, dir: &Path) -> Arc<dyn TableProvider> {
    let mut config = SessionConfig::new();
    // Several row groups, so that statistics of some could give hidden rows away.
    config.options_mut().execution.parquet.max_row_group_size = 4;
    config.options_mut().execution.parquet.schema_force_view_types = false;
    let context = SessionContext::new_with_config(config);
    let path = dir.to_str().expect("a path");
    let frame = context.read_batch(batch).expect("a frame");
    frame.write_parquet(path, DataFrameWriteOptions::new(), None).await.expect("written");
    let frame = context.read_parquet(path, ParquetReadOptions::default()).await.expect("read");
    frame.into_view()
}

/// Whether a table under test really holds ciphertext: the fixture is worth nothing otherwise.
pub(crate) fn holds_clear_text(batch: &RecordBatch, secret: &str) -> bool {
    batch.columns().iter().any(|column| match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().any(|text| text.contains(secret)),
        DataType::Binary => column
            .as_binary::<i32>()
            .iter()
            .flatten()
            .any(|bytes| bytes.windows(secret.len()).any(|window| window == secret.as_bytes())),
        _ => false,
    })
}

#[test]
fn the_fixture_is_sealed() {
    let keys = tempfile::tempdir().expect("temporary directory");
    let vault = Vault::open(VaultOptions::at(keys.path().join("keys"))).expect("a new key ring");
    let rows = people(Hidden::None);
    let batch = sealed(&vault, "temporary_assistance", &rows["temporary_assistance"]);
    assert!(!holds_clear_text(&batch, "张三") && !holds_clear_text(&batch, &citizen(1)));
    assert!(holds_clear_text(&batch, HOME));
}

/// A table of the hub that is known beforehand.
#[derive(Debug)]
struct Pages(Vec<RecordBatch>);

impl SystemRows for Pages {
    fn schema(&self) -> SchemaRef {
        self.0[0].schema()
    }

    fn rows(&self) -> BoxStream<'static, Result<RecordBatch, SystemError>> {
        futures::stream::iter(self.0.clone().into_iter().map(Ok)).boxed()
    }
}

fn events(names: &[&str]) -> RecordBatch {
    RecordBatch::try_from_iter([("event", Arc::new(StringArray::from(names.to_vec())) as ArrayRef)])
        .expect("one column")
}
