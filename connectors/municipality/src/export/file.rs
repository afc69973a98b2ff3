//! The files themselves: text files as streams of bytes, workbooks row by row in constant memory.
//!
//! A workbook is full at 1,048,576 rows; the rest goes into another with `_2`, `_3` … in its name, each with its own
//! titles, header and total row.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format as Style, FormatAlign, Workbook, Worksheet, XlsxError};

use super::block::{Out, Rows};
use super::errors::Outcome;
use super::format::{Charset, Format, Kind};
use super::plan::{FileKey, ItemPlan, Plan};
use super::sheet::Cell;
use super::truth::{Fate, Run, TruthFile};

/// Rows of a sheet, less one for the total.
const SHEET_ROWS_MAX: u32 = 1_048_576 - 1;
/// Bytes a text file collects before it writes.
const BUFFER_BYTES: usize = 64 << 10;

/// An open file.
#[derive(Debug)]
pub(super) struct OutFile {
    folder: PathBuf,
    key: FileKey,
    part: u32,
    name: String,
    sheet: String,
    run: Run,
    /// Physical rows written so far.
    pub(super) rows: u32,
    /// Data rows of this part.
    data_rows: u64,
    /// Parts that are full.
    full: Vec<(String, u64)>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text(BufWriter<File>),
    Book(Box<Book>),
}

struct Book {
    book: Workbook,
    header: Style,
    day: Style,
    moment: Style,
    sums: Vec<f64>,
    first_data_row: u32,
    rows_max: u32,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("rows_max", &self.rows_max).finish_non_exhaustive()
    }
}

impl OutFile {
    /// Opens the file of a key and writes what stands above the data.
    pub(super) fn open(folder: &Path, plan: &Plan, item: &ItemPlan, key: FileKey) -> io::Result<OutFile> {
        OutFile::open_part(folder, plan, item, key, 1, SHEET_ROWS_MAX)
    }

    pub(super) fn open_part(
        folder: &Path,
        plan: &Plan,
        item: &ItemPlan,
        key: FileKey,
        part: u32,
        rows_max: u32,
    ) -> io::Result<OutFile> {
        let format = &item.format;
        let mut name = plan.fill(&format.file, format, key);
        if part > 1 {
            let at = name.rfind('.').unwrap_or(name.len());
            name.insert_str(at, &format!("_{part}"));
        }
        let path = folder.join(&name);
        let (body, rows, sheet) = match &format.kind {
            Kind::Csv { charset, separator, newline } => {
                let mut out = BufWriter::with_capacity(BUFFER_BYTES, File::create(&path)?);
                out.write_all(&head(item, *charset, *separator, newline))?;
                (Body::Text(out), 1, String::new())
            }
            Kind::Xlsx { sheet, .. } => {
                let book = Book::open(folder, plan, format, key, rows_max).map_err(workbook_error)?;
                let rows = book.first_data_row;
                (Body::Book(Box::new(book)), rows, sheet.clone())
            }
        };
        let run = Run::default();
        Ok(OutFile {
            folder: folder.to_owned(),
            key,
            part,
            name,
            sheet,
            run,
            rows,
            data_rows: 0,
            full: Vec::new(),
            body,
        })
    }

    /// Names without folder and data rows of the parts so far.
    pub(super) fn parts(&self) -> impl Iterator<Item = (String, u64)> {
        self.full.iter().cloned().chain([(self.name.clone(), self.data_rows)])
    }

    /// Appends a block's rows and their truth.
    pub(super) fn append(&mut self, plan: &Plan, item: &ItemPlan, out: &Out, truth: &mut TruthFile) -> io::Result<()> {
        let mut marks = out.marks.clone();
        marks.sort_by_key(|m| m.row);
        let fate_of = |mark: Option<&super::block::Mark>| match mark {
            Some(m) => Fate {
                outcome: m.outcome,
                reason: m.reason,
                column: m.column.map_or("", |c| &item.format.columns[c].header),
            },
            None => Fate { outcome: Outcome::Accepted, reason: "", column: "" },
        };
        match &out.rows {
            Rows::Text(bytes) => {
                let Body::Text(file) = &mut self.body else { return Err(mixed()) };
                file.write_all(bytes)?;
                let (base, mut at) = (self.rows + 1, 0);
                let name = (self.name.as_str(), "");
                for mark in &marks {
                    truth.add(&mut self.run, name, base + at, mark.row - at, fate_of(None))?;
                    truth.add(&mut self.run, name, base + mark.row, 1, fate_of(Some(mark)))?;
                    at = mark.row + 1;
                }
                truth.add(&mut self.run, name, base + at, out.count - at, fate_of(None))?;
                self.rows += out.count;
                self.data_rows += u64::from(out.count);
                Ok(())
            }
            Rows::Cells(cells) => {
                let mut marks = marks.iter().peekable();
                for (i, row) in cells.chunks_exact(item.format.columns.len().max(1)).enumerate() {
                    let mark = marks.next_if(|m| m.row as usize == i);
                    self.row(plan, item, row, truth, fate_of(mark))?;
                }
                Ok(())
            }
        }
    }

    fn row(
        &mut self,
        plan: &Plan,
        item: &ItemPlan,
        cells: &[Cell],
        truth: &mut TruthFile,
        fate: Fate<'_>,
    ) -> io::Result<()> {
        let Body::Book(book) = &mut self.body else { return Err(mixed()) };
        if self.rows >= book.rows_max {
            let mut next = OutFile::open_part(&self.folder, plan, item, self.key, self.part + 1, book.rows_max)?;
            next.full = self.parts().collect();
            std::mem::replace(self, next).finish(item, truth)?;
        }
        let Body::Book(book) = &mut self.body else { return Err(mixed()) };
        book.row(&item.format, self.rows, cells).map_err(workbook_error)?;
        self.rows += 1;
        self.data_rows += 1;
        truth.add(&mut self.run, (&self.name, &self.sheet), self.rows, 1, fate)
    }

    /// Writes what stands below the data and closes the file.
    pub(super) fn finish(mut self, item: &ItemPlan, truth: &mut TruthFile) -> io::Result<()> {
        truth.end(&mut self.run, (&self.name, &self.sheet))?;
        match self.body {
            Body::Text(mut out) => out.flush(),
            Body::Book(book) => {
                book.finish(&item.format, self.rows, &self.folder.join(&self.name)).map_err(workbook_error)
            }
        }
    }
}

fn workbook_error(error: XlsxError) -> io::Error {
    io::Error::other(error)
}

fn mixed() -> io::Error {
    io::Error::other("rows of one kind for a file of another")
}

/// Byte order mark and header line.
fn head(item: &ItemPlan, charset: Charset, separator: u8, newline: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if charset == Charset::Utf8Bom {
        out.extend_from_slice("\u{feff}".as_bytes());
    }
    for (at, column) in item.format.columns.iter().enumerate() {
        if at > 0 {
            out.push(separator);
        }
        let start = out.len();
        item.pen.write(&mut out, &column.header);
        item.pen.close_cell(&mut out, start, separator);
    }
    out.extend_from_slice(newline.as_bytes());
    out
}

impl Book {
    fn open(folder: &Path, plan: &Plan, format: &Format, key: FileKey, rows_max: u32) -> Result<Book, XlsxError> {
        let Kind::Xlsx { sheet, header_rows, titles, total } = &format.kind else {
            return Err(XlsxError::ParameterError("not a workbook".into()));
        };
        let mut book = Workbook::new();
        book.set_tempdir(folder)?;
        // The same city is the same bytes.
        let day = super::shape::civil(plan.data_date(format, key));
        let made = ExcelDateTime::from_ymd(u16::try_from(day.0).unwrap_or(2000), day.1 as u8, day.2 as u8)?;
        book.set_properties(&DocProperties::new().set_creation_datetime(&made));
        let header = Style::new().set_bold().set_align(FormatAlign::Center);
        let page = book.add_worksheet_with_constant_memory()?;
        page.set_name(sheet)?;
        let last = u16::try_from(format.columns.len().saturating_sub(1)).unwrap_or(0);
        let mut row = 0;
        for title in titles {
            merge(page, (row, 0), (row, last), &plan.fill(title, format, key), &header)?;
            row += 1;
        }
        columns(page, format, row, *header_rows, &header)?;
        row += header_rows;
        Ok(Book {
            book,
            day: Style::new().set_num_format("yyyy-mm-dd"),
            moment: Style::new().set_num_format("yyyy/m/d hh:mm:ss"),
            sums: vec![0.0; total.as_ref().map_or(0, |(_, sums)| sums.len())],
            header,
            first_data_row: row,
            rows_max,
        })
    }

    /// Writes row number `row` (from 0).
    fn row(&mut self, format: &Format, row: u32, cells: &[Cell]) -> Result<(), XlsxError> {
        let page = self.book.worksheet_from_index(0)?;
        for (column, cell) in (0u16..).zip(cells) {
            match cell {
                Cell::Blank => continue,
                Cell::Text(text) => page.write_string(row, column, &**text)?,
                Cell::Number(number) => page.write_number(row, column, *number)?,
                Cell::Day(serial) => page.write_number_with_format(row, column, *serial, &self.day)?,
                Cell::Moment(serial) => page.write_number_with_format(row, column, *serial, &self.moment)?,
                Cell::RowNumber => page.write_number(row, column, f64::from(row + 1 - self.first_data_row))?,
            };
        }
        if let Kind::Xlsx { total: Some((_, summed)), .. } = &format.kind {
            for (sum, column) in self.sums.iter_mut().zip(summed) {
                if let Some(Cell::Number(number)) = cells.get(*column) {
                    *sum += number;
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, format: &Format, row: u32, path: &Path) -> Result<(), XlsxError> {
        let page = self.book.worksheet_from_index(0)?;
        if let Kind::Xlsx { total: Some((label, summed)), .. } = &format.kind {
            page.write_string_with_format(row, 0, label, &self.header)?;
            for (sum, column) in self.sums.iter().zip(summed) {
                let column = u16::try_from(*column).unwrap_or(u16::MAX);
                page.write_number(row, column, (sum * 100.0).round() / 100.0)?;
            }
        }
        self.book.save(path)
    }
}

/// The header: one row, or groups merged above their columns and the others merged downwards.
fn columns(page: &mut Worksheet, format: &Format, row: u32, header_rows: u32, style: &Style) -> Result<(), XlsxError> {
    let all = &format.columns;
    if header_rows == 1 {
        for (at, column) in (0u16..).zip(all) {
            page.write_string_with_format(row, at, &column.header, style)?;
        }
        return Ok(());
    }
    let mut at = 0;
    while at < all.len() {
        let group = &all[at].group;
        let mut end = at + 1;
        while group.is_some() && end < all.len() && all[end].group == *group {
            end += 1;
        }
        let (first, last) = (u16::try_from(at).unwrap_or(0), u16::try_from(end - 1).unwrap_or(0));
        match group {
            Some(group) => merge(page, (row, first), (row, last), group, style)?,
            None => merge(page, (row, first), (row + 1, last), &all[at].header, style)?,
        }
        at = end;
    }
    for (at, column) in (0u16..).zip(all) {
        if column.group.is_some() {
            page.write_string_with_format(row + 1, at, &column.header, style)?;
        }
    }
    Ok(())
}

/// Merges a range, which may be a single cell.
fn merge(
    page: &mut Worksheet,
    first: (u32, u16),
    last: (u32, u16),
    text: &str,
    style: &Style,
) -> Result<(), XlsxError> {
    if first == last {
        page.write_string_with_format(first.0, first.1, text, style)?;
    } else {
        page.merge_range(first.0, first.1, last.0, last.1, text, style)?;
    }
    Ok(())
}
