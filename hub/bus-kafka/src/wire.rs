//! A message of the bus as a record of Kafka.
//!
//! ```text
//! key     none: the partition is chosen by the caller
//! headers item, catalogue, batch, provider   UTF-8
//!         span                               "first row+rows" in decimal
//!         epoch                              decimal, left out when 0
//! value   the payload
//! ```
//!
//! Headers are text so that any Kafka tool shows what a record is about; they never hold personal data.

use bytes::Bytes;
use minqiao_bus::{BusError, Headers, Record, Span};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};

const ITEM: &str = "item";
const CATALOGUE: &str = "catalogue";
const BATCH: &str = "batch";
const PROVIDER: &str = "provider";
const SPAN: &str = "span";
const EPOCH: &str = "epoch";

pub(crate) fn headers_of(headers: &Headers) -> OwnedHeaders {
    let span = format!("{}+{}", headers.span.first_row, headers.span.rows);
    let text = |key, value| Header { key, value: Some(value) };
    let all = OwnedHeaders::new_with_capacity(6)
        .insert(text(ITEM, headers.item.as_str()))
        .insert(text(CATALOGUE, headers.catalogue_version.as_str()))
        .insert(text(BATCH, headers.batch_id.as_str()))
        .insert(text(PROVIDER, headers.provider.as_str()))
        .insert(text(SPAN, span.as_str()));
    match headers.epoch {
        0 => all,
        epoch => all.insert(text(EPOCH, epoch.to_string().as_str())),
    }
}

/// A record that the bus did not write is damage: skipping it would hide a loss.
pub(crate) fn record_of(message: &BorrowedMessage<'_>) -> Result<Record, BusError> {
    let damaged = BusError::Damaged { what: "record" };
    let Ok(offset) = u64::try_from(message.offset()) else { return Err(damaged) };
    let Some(headers) = message.headers().and_then(|headers| {
        let text = |key: &str| {
            let found = headers.iter().find(|header| header.key == key)?;
            std::str::from_utf8(found.value?).ok()
        };
        Some(Headers {
            item: text(ITEM)?.to_owned(),
            catalogue_version: text(CATALOGUE)?.to_owned(),
            batch_id: text(BATCH)?.to_owned(),
            provider: text(PROVIDER)?.to_owned(),
            span: span_of(text(SPAN)?)?,
            // An epoch that cannot be read must not count as the least.
            epoch: headers.iter().find(|header| header.key == EPOCH).map_or(Some(0), |_| text(EPOCH)?.parse().ok())?,
        })
    }) else {
        return Err(damaged);
    };
    let payload = message.payload().map(Bytes::copy_from_slice).unwrap_or_default();
    Ok(Record { offset, headers, payload })
}

fn span_of(text: &str) -> Option<Span> {
    let (first_row, rows) = text.split_once('+')?;
    Some(Span { first_row: first_row.parse().ok()?, rows: rows.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_back_and_nothing_else_does() {
        assert_eq!(span_of("40+10"), Some(Span { first_row: 40, rows: 10 }));
        for wrong in ["", "40", "40+", "+", "-1+2", "40+10+2", "99999999999+1"] {
            assert_eq!(span_of(wrong), None, "{wrong}");
        }
    }
}
