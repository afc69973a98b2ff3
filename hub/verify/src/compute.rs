//! One verification from beginning to end: the pure function of which everything else is a part.

use std::collections::BTreeSet;

use minqiao_core::Timestamp;
use minqiao_schemas::{Cadence, Catalogue, ExchangeMode};

use crate::calendar::Day;
use crate::case::{Case, Inputs, Known};
use crate::categories::{Category, Grounds, Totals};
use crate::cell::Show;
use crate::discrepancies::{self, Found};
use crate::expenditure::Rigid;
use crate::fact_map::{FactKind, FactMap, MapError, Rules};
use crate::facts::Facts;
use crate::finding::Finding;
use crate::income::Income;
use crate::items::{IndividualBusiness, Row, SHAPES};
use crate::kinship::Kin;
use crate::lookback::lookback;
use crate::members::household;
use crate::monetary::Monetary;
use crate::number::Citizen;
use crate::obligors::{means, obligors};
use crate::parameters::{Missing, Parameters};
use crate::print::Parts;
use crate::property::Property;
use crate::result::Verification;

/// What is asked for: one application at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// `assistance_application.application_no`.
    pub application_no: String,
    /// What was known then.
    pub as_of: Timestamp,
    /// Periodic or early re-verification (R-VER-05).
    pub reverify_on: Option<Day>,
}

/// Why there is no result, in the order in which the page tests it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// No current row at `as_of`.
    #[error("the application is not known at that time")]
    ApplicationUnknown,
    /// `reverify_on` or the base date is after the query day.
    #[error("the base date is after the day of the verification")]
    BaseAfterAsOf,
    /// A value that is needed is not loaded.
    #[error("a parameter is missing")]
    ParameterMissing(#[from] Missing),
}

impl RunError {
    /// The error's code in an answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ApplicationUnknown => "application_unknown",
            Self::BaseAfterAsOf => "base_after_as_of",
            Self::ParameterMissing(_) => "parameter_missing",
        }
    }
}

/// What runs look at.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Rows.
    pub facts: &'a Facts,
    /// Query log and operator's aliases.
    pub inputs: &'a Inputs,
    /// Parameter set.
    pub parameters: &'a Parameters,
    /// How citizen numbers are printed.
    pub show: &'a Show<'a>,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// The compiled rules: made once, used by every run.
#[derive(Debug)]
pub struct Engine {
    pub(crate) rules: Rules,
    /// Feeds whose age matters (7.5): item and whether it is daily.
    feeds: Vec<(u8, bool)>,
}

impl Engine {
    /// Compiles the embedded fact map against the catalogue.
    pub fn new() -> Result<Self, MapError> {
        let rules = Rules::compile(&FactMap::embedded()?)?;
        let mut feeds = Vec::new();
        for shape in &SHAPES {
            let Some(item) = Catalogue::embedded().item(shape.item) else { continue };
            let stated = rules.of(shape.no).kinds.iter().any(|kind| *kind != FactKind::None);
            if stated && item.exchange_mode == ExchangeMode::BatchPush && item.cadence != Cadence::Realtime {
                feeds.push((shape.no, item.cadence == Cadence::Daily));
            }
        }
        Ok(Self { rules, feeds })
    }

    /// Items whose feed's age is asked for (7.5).
    pub fn dated_feeds(&self) -> impl Iterator<Item = &'static str> {
        self.feeds.iter().map(|(no, _)| crate::items::item_code(*no))
    }

    /// Computes one run. Also tells whose rows were asked for, with `true` where facts were asked besides kinship.
    pub fn run(&self, world: &World<'_>, run: &Run) -> (Result<Verification, RunError>, Vec<(Citizen, bool)>) {
        let (case, county, scheme) = match self.open(world, run) {
            Ok(opened) => opened,
            Err(error) => return (Err(error), Vec::new()),
        };
        let result = self.verify(&case, &county, &scheme, world.parameters.version());
        (result.map_err(RunError::from), case.touched())
    }

    /// Walks the kinship of one run and tells whose rows it will ask for, without computing a figure. A run that ends
    /// in an error asks for nobody.
    pub fn reach(&self, world: &World<'_>, run: &Run) -> Vec<(Citizen, bool)> {
        let Ok((case, ..)) = self.open(world, run) else { return Vec::new() };
        let (kin, registers) = (Kin::full(&case), Kin::of_registers(&case));
        let household = household(&kin);
        let obligors = obligors(&kin, &household);
        for person in crate::obligors::reach(&kin, &registers, &household, &obligors) {
            case.ask(person);
        }
        case.touched()
    }

    pub(crate) fn open<'a>(&'a self, world: &World<'a>, run: &Run) -> Result<(Case<'a>, String, String), RunError> {
        let World { facts, inputs, parameters, show } = *world;
        let application = facts.application(&run.application_no, run.as_of.0).ok_or(RunError::ApplicationUnknown)?;
        let base = run.reverify_on.unwrap_or_else(|| Day::of(application.applied_at));
        if base > Day::of(run.as_of) {
            return Err(RunError::BaseAfterAsOf);
        }
        let county: String = facts.text(application.accept_town_code).chars().take(6).collect();
        let scheme = application.guarantee_category_code.to_string();
        let settings = parameters.resolve(&county, &scheme, base)?;
        let known = Known { facts, rules: &self.rules, inputs, show };
        Ok((Case::open(known, settings, application, run.as_of, base), county, scheme))
    }

    fn verify(&self, case: &Case<'_>, county: &str, scheme: &str, version: &str) -> Result<Verification, Missing> {
        let kin = Kin::full(case);
        let registers = Kin::of_registers(case);
        let household = household(&kin);
        let obligors = obligors(&kin, &household);
        let means = means(&kin, &registers, &household, &obligors);
        let counted: Vec<Citizen> = household.counted.iter().copied().collect();
        let (window, year) = (case.window(), case.year());
        let money = Monetary::of(case, &counted);
        let income = Income::with_money(case, &counted, window, &money);
        let other_year;
        let over_year = if window == year {
            &income
        } else {
            other_year = Income::with_money(case, &counted, year, &money);
            &other_year
        };
        let property = Property::of(case, &counted, money);
        let maintenance = means.values().map(|m| m.counts(case.settings.count_computed)).sum();
        let totals = Totals::of(case, &income, maintenance)?;
        let rigid = Rigid::of(case, &counted);
        let tests = property.tests(case, household.n())?;
        let grounds = Grounds {
            case,
            household: &household,
            income: &income,
            totals: &totals,
            tests: &tests,
            rigid: &rigid.total,
            obligors: &obligors,
            means: &means,
        };
        let of_household = grounds.category()?;
        let requested = case.application.apply_type_code.is("01") && case.application.is_single_person;
        let eligible = grounds.eligible(of_household);
        let category =
            if requested && eligible.contains(&case.applicant) { Category::DibaoSingle } else { of_household };
        let covered = counted.iter().filter(|p| grounds.guaranteed(**p)).count() as i64;
        let benefit = grounds.benefit(category, covered)?;
        let grace = grounds.grace(category);
        let found = Found {
            kin: &kin,
            household: &household,
            obligors: &obligors,
            income: &income,
            year: over_year,
            property: &property,
            rigid: &rigid,
            feeds: &self.feeds,
        };
        let discrepancies = discrepancies::find(&found, category == Category::DibaoSingle);
        let not_authorised = discrepancies::not_authorised(case, &household, &obligors);
        let mut findings: BTreeSet<Finding> = income.findings.clone();
        findings.extend(property.findings.iter().cloned());
        findings.extend(property.money.findings.iter().cloned());
        for person in &counted {
            let operates =
                case.in_force::<IndividualBusiness>(*person).into_iter().filter(|r| r.entity_status_code.is("1"));
            for row in operates.filter(|_| income.by_person.get(person).is_some_and(|p| !p.has_business_row)) {
                let uscc = case.text(row.uscc).to_owned();
                findings.insert(Finding::of_row("business_income_unknown", IndividualBusiness::NO, uscc, *person));
            }
        }
        if requested && category != Category::DibaoSingle {
            let person = Some(case.applicant);
            findings.insert(Finding { code: "single_not_eligible", item: None, key: None, person });
        }
        if let Some(key) = grace.as_ref().and_then(|g| g.overdue.clone()) {
            findings.insert(Finding::of_row("grace_overdue", 1, key, case.applicant));
        }
        let parts = Parts {
            kin: &kin,
            household: &household,
            obligors: &obligors,
            means: &means,
            income: &income,
            totals: &totals,
            property: &property,
            tests: &tests,
            rigid: &rigid,
            category,
            requested,
            eligible: &eligible,
            covered,
            benefit,
            grace: grace.as_ref(),
            discrepancies: &discrepancies,
            not_authorised: &not_authorised,
            findings: &findings,
            lookback: &lookback(case, &counted),
        };
        Ok(parts.print(county, scheme, version))
    }
}
