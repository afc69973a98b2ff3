//! The fact map (computation 3.1) as data: `data/fact_map.yaml` says for each of the 73 items what kind of fact a row
//! is, whose it is, its amount, its time, which rows pass and how it is treated. This module reads it and compiles it
//! against the row types, so that the computation asks “which months does this row fall in” and never spells out a
//! filter that the table already states.

use minqiao_core::{Kind, KindOf};
use serde::Deserialize;

use crate::calendar::{Day, End, Month, Window};
use crate::cell::{Cell, Code};
use crate::exact::Exact;
use crate::items::{AnyRow, SHAPES, Shape};
use crate::parameters::Settings;

/// Kinds of table 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// Income from work.
    Wage,
    /// Income from business.
    Business,
    /// Income from property.
    Property,
    /// Transfer income.
    Transfer,
    /// Own contributions, taken off.
    Deduction,
    /// State of property.
    Asset,
    /// Expenditure.
    Expense,
    /// Assistance: reported, never income.
    Benefit,
    /// State of a person.
    Status,
    /// No part in the figures.
    None,
}

/// Treatment of table 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// Counted.
    Counted,
    /// Listed in `excluded_income`.
    Excluded,
    /// Evidence only.
    Evidence,
    /// Counted, lump sums spread forward (3.4).
    CountedOrLump,
    /// Counted as lump sum.
    Lump,
    /// None.
    None,
}

/// The whole map.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactMap {
    /// End dates that name the first day no longer in force (1.3).
    pub exclusive_ends: Vec<String>,
    /// End dates that name the last day in force (1.3).
    pub inclusive_ends: Vec<String>,
    /// One entry per item, in catalogue order.
    pub items: Vec<ItemFacts>,
}

/// One line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemFacts {
    /// Catalogue number.
    pub no: u8,
    /// Item code.
    pub item: String,
    /// Kinds, as the table lists them.
    pub kind: Vec<FactKind>,
    /// Subject field.
    pub subject: String,
    /// Section 6 applies to the subject.
    pub auth: bool,
    /// What a row states; empty for items that state nothing by rule.
    pub facts: Vec<FactSpec>,
}

/// One fact that a row may state.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactSpec {
    /// Distinguishes several facts of an item; `main` when left out.
    #[serde(default = "main_fact")]
    pub id: String,
    /// Amount field.
    pub amount: Option<String>,
    /// Time.
    #[serde(default)]
    pub when: WhenSpec,
    /// All must hold.
    #[serde(default)]
    pub filter: Vec<CondSpec>,
    /// The row is a lump sum when all hold; the month of its `when`.
    pub lump: Option<LumpSpec>,
    /// Treatment.
    pub treatment: Treatment,
}

fn main_fact() -> String {
    "main".to_owned()
}

/// When a row is a lump sum, and whose month.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LumpSpec {
    /// All must hold.
    pub filter: Vec<CondSpec>,
    /// First non-null date.
    pub instant: Vec<String>,
}

/// Time of a fact.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum WhenSpec {
    /// Undated by rule.
    #[default]
    None,
    /// `m:`.
    Month(String),
    /// `i:`, coalesce in order.
    Instant(Vec<String>),
    /// `s:`, start and end.
    Spell(String, String),
    /// `q:`, start and perhaps end.
    State(Vec<String>),
}

/// A condition on one field.
#[derive(Debug, Deserialize)]
pub struct CondSpec {
    /// Field.
    pub field: String,
    /// Test.
    #[serde(flatten)]
    pub test: TestSpec,
}

/// Tests. A null code satisfies `not_in` and no other (ruling 1.4); a null boolean is false.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestSpec {
    /// The code is one of these.
    In(Vec<String>),
    /// The code is none of these.
    NotIn(Vec<String>),
    /// The code is none of a parameter's list.
    NotInParameter(String),
    /// A yes or no.
    Is(bool),
    /// Null or not.
    Null(bool),
    /// Amount above 0.
    Positive(bool),
    /// A table of computation 1.5.
    Status(StatusTable),
}

/// Record-status filters of computation 1.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusTable {
    /// HUB_RECORD_STATUS.
    Record,
    /// HUB_PAY_STATUS.
    Pay,
    /// HUB_ASSIST_STATUS in force on Q.
    AssistNow,
    /// HUB_ASSIST_STATUS of past months.
    AssistPast,
    /// GBT26341 certificate.
    Certificate,
}

impl StatusTable {
    fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Record => &["1", "3"],
            Self::Pay => &["1", "5"],
            Self::AssistNow => &["1", "4"],
            Self::AssistPast => &["1", "3", "4"],
            Self::Certificate => &["1"],
        }
    }
}

/// A map that does not fit the rows.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// Not YAML of the expected form.
    #[error("the fact map cannot be read")]
    Syntax(#[source] serde_norway::Error),
    /// An item is missing.
    #[error("the fact map has no entry for `{0}`")]
    Missing(&'static str),
    /// A field or end date is unknown.
    #[error("the fact map of `{item}` names `{field}`, which its rows do not have")]
    Field {
        /// Item code.
        item: &'static str,
        /// The name.
        field: String,
    },
}

impl KindOf for MapError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn code(&self) -> &'static str {
        "fact_map"
    }
}

impl FactMap {
    /// The map built into the program.
    pub fn embedded() -> Result<Self, MapError> {
        serde_norway::from_str(include_str!("../data/fact_map.yaml")).map_err(MapError::Syntax)
    }

    fn compile(&self, shape: &'static Shape) -> Result<Rule, MapError> {
        let spec = self.items.iter().find(|i| i.item == shape.item).ok_or(MapError::Missing(shape.item))?;
        let facts = spec.facts.iter().map(|f| self.compile_fact(shape, f)).collect::<Result<_, _>>()?;
        Ok(Rule { auth: spec.auth, kinds: spec.kind.clone(), facts })
    }

    fn compile_fact(&self, shape: &'static Shape, spec: &FactSpec) -> Result<Fact, MapError> {
        let field = |name: &str| position(shape, name);
        let fields = |names: &[String]| names.iter().map(|f| position(shape, f)).collect::<Result<Vec<_>, _>>();
        let when = match &spec.when {
            WhenSpec::None => When::None,
            WhenSpec::Month(name) => When::Instant(vec![field(name)?]),
            WhenSpec::Instant(names) => When::Instant(fields(names)?),
            WhenSpec::Spell(start, end) => When::Span(field(start)?, Some(self.end(shape, end)?)),
            WhenSpec::State(names) => match &names[..] {
                [start] => When::Span(field(start)?, None),
                [start, end] => When::Span(field(start)?, Some(self.end(shape, end)?)),
                _ => return Err(MapError::Field { item: shape.item, field: "state".to_owned() }),
            },
        };
        let lump = match &spec.lump {
            Some(lump) => Some((conditions(shape, &lump.filter)?, fields(&lump.instant)?)),
            None => None,
        };
        Ok(Fact {
            id: spec.id.clone(),
            amount: spec.amount.as_deref().map(field).transpose()?,
            when,
            filter: conditions(shape, &spec.filter)?,
            lump,
            treatment: spec.treatment,
        })
    }

    fn end(&self, shape: &'static Shape, field: &str) -> Result<(usize, bool), MapError> {
        let inclusive = self.inclusive_ends.iter().any(|f| f == field);
        if !inclusive && !self.exclusive_ends.iter().any(|f| f == field) {
            return Err(MapError::Field { item: shape.item, field: field.to_owned() });
        }
        Ok((position(shape, field)?, inclusive))
    }
}

fn position(shape: &'static Shape, field: &str) -> Result<usize, MapError> {
    shape.position(field).ok_or_else(|| MapError::Field { item: shape.item, field: field.to_owned() })
}

fn conditions(shape: &'static Shape, specs: &[CondSpec]) -> Result<Vec<Cond>, MapError> {
    let codes = |list: &[String]| list.iter().filter_map(|c| Code::new(c)).collect();
    specs
        .iter()
        .map(|spec| {
            let test = match &spec.test {
                TestSpec::In(list) => Test::In(codes(list)),
                TestSpec::NotIn(list) => Test::NotIn(codes(list)),
                TestSpec::NotInParameter(name) => Test::NotInParameter(name.clone()),
                TestSpec::Is(yes) => Test::Is(*yes),
                TestSpec::Null(yes) => Test::Null(*yes),
                TestSpec::Positive(yes) => Test::Positive(*yes),
                TestSpec::Status(StatusTable::AssistPast) => Test::AssistPast,
                TestSpec::Status(table) => Test::In(table.codes().iter().filter_map(|c| Code::new(c)).collect()),
            };
            Ok(Cond { field: position(shape, &spec.field)?, test })
        })
        .collect()
}

#[derive(Debug)]
struct Cond {
    field: usize,
    test: Test,
}

#[derive(Debug)]
enum Test {
    In(Vec<Code>),
    NotIn(Vec<Code>),
    NotInParameter(String),
    Is(bool),
    Null(bool),
    Positive(bool),
    AssistPast,
}

impl Cond {
    fn holds(&self, row: &dyn AnyRow, settings: &Settings<'_>) -> bool {
        let cell = row.cell(self.field);
        match &self.test {
            Test::In(codes) => cell.code().is_some_and(|c| codes.contains(&c)),
            Test::NotIn(codes) => cell.code().is_none_or(|c| !codes.contains(&c)),
            Test::NotInParameter(name) => cell.code().is_none_or(|c| !settings.excluded_codes(name).contains(&c)),
            Test::Is(yes) => matches!(cell, Cell::Bool(true)) == *yes,
            Test::Null(yes) => matches!(cell, Cell::Null) == *yes,
            Test::Positive(yes) => cell.amount().is_some_and(|a| a.is_positive()) == *yes,
            Test::AssistPast => cell.code().is_some_and(|c| c.is("1") || c.is("3") || c.is("4")),
        }
    }
}

/// Fields by position in the item's row.
#[derive(Debug)]
enum When {
    None,
    Instant(Vec<usize>),
    /// Start, and end with whether it is inclusive.
    Span(usize, Option<(usize, bool)>),
}

/// The table compiled against the rows, by item number.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Compiles the map; fails when it names a field that its item's rows do not have.
    pub fn compile(map: &FactMap) -> Result<Self, MapError> {
        SHAPES.iter().map(|shape| map.compile(shape)).collect::<Result<_, _>>().map(Self)
    }

    /// The rule of an item by its number in the catalogue.
    pub fn of(&self, no: u8) -> &Rule {
        &self.0[usize::from(no) - 1]
    }
}

/// One item's line, compiled.
#[derive(Debug)]
pub struct Rule {
    /// Section 6 applies.
    pub auth: bool,
    /// Kinds, as the table lists them.
    pub kinds: Vec<FactKind>,
    facts: Vec<Fact>,
}

/// One fact, compiled.
#[derive(Debug)]
pub struct Fact {
    id: String,
    amount: Option<usize>,
    when: When,
    filter: Vec<Cond>,
    lump: Option<(Vec<Cond>, Vec<usize>)>,
    /// Treatment.
    pub treatment: Treatment,
}

impl Rule {
    /// The fact of that name; every name used is reached by a test.
    pub fn fact(&self, id: &str) -> &Fact {
        self.facts.iter().find(|f| f.id == id).expect("the embedded map names it and tests reach it")
    }

    /// The item's only or first fact.
    pub fn main(&self) -> &Fact {
        self.fact("main")
    }

    /// Whether the map has a fact of that name.
    pub fn has(&self, id: &str) -> bool {
        self.facts.iter().any(|f| f.id == id)
    }
}

impl Fact {
    /// The row passes its filter.
    pub fn passes(&self, row: &dyn AnyRow, settings: &Settings<'_>) -> bool {
        self.filter.iter().all(|c| c.holds(row, settings))
    }

    /// The map names an amount.
    pub fn has_amount(&self) -> bool {
        self.amount.is_some()
    }

    /// Every month covered counts.
    pub fn is_spell(&self) -> bool {
        matches!(self.when, When::Span(..))
    }

    /// Null gives no fact.
    pub fn amount(&self, row: &dyn AnyRow) -> Option<Exact> {
        self.amount.and_then(|field| row.cell(field).amount())
    }

    /// First non-null date of an instant or month.
    pub fn day(&self, row: &dyn AnyRow) -> Option<Day> {
        match &self.when {
            When::Instant(fields) => fields.iter().find_map(|field| row.cell(*field).day()),
            _ => None,
        }
    }

    /// For a row that is a lump sum: its month, `None` inside when no date is given.
    pub fn lump(&self, row: &dyn AnyRow, settings: &Settings<'_>) -> Option<Option<Month>> {
        let (filter, days) = self.lump.as_ref()?;
        filter
            .iter()
            .all(|c| c.holds(row, settings))
            .then(|| days.iter().find_map(|field| row.cell(*field).day()).map(Day::month))
    }

    fn span(&self, row: &dyn AnyRow) -> Option<(Option<Day>, End)> {
        let When::Span(start, end) = &self.when else { return None };
        let end = match end {
            None => End::Exclusive(None),
            Some((field, false)) => End::Exclusive(row.cell(*field).day()),
            Some((field, true)) => End::Inclusive(row.cell(*field).day()),
        };
        Some((row.cell(*start).day(), end))
    }

    /// Whether a spell covers the month; a stopped benefit without an end covers none (1.5).
    pub fn covers(&self, row: &dyn AnyRow, month: Month) -> bool {
        let Some((start, end)) = self.span(row) else { return false };
        let open = matches!(end, End::Exclusive(None) | End::Inclusive(None));
        let stopped =
            |c: &Cond| matches!(c.test, Test::AssistPast) && row.cell(c.field).code().is_some_and(|c| c.is("3"));
        !(open && self.filter.iter().any(stopped)) && end.covers(start, month)
    }

    /// Months of the window that a spell covers.
    pub fn covered(&self, row: &dyn AnyRow, window: Window) -> i64 {
        window.iter().filter(|m| self.covers(row, *m)).count() as i64
    }

    /// In force on a day: started and not ended. The filter is asked separately.
    pub fn in_force(&self, row: &dyn AnyRow, day: Day) -> bool {
        self.span(row).is_some_and(|(start, end)| start.is_none_or(|s| s <= day) && end.open_on(day))
    }
}
