//! What people are given: social assistance and the benefits of other departments (items 1 to 7, 15 to 17, 40, 41, 44, 51
//! to 55, 72 and 73).

use chrono::Datelike;

use crate::{
    calendar::{SNAPSHOT, TODAY, age, date, days, month_first, month_index, months},
    city::BANKS,
    items::{
        Dec,
        agriculture_rural_affairs::RelapseMonitoringPerson,
        civil_affairs::{
            AssistancePayment, ChildWelfareGuarantee, DisabilityTwoSubsidies, ElderlyAllowance, ExtremePovertySupport,
            RigidExpenditureHousehold, SubsistenceAllowanceHousehold, SubsistenceAllowanceMember,
            SubsistenceMarginalHousehold, TemporaryAssistance,
        },
        emergency_management::{DisasterDamagedHouse, DisasterReliefPerson},
        health_commission::FamilyPlanningSupport,
        housing_urban_rural::{HousingGuarantee, RuralDilapidatedHouse},
        trade_union::{DistressedWorker, DistressedWorkerAid},
        veterans_affairs::{PreferentialTreatmentPayment, PreferentialTreatmentPerson},
    },
    parameters,
    row::Text,
};

use super::{
    circumstance::Payer,
    kin::Means,
    teller::{Teller, row_months, text},
};

type Disaster = (&'static str, &'static str, (i32, u32, u32), u64);

/// Disasters of the 24 months: number, GB/T 28921 kind, day, share of rural households hit in ten thousand.
const DISASTERS: [Disaster; 3] = [
    ("ZH20240821", "010300", (2024, 8, 21), 90),
    ("ZH20250727", "010400", (2025, 7, 27), 130),
    ("ZH20260118", "010900", (2026, 1, 18), 60),
];

impl Teller<'_, '_> {
    /// Assistance that the household at `h` receives.
    pub(crate) fn household_aid(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        if home.members.is_empty() {
            return;
        }
        let extreme: Vec<usize> =
            home.members.iter().copied().filter(|p| self.person(*p).is.extreme.is_some()).collect();
        for p in &extreme {
            self.extreme(*p);
        }
        if home.assisted && extreme.is_empty() {
            match self.chance.weighted(&[66, 20, 14]) {
                0 => self.dibao(h),
                1 => self.marginal(h),
                _ => self.rigid(h),
            }
        } else if extreme.is_empty() && home.means == Means::Poor && self.chance.percent(25) && home.story.is_none() {
            // Left the rolls some time ago.
            self.left(h);
        }
        if home.means <= Means::Modest && self.chance.percent(6) {
            self.temporary(home.head);
        }
        self.housing(h);
        self.relapse(h);
        self.disaster(h);
    }

    fn pay(&mut self, p: usize, benefit: &'static str, certificate: &Text, from: chrono::NaiveDate, monthly: i64) {
        let token = self.token(p, 0xba);
        for m in row_months(SNAPSHOT) {
            let month = month_first(m);
            if month < from || !self.here(p, month) {
                continue;
            }
            let paid = days(month, self.chance.range(7, 14)).min(SNAPSHOT);
            let status = ["1", "2", "5", "3"][self.chance.weighted(&[9930, 35, 25, 10])];
            let row = AssistancePayment {
                payment_batch_no: text!("FF{}{:04}{:02}", self.seat(p).place.code, month.year(), month.month()),
                citizen_id: self.person(p).id.clone(),
                full_name: self.name(p),
                certificate_no: Some(certificate.clone()),
                benefit_code: benefit.into(),
                pay_month: month,
                amount: Dec(monthly),
                channel_code: ["1", "2", "3"][self.chance.weighted(&[75, 15, 10])].into(),
                bank_code: Some(BANKS[5].0.into()),
                account_token: Some(token.clone()),
                pay_status_code: status.into(),
                paid_on: (status != "2").then_some(paid),
                fail_reason: (status == "2").then(|| "账户状态异常".into()),
            };
            self.event(p, paid, row);
        }
    }

    fn dibao(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let head = home.head;
        let scheme = parameters::scheme(home.seat, home.rural);
        let standard = parameters::parameters(home.seat, scheme, SNAPSHOT).standard;
        let certificate = text!("DB{}{:010}", self.seat(head).place.code, self.person(head).serial);
        let effective = month_first(month_index(self.lately(1400)));
        let n = home.members.len() as i64;
        let monthly = (standard * n * self.chance.range(25, 90) / 100) / 100 * 100;
        let grace = self.chance.percent(8);
        let changed = if grace { days(SNAPSHOT, -self.chance.range(10, 140)) } else { effective };
        let members = home.members.clone();
        let cause = if members.iter().any(|p| self.person(*p).is.illness >= 2) {
            "01"
        } else if members.iter().any(|p| self.person(*p).is.disability.is_some()) {
            "02"
        } else {
            "06"
        };
        let row = SubsistenceAllowanceHousehold {
            certificate_no: certificate.clone(),
            head_citizen_id: self.id(head),
            head_name: self.name(head),
            guarantee_category_code: scheme.into(),
            member_count: n,
            guaranteed_count: n,
            per_capita_monthly_income: Some(Dec(standard - monthly / n)),
            monthly_amount: Dec(monthly),
            poverty_cause_code: Some(cause.into()),
            approved_on: days(effective, -self.chance.range(3, 20)),
            effective_from: effective,
            terminated_on: None,
            grace_from: grace.then(|| month_first(month_index(changed))),
            status_code: if grace { "4".into() } else { "1".into() },
            division_code: self.division(head),
            town_code: Some(home.village.town.into()),
        };
        self.state(head, changed, row);
        for p in members {
            let person = self.person(p);
            let years = person.age();
            let labour = if person.is.severe() {
                "3"
            } else if years < 16 {
                "4"
            } else if years >= 60 {
                "5"
            } else if person.is.study.is_some_and(|s| s.stage(person.birth, 2025).is_some()) {
                "6"
            } else {
                "1"
            };
            let classified = if years >= 70 {
                "1"
            } else if years < 18 {
                "2"
            } else if person.is.severe() {
                "3"
            } else {
                "0"
            };
            let row = SubsistenceAllowanceMember {
                certificate_no: certificate.clone(),
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                relation_to_head_code: self.kin.relation(head, p).into(),
                is_guaranteed: !self.chance.percent(3),
                health_status_code: Some(["1", "3", "4", "4"][usize::from(person.is.illness)].into()),
                disability_grade_code: person.is.disability.as_ref().map(|d| d.grade.into()),
                labour_capacity_code: Some(labour.into()),
                employment_status_code: Some(if person.is.works() { "24".into() } else { "70".into() }),
                classified_support_code: Some(classified.into()),
                joined_on: effective.max(person.birth),
                left_on: None,
                status_code: if grace { "4".into() } else { "1".into() },
            };
            self.state(p, effective.max(person.birth), row);
        }
        self.pay(head, "01", &certificate, effective, monthly);
    }

    fn left(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let head = home.head;
        let effective = month_first(month_index(days(SNAPSHOT, -self.chance.range(900, 2200))));
        let ended = month_first(month_index(days(SNAPSHOT, -self.chance.range(30, 800))));
        let n = home.members.len() as i64;
        let certificate = text!("DB{}{:010}", self.seat(head).place.code, self.person(head).serial);
        let row = SubsistenceAllowanceHousehold {
            certificate_no: certificate.clone(),
            head_citizen_id: self.id(head),
            head_name: self.name(head),
            guarantee_category_code: parameters::scheme(home.seat, home.rural).into(),
            member_count: n,
            guaranteed_count: n,
            monthly_amount: Dec(n * 42_000),
            approved_on: days(effective, -9),
            effective_from: effective,
            terminated_on: Some(ended),
            status_code: "3".into(),
            division_code: self.division(head),
            town_code: Some(home.village.town.into()),
            ..SubsistenceAllowanceHousehold::default()
        };
        self.state(head, ended, row);
        for p in home.members.clone() {
            let row = SubsistenceAllowanceMember {
                certificate_no: certificate.clone(),
                citizen_id: self.person(p).id.clone(),
                full_name: self.name(p),
                relation_to_head_code: self.kin.relation(head, p).into(),
                is_guaranteed: true,
                joined_on: effective.max(self.person(p).birth),
                left_on: Some(ended.max(self.person(p).birth)),
                status_code: "3".into(),
                ..SubsistenceAllowanceMember::default()
            };
            self.state(p, ended, row);
        }
    }

    fn marginal(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let p = home.head;
        let standard = parameters::parameters(home.seat, "3", SNAPSHOT).standard;
        let on = self.lately(500);
        let income = standard * self.chance.range(101, 148) / 100;
        let row = SubsistenceMarginalHousehold {
            recognition_no: text!("BY{}{:010}", self.seat(p).place.code, self.person(p).serial),
            head_citizen_id: self.id(p),
            head_name: self.name(p),
            member_count: home.members.len() as i64,
            per_capita_monthly_income: Dec(income),
            income_standard_ratio: Some(Dec(income * 10_000 / standard)),
            per_capita_monetary_assets: Some(Dec(self.chance.range(0, 900) * 1_000)),
            poverty_cause_code: Some(["01", "02", "03", "06"][self.chance.below(4) as usize].into()),
            recognised_on: on,
            valid_until: Some(days(months(on, 12), -1)),
            status_code: if months(on, 12) <= TODAY { "3".into() } else { "1".into() },
            division_code: self.division(p),
            town_code: Some(home.village.town.into()),
        };
        self.state(p, on, row);
    }

    fn rigid(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let p = home.head;
        let on = self.lately(500);
        let income = self.chance.range(300, 700) * 10_000;
        let (living, medical, school) = (
            self.chance.range(150, 300) * 10_000,
            self.chance.range(80, 400) * 10_000,
            self.chance.range(0, 90) * 10_000,
        );
        let row = RigidExpenditureHousehold {
            recognition_no: text!("GX{}{:010}", self.seat(p).place.code, self.person(p).serial),
            head_citizen_id: self.id(p),
            head_name: self.name(p),
            member_count: home.members.len() as i64,
            annual_income_total: Dec(income),
            rigid_living_amount: Some(Dec(living)),
            rigid_medical_amount: Some(Dec(medical)),
            rigid_education_amount: Some(Dec(school)),
            rigid_rehab_amount: None,
            rigid_other_amount: None,
            rigid_ratio: Dec((living + medical + school) * 10_000 / income),
            recognised_on: on,
            valid_until: days(months(on, 12), -1),
            status_code: if months(on, 12) <= TODAY { "3".into() } else { "1".into() },
            division_code: self.division(p),
        };
        self.state(p, on, row);
    }

    fn extreme(&mut self, p: usize) {
        let person = self.person(p);
        let Some(since) = person.is.extreme else { return };
        let together = self.chance.percent(30);
        let seat = self.seat(p);
        let care = ["1", "2", "3"][self.chance.weighted(&[65, 22, 13])];
        let certificate = text!("TK{}{:010}", seat.place.code, person.serial);
        let row = ExtremePovertySupport {
            support_certificate_no: certificate.clone(),
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            category_code: if person.age() >= 60 { "1".into() } else { "2".into() },
            support_form_code: if together { "1".into() } else { "2".into() },
            self_care_code: care.into(),
            institution_uscc: together.then(|| seat.care_home.0.clone()),
            institution_name: together.then(|| seat.care_home.1.clone()),
            caregiver_name: None,
            basic_living_amount: Dec(141_300),
            care_amount: Some(Dec(match care {
                "1" => 22_000,
                "2" => 52_000,
                _ => 101_000,
            })),
            approved_on: since,
            terminated_on: None,
            status_code: "1".into(),
            division_code: self.division(p),
        };
        self.state(p, since, row);
        self.pay(p, "02", &certificate, since, 163_300);
    }

    fn temporary(&mut self, p: usize) {
        let person = self.person(p);
        let applied = self.lately(600);
        let approved = days(applied, self.chance.range(1, 9));
        let paid = days(approved, self.chance.range(1, 15));
        let mode = ["1", "2", "1"][self.chance.weighted(&[80, 10, 10])];
        let amount = self.chance.range(4, 60) * 10_000;
        let approved = approved.min(SNAPSHOT);
        let row = TemporaryAssistance {
            case_no: text!("LS{}{:010}", applied.year(), person.serial),
            citizen_id: self.id(p),
            full_name: person.name.clone(),
            object_code: ["11", "21", "12", "22"][self.chance.below(4) as usize].into(),
            reason_code: ["01", "05", "07", "04", "06"][self.chance.weighted(&[45, 25, 12, 10, 8])].into(),
            is_local_hukou: Some(true),
            aid_mode_code: mode.into(),
            amount: Dec(amount),
            applied_on: applied,
            approved_on: approved,
            paid_on: (paid <= SNAPSHOT).then_some(paid),
            is_advance_relief: Some(self.chance.percent(10)),
            division_code: self.division(p),
            town_code: Some(self.home(p).village.town.into()),
        };
        self.event(p, paid.min(SNAPSHOT), row);
        if self.chance.percent(20) {
            let certificate = text!("CS{:012}", person.serial);
            let month = month_first(month_index(approved));
            let row = AssistancePayment {
                payment_batch_no: text!("CS{}{:02}", month.year(), month.month()),
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                certificate_no: Some(certificate),
                benefit_code: "16".into(),
                pay_month: month,
                amount: Dec(self.chance.range(3, 30) * 10_000),
                channel_code: ["3", "5"][self.chance.weighted(&[80, 20])].into(),
                pay_status_code: "1".into(),
                paid_on: Some(approved),
                ..AssistancePayment::default()
            };
            self.event(p, approved, row);
        }
    }

    fn housing(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let p = home.head;
        if !home.rural && home.means <= Means::Modest && self.chance.percent(7) {
            let from = self.lately(1000);
            let rent = self.chance.percent(55);
            let row = HousingGuarantee {
                guarantee_no: text!("ZF{}{:010}", self.seat(p).place.code, self.person(p).serial),
                applicant_citizen_id: self.id(p),
                applicant_name: self.name(p),
                mode_code: if rent { "1".into() } else { "2".into() },
                household_size: home.members.len() as i64,
                house_address: rent.then(|| home.address.clone()),
                building_area: rent.then(|| Dec(self.chance.range(3_600, 6_000))),
                monthly_rent: rent.then_some(Dec(18_000)),
                monthly_subsidy: (!rent).then(|| Dec(self.chance.range(20, 60) * 1_000)),
                effective_from: from,
                valid_until: Some(days(months(from, 36), -1)),
                status_code: "1".into(),
                exit_reason_code: None,
                division_code: self.division(p),
            };
            self.state(p, from, row);
        }
        if home.rural && home.means == Means::Poor && self.chance.percent(8) {
            let started = self.lately(800);
            let completed = days(started, self.chance.range(60, 200));
            let done = completed <= SNAPSHOT;
            let row = RuralDilapidatedHouse {
                house_file_no: text!("WF{}{:010}", self.seat(p).place.code, self.person(p).serial),
                plan_year: i64::from(started.year()),
                head_citizen_id: self.id(p),
                head_name: self.name(p),
                household_category_code: if home.assisted { "01".into() } else { "11".into() },
                danger_grade_code: ["C", "D"][self.chance.weighted(&[60, 40])].into(),
                renovation_code: Some(["1", "2"][self.chance.weighted(&[40, 60])].into()),
                subsidy_amount: Some(Dec(self.chance.range(8, 30) * 100_000)),
                started_on: Some(started),
                completed_on: done.then_some(completed),
                is_accepted: done,
                house_address: Some(home.address.clone()),
                village_code: Some(home.village.code.into()),
            };
            self.state(p, completed.min(SNAPSHOT), row);
        }
    }

    fn relapse(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        if !home.rural || home.means != Means::Poor || !self.chance.percent(14) {
            return;
        }
        let head = home.head;
        let on = self.lately(900);
        let resolved = self.chance.percent(40).then(|| days(on, self.chance.range(60, 400))).filter(|d| *d <= SNAPSHOT);
        let kind = ["1", "2", "3"][self.chance.weighted(&[20, 45, 35])];
        let income = self.chance.range(700, 1400) * 1_000;
        for p in home.members.clone() {
            let row = RelapseMonitoringPerson {
                household_file_no: text!("FP{}{:010}", self.seat(head).place.code, self.person(head).serial),
                citizen_id: self.person(p).id.clone(),
                full_name: self.name(p),
                relation_to_head_code: self.kin.relation(head, p).into(),
                monitor_type_code: kind.into(),
                risk_type_codes: Some(["01", "03", "08", "02"][self.chance.below(4) as usize].into()),
                per_capita_net_income: Some(Dec(income)),
                identified_on: on,
                is_risk_resolved: resolved.is_some(),
                resolved_on: resolved,
                help_measures: Some("产业帮扶,医疗救助".into()),
                data_year: 2026,
                village_code: Some(home.village.code.into()),
            };
            self.state(p, on, row);
        }
    }

    fn disaster(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let head = home.head;
        for (number, kind, (y, m, d), per_10k) in DISASTERS {
            if !home.rural || !self.chance.per_10k(per_10k) {
                continue;
            }
            let on = date(y, m, d);
            for p in home.members.clone() {
                if !self.here(p, on) {
                    continue;
                }
                let confirmed = days(on, self.chance.range(3, 30));
                let paid = days(confirmed, self.chance.range(5, 40));
                let row = DisasterReliefPerson {
                    disaster_no: number.into(),
                    disaster_type_code: kind.into(),
                    occurred_on: on,
                    citizen_id: self.person(p).id.clone(),
                    full_name: self.name(p),
                    head_citizen_id: Some(self.person(head).id.clone()),
                    relief_code: ["1", "2", "5"][self.chance.weighted(&[50, 30, 20])].into(),
                    affected_count: Some(home.members.len() as i64),
                    relief_amount: Some(Dec(self.chance.range(2, 12) * 10_000)),
                    relief_goods: self.chance.percent(30).then(|| "棉被,粮油".into()),
                    confirmed_on: Some(confirmed),
                    paid_on: Some(paid),
                    village_code: Some(home.village.code.into()),
                };
                self.event(p, paid, row);
            }
            if self.chance.percent(35) {
                let rebuilt = days(on, self.chance.range(90, 300));
                let row = DisasterDamagedHouse {
                    disaster_no: number.into(),
                    house_file_no: text!("DS{}{:010}", self.seat(head).place.code, self.person(head).serial),
                    head_citizen_id: self.id(head),
                    head_name: self.name(head),
                    damage_code: ["3", "2", "1"][self.chance.weighted(&[70, 20, 10])].into(),
                    damaged_rooms: Some(self.chance.range(1, 4)),
                    is_only_house: Some(true),
                    rebuild_code: Some(["3", "1"][self.chance.weighted(&[80, 20])].into()),
                    rebuild_subsidy: Some(Dec(self.chance.range(2, 40) * 100_000)),
                    rebuilt_on: (rebuilt <= SNAPSHOT).then_some(rebuilt),
                    house_address: Some(home.address.clone()),
                    village_code: Some(home.village.code.into()),
                };
                self.state(head, rebuilt.min(SNAPSHOT), row);
            }
        }
    }

    /// Benefits of `p` as a person.
    pub(crate) fn personal_aid(&mut self, p: usize) {
        if !self.kin.recent(p) {
            return;
        }
        self.subsidies(p);
        self.elderly(p);
        self.child(p);
        self.veteran(p);
        self.planning(p);
        self.worker(p);
    }

    fn subsidies(&mut self, p: usize) {
        let person = self.person(p);
        let Some(d) = person.is.disability.as_ref().filter(|d| d.status == "1") else { return };
        let poor = self.home(p).assisted;
        for (code, due, amount) in
            [("01", poor, 18_600), ("02", d.grade <= "2", if d.grade == "1" { 17_400 } else { 14_200 })]
        {
            let from = month_first(month_index(days(d.issued, 40)));
            if !due || from > SNAPSHOT || !self.chance.percent(92) {
                continue;
            }
            let stop =
                person.death.map(|x| months(month_first(month_index(x)), 1)).filter(|x| *x <= TODAY && *x > from);
            let row = DisabilityTwoSubsidies {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                disability_certificate_no: text!("{}{}{}", &*person.id, d.kind, d.grade),
                subsidy_code: code.into(),
                disability_type_code: d.kind.into(),
                disability_grade_code: d.grade.into(),
                monthly_amount: Dec(amount),
                effective_from: from,
                terminated_on: stop,
                status_code: if stop.is_some() { "3".into() } else { "1".into() },
                stop_reason_code: stop.map(|_| "01".into()),
                division_code: self.division(p),
            };
            self.state(p, stop.unwrap_or(from), row);
        }
    }

    fn elderly(&mut self, p: usize) {
        let person = self.person(p);
        let until = person.death.unwrap_or(SNAPSHOT);
        if age(person.birth, until) < 80 || person.is.gone.is_some() {
            return;
        }
        let from = month_first(month_index(months(person.birth, 12 * 80)) + 1);
        if from > until {
            return;
        }
        let stop = person.death.map(|x| months(month_first(month_index(x)), 1)).filter(|x| *x <= TODAY);
        let frail = person.is.illness >= 2 && self.home(p).assisted;
        let row = ElderlyAllowance {
            citizen_id: self.id(p),
            full_name: person.name.clone(),
            subsidy_code: if frail { "02".into() } else { "01".into() },
            ability_level_code: frail.then(|| "2".into()),
            monthly_amount: Dec(if age(person.birth, until) >= 90 { 20_000 } else { 10_000 }),
            effective_from: from,
            terminated_on: stop,
            alive_verified_on: Some(days(until, -self.chance.range(5, 300))),
            status_code: if stop.is_some() { "3".into() } else { "1".into() },
            stop_reason_code: stop.map(|_| "01".into()),
            division_code: self.division(p),
        };
        self.state(p, stop.unwrap_or(from), row);
    }

    fn child(&mut self, p: usize) {
        let person = self.person(p);
        if person.age() >= 18 || !person.alive() {
            return;
        }
        let lost = |q: Option<usize>| q.is_none_or(|q| !self.person(q).alive());
        let held = |q: Option<usize>| {
            q.is_some_and(|q| {
                self.person(q).is.custody.is_some_and(|c| c.holds(SNAPSHOT)) || self.person(q).is.gone.is_some()
            })
        };
        let kind = match (lost(person.father), lost(person.mother)) {
            (true, true) => "1",
            _ if (lost(person.father) || held(person.father)) && (lost(person.mother) || held(person.mother)) => "2",
            _ if person.is.severe() && self.chance.percent(40) => "4",
            _ if self.home(p).rural && self.chance.per_10k(220) => "5",
            _ => return,
        };
        let guardian = self.kin.homes[person.home].members.iter().copied().find(|q| self.person(*q).age() >= 18);
        let on = self.lately(900).max(days(person.birth, 30)).min(SNAPSHOT);
        let certificate = text!("ET{}{:010}", self.seat(p).place.code, person.serial);
        let amount = match kind {
            "1" => 205_000,
            "2" => 164_000,
            "4" => 62_000,
            _ => 20_000,
        };
        let row = ChildWelfareGuarantee {
            certificate_no: certificate.clone(),
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            child_type_code: kind.into(),
            placement_code: "2".into(),
            guardian_citizen_id: guardian.map(|g| self.person(g).id.clone()),
            guardian_name: guardian.map(|g| self.name(g)),
            guardian_relation_code: guardian.map(|g| self.kin.relation(p, g).into()),
            monthly_amount: Dec(amount),
            approved_on: on,
            terminated_on: None,
            status_code: "1".into(),
            division_code: self.division(p),
        };
        self.state(p, on, row);
        if matches!(kind, "1" | "2") {
            self.pay(p, if kind == "1" { "12" } else { "13" }, &certificate, on, amount);
        }
    }

    fn veteran(&mut self, p: usize) {
        let person = self.person(p);
        let Some(kind) = person.is.veteran.filter(|_| person.is.gone.is_none()) else { return };
        let recognised =
            days(SNAPSHOT, -self.chance.range(600, 5_000)).max(months(person.birth, 12 * 19)).min(SNAPSHOT);
        let row = PreferentialTreatmentPerson {
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            pref_type_code: kind.into(),
            certificate_no: Some(text!("YF{:012}", person.serial)),
            injury_grade_code: (kind == "01").then(|| ["10", "09", "08", "06"][self.chance.below(4) as usize].into()),
            discharged_on: (kind != "12").then(|| months(person.birth, 12 * 22)),
            recognised_on: recognised,
            is_in_institution: Some(false),
            cancelled_on: person.death,
            record_status_code: if person.death.is_some() { "2".into() } else { "1".into() },
            division_code: self.division(p),
        };
        self.state(p, recognised, row);
        let (code, amount) = match kind {
            "01" => ("2", 128_000),
            "08" => ("3", 92_000),
            "07" => ("3", 86_000),
            "12" => ("4", 0),
            _ => ("3", 6_900 * i64::from(2 + (person.serial % 4) as u8)),
        };
        for m in row_months(SNAPSHOT) {
            let month = month_first(m);
            if amount == 0 || person.death.is_some_and(|d| month_index(d) < m) {
                continue;
            }
            let paid = days(month, 14).min(SNAPSHOT);
            let row = PreferentialTreatmentPayment {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                pref_type_code: kind.into(),
                payment_code: code.into(),
                amount: Dec(amount),
                pay_month: month,
                paid_on: Some(paid),
                account_token: Some(self.token(p, 0xf7)),
                fund_source_code: Some("1".into()),
                pay_status_code: "1".into(),
                division_code: self.division(p),
            };
            self.event(p, paid, row);
        }
    }

    fn planning(&mut self, p: usize) {
        let person = self.person(p);
        let until = person.death.unwrap_or(SNAPSHOT);
        let children = self.kin.children_of(p).count();
        if age(person.birth, until) < 60 || !(1..=2).contains(&children) || !self.chance.percent(35) {
            return;
        }
        let code = if self.home(p).rural { "1" } else { "5" };
        for year in [2025, 2026] {
            let paid = date(year, 6, 1 + self.chance.below(25) as u32);
            if !self.here(p, paid) {
                continue;
            }
            let row = FamilyPlanningSupport {
                citizen_id: self.id(p),
                full_name: person.name.clone(),
                support_code: code.into(),
                support_year: i64::from(year),
                annual_amount: Dec(if code == "1" { 115_200 } else { 96_000 }),
                confirmed_on: Some(date(year - 1, 12, 10)),
                paid_on: Some(paid),
                exited_on: None,
                exit_reason_code: None,
                pay_status_code: "1".into(),
                division_code: self.division(p),
            };
            self.event(p, paid, row);
        }
    }

    fn worker(&mut self, p: usize) {
        let person = self.person(p);
        let poor = self.home(p).means <= Means::Modest;
        let Some(e) = person.is.jobs.iter().find_map(|j| match j.payer {
            Payer::Employer(e) => Some(e),
            Payer::Own => None,
        }) else {
            return;
        };
        if !poor || !person.alive() || !self.chance.percent(4) {
            return;
        }
        let employer = &self.city.employers[e];
        let union = self.seat(p).union.clone();
        let filed = self.lately(700);
        let closed = self.chance.percent(25).then(|| days(filed, 300)).filter(|d| *d <= SNAPSHOT);
        let file = text!("KN{}{:010}", self.seat(p).place.code, person.serial);
        let row = DistressedWorker {
            file_no: file.clone(),
            citizen_id: self.id(p),
            full_name: person.name.clone(),
            employer_uscc: Some(employer.uscc.clone()),
            employer_name: Some(employer.name.clone()),
            level_code: ["2", "3", "1"][self.chance.weighted(&[60, 25, 15])].into(),
            cause_code: ["01", "07", "03", "02"][self.chance.weighted(&[50, 20, 15, 15])].into(),
            household_size: Some(self.home(p).members.len() as i64),
            per_capita_monthly_income: Some(Dec(self.chance.range(60, 190) * 1_000)),
            filed_on: filed,
            closed_on: closed,
            close_reason_code: closed.map(|_| "1".into()),
            record_status_code: "1".into(),
            union_code: Some(union.clone()),
        };
        self.state(p, closed.unwrap_or(filed), row);
        for n in 0..=self.chance.below(2) {
            let approved = days(filed, self.chance.range(10, 200)).min(SNAPSHOT);
            let paid = days(approved, self.chance.range(3, 20));
            let row = DistressedWorkerAid {
                aid_no: text!("GHBF{:012}{n}", person.serial),
                file_no: file.clone(),
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                aid_code: ["1", "4", "3", "2"][self.chance.weighted(&[40, 35, 15, 10])].into(),
                amount: Dec(self.chance.range(5, 60) * 10_000),
                aid_year: i64::from(approved.year()),
                approved_on: Some(approved),
                paid_on: (paid <= SNAPSHOT).then_some(paid),
                fund_source_code: Some("5".into()),
                union_code: Some(union.clone()),
            };
            self.event(p, paid.min(SNAPSHOT), row);
        }
    }
}
