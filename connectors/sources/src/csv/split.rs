//! Finding the ends of records in raw bytes.

use memchr::{memchr, memchr2};
use minqiao_connector_api::mapping::TextEncoding;
use minqiao_connector_api::rows::FaultKind;
use minqiao_connector_api::source::Limits;

use super::parse::Format;

/// Lines that one record may take: bounds the work that a lost quotation mark causes.
const LINES_MAX: u32 = 1000;

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Not even one whole record; at the end of the file: nothing.
    More,
    /// A record without its line end, where the next begins, and how many physical lines it takes.
    Record { end: usize, next: usize, lines: u32 },
    /// A line that must be refused; reading goes on with the next line.
    Broken { end: usize, next: usize, kind: FaultKind },
    /// A line that is longer than a record may be and whose end is not in sight.
    Endless,
}

/// Cuts records; see [`super`] for the rules.
#[derive(Debug)]
pub(super) struct Splitter {
    separator: u8,
    /// Whether trail bytes may equal the separator, so that characters must be stepped over as a whole.
    wide: bool,
    /// Columns of the header; 0 = not known yet.
    width: usize,
    field_bytes: usize,
    record_bytes: usize,
}

impl Splitter {
    pub(super) fn new(format: &Format, limits: &Limits) -> Self {
        Self {
            separator: format.separator,
            wide: format.encoding != TextEncoding::Utf8 && format.separator >= 0x40,
            width: 0,
            field_bytes: limits.field_bytes,
            record_bytes: limits.record_bytes,
        }
    }

    pub(super) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// Cuts the first record of `bytes`; `ended` tells that nothing follows them.
    pub(super) fn cut(&self, bytes: &[u8], ended: bool) -> Cut {
        if bytes.is_empty() {
            return Cut::More;
        }
        let window = &bytes[..bytes.len().min(self.record_bytes)];
        match memchr2(b'\n', b'"', window) {
            Some(at) if window[at] == b'\n' => self.line(bytes, at),
            Some(_) => self.quoted(bytes, ended),
            None if bytes.len() > self.record_bytes => self.broken(bytes, ended, FaultKind::Oversize),
            None if ended => self.last_line(bytes),
            None => Cut::More,
        }
    }

    fn line(&self, bytes: &[u8], newline: usize) -> Cut {
        let end = if newline > 0 && bytes[newline - 1] == b'\r' { newline - 1 } else { newline };
        Cut::Record { end, next: newline + 1, lines: 1 }
    }

    fn last_line(&self, bytes: &[u8]) -> Cut {
        let end = if bytes.last() == Some(&b'\r') { bytes.len() - 1 } else { bytes.len() };
        Cut::Record { end, next: bytes.len(), lines: 1 }
    }

    /// The first physical line is refused; the next begins behind it.
    fn broken(&self, bytes: &[u8], ended: bool, kind: FaultKind) -> Cut {
        match memchr(b'\n', bytes) {
            Some(newline) => {
                let end = if newline > 0 && bytes[newline - 1] == b'\r' { newline - 1 } else { newline };
                Cut::Broken { end: end.min(self.record_bytes), next: newline + 1, kind }
            }
            None if ended => Cut::Broken { end: bytes.len().min(self.record_bytes), next: bytes.len(), kind },
            None if bytes.len() > self.record_bytes => Cut::Endless,
            None => Cut::More,
        }
    }

    /// A record with a quotation mark somewhere: walks it field by field.
    fn quoted(&self, bytes: &[u8], ended: bool) -> Cut {
        let limit = bytes.len().min(self.record_bytes);
        let mut at = 0;
        let mut fields = 1usize;
        let mut lines = 1u32;
        loop {
            // At the beginning of a field.
            if bytes.get(at) == Some(&b'"') {
                let lines_before = lines;
                match self.closing(bytes, at + 1, &mut lines) {
                    // A mark that lost its partner finds the opening mark of a later row: text follows at once.
                    Closing::At(after) if lines > lines_before && self.goes_on(bytes, after) => {
                        return self.broken(bytes, ended, FaultKind::Unbalanced);
                    }
                    Closing::At(after) if after == bytes.len() && !ended => return Cut::More,
                    Closing::At(after) => at = after,
                    Closing::TooLong => return self.broken(bytes, ended, FaultKind::Oversize),
                    Closing::Missing if ended => return self.broken(bytes, ended, FaultKind::Unbalanced),
                    Closing::Missing => return Cut::More,
                }
            }
            match self.plain(bytes, at, limit) {
                Some(stop) if bytes[stop] == b'\n' => return self.finish(bytes, ended, stop, fields, lines),
                Some(stop) => {
                    fields += 1;
                    at = stop + 1;
                }
                None if bytes.len() > self.record_bytes => return self.broken(bytes, ended, FaultKind::Oversize),
                None if ended => {
                    return match self.last_line(bytes) {
                        Cut::Record { end, next, .. } if !self.taken_back(fields, lines) => {
                            Cut::Record { end, next, lines }
                        }
                        _ => self.broken(bytes, ended, FaultKind::Unbalanced),
                    };
                }
                None => return Cut::More,
            }
        }
    }

    /// Whether a cell goes on behind its closing quotation mark.
    fn goes_on(&self, bytes: &[u8], after: usize) -> bool {
        bytes.get(after).is_some_and(|b| *b != self.separator && !matches!(b, b'\r' | b'\n'))
    }

    fn finish(&self, bytes: &[u8], ended: bool, newline: usize, fields: usize, lines: u32) -> Cut {
        if self.taken_back(fields, lines) {
            return self.broken(bytes, ended, FaultKind::Unbalanced);
        }
        match self.line(bytes, newline) {
            Cut::Record { end, next, .. } => Cut::Record { end, next, lines },
            other => other,
        }
    }

    /// A record over several lines must have the header's width; otherwise its quotation mark stood there by mistake.
    fn taken_back(&self, fields: usize, lines: u32) -> bool {
        lines > 1 && self.width > 0 && fields != self.width
    }

    /// The next separator or line end of an unquoted stretch.
    fn plain(&self, bytes: &[u8], from: usize, limit: usize) -> Option<usize> {
        let stretch = bytes.get(from..limit)?;
        if !self.wide {
            return memchr2(self.separator, b'\n', stretch).map(|at| from + at);
        }
        let mut at = from;
        while at < limit {
            match bytes[at] {
                b'\n' => return Some(at),
                b if b == self.separator => return Some(at),
                0x81..=0xfe if bytes.get(at + 1).is_some_and(|trail| *trail >= 0x40) => at += 2,
                _ => at += 1,
            }
        }
        None
    }

    /// Where a quoted field that begins at `from` is closed; counts the lines it takes.
    fn closing(&self, bytes: &[u8], from: usize, lines: &mut u32) -> Closing {
        let limit = bytes.len().min(from + self.field_bytes);
        let mut at = from;
        while let Some(found) = memchr2(b'"', b'\n', bytes.get(at..limit).unwrap_or_default()) {
            at += found;
            if bytes[at] == b'\n' {
                *lines += 1;
                at += 1;
                if *lines > LINES_MAX {
                    return Closing::TooLong;
                }
            } else if bytes.get(at + 1) == Some(&b'"') {
                at += 2;
            } else {
                return Closing::At(at + 1);
            }
        }
        if bytes.len() > from + self.field_bytes { Closing::TooLong } else { Closing::Missing }
    }
}

enum Closing {
    At(usize),
    TooLong,
    Missing,
}
