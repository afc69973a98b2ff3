//! Sealing: the hot path of the gateway.
//!
//! ```text
//! ciphertext = 1 ‖ suite u8 ‖ key version u16 ‖ nonce (12) ‖ text (n) ‖ tag (16)          big endian
//! nonce      = random u64 of the batch ‖ row u32
//! data key   = KDF(master key of the version, "field" ‖ 0x1F ‖ item ‖ 0x1F ‖ field)
//! associated = "field" ‖ 0x1F ‖ item ‖ 0x1F ‖ field ‖ 0x1F ‖ key version u16
//! ```
//!
//! Every field has its own data key, so the row number separates the nonces of a batch and the random half separates
//! batches: two batches of one item and one key version would have to draw the same 64 bits. Rotate before 2^28
//! batches of an item (a chance of 2^-9 at 2^28; a large city sends 2^14 a year).
//!
//! A batch is sealed column by column: key schedule, GHASH table and keyed hash states are set up once and cloned or
//! shared, output buffers are sized once, and values that repeat within a batch (the head of a household, a class
//! teacher) are tokenised once. Several batches are sealed in parallel by several callers; a batch by one.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use minqiao_core::{BatchEnvelope, Op, Token};
use minqiao_schemas::{Field, Item, envelope};

use crate::column::Column;
use crate::suite::{MAC_BYTES, MacKey, NONCE_BYTES, TAG_BYTES};
use crate::token::{DOMAIN_KEY, TOKEN_BYTES, looks_like_identifier};
use crate::vault::Inner;
use crate::{VaultError, canonical};

/// First byte of a ciphertext: the layout after it.
pub(crate) const LAYOUT: u8 = 1;
/// Bytes before the text.
pub(crate) const HEADER_BYTES: usize = 4 + NONCE_BYTES;
/// Bytes that sealing adds to a value.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// Encrypts and tokenises; cannot decrypt. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sealer {
    vault: Arc<Inner>,
}

impl Sealer {
    pub(crate) fn new(vault: Arc<Inner>) -> Self {
        Self { vault }
    }

    /// Turns checked clear rows into what bus and lake hold ([`Item::sealed_schema`]), row for row.
    ///
    /// `submission` has the item's fields under their names with their types, absent ones read as null, and may have
    /// the provider columns ([`envelope::SUBMISSION_COLUMNS`]). A null `_op` becomes `upsert`.
    pub fn seal_batch(
        &self,
        item: &Item,
        submission: &RecordBatch,
        envelope: &BatchEnvelope,
    ) -> Result<RecordBatch, VaultError> {
        let rows = submission.num_rows();
        if u32::try_from(rows).is_err() {
            return Err(VaultError::TooLarge);
        }
        let mut prefix = [0; 8];
        self.vault.entropy.fill(&mut prefix)?;
        let schema = item.sealed_schema();
        let sources: Vec<Column<'_>> =
            item.fields.iter().map(|field| Column::of(submission, field)).collect::<Result<_, _>>()?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (field, source) in item.fields.iter().zip(&sources) {
            columns.push(if field.is_sealed() {
                self.seal_column(item, field, source, rows, prefix)?
            } else {
                source.to_array(submission, &field.name, &field.ty.arrow(), rows)
            });
        }
        for (at, field) in item.token_fields() {
            columns.push(self.token_column(field, &sources[at], rows)?);
        }
        for name in envelope::SEALED_COLUMNS {
            columns.push(match name {
                envelope::KEY => self.key_column(item, &sources, rows)?,
                envelope::CONTENT_HASH => self.content_column(item, &sources, rows)?,
                _ => self.envelope_column(name, item, submission, envelope, rows)?,
            });
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// Encrypts bytes that are not a field: rows in quarantine. `kind` and `id` must be given again to open them.
    pub fn seal_blob(&self, kind: &str, id: &str, text: &[u8]) -> Result<Vec<u8>, VaultError> {
        let ring = self.vault.ring();
        let version = ring.data_active;
        let cipher = self.vault.cipher(&ring, version, &blob_context(kind))?;
        let suite = ring.data.get(&version).ok_or(VaultError::UnknownKeyVersion { version })?.suite.id().0;
        let mut nonce = [0; NONCE_BYTES];
        self.vault.entropy.fill(&mut nonce)?;
        let mut out = Vec::with_capacity(text.len() + OVERHEAD_BYTES);
        out.extend_from_slice(&header(suite, version));
        out.extend_from_slice(&nonce);
        out.extend_from_slice(text);
        let tag = cipher.seal(&nonce, &blob_aad(kind, id, version), &mut out[HEADER_BYTES..])?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    fn seal_column(
        &self,
        item: &Item,
        field: &Field,
        source: &Column<'_>,
        rows: usize,
        prefix: [u8; 8],
    ) -> Result<ArrayRef, VaultError> {
        let ring = self.vault.ring();
        let version = ring.data_active;
        let context = field_context(&item.code, &field.name);
        let cipher = self.vault.cipher(&ring, version, &context)?;
        let suite = ring.data.get(&version).ok_or(VaultError::UnknownKeyVersion { version })?.suite.id().0;
        let aad = field_aad(context, version);
        let header = header(suite, version);
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&prefix);

        let mut out = Vec::with_capacity(source.text_bytes(rows) + rows * OVERHEAD_BYTES);
        let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
        offsets.push(0);
        for row in 0..rows {
            if !source.is_null(row) {
                nonce[8..].copy_from_slice(&u32::try_from(row).map_err(|_| VaultError::TooLarge)?.to_be_bytes());
                out.extend_from_slice(&header);
                out.extend_from_slice(&nonce);
                let start = out.len();
                source.write(row, &mut out);
                let tag = cipher.seal(&nonce, &aad, &mut out[start..])?;
                out.extend_from_slice(&tag);
            }
            offsets.push(i32::try_from(out.len()).map_err(|_| VaultError::TooLarge)?);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(BinaryArray::try_new(offsets, Buffer::from_vec(out), source.nulls(rows))?))
    }

    fn token_column(&self, field: &Field, source: &Column<'_>, rows: usize) -> Result<ArrayRef, VaultError> {
        let mac = self.vault.domain(field.token_domain());
        let mut seen = Repeats::default();
        let mut out = vec![0; rows * TOKEN_BYTES];
        let mut text = Vec::with_capacity(64);
        for row in 0..rows {
            if source.is_null(row) {
                continue;
            }
            let place = row * TOKEN_BYTES..(row + 1) * TOKEN_BYTES;
            if let Column::Text(values) = source {
                let value = values.value(row).as_bytes();
                match seen.earlier(value, row, |earlier| values.value(earlier).as_bytes() == value) {
                    Some(earlier) => out.copy_within(earlier * TOKEN_BYTES..(earlier + 1) * TOKEN_BYTES, place.start),
                    None => out[place].copy_from_slice(&mac.mac(value)[..TOKEN_BYTES]),
                }
            } else {
                text.clear();
                source.write(row, &mut text);
                out[place].copy_from_slice(&mac.mac(&text)[..TOKEN_BYTES]);
            }
        }
        tokens(out, source.nulls(rows))
    }

    fn key_column(&self, item: &Item, sources: &[Column<'_>], rows: usize) -> Result<ArrayRef, VaultError> {
        let mac = self.vault.domain(DOMAIN_KEY).prefixed(item.code.as_bytes());
        let parts: Vec<&Column<'_>> = item.key_indices().into_iter().map(|at| &sources[at]).collect();
        let mut out = Vec::with_capacity(rows * TOKEN_BYTES);
        let (mut text, mut part) = (Vec::with_capacity(128), Vec::with_capacity(64));
        for row in 0..rows {
            text.clear();
            for column in &parts {
                part.clear();
                if !column.is_null(row) {
                    column.write(row, &mut part);
                }
                canonical::write_key_part(&mut text, &part);
            }
            out.extend_from_slice(&mac.mac(&text)[..TOKEN_BYTES]);
        }
        tokens(out, None)
    }

    fn content_column(&self, item: &Item, sources: &[Column<'_>], rows: usize) -> Result<ArrayRef, VaultError> {
        let mac = content_mac(&self.vault, item);
        let mut out = vec![0; rows * 2 * MAC_BYTES];
        let mut text = Vec::with_capacity(512);
        for (row, hex_text) in out.chunks_exact_mut(2 * MAC_BYTES).enumerate() {
            text.clear();
            for column in sources {
                column.write_delimited(row, &mut text);
            }
            write_hex(hex_text, &mac.mac(&text));
        }
        let offsets = OffsetBuffer::from_repeated_length(2 * MAC_BYTES, rows);
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(out), None)?))
    }

    fn envelope_column(
        &self,
        name: &str,
        item: &Item,
        submission: &RecordBatch,
        envelope: &BatchEnvelope,
        rows: usize,
    ) -> Result<ArrayRef, VaultError> {
        let constant = |text: &str| -> ArrayRef { Arc::new(StringArray::new_repeated(text, rows)) };
        let ty = envelope::data_type(name).unwrap_or(DataType::Null);
        let given = submission.column_by_name(name);
        if given.is_some_and(|array| *array.data_type() != ty) {
            return Err(VaultError::ColumnType { field: name.to_owned() });
        }
        Ok(match (name, given) {
            (envelope::ITEM_CODE, _) => constant(&item.code),
            (envelope::CATALOGUE_VERSION, _) => constant(&item.catalogue_version),
            (envelope::PROVIDER_CODE, _) => constant(envelope.provider.as_str()),
            (envelope::BATCH_ID, _) => constant(envelope.batch_id.as_str()),
            (envelope::RECEIVED_AT, _) => {
                let moments = ScalarBuffer::from(vec![envelope.received_at.0; rows]);
                Arc::new(TimestampMillisecondArray::try_new(moments, None)?.with_data_type(ty))
            }
            (envelope::OP, None) => constant(Op::Upsert.as_str()),
            (envelope::OP, Some(array)) if array.null_count() > 0 => {
                let given = array.as_any().downcast_ref::<StringArray>();
                let given = given.ok_or_else(|| VaultError::ColumnType { field: name.to_owned() })?;
                Arc::new(StringArray::from_iter_values(given.iter().map(|op| op.unwrap_or(Op::Upsert.as_str()))))
            }
            (envelope::SOURCE_RECORD_ID, Some(array)) => self.source_ids(array)?,
            (_, Some(array)) => Arc::clone(array),
            (_, None) => arrow::array::new_null_array(&ty, rows),
        })
    }

    /// Source record ids travel in clear because they are opaque by contract. Some systems use the citizen number
    /// all the same; such an id is replaced by a token of it.
    fn source_ids(&self, array: &ArrayRef) -> Result<ArrayRef, VaultError> {
        let column = || VaultError::ColumnType { field: envelope::SOURCE_RECORD_ID.to_owned() };
        let ids = array.as_any().downcast_ref::<StringArray>().ok_or_else(column)?;
        if !ids.iter().flatten().any(looks_like_identifier) {
            return Ok(Arc::clone(array));
        }
        let mac = self.vault.domain(envelope::SOURCE_RECORD_ID);
        let replaced = ids.iter().map(|id| {
            id.map(|id| {
                if looks_like_identifier(id) {
                    format!("t-{}", hex::encode(&mac.mac(id.as_bytes())[..TOKEN_BYTES]))
                } else {
                    id.to_owned()
                }
            })
        });
        Ok(Arc::new(replaced.collect::<StringArray>()))
    }
}

/// Finds an earlier row of the batch with the same value; remembers one row per slot.
#[derive(Default)]
struct Repeats {
    slots: Vec<u32>,
}

impl Repeats {
    const SLOTS: usize = 4096;

    fn earlier(&mut self, value: &[u8], row: usize, same: impl Fn(usize) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            self.slots = vec![u32::MAX; Self::SLOTS];
        }
        let slot = &mut self.slots[slot_of(value) % Self::SLOTS];
        let earlier = *slot as usize;
        if *slot != u32::MAX && same(earlier) {
            return Some(earlier);
        }
        *slot = u32::try_from(row).unwrap_or(u32::MAX);
        None
    }
}

/// A quick spread of values over slots; collisions cost a token, nothing else.
fn slot_of(value: &[u8]) -> usize {
    let mut hash = value.len() as u64;
    for chunk in value.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
    (hash >> 20) as usize
}

fn tokens(bytes: Vec<u8>, nulls: Option<NullBuffer>) -> Result<ArrayRef, VaultError> {
    Ok(Arc::new(FixedSizeBinaryArray::try_new(envelope::TOKEN_BYTES, Buffer::from_vec(bytes), nulls)?))
}

fn content_mac(vault: &Inner, item: &Item) -> Arc<dyn MacKey> {
    let mut prefix = item.code.as_bytes().to_vec();
    prefix.push(canonical::SEPARATOR);
    vault.ring().content.prefixed(&prefix)
}

fn write_hex(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn header(suite: u8, version: u16) -> [u8; 4] {
    let [high, low] = version.to_be_bytes();
    [LAYOUT, suite, high, low]
}

pub(crate) fn field_context(item: &str, field: &str) -> Vec<u8> {
    [b"field".as_slice(), item.as_bytes(), field.as_bytes()].join(&canonical::SEPARATOR)
}

pub(crate) fn field_aad(mut context: Vec<u8>, version: u16) -> Vec<u8> {
    context.push(canonical::SEPARATOR);
    context.extend_from_slice(&version.to_be_bytes());
    context
}

pub(crate) fn blob_context(kind: &str) -> Vec<u8> {
    [b"blob".as_slice(), kind.as_bytes()].join(&canonical::SEPARATOR)
}

pub(crate) fn blob_aad(kind: &str, id: &str, version: u16) -> Vec<u8> {
    let mut aad = [b"blob".as_slice(), kind.as_bytes(), id.as_bytes()].join(&canonical::SEPARATOR);
    aad.push(canonical::SEPARATOR);
    aad.extend_from_slice(&version.to_be_bytes());
    aad
}

/// A token as a value.
pub(crate) fn token_from(mac: [u8; MAC_BYTES]) -> Token {
    let mut token = [0; TOKEN_BYTES];
    token.copy_from_slice(&mac[..TOKEN_BYTES]);
    Token(token)
}
