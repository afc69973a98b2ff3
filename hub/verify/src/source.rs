//! Where rows come from: a seam between the computation, which needs typed rows in memory, and the lake.
//!
//! A source answers three questions about an item: rows that name one of some persons, rows with one of some texts in a
//! field, and the age of the feed. [`gather`] asks them until nothing is missing: it lets the computation walk from the
//! applicants, notes whose rows it wanted, loads those, and walks again until a walk wants nobody new. So a household
//! reads its own few rows and a whole city reads each item in as many scans as kinship is deep, by the same plan.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use minqiao_core::{Kind, KindOf, Timestamp};
use minqiao_schemas::{Catalogue, Item};
use rayon::prelude::*;

use crate::calendar::Day;
use crate::case::{Inputs, KIN_ITEMS, KIN_ITEMS_MORE};
use crate::cell::Show;
use crate::compute::{Engine, Run, RunError, World};
use crate::evidence::Evidence;
use crate::facts::{Facts, LoadError, Versions};
use crate::items::{Row, SubsistenceAllowanceMember, fields_read, item_no};
use crate::number::Citizen;
use crate::parameters::Parameters;
use crate::result::Verification;

/// Walks until a closure must be complete: kinship deeper than this is a loop of the program, not of a family.
const ROUNDS_MAX: usize = 64;
/// Items that are read at the same time: what one core does alone overlaps with another's reading.
const ITEMS_AT_ONCE: usize = 4;
/// Runs between two hand-overs of results: bounds the memory that results take.
const CHUNK: usize = 1024;

/// Which rows of an item.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// All of them.
    Everything,
    /// Rows where one of the fields holds one of the numbers.
    Persons {
        /// Fields with citizen numbers.
        fields: &'a [&'a str],
        /// Numbers, canonical.
        numbers: &'a [Citizen],
    },
    /// Rows where the field holds one of the texts.
    Texts {
        /// A field that is not sealed.
        field: &'a str,
        /// Values.
        values: &'a [String],
    },
}

/// Rows could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The store failed.
    #[error("rows of `{item}` cannot be read from the lake")]
    Store {
        /// Item code.
        item: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A sealed value does not open.
    #[error("sealed values of `{item}` cannot be opened")]
    Unseal {
        /// Item code.
        item: String,
        /// Cause.
        #[source]
        source: minqiao_vault::VaultError,
    },
    /// Rows are not of the catalogue's form.
    #[error("rows of the lake do not fit the catalogue")]
    Rows(#[from] LoadError),
    /// The catalogue has no such item; the program is inconsistent.
    #[error("the catalogue has no item `{0}`")]
    UnknownItem(String),
    /// The closure did not end.
    #[error("the closure of kinship did not end within {ROUNDS_MAX} rounds")]
    Endless,
}

impl KindOf for SourceError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store { .. } => Kind::Unavailable { retry_after: std::time::Duration::from_secs(5) },
            Self::Unseal { .. } | Self::Rows(_) | Self::UnknownItem(_) | Self::Endless => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Store { .. } => "lake_unavailable",
            Self::Unseal { .. } => "unseal_failed",
            Self::Rows(_) | Self::UnknownItem(_) | Self::Endless => "verification_failed",
        }
    }
}

/// Rows as they were known at a moment, in clear, under canonical names.
#[async_trait]
pub trait RowSource: Send + Sync {
    /// Current rows at `as_of`, with at least the columns `fields_read(item)`. The same row may come twice.
    async fn rows(&self, item: &Item, as_of: Timestamp, ask: Ask<'_>) -> Result<Vec<RecordBatch>, SourceError>;

    /// Greatest `_data_date` of all versions known at `as_of` (computation 7.5).
    async fn feed_date(&self, item: &Item, as_of: Timestamp) -> Result<Option<Day>, SourceError>;

    /// All versions of all rows with their envelope, for many runs at many moments.
    async fn history(&self, item: &Item) -> Result<Vec<RecordBatch>, SourceError>;
}

/// What is asked about every run.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Rules.
    pub engine: &'a Engine,
    /// Query log and operator's aliases.
    pub inputs: &'a Inputs,
    /// Parameter set.
    pub parameters: &'a Parameters,
    /// How citizen numbers are printed.
    pub show: &'a Show<'a>,
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").finish_non_exhaustive()
    }
}

impl<'a> Question<'a> {
    fn world(&self, facts: &'a Facts) -> World<'a> {
        World { facts, inputs: self.inputs, parameters: self.parameters, show: self.show }
    }
}

fn item_of(code: &str) -> Result<&'static Item, SourceError> {
    Catalogue::embedded().item(code).ok_or_else(|| SourceError::UnknownItem(code.to_owned()))
}

/// Fields through which a row is found; the subject alone for items that tell nothing of kinship.
fn links(no: u8, item: &Item) -> Vec<&str> {
    let all = item.subject_fields.iter().map(String::as_str);
    match no {
        18 | 20 | 21 | 49 => all.collect(),
        _ => all.take(1).collect(),
    }
}

type ItemRows = (&'static Item, Vec<RecordBatch>);

async fn rows_of(
    source: &dyn RowSource,
    item: &'static Item,
    as_of: Timestamp,
    numbers: Arc<[Citizen]>,
) -> Result<ItemRows, SourceError> {
    let fields = links(item_no(&item.code), item);
    let rows = source.rows(item, as_of, Ask::Persons { fields: &fields, numbers: &numbers }).await?;
    Ok((item, rows))
}

/// How much of a person is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Items that decide who belongs to whom.
    Kinship,
    /// All others.
    Facts,
}

impl Depth {
    /// `None` for items that are not loaded by person.
    fn of(item: u8) -> Option<Self> {
        match item {
            1 | 8 | 9 => None,
            no if KIN_ITEMS.contains(&no) || KIN_ITEMS_MORE.contains(&no) => Some(Self::Kinship),
            _ => Some(Self::Facts),
        }
    }
}

/// The store that grows while runs ask for more.
struct Gathered<'s> {
    source: &'s dyn RowSource,
    as_of: Timestamp,
    facts: Facts,
    kin: HashSet<Citizen>,
    full: HashSet<Citizen>,
    certificates: HashSet<String>,
}

impl<'s> Gathered<'s> {
    async fn open(
        source: &'s dyn RowSource,
        question: &Question<'_>,
        as_of: Timestamp,
        applications: Option<&[String]>,
    ) -> Result<Self, SourceError> {
        let mut facts = Facts::new();
        for code in ["assistance_application", "declared_household_member"] {
            let ask = applications.map_or(Ask::Everything, |values| Ask::Texts { field: "application_no", values });
            let rows = source.rows(item_of(code)?, as_of, ask).await?;
            facts.load(code, &rows, Versions::Current)?;
        }
        for code in question.engine.dated_feeds() {
            if let Some(day) = source.feed_date(item_of(code)?, as_of).await? {
                facts.set_feed(item_no(code), day);
            }
        }
        facts.finish();
        let (kin, full, certificates) = Default::default();
        Ok(Self { source, as_of, facts, kin, full, certificates })
    }

    /// Loads what the persons need and is not there; whether anything was loaded.
    async fn load(&mut self, touched: impl IntoIterator<Item = (Citizen, bool)>) -> Result<bool, SourceError> {
        let (mut kin, mut full) = (HashSet::new(), HashSet::new());
        for (number, facts) in touched {
            kin.insert(number);
            if facts {
                full.insert(number);
            }
        }
        let of_kin = self.load_items(&kin, Depth::Kinship).await?;
        let of_full = self.load_items(&full, Depth::Facts).await?;
        Ok(of_kin || of_full)
    }

    /// Loads the items of one depth for the persons who lack them; whether there was anybody.
    async fn load_items(&mut self, persons: &HashSet<Citizen>, depth: Depth) -> Result<bool, SourceError> {
        let loaded = match depth {
            Depth::Kinship => &mut self.kin,
            Depth::Facts => &mut self.full,
        };
        let new: Arc<[Citizen]> = persons.iter().copied().filter(|number| loaded.insert(*number)).collect();
        if new.is_empty() {
            return Ok(false);
        }
        let mut asks: Vec<BoxFuture<'_, Result<ItemRows, SourceError>>> = Vec::new();
        for item in Catalogue::embedded().items().iter().filter(|item| Depth::of(item_no(&item.code)) == Some(depth)) {
            asks.push(Box::pin(rows_of(self.source, item, self.as_of, Arc::clone(&new))));
        }
        let mut answers = futures::stream::iter(asks).buffered(ITEMS_AT_ONCE);
        while let Some(answer) = answers.next().await {
            let (item, rows) = answer?;
            if item_no(&item.code) == SubsistenceAllowanceMember::NO {
                self.households_of(&rows).await?;
            }
            self.facts.load(&item.code, &rows, Versions::Current)?;
        }
        drop(answers);
        if depth == Depth::Facts {
            // Households of item 1 also state something about their heads: a name that does not belong to the number.
            let item = item_of("subsistence_allowance_household")?;
            let ask = Ask::Persons { fields: &["head_citizen_id"], numbers: &new };
            let rows = self.source.rows(item, self.as_of, ask).await?;
            self.facts.load(&item.code, &rows, Versions::Current)?;
        }
        self.facts.finish();
        Ok(true)
    }

    /// Item 1 by the certificates that item 2 names.
    async fn households_of(&mut self, members: &[RecordBatch]) -> Result<(), SourceError> {
        let mut new = Vec::new();
        for batch in members {
            let Some(column) = batch.column_by_name("certificate_no").and_then(|c| c.as_string_opt::<i32>()) else {
                continue;
            };
            for certificate in column.iter().flatten() {
                if self.certificates.insert(certificate.to_owned()) {
                    new.push(certificate.to_owned());
                }
            }
        }
        if !new.is_empty() {
            let item = item_of("subsistence_allowance_household")?;
            let ask = Ask::Texts { field: "certificate_no", values: &new };
            let rows = self.source.rows(item, self.as_of, ask).await?;
            self.facts.load(&item.code, &rows, Versions::Current)?;
        }
        Ok(())
    }

    /// Walks kinship until nobody is missing, then reads the facts of everybody who was met, once. Whom only those facts
    /// bring into sight, the computation itself asks for.
    async fn close(&mut self, question: &Question<'_>, runs: &[Run]) -> Result<(), SourceError> {
        let mut open: Vec<&Run> = runs.iter().collect();
        let mut full = HashSet::new();
        for _ in 0..ROUNDS_MAX {
            let world = question.world(&self.facts);
            let reached: Vec<(&Run, Vec<(Citizen, bool)>)> =
                open.par_iter().map(|run| (*run, question.engine.reach(&world, run))).collect();
            // A run that wants nobody new is closed: rows that others bring in are not reachable from it.
            let mut kin = HashSet::new();
            open = Vec::new();
            for (run, touched) in reached {
                if touched.iter().any(|(number, _)| !self.kin.contains(number)) {
                    open.push(run);
                }
                for (number, facts) in touched {
                    kin.insert(number);
                    if facts {
                        full.insert(number);
                    }
                }
            }
            if !self.load_items(&kin, Depth::Kinship).await? {
                self.load_items(&full, Depth::Facts).await?;
                return Ok(());
            }
        }
        Err(SourceError::Endless)
    }
}

/// Verifies one application.
pub async fn verify_one(
    source: &dyn RowSource,
    question: &Question<'_>,
    run: &Run,
) -> Result<Result<Verification, RunError>, SourceError> {
    Box::pin(verify_one_cited(source, question, run)).await.map(|(result, _)| result)
}

/// Verifies one application and tells the records that the result rests on.
pub async fn verify_one_cited(
    source: &dyn RowSource,
    question: &Question<'_>,
    run: &Run,
) -> Result<(Result<Verification, RunError>, Vec<Evidence>), SourceError> {
    let numbers = [run.application_no.clone()];
    let mut gathered = Gathered::open(source, question, run.as_of, Some(&numbers)).await?;
    Box::pin(gathered.close(question, std::slice::from_ref(run))).await?;
    for _ in 0..ROUNDS_MAX {
        let (result, touched) = question.engine.run(&question.world(&gathered.facts), run);
        if !gathered.load(touched).await? {
            let evidence = question.engine.evidence(&question.world(&gathered.facts), run);
            return Ok((result, evidence));
        }
    }
    Err(SourceError::Endless)
}

/// Verifies every application known at `as_of`, in ascending order of numbers, on all cores. Results are handed over in
/// chunks as they are ready; `each` may stop with `false`.
pub async fn verify_all(
    source: &dyn RowSource,
    question: &Question<'_>,
    as_of: Timestamp,
    mut each: impl FnMut(&Run, Result<Verification, RunError>) -> bool,
) -> Result<(), SourceError> {
    let mut gathered = Gathered::open(source, question, as_of, None).await?;
    let runs: Vec<Run> = gathered
        .facts
        .application_numbers(as_of.0)
        .into_iter()
        .map(|application_no| Run { application_no, as_of, reverify_on: None })
        .collect();
    Box::pin(gathered.close(question, &runs)).await?;
    for chunk in runs.chunks(CHUNK) {
        let mut results: Vec<_> = compute(question, &gathered.facts, chunk);
        for _ in 0..ROUNDS_MAX {
            let touched: Vec<(Citizen, bool)> = results.iter().flat_map(|(_, touched)| touched.clone()).collect();
            if !gathered.load(touched).await? {
                break;
            }
            results = compute(question, &gathered.facts, chunk);
        }
        for (run, (result, _)) in chunk.iter().zip(results) {
            if !each(run, result) {
                return Ok(());
            }
        }
    }
    Ok(())
}

type Computed = (Result<Verification, RunError>, Vec<(Citizen, bool)>);

fn compute(question: &Question<'_>, facts: &Facts, runs: &[Run]) -> Vec<Computed> {
    let world = question.world(facts);
    runs.par_iter().map(|run| question.engine.run(&world, run)).collect()
}

/// Answers runs at any moments from the whole history of a source, in their order: the way of case folders.
pub async fn verify_runs(
    source: &dyn RowSource,
    question: &Question<'_>,
    runs: &[Run],
) -> Result<Vec<Result<Verification, RunError>>, SourceError> {
    let mut facts = Facts::new();
    for item in Catalogue::embedded().items() {
        facts.load(&item.code, &source.history(item).await?, Versions::All)?;
    }
    facts.finish();
    Ok(compute(question, &facts, runs).into_iter().map(|(result, _)| result).collect())
}

/// Columns that a source must give of an item: those read, and the natural key.
pub fn columns_of(item: &Item) -> Vec<&str> {
    let mut columns: Vec<&str> = fields_read(&item.code).to_vec();
    for key in &item.natural_key {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    columns
}
