//! One block of rows: decides what goes wrong with each and renders it.
//!
//! A block is independent of all others (blocks are rendered in parallel): its dice depend on seed, item, block and the
//! number of the row in the block. Rendered rows lie in memory per target file until the files append them; a repeated
//! row stays in the block, behind its original and in the same file, so that every reader meets the original first.

use std::io;
use std::sync::Arc;

use crate::chance::{Chance, hash2};
use crate::row::{Delivery, Row, RowSink, Text, Value};

use super::dirt;
use super::errors::{ErrorKind, ErrorRule, Outcome};
use super::format::{Form, Kind, Source};
use super::plan::{FileKey, ItemPlan, Plan};
use super::sheet::{Cell, cells};
use super::text::line;

/// A cell that does not say what it should.
#[derive(Debug)]
pub(super) enum Dirt {
    /// Other text, empty for a blank.
    Text(String),
    /// A number cell in a workbook.
    Number(f64),
}

/// What a row's rendering needs besides the row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) plan: &'a Plan,
    pub(super) item: &'a ItemPlan,
    pub(super) key: FileKey,
    pub(super) dice: u64,
    pub(super) dirt: Option<(usize, &'a Dirt)>,
}

/// A row of the block that is not simply accepted.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// Number of the row among those of its [`Out`].
    pub(super) row: u32,
    pub(super) outcome: Outcome,
    /// Column whose value is the reason.
    pub(super) column: Option<usize>,
    pub(super) reason: &'static str,
}

/// Rendered rows.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    Text(Vec<u8>),
    Cells(Vec<Cell>),
}

/// The block's part of one file.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) key: FileKey,
    pub(super) rows: Rows,
    pub(super) count: u32,
    pub(super) marks: Vec<Mark>,
    repeats: Vec<(u32, Rows)>,
    last_start: usize,
}

/// The block's part of one item.
#[derive(Debug)]
pub(super) struct Lane {
    salt: u64,
    sequence: u64,
    pub(super) outs: Vec<Out>,
}

/// The rows of one block, decided and rendered.
#[derive(Debug)]
pub struct ExportBlock {
    plan: Arc<Plan>,
    pub(super) lanes: Vec<Lane>,
    /// How often each error struck.
    pub(super) injected: Vec<(ErrorKind, usize)>,
    unwritable: Option<String>,
}

impl ExportBlock {
    pub(super) fn new(plan: Arc<Plan>, block: u64) -> ExportBlock {
        let lane = |item: &ItemPlan| Lane {
            salt: hash2(hash2(plan.seed, item.no as u64), block),
            sequence: 0,
            outs: Vec::new(),
        };
        let lanes = plan.items.iter().map(lane).collect();
        ExportBlock { lanes, plan, injected: Vec::new(), unwritable: None }
    }

    /// Ends the block: rows that are still to be repeated are, and a row that had no place in its format is an error.
    pub(super) fn close(&mut self) -> io::Result<()> {
        for out in self.lanes.iter_mut().flat_map(|l| &mut l.outs) {
            while let Some((_, rows)) = out.repeats.pop() {
                out.repeat(rows);
            }
        }
        match self.unwritable.take() {
            Some(what) => Err(io::Error::new(io::ErrorKind::InvalidData, what)),
            None => Ok(()),
        }
    }
}

/// What happens to a row.
enum Fate {
    Clean,
    Dirty(usize, Dirt),
    Renamed(String),
    Repeated,
    Versions { before: bool, older: Row },
    Late(FileKey),
}

impl RowSink for ExportBlock {
    fn emit(&mut self, item_no: usize, row: Row) -> Delivery {
        let plan = Arc::clone(&self.plan);
        let Some((lane, item)) =
            item_no.checked_sub(1).and_then(|at| Some((self.lanes.get_mut(at)?, plan.items.get(at)?)))
        else {
            self.unwritable = Some(format!("item {item_no} does not exist"));
            return Delivery::Quarantined;
        };
        if let Some(what) = misfit(item, &row) {
            self.unwritable.get_or_insert(what);
        }
        let dice = hash2(lane.salt, lane.sequence);
        lane.sequence += 1;
        let key = plan.key(&item.format, row.county, row.data_date);
        let rule = if row.delete { None } else { plan.errors.draw(dice) };
        let Some(rule) = rule.filter(|r| r.harmless || !row.critical) else {
            lane.write(&plan, item, key, &row, dice, None);
            return Delivery::Accepted;
        };
        let mut chance = Chance::new(dice, 1);
        let fate = fate(&plan, item, key, rule, &row, &mut chance);
        if !matches!(fate, Fate::Clean) {
            match self.injected.iter_mut().find(|(k, _)| *k == rule.kind) {
                Some((_, n)) => *n += 1,
                None => self.injected.push((rule.kind, 1)),
            }
        }
        lane.suffer(&plan, item, key, row, rule, dice, fate)
    }
}

impl Lane {
    /// Writes a row with its fate.
    #[expect(clippy::too_many_arguments, reason = "the one place where everything about a row meets")]
    fn suffer(
        &mut self,
        plan: &Plan,
        item: &ItemPlan,
        key: FileKey,
        mut row: Row,
        rule: &ErrorRule,
        dice: u64,
        fate: Fate,
    ) -> Delivery {
        match fate {
            Fate::Clean => {
                self.write(plan, item, key, &row, dice, None);
            }
            Fate::Dirty(column, dirt) => {
                let out = self.write(plan, item, key, &row, dice, Some((column, &dirt)));
                if rule.outcome == Outcome::Quarantined {
                    let reason = minqiao_schemas::Reason::ALL
                        .iter()
                        .map(|r| r.code())
                        .find(|r| rule.reason.as_deref() == Some(r))
                        .unwrap_or("internal");
                    let row = out.count - 1;
                    out.marks.push(Mark { row, outcome: Outcome::Quarantined, column: Some(column), reason });
                    return Delivery::Quarantined;
                }
            }
            Fate::Renamed(name) => {
                if let Some((_, at)) = item.subject_name {
                    row.values[at] = Value::Text(Text::from(name));
                }
                self.write(plan, item, key, &row, dice, None);
                return Delivery::Misnamed;
            }
            Fate::Repeated => {
                let out = self.write(plan, item, key, &row, dice, None);
                let copy = out.last();
                // 1 to 64 rows later, or at the end of the block.
                out.repeats.push((out.count + 1 + (dice % 64) as u32, copy));
            }
            Fate::Versions { before, older } => {
                let (first, second) = if before { (&older, &row) } else { (&row, &older) };
                self.write(plan, item, key, first, dice, None);
                self.write(plan, item, key, second, hash2(dice, 2), None);
            }
            Fate::Late(next) => {
                self.write(plan, item, next, &row, dice, None);
            }
        }
        Delivery::Accepted
    }

    fn out(&mut self, item: &ItemPlan, key: FileKey) -> &mut Out {
        let at = match self.outs.iter().position(|o| o.key == key) {
            Some(at) => at,
            None => {
                let rows = match item.format.kind {
                    Kind::Csv { .. } => Rows::Text(Vec::new()),
                    Kind::Xlsx { .. } => Rows::Cells(Vec::new()),
                };
                self.outs.push(Out { key, rows, count: 0, marks: Vec::new(), repeats: Vec::new(), last_start: 0 });
                self.outs.len() - 1
            }
        };
        &mut self.outs[at]
    }

    fn write(
        &mut self,
        plan: &Plan,
        item: &ItemPlan,
        key: FileKey,
        row: &Row,
        dice: u64,
        dirt: Option<(usize, &Dirt)>,
    ) -> &mut Out {
        let out = self.out(item, key);
        if let Some(at) = out.repeats.iter().position(|(due, _)| *due <= out.count) {
            let (_, rows) = out.repeats.swap_remove(at);
            out.repeat(rows);
        }
        // Only now: a repeat in between would become part of the next one.
        out.last_start = out.len();
        let around = Around { plan, item, key, dice, dirt };
        match &mut out.rows {
            Rows::Text(bytes) => line(around, row, bytes),
            Rows::Cells(all) => cells(around, row, all),
        }
        out.count += 1;
        out
    }
}

impl Out {
    fn len(&self) -> usize {
        match &self.rows {
            Rows::Text(bytes) => bytes.len(),
            Rows::Cells(cells) => cells.len(),
        }
    }

    /// The row written last.
    fn last(&self) -> Rows {
        match &self.rows {
            Rows::Text(bytes) => Rows::Text(bytes[self.last_start.min(bytes.len())..].to_vec()),
            Rows::Cells(cells) => Rows::Cells(cells[self.last_start.min(cells.len())..].to_vec()),
        }
    }

    fn repeat(&mut self, rows: Rows) {
        match (&mut self.rows, rows) {
            (Rows::Text(all), Rows::Text(more)) => all.extend_from_slice(&more),
            (Rows::Cells(all), Rows::Cells(more)) => all.extend(more),
            _ => return,
        }
        self.marks.push(Mark { row: self.count, outcome: Outcome::Duplicate, column: None, reason: "" });
        self.count += 1;
    }
}

/// Why a row cannot be written at all: a mistake of the simulation, not of a department.
fn misfit(item: &ItemPlan, row: &Row) -> Option<String> {
    let meta = item.format.item;
    if row.values.len() != meta.fields.len() {
        return Some(format!("item `{}`: {} values for {} fields", meta.code, row.values.len(), meta.fields.len()));
    }
    if row.delete && !item.format.columns.iter().any(|c| matches!(c.source, Source::Op(..))) {
        return Some(format!("item `{}`: its files cannot say that a row is deleted", meta.code));
    }
    let other = |(at, value): &&(usize, String)| !matches!(&row.values[*at], Value::Text(t) if **t == **value);
    let (at, _) = item.format.always.iter().find(other)?;
    Some(format!("item `{}`: field `{}` is not what its files always mean", meta.code, meta.fields[*at].name))
}

fn fate(plan: &Plan, item: &ItemPlan, key: FileKey, rule: &ErrorRule, row: &Row, chance: &mut Chance) -> Fate {
    let text_of = |field: usize| match &row.values[field] {
        Value::Text(t) => Some(&**t),
        _ => None,
    };
    let mut pick = |columns: &[(usize, usize)]| {
        let filled: Vec<_> = columns.iter().filter(|(_, f)| !row.values[*f].is_null()).collect();
        if filled.is_empty() { None } else { Some(**chance.pick(&filled)) }
    };
    let dirty = |column: usize, text: Option<String>| match text {
        Some(text) => Fate::Dirty(column, Dirt::Text(text)),
        None => Fate::Clean,
    };
    match rule.kind {
        ErrorKind::CitizenNumber15Digits
        | ErrorKind::LowerCaseX
        | ErrorKind::FullWidthDigits
        | ErrorKind::WrongCheckCharacter
        | ErrorKind::CutByExcel => {
            let Some((column, field)) = pick(&item.numbers) else { return Fate::Clean };
            let Some(number) = text_of(field) else { return Fate::Clean };
            let damaged = match rule.kind {
                ErrorKind::CitizenNumber15Digits => dirt::fifteen_digits(number),
                ErrorKind::LowerCaseX => dirt::lower_case_x(number),
                ErrorKind::FullWidthDigits => dirt::full_width(number),
                ErrorKind::WrongCheckCharacter => dirt::wrong_check(number, chance),
                _ => dirt::cut(number),
            };
            match (rule.kind, &item.format.kind, damaged) {
                (ErrorKind::CutByExcel, Kind::Xlsx { .. }, Some(cut)) => {
                    Fate::Dirty(column, Dirt::Number(cut.parse().unwrap_or_default()))
                }
                (_, _, damaged) => dirty(column, damaged),
            }
        }
        ErrorKind::BlankRequired => pick(&item.required).map_or(Fate::Clean, |(c, _)| dirty(c, Some(String::new()))),
        ErrorKind::UnknownCode => match pick(&item.codes) {
            Some((column, _)) => dirty(column, Some(dirt::unknown_word(chance).to_owned())),
            None => Fate::Clean,
        },
        ErrorKind::ImpossibleDate => match pick(&item.dates) {
            Some((column, field)) => dirty(column, impossible(item, column, &row.values[field])),
            None => Fate::Clean,
        },
        ErrorKind::WrongName => {
            let Some((number, name)) = item.subject_name else { return Fate::Clean };
            let (Some(number), Some(name)) = (text_of(number), text_of(name)) else { return Fate::Clean };
            dirt::other_name(name, number, chance).map_or(Fate::Clean, Fate::Renamed)
        }
        ErrorKind::ExactDuplicate => Fate::Repeated,
        ErrorKind::NewerVersion | ErrorKind::OlderVersion => match older(item, row, chance) {
            Some(older) => Fate::Versions { before: rule.kind == ErrorKind::NewerVersion, older },
            None => Fate::Clean,
        },
        ErrorKind::LateArrival => plan.next(&item.format, key).map_or(Fate::Clean, Fate::Late),
    }
}

/// The row as it was some days earlier: one amount was another.
fn older(item: &ItemPlan, row: &Row, chance: &mut Chance) -> Option<Row> {
    let filled: Vec<usize> =
        item.amounts.iter().copied().filter(|f| matches!(row.values[*f], Value::Decimal(_))).collect();
    if filled.is_empty() {
        return None;
    }
    let field = *chance.pick(&filled);
    let mut older = row.clone();
    if let Value::Decimal(amount) = &mut older.values[field] {
        *amount = if *amount >= 1000 { *amount - *amount / 10 } else { *amount + 100 };
    }
    older.source_updated_at -= 86_400_000 * chance.range(10, 40);
    Some(older)
}

/// 30 February, or month 13, in the column's form.
fn impossible(item: &ItemPlan, column: usize, value: &Value) -> Option<String> {
    use super::shape::{civil, local};
    let (date, millis) = match value {
        Value::Date(date) => (*date, 0),
        Value::Time(moment) => local(*moment),
        _ => return None,
    };
    let (year, _, _) = civil(date);
    let pen = super::pen::Pen::new(super::format::Charset::Utf8);
    let mut out = Vec::new();
    match &item.format.columns.get(column)?.source {
        Source::Field(_, Form::Date(shape) | Form::Month(shape)) if shape.is_month() => {
            shape.write(pen, &mut out, (year, 13, 1))
        }
        Source::Field(_, Form::Date(shape) | Form::Month(shape)) => shape.write(pen, &mut out, (year, 2, 30)),
        Source::Field(_, Form::Time(shape)) => shape.write(pen, &mut out, (year, 2, 30), millis),
        _ => return None,
    }
    String::from_utf8(out).ok()
}
