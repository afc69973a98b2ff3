//! Which rows of a decoded batch are good, and why the others are not.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use chrono::NaiveDate;
use minqiao_core::RowReason;
use minqiao_schemas::check::Checker;
use minqiao_schemas::{Field, Item, Reason, Rule};

use crate::IntakeError;
use crate::decode::CellFault;

/// Field whose county a county's provider must match.
const DIVISION_FIELD: &str = "division_code";

/// Rows that go to quarantine, by row, each with at least one reason.
pub type Rejected = BTreeMap<usize, Vec<RowReason>>;

/// Judges every row: the catalogue's checks, the faults found while decoding, and the provider's county.
pub fn judge(
    item: &Item,
    checker: &Checker,
    batch: &RecordBatch,
    faults: &[CellFault],
    county: Option<&str>,
    today: NaiveDate,
) -> Result<Rejected, IntakeError> {
    let mut rejected = Rejected::new();
    for fault in faults {
        let field = fault.field.and_then(|at| item.fields.get(at));
        rejected.entry(fault.row).or_default().push(rule_reason(fault.rule, field));
    }
    let faulty: HashSet<(usize, Option<usize>)> = faults.iter().map(|fault| (fault.row, fault.field)).collect();
    for problem in checker.check_batch(batch, today)? {
        // A faulty cell is null in the batch: that it is then missing is no second problem.
        if !faulty.contains(&(problem.row, problem.field)) {
            rejected.entry(problem.row).or_default().push(rule_reason(problem.rule, problem.field_of(item)));
        }
    }
    if let Some(county) = county {
        foreign_rows(item, batch, county, &mut rejected);
    }
    Ok(rejected)
}

fn foreign_rows(item: &Item, batch: &RecordBatch, county: &str, rejected: &mut Rejected) {
    let Some(field) = item.field(DIVISION_FIELD) else { return };
    let Some(divisions) = batch.column_by_name(DIVISION_FIELD).and_then(|column| column.as_string_opt::<i32>()) else {
        return;
    };
    for row in (0..divisions.len()).filter(|row| divisions.is_valid(*row) && divisions.value(*row) != county) {
        rejected.entry(row).or_default().push(reason(Reason::PolicyForbidden, Some(field)));
    }
}

fn rule_reason(rule: Rule, field: Option<&Field>) -> RowReason {
    RowReason {
        code: rule.reason().code().to_owned(),
        field: field.map(|field| field.name.clone()),
        message_zh: rule.message_zh(field),
        message_en: rule.message_en(field),
    }
}

/// A reason without a more exact rule, in the catalogue's words.
pub(crate) fn reason(code: Reason, field: Option<&Field>) -> RowReason {
    let advice = code.advice();
    let (message_zh, message_en) = match field {
        Some(field) => (
            format!("“{}”{}。{}。", field.label_zh, advice.zh, advice.fix_zh),
            format!("`{}`: {}; {}", field.name, advice.en, advice.fix_en),
        ),
        None => (format!("{}。{}。", advice.zh, advice.fix_zh), format!("{}; {}", advice.en, advice.fix_en)),
    };
    RowReason { code: code.code().to_owned(), field: field.map(|field| field.name.clone()), message_zh, message_en }
}
