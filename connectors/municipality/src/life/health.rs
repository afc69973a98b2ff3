//! Illness, insurance and disability (items 50, 59 to 64, 70 and 71).

use crate::{
    calendar::{SNAPSHOT, date, days, months},
    items::{
        Dec,
        disabled_persons_federation::{DisabilityCertificate, DisabilityRehabilitationAid},
        health_commission::SevereMentalDisorder,
        medical_insurance::{
            ChronicDiseaseQualification, HighMedicalCostAlert, InsuranceContributionSubsidy, MedicalAssistancePayment,
            MedicalInsuranceEnrolment, MedicalSettlement,
        },
    },
    row::Text,
};

use super::{
    circumstance::Payer,
    teller::{ROWS_FROM, Teller, text},
};

/// (YB_DISEASE code, name, class).
const DISEASES: [(&str, &str, &str); 8] = [
    ("M03900", "高血压", "1"),
    ("M01600", "糖尿病", "1"),
    ("M04600", "冠心病", "1"),
    ("M07800", "慢性肾功能衰竭透析", "2"),
    ("M00500", "恶性肿瘤门诊治疗", "2"),
    ("ZC34", "肺恶性肿瘤", "3"),
    ("ZN18", "终末期肾病", "3"),
    ("ZG12", "运动神经元病", "4"),
];
const DIAGNOSES: [&str; 10] = ["J06.9", "I10", "E11.9", "I25.1", "M51.2", "K29.5", "J18.9", "I63.9", "C34.9", "N18.6"];
/// Resident scheme: own payment of the two years, fen.
const RESIDENT_FEES: [(i64, i64); 2] = [(2025, 40_000), (2026, 42_000)];

impl Teller<'_, '_> {
    /// All rows of `p` about health.
    pub(crate) fn health(&mut self, p: usize) {
        if !self.kin.recent(p) {
            return;
        }
        self.insurance(p);
        self.treatment(p);
        self.disability(p);
        self.mental(p);
    }

    /// Identity for medical assistance (HUB_MI_IDENTITY).
    fn aid_identity(&self, p: usize) -> &'static str {
        let person = self.person(p);
        if person.is.extreme.is_some() {
            "01"
        } else if self.home(p).assisted {
            "03"
        } else if person.is.severe() {
            "07"
        } else if person.is.veteran == Some("01") {
            "09"
        } else {
            "00"
        }
    }

    fn scheme(&self, p: usize) -> (&'static str, Option<Text>) {
        let person = self.person(p);
        let employer = person.is.jobs.iter().rev().find_map(|j| match j.payer {
            Payer::Employer(e) if j.insured && j.to.is_none() => Some(self.city.employers[e].uscc.clone()),
            _ => None,
        });
        match (employer, person.is.pension) {
            (Some(uscc), _) => ("310", Some(uscc)),
            (None, Some(pension)) if pension.employee => ("310", None),
            _ => ("390", None),
        }
    }

    fn insurance(&mut self, p: usize) {
        let person = self.person(p);
        if person.is.gone.is_some() {
            return;
        }
        let (kind, employer) = self.scheme(p);
        let identity = self.aid_identity(p);
        let subsidised = matches!(identity, "01" | "03" | "07");
        let id = self.id(p);
        let retired = kind == "310" && employer.is_none();
        for (year, fee) in RESIDENT_FEES {
            let mut from = date(year as i32, 1, 1);
            if self.chance.percent(3)
                || person.death.is_some_and(|d| d < from)
                || person.birth > date(year as i32, 12, 31)
            {
                continue;
            }
            if person.birth > from {
                from = person.birth;
            }
            if from > SNAPSHOT {
                continue;
            }
            let aid = if kind == "390" && subsidised { fee * if identity == "01" { 10 } else { 6 } / 10 } else { 0 };
            let row = MedicalInsuranceEnrolment {
                person_no: text!("3710{:014}", person.serial),
                citizen_id: id.clone(),
                full_name: person.name.clone(),
                insurance_type_code: kind.into(),
                enrol_status_code: if self.chance.per_10k(60) { "2".into() } else { "1".into() },
                enrol_from: from,
                enrol_to: Some(date(year as i32, 12, 31)),
                contribution_year: year,
                personal_paid_amount: (kind == "390" || !retired).then_some(Dec(if kind == "390" {
                    fee - aid
                } else {
                    108_000
                })),
                subsidised_amount: (aid > 0).then_some(Dec(aid)),
                identity_code: Some(identity.into()),
                employer_uscc: employer.clone(),
                insured_division_code: self.division(p),
            };
            self.state(p, from, row);
            if aid > 0 {
                let paid = days(date(year as i32 - 1, 11, 1), self.chance.range(0, 50));
                let row = InsuranceContributionSubsidy {
                    citizen_id: id.clone(),
                    full_name: person.name.clone(),
                    insurance_type_code: kind.into(),
                    contribution_year: year,
                    identity_code: identity.into(),
                    subsidy_mode_code: if identity == "01" { "1".into() } else { "3".into() },
                    contribution_standard: Some(Dec(fee)),
                    subsidy_amount: Dec(aid),
                    personal_amount: Some(Dec(fee - aid)),
                    paid_on: Some(paid),
                    pay_status_code: "1".into(),
                    insured_division_code: self.division(p),
                };
                self.event(p, paid, row);
            }
        }
    }

    fn treatment(&mut self, p: usize) {
        let person = self.person(p);
        if person.is.gone.is_some() {
            return;
        }
        let (kind, _) = self.scheme(p);
        let identity = self.aid_identity(p);
        let (visits, stays) = match person.is.illness {
            0 => (self.chance.weighted(&[55, 28, 12, 5]), usize::from(self.chance.percent(2))),
            1 => (1 + self.chance.weighted(&[30, 35, 25, 10]), usize::from(self.chance.percent(12))),
            2 => (3 + self.chance.weighted(&[40, 40, 20]), 1),
            _ => (4 + self.chance.weighted(&[40, 40, 20]), 2 + self.chance.weighted(&[50, 35, 15])),
        };
        let hospital = {
            let seat = self.seat(p);
            let n = self.chance.weighted(&[55, 25, 20]);
            (seat.hospitals[n].0.clone(), seat.hospitals[n].1.clone())
        };
        let span = (SNAPSHOT - ROWS_FROM).num_days();
        let mut own = 0;
        let mut aided = 0;
        let mut total_year = 0;
        let id = self.id(p);
        for n in 0..visits + stays {
            let stay = n >= visits;
            let on = days(SNAPSHOT, -self.chance.range(0, span));
            if !person.alive_on(on) {
                continue;
            }
            let total = match (stay, person.is.illness) {
                (false, _) => self.chance.range(60, 900) * 100,
                (true, 3) => self.chance.range(18_000, 95_000) * 100,
                (true, _) => self.chance.range(5_000, 26_000) * 100,
            };
            let policy = total * self.chance.range(78, 96) / 100;
            let fund = policy * if kind == "310" { 78 } else { 62 } / 100;
            let critical = if stay && policy - fund > 1_200_000 { (policy - fund - 1_200_000) * 6 / 10 } else { 0 };
            let aid = if matches!(identity, "01" | "03") && stay { (policy - fund - critical) * 6 / 10 } else { 0 };
            let personal = total - fund - critical - aid;
            if on > days(SNAPSHOT, -365) {
                own += personal;
                total_year += total;
            }
            let settled = self.office(on);
            let settlement = text!("JS{:012}{n:02}", person.serial);
            let row = MedicalSettlement {
                settlement_no: settlement.clone(),
                person_no: Some(text!("3710{:014}", person.serial)),
                citizen_id: id.clone(),
                full_name: person.name.clone(),
                insurance_type_code: kind.into(),
                medical_type_code: if stay {
                    "21".into()
                } else {
                    ["11", "14", "41"][self.chance.weighted(&[60, 25, 15])].into()
                },
                institution_code: hospital.0.clone(),
                diagnosis_code: Some(DIAGNOSES[self.chance.below(if stay { 10 } else { 7 }) as usize].into()),
                admitted_on: Some(if stay { days(on, -self.chance.range(3, 25)).max(person.birth) } else { on }),
                settled_at: settled,
                total_amount: Dec(total),
                in_policy_amount: Dec(policy),
                fund_paid_amount: Dec(fund),
                critical_illness_paid_amount: Dec(critical),
                medical_aid_paid_amount: Dec(aid),
                personal_paid_amount: Dec(personal),
            };
            if stay && self.chance.percent(3) {
                // Settled by mistake and refunded under a number of its own.
                let refund = MedicalSettlement {
                    settlement_no: text!("JT{:012}{n:02}", person.serial),
                    total_amount: Dec(-total),
                    in_policy_amount: Dec(-policy),
                    fund_paid_amount: Dec(-fund),
                    critical_illness_paid_amount: Dec(-critical),
                    medical_aid_paid_amount: Dec(-aid),
                    personal_paid_amount: Dec(-personal),
                    settled_at: self.office(days(on, 6).min(SNAPSHOT)),
                    ..row.clone()
                };
                self.event(p, days(on, 6).min(SNAPSHOT), refund);
            }
            self.event(p, on, row);
            if aid > 0 {
                aided += aid;
                let row = MedicalAssistancePayment {
                    assistance_no: text!("YJ{:012}{n:02}", person.serial),
                    citizen_id: id.clone(),
                    full_name: person.name.clone(),
                    settlement_no: Some(settlement),
                    identity_code: identity.into(),
                    mode_code: "1".into(),
                    in_policy_personal_amount: Some(Dec(policy - fund - critical)),
                    assistance_amount: Dec(aid),
                    year_cumulative_amount: Some(Dec(aided)),
                    settled_at: settled,
                    channel_code: Some("1".into()),
                    insured_division_code: self.division(p),
                };
                self.event(p, on, row);
            }
        }
        self.qualification(p, &hospital.0);
        let threshold = 1_500_000;
        if own > threshold && person.alive() {
            let pushed = self.office(SNAPSHOT);
            let row = HighMedicalCostAlert {
                alert_no: text!("YJ2026{:012}", person.serial),
                citizen_id: id,
                full_name: person.name.clone(),
                identity_code: identity.into(),
                window_from: date(2025, 7, 1),
                window_to: SNAPSHOT,
                cumulative_total_amount: Some(Dec(total_year)),
                cumulative_personal_amount: Dec(own),
                threshold_amount: Dec(threshold),
                threshold_basis_code: "1".into(),
                exceed_ratio: Some(Dec(own * 10_000 / threshold)),
                pushed_at: pushed,
                insured_division_code: self.division(p),
            };
            self.event(p, SNAPSHOT, row);
        }
    }

    fn qualification(&mut self, p: usize, hospital: &Text) {
        let person = self.person(p);
        let (first, last) = match person.is.illness {
            0 => return,
            1 if self.chance.percent(45) => (0, 3),
            1 => return,
            2 => (0, 5),
            _ => (3, 8),
        };
        let (code, name, class) = DISEASES[first + self.chance.below((last - first) as u64) as usize];
        let on = days(SNAPSHOT, -self.chance.range(10, 1300)).max(days(person.birth, 30)).min(SNAPSHOT);
        let row = ChronicDiseaseQualification {
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            person_no: Some(text!("3710{:014}", person.serial)),
            disease_code: code.into(),
            disease_name: Some(name.into()),
            class_code: class.into(),
            recognised_on: on,
            valid_from: on,
            valid_until: self.chance.percent(30).then(|| months(on, 24)),
            institution_code: Some(hospital.clone()),
            annual_limit_amount: Some(Dec(self.chance.range(2, 60) * 100_000)),
            record_status_code: "1".into(),
        };
        self.state(p, on, row);
    }

    fn disability(&mut self, p: usize) {
        let person = self.person(p);
        let Some(d) = person.is.disability.as_ref().filter(|d| d.issued <= SNAPSHOT && person.alive_on(d.issued))
        else {
            return;
        };
        let guardian = person.father.or(person.mother).or(person.spouse()).filter(|g| self.person(*g).alive());
        let row = DisabilityCertificate {
            disability_certificate_no: text!("{}{}{}", &*person.id, d.kind, d.grade),
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            disability_type_code: d.kind.into(),
            disability_grade_code: d.grade.into(),
            multi_detail: d.multi.map(Into::into),
            guardian_name: guardian.map(|g| self.name(g)),
            guardian_phone: guardian.map(|g| self.person(g).phone.clone()),
            issued_on: d.issued,
            valid_until: Some(d.valid_until),
            certificate_status_code: if person.death.is_some() { "2".into() } else { d.status.into() },
            assessed_institution: Some(self.seat(p).hospitals[0].1.clone()),
            division_code: self.division(p),
        };
        self.state(p, d.issued, row);
        if !person.alive() || !self.chance.percent(if person.age() < 15 { 70 } else { 18 }) {
            return;
        }
        let code = match (person.age(), d.kind) {
            (..15, _) => "01",
            (_, "6") => "03",
            _ => ["02", "05", "04", "07"][self.chance.below(4) as usize],
        };
        for n in 0..=self.chance.below(3) {
            let from = self.lately(600).max(d.issued);
            let cost = self.chance.range(20, 260) * 10_000;
            let aid = cost * self.chance.range(30, 80) / 100;
            let row = DisabilityRehabilitationAid {
                aid_no: text!("KF{:012}{n}", person.serial),
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                aid_code: code.into(),
                institution_uscc: Some(self.seat(p).hospitals[1].2.clone()),
                institution_name: Some(self.seat(p).hospitals[1].1.clone()),
                service_from: from,
                service_to: Some(days(from, 60)),
                total_cost: Dec(cost),
                aid_amount: Dec(aid),
                personal_amount: Dec(cost - aid),
                record_status_code: "1".into(),
                division_code: self.division(p),
            };
            self.event(p, from, row);
        }
    }

    fn mental(&mut self, p: usize) {
        let person = self.person(p);
        if !person.is.mental || !person.alive() || person.age() < 10 {
            return;
        }
        let filed = self.lately(3000).max(days(person.birth, 3_600));
        let guardian = person.spouse().or(person.mother).or(person.father).filter(|g| self.person(*g).alive());
        let row = SevereMentalDisorder {
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            diagnosis_code: Some(["F20.9", "F31.9", "F25.9"][self.chance.weighted(&[70, 20, 10])].into()),
            class_code: ["1", "4", "2", "6"][self.chance.weighted(&[65, 15, 10, 10])].into(),
            filed_on: filed,
            guardian_citizen_id: guardian.map(|g| self.person(g).id.clone()),
            guardian_name: guardian.map(|g| self.name(g)),
            treatment_status_code: Some(["1", "2", "3"][self.chance.weighted(&[80, 12, 8])].into()),
            guardian_award_amount: guardian.map(|_| Dec(240_000)),
            medicine_subsidy_amount: Some(Dec(120_000)),
            record_status_code: "1".into(),
            division_code: self.division(p),
        };
        self.state(p, filed, row);
    }
}
