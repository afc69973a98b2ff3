//! What travels on the bus.
//!
//! A message carries one Arrow IPC stream of sealed rows of one item, one provider and one partition. The bus never
//! looks into it; what the readers need to decide before opening it stands in [`Headers`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Which rows of a batch a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Index in the batch, from 0, of the first row in the message. Rows of other partitions may lie between the
    /// rows of a message; they never repeat, so the first row names the message within its batch and partition.
    pub first_row: u32,
    /// Number of rows in the message.
    pub rows: u32,
}

/// What can be known of a message without opening it. Never personal data: `bus inspect` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    /// Item code.
    pub item: String,
    /// Version of the catalogue that the rows were checked against.
    pub catalogue_version: String,
    /// Batch id, as the provider named it.
    pub batch_id: String,
    /// Provider code.
    pub provider: String,
    /// The rows. None in a mark, by which a hub makes its epoch known ([`crate::Fence`]).
    pub span: Span,
    /// Which of the hubs that take turns in this partition appended it ([`crate::Fence`]); 0 where one hub is alone.
    #[serde(default)]
    pub epoch: u64,
}

/// A message to append.
#[derive(Debug, Clone)]
pub struct Message {
    /// What it is about.
    pub headers: Headers,
    /// The Arrow IPC stream.
    pub payload: Bytes,
}

impl Message {
    /// Bytes that count against [`crate::Limits::message_bytes_max`]: the payload.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// True for an empty payload.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    pub(crate) fn identity(&self) -> Vec<u8> {
        self.headers.identity()
    }
}

impl Headers {
    /// Names a message for idempotent append: the same provider, batch, span and epoch are the same message. A message
    /// of an earlier epoch may count for nothing, so that one of a later epoch must not be taken for it.
    pub fn identity(&self) -> Vec<u8> {
        let Self { batch_id, provider, span, epoch, .. } = self;
        let mut key = Vec::with_capacity(provider.len() + batch_id.len() + 18);
        key.extend_from_slice(provider.as_bytes());
        key.push(0);
        key.extend_from_slice(batch_id.as_bytes());
        key.push(0);
        key.extend_from_slice(&span.first_row.to_be_bytes());
        key.extend_from_slice(&span.rows.to_be_bytes());
        key.extend_from_slice(&epoch.to_be_bytes());
        key
    }
}

/// A message at its place.
#[derive(Debug, Clone)]
pub struct Record {
    /// Position in the partition, dense from 0.
    pub offset: u64,
    /// What it is about.
    pub headers: Headers,
    /// The Arrow IPC stream.
    pub payload: Bytes,
}
