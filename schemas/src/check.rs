//! A batch: every row against its item, column by column.
//!
//! The same checker runs in the connector, where a breach is explained beside the file, and in the gateway, which trusts
//! nobody. It looks at canonical values only and changes none: repairing is [`crate::normalise`]'s work, done before.
//!
//! A row that deletes (`_op` = `delete`) needs its natural key and nothing else; what it carries besides must still be
//! well-formed. A column that is absent is a column of nulls. A column that the item does not have, or has with another
//! type, is no matter of rows: the batch as a whole is refused with [`SchemaMismatch`].

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, TimestampMillisecondType};
use chrono::NaiveDate;

use crate::code_table::{CodeTable, Membership, TableKind};
use crate::envelope;
use crate::model::{Field, FieldType, Item};
use crate::normalise::{citizen_id, date, text, uscc};
use crate::reason::{Reason, Rule};

/// Longest text of a field, bytes. Addresses and business scopes stay far below.
pub const TEXT_BYTES_MAX: usize = 4096;

/// 9999-12-31, which registers write for "no end".
const NO_END: i32 = 2_932_896;

/// One breach of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowProblem {
    /// Index in the batch, from 0.
    pub row: usize,
    /// Position of the field in the item; `None` for the provider columns.
    pub field: Option<usize>,
    /// What it counts under.
    pub reason: Reason,
    /// The exact check.
    pub rule: Rule,
}

impl RowProblem {
    /// The field that is meant.
    pub fn field_of<'i>(&self, item: &'i Item) -> Option<&'i Field> {
        self.field.and_then(|at| item.fields.get(at))
    }

    /// What is wrong and what to do, for department staff.
    pub fn message_zh(&self, item: &Item) -> String {
        self.rule.message_zh(self.field_of(item))
    }

    /// The same in English.
    pub fn message_en(&self, item: &Item) -> String {
        self.rule.message_en(self.field_of(item))
    }
}

/// The batch's columns do not fit the item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMismatch {
    /// The item has no such column.
    #[error("item `{item}` has no column `{column}`")]
    UnknownColumn {
        /// Item code.
        item: String,
        /// As the batch names it.
        column: String,
    },
    /// The column stands twice in the batch.
    #[error("column `{column}` of item `{item}` stands twice in the batch")]
    RepeatedColumn {
        /// Item code.
        item: String,
        /// Column name.
        column: String,
    },
    /// Another type than the item's.
    #[error("column `{column}` of item `{item}` is {found}, must be {expected}")]
    WrongType {
        /// Item code.
        item: String,
        /// Column name.
        column: String,
        /// Arrow type in the batch.
        found: String,
        /// Arrow type of the item.
        expected: String,
    },
}

impl SchemaMismatch {
    /// What it counts under.
    pub fn reason(&self) -> Reason {
        Reason::SchemaDrift
    }
}

/// Checks batches of one item. Cheap to make, made to be kept.
#[derive(Debug)]
pub struct Checker {
    item: String,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    ty: DataType,
    /// Rule that a null breaks in an upsert and in a delete.
    null_upsert: Option<Rule>,
    null_delete: Option<Rule>,
    values: Values,
}

/// How the values of a column are judged.
#[derive(Debug)]
enum Values {
    Text(Option<Arc<CodeTable>>),
    Date,
    Timestamp,
    Decimal { limit: i128 },
    Free,
}

impl Checker {
    /// The checker of an item.
    pub fn for_item(item: &Item) -> Self {
        let column = |field: &Field| {
            let key = item.natural_key.contains(&field.name);
            let required = if key { Some(Rule::KeyPresent) } else { field.required.then_some(Rule::RequiredPresent) };
            Column {
                name: field.name.clone(),
                ty: field.ty.arrow(),
                null_upsert: required,
                null_delete: key.then_some(Rule::KeyPresent),
                values: match field.ty {
                    FieldType::Utf8 => Values::Text(field.table.clone()),
                    FieldType::Date32 => Values::Date,
                    FieldType::TimestampMs => Values::Timestamp,
                    FieldType::Decimal { precision, .. } => Values::Decimal { limit: 10i128.pow(u32::from(precision)) },
                    FieldType::Int32 | FieldType::Int64 | FieldType::Boolean => Values::Free,
                },
            }
        };
        Self { item: item.code.clone(), columns: item.fields.iter().map(column).collect() }
    }

    /// Every breach in the batch, ascending by row, then by field. `today` bounds birth dates in citizen numbers.
    ///
    /// # Errors
    /// [`SchemaMismatch`] when the columns do not fit; then no row was looked at.
    pub fn check_batch(&self, batch: &RecordBatch, today: NaiveDate) -> Result<Vec<RowProblem>, SchemaMismatch> {
        self.check_columns(batch)?;
        let mut problems = Problems::default();
        let deletes = ops(batch, &mut problems);
        for (at, column) in self.columns.iter().enumerate() {
            problems.field = Some(at);
            let values = batch.column_by_name(&column.name);
            nulls(column, values.map(AsRef::as_ref), batch.num_rows(), deletes.as_ref(), &mut problems);
            if let Some(values) = values {
                column.values.check(values, today, &mut problems);
            }
        }
        problems.field = None;
        if let Some(values) = batch.column_by_name(envelope::SOURCE_UPDATED_AT) {
            timestamps(values.as_primitive(), &mut problems);
        }
        if let Some(values) = batch.column_by_name(envelope::DATA_DATE) {
            dates(values.as_primitive(), &mut problems);
        }
        if let Some(values) = batch.column_by_name(envelope::SOURCE_RECORD_ID) {
            record_ids(values.as_string(), &mut problems);
        }
        let mut found = problems.found;
        found.sort_unstable();
        Ok(found)
    }

    fn check_columns(&self, batch: &RecordBatch) -> Result<(), SchemaMismatch> {
        let schema = batch.schema_ref();
        for (at, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            let known = self.columns.iter().find(|c| c.name == *name).map(|c| c.ty.clone());
            let provider = || envelope::SUBMISSION_COLUMNS.contains(&name.as_str()).then(|| envelope::data_type(name));
            let Some(expected) = known.or_else(|| provider().flatten()) else {
                return Err(SchemaMismatch::UnknownColumn { item: self.item.clone(), column: name.clone() });
            };
            if schema.fields()[..at].iter().any(|f| f.name() == name) {
                return Err(SchemaMismatch::RepeatedColumn { item: self.item.clone(), column: name.clone() });
            }
            if *field.data_type() != expected {
                return Err(SchemaMismatch::WrongType {
                    item: self.item.clone(),
                    column: name.clone(),
                    found: field.data_type().to_string(),
                    expected: expected.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Problems {
    field: Option<usize>,
    found: Vec<RowProblem>,
}

impl Problems {
    fn add(&mut self, row: usize, rule: Rule) {
        self.found.push(RowProblem { row, field: self.field, reason: rule.reason(), rule });
    }
}

/// Which rows delete; `None` when none does.
fn ops(batch: &RecordBatch, problems: &mut Problems) -> Option<BooleanArray> {
    let ops: &StringArray = batch.column_by_name(envelope::OP)?.as_string();
    if ops.null_count() == ops.len() {
        return None;
    }
    let mut deletes = Vec::with_capacity(ops.len());
    for (row, op) in ops.iter().enumerate() {
        deletes.push(op == Some(envelope::OP_DELETE));
        if op.is_some_and(|op| op != envelope::OP_DELETE && op != envelope::OP_UPSERT) {
            problems.add(row, Rule::OpKnown);
        }
    }
    Some(BooleanArray::from(deletes))
}

fn nulls(
    column: &Column,
    values: Option<&dyn Array>,
    rows: usize,
    deletes: Option<&BooleanArray>,
    problems: &mut Problems,
) {
    if column.null_upsert.is_none() || values.is_some_and(|v| v.null_count() == 0) {
        return;
    }
    for row in (0..rows).filter(|row| values.is_none_or(|v| v.is_null(*row))) {
        let rule = if deletes.is_some_and(|d| d.value(row)) { column.null_delete } else { column.null_upsert };
        if let Some(rule) = rule {
            problems.add(row, rule);
        }
    }
}

impl Values {
    fn check(&self, values: &dyn Array, today: NaiveDate, problems: &mut Problems) {
        match self {
            Self::Free => {}
            Self::Text(table) => texts(values.as_string(), table.as_deref(), today, problems),
            Self::Date => dates(values.as_primitive::<Date32Type>(), problems),
            Self::Timestamp => timestamps(values.as_primitive::<TimestampMillisecondType>(), problems),
            Self::Decimal { limit } => decimals(values.as_primitive::<Decimal128Type>(), *limit, problems),
        }
    }
}

fn texts(values: &StringArray, table: Option<&CodeTable>, today: NaiveDate, problems: &mut Problems) {
    // Codes repeat in runs (one county, one bank), so the last good one is kept.
    let mut last_good: Option<&str> = None;
    for (row, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        if last_good == Some(value) {
            continue;
        }
        let broken = match table {
            Some(table) => coded(value, table, today),
            None => plain(value),
        };
        match broken {
            Some(rule) => problems.add(row, rule),
            None => last_good = table.is_some().then_some(value),
        }
    }
}

fn plain(value: &str) -> Option<Rule> {
    if value.len() > TEXT_BYTES_MAX {
        Some(Rule::TextLength)
    } else if !text::is_canonical(value) {
        Some(Rule::TextNormal)
    } else {
        None
    }
}

fn coded(value: &str, table: &CodeTable, today: NaiveDate) -> Option<Rule> {
    if value.len() > TEXT_BYTES_MAX {
        return Some(Rule::TextLength);
    }
    match table.kind {
        TableKind::CitizenNumber => citizen_id::verify(value.as_bytes(), Some(today)).err(),
        TableKind::CreditCode => uscc::verify(value).err(),
        TableKind::CreditCodeOrSelf if value == "SELF" => None,
        TableKind::CreditCodeOrSelf => uscc::verify(value).err(),
        kind => match (table.membership(value), kind) {
            // Records outlive mergers of counties: a code that was in force when the row was written stays true.
            (Membership::Member | Membership::Retired, _) => None,
            (Membership::Unknown, TableKind::Division | TableKind::TownOrVillage) => Some(Rule::DivisionExists),
            (Membership::Unknown, _) => Some(Rule::CodeListed),
            (Membership::Malformed, _) => Some(Rule::CodePattern),
        },
    }
}

/// 1850-01-01 to 2199-12-31 in days since 1970.
fn plausible_days() -> Option<(i32, i32)> {
    Some((date::days(NaiveDate::from_ymd_opt(1850, 1, 1)?), date::days(NaiveDate::from_ymd_opt(2199, 12, 31)?)))
}

fn dates(values: &Date32Array, problems: &mut Problems) {
    let Some((first, last)) = plausible_days() else { return };
    for (row, value) in values.iter().enumerate() {
        if value.is_some_and(|day| day != NO_END && !(first..=last).contains(&day)) {
            problems.add(row, Rule::DatePlausible);
        }
    }
}

fn timestamps(values: &TimestampMillisecondArray, problems: &mut Problems) {
    let Some((first, last)) = plausible_days() else { return };
    let millis = |day: i32| i64::from(day) * 86_400_000;
    for (row, value) in values.iter().enumerate() {
        if value.is_some_and(|ms| !(millis(first)..millis(last + 1)).contains(&ms)) {
            problems.add(row, Rule::DatePlausible);
        }
    }
}

fn decimals(values: &Decimal128Array, limit: i128, problems: &mut Problems) {
    for (row, value) in values.iter().enumerate() {
        if value.is_some_and(|v| v <= -limit || v >= limit) {
            problems.add(row, Rule::NumberSize);
        }
    }
}

/// Record ids are opaque: only their length is a matter of the hub.
fn record_ids(values: &StringArray, problems: &mut Problems) {
    for (row, value) in values.iter().enumerate() {
        if value.is_some_and(|v| v.len() > TEXT_BYTES_MAX) {
            problems.add(row, Rule::TextLength);
        }
    }
}
