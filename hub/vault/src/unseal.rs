//! Opening what was sealed, one value, one column or one blob at a time, always in memory.
//!
//! A failure of one value fails the column: a changed ciphertext is an attack or a damaged disk, and an answer with a
//! hole in it would hide that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Date32Array, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use minqiao_schemas::{FieldType, Item};

use crate::ring::Ring;
use crate::seal::{HEADER_BYTES, LAYOUT, OVERHEAD_BYTES, blob_aad, blob_context, field_aad, field_context};
use crate::suite::{AeadKey, NONCE_BYTES, TAG_BYTES};
use crate::vault::Inner;
use crate::{VaultError, canonical};

/// Decrypts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Unsealer {
    vault: Arc<Inner>,
}

/// A data key with what it authenticates.
struct Opener {
    suite: u8,
    cipher: Arc<dyn AeadKey>,
    aad: Vec<u8>,
}

impl Unsealer {
    pub(crate) fn new(vault: Arc<Inner>) -> Self {
        Self { vault }
    }

    /// The canonical text of one sealed value.
    pub fn value(&self, item: &str, field: &str, ciphertext: &[u8]) -> Result<String, VaultError> {
        let mut openers = HashMap::new();
        let mut text = Vec::with_capacity(ciphertext.len());
        self.open_field(&mut openers, item, field, ciphertext, &mut text)?;
        String::from_utf8(text).map_err(|_| VaultError::Tampered)
    }

    /// A sealed column as canonical texts, null where it was null.
    pub fn column(&self, item: &str, field: &str, sealed: &BinaryArray) -> Result<StringArray, VaultError> {
        let mut openers = HashMap::new();
        let mut out = Vec::with_capacity(sealed.value_data().len().saturating_sub(sealed.len() * OVERHEAD_BYTES));
        let mut offsets: Vec<i32> = Vec::with_capacity(sealed.len() + 1);
        offsets.push(0);
        for row in 0..sealed.len() {
            if sealed.is_valid(row) {
                self.open_field(&mut openers, item, field, sealed.value(row), &mut out)?;
            }
            offsets.push(i32::try_from(out.len()).map_err(|_| VaultError::TooLarge)?);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        StringArray::try_new(offsets, Buffer::from_vec(out), sealed.nulls().cloned()).map_err(|_| VaultError::Tampered)
    }

    /// A sealed column in the type of its field: `Utf8` or `Date32` (the only types that the catalogue seals).
    pub fn column_of(&self, item: &Item, field: &str, sealed: &BinaryArray) -> Result<ArrayRef, VaultError> {
        let not_sealed = || VaultError::NotSealed { item: item.code.clone(), field: field.to_owned() };
        let ty = item.field(field).filter(|field| field.is_sealed()).ok_or_else(not_sealed)?.ty;
        let texts = self.column(&item.code, field, sealed)?;
        match ty {
            FieldType::Utf8 => Ok(Arc::new(texts)),
            FieldType::Date32 => {
                let days: Option<Vec<Option<i32>>> = texts
                    .iter()
                    .map(|text| match text {
                        Some(text) => canonical::read_date(text.as_bytes()).map(Some),
                        None => Some(None),
                    })
                    .collect();
                Ok(Arc::new(Date32Array::from(days.ok_or(VaultError::Tampered)?)))
            }
            _ => Err(not_sealed()),
        }
    }

    /// What [`crate::Sealer::seal_blob`] sealed under the same `kind` and `id`.
    pub fn open_blob(&self, kind: &str, id: &str, ciphertext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let parts = Parts::of(ciphertext)?;
        let (ring, suite) = self.ring_with(parts.version)?;
        let cipher = self.vault.cipher(&ring, parts.version, &blob_context(kind))?;
        let opener = Opener { suite, cipher, aad: blob_aad(kind, id, parts.version) };
        let mut text = Vec::with_capacity(parts.text.len());
        opener.open(&parts, &mut text)?;
        Ok(text)
    }

    fn open_field(
        &self,
        openers: &mut HashMap<u16, Opener>,
        item: &str,
        field: &str,
        ciphertext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), VaultError> {
        let parts = Parts::of(ciphertext)?;
        let opener = match openers.entry(parts.version) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let (ring, suite) = self.ring_with(parts.version)?;
                let context = field_context(item, field);
                let cipher = self.vault.cipher(&ring, parts.version, &context)?;
                place.insert(Opener { suite, cipher, aad: field_aad(context, parts.version) })
            }
        };
        opener.open(&parts, out)
    }

    /// A ring that has `version`, read from disk again when the one in memory has not, and the version's suite.
    fn ring_with(&self, version: u16) -> Result<(Arc<Ring>, u8), VaultError> {
        let mut ring = self.vault.ring();
        if !ring.data.contains_key(&version) {
            ring = self.vault.reload()?;
        }
        let suite = ring.data.get(&version).ok_or(VaultError::UnknownKeyVersion { version })?.suite.id().0;
        Ok((ring, suite))
    }
}

impl Opener {
    fn open(&self, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<(), VaultError> {
        if parts.suite != self.suite {
            return Err(VaultError::Tampered);
        }
        let start = out.len();
        out.extend_from_slice(parts.text);
        self.cipher.open(parts.nonce, &self.aad, &mut out[start..], parts.tag)
    }
}

/// A ciphertext taken apart; the layout stands in [`crate::seal`].
struct Parts<'a> {
    suite: u8,
    version: u16,
    nonce: &'a [u8; NONCE_BYTES],
    text: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> Parts<'a> {
    fn of(ciphertext: &'a [u8]) -> Result<Self, VaultError> {
        let (head, rest) = ciphertext.split_first_chunk::<HEADER_BYTES>().ok_or(VaultError::Tampered)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(VaultError::Tampered)?;
        let [layout, suite, high, low, nonce @ ..] = head;
        if *layout != LAYOUT {
            return Err(VaultError::Tampered);
        }
        Ok(Self { suite: *suite, version: u16::from_be_bytes([*high, *low]), nonce, text, tag })
    }
}
