//! Columns of a submission as canonical text, row by row, without allocation.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use minqiao_schemas::{Field, FieldType};

use crate::VaultError;
use crate::canonical;

/// One column; `Absent` when the submission does not have it, which reads as nulls.
pub(crate) enum Column<'a> {
    Absent,
    Text(&'a StringArray),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Boolean(&'a BooleanArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMillisecondArray),
    Decimal(&'a Decimal128Array, usize),
}

impl<'a> Column<'a> {
    /// The column of `field`, which must have exactly its field's type.
    pub(crate) fn of(batch: &'a RecordBatch, field: &Field) -> Result<Self, VaultError> {
        match batch.column_by_name(&field.name) {
            None => Ok(Self::Absent),
            Some(array) if *array.data_type() != field.ty.arrow() => {
                Err(VaultError::ColumnType { field: field.name.clone() })
            }
            Some(array) => {
                Self::typed(array, field.ty).ok_or_else(|| VaultError::ColumnType { field: field.name.clone() })
            }
        }
    }

    fn typed(array: &'a ArrayRef, ty: FieldType) -> Option<Self> {
        let any = array.as_any();
        Some(match ty {
            FieldType::Utf8 => Self::Text(any.downcast_ref()?),
            FieldType::Int32 => Self::Int32(any.downcast_ref()?),
            FieldType::Int64 => Self::Int64(any.downcast_ref()?),
            FieldType::Boolean => Self::Boolean(any.downcast_ref()?),
            FieldType::Date32 => Self::Date(any.downcast_ref()?),
            FieldType::TimestampMs => Self::Timestamp(any.downcast_ref()?),
            FieldType::Decimal { scale, .. } => {
                Self::Decimal(any.downcast_ref()?, usize::try_from(scale).unwrap_or_default())
            }
        })
    }

    fn array(&self) -> Option<&'a dyn Array> {
        match self {
            Self::Absent => None,
            Self::Text(a) => Some(*a),
            Self::Int32(a) => Some(*a),
            Self::Int64(a) => Some(*a),
            Self::Boolean(a) => Some(*a),
            Self::Date(a) => Some(*a),
            Self::Timestamp(a) => Some(*a),
            Self::Decimal(a, _) => Some(*a),
        }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array().is_none_or(|array| array.is_null(row))
    }

    /// The null mask; all null for an absent column.
    pub(crate) fn nulls(&self, rows: usize) -> Option<NullBuffer> {
        match self.array() {
            None => Some(NullBuffer::new_null(rows)),
            Some(array) => array.nulls().cloned(),
        }
    }

    /// The column itself, or nulls of `ty`.
    pub(crate) fn to_array(&self, batch: &RecordBatch, name: &str, ty: &DataType, rows: usize) -> ArrayRef {
        match batch.column_by_name(name) {
            Some(array) => Arc::clone(array),
            None => new_null_array(ty, rows),
        }
    }

    /// Bytes that the texts of all rows take at most, for sizing buffers.
    pub(crate) fn text_bytes(&self, rows: usize) -> usize {
        match self {
            Self::Absent => 0,
            Self::Text(a) => {
                let offsets = a.value_offsets();
                offsets.last().zip(offsets.first()).map_or(0, |(end, start)| (end - start).unsigned_abs() as usize)
            }
            _ => rows * 32,
        }
    }

    /// Appends the canonical text of a row that is not null.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Absent => {}
            Self::Text(a) => out.extend_from_slice(a.value(row).as_bytes()),
            Self::Int32(a) => canonical::write_integer(out, i128::from(a.value(row))),
            Self::Int64(a) => canonical::write_integer(out, i128::from(a.value(row))),
            Self::Boolean(a) => canonical::write_boolean(out, a.value(row)),
            Self::Date(a) => canonical::write_date(out, i64::from(a.value(row))),
            Self::Timestamp(a) => canonical::write_timestamp(out, a.value(row)),
            Self::Decimal(a, scale) => canonical::write_scaled(out, a.value(row), *scale),
        }
    }

    /// Appends the length and the canonical text of a row, or the mark of null.
    pub(crate) fn write_delimited(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.push(0);
            return;
        }
        if let Self::Text(a) = self {
            let text = a.value(row).as_bytes();
            canonical::write_length(out, text.len());
            out.extend_from_slice(text);
            return;
        }
        // Numbers, days and moments are shorter than 127 bytes: one byte of length, filled in afterwards.
        let at = out.len();
        out.push(0);
        self.write(row, out);
        out[at] = (out.len() - at) as u8;
    }
}
