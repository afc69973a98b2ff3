//! Names of the columns that are not catalogue fields, in one place, because four crates must spell them alike.
//!
//! A submitted batch may carry the four provider columns ([`SUBMISSION_COLUMNS`]); a sealed batch always carries the
//! whole envelope ([`SEALED_COLUMNS`]) after its fields and tokens. Names start with `_`, so no field can clash.

use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::model::TIME_ZONE;

/// Item code.
pub const ITEM_CODE: &str = "_item_code";
/// Version of the catalogue that the row was checked against.
pub const CATALOGUE_VERSION: &str = "_catalogue_version";
/// Department plus the city or county suffix of the actual source system.
pub const PROVIDER_CODE: &str = "_provider_code";
/// Batch that brought the row.
pub const BATCH_ID: &str = "_batch_id";
/// Opaque number of the row at its source; never matched.
pub const SOURCE_RECORD_ID: &str = "_source_record_id";
/// Orders the versions of one natural key; later wins.
pub const SOURCE_UPDATED_AT: &str = "_source_updated_at";
/// Day the data describes.
pub const DATA_DATE: &str = "_data_date";
/// `upsert` or `delete`; null in a submission means upsert.
pub const OP: &str = "_op";
/// When the hub accepted the row.
pub const RECEIVED_AT: &str = "_received_at";
/// Keyed digest (HMAC-SM3, hex) over the canonical field values; equal digest = no change.
pub const CONTENT_HASH: &str = "_content_hash";
/// Keyed token of item and natural key.
pub const KEY: &str = "_key";

/// Appended to a field's name: the column of its token.
pub const TOKEN_SUFFIX: &str = "__token";
/// Bytes of a token.
pub const TOKEN_BYTES: i32 = 16;

/// `_op` of a new or changed row.
pub const OP_UPSERT: &str = "upsert";
/// `_op` of a removed row; such a row needs its natural key only.
pub const OP_DELETE: &str = "delete";

/// Provider columns that a submission may have, in order.
pub const SUBMISSION_COLUMNS: [&str; 4] = [SOURCE_RECORD_ID, SOURCE_UPDATED_AT, DATA_DATE, OP];

/// Columns that have one value in a whole batch. On the bus that value stands in the message's headers, not in its rows.
pub const BATCH_COLUMNS: [&str; 4] = [ITEM_CODE, CATALOGUE_VERSION, PROVIDER_CODE, BATCH_ID];

/// Envelope columns of a sealed batch, in order.
pub const SEALED_COLUMNS: [&str; 11] = [
    ITEM_CODE,
    CATALOGUE_VERSION,
    PROVIDER_CODE,
    BATCH_ID,
    SOURCE_RECORD_ID,
    SOURCE_UPDATED_AT,
    DATA_DATE,
    OP,
    RECEIVED_AT,
    CONTENT_HASH,
    KEY,
];

/// Arrow type of an envelope column; `None` for any other name.
pub fn data_type(name: &str) -> Option<DataType> {
    Some(match name {
        ITEM_CODE | CATALOGUE_VERSION | PROVIDER_CODE | BATCH_ID | SOURCE_RECORD_ID | OP | CONTENT_HASH => {
            DataType::Utf8
        }
        SOURCE_UPDATED_AT | RECEIVED_AT => DataType::Timestamp(TimeUnit::Millisecond, Some(TIME_ZONE.into())),
        DATA_DATE => DataType::Date32,
        KEY => DataType::FixedSizeBinary(TOKEN_BYTES),
        _ => return None,
    })
}

/// Arrow field of an envelope column, nullable.
pub(crate) fn field(name: &str) -> Field {
    Field::new(name, data_type(name).expect("called with envelope names"), true)
}
