//! Keys and values of the embedded bus as bytes; the table stands in the module above.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{BusError, Message, Record, TopicInfo};

/// First byte of a stored message: the layout after it.
const MESSAGE_LAYOUT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct StoredTopic {
    info: TopicInfo,
    number: u32,
}

pub(crate) fn write_topic(info: &TopicInfo, number: u32) -> Vec<u8> {
    serde_json::to_vec(&StoredTopic { info: info.clone(), number }).expect("a topic has only strings and numbers")
}

pub(crate) fn read_topic(value: &[u8]) -> Result<(TopicInfo, u32), BusError> {
    let stored: StoredTopic = serde_json::from_slice(value).map_err(|_| BusError::Damaged { what: "topic" })?;
    Ok((stored.info, stored.number))
}

pub(crate) fn partition_prefix(number: u32, partition: u32) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key[4..].copy_from_slice(&partition.to_be_bytes());
    key
}

pub(crate) fn message_key(number: u32, partition: u32, offset: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&partition_prefix(number, partition));
    key[8..].copy_from_slice(&offset.to_be_bytes());
    key
}

pub(crate) fn identity_key(number: u32, partition: u32, message: &Message) -> Vec<u8> {
    let mut key = partition_prefix(number, partition).to_vec();
    key.extend_from_slice(&message.identity());
    key
}

pub(crate) fn offset_of(key: &[u8]) -> Result<u64, BusError> {
    let bytes =
        key.get(8..16).and_then(|bytes| bytes.try_into().ok()).ok_or(BusError::Damaged { what: "message key" })?;
    Ok(u64::from_be_bytes(bytes))
}

pub(crate) fn read_offset(value: &[u8]) -> Result<u64, BusError> {
    Ok(u64::from_be_bytes(value.try_into().map_err(|_| BusError::Damaged { what: "message identity" })?))
}

pub(crate) fn write_message(message: &Message) -> Vec<u8> {
    let headers = serde_json::to_vec(&message.headers).expect("headers have only strings and numbers");
    let length = u32::try_from(headers.len()).expect("ids are short");
    let mut value = Vec::with_capacity(5 + headers.len() + message.payload.len());
    value.push(MESSAGE_LAYOUT);
    value.extend_from_slice(&length.to_be_bytes());
    value.extend_from_slice(&headers);
    value.extend_from_slice(&message.payload);
    value
}

pub(crate) fn read_message(key: &[u8], value: fjall::Slice) -> Result<Record, BusError> {
    let damaged = || BusError::Damaged { what: "message" };
    let offset = offset_of(key)?;
    let value = Bytes::from_owner(value);
    let (layout, rest) = value.split_first().ok_or_else(damaged)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = u32::from_be_bytes(*length) as usize;
    if *layout != MESSAGE_LAYOUT || rest.len() < length {
        return Err(damaged());
    }
    let headers = serde_json::from_slice(&rest[..length]).map_err(|_| damaged())?;
    Ok(Record { offset, headers, payload: value.slice(5 + length..) })
}
