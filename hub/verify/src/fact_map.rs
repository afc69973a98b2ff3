//! The fact map (computation 3.1) as data: `data/fact_map.yaml` says for each of the 73 items what kind of fact a row
//! is, whose it is, its amount, its time, which rows pass and how it is treated. This module reads it and compiles it
//! against the row types, so that the computation asks “which months does this row fall in” and never spells out a
//! filter that the table already states.

use serde::Deserialize;

use crate::calendar::{Day, End, Month, Window};
use crate::cell::{Cell, Code};
use crate::exact::Exact;
use crate::items::Row;
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

impl FactMap {
    /// The map built into the program.
    pub fn embedded() -> Result<Self, MapError> {
        serde_norway::from_str(include_str!("../data/fact_map.yaml")).map_err(MapError::Syntax)
    }

    pub(crate) fn compile<T: Row>(&self) -> Result<Rule<T>, MapError> {
        let spec = self.items.iter().find(|i| i.item == T::ITEM).ok_or(MapError::Missing(T::ITEM))?;
        let facts = spec.facts.iter().map(|f| self.compile_fact(f)).collect::<Result<_, _>>()?;
        Ok(Rule { auth: spec.auth, kinds: spec.kind.clone(), facts })
    }

    fn compile_fact<T: Row>(&self, spec: &FactSpec) -> Result<Fact<T>, MapError> {
        let when = match &spec.when {
            WhenSpec::None => When::None,
            WhenSpec::Month(field) => When::Instant(vec![getter(field)?]),
            WhenSpec::Instant(fields) => When::Instant(fields.iter().map(|f| getter(f)).collect::<Result<_, _>>()?),
            WhenSpec::Spell(start, end) => When::Span(getter(start)?, Some(self.end(end)?)),
            WhenSpec::State(fields) => match &fields[..] {
                [start] => When::Span(getter(start)?, None),
                [start, end] => When::Span(getter(start)?, Some(self.end(end)?)),
                _ => return Err(MapError::Field { item: T::ITEM, field: "state".to_owned() }),
            },
        };
        let lump = spec
            .lump
            .as_ref()
            .map(|lump| {
                let days = lump.instant.iter().map(|f| getter(f)).collect::<Result<_, _>>()?;
                Ok((conditions(&lump.filter)?, days))
            })
            .transpose()?;
        Ok(Fact {
            id: spec.id.clone(),
            amount: spec.amount.as_deref().map(getter).transpose()?,
            when,
            filter: conditions(&spec.filter)?,
            lump,
            treatment: spec.treatment,
        })
    }

    fn end<T: Row>(&self, field: &str) -> Result<(Getter<T>, bool), MapError> {
        let inclusive = self.inclusive_ends.iter().any(|f| f == field);
        if !inclusive && !self.exclusive_ends.iter().any(|f| f == field) {
            return Err(MapError::Field { item: T::ITEM, field: field.to_owned() });
        }
        Ok((getter(field)?, inclusive))
    }
}

type Getter<T> = fn(&T) -> Cell;

fn getter<T: Row>(field: &str) -> Result<Getter<T>, MapError> {
    T::getter(field).ok_or_else(|| MapError::Field { item: T::ITEM, field: field.to_owned() })
}

fn conditions<T: Row>(specs: &[CondSpec]) -> Result<Vec<Cond<T>>, MapError> {
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
            Ok(Cond { get: getter(&spec.field)?, test })
        })
        .collect()
}

#[derive(Debug)]
struct Cond<T> {
    get: Getter<T>,
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

impl<T> Cond<T> {
    fn holds(&self, row: &T, settings: &Settings) -> bool {
        let cell = (self.get)(row);
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

#[derive(Debug)]
enum When<T> {
    None,
    Instant(Vec<Getter<T>>),
    Span(Getter<T>, Option<(Getter<T>, bool)>),
}

/// One item's line, compiled.
#[derive(Debug)]
pub struct Rule<T> {
    /// Section 6 applies.
    pub auth: bool,
    /// Kinds, as the table lists them.
    pub kinds: Vec<FactKind>,
    facts: Vec<Fact<T>>,
}

/// One fact, compiled.
#[derive(Debug)]
pub struct Fact<T> {
    id: String,
    amount: Option<Getter<T>>,
    when: When<T>,
    filter: Vec<Cond<T>>,
    lump: Option<(Vec<Cond<T>>, Vec<Getter<T>>)>,
    /// Treatment.
    pub treatment: Treatment,
}

impl<T: Row> Rule<T> {
    /// The fact of that name; every name used is checked by a test.
    pub fn fact(&self, id: &str) -> &Fact<T> {
        self.facts.iter().find(|f| f.id == id).expect("a test compiles the map and looks every name up")
    }

    /// The item's only or first fact.
    pub fn main(&self) -> &Fact<T> {
        self.fact("main")
    }

    /// Whether the map has a fact of that name.
    pub fn has(&self, id: &str) -> bool {
        self.facts.iter().any(|f| f.id == id)
    }
}

impl<T: Row> Fact<T> {
    /// The row passes its filter.
    pub fn passes(&self, row: &T, settings: &Settings) -> bool {
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
    pub fn amount(&self, row: &T) -> Option<Exact> {
        self.amount.and_then(|get| get(row).amount())
    }

    /// First non-null date of an instant or month.
    pub fn day(&self, row: &T) -> Option<Day> {
        match &self.when {
            When::Instant(fields) => fields.iter().find_map(|get| get(row).day()),
            _ => None,
        }
    }

    /// For a row that is a lump sum: its month, `None` inside when no date is given.
    pub fn lump(&self, row: &T, settings: &Settings) -> Option<Option<Month>> {
        let (filter, days) = self.lump.as_ref()?;
        filter
            .iter()
            .all(|c| c.holds(row, settings))
            .then(|| days.iter().find_map(|get| get(row).day()).map(Day::month))
    }

    fn span(&self, row: &T) -> Option<(Option<Day>, End)> {
        let When::Span(start, end) = &self.when else { return None };
        let end = match end {
            None => End::Exclusive(None),
            Some((get, false)) => End::Exclusive(get(row).day()),
            Some((get, true)) => End::Inclusive(get(row).day()),
        };
        Some((start(row).day(), end))
    }

    /// Whether a spell covers the month; a stopped benefit without an end covers none (1.5).
    pub fn covers(&self, row: &T, month: Month) -> bool {
        let Some((start, end)) = self.span(row) else { return false };
        let open = matches!(end, End::Exclusive(None) | End::Inclusive(None));
        let stopped = |c: &Cond<T>| matches!(c.test, Test::AssistPast) && (c.get)(row).code().is_some_and(|c| c.is("3"));
        !(open && self.filter.iter().any(stopped)) && end.covers(start, month)
    }

    /// Months of the window that a spell covers.
    pub fn covered(&self, row: &T, window: Window) -> i64 {
        window.iter().filter(|m| self.covers(row, *m)).count() as i64
    }

    /// In force on a day: started and not ended. The filter is asked separately.
    pub fn in_force(&self, row: &T, day: Day) -> bool {
        self.span(row).is_some_and(|(start, end)| start.is_none_or(|s| s <= day) && end.open_on(day))
    }
}
