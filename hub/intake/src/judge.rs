//! Which rows of a decoded batch are good, and why the others are not.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use chrono::NaiveDate;
use minqiao_core::RowReason;
use minqiao_schemas::check::Checker;
use minqiao_schemas::code_table::{CREDIT_CODE, CREDIT_CODE_OR_SELF};
use minqiao_schemas::{Field, Item, Reason, Rule, envelope};

use crate::IntakeError;
use crate::clear_text::{NUMBER_BYTES, holds_citizen_number, is_wide};
use crate::decode::CellFault;
use crate::jurisdiction::foreign_rows;

/// What department staff call `_source_record_id`, as the catalogue has it.
const SOURCE_RECORD_LABEL: &str = "源记录号";

/// Rows that go to quarantine, by row, each with at least one reason.
pub type Rejected = BTreeMap<usize, Vec<RowReason>>;

/// Judges every row: the catalogue's checks, the faults found while decoding, whether it is of the provider's own place
/// ([`crate::jurisdiction`]), and whether a column that is not sealed holds a citizen number.
pub fn judge(
    item: &Item,
    checker: &Checker,
    batch: &RecordBatch,
    faults: &[CellFault],
    own_place: &str,
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
    if let Some((field, rows)) = foreign_rows(item, batch, own_place) {
        for row in rows {
            rejected.entry(row).or_default().push(reason(Reason::PolicyForbidden, Some(field)));
        }
    }
    identities(item, batch, &mut rejected);
    Ok(rejected)
}

/// Citizen numbers in columns that are stored in clear.
fn identities(item: &Item, batch: &RecordBatch, rejected: &mut Rejected) {
    for field in item.fields.iter().filter(|field| !field.is_sealed()) {
        let Some(cells) = text(batch, &field.name) else { continue };
        let credit_codes = matches!(field.code_table.as_deref(), Some(CREDIT_CODE | CREDIT_CODE_OR_SELF));
        // A credit code of digits may pass for a number; one of the market's register begins with 9, no region does.
        let holds = |cell: &str| !(credit_codes && cell.starts_with('9')) && holds_citizen_number(cell);
        for row in rows_where(cells, holds) {
            rejected.entry(row).or_default().push(reason(Reason::IdentityInClearField, Some(field)));
        }
    }
    // Sealing puts a token in the place of a record id with that many digits, but knows narrow ones only.
    if let Some(cells) = text(batch, envelope::SOURCE_RECORD_ID) {
        for row in rows_where(cells, |cell| is_wide(cell) && holds_citizen_number(cell)) {
            let name = Some((SOURCE_RECORD_LABEL, envelope::SOURCE_RECORD_ID));
            rejected.entry(row).or_default().push(named_reason(Reason::IdentityInClearField, name));
        }
    }
}

fn text<'b>(batch: &'b RecordBatch, name: &str) -> Option<&'b StringArray> {
    batch.column_by_name(name)?.as_string_opt()
}

/// Rows whose cell is long enough for a number and for which `holds` is true.
fn rows_where(cells: &StringArray, holds: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    let lengths = cells.value_offsets().windows(2).map(|pair| (pair[1] - pair[0]).unsigned_abs() as usize);
    let long = lengths.enumerate().filter(|(_, length)| *length >= NUMBER_BYTES).map(|(row, _)| row);
    long.filter(move |row| cells.is_valid(*row) && holds(cells.value(*row)))
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
    named_reason(code, field.map(|field| (field.label_zh.as_str(), field.name.as_str())))
}

/// The same for a column by its label and name.
fn named_reason(code: Reason, column: Option<(&str, &str)>) -> RowReason {
    let advice = code.advice();
    let (message_zh, message_en) = match column {
        Some((label, name)) => (
            format!("“{label}”{}。{}。", advice.zh, advice.fix_zh),
            format!("`{name}`: {}; {}", advice.en, advice.fix_en),
        ),
        None => (format!("{}。{}。", advice.zh, advice.fix_zh), format!("{}; {}", advice.en, advice.fix_en)),
    };
    RowReason { code: code.code().to_owned(), field: column.map(|(_, name)| name.to_owned()), message_zh, message_en }
}
