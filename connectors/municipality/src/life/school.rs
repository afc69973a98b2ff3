//! School: enrolment, aid and loans (items 56 to 58).

use crate::{
    calendar::{SNAPSHOT, date, days},
    city::BANKS,
    items::{
        Dec,
        education::{StudentEnrolment, StudentFinancialAid, StudentOriginLoan},
    },
    row::Text,
};

use super::teller::{Teller, text};

impl Teller<'_, '_> {
    /// All rows of `p` about school, for the academic years 2024-2025 and 2025-2026.
    pub(crate) fn school(&mut self, p: usize) {
        let person = self.person(p);
        let Some(study) = person.is.study.filter(|_| person.alive() && person.is.gone.is_none()) else { return };
        for year in [2024, 2025] {
            let Some((stage, entry, takes)) = study.stage(person.birth, year) else { continue };
            if stage == '1' && self.chance.percent(12) {
                continue;
            }
            // Held by the court before school began: not enrolled.
            if person.is.custody.is_some_and(|c| c.from < date(year, 9, 1)) {
                continue;
            }
            let seat = self.seat(p);
            let school = seat.school(stage, &mut self.chance).clone();
            let end = date(entry + takes, 6, 30);
            let enrolled = date(entry, 9, 1);
            let over = end <= SNAPSHOT;
            let status = match (year, over) {
                (2024, true) => "4",
                (2024, false) => "1",
                (_, true) if self.chance.percent(60) => "1",
                (_, true) => "4",
                _ => study.status,
            };
            let tuition = match stage {
                '1' => self.chance.range(30, 90) * 10_000,
                '4' => self.chance.range(16, 30) * 10_000,
                '6' => self.chance.range(55, 75) * 10_000,
                '7' => self.chance.range(55, 120) * 10_000,
                '8' => self.chance.range(80, 130) * 10_000,
                _ => 0,
            };
            let number = match stage {
                '1'..='5' | '9' => text!("G{}", &*person.id),
                _ => text!("XH{entry}{:010}", person.serial),
            };
            let years = ["一", "二", "三", "四", "五", "六"][((year - entry).clamp(0, 5)) as usize];
            let guardian = (person.age() < 18).then_some(person.mother.or(person.father)).flatten();
            let row = StudentEnrolment {
                student_no: number.clone(),
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                academic_year: text!("{year}-{}", year + 1),
                school_code: school.code.clone(),
                school_name: Some(school.name.clone()),
                stage_code: stage_text(stage),
                grade: Some(text!("{years}年级")),
                is_full_time: study.full_time,
                is_boarding: Some(matches!(stage, '4'..='8') && self.chance.percent(70)),
                enrolled_on: enrolled,
                expected_end_on: (!self.chance.percent(5)).then_some(end),
                annual_tuition: (tuition > 0).then_some(Dec(tuition)),
                enrol_status_code: status.into(),
                guardian_citizen_id: guardian.filter(|g| self.registered(*g)).map(|g| self.person(g).id.clone()),
            };
            let changed = date(year, 9, 20);
            self.state(p, changed, row);
            self.aid(p, year, stage, &number, &school.code);
        }
    }

    fn aid(&mut self, p: usize, year: i32, stage: char, number: &Text, school: &Text) {
        let person = self.person(p);
        let poor = self.home(p).assisted || self.home(p).story.is_some() && self.chance.percent(40);
        let needy = poor || self.chance.percent(2);
        if !needy {
            return;
        }
        let (code, amount) = match stage {
            '1' => ("01", 60_000),
            '2' | '3' | '9' => ("02", 62_500),
            '4' => ("03", 100_000),
            '5' => ("05", 100_000),
            '6' | '7' => ("07", 185_000),
            _ => ("12", 300_000),
        };
        for (term, on) in [("1", date(year, 11, 20)), ("2", date(year + 1, 5, 20))] {
            let paid = days(on, self.chance.range(0, 25));
            let row = StudentFinancialAid {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                student_no: Some(number.clone()),
                school_code: school.clone(),
                aid_code: code.into(),
                hardship_grade_code: Some(if poor { "1".into() } else { "2".into() }),
                amount: Dec(amount),
                academic_year: text!("{year}-{}", year + 1),
                term_code: term.into(),
                approved_on: Some(days(on, -20)),
                paid_on: Some(paid),
                pay_status_code: if self.chance.percent(1) { "2".into() } else { "1".into() },
            };
            self.event(p, paid, row);
        }
        if matches!(stage, '6' | '7') && self.chance.percent(35) {
            let parent = person.father.or(person.mother).filter(|q| self.person(*q).alive());
            let signed = date(year, 8, 1 + self.chance.below(25) as u32);
            let row = StudentOriginLoan {
                loan_contract_no: text!("ZXDK{year}{:010}", person.serial),
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                co_borrower_citizen_id: parent.map(|q| self.person(q).id.clone()),
                co_borrower_name: parent.map(|q| self.name(q)),
                lender_code: Some(BANKS[4].0.into()),
                loan_amount: Dec(1_600_000),
                academic_year: text!("{year}-{}", year + 1),
                signed_on: Some(signed),
                outstanding_amount: Some(Dec(1_600_000)),
                loan_status_code: "1".into(),
                division_code: self.division(p),
            };
            self.event(p, signed, row);
        }
    }
}

fn stage_text(stage: char) -> Text {
    match stage {
        '1' => "1",
        '2' => "2",
        '3' => "3",
        '4' => "4",
        '5' => "5",
        '6' => "6",
        '7' => "7",
        '8' => "8",
        _ => "9",
    }
    .into()
}
