//! Rows of cells to a batch in the item's submission schema, column by column.
//!
//! Column-major because each column is one tight loop over one conversion with its own cache, appending straight to
//! an Arrow builder. A cell without a canonical value leaves a null and a fault; afterwards, rows with faults are taken out of the batch
//! and become rejects with a reason per fault. Whether a canonical value is *allowed* (check characters, code tables, required
//! fields) is decided once, by the hub.
//!
//! A mapper is immutable and shared by all workers; mapping never fails and never panics, whatever the cells hold.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};

use crate::convert::{Canonical, Fault};
use crate::layout::Layout;
use crate::mapping::{As, DataDate, From, Mapping};
use crate::reason::PlacedReason;
use crate::rows::{CellKind, Rows, sample};
use crate::source::Limits;

mod codes;
mod columns;

use codes::CodeMap;

/// How one column of the batch is made.
#[derive(Debug)]
enum Plan {
    /// The mapping has nothing for it.
    Null,
    /// The same value in every row.
    Constant(Canonical),
    /// From a column of the file.
    Cells { column: usize, how: How },
}

/// How a cell becomes a value; [`As`] with everything looked up.
#[derive(Debug)]
enum How {
    Text,
    CitizenId,
    Uscc,
    Date(crate::convert::date::DateFormat),
    Month(crate::convert::date::DateFormat),
    Timestamp(crate::convert::date::DateFormat),
    Decimal { unit: crate::convert::number::Unit, precision: u8, scale: i8 },
    Integer32,
    Integer64,
    Boolean,
    Codes(CodeMap),
}

/// A row that has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Physical row.
    pub row: u32,
    /// Why; at least one, in the order of the item's fields.
    pub reasons: Vec<PlacedReason>,
    /// The row as it stands in the source: header and text, for the sealed quarantine only.
    pub cells: Vec<(String, String)>,
}

/// What became of a piece.
#[derive(Debug)]
pub struct Mapped {
    /// Rows in canonical form.
    pub batch: RecordBatch,
    /// Physical row of each row of the batch.
    pub rows: Vec<u32>,
    /// The others, ascending.
    pub rejects: Vec<Reject>,
}

/// One cell without a canonical value.
#[derive(Debug, Clone, Copy)]
struct CellFault {
    row: u32,
    plan: u32,
    fault: Fault,
}

/// Maps rows of one file; see the module.
#[derive(Debug)]
pub struct Mapper {
    mapping: Arc<Mapping>,
    layout: Layout,
    schema: SchemaRef,
    plans: Vec<Plan>,
    field_bytes: usize,
}

impl Mapper {
    /// Binds a mapping to a file's columns.
    pub fn new(mapping: Arc<Mapping>, layout: Layout, limits: &Limits) -> Self {
        let schema = mapping.schema();
        let plans =
            schema.fields().iter().map(|field| plan(&mapping, &layout, field.name(), field.data_type())).collect();
        Self { mapping, layout, schema, plans, field_bytes: limits.field_bytes }
    }

    /// The mapping.
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// Columns of the file.
    pub fn width(&self) -> usize {
        self.layout.columns.len()
    }

    /// Maps a piece. Rows keep their order.
    pub fn map(&self, rows: &Rows) -> Mapped {
        let mut faults = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.plans.len());
        for (at, (plan, field)) in self.plans.iter().zip(self.schema.fields()).enumerate() {
            let mut column_faults = |row: usize, fault: Fault| {
                // Pieces and schemas are bounded far below these types' ends.
                faults.push(CellFault { row: row as u32, plan: at as u32, fault });
            };
            arrays.push(match plan {
                Plan::Null => new_null_array(field.data_type(), rows.len()),
                Plan::Constant(value) => columns::constant(value, field.data_type(), rows.len()),
                Plan::Cells { column, how } => {
                    columns::cells(rows, *column, how, field.data_type(), self.field_bytes, &mut column_faults)
                }
            });
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .expect("every array was made for its field's type and the rows' number");
        self.split(rows, batch, faults)
    }

    /// Takes the rows with faults out of the batch and adds the rows that were never in it.
    fn split(&self, rows: &Rows, batch: RecordBatch, mut faults: Vec<CellFault>) -> Mapped {
        let mut rejects = Vec::new();
        let mut locations = rows.locations().to_vec();
        let mut kept = batch;
        if !faults.is_empty() {
            faults.sort_by_key(|f| (f.row, f.plan));
            let mut keep = vec![true; rows.len()];
            for group in faults.chunk_by(|a, b| a.row == b.row) {
                let row = group[0].row as usize;
                keep[row] = false;
                rejects.push(self.reject(rows, row, group));
            }
            locations = locations.into_iter().zip(&keep).filter_map(|(at, keep)| keep.then_some(at)).collect();
            kept = filter_record_batch(&kept, &BooleanArray::from(keep)).expect("the mask has one entry per row");
        }
        rejects.extend(rows.faults().iter().map(|fault| self.reject_fault(fault)));
        rejects.sort_by_key(|reject| reject.row);
        Mapped { batch: kept, rows: locations, rejects }
    }

    fn reject(&self, rows: &Rows, row: usize, faults: &[CellFault]) -> Reject {
        let location = rows.locations()[row];
        let mut reasons: Vec<PlacedReason> = Vec::with_capacity(faults.len());
        for fault in faults {
            let Plan::Cells { column, .. } = &self.plans[fault.plan as usize] else { continue };
            let field = self.schema.field(fault.plan as usize).name();
            // As the mapping spells it, which is how the hub's own reasons are shown too; the layout's name also has
            // the merged header above.
            let shown = self.mapping.column_of(field).unwrap_or(&self.layout.columns[*column]);
            let reason = PlacedReason::cell(fault.fault, location, shown, Some(field));
            // One cell may feed two fields; its fault is told once.
            if !reasons.iter().any(|r| r.column == reason.column && r.code == reason.code) {
                reasons.push(reason);
            }
        }
        let cells = (0..rows.width()).map(|at| (self.layout.columns[at].clone(), sample(rows.cell(row, at)))).collect();
        Reject { row: location, reasons, cells }
    }

    fn reject_fault(&self, fault: &crate::rows::RowFault) -> Reject {
        let columns = &self.layout.columns;
        let named = |at: usize| columns.get(at).cloned().unwrap_or_else(|| format!("#{}", at + 1));
        let column = fault.column.and_then(|at| columns.get(at)).map(String::as_str);
        let reasons = vec![PlacedReason::row(fault.kind, fault.row, column, columns.len())];
        let cells = fault.cells.iter().enumerate().map(|(at, cell)| (named(at), cell.clone())).collect();
        Reject { row: fault.row, reasons, cells }
    }
}

fn plan(mapping: &Mapping, layout: &Layout, name: &str, ty: &DataType) -> Plan {
    let cells = |column: &str, how: How| match layout.index(column) {
        Some(column) => Plan::Cells { column, how },
        None => Plan::Null,
    };
    match name {
        "_source_record_id" => mapping.envelope.source_record_id.as_ref().map_or(Plan::Null, |c| cells(c, How::Text)),
        "_source_updated_at" => match &mapping.envelope.source_updated_at {
            Some((column, format)) => cells(column, How::Timestamp(format.clone())),
            None => Plan::Null,
        },
        "_data_date" => match (&mapping.source.data_date, layout.data_date) {
            (Some(DataDate::Column { column, format }), _) => cells(column, How::Date(format.clone())),
            (_, Some(days)) => Plan::Constant(Canonical::Date(days)),
            _ => Plan::Null,
        },
        "_op" => match &mapping.envelope.op {
            Some((column, codes)) => cells(column, How::Codes(CodeMap::new(codes, ty))),
            None => Plan::Null,
        },
        field => {
            let spec = mapping.fields.iter().find(|spec| mapping.item.fields[spec.field].name == field);
            match spec.map(|spec| &spec.from) {
                None => Plan::Null,
                Some(From::Constant(text)) => Canonical::parse(ty, text).map_or(Plan::Null, Plan::Constant),
                Some(From::Column { column, how }) => cells(column, bound(how, ty)),
            }
        }
    }
}

fn bound(how: &As, ty: &DataType) -> How {
    match how {
        As::Text => How::Text,
        As::CitizenId => How::CitizenId,
        As::Uscc => How::Uscc,
        As::Date(format) => How::Date(format.clone()),
        As::Month(format) => How::Month(format.clone()),
        As::Timestamp(format) => How::Timestamp(format.clone()),
        As::Integer if *ty == DataType::Int32 => How::Integer32,
        As::Integer => How::Integer64,
        As::Boolean => How::Boolean,
        As::Codes(codes) => How::Codes(CodeMap::new(codes, ty)),
        As::Decimal(unit) => match ty {
            DataType::Decimal128(precision, scale) => {
                How::Decimal { unit: *unit, precision: *precision, scale: *scale }
            }
            // Mappings resolve decimals for decimal fields only.
            _ => How::Text,
        },
    }
}

/// Whether a number cell has lost digits: Excel keeps 15 significant ones.
fn lost_digits(kind: CellKind, text: &str) -> bool {
    kind == CellKind::Number && text.bytes().filter(u8::is_ascii_digit).count() > 15
}
