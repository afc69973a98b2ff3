//! Rigid expenditure of twelve months (computation 5.1; R-CAT-04).

use std::collections::BTreeMap;

use crate::calendar::Month;
use crate::case::Case;
use crate::cell::or_zero;
use crate::exact::Exact;
use crate::items::{
    AssistancePayment, DisabilityRehabilitationAid, MedicalSettlement, Row, StudentEnrolment, StudentFinancialAid,
    TemporaryAssistance,
};
use crate::number::Citizen;
use crate::standing::academic_year;

/// Rigid expenditure (5.1; R-CAT-04). Yuan.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rigid {
    pub(crate) medical: Exact,
    pub(crate) education: Exact,
    pub(crate) rehab: Exact,
    pub(crate) living: Exact,
    pub(crate) aid: Exact,
    pub(crate) total: Exact,
}

impl Rigid {
    /// Expenditure of the counted members over WIN(12).
    pub(crate) fn of(case: &Case<'_>, persons: &[Citizen]) -> Self {
        let window = case.year();
        fn sum<T: Row>(case: &Case<'_>, person: Citizen, fact: &str) -> Exact {
            let fact = case.rule::<T>().fact(fact);
            let window = case.year();
            case.rows::<T>(person)
                .into_iter()
                .filter(|row| fact.passes(*row, &case.settings))
                .filter(|row| fact.day(*row).is_some_and(|day| window.holds(day.month())))
                .map(|row| fact.amount(row).unwrap_or_default())
                .sum()
        }
        let mut found = Self { living: case.settings.line(persons.len() as i64, 12), ..Self::default() };
        for person in persons {
            found.medical = found.medical + sum::<MedicalSettlement>(case, *person, "main");
            found.rehab = found.rehab + sum::<DisabilityRehabilitationAid>(case, *person, "main");
            found.aid = found.aid + sum::<TemporaryAssistance>(case, *person, "aid");
            found.aid = found.aid + sum::<AssistancePayment>(case, *person, "aid");
            let mut years: BTreeMap<Month, (Exact, Exact)> = BTreeMap::new();
            let tuition = case.rules.of(56).fact("tuition");
            for row in case.rows::<StudentEnrolment>(*person) {
                let counts =
                    tuition.passes(row, &case.settings) && case.settings.education_stages.contains(&row.stage_code);
                if let Some(year) = academic_year(case.text(row.academic_year)).filter(|y| counts && window.holds(*y)) {
                    let entry = years.entry(year).or_default();
                    entry.0 = &entry.0 + &or_zero(row.annual_tuition);
                }
            }
            for row in case.passing::<StudentFinancialAid>(*person) {
                if let Some(year) = academic_year(case.text(row.academic_year)).filter(|y| window.holds(*y)) {
                    let entry = years.entry(year).or_default();
                    entry.1 = &entry.1 + &row.amount.exact();
                }
            }
            for (tuition, aid) in years.into_values() {
                found.education = found.education + (tuition - aid).floor_zero();
            }
        }
        found.medical = found.medical.floor_zero();
        let spent = &(&(&found.medical + &found.education) + &found.rehab) + &found.living;
        found.total = (spent - &found.aid).floor_zero();
        found
    }
}
