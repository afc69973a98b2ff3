//! Delimited text in GBK, GB 18030 or UTF-8.
//!
//! Written by hand because department files are damaged in ways that a general reader either refuses or swallows: rows in
//! another encoding, quotation marks without partner, runaway fields. Rules, in the order in which they apply:
//!
//! - a physical line ends at LF (a CR before it belongs to the end); a file ends its last line with or without one;
//! - a field is quoted when it begins with `"`; inside, `""` is one `"` and line ends are text; what follows the closing
//!   quote up to the separator is text too;
//! - a record that spans lines and then does not have the header's width, goes on behind the closing quotation mark, or
//!   grows beyond the limits, is taken back: its first line is refused and reading goes on with the second. A lost
//!   quotation mark costs one row, not the file;
//! - a record whose bytes are not in the declared encoding, or hold NUL, is refused alone.
//!
//! [`split`] finds records in raw bytes, which is safe in all three encodings: bytes of a multi-byte character are never CR,
//! LF or `"`. Separators are looked for after decoding, because a GBK trail byte may look like `|` or `^`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use minqiao_connector_api::mapping::{SourceSpec, TextEncoding};
use minqiao_connector_api::rows::{FaultKind, Rows};
use minqiao_connector_api::source::{FastDigest, FileRef, Head, Limits, Piece, Position, Refusal, Source, SourceError};

mod parse;
mod split;

pub use parse::Format;
use split::{Cut, Splitter};

/// Bytes that are read from the file at once.
const READ_BYTES: usize = 1 << 20;
/// Bytes of an endless line that the quarantine gets.
const KEPT_BYTES: usize = 16 << 10;

/// A delimited text file.
#[derive(Debug)]
pub struct CsvSource {
    file: FileRef,
    from: BufReader<File>,
    head: Head,
    format: Arc<Format>,
    limits: Limits,
    splitter: Splitter,
    /// Bytes read and not yet cut; `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    position: Position,
}

impl CsvSource {
    /// Opens a file and reads its head.
    pub fn open(
        file: &FileRef,
        spec: &SourceSpec,
        limits: &Limits,
        from: Option<Position>,
    ) -> Result<Self, SourceError> {
        let format = Format::new(spec);
        let fail = crate::io_error(file);
        let mut source = Self {
            file: file.clone(),
            from: BufReader::with_capacity(READ_BYTES, File::open(&file.path).map_err(&fail)?),
            head: Head::default(),
            splitter: Splitter::new(&format, limits),
            format: Arc::new(format),
            limits: limits.clone(),
            buffer: Vec::new(),
            start: 0,
            ended: false,
            position: Position::default(),
        };
        source.skip_mark()?;
        source.read_head(spec)?;
        if let Some(from) = from {
            source.from.seek(SeekFrom::Start(from.offset)).map_err(&fail)?;
            source.buffer.clear();
            source.start = 0;
            source.ended = false;
            source.position = from;
        }
        Ok(source)
    }

    /// Skips a byte order mark; refuses files that are UTF-16 or workbooks under another name.
    fn skip_mark(&mut self) -> Result<(), SourceError> {
        self.fill(4)?;
        let refuse = |zh: &str, en: &str| self.refused(Refusal::new("encoding", zh, en));
        match self.buffer.as_slice() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(refuse(
                "文件是 UTF-16 编码，不是约定的编码。请另存为约定的编码后重新报送。",
                "the file is UTF-16, not the agreed encoding; save it in the agreed encoding and send again",
            )),
            [b'P', b'K', 3, 4, ..] => Err(refuse(
                "文件其实是 Excel 工作簿（或压缩包），不是文本。请按约定导出为 CSV。",
                "the file is a workbook or an archive, not text; export it as CSV as agreed",
            )),
            [0xd0, 0xcf, 0x11, 0xe0, ..] => Err(refuse(
                "文件其实是旧版 Excel（.xls），不是文本。请按约定导出为 CSV。",
                "the file is an old workbook (.xls), not text; export it as CSV as agreed",
            )),
            [0xef, 0xbb, 0xbf, ..] if self.format.encoding == TextEncoding::Utf8 => {
                self.start = 3;
                self.position.offset = 3;
                Ok(())
            }
            [0xef, 0xbb, 0xbf, ..] => Err(refuse(
                "文件是 UTF-8（带 BOM）编码，不是约定的编码。请按约定的编码重新导出。",
                "the file is UTF-8 with a byte order mark, not the agreed encoding; export it in the agreed encoding",
            )),
            _ => Ok(()),
        }
    }

    fn read_head(&mut self, spec: &SourceSpec) -> Result<(), SourceError> {
        let mut head = Head::default();
        for at in 0..spec.skip_rows + spec.header_rows {
            let Some(cells) = self.head_record()? else { break };
            if at < spec.skip_rows {
                head.titles.push(cells.join(" "));
            } else {
                head.header.push(cells);
            }
        }
        self.head = head;
        Ok(())
    }

    /// One record of the head, as cells. Undecodable headers are refused: every row would be, one by one.
    fn head_record(&mut self) -> Result<Option<Vec<String>>, SourceError> {
        let cut = loop {
            let cut = self.splitter.cut(&self.buffer[self.start..], self.ended);
            match cut {
                Cut::More if !self.ended => {
                    let wanted = self.buffer.len() - self.start + READ_BYTES;
                    self.fill(wanted)?;
                }
                other => break other,
            }
        };
        let (bytes, next, lines) = match cut {
            Cut::More => return Ok(None),
            Cut::Record { end, next, lines } => (&self.buffer[self.start..self.start + end], next, lines),
            Cut::Broken { .. } | Cut::Endless => {
                return Err(self.refused(Refusal::new(
                    "schema_drift",
                    "表头无法识别：引号不成对或内容过长，整个文件未接收。请检查文件开头。",
                    "the header cannot be read: a quotation mark has no partner, or it is too long; the whole file is refused",
                )));
            }
        };
        let cells = self.format.head_cells(bytes, self.limits.columns).ok_or_else(|| {
            let hint_zh = if std::str::from_utf8(bytes).is_ok() { "文件看来是 UTF-8。" } else { "" };
            let hint_en = if std::str::from_utf8(bytes).is_ok() { "; it looks like UTF-8" } else { "" };
            let name = self.format.encoding.as_str();
            self.refused(Refusal::new(
                "encoding",
                format!("表头不是约定的编码（{name}）或列数过多，整个文件未接收。{hint_zh}请按约定的编码重新导出。"),
                format!("the header is not in the agreed encoding (`{name}`), or has too many columns; the whole file is refused{hint_en}"),
            ))
        })?;
        self.start += next;
        self.position.offset += next as u64;
        self.position.row = self.position.row.saturating_add(lines);
        Ok(Some(cells))
    }

    /// Reads until `wanted` uncut bytes are there or the file ends.
    fn fill(&mut self, wanted: usize) -> Result<(), SourceError> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let missing = wanted.saturating_sub(self.buffer.len());
        if missing > 0 && !self.ended {
            let fail = crate::io_error(&self.file);
            let read = Read::by_ref(&mut self.from).take(missing as u64).read_to_end(&mut self.buffer).map_err(fail)?;
            self.ended = read < missing;
        }
        Ok(())
    }

    /// Skips a line without holding it; its beginning is kept for the quarantine.
    fn endless_line(&mut self) -> Result<Box<dyn Piece>, SourceError> {
        let kept = self.buffer.len().min(self.start + KEPT_BYTES);
        let bytes = self.buffer[self.start..kept].to_vec();
        let mut taken = 0u64;
        loop {
            let uncut = &self.buffer[self.start..];
            let newline = memchr::memchr(b'\n', uncut);
            let step = newline.map_or(uncut.len(), |at| at + 1);
            taken += step as u64;
            self.start += step;
            if newline.is_some() || self.ended {
                break;
            }
            self.fill(READ_BYTES)?;
        }
        let row = self.position.row + 1;
        self.position.offset += taken;
        self.position.row = row;
        self.position.sequence += 1;
        let records = vec![parse::Span::new(0, bytes.len(), row, Some(FaultKind::Oversize))];
        Ok(Box::new(CsvPiece { bytes, records, end: self.position, format: Arc::clone(&self.format) }))
    }

    fn refused(&self, refusal: Refusal) -> SourceError {
        SourceError::Refused { file: self.file.name.clone(), refusal }
    }
}

impl Source for CsvSource {
    fn head(&self) -> &Head {
        &self.head
    }

    fn set_width(&mut self, width: usize) {
        self.splitter.set_width(width);
        let format = Format { width, ..Format::clone(&self.format) };
        self.format = Arc::new(format);
    }

    fn next_piece(&mut self) -> Result<Option<Box<dyn Piece>>, SourceError> {
        let mut records = Vec::with_capacity(self.limits.piece_rows);
        let mut at = self.start;
        let mut row = self.position.row;
        while records.len() < self.limits.piece_rows && at - self.start < self.limits.piece_bytes {
            match self.splitter.cut(&self.buffer[at..], self.ended) {
                Cut::More if self.ended => break,
                Cut::More => {
                    // Keeps what is cut so far: offsets count from `start`, which `fill` moves to zero.
                    let (done, uncut) = (at - self.start, self.buffer.len() - self.start);
                    self.fill(uncut + READ_BYTES)?;
                    at = self.start + done;
                }
                Cut::Record { end, next, lines } => {
                    if end > 0 {
                        records.push(parse::Span::new(at - self.start, end, row + 1, None));
                    }
                    at += next;
                    row = row.saturating_add(lines);
                }
                // A piece of its own, so that no piece ends inside a line.
                Cut::Endless if at > self.start => break,
                Cut::Endless => return self.endless_line().map(Some),
                Cut::Broken { end, next, kind } => {
                    records.push(parse::Span::new(at - self.start, end, row + 1, Some(kind)));
                    at += next;
                    row = row.saturating_add(1);
                }
            }
        }
        let taken = at - self.start;
        if taken == 0 {
            return Ok(None);
        }
        let bytes = self.buffer[self.start..at].to_vec();
        self.start = at;
        self.position.offset += taken as u64;
        self.position.row = row;
        self.position.sequence += 1;
        let piece = CsvPiece { bytes, records, end: self.position, format: Arc::clone(&self.format) };
        Ok(Some(Box::new(piece)))
    }
}

/// Records of a text file, neither decoded nor split into cells.
#[derive(Debug)]
struct CsvPiece {
    bytes: Vec<u8>,
    records: Vec<parse::Span>,
    end: Position,
    format: Arc<Format>,
}

impl Piece for CsvPiece {
    fn end(&self) -> Position {
        self.end
    }

    fn source_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn digest(&self) -> u64 {
        let mut digest = FastDigest::default();
        digest.update(&self.bytes);
        digest.finish()
    }

    fn rows(self: Box<Self>) -> Rows {
        self.format.rows(&self.bytes, &self.records)
    }
}
