//! A hub in memory, and what the tests share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use minqiao_connector_api::gateway::{Gateway, GatewayError, Rejection, Submission};
use minqiao_connector_api::mapping::Mapping;
use minqiao_connector_api::source::{FileRef, Limits};
use minqiao_connector_api::{ConnectorRun, Department, RunOptions, RunReport, Silent};
use minqiao_connector_sources::FileSources;
use minqiao_core::{Outcome, ProviderCode, Receipt, RowOutcome, RowReason, SystemClock};
use minqiao_schemas::check::Checker;
use minqiao_schemas::normalise::citizen_id::check_character;
use minqiao_schemas::{Catalogue, envelope};
use tokio_util::sync::CancellationToken;

/// Checks like the hub, remembers every version, answers the same batch with the same receipt.
#[derive(Debug, Default)]
pub(crate) struct MemoryHub {
    state: Mutex<State>,
    today: Option<chrono::NaiveDate>,
}

#[derive(Debug, Default)]
struct State {
    receipts: HashMap<String, Receipt>,
    versions: HashSet<String>,
    /// Batch ids in the order in which they were stored first.
    order: BTreeMap<String, Vec<String>>,
    /// Accepted rows in order, per item.
    accepted: BTreeMap<String, Vec<String>>,
    rejected: u64,
}

impl MemoryHub {
    pub(crate) fn on(today: chrono::NaiveDate) -> Self {
        Self { today: Some(today), ..Self::default() }
    }

    /// Accepted rows of an item, in the order of acceptance.
    pub(crate) fn accepted(&self, item: &str) -> Vec<String> {
        self.state.lock().unwrap().accepted.get(item).cloned().unwrap_or_default()
    }

    pub(crate) fn order(&self, item: &str) -> Vec<String> {
        self.state.lock().unwrap().order.get(item).cloned().unwrap_or_default()
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.state.lock().unwrap().rejected
    }
}

fn receipt(item: &str, batch_id: &str, rows: usize, outcomes: Vec<RowOutcome>) -> Receipt {
    let count = |wanted| outcomes.iter().filter(|o| o.outcome == wanted).count() as u32;
    let (duplicate, quarantined) = (count(Outcome::Duplicate), count(Outcome::Quarantined));
    Receipt {
        batch_id: batch_id.to_owned(),
        item: item.to_owned(),
        provider: "test".into(),
        catalogue_version: "1".into(),
        received_at: String::new(),
        rows: rows as u32,
        accepted: rows as u32 - duplicate - quarantined,
        duplicate,
        quarantined,
        content_digest: String::new(),
        outcomes,
        key_id: String::new(),
        signature: String::new(),
    }
}

/// Content of a row: what makes two versions the same. Record numbers and data dates do not.
fn content(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let mut text = String::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.name() == envelope::SOURCE_RECORD_ID || field.name() == envelope::DATA_DATE {
            continue;
        }
        text.push_str(&ArrayFormatter::try_new(column.as_ref(), &options).unwrap().value(row).to_string());
        text.push('\u{1f}');
    }
    text
}

#[async_trait]
impl Gateway for MemoryHub {
    async fn submit(&self, submission: Submission) -> Result<Receipt, GatewayError> {
        let Submission { item, batch_id, batch, .. } = submission;
        let mut state = self.state.lock().unwrap();
        if let Some(known) = state.receipts.get(batch_id.as_str()) {
            return Ok(known.clone());
        }
        let catalogue = Catalogue::embedded().item(&item).expect("a known item");
        let today = self.today.unwrap_or_else(|| chrono::NaiveDate::from_ymd_opt(2026, 11, 20).unwrap());
        let problems = Checker::for_item(catalogue).check_batch(&batch, today).expect("the item's schema");
        let mut reasons: BTreeMap<usize, Vec<RowReason>> = BTreeMap::new();
        for problem in problems {
            reasons.entry(problem.row).or_default().push(RowReason {
                code: problem.reason.code().to_owned(),
                field: problem.field_of(catalogue).map(|f| f.name.clone()),
                message_zh: problem.message_zh(catalogue),
                message_en: problem.message_en(catalogue),
            });
        }
        let mut outcomes = Vec::new();
        for row in 0..batch.num_rows() {
            let at = row as u32;
            if let Some(reasons) = reasons.remove(&row) {
                outcomes.push(RowOutcome { row: at, outcome: Outcome::Quarantined, reasons });
                continue;
            }
            let content = format!("{item}\u{1f}{}", content(&batch, row));
            if state.versions.insert(content.clone()) {
                state.accepted.entry(item.to_string()).or_default().push(content);
            } else {
                outcomes.push(RowOutcome { row: at, outcome: Outcome::Duplicate, reasons: Vec::new() });
            }
        }
        let receipt = receipt(&item, batch_id.as_str(), batch.num_rows(), outcomes);
        state.order.entry(item.to_string()).or_default().push(batch_id.to_string());
        state.receipts.insert(batch_id.to_string(), receipt.clone());
        Ok(receipt)
    }

    async fn reject(&self, rejection: Rejection) -> Result<Receipt, GatewayError> {
        let Rejection { item, batch_id, rows } = rejection;
        let mut state = self.state.lock().unwrap();
        if let Some(known) = state.receipts.get(batch_id.as_str()) {
            return Ok(known.clone());
        }
        let outcomes = rows
            .iter()
            .map(|row| RowOutcome { row: row.row, outcome: Outcome::Quarantined, reasons: row.reasons.clone() })
            .collect();
        state.rejected += rows.len() as u64;
        let receipt = receipt(&item, batch_id.as_str(), rows.len(), outcomes);
        state.receipts.insert(batch_id.to_string(), receipt.clone());
        Ok(receipt)
    }
}

/// A run of a department with small pieces and a checkpoint after every answer.
pub(crate) fn run(
    department: Department,
    exports: &Path,
    state: &Path,
    hub: Arc<dyn Gateway>,
    rows: usize,
) -> ConnectorRun {
    ConnectorRun {
        provider: ProviderCode::new(format!("{}.371000", department.code)).unwrap(),
        department: Arc::new(department),
        exports_dir: exports.to_owned(),
        checkpoint: state.to_owned(),
        sources: Arc::new(FileSources),
        gateway: hub,
        progress: Arc::new(Silent),
        clock: Arc::new(SystemClock::new()),
        cancel: CancellationToken::new(),
        options: RunOptions {
            limits: Limits { piece_rows: rows, ..Limits::default() },
            checkpoint_every: std::time::Duration::ZERO,
            ..RunOptions::default()
        },
    }
}

const CONNECTOR: &str = "department: judicial-administration\nname_zh: 司法局\nname_en: Judicial\n\
                         provider_code: x\nitems: [prison_inmate]\n";

/// The columns of [`inmates`], in file order.
pub(crate) const HEADER: &str = "序号,证件号码,姓名,状态,单位,收押日期,刑期止日,释放日期,户籍地,更新时间,备注";

/// A department with one item whose source is given.
pub(crate) fn inmates(source: &str) -> Department {
    let mapping = format!(
        "item: prison_inmate\nsource: {source}\nignore: [序号, 备注]\n\
         envelope: {{ source_updated_at: {{ column: 更新时间, format: \"yyyy-MM-dd HH:mm:ss\" }} }}\n\
         fields:\n  citizen_id: {{ column: 证件号码, as: citizen_id }}\n  full_name: {{ column: 姓名 }}\n  \
         custody_status_code: {{ column: 状态, codes: {{ 在押: \"1\", 刑满释放: \"2\" }} }}\n  \
         facility_code: {{ column: 单位 }}\n  \
         custody_started_on: {{ column: 收押日期, as: date, format: yyyy-MM-dd }}\n  \
         sentence_end_on: {{ column: 刑期止日, as: date, format: yyyy-MM-dd }}\n  \
         released_on: {{ column: 释放日期, as: date, format: yyyy-MM-dd }}\n  \
         hukou_division_code: {{ column: 户籍地 }}\n  \
         updated_at: {{ column: 更新时间, as: timestamp, format: \"yyyy-MM-dd HH:mm:ss\" }}\n"
    );
    let files = [("connector.yaml", CONNECTOR), ("prison_inmate.yaml", &mapping)];
    let files = files.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    Department::from_files("test", files).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

pub(crate) fn inmates_csv() -> Department {
    inmates("{ kind: csv, files: \"*.csv\", encoding: gbk, total_row: 合计 }")
}

/// A citizen number that is one.
pub(crate) fn number(n: u32) -> String {
    let mut number = format!("3710021980{:02}{:02}{:03}", n / 28 % 12 + 1, n % 28 + 1, n / 336 % 1000);
    number.push(check_character(&number).unwrap());
    number
}

/// A good row of [`inmates`].
pub(crate) fn row(n: u32) -> String {
    format!(
        "{n},{},王小明,在押,3702010001,2024-03-01,2027-02-28,,371002,2026-11-{:02} 08:00:00,",
        number(n),
        n % 28 + 1
    )
}

/// `first-last outcome reason column` of every run of an item.
pub(crate) fn outcomes(report: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    for item in &report.items {
        for run in item.outcomes() {
            let (_, run) = run.unwrap();
            let reason = run.reasons.first();
            let word = minqiao_connector_api::report::outcome_word(run.outcome);
            let code = reason.map_or("", |r| r.code.as_str());
            let column = reason.and_then(|r| r.column.as_deref()).unwrap_or("");
            lines.push(format!("{}-{} {word} {code} {column}", run.first, run.last).trim_end().to_owned());
        }
    }
    lines
}

/// A run's report, and the folder that its journals are in.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) report: RunReport,
    pub(crate) root: tempfile::TempDir,
}

/// Delivers one file of the test department to a fresh hub, three rows a batch.
pub(crate) async fn deliver(department: Department, name: &str, bytes: &[u8]) -> Delivered {
    let root = tempfile::tempdir().unwrap();
    let exports = root.path().join("exports");
    std::fs::create_dir(&exports).unwrap();
    std::fs::write(exports.join(name), bytes).unwrap();
    let run = run(department, &exports, &root.path().join("state"), Arc::new(MemoryHub::default()), 3);
    Delivered { report: run.run().await.unwrap(), root }
}

/// One mapping of the test department.
pub(crate) fn mapping(department: &Department) -> Arc<Mapping> {
    Arc::new(department.mappings[0].clone())
}

pub(crate) fn file_ref(path: &Path) -> FileRef {
    let bytes = std::fs::metadata(path).unwrap().len();
    FileRef {
        path: path.to_owned(),
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        bytes,
        modified_millis: 0,
    }
}
