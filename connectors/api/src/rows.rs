//! The cells of one piece of a file, as text.
//!
//! A row is a run of `width` spans into one text buffer, so cutting a delimited record copies nothing per cell, and a
//! column is read by striding over the spans. Rows that could not be cut into cells are kept apart as [`RowFault`]s.
//! Blank rows and the total row never get in: they carry no data and are counted nowhere.
//!
//! Row numbers are physical: the 1-based line of a text file, the 1-based row of a sheet.

use std::sync::Arc;

/// Characters of a refused cell that are kept for the quarantine.
const CELL_SAMPLE_CHARS: usize = 1024;

/// What the source says about a cell beyond its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Text, the only kind that text files have.
    Text,
    /// A number cell: the text is its shortest decimal form at 15 significant digits.
    Number,
    /// A date cell: the text is the serial day number of the 1900 date system.
    Date,
    /// A truth value: the text is `true` or `false`.
    Bool,
    /// A cell with a formula error (`#N/A`).
    Error,
}

/// Why a row could not be cut into cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Bytes that the declared encoding does not have, or a NUL character.
    Encoding,
    /// Another number of cells than the header.
    Ragged {
        /// Cells in the row.
        found: u32,
    },
    /// A quotation mark without its partner.
    Unbalanced,
    /// A cell or record above the size limit.
    Oversize,
}

/// One row that could not be cut into cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Physical row.
    pub row: u32,
    /// What is wrong.
    pub kind: FaultKind,
    /// Column index, when one column is to blame.
    pub column: Option<usize>,
    /// What could be read, shortened; goes to the quarantine only, never to messages.
    pub cells: Vec<String>,
}

/// Shortens a refused cell to what the quarantine keeps.
pub fn sample(text: &str) -> String {
    text.chars().take(CELL_SAMPLE_CHARS).collect()
}

/// Cells of consecutive rows; see the module.
#[derive(Debug)]
pub struct Rows {
    width: usize,
    /// Text of all cells, and whatever stands between them.
    text: String,
    spans: Vec<(u32, u32)>,
    /// Empty when all cells are text; else one per span.
    kinds: Vec<CellKind>,
    locations: Vec<u32>,
    faults: Vec<RowFault>,
    total_row: Option<Arc<str>>,
    /// Short rows are padded (sheets leave out empty cells) instead of refused (text files do not).
    pads: bool,
}

impl Rows {
    /// Room for rows of `width` cells of a delimited text; short rows are faults.
    pub fn delimited(width: usize, total_row: Option<Arc<str>>) -> Self {
        Self {
            width,
            text: String::new(),
            spans: Vec::new(),
            kinds: Vec::new(),
            locations: Vec::new(),
            faults: Vec::new(),
            total_row,
            pads: false,
        }
    }

    /// Room for rows of `width` cells of a sheet; missing cells are empty.
    pub fn sheet(width: usize, total_row: Option<Arc<str>>) -> Self {
        Self { pads: true, ..Self::delimited(width, total_row) }
    }

    /// Reserves for `rows` rows with `bytes` of text.
    pub fn reserve(&mut self, rows: usize, bytes: usize) {
        self.text.reserve(bytes);
        self.spans.reserve(rows * self.width);
        self.locations.reserve(rows);
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.locations.len()
    }

    /// True when there are no rows (there may be faults).
    pub fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }

    /// Cells per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Physical row numbers, ascending.
    pub fn locations(&self) -> &[u32] {
        &self.locations
    }

    /// Rows that are not in here, ascending.
    pub fn faults(&self) -> &[RowFault] {
        &self.faults
    }

    /// Text of a cell.
    #[inline]
    pub fn cell(&self, row: usize, column: usize) -> &str {
        let (start, end) = self.spans[row * self.width + column];
        &self.text[start as usize..end as usize]
    }

    /// Kind of a cell.
    #[inline]
    pub fn kind(&self, row: usize, column: usize) -> CellKind {
        if self.kinds.is_empty() { CellKind::Text } else { self.kinds[row * self.width + column] }
    }

    /// True when every cell is text, so that kinds need not be asked.
    pub fn text_only(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The text buffer, to append the text of coming cells to.
    pub fn text_mut(&mut self) -> &mut String {
        &mut self.text
    }

    /// End of the text so far, as a span bound.
    pub fn text_end(&self) -> usize {
        self.text.len()
    }

    /// Adds a cell that spans `start..end` of the text buffer. The source keeps pieces far below 4 GiB.
    #[inline]
    pub fn push_span(&mut self, start: usize, end: usize) {
        let bound = |at: usize| u32::try_from(at).expect("pieces are bounded to a few MiB");
        self.spans.push((bound(start), bound(end)));
        if !self.kinds.is_empty() {
            self.kinds.push(CellKind::Text);
        }
    }

    /// Adds a cell of a sheet.
    pub fn push_cell(&mut self, text: &str, kind: CellKind) {
        if kind != CellKind::Text && self.kinds.is_empty() {
            self.kinds = vec![CellKind::Text; self.spans.len()];
        }
        let start = self.text.len();
        self.text.push_str(text);
        self.push_span(start, self.text.len());
        if let Some(last) = self.kinds.last_mut() {
            *last = kind;
        }
    }

    /// Drops the cells pushed since the last finished row and records the fault instead.
    pub fn fault_row(&mut self, fault: RowFault) {
        self.forget_open_row();
        self.faults.push(fault);
    }

    /// Finishes the row at physical row `location`. Blank rows and the total row vanish; a row of another width than
    /// the header becomes a fault, except that surplus blank cells are cut off and sheets' short rows are padded.
    pub fn end_row(&mut self, location: u32) {
        let start = self.locations.len() * self.width;
        let found = self.spans.len() - start;
        if found != self.width {
            self.settle_width(start, found, location);
            return;
        }
        if self.width == 0 || self.is_nothing(start) {
            self.forget_open_row();
            return;
        }
        self.locations.push(location);
    }

    fn settle_width(&mut self, start: usize, found: usize, location: u32) {
        if self.is_nothing(start) {
            self.forget_open_row();
        } else if found > self.width && (start + self.width..start + found).all(|at| self.span_is_blank(at)) {
            self.spans.truncate(start + self.width);
            self.kinds.truncate(start + self.width);
            self.end_row(location);
        } else if found < self.width && self.pads {
            for _ in found..self.width {
                self.push_span(0, 0);
            }
            self.end_row(location);
        } else {
            let cells = self.spans[start..].iter().take(self.width + 8);
            let cells = cells.map(|&(from, to)| sample(&self.text[from as usize..to as usize])).collect();
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            self.fault_row(RowFault { row: location, kind: FaultKind::Ragged { found }, column: None, cells });
        }
    }

    /// True for a row without any text, and for the total row: its first cell with text begins with the total word.
    fn is_nothing(&self, start: usize) -> bool {
        let first = (start..self.spans.len()).find(|&at| !self.span_is_blank(at));
        let Some(first) = first else { return true };
        let Some(total) = self.total_row.as_deref() else { return false };
        let (from, to) = self.spans[first];
        let mut cell = self.text[from as usize..to as usize].chars().filter(|c| !c.is_whitespace());
        total.chars().filter(|c| !c.is_whitespace()).all(|wanted| cell.next() == Some(wanted))
            && cell.next().is_none_or(|c| !c.is_alphanumeric())
    }

    #[inline]
    fn span_is_blank(&self, at: usize) -> bool {
        let (start, end) = self.spans[at];
        start == end || self.text[start as usize..end as usize].trim().is_empty()
    }

    fn forget_open_row(&mut self) {
        let start = self.locations.len() * self.width;
        self.spans.truncate(start);
        if !self.kinds.is_empty() {
            self.kinds.truncate(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rows: &mut Rows, location: u32, cells: &[&str]) {
        for cell in cells {
            rows.push_cell(cell, CellKind::Text);
        }
        rows.end_row(location);
    }

    #[test]
    fn blank_and_total_rows_vanish_and_ragged_rows_are_faults() {
        let mut rows = Rows::delimited(3, Some("合计".into()));
        row(&mut rows, 2, &["a", "b", "c"]);
        row(&mut rows, 3, &["", " ", ""]);
        row(&mut rows, 4, &["", "合 计：", "12"]);
        row(&mut rows, 5, &["合计户", "x", "y"]);
        row(&mut rows, 6, &["a", "b"]);
        row(&mut rows, 7, &["a", "b", "c", "", " "]);
        row(&mut rows, 8, &["a", "b", "c", "d"]);
        assert_eq!(rows.locations(), [2, 5, 7]);
        let faults: Vec<_> = rows.faults().iter().map(|f| (f.row, f.kind)).collect();
        assert_eq!(faults, [(6, FaultKind::Ragged { found: 2 }), (8, FaultKind::Ragged { found: 4 })]);
        assert_eq!(rows.cell(2, 2), "c");
    }

    #[test]
    fn sheet_rows_are_padded_and_kinds_follow_their_cells() {
        let mut rows = Rows::sheet(3, None);
        row(&mut rows, 1, &["a"]);
        rows.push_cell("b", CellKind::Text);
        rows.push_cell("45000", CellKind::Date);
        rows.end_row(2);
        row(&mut rows, 3, &["", "", ""]);
        row(&mut rows, 4, &["x", "y", "z"]);
        assert_eq!(rows.locations(), [1, 2, 4]);
        assert_eq!(
            (rows.kind(1, 1), rows.kind(1, 2), rows.kind(2, 1)),
            (CellKind::Date, CellKind::Text, CellKind::Text)
        );
        assert_eq!(rows.cell(0, 2), "");
    }
}
