//! How the rows of an item lie in files: order, buckets, columns with a role, table schemas.
//!
//! ```text
//! LAKE/changes/<item>/_ingest_date=2026-03-20/<uuid>.parquet   + _delta_log
//! LAKE/current/<item>/_bucket=5/<uuid>.parquet                 + _delta_log
//! ```
//!
//! Every file is sorted by the *order key* of its rows: 16 bytes of the lead column, then 16 bytes of `_key`. The lead
//! is the token of the primary subject when that field is part of the natural key, so that a person's rows lie
//! together; otherwise it is `_key` itself. Either way all versions of one natural key have one order key (LAKE-4),
//! wherever they are: versions meet in a merge of sorted files, without a hash table over the item.
//!
//! A bucket of `current` is a range of order keys: the rows whose lead starts with the bits of the bucket's number
//! after its highest one. Bucket 1 is everything, 2 and 3 are its halves, 10 is the third quarter-half of 2, and so on:
//! a bucket that grows too large is replaced by its two children.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::{DataType as DeltaType, StructField};

use crate::LakeError;

/// Column of the version order.
pub(crate) const KEY: &str = "_key";
pub(crate) const UPDATED_AT: &str = "_source_updated_at";
pub(crate) const OP: &str = "_op";
pub(crate) const CONTENT_HASH: &str = "_content_hash";
pub(crate) const RECEIVED_AT: &str = "_received_at";
/// Partition column of `changes`.
pub(crate) const INGEST_DATE: &str = "_ingest_date";
/// Partition column of `current`.
pub(crate) const BUCKET: &str = "_bucket";
/// Suffix of token columns.
pub(crate) const TOKEN_SUFFIX: &str = "__token";

/// The bucket that holds every order key.
pub(crate) const ROOT_BUCKET: u64 = 1;

/// One item as the lake sees it.
#[derive(Debug, Clone)]
pub struct ItemLayout {
    /// Item code, e.g. `bank_deposit`.
    pub(crate) code: String,
    /// Number in the catalogue; names the item in the point index.
    pub(crate) no: u16,
    /// The sealed schema.
    pub(crate) schema: SchemaRef,
    /// Column whose bytes lead the order key.
    pub(crate) lead: usize,
    /// `_key`.
    pub(crate) key: usize,
    pub(crate) updated_at: usize,
    pub(crate) op: usize,
    pub(crate) content_hash: usize,
    pub(crate) received_at: usize,
    /// Columns of the point index: the lead first, then every other token column.
    pub(crate) indexed: Vec<usize>,
}

impl ItemLayout {
    /// `lead_token` is the token column of the primary subject if that field belongs to the natural key.
    pub fn new(code: &str, no: u16, schema: SchemaRef, lead_token: Option<&str>) -> Result<Self, LakeError> {
        let column = |name: &str, fits: fn(&DataType) -> bool| {
            schema
                .index_of(name)
                .ok()
                .filter(|index| fits(schema.field(*index).data_type()))
                .ok_or_else(|| LakeError::UnknownColumn { item: code.to_owned(), column: name.to_owned() })
        };
        let is_token = |ty: &DataType| matches!(ty, DataType::FixedSizeBinary(16));
        let is_time = |ty: &DataType| matches!(ty, DataType::Timestamp(TimeUnit::Millisecond, _));
        let is_text = |ty: &DataType| matches!(ty, DataType::Utf8);
        let key = column(KEY, is_token)?;
        let lead = lead_token.map(|name| column(name, is_token)).transpose()?.unwrap_or(key);
        let tokens = schema.fields().iter().enumerate().filter(|(index, field)| {
            *index != lead && field.name().ends_with(TOKEN_SUFFIX) && is_token(field.data_type())
        });
        let indexed = std::iter::once(lead).chain(tokens.map(|(index, _)| index)).collect();
        Ok(Self {
            code: code.to_owned(),
            no,
            lead,
            key,
            updated_at: column(UPDATED_AT, is_time)?,
            op: column(OP, is_text)?,
            content_hash: column(CONTENT_HASH, is_text)?,
            received_at: column(RECEIVED_AT, is_time)?,
            indexed,
            schema: Arc::clone(&schema),
        })
    }

    /// Item code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sealed schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Token columns that can be searched.
    pub fn token_columns(&self) -> Vec<&str> {
        let names = self.indexed.iter().map(|index| self.schema.field(*index).name().as_str());
        names.filter(|name| name.ends_with(TOKEN_SUFFIX)).collect()
    }

    /// Changes when other columns are indexed (FNV-1a over their names).
    pub(crate) fn index_fingerprint(&self) -> u64 {
        let names = self.indexed.iter().flat_map(|index| self.schema.field(*index).name().bytes().chain([0]));
        names.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Columns that a merge of versions must see.
    pub(crate) fn version_columns(&self) -> [usize; 6] {
        [self.lead, self.key, self.updated_at, self.op, self.content_hash, self.received_at]
    }

    /// Columns of the Delta table with one partition column.
    pub(crate) fn delta_columns(&self, partition: &str, ty: DeltaType) -> Result<Vec<StructField>, LakeError> {
        let fields = self.schema.fields().iter().map(|field| delta_field(&self.code, field));
        fields.chain([Ok(StructField::new(partition, ty, true))]).collect()
    }
}

/// Every column is nullable in the log: an optional field added later is null in older files.
fn delta_field(item: &str, field: &Field) -> Result<StructField, LakeError> {
    let ty = match field.data_type() {
        DataType::Utf8 => DeltaType::STRING,
        DataType::Int32 => DeltaType::INTEGER,
        DataType::Int64 => DeltaType::LONG,
        DataType::Boolean => DeltaType::BOOLEAN,
        DataType::Date32 => DeltaType::DATE,
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => DeltaType::TIMESTAMP,
        DataType::Binary | DataType::FixedSizeBinary(_) => DeltaType::BINARY,
        DataType::Decimal128(precision, scale) => u8::try_from(*scale)
            .ok()
            .and_then(|scale| DeltaType::decimal(*precision, scale).ok())
            .ok_or_else(|| unknown(item, field))?,
        _ => return Err(unknown(item, field)),
    };
    Ok(StructField::new(field.name().clone(), ty, true))
}

fn unknown(item: &str, field: &Field) -> LakeError {
    LakeError::UnknownColumn { item: item.to_owned(), column: field.name().clone() }
}

/// The schema with fewer columns, in the order given.
pub(crate) fn project(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(|index| Arc::clone(&schema.fields()[*index])).collect();
    // The engine compares the metadata of plans with that of tables.
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The batch with exactly the schema's columns, by name: a column that a later catalogue added is null in older data.
pub(crate) fn conform(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, &'static str> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(_) => Err("a column has another type"),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|_| "a required column is missing or null")
}

/// A closed range of lead values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeadRange {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

impl LeadRange {
    pub(crate) const ALL: Self = Self { first: 0, last: u128::MAX };

    /// The range of a bucket.
    pub(crate) fn of_bucket(bucket: u64) -> Self {
        let depth = 63 - bucket.max(1).leading_zeros();
        if depth == 0 {
            return Self::ALL;
        }
        let prefix = u128::from(bucket ^ (1 << depth));
        let first = prefix << (128 - depth);
        Self { first, last: first | (u128::MAX >> depth) }
    }

    /// Cuts the whole range into `parts` of about the same size.
    pub(crate) fn split(parts: usize) -> Vec<Self> {
        let parts = u128::try_from(parts.max(1)).unwrap_or(1);
        let width = u128::MAX / parts;
        (0..parts)
            .map(|i| Self {
                first: i * width + u128::from(i > 0),
                last: if i + 1 == parts { u128::MAX } else { (i + 1) * width },
            })
            .collect()
    }

    /// True when the range holds every lead.
    pub(crate) fn is_all(self) -> bool {
        self == Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_partition_their_bucket() {
        for bucket in [1u64, 2, 3, 5, 12, 255] {
            let (whole, left, right) =
                (LeadRange::of_bucket(bucket), LeadRange::of_bucket(2 * bucket), LeadRange::of_bucket(2 * bucket + 1));
            assert_eq!((whole.first, whole.last), (left.first, right.last));
            assert_eq!(left.last + 1, right.first);
        }
    }

    #[test]
    fn parts_cover_everything_once() {
        for parts in 1..7 {
            let ranges = LeadRange::split(parts);
            assert_eq!(ranges.len(), parts);
            assert_eq!((ranges[0].first, ranges[parts - 1].last), (0, u128::MAX));
            assert!(ranges.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
        }
    }
}
