//! Office Open XML workbooks (`.xlsx`), streamed row by row.
//!
//! A thread of its own owns the workbook (calamine's cell reader borrows from it) and sends pieces through a bounded queue, so
//! that a sheet of a million rows is never in memory at once; shared strings are, within a limit. [`vet`] inflates every
//! part once before calamine sees the file: a bomb, a truncated or a damaged archive is refused before any row is read.
//!
//! Cells become text again, because one mapping serves both kinds of files: numbers in the shortest form that has their
//! 15 significant digits, dates as serial numbers of the 1900 system (also from 1904 workbooks), truth values as words.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use calamine::{DataRef, Reader, Xlsx};
use minqiao_connector_api::mapping::{Sheet, SourceSpec};
use minqiao_connector_api::rows::{CellKind, Rows};
use minqiao_connector_api::source::{FastDigest, FileRef, Head, Limits, Piece, Position, Refusal, Source, SourceError};

mod vet;

/// Days between the two date systems.
const DAYS_1904: f64 = 1462.0;
/// Pieces that the reading thread is ahead.
const PIECES_AHEAD: usize = 2;

/// A workbook's sheet.
#[derive(Debug)]
pub struct XlsxSource {
    file: FileRef,
    head: Head,
    width: usize,
    total_row: Option<Arc<str>>,
    messages: Receiver<Message>,
    ended: bool,
}

enum Message {
    Head(Head),
    Piece(SheetPiece),
    End,
    Refused(Refusal),
    Io(std::io::Error),
}

impl XlsxSource {
    /// Vets and opens a workbook and reads the sheet's head.
    pub fn open(
        file: &FileRef,
        spec: &SourceSpec,
        limits: &Limits,
        from: Option<Position>,
    ) -> Result<Self, SourceError> {
        let (to, messages) = sync_channel(PIECES_AHEAD);
        let task =
            Task { file: file.clone(), spec: spec.clone(), limits: limits.clone(), from: from.unwrap_or_default() };
        let fail = crate::io_error(file);
        thread::Builder::new()
            .name("workbook".into())
            .spawn(move || {
                // calamine parses what strangers made: a defect there must look like a damaged file.
                let last = catch_unwind(AssertUnwindSafe(|| task.run(&to))).unwrap_or_else(|_| Some(damaged()));
                if let Some(last) = last {
                    drop(to.send(last));
                }
            })
            .map_err(&fail)?;
        let mut source = Self {
            file: file.clone(),
            head: Head::default(),
            width: 0,
            total_row: spec.total_row.clone(),
            messages,
            ended: false,
        };
        match source.receive()? {
            Some(Message::Head(head)) => source.head = head,
            _ => {
                return Err(source.refused(Refusal::new(
                    "internal",
                    "读取线程意外结束",
                    "the reading thread ended early",
                )));
            }
        }
        Ok(source)
    }

    fn receive(&mut self) -> Result<Option<Message>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        match self.messages.recv() {
            Ok(Message::End) => {
                self.ended = true;
                Ok(None)
            }
            Ok(Message::Refused(refusal)) => Err(self.refused(refusal)),
            Ok(Message::Io(source)) => Err(SourceError::Io { file: self.file.name.clone(), source }),
            Ok(message) => Ok(Some(message)),
            Err(_) => Err(self.refused(Refusal::new("internal", "读取线程意外结束", "the reading thread ended early"))),
        }
    }

    fn refused(&self, refusal: Refusal) -> SourceError {
        SourceError::Refused { file: self.file.name.clone(), refusal }
    }
}

impl Source for XlsxSource {
    fn head(&self) -> &Head {
        &self.head
    }

    fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    fn next_piece(&mut self) -> Result<Option<Box<dyn Piece>>, SourceError> {
        match self.receive()? {
            Some(Message::Piece(mut piece)) => {
                piece.width = self.width;
                piece.total_row.clone_from(&self.total_row);
                Ok(Some(Box::new(piece)))
            }
            _ => Ok(None),
        }
    }
}

/// One cell of a piece: position and bounds of its text.
#[derive(Debug, Clone, Copy)]
struct SheetCell {
    /// Physical row.
    row: u32,
    column: u32,
    kind: CellKind,
    end: u32,
}

/// Rows of a sheet, cell by cell.
#[derive(Debug, Default)]
struct SheetPiece {
    cells: Vec<SheetCell>,
    text: String,
    end: Position,
    source_bytes: u64,
    width: usize,
    total_row: Option<Arc<str>>,
}

impl Piece for SheetPiece {
    fn end(&self) -> Position {
        self.end
    }

    fn source_bytes(&self) -> u64 {
        self.source_bytes
    }

    fn digest(&self) -> u64 {
        let mut digest = FastDigest::default();
        digest.update(self.text.as_bytes());
        for cell in &self.cells {
            let place = (u64::from(cell.row) << 32) | (u64::from(cell.column) << 8) | cell.kind as u64;
            digest.update(&place.to_le_bytes());
            digest.update(&cell.end.to_le_bytes());
        }
        digest.finish()
    }

    fn rows(self: Box<Self>) -> Rows {
        let mut rows = Rows::sheet(self.width, self.total_row.clone());
        let mut start = 0usize;
        for row in self.cells.chunk_by(|a, b| a.row == b.row) {
            let mut column = 0;
            for cell in row {
                // Cells are sparse: what is left out is empty.
                while column < cell.column {
                    rows.push_cell("", CellKind::Text);
                    column += 1;
                }
                let end = cell.end as usize;
                rows.push_cell(&self.text[start..end], cell.kind);
                start = end;
                column += 1;
            }
            rows.end_row(row[0].row);
        }
        rows
    }
}

/// What the reading thread does.
struct Task {
    file: FileRef,
    spec: SourceSpec,
    limits: Limits,
    from: Position,
}

fn damaged() -> Message {
    Message::Refused(Refusal::new(
        "schema_drift",
        "工作簿已损坏或不完整，整个文件（或其余部分）未接收。请重新导出后报送。",
        "the workbook is damaged or incomplete, the file (or its rest) is refused; export it again",
    ))
}

impl Task {
    /// Sends head and pieces; returns the last word, or `None` when nobody listens any more.
    fn run(&self, to: &SyncSender<Message>) -> Option<Message> {
        match vet::vet(&self.file.path, &self.limits) {
            Ok(()) => {}
            Err(vet::Verdict::Refused(refusal)) => return Some(Message::Refused(refusal)),
            Err(vet::Verdict::Io(error)) => return Some(Message::Io(error)),
        }
        let file = match File::open(&self.file.path) {
            Ok(file) => file,
            Err(error) => return Some(Message::Io(error)),
        };
        let Ok(mut workbook) = Xlsx::new(BufReader::new(file)) else { return Some(damaged()) };
        let names = workbook.sheet_names();
        let name = match &self.spec.sheet {
            Sheet::Number(number) => names.get((*number as usize).saturating_sub(1)),
            Sheet::Name(name) => names.iter().find(|n| *n == name),
        };
        let Some(name) = name.cloned() else {
            return Some(Message::Refused(Refusal::new(
                "schema_drift",
                "工作簿中没有约定的工作表，整个文件未接收。",
                "the workbook has not the agreed sheet; the whole file is refused",
            )));
        };
        let epoch = if workbook.has_1904_epoch() { DAYS_1904 } else { 0.0 };
        let Ok(mut cells) = workbook.worksheet_cells_reader(&name) else { return Some(damaged()) };
        let head_rows = self.spec.skip_rows + self.spec.header_rows;
        let mut sheet = SheetReader::new(self, &name, head_rows, to);
        loop {
            match cells.next_cell() {
                Ok(Some(cell)) => {
                    let (row, column) = cell.get_position();
                    let text_and_kind = cell_text(cell.get_value(), epoch);
                    match sheet.take(row.saturating_add(1), column, text_and_kind) {
                        Ok(true) => {}
                        Ok(false) => return None,
                        Err(refusal) => return Some(Message::Refused(refusal)),
                    }
                }
                Ok(None) => return sheet.finish().then_some(Message::End),
                Err(_) => return if sheet.finish() { Some(damaged()) } else { None },
            }
        }
    }
}

/// Collects cells into head and pieces.
struct SheetReader<'a> {
    task: &'a Task,
    to: &'a SyncSender<Message>,
    head: Option<Head>,
    head_rows: u32,
    header: Vec<Vec<String>>,
    piece: SheetPiece,
    /// Physical row of the last cell.
    row: u32,
    rows_in_piece: usize,
    sequence: u64,
}

impl<'a> SheetReader<'a> {
    fn new(task: &'a Task, sheet: &str, head_rows: u32, to: &'a SyncSender<Message>) -> Self {
        Self {
            task,
            to,
            head: Some(Head { sheet: sheet.to_owned(), ..Head::default() }),
            head_rows,
            header: vec![Vec::new(); head_rows as usize],
            piece: SheetPiece::default(),
            row: 0,
            rows_in_piece: 0,
            sequence: task.from.sequence,
        }
    }

    /// Takes a cell; `Ok(false)` when nobody listens any more.
    fn take(&mut self, row: u32, column: u32, cell: Option<(String, CellKind)>) -> Result<bool, Refusal> {
        if row < self.row {
            return Err(Refusal::new(
                "schema_drift",
                "工作表的行顺序混乱，文件已损坏。请重新导出后报送。",
                "the rows of the sheet are out of order: the file is damaged; export it again",
            ));
        }
        let Some((text, kind)) = cell else { return Ok(true) };
        if column as usize >= self.task.limits.columns {
            return Err(Refusal::new(
                "oversize",
                format!("列数超过 {} 列，其余部分未接收。", self.task.limits.columns),
                format!("there are more than {} columns; the rest is refused", self.task.limits.columns),
            ));
        }
        if row <= self.head_rows {
            let cells = &mut self.header[row as usize - 1];
            if cells.len() <= column as usize {
                cells.resize(column as usize + 1, String::new());
            }
            cells[column as usize] = text;
            self.row = row;
            return Ok(true);
        }
        if !self.send_head() {
            return Ok(false);
        }
        if row > self.row || self.rows_in_piece == 0 {
            let full = self.rows_in_piece >= self.task.limits.piece_rows
                || self.piece.text.len() >= self.task.limits.piece_bytes;
            if full && !self.send_piece() {
                return Ok(false);
            }
            self.rows_in_piece += usize::from(row > self.task.from.row);
        }
        self.row = row;
        if row > self.task.from.row {
            self.piece.text.push_str(&text);
            let end = u32::try_from(self.piece.text.len()).unwrap_or(u32::MAX);
            self.piece.cells.push(SheetCell { row, column, kind, end });
        }
        Ok(true)
    }

    fn send_head(&mut self) -> bool {
        let Some(mut head) = self.head.take() else { return true };
        let header = self.header.split_off(self.task.spec.skip_rows as usize);
        head.titles = self.header.iter().map(|cells| cells.join(" ")).collect();
        head.header = header;
        self.to.send(Message::Head(head)).is_ok()
    }

    fn send_piece(&mut self) -> bool {
        if self.piece.cells.is_empty() {
            return true;
        }
        self.sequence += 1;
        let mut piece = std::mem::take(&mut self.piece);
        let last = piece.cells.last().map_or(self.row, |cell| cell.row);
        piece.end = Position { offset: 0, row: last, sequence: self.sequence };
        // A sheet's share of its file is not known; its rows' share of text stands in for it.
        piece.source_bytes = (piece.text.len() as u64 / 3).max(1);
        self.rows_in_piece = 0;
        self.to.send(Message::Piece(piece)).is_ok()
    }

    fn finish(&mut self) -> bool {
        self.send_head() && self.send_piece()
    }
}

/// Text and kind of a cell; `None` for an empty one.
fn cell_text(value: &DataRef<'_>, epoch: f64) -> Option<(String, CellKind)> {
    Some(match value {
        DataRef::Empty => return None,
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            (text.clone(), CellKind::Text)
        }
        DataRef::SharedString(text) => ((*text).to_owned(), CellKind::Text),
        DataRef::Int(number) => (number.to_string(), CellKind::Number),
        DataRef::Float(number) => (number_text(*number), CellKind::Number),
        DataRef::Bool(truth) => (truth.to_string(), CellKind::Bool),
        DataRef::DateTime(time) if time.is_duration() => (number_text(time.as_f64()), CellKind::Number),
        DataRef::DateTime(time) => (format!("{}", time.as_f64() + epoch), CellKind::Date),
        DataRef::Error(_) => ("#ERROR".to_owned(), CellKind::Error),
    })
}

/// The shortest decimal form with the 15 significant digits that a sheet shows; larger whole numbers as they are, so
/// that their lost digits can be seen.
fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return format!("{}", number as i64);
    }
    let text = format!("{number}");
    if number.abs() >= 1e15 || text.bytes().filter(u8::is_ascii_digit).count() <= 15 {
        return text;
    }
    let rounded: f64 = format!("{number:.14e}").parse().unwrap_or(number);
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_fifteen_digits_and_no_binary_noise() {
        for (number, text) in [
            (12.0, "12"),
            (0.1 + 0.2, "0.3"),
            (1234.565, "1234.565"),
            (-3.5, "-3.5"),
            (371_002_199_001_010_000.0, "371002199001010000"),
            (2.675 * 3.0, "8.025"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }
}
