//! Decoding records and splitting them into cells.

use std::sync::Arc;

use encoding_rs::{DecoderResult, Encoding, GB18030, GBK};
use memchr::memchr_iter;
use minqiao_connector_api::mapping::{SourceSpec, TextEncoding};
use minqiao_connector_api::rows::{FaultKind, RowFault, Rows, sample};

/// How a text file is written.
#[derive(Debug, Clone)]
pub struct Format {
    /// Encoding.
    pub encoding: TextEncoding,
    /// Between cells.
    pub separator: u8,
    /// Columns.
    pub width: usize,
    /// First word of rows with totals.
    pub total_row: Option<Arc<str>>,
}

/// One record of a piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u32,
    end: u32,
    /// Its first physical line.
    row: u32,
    /// Refused while splitting.
    broken: Option<FaultKind>,
}

impl Span {
    pub(super) fn new(start: usize, bytes: usize, row: u32, broken: Option<FaultKind>) -> Self {
        let bound = |at: usize| u32::try_from(at).expect("pieces are bounded to a few MiB");
        Self { start: bound(start), end: bound(start + bytes), row, broken }
    }
}

impl Format {
    pub(super) fn new(spec: &SourceSpec) -> Self {
        Self { encoding: spec.encoding, separator: spec.separator, width: 0, total_row: spec.total_row.clone() }
    }

    /// Cells of a header or title record; `None` when it cannot be decoded or has more than `columns_max`.
    pub(super) fn head_cells(&self, record: &[u8], columns_max: usize) -> Option<Vec<String>> {
        let mut text = String::new();
        let mut decoder = Decoder::new(self.encoding);
        if memchr::memchr(0, record).is_some() || !decoder.append(record, &mut text) {
            return None;
        }
        let mut rows = Rows::delimited(0, None);
        *rows.text_mut() = text;
        let mut spans = Vec::new();
        let end = rows.text_end();
        self.split(&mut rows, 0, end, |_, from, to| spans.push((from, to)));
        let text = rows.text_mut();
        (spans.len() <= columns_max).then(|| spans.into_iter().map(|(from, to)| text[from..to].to_owned()).collect())
    }

    /// Decodes and splits all records of a piece.
    pub(super) fn rows(&self, bytes: &[u8], records: &[Span]) -> Rows {
        let mut rows = Rows::delimited(self.width, self.total_row.clone());
        rows.reserve(records.len(), bytes.len() + bytes.len() / 2);
        let mut decoder = Decoder::new(self.encoding);
        for record in records {
            let raw = &bytes[record.start as usize..record.end as usize];
            if let Some(kind) = record.broken {
                let cells = vec![sample(&decoder.lossy(raw))];
                rows.fault_row(RowFault { row: record.row, kind, column: None, cells });
                continue;
            }
            let start = rows.text_end();
            let decoded = decoder.append(raw, rows.text_mut());
            let end = rows.text_end();
            if !decoded || memchr::memchr(0, raw).is_some() {
                rows.text_mut().truncate(start);
                rows.fault_row(self.encoding_fault(&decoder, raw, record.row));
                continue;
            }
            self.split(&mut rows, start, end, |rows, from, to| rows.push_span(from, to));
            rows.end_row(record.row);
        }
        rows
    }

    /// Names the first column that cannot be decoded.
    fn encoding_fault(&self, decoder: &Decoder, raw: &[u8], row: u32) -> RowFault {
        let cells: Vec<&[u8]> = raw.split(|b| *b == self.separator).take(self.width + 1).collect();
        let damaged = |cell: &&[u8]| memchr::memchr(0, cell).is_some() || !decoder.decodes(cell);
        let column = cells.iter().position(damaged);
        let cells = cells.iter().map(|cell| sample(&decoder.lossy(cell))).collect();
        RowFault { row, kind: FaultKind::Encoding, column, cells }
    }

    /// Splits `text[start..end]`, which is one record, into cells.
    fn split(&self, rows: &mut Rows, start: usize, end: usize, mut cell: impl FnMut(&mut Rows, usize, usize)) {
        let record = &rows.text_mut().as_bytes()[start..end];
        if memchr::memchr(b'"', record).is_none() {
            // Almost all records: the separators are the cells' bounds. Collected in blocks to lift the borrow.
            let mut from = start;
            let mut done = start;
            loop {
                let mut bounds = [0usize; 32];
                let mut count = 0;
                let rest = &rows.text_mut().as_bytes()[done..end];
                for (slot, at) in bounds.iter_mut().zip(memchr_iter(self.separator, rest)) {
                    *slot = done + at;
                    count += 1;
                }
                for &to in &bounds[..count] {
                    cell(rows, from, to);
                    from = to + 1;
                }
                if count < bounds.len() {
                    break;
                }
                done = from;
            }
            cell(rows, from, end);
            return;
        }
        self.split_quoted(rows, start, end, cell);
    }

    fn split_quoted(&self, rows: &mut Rows, start: usize, end: usize, mut cell: impl FnMut(&mut Rows, usize, usize)) {
        let mut at = start;
        loop {
            let bytes = rows.text_mut().as_bytes();
            if bytes[at..end].first() != Some(&b'"') {
                let stop = memchr::memchr(self.separator, &bytes[at..end]).map_or(end, |n| at + n);
                cell(rows, at, stop);
                at = stop;
            } else {
                let (value, stop) = unquote(&rows.text_mut()[at..end], self.separator);
                match value {
                    Unquoted::Slice(from, to) => cell(rows, at + from, at + to),
                    Unquoted::Rebuilt(text) => {
                        let from = rows.text_end();
                        rows.text_mut().push_str(&text);
                        cell(rows, from, from + text.len());
                    }
                }
                at += stop;
            }
            if at >= end {
                return;
            }
            at += 1;
        }
    }
}

enum Unquoted {
    /// The text between the quotation marks as it stands.
    Slice(usize, usize),
    /// Text with doubled quotation marks, or with something behind the closing one.
    Rebuilt(String),
}

/// Reads the quoted cell at the beginning of `text`; also returns where it stops (separator or end).
fn unquote(text: &str, separator: u8) -> (Unquoted, usize) {
    let bytes = text.as_bytes();
    let mut at = 1;
    let mut rebuilt: Option<String> = None;
    let mut from = 1;
    let close = loop {
        match memchr::memchr(b'"', &bytes[at..]) {
            None => break bytes.len(),
            Some(n) if bytes.get(at + n + 1) == Some(&b'"') => {
                rebuilt.get_or_insert_default().push_str(&text[from..at + n + 1]);
                at += n + 2;
                from = at;
            }
            Some(n) => break at + n,
        }
    };
    let after = (close + 1).min(bytes.len());
    let stop = memchr::memchr(separator, &bytes[after..]).map_or(bytes.len(), |n| after + n);
    if rebuilt.is_none() && after == stop {
        return (Unquoted::Slice(1, close), stop);
    }
    let mut text_out = rebuilt.unwrap_or_default();
    text_out.push_str(&text[from.min(close)..close]);
    text_out.push_str(&text[after..stop]);
    (Unquoted::Rebuilt(text_out), stop)
}

/// Decodes records one at a time.
struct Decoder {
    encoding: Option<&'static Encoding>,
    /// One decoded record. The library touches every page of its target's spare room on each call, so the target must
    /// not be the text of the whole piece.
    record: String,
}

impl Decoder {
    fn new(encoding: TextEncoding) -> Self {
        let encoding = match encoding {
            TextEncoding::Utf8 => None,
            TextEncoding::Gbk => Some(GBK),
            TextEncoding::Gb18030 => Some(GB18030),
        };
        Self { encoding, record: String::new() }
    }

    /// Appends decoded bytes; `false` (and unspecified text) when they are not in the encoding.
    #[inline]
    fn append(&mut self, raw: &[u8], to: &mut String) -> bool {
        if self.encoding.is_none() || raw.is_ascii() {
            return match std::str::from_utf8(raw) {
                Ok(text) => {
                    to.push_str(text);
                    true
                }
                Err(_) => false,
            };
        }
        self.append_decoded(raw, to)
    }

    fn append_decoded(&mut self, raw: &[u8], to: &mut String) -> bool {
        let Some(encoding) = self.encoding else { return false };
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let Some(room) = decoder.max_utf8_buffer_length_without_replacement(raw.len()) else { return false };
        self.record.clear();
        self.record.reserve(room);
        let (result, _) = decoder.decode_to_string_without_replacement(raw, &mut self.record, true);
        to.push_str(&self.record);
        result == DecoderResult::InputEmpty
    }

    fn decodes(&self, raw: &[u8]) -> bool {
        match self.encoding {
            None => std::str::from_utf8(raw).is_ok(),
            Some(encoding) => encoding.decode_without_bom_handling_and_without_replacement(raw).is_some(),
        }
    }

    fn lossy(&self, raw: &[u8]) -> String {
        let raw = &raw[..raw.len().min(16 << 10)];
        match self.encoding {
            None => String::from_utf8_lossy(raw).replace('\0', "\u{fffd}"),
            Some(encoding) => encoding.decode_without_bom_handling(raw).0.replace('\0', "\u{fffd}"),
        }
    }
}
