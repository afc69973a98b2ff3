//! Builds submission columns from cells of text; shared by the text formats.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{Field as ArrowField, Schema};
use chrono::NaiveDate;
use minqiao_schemas::check::SchemaMismatch;
use minqiao_schemas::normalise::{self, Value, date};
use minqiao_schemas::{FieldType, Item, Rule, envelope};

use super::CellFault;
use crate::IntakeError;
use crate::admission::echo;

/// Columns under construction; one cell per column and row, in any order of columns.
pub(super) struct Table<'i> {
    item: &'i Item,
    today: NaiveDate,
    columns: Vec<Column<'i>>,
    rows: usize,
    faults: Vec<CellFault>,
}

struct Column<'i> {
    name: &'i str,
    /// Position in the item, `None` for provider columns.
    field: Option<usize>,
    cells: Cells,
    filled: usize,
}

enum Cells {
    Text(StringBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMillisecondBuilder),
    Decimal(Decimal128Builder),
}

impl<'i> Table<'i> {
    pub(super) fn new(item: &'i Item, today: NaiveDate) -> Self {
        Self { item, today, columns: Vec::new(), rows: 0, faults: Vec::new() }
    }

    /// The column of a name, made when it is met first.
    pub(super) fn column(&mut self, name: &str) -> Result<usize, IntakeError> {
        if let Some(at) = self.columns.iter().position(|column| column.name == name) {
            return Ok(at);
        }
        let field = self.item.field_index(name);
        let provider = envelope::SUBMISSION_COLUMNS.into_iter().find(|known| *known == name);
        let (name, ty) = match (field, provider) {
            (Some(at), _) => (self.item.fields[at].name.as_str(), self.item.fields[at].ty),
            (None, Some(name @ envelope::SOURCE_UPDATED_AT)) => (name, FieldType::TimestampMs),
            (None, Some(name @ envelope::DATA_DATE)) => (name, FieldType::Date32),
            (None, Some(name)) => (name, FieldType::Utf8),
            (None, None) => {
                let mismatch = SchemaMismatch::UnknownColumn { item: self.item.code.clone(), column: echo(name) };
                return Err(mismatch.into());
            }
        };
        let mut column = Column { name, field, cells: Cells::new(ty), filled: 0 };
        column.fill(self.rows);
        self.columns.push(column);
        Ok(self.columns.len() - 1)
    }

    /// Sets the cell of the row under construction. A cell set twice is refused by the caller's format.
    pub(super) fn set(&mut self, column: usize, raw: &str) -> Result<(), SetTwice> {
        let row = self.rows;
        let column = &mut self.columns[column];
        column.fill(row);
        if column.filled > row {
            return Err(SetTwice);
        }
        let value = match column.field {
            Some(at) => normalise::value(&self.item.fields[at], raw, self.today),
            None => provider_value(column.name, raw),
        };
        let value = value.unwrap_or_else(|rule| {
            self.faults.push(CellFault { row, field: column.field, rule });
            None
        });
        column.push(value);
        Ok(())
    }

    /// Marks a cell of the row as having no canonical value whatever it is (a nested JSON value).
    pub(super) fn fault(&mut self, column: usize, rule: Rule) {
        let row = self.rows;
        let column = &mut self.columns[column];
        column.fill(row);
        if column.filled == row {
            self.faults.push(CellFault { row, field: column.field, rule });
            column.push(None);
        }
    }

    pub(super) fn end_row(&mut self) {
        self.rows += 1;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn finish(self) -> Result<(RecordBatch, Vec<CellFault>), arrow::error::ArrowError> {
        let rows = self.rows;
        let mut fields: Vec<ArrowField> = Vec::with_capacity(self.columns.len());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for mut column in self.columns {
            column.fill(rows);
            let array = column.cells.finish();
            fields.push(ArrowField::new(column.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        Ok((batch, self.faults))
    }
}

/// The row has the column already.
pub(super) struct SetTwice;

/// Provider columns have no field: their canonical forms are those of text, time and day.
fn provider_value<'a>(name: &str, raw: &'a str) -> Result<Option<Value<'a>>, Rule> {
    Ok(match name {
        envelope::SOURCE_UPDATED_AT => normalise::timestamp(raw)?.map(Value::TimestampMs),
        envelope::DATA_DATE => normalise::date(raw)?.map(|day| Value::Date32(date::days(day))),
        _ => normalise::text(raw).map(Value::Text),
    })
}

impl Column<'_> {
    /// Nulls up to `rows`.
    fn fill(&mut self, rows: usize) {
        while self.filled < rows {
            self.push(None);
        }
    }

    fn push(&mut self, value: Option<Value<'_>>) {
        self.filled += 1;
        match (&mut self.cells, value) {
            (Cells::Text(cells), Some(Value::Text(text))) => cells.append_value(text),
            (Cells::Int32(cells), Some(Value::Int32(n))) => cells.append_value(n),
            (Cells::Int64(cells), Some(Value::Int64(n))) => cells.append_value(n),
            (Cells::Boolean(cells), Some(Value::Boolean(b))) => cells.append_value(b),
            (Cells::Date(cells), Some(Value::Date32(day))) => cells.append_value(day),
            (Cells::Timestamp(cells), Some(Value::TimestampMs(millis))) => cells.append_value(millis),
            (Cells::Decimal(cells), Some(Value::Decimal(n))) => cells.append_value(n),
            // Values come in their field's type, so this is null only.
            (cells, _) => cells.push_null(),
        }
    }
}

impl Cells {
    fn new(ty: FieldType) -> Self {
        match ty {
            FieldType::Utf8 => Self::Text(StringBuilder::new()),
            FieldType::Int32 => Self::Int32(Int32Builder::new()),
            FieldType::Int64 => Self::Int64(Int64Builder::new()),
            FieldType::Boolean => Self::Boolean(BooleanBuilder::new()),
            FieldType::Date32 => Self::Date(Date32Builder::new()),
            FieldType::TimestampMs => Self::Timestamp(TimestampMillisecondBuilder::new().with_data_type(ty.arrow())),
            FieldType::Decimal { .. } => Self::Decimal(Decimal128Builder::new().with_data_type(ty.arrow())),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Text(cells) => cells.append_null(),
            Self::Int32(cells) => cells.append_null(),
            Self::Int64(cells) => cells.append_null(),
            Self::Boolean(cells) => cells.append_null(),
            Self::Date(cells) => cells.append_null(),
            Self::Timestamp(cells) => cells.append_null(),
            Self::Decimal(cells) => cells.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(cells) => Arc::new(cells.finish()),
            Self::Int32(cells) => Arc::new(cells.finish()),
            Self::Int64(cells) => Arc::new(cells.finish()),
            Self::Boolean(cells) => Arc::new(cells.finish()),
            Self::Date(cells) => Arc::new(cells.finish()),
            Self::Timestamp(cells) => Arc::new(cells.finish()),
            Self::Decimal(cells) => Arc::new(cells.finish()),
        }
    }
}
