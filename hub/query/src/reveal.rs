//! From stored columns to what one principal sees of them, batch by batch, inside the barrier.
//!
//! Keys and purposes live in here, never as literals of a plan. The functions are total on values; the one failure is
//! a ciphertext that does not open, which is damage or an attack and fails the query. They run on rows that passed
//! the row scope and every pushed filter, so that failure says nothing about hidden rows (SEC-6, SEC-7).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, RecordBatch,
    RecordBatchOptions, StringArray, StringBuilder, TimestampMillisecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, SchemaRef, TimestampMillisecondType};
use chrono::NaiveDate;
use datafusion::common::{DataFusionError, Result};
use minqiao_core::Token;
use minqiao_policy::Mask;
use minqiao_schemas::Item;

use crate::base::Sealing;

/// How one output column comes from the columns below the barrier (given by position).
#[derive(Debug, Clone)]
pub(crate) enum Reveal {
    /// As stored.
    Plain { input: usize },
    /// A stored clear column through a mask.
    Masked { input: usize, mask: Mask },
    /// A ciphertext opened, and masked unless `mask` is `None`.
    Opened { input: usize, field: String, mask: Option<Mask> },
    /// A token as the purpose's pseudonym.
    TokenPseudonym { input: usize },
    /// Text (a ciphertext when `sealed`) as the purpose's pseudonym, by way of a token of `domain`.
    TextPseudonym { input: usize, field: String, domain: String, sealed: bool },
}

/// Everything needed to turn a batch from below the barrier into one above it.
#[derive(Debug)]
pub(crate) struct Revealer {
    pub(crate) item: Arc<Item>,
    pub(crate) sealing: Sealing,
    /// Separates pseudonyms: purpose, and the case within it.
    pub(crate) context: String,
    pub(crate) columns: Vec<Reveal>,
    pub(crate) schema: SchemaRef,
}

impl Revealer {
    /// One batch.
    pub(crate) fn reveal(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (how, field) in self.columns.iter().zip(self.schema.fields()) {
            let column = self.column(how, batch)?;
            columns.push(if column.data_type() == field.data_type() {
                column
            } else {
                cast(&column, field.data_type())?
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn column(&self, how: &Reveal, batch: &RecordBatch) -> Result<ArrayRef> {
        match how {
            Reveal::Plain { input } => Ok(Arc::clone(batch.column(*input))),
            Reveal::Masked { input, mask } => masked(batch.column(*input), *mask),
            Reveal::Opened { input, field, mask } => {
                let opened = self.opened(batch.column(*input), field)?;
                mask.map_or_else(|| Ok(Arc::clone(&opened)), |mask| masked(&opened, mask))
            }
            Reveal::TokenPseudonym { input } => Ok(Arc::new(self.pseudonyms_of(batch.column(*input))?)),
            Reveal::TextPseudonym { input, field, domain, sealed } => {
                let clear =
                    if *sealed { self.opened(batch.column(*input), field)? } else { Arc::clone(batch.column(*input)) };
                let clear = cast(&clear, &DataType::Utf8)?;
                let name =
                    |text: &str| self.sealing.tokens.pseudonym(&self.context, &self.sealing.tokens.token(domain, text));
                Ok(Arc::new(clear.as_string::<i32>().iter().map(|text| text.map(name)).collect::<StringArray>()))
            }
        }
    }

    fn opened(&self, column: &ArrayRef, field: &str) -> Result<ArrayRef> {
        let column = cast(column, &DataType::Binary)?;
        let sealed: &BinaryArray = column.as_binary();
        self.sealing
            .unsealer
            .column_of(&self.item, field, sealed)
            .map_err(|_| DataFusionError::Internal("a stored value does not open".into()))
    }

    fn pseudonyms_of(&self, column: &ArrayRef) -> Result<StringArray> {
        let column = cast(column, &DataType::FixedSizeBinary(16))?;
        let tokens: &FixedSizeBinaryArray = column.as_fixed_size_binary();
        let mut out = StringBuilder::with_capacity(tokens.len(), tokens.len() * 16);
        let mut last: Option<(&[u8], String)> = None;
        for row in 0..tokens.len() {
            if tokens.is_null(row) {
                out.append_null();
                continue;
            }
            let token = tokens.value(row);
            // The lake is sorted by token, so the same person often comes in a row.
            if last.as_ref().is_none_or(|(known, _)| *known != token) {
                let bytes: [u8; 16] = token.try_into().map_err(|_| DataFusionError::Internal("token".into()))?;
                last = Some((token, self.sealing.tokens.pseudonym(&self.context, &Token(bytes))));
            }
            match &last {
                Some((_, name)) => out.append_value(name),
                None => out.append_null(),
            }
        }
        Ok(out.finish())
    }
}

/// A clear column through a mask; a mask that does not fit the type gives nulls.
fn masked(column: &ArrayRef, mask: Mask) -> Result<ArrayRef> {
    let nulls = || Ok(new_null_array(column.data_type(), column.len()));
    match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = cast(column, &DataType::Utf8)?;
            if mask == Mask::County {
                return Ok(Arc::new(counties(text.as_string())));
            }
            Ok(Arc::new(text.as_string::<i32>().iter().map(|v| v.and_then(|v| mask.text(v))).collect::<StringArray>()))
        }
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            let shown = |days: i32| mask.date(date_of(days)?).and_then(days_of);
            Ok(Arc::new(days.iter().map(|d| d.and_then(shown)).collect::<Date32Array>()))
        }
        DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, zone) => {
            let moments = column.as_primitive::<TimestampMillisecondType>();
            let shown = moments.iter().map(|m| m.and_then(|m| masked_moment(m, mask)));
            let array: TimestampMillisecondArray = shown.collect();
            Ok(Arc::new(array.with_timezone_opt(zone.clone())))
        }
        DataType::Decimal128(precision, scale) => {
            let Some(mask) = u32::try_from(*scale).ok().and_then(|scale| mask.decimals(scale)) else { return nulls() };
            let values = column.as_primitive::<Decimal128Type>();
            let shown: Decimal128Array = values.unary(|value| mask.of(value));
            Ok(Arc::new(shown.with_precision_and_scale(*precision, *scale)?))
        }
        _ => nulls(),
    }
}

/// The first six digits of each code, without a string of its own per row; what is no code is hidden.
fn counties(codes: &StringArray) -> StringArray {
    let mut out = StringBuilder::with_capacity(codes.len(), codes.len() * 6);
    for code in codes {
        out.append_option(code.and_then(|code| code.get(..6)).filter(|six| six.bytes().all(|b| b.is_ascii_digit())));
    }
    out.finish()
}

const DAY_MILLIS: i64 = 86_400_000;
/// Days are days in +08:00.
const CHINA_MILLIS: i64 = 8 * 3_600_000;

fn masked_moment(millis: i64, mask: Mask) -> Option<i64> {
    let day = i32::try_from(millis.checked_add(CHINA_MILLIS)?.div_euclid(DAY_MILLIS)).ok()?;
    let shown = days_of(mask.date(date_of(day)?)?)?;
    i64::from(shown).checked_mul(DAY_MILLIS)?.checked_sub(CHINA_MILLIS)
}

fn date_of(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(chrono::TimeDelta::try_days(i64::from(days))?)
}

fn days_of(date: NaiveDate) -> Option<i32> {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
}
