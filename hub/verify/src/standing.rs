//! States of a person on the query day (2.2), capacity and dependence (1.5, 2.4 as far as a person alone decides).

use std::cell::OnceCell;

use crate::calendar::{Day, Month};
use crate::case::Case;
use crate::items::{
    CompulsoryIsolationRehab, CremationRecord, DeathCancellation, DisabilityCertificate, ElderlyAllowance,
    EmployeePensionBenefit, ExtremePovertySupport, PrisonInmate, ResidentPensionBenefit, StudentEnrolment,
};
use crate::number::Citizen;

/// Cached answers about one person.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    death: OnceCell<Option<Option<Day>>>,
    state: OnceCell<Option<State>>,
    severe: OnceCell<bool>,
    enrolment: OnceCell<(bool, bool)>,
}

/// States of 2.2 in the order in which the first match is the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Dead,
    Missing,
    Emigrated,
    Prison,
    Rehab,
    Religious,
    SupportedExtreme,
}

impl State {
    /// HUB_EXCLUDE_REASON and word.
    pub(crate) fn reason(self) -> (&'static str, &'static str) {
        match self {
            Self::Dead => ("5", "dead"),
            Self::Missing => ("4", "missing"),
            Self::Emigrated => ("9", "emigrated"),
            Self::Prison => ("2", "prison"),
            Self::Rehab => ("3", "rehab"),
            Self::Religious => ("1", "religious"),
            Self::SupportedExtreme => ("9", "supported_extreme"),
        }
    }
}

impl Case<'_> {
    /// Dead on Q; inside, the death day where a date is known.
    pub(crate) fn death(&self, person: Citizen) -> Option<Option<Day>> {
        let card = self.card(person);
        *card.standing.death.get_or_init(|| {
            let cancelled = self.rows::<DeathCancellation>(person).into_iter().filter_map(|row| {
                let fact = self.rules.of(23).main();
                fact.passes(row, &self.settings).then(|| fact.day(row)).flatten()
            });
            let cremated =
                self.rows::<CremationRecord>(person).into_iter().filter_map(|row| self.rules.of(19).main().day(row));
            let day = cancelled.chain(cremated).filter(|day| *day <= self.q).min();
            let by_status = self.person_status(person, "2");
            if day.is_some() || by_status { Some(day) } else { None }
        })
    }

    /// Dead on Q.
    pub(crate) fn dead(&self, person: Citizen) -> bool {
        self.death(person).is_some()
    }

    /// The register's `person_status_code` is this.
    pub(crate) fn person_status(&self, person: Citizen, code: &str) -> bool {
        self.card(person).identity.is_some_and(|row| row.person_status_code.is(code))
    }

    fn cancelled(&self, person: Citizen, fact: &str) -> bool {
        let fact = self.rules.of(23).fact(fact);
        self.rows::<DeathCancellation>(person)
            .into_iter()
            .any(|row| fact.passes(row, &self.settings) && fact.day(row).is_some_and(|day| day <= self.q))
    }

    /// `state(p)`.
    pub(crate) fn state(&self, person: Citizen) -> Option<State> {
        let card = self.card(person);
        *card.standing.state.get_or_init(|| {
            let religious = || self.decl(person).is_some_and(|d| d.reason.is("1"));
            let supported = || {
                self.settings.exclude_supported_extreme
                    && person != self.applicant
                    && !self.in_force::<ExtremePovertySupport>(person).is_empty()
            };
            if self.dead(person) {
                Some(State::Dead)
            } else if self.cancelled(person, "missing") || self.person_status(person, "6") {
                Some(State::Missing)
            } else if self.cancelled(person, "emigrated") || self.person_status(person, "4") {
                Some(State::Emigrated)
            } else if self.in_prison(person) {
                Some(State::Prison)
            } else if self.in_rehab(person) {
                Some(State::Rehab)
            } else if religious() {
                Some(State::Religious)
            } else if supported() {
                Some(State::SupportedExtreme)
            } else {
                None
            }
        })
    }

    /// `state(p)` where declarations have no say (3.9).
    pub(crate) fn state_of_register(&self, person: Citizen) -> Option<State> {
        match self.state(person) {
            Some(State::Religious) => {
                let supported = self.settings.exclude_supported_extreme
                    && person != self.applicant
                    && !self.in_force::<ExtremePovertySupport>(person).is_empty();
                supported.then_some(State::SupportedExtreme)
            }
            other => other,
        }
    }

    fn in_prison(&self, person: Citizen) -> bool {
        self.in_force::<PrisonInmate>(person)
            .into_iter()
            .any(|row| row.released_on.is_some() || row.custody_status_code.is("1"))
    }

    fn in_rehab(&self, person: Citizen) -> bool {
        self.in_force::<CompulsoryIsolationRehab>(person)
            .into_iter()
            .any(|row| row.released_on.is_some() || row.custody_status_code.is("1"))
    }

    /// In prison or compulsory rehabilitation on Q, by covered rows.
    pub(crate) fn in_custody(&self, person: Citizen) -> bool {
        self.in_prison(person) || self.in_rehab(person)
    }

    /// An alive check after the day of death (D5 `death_alive`).
    pub(crate) fn alive_after(&self, person: Citizen, death: Day) -> bool {
        let after = |day: Option<Day>| day.is_some_and(|day| day > death);
        self.rows::<ElderlyAllowance>(person).iter().any(|r| after(r.alive_verified_on))
            || self.rows::<EmployeePensionBenefit>(person).iter().any(|r| after(r.alive_verified_on))
            || self.rows::<ResidentPensionBenefit>(person).iter().any(|r| after(r.alive_verified_on))
    }

    /// `severe(p)` (R-CAT-05).
    pub(crate) fn severe(&self, person: Citizen) -> bool {
        let card = self.card(person);
        *card.standing.severe.get_or_init(|| {
            self.in_force::<DisabilityCertificate>(person).into_iter().any(|row| {
                let (ty, grade) = (row.disability_type_code, row.disability_grade_code);
                grade.is("1") || grade.is("2") || (grade.is("3") && (ty.is("5") || ty.is("6")))
            })
        })
    }

    /// `minor(p)`.
    pub(crate) fn minor(&self, person: Citizen) -> bool {
        self.age(person) < 18
    }

    /// (enrolled, enrolled in a stage of R-FAM-02).
    fn enrolment(&self, person: Citizen) -> (bool, bool) {
        let card = self.card(person);
        *card.standing.enrolment.get_or_init(|| {
            let rows = self.rows::<StudentEnrolment>(person);
            let mut enrolled = rows.into_iter().filter(|row| self.enrolled_by(row)).peekable();
            let any = enrolled.peek().is_some();
            let undergraduate = enrolled
                .any(|row| ["1", "2", "3", "4", "5", "6", "7", "9"].iter().any(|stage| row.stage_code.is(stage)));
            (any, undergraduate)
        })
    }

    fn enrolled_by(&self, row: &StudentEnrolment) -> bool {
        let in_year = academic_year(self.text(row.academic_year))
            .is_some_and(|september| september.first() <= self.q && self.q <= Month(september.0 + 11).last());
        row.is_full_time
            && row.enrol_status_code.is("1")
            && row.enrolled_on <= self.q
            && in_year
            && row.expected_end_on.is_none_or(|end| end >= self.q)
    }

    /// `student(p)`.
    pub(crate) fn student(&self, person: Citizen) -> bool {
        self.settings.student_max_age.is_none_or(|max| self.age(person) < max) && self.enrolment(person).1
    }

    /// `non_dependent_student(p)`.
    pub(crate) fn non_dependent_student(&self, person: Citizen) -> bool {
        self.age(person) >= 18 && self.enrolment(person).0 && !self.student(person)
    }
}

/// September of `YYYY-ZZZZ` where ZZZZ = YYYY + 1; any other text names no school year.
pub(crate) fn academic_year(text: &str) -> Option<Month> {
    let b = text.as_bytes();
    if b.len() != 9 || b[4] != b'-' || !b.iter().enumerate().all(|(i, c)| i == 4 || c.is_ascii_digit()) {
        return None;
    }
    let (from, to): (i32, i32) = (text[..4].parse().ok()?, text[5..].parse().ok()?);
    (to == from + 1).then_some(Month(from * 12 + 8))
}
