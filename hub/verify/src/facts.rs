//! The rows a verification may look at, in memory.
//!
//! Every item has one table of small typed rows, sorted by the subject's number, with the span of time in which each
//! row is the current version of its key (computation 1.2): from its arrival until the arrival of a greater version.
//! So one loaded store answers any number of runs at different `as_of`, and a run does no grouping. Rows of a person
//! are one hash look-up away; kinship rows can also be found by their second numbers.
//!
//! Invariants: order of loading never matters; a row that is never current is not kept; numbers are clear here and
//! only here, in the memory of the process that verifies.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use arrow::array::RecordBatch;
use minqiao_core::{Kind, KindOf};

use crate::calendar::Day;
use crate::cell::{Arena, Cell, Column, Show, Text, Unreadable};
use crate::items::{AnyRow, Row, SHAPES, Shape, Tables, item_no, shape};
use crate::number::Citizen;

/// Hash of packed numbers: they are 64 bits already, so one multiplication spreads them.
#[derive(Default, Debug, Clone, Copy)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    fn write_u64(&mut self, n: u64) {
        let x = (n ^ self.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = x ^ (x >> 32);
    }
}

/// A map by citizen number.
pub type ByNumber<V> = HashMap<Citizen, V, BuildHasherDefault<NumberHasher>>;

/// Why rows could not be loaded. Row and field say where; the value is never told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No such item.
    #[error("the catalogue has no such item")]
    UnknownItem,
    /// A cell of a required field is null or not of its type.
    #[error("`{item}`: field `{field}` of row {row} of the batch cannot be read")]
    Cell {
        /// Item code.
        item: &'static str,
        /// Field or envelope field.
        field: &'static str,
        /// Row of the batch, from 0.
        row: usize,
    },
}

impl KindOf for LoadError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn code(&self) -> &'static str {
        "verification_failed"
    }
}

/// How batches are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// All versions of their keys, with envelope; the current one is found here.
    All,
    /// Rows that a source found current already; the same row may come again.
    Current,
}

/// When the greatest data date of an item's feed was known (computation 7.5).
#[derive(Debug, Default)]
pub struct Feed {
    /// (received at, data date); once finished by arrival and only those that raise the greatest date.
    known: Vec<(i64, Option<Day>)>,
}

impl Feed {
    /// Greatest data date among the versions known at `as_of`.
    pub fn latest(&self, as_of: i64) -> Option<Day> {
        let n = self.known.partition_point(|(at, _)| *at <= as_of);
        self.known[..n].last().and_then(|(_, day)| *day)
    }

    fn finish(&mut self) {
        self.known.sort_unstable();
        let mut greatest = None;
        self.known.retain(|(_, day)| {
            let raises = *day > greatest;
            greatest = greatest.max(*day);
            raises
        });
    }
}

/// One row and when it is current: `from ≤ as_of < until`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<T> {
    pub(crate) row: T,
    from: i64,
    until: i64,
}

impl<T> Entry<T> {
    pub(crate) fn current(&self, as_of: i64) -> Option<&T> {
        (self.from <= as_of && as_of < self.until).then_some(&self.row)
    }
}

/// The rows of one item.
#[derive(Debug)]
pub struct Table<T> {
    entries: Vec<Entry<T>>,
    by_subject: ByNumber<(u32, u32)>,
    seen: HashSet<String>,
    sorted: bool,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), by_subject: ByNumber::default(), seen: HashSet::new(), sorted: true }
    }
}

/// What decides between two versions of a key, before the content hash: null times lowest, `delete` above `upsert`.
type Order = (Option<i64>, bool, Option<String>);

impl<T: Row> Table<T> {
    /// Rows of one stored number.
    pub(crate) fn of(&self, number: Citizen) -> &[Entry<T>] {
        self.by_subject.get(&number).map_or(&[], |(from, to)| &self.entries[*from as usize..*to as usize])
    }

    /// Every row, by position.
    pub(crate) fn all(&self) -> &[Entry<T>] {
        &self.entries
    }
}

/// What is done alike to every item's table.
pub(crate) trait AnyTable {
    /// Keys of rows that came already ([`Versions::Current`]).
    fn seen(&mut self) -> &mut HashSet<String>;
    /// Reads the picked rows of a batch; field and row that cannot be read on failure.
    fn append(&mut self, columns: &[Column], picks: &[Pick], arena: &mut Arena) -> Result<(), (usize, usize)>;
    /// Sorts by subject.
    fn finish(&mut self);
    /// Current rows of a stored number.
    fn current_of<'t>(&'t self, number: Citizen, as_of: i64, into: &mut Vec<&'t dyn AnyRow>);
}

impl<T: Row> AnyTable for Table<T> {
    fn seen(&mut self) -> &mut HashSet<String> {
        &mut self.seen
    }

    fn append(&mut self, columns: &[Column], picks: &[Pick], arena: &mut Arena) -> Result<(), (usize, usize)> {
        for pick in picks {
            let row = T::read(columns, pick.row, arena).map_err(|(field, _)| (field, pick.row))?;
            self.entries.push(Entry { row, from: pick.from, until: pick.until });
        }
        self.sorted &= picks.is_empty();
        Ok(())
    }

    fn current_of<'t>(&'t self, number: Citizen, as_of: i64, into: &mut Vec<&'t dyn AnyRow>) {
        into.extend(self.of(number).iter().filter_map(|e| e.current(as_of)).map(|row| row as &dyn AnyRow));
    }

    fn finish(&mut self) {
        if self.sorted {
            return;
        }
        let subject = |e: &Entry<T>| e.row.named().number;
        self.entries.sort_by_key(subject);
        self.by_subject.clear();
        let mut at = 0;
        for group in self.entries.chunk_by(|a, b| subject(a) == subject(b)) {
            let next = at + group.len() as u32;
            if let Some(number) = subject(&group[0]) {
                self.by_subject.insert(number, (at, next));
            }
            at = next;
        }
        self.sorted = true;
    }
}

/// A row of a batch and when it is current.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick {
    batch: usize,
    row: usize,
    from: i64,
    until: i64,
}

/// Picks the rows that are current at some time.
fn picks(
    shape: &Shape,
    feed: &mut Feed,
    seen: &mut HashSet<String>,
    batches: &[RecordBatch],
    versions: Versions,
) -> Result<Vec<Pick>, LoadError> {
    let mut found = Vec::new();
    // Versions of a key: order, arrival, and where the row stands unless it is a delete.
    type Known = Vec<(Order, i64, Option<(usize, usize)>)>;
    let mut of_keys: HashMap<String, Known> = HashMap::new();
    for (batch_no, batch) in batches.iter().enumerate() {
        let bad = |field, row| LoadError::Cell { item: shape.item, field, row };
        let column = |name: &'static str| Column::of(batch, name).map_err(|_| bad(name, 0));
        let keys = shape.key.iter().map(|name| column(name)).collect::<Result<Vec<_>, _>>()?;
        let all = versions == Versions::All;
        let envelope = |name| if all { column(name) } else { Ok(Column::Absent) };
        let (updated, received) = (envelope("_source_updated_at")?, envelope("_received_at")?);
        let (op, hash, data_date) = (envelope("_op")?, envelope("_content_hash")?, envelope("_data_date")?);
        // A row has one subject, so only rows that are found by several numbers can come twice.
        if !all && !matches!(shape.no, 1 | 18 | 20 | 21 | 49) {
            let of_batch = |row| Pick { batch: batch_no, row, from: i64::MIN, until: i64::MAX };
            found.extend((0..batch.num_rows()).map(of_batch));
            continue;
        }
        for row in 0..batch.num_rows() {
            let mut key = String::new();
            for (column, name) in keys.iter().zip(shape.key) {
                print_key(column, row, &mut key).map_err(|_| bad(name, row))?;
            }
            if !all {
                if seen.insert(key) {
                    found.push(Pick { batch: batch_no, row, from: i64::MIN, until: i64::MAX });
                }
                continue;
            }
            let text = |c: &Column, name| c.text(row).map(|t| t.map(str::to_owned)).map_err(|_| bad(name, row));
            let arrived = received.moment(row).ok().flatten().ok_or(bad("_received_at", row))?.0;
            feed.known.push((arrived, data_date.day(row).map_err(|_| bad("_data_date", row))?));
            let delete = match text(&op, "_op")?.as_deref() {
                None | Some("upsert") => false,
                Some("delete") => true,
                Some(_) => return Err(bad("_op", row)),
            };
            let changed = updated.moment(row).map_err(|_| bad("_source_updated_at", row))?.map(|t| t.0);
            let order = (changed, delete, text(&hash, "_content_hash")?);
            of_keys.entry(key).or_default().push((order, arrived, (!delete).then_some((batch_no, row))));
        }
    }
    for mut of_key in of_keys.into_values() {
        of_key.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut until = i64::MAX;
        for (_, from, value) in of_key {
            if let Some((batch, row)) = value.filter(|_| from < until) {
                found.push(Pick { batch, row, from, until });
            }
            until = until.min(from);
        }
    }
    found.sort_unstable_by_key(|pick| (pick.batch, pick.row));
    Ok(found)
}

fn print_key(column: &Column, row: usize, out: &mut String) -> Result<(), Unreadable> {
    use std::fmt::Write;
    let written = match column {
        Column::Text(_) => {
            out.push_str(column.text(row)?.ok_or(Unreadable::Null)?);
            Ok(())
        }
        Column::Day(_) => write!(out, "{}", column.day(row)?.ok_or(Unreadable::Null)?),
        Column::Moment(_) => write!(out, "{}", column.moment(row)?.ok_or(Unreadable::Null)?),
        Column::Int(a) => write!(out, "{}", a.value(row)),
        _ => return Err(Unreadable::Null),
    };
    out.push('\u{1f}');
    written.map_err(|_| Unreadable::Value)
}

/// Rows found by something else than their subject.
#[derive(Debug, Default)]
struct Links {
    by_number: [ByNumber<Vec<u32>>; LINKS],
    by_text: [HashMap<String, Vec<u32>>; 3],
}

const LINKS: usize = 8;

/// A second number of a kinship row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Link {
    RegisterFather,
    RegisterMother,
    RegisterSpouse,
    RegisterHead,
    MarriageSpouse,
    BirthMother,
    BirthFather,
    ReplacedBy,
}

/// Every table, with its texts and links.
#[derive(Debug, Default)]
pub struct Facts {
    /// The tables.
    pub tables: Tables,
    arenas: Vec<Arena>,
    feeds: HashMap<u8, Feed>,
    links: Links,
}

impl Facts {
    /// No rows.
    pub fn new() -> Self {
        Self { arenas: (0..74).map(|_| Arena::default()).collect(), ..Self::default() }
    }

    /// Adds rows of one item; [`Facts::finish`] must follow before anything is asked.
    pub fn load(&mut self, item: &str, batches: &[RecordBatch], versions: Versions) -> Result<(), LoadError> {
        let no = item_no(item);
        let shape = shape(no).ok_or(LoadError::UnknownItem)?;
        let table = self.tables.any_mut(no).ok_or(LoadError::UnknownItem)?;
        let feed = self.feeds.entry(no).or_default();
        let picks = picks(shape, feed, table.seen(), batches, versions)?;
        let arena = &mut self.arenas[usize::from(no)];
        arena.item = no;
        for of_batch in picks.chunk_by(|a, b| a.batch == b.batch) {
            let batch = &batches[of_batch[0].batch];
            let columns = shape
                .fields
                .iter()
                .map(|field| Column::of(batch, field).map_err(|_| LoadError::Cell { item: shape.item, field, row: 0 }))
                .collect::<Result<Vec<_>, _>>()?;
            table.append(&columns, of_batch, arena).map_err(|(field, row)| LoadError::Cell {
                item: shape.item,
                field: shape.fields.get(field).copied().unwrap_or_default(),
                row,
            })?;
        }
        Ok(())
    }

    /// Tells the greatest data date of an item's feed, for sources that give current rows only.
    pub fn set_feed(&mut self, item: u8, latest: Day) {
        self.feeds.insert(item, Feed { known: vec![(i64::MIN, Some(latest))] });
    }

    /// Sorts what was loaded.
    pub fn finish(&mut self) {
        for shape in &SHAPES {
            if let Some(table) = self.tables.any_mut(shape.no) {
                table.finish();
            }
        }
        self.feeds.values_mut().for_each(Feed::finish);
        let mut links = Links::default();
        let mut link = |which: Link, number: Option<Citizen>, at: usize| {
            if let Some(number) = number {
                links.by_number[which as usize].entry(number).or_default().push(at as u32);
            }
        };
        for (at, e) in self.tables.household_register_member.all().iter().enumerate() {
            link(Link::RegisterFather, e.row.father_citizen_id, at);
            link(Link::RegisterMother, e.row.mother_citizen_id, at);
            link(Link::RegisterSpouse, e.row.spouse_citizen_id, at);
            link(Link::RegisterHead, Some(e.row.head_citizen_id), at);
        }
        for (at, e) in self.tables.marriage_registration.all().iter().enumerate() {
            link(Link::MarriageSpouse, e.row.spouse_citizen_id, at);
        }
        for (at, e) in self.tables.birth_certificate.all().iter().enumerate() {
            link(Link::BirthMother, Some(e.row.mother_citizen_id), at);
            link(Link::BirthFather, e.row.father_citizen_id, at);
        }
        for (at, e) in self.tables.resident_identity.all().iter().enumerate() {
            link(Link::ReplacedBy, e.row.replaced_by_citizen_id, at);
        }
        let text = |t: Text| -> String { Self::slice(&self.arenas, t).to_owned() };
        for (at, e) in self.tables.assistance_application.all().iter().enumerate() {
            links.by_text[0].entry(text(e.row.application_no)).or_default().push(at as u32);
        }
        for (at, e) in self.tables.declared_household_member.all().iter().enumerate() {
            links.by_text[1].entry(text(e.row.application_no)).or_default().push(at as u32);
        }
        for (at, e) in self.tables.subsistence_allowance_household.all().iter().enumerate() {
            links.by_text[2].entry(text(e.row.certificate_no)).or_default().push(at as u32);
        }
        self.links = links;
    }

    fn slice(arenas: &[Arena], text: Text) -> &str {
        let from = text.offset as usize;
        arenas.get(usize::from(text.item)).and_then(|a| a.bytes.get(from..from + text.len as usize)).unwrap_or_default()
    }

    /// The characters of a text.
    pub fn text(&self, text: Text) -> &str {
        Self::slice(&self.arenas, text)
    }

    /// Greatest data date of an item's versions known at `as_of`.
    pub fn feed_date(&self, item: u8, as_of: i64) -> Option<Day> {
        self.feeds.get(&item).and_then(|feed| feed.latest(as_of))
    }

    pub(crate) fn linked(&self, link: Link, number: Citizen) -> &[u32] {
        self.links.by_number[link as usize].get(&number).map_or(&[], Vec::as_slice)
    }

    fn by_text<'a, T: Row>(&'a self, which: usize, text: &str, as_of: i64) -> impl Iterator<Item = &'a T> {
        let at = self.links.by_text[which].get(text).map_or(&[][..], Vec::as_slice);
        at.iter().filter_map(move |i| T::table(self).all()[*i as usize].current(as_of))
    }

    /// The current application of a number.
    pub fn application(&self, application_no: &str, as_of: i64) -> Option<&crate::items::AssistanceApplication> {
        self.by_text(0, application_no, as_of).next()
    }

    /// Current declared persons of an application.
    pub fn declared<'a>(
        &'a self,
        application_no: &str,
        as_of: i64,
    ) -> impl Iterator<Item = &'a crate::items::DeclaredHouseholdMember> {
        self.by_text(1, application_no, as_of)
    }

    /// Current dibao households of a certificate.
    pub fn allowance_household(
        &self,
        certificate_no: &str,
        as_of: i64,
    ) -> Option<&crate::items::SubsistenceAllowanceHousehold> {
        self.by_text(2, certificate_no, as_of).next()
    }

    /// Every application number loaded, current at `as_of`, ascending.
    pub fn application_numbers(&self, as_of: i64) -> Vec<String> {
        let mut numbers: Vec<String> = self
            .tables
            .assistance_application
            .all()
            .iter()
            .filter_map(|e| e.current(as_of))
            .map(|row| self.text(row.application_no).to_owned())
            .collect();
        numbers.sort();
        numbers.dedup();
        numbers
    }

    /// Current rows of a stored number in an item's table.
    pub(crate) fn any_of(&self, item: u8, number: Citizen, as_of: i64) -> Vec<&dyn AnyRow> {
        let mut rows = Vec::new();
        if let Some(table) = self.tables.any(item) {
            table.current_of(number, as_of, &mut rows);
        }
        rows
    }

    /// Natural-key values joined by `/`, as stored; citizen numbers through `show`.
    pub fn key(&self, row: &dyn AnyRow, show: &Show<'_>) -> String {
        let Some(shape) = shape(row.no()) else { return String::new() };
        let print = |name: &&str| shape.position(name).map_or(String::new(), |at| self.print(row.cell(at), show));
        shape.key.iter().map(print).collect::<Vec<_>>().join("/")
    }

    /// Prints a value as a natural key shows it.
    pub fn print(&self, cell: Cell, show: &Show<'_>) -> String {
        match cell {
            Cell::Null => String::new(),
            Cell::Code(code) => code.to_string(),
            Cell::Text(text) => self.text(text).to_owned(),
            Cell::Day(day) => day.to_string(),
            Cell::Cents(cents) => cents.exact().money(),
            Cell::Share(share) => share.exact().to_string(),
            Cell::Bool(yes) => yes.to_string(),
            Cell::Int(n) => n.to_string(),
            Cell::Moment(at) => at.to_string(),
            Cell::Citizen(number) => show(number),
        }
    }
}
