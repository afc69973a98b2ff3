//! What people earn and draw: work, contributions, pensions, benefits, custody (items 27 to 36, 42, 43 and 65).

use chrono::Datelike;

use crate::{
    calendar::{LIFE_FROM, SNAPSHOT, TODAY, date, days, month_first, month_index, month_last, months},
    items::{
        Dec,
        housing_provident_fund::{ProvidentFundAccount, ProvidentFundWithdrawal},
        human_resources_social_security::{
            EmployeePensionBenefit, EmploymentRegistration, PensionContribution, PublicWelfarePost,
            ResidentPensionBenefit, UnemploymentBenefit, UnemploymentRegistration, WorkInjuryBenefit,
        },
        judicial_administration::{CompulsoryIsolationRehab, PrisonInmate},
        taxation::IndividualIncomeTax,
    },
    row::Text,
};

use super::{
    circumstance::{Job, Payer},
    teller::{ROWS_FROM, Teller, row_months, text},
};

/// Lowest and highest monthly contribution base, fen.
const BASE_RANGE: (i64, i64) = (450_400, 2_252_000);
/// Share of deaths after which a pension is still paid for up to three months (PAY_AFTER_DEATH).
const PAID_AFTER_DEATH_PERCENT: u64 = 4;

impl Teller<'_, '_> {
    /// All rows of `p` about income.
    pub(crate) fn incomes(&mut self, p: usize) {
        if !self.kin.recent(p) {
            return;
        }
        let person = self.person(p);
        for job in &person.is.jobs {
            self.taxes(p, job);
            self.registration(p, job);
            self.post(p, job);
            self.fund(p, job);
        }
        self.contributions(p);
        self.trade_taxes(p);
        self.other_taxes(p);
        self.pensions(p);
        self.unemployment(p);
        self.injury(p);
        self.custody(p);
    }

    fn payer(&self, job: &Job) -> (Text, Text) {
        match job.payer {
            Payer::Employer(i) => (self.city.employers[i].uscc.clone(), self.city.employers[i].name.clone()),
            Payer::Own => ("SELF".into(), "本人".into()),
        }
    }

    fn taxes(&mut self, p: usize, job: &Job) {
        if job.taxed.is_empty() {
            return;
        }
        let (uscc, name) = self.payer(job);
        let id = self.id(p);
        let authority = self.seat(p).tax_authority.clone();
        let kept = if job.insured { 105 } else { 0 } + if job.fund { 80 } else { 0 };
        let special = [0, 100_000, 200_000, 300_000][self.chance.weighted(&[40, 25, 22, 13])];
        let base = IndividualIncomeTax {
            citizen_id: id,
            full_name: self.name(p),
            payer_uscc: uscc,
            payer_name: Some(name),
            income_item_code: job.taxed.into(),
            period_months: Some(1),
            tax_authority_code: authority,
            ..IndividualIncomeTax::default()
        };
        for m in month_index(ROWS_FROM) - 1..month_index(TODAY) - 1 {
            if !job.covers(m) {
                continue;
            }
            let income = job.wage + if self.chance.percent(30) { self.chance.range(-20_000, 40_000) } else { 0 };
            let (cost, social, tax) = if job.taxed == "02" {
                let cost = if income <= 400_000 { 80_000.min(income) } else { income / 5 };
                (Some(Dec(cost)), 0, (income - cost).max(0) / 5)
            } else {
                let social = job.wage * kept / 1000;
                let due = (income - social - special - 500_000).max(0);
                (None, social, if due > 300_000 { due / 10 - 21_000 } else { due * 3 / 100 })
            };
            let period = month_first(m);
            let declared = days(period, 31 + self.chance.range(3, 14)).min(SNAPSHOT);
            let row = IndividualIncomeTax {
                tax_period: period,
                income_amount: Dec(income),
                cost_amount: cost,
                social_insurance_deduction: (social > 0).then_some(Dec(social)),
                special_deduction: (special > 0 && job.taxed == "01").then_some(Dec(special)),
                taxable_income: Some(Dec((income - social - special - 500_000).max(0))),
                tax_paid: Some(Dec(tax)),
                declared_on: declared,
                is_correction: self.chance.per_10k(30),
                is_severance: (job.taxed == "01").then_some(false),
                ..base.clone()
            };
            self.event(p, declared, row);
        }
        if let (Some(to), true) = (job.to, job.severance > 0) {
            // Taxed in the month after the last salary, as a row of its own.
            let period = months(month_first(month_index(to)), 1);
            let declared = days(period, 40);
            if declared <= SNAPSHOT {
                let row = IndividualIncomeTax {
                    income_item_code: "01".into(),
                    tax_period: period,
                    income_amount: Dec(job.severance),
                    tax_exempt_amount: Some(Dec(job.severance)),
                    taxable_income: Some(Dec(0)),
                    tax_paid: Some(Dec(0)),
                    declared_on: declared,
                    is_severance: Some(true),
                    ..base
                };
                self.event(p, declared, row);
            }
        }
    }

    fn registration(&mut self, p: usize, job: &Job) {
        if !job.registered || job.post.is_some() {
            return;
        }
        let (uscc, name) = self.payer(job);
        let own = job.payer == Payer::Own;
        let registered = days(job.from, self.chance.range(0, 28)).min(SNAPSHOT);
        let row = EmploymentRegistration {
            citizen_id: self.id(p),
            full_name: self.name(p),
            employer_uscc: uscc,
            employer_name: Some(name),
            employment_form_code: if own { "2".into() } else { "1".into() },
            contract_code: Some(if own {
                "9".into()
            } else {
                ["1", "2", "4"][self.chance.weighted(&[75, 18, 7])].into()
            }),
            occupation_code: Some(["40101", "60101", "20701", "30101"][self.chance.below(4) as usize].into()),
            started_on: job.from,
            ended_on: job.to,
            declared_monthly_wage: (!self.chance.percent(12)).then_some(Dec(job.wage / 10_000 * 10_000)),
            end_reason_code: job.to.map(|_| Text::from(if job.end_reason.is_empty() { "99" } else { job.end_reason })),
            registered_at: self.office(registered),
            agency_division_code: self.division(p),
        };
        self.state(p, job.to.unwrap_or(registered), row);
    }

    fn post(&mut self, p: usize, job: &Job) {
        let Some(subsidy) = job.post else { return };
        let (uscc, name) = self.payer(job);
        let rural = self.home(p).rural;
        let named = self.chance.percent(80);
        let row = PublicWelfarePost {
            citizen_id: self.id(p),
            full_name: self.name(p),
            post_no: text!("GW{:012}", self.person(p).serial),
            post_type_code: if rural { "2".into() } else { "1".into() },
            employer_uscc: named.then_some(uscc),
            employer_name: named.then_some(name),
            started_on: job.from,
            ended_on: job.to,
            monthly_subsidy: Dec(subsidy),
            insurance_subsidy: (!rural).then_some(Dec(118_000)),
            fund_source_code: Some("6".into()),
            division_code: self.division(p),
        };
        self.state(p, job.from, row);
    }

    fn fund(&mut self, p: usize, job: &Job) {
        let Payer::Employer(e) = job.payer else { return };
        if !job.fund {
            return;
        }
        let (uscc, name) = self.payer(job);
        let token = self.token(p, 0xf00d + e as u64);
        let personal = job.wage * 8 / 100;
        let opened = month_first(month_index(job.from));
        let last = month_index(SNAPSHOT);
        let center = Text::from("ZFGJJ3710");
        for m in last - 11..=last {
            let paid = job.covers(m);
            // A closed account is reported once more, as sealed.
            if m < month_index(job.from) || (!paid && job.to.is_none_or(|to| month_index(to) + 1 != m)) {
                continue;
            }
            let held = i64::from(m - month_index(opened) + 1).max(1);
            let row = ProvidentFundAccount {
                account_token: token.clone(),
                citizen_id: self.person(p).id.clone(),
                full_name: self.name(p),
                employer_uscc: Some(uscc.clone()),
                employer_name: Some(name.clone()),
                contribution_base: Some(Dec(job.wage)),
                personal_monthly_amount: Dec(if paid { personal } else { 0 }),
                employer_monthly_amount: Some(Dec(if paid { personal } else { 0 })),
                balance_amount: Dec(held.min(60) * personal * 2),
                paid_until_month: Some(month_first(if paid { m } else { m - 1 })),
                opened_on: Some(opened),
                account_status_code: if paid { "1".into() } else { "2".into() },
                as_of_date: month_last(m),
                center_code: center.clone(),
            };
            self.event(p, month_last(m), row);
        }
        if self.chance.percent(3) || (job.end_reason == "06" && job.to.is_some()) {
            let on = self.lately(600).max(days(job.from, 40));
            if on <= SNAPSHOT {
                let reason =
                    ["01", "03", "04", "08", "05", "06", "02"][self.chance.weighted(&[25, 25, 25, 10, 6, 5, 4])];
                let row = ProvidentFundWithdrawal {
                    withdrawal_no: text!("TQ{:012}{:03}", self.person(p).serial, e % 1000),
                    account_token: token,
                    citizen_id: self.id(p),
                    full_name: self.name(p),
                    reason_code: reason.into(),
                    amount: Dec(self.chance.range(20, 900) * 10_000),
                    withdrawn_on: on,
                    house_ref_no: matches!(reason, "01" | "02").then(|| text!("HT{:010}", self.person(p).serial)),
                    center_code: center,
                };
                self.event(p, on, row);
            }
        }
    }

    fn contributions(&mut self, p: usize) {
        let person = self.person(p);
        let division = self.division(p);
        let id = self.id(p);
        let row = PensionContribution {
            citizen_id: id,
            full_name: self.name(p),
            participation_status_code: "1".into(),
            agency_division_code: division,
            ..PensionContribution::default()
        };
        let started = person.is.jobs.first().map_or(0, |j| month_index(j.from));
        let mut paid_any = false;
        for m in row_months(SNAPSHOT) {
            let month = month_first(m);
            let job = person.is.jobs.iter().find(|j| j.insured && j.covers(m));
            if let Some(job) = job {
                let Payer::Employer(e) = job.payer else { continue };
                let employer = &self.city.employers[e];
                let base = job.wage.clamp(BASE_RANGE.0, BASE_RANGE.1);
                paid_any = true;
                let paid_on = days(month, self.chance.range(9, 24)).min(SNAPSHOT);
                let row = PensionContribution {
                    scheme_code: if employer.public { "120".into() } else { "110".into() },
                    employer_uscc: Some(employer.uscc.clone()),
                    employer_name: Some(employer.name.clone()),
                    payer_kind_code: "1".into(),
                    contribution_base: Some(Dec(base)),
                    personal_amount: Dec(base * 8 / 100),
                    employer_amount: Some(Dec(base * 16 / 100)),
                    contribution_month: month,
                    paid_on: Some(paid_on),
                    cumulative_months: Some(i64::from((m - started).max(1))),
                    ..row.clone()
                };
                self.event(p, paid_on, row);
            } else if person.is.flexible && self.here(p, month) && person.is.custody.is_none() {
                paid_any = true;
                let base = BASE_RANGE.0;
                let paid_on = days(month, self.chance.range(4, 20)).min(SNAPSHOT);
                let row = PensionContribution {
                    scheme_code: "110".into(),
                    payer_kind_code: "2".into(),
                    contribution_base: Some(Dec(base)),
                    personal_amount: Dec(base / 5),
                    contribution_month: month,
                    paid_on: Some(paid_on),
                    ..row.clone()
                };
                self.event(p, paid_on, row);
            }
        }
        // Everybody else of age pays into the resident scheme once a year.
        let age = person.age();
        if !paid_any
            && person.is.pension.is_none()
            && (18..60).contains(&age)
            && person.is.gone.is_none()
            && self.chance.percent(78)
        {
            let aided = self.home(p).assisted && person.is.severe();
            let amount = [10_000, 30_000, 50_000, 100_000, 300_000][self.chance.weighted(&[10, 50, 20, 15, 5])];
            let paid_on = date(2025, 11, 1 + self.chance.below(28) as u32);
            if self.here(p, paid_on) {
                let row = PensionContribution {
                    scheme_code: "170".into(),
                    payer_kind_code: if aided { "5".into() } else { "4".into() },
                    personal_amount: Dec(if aided { 0 } else { amount }),
                    contribution_month: month_first(month_index(paid_on)),
                    paid_on: Some(paid_on),
                    ..row
                };
                self.event(p, paid_on, row);
            }
        }
    }

    fn trade_taxes(&mut self, p: usize) {
        let person = self.person(p);
        let Some(trade) = person.is.trade.as_ref().filter(|t| t.files && !t.company) else { return };
        let id = self.id(p);
        for m in (month_index(date(2025, 3, 1))..month_index(TODAY)).step_by(3) {
            let last = month_last(m);
            if trade.since > last || trade.closed.is_some_and(|c| c < month_first(m - 2)) || !self.here(p, last) {
                continue;
            }
            let turnover = trade.turnover * self.chance.range(70, 130) / 100;
            let cost = trade.cost * self.chance.range(80, 120) / 100;
            let declared = days(last, self.chance.range(3, 15)).min(SNAPSHOT);
            // The quarter that ends today is not declared yet.
            if last >= SNAPSHOT {
                continue;
            }
            let row = IndividualIncomeTax {
                citizen_id: id.clone(),
                full_name: person.name.clone(),
                payer_uscc: "SELF".into(),
                payer_name: None,
                income_item_code: "05".into(),
                tax_period: month_first(m),
                period_months: Some(3),
                income_amount: Dec(turnover),
                cost_amount: Some(Dec(cost)),
                taxable_income: Some(Dec((turnover - cost).max(0))),
                tax_paid: Some(Dec((turnover - cost).max(0) / 40)),
                declared_on: declared,
                tax_authority_code: self.seat(p).tax_authority.clone(),
                ..IndividualIncomeTax::default()
            };
            self.event(p, declared, row);
        }
    }

    /// Rents, dividends, sales and windfalls.
    fn other_taxes(&mut self, p: usize) {
        let person = self.person(p);
        if person.age() < 25 || !person.alive() {
            return;
        }
        let applies = self.home(p).story.is_some();
        let base = IndividualIncomeTax {
            citizen_id: self.id(p),
            full_name: person.name.clone(),
            payer_uscc: "SELF".into(),
            period_months: Some(1),
            tax_authority_code: self.seat(p).tax_authority.clone(),
            ..IndividualIncomeTax::default()
        };
        if self.chance.per_10k(if applies { 450 } else { 60 }) {
            let rent = self.chance.range(6, 22) * 10_000;
            for m in month_index(ROWS_FROM)..month_index(SNAPSHOT) {
                let declared = days(month_last(m), 10);
                let row = IndividualIncomeTax {
                    income_item_code: "07".into(),
                    tax_period: month_first(m),
                    income_amount: Dec(rent),
                    cost_amount: Some(Dec(rent / 5)),
                    tax_paid: Some(Dec(rent * 4 / 100)),
                    declared_on: declared,
                    ..base.clone()
                };
                self.event(p, declared, row);
            }
        }
        let single = [("06", 50, 40, 400), ("08", 20, 300, 9_000), ("09", 8, 30, 2_000), ("03", 10, 20, 300)];
        for (item, per_10k, low, high) in single {
            if self.chance.per_10k(if applies { per_10k * 6 } else { per_10k }) {
                let on = self.lately(700).max(LIFE_FROM);
                let amount = self.chance.range(low, high) * 10_000;
                let period = month_first(month_index(on));
                let row = IndividualIncomeTax {
                    income_item_code: item.into(),
                    tax_period: period,
                    income_amount: Dec(amount),
                    cost_amount: (item == "08").then_some(Dec(amount * 6 / 10)),
                    tax_paid: Some(Dec(if item == "08" { amount * 8 / 100 } else { amount / 5 })),
                    declared_on: on,
                    ..base.clone()
                };
                self.event(p, on, row);
            }
        }
    }

    fn pensions(&mut self, p: usize) {
        let person = self.person(p);
        let Some(pension) = person.is.pension else { return };
        let division = self.division(p);
        let id = self.id(p);
        // A pension ends with the month of death; some are paid on because nobody was told.
        let paid_to = match person.death {
            Some(d) if self.chance.percent(PAID_AFTER_DEATH_PERCENT) => month_index(d) + self.chance.range(1, 3) as i32,
            Some(d) => month_index(d),
            None => month_index(SNAPSHOT),
        };
        let verified = days(SNAPSHOT, -self.chance.range(5, 360)).min(person.death.unwrap_or(SNAPSHOT));
        let token = self.token(p, 0xcade);
        let local = [4_000, 6_000, 8_000][self.home(p).seat % 3];
        let pay_day = self.chance.range(9, 24);
        for m in row_months(SNAPSHOT) {
            let month = month_first(m);
            if month < pension.from || m > paid_to {
                continue;
            }
            let paid_on = days(month, pay_day).min(SNAPSHOT);
            let status = ["1", "2", "5"][self.chance.weighted(&[9960, 20, 20])];
            if pension.employee {
                let raised =
                    if m >= month_index(date(2026, 1, 1)) { pension.amount * 102 / 100 } else { pension.amount };
                let row = EmployeePensionBenefit {
                    citizen_id: id.clone(),
                    full_name: person.name.clone(),
                    benefit_code: "01".into(),
                    retired_on: Some(pension.from),
                    retire_kind_code: Some("2".into()),
                    monthly_amount: Dec(raised),
                    is_lump_sum: false,
                    pay_month: month,
                    paid_on: (status != "2").then_some(paid_on),
                    pay_status_code: status.into(),
                    account_token: Some(token.clone()),
                    alive_verified_on: Some(verified),
                    agency_division_code: division.clone(),
                };
                self.event(p, paid_on, row);
            } else {
                let central = if month < date(2025, 7, 1) { 14_300 } else { 16_300 };
                let other = (person.age() >= 75).then_some(Dec(1_000));
                let row = ResidentPensionBenefit {
                    citizen_id: id.clone(),
                    full_name: person.name.clone(),
                    started_on: Some(pension.from),
                    central_basic_amount: Dec(central),
                    local_basic_amount: Dec(local),
                    personal_account_amount: Dec(pension.amount),
                    other_amount: other,
                    total_amount: Dec(central + local + pension.amount + other.map_or(0, |o| o.0)),
                    pay_month: month,
                    paid_on: (status != "2").then_some(paid_on),
                    pay_status_code: status.into(),
                    alive_verified_on: Some(verified),
                    agency_division_code: division.clone(),
                };
                self.event(p, paid_on, row);
            }
        }
        if pension.employee && pension.from >= LIFE_FROM && self.chance.percent(12) {
            let on = days(pension.from, 45).min(SNAPSHOT);
            let row = EmployeePensionBenefit {
                citizen_id: id,
                full_name: person.name.clone(),
                benefit_code: "05".into(),
                retired_on: Some(pension.from),
                retire_kind_code: Some("2".into()),
                monthly_amount: Dec(self.chance.range(20, 300) * 10_000),
                is_lump_sum: true,
                pay_month: month_first(month_index(on)),
                paid_on: Some(on),
                pay_status_code: "1".into(),
                account_token: Some(token),
                alive_verified_on: None,
                agency_division_code: division,
            };
            self.event(p, on, row);
        }
    }

    fn unemployment(&mut self, p: usize) {
        let person = self.person(p);
        let Some(since) = person.is.unemployed else { return };
        if !self.here(p, SNAPSHOT) {
            return;
        }
        let back = person.is.jobs.iter().find(|j| j.from > since).map(|j| j.from);
        let hard = if person.is.disability.is_some() {
            "3"
        } else if self.home(p).assisted {
            "2"
        } else if person.age() >= 50 {
            "4"
        } else {
            "0"
        };
        let row = UnemploymentRegistration {
            registration_no: text!("SY{:012}", person.serial),
            citizen_id: self.id(p),
            full_name: person.name.clone(),
            registered_on: since,
            unemployment_reason_code: if person.is.jobs.is_empty() { "01".into() } else { "02".into() },
            education_code: (!person.is.education.is_empty()).then(|| person.is.education.into()),
            hardship_type_code: Some(hard.into()),
            job_refusal_count: Some(person.is.refusals),
            cancelled_on: back,
            cancel_reason: back.map(|_| "已就业".into()),
            status_code: "1".into(),
            service_town_code: Some(self.home(p).village.town.into()),
        };
        self.state(p, back.unwrap_or(since), row);
        if person.is.unemployment == 0 {
            return;
        }
        let approved = self.chance.range(6, 18);
        let first = month_index(since) + 1;
        for m in row_months(SNAPSHOT) {
            let n = i64::from(m - first) + 1;
            if n < 1 || n > approved || back.is_some_and(|b| month_index(b) <= m) {
                continue;
            }
            let month = month_first(m);
            let paid_on = days(month, 20).min(SNAPSHOT);
            let row = UnemploymentBenefit {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                benefit_code: "01".into(),
                unemployed_on: Some(since),
                approved_months: Some(approved),
                enjoyed_months: Some(n),
                amount: Dec(person.is.unemployment),
                pay_month: month,
                paid_on: Some(paid_on),
                status_code: "1".into(),
                stop_reason_code: None,
                agency_division_code: self.division(p),
            };
            let insured = UnemploymentBenefit { benefit_code: "05".into(), amount: Dec(36_000), ..row.clone() };
            self.event(p, paid_on, row);
            self.event(p, paid_on, insured);
        }
        if self.chance.percent(12) {
            let on = days(since, 60).min(SNAPSHOT);
            let row = UnemploymentBenefit {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                benefit_code: "03".into(),
                unemployed_on: Some(since),
                amount: Dec(self.chance.range(20, 120) * 10_000),
                pay_month: month_first(month_index(on)),
                paid_on: Some(on),
                status_code: "1".into(),
                agency_division_code: self.division(p),
                ..UnemploymentBenefit::default()
            };
            self.event(p, on, row);
        }
    }

    fn injury(&mut self, p: usize) {
        let person = self.person(p);
        let Some((on, grade, lump)) = person.is.injury else { return };
        let employer = person.is.jobs.iter().find_map(|j| match j.payer {
            Payer::Employer(e) if j.insured => Some(self.city.employers[e].uscc.clone()),
            _ => None,
        });
        let paid_on = days(on, 90).min(SNAPSHOT);
        let base = WorkInjuryBenefit {
            case_no: text!("GS{}{:010}", on.year(), person.serial),
            citizen_id: self.id(p),
            full_name: person.name.clone(),
            benefit_code: "01".into(),
            injury_grade_code: Some(grade.into()),
            amount: Dec(lump),
            is_lump_sum: true,
            pay_month: month_first(month_index(paid_on)),
            paid_on: Some(paid_on),
            employer_uscc: employer,
            pay_status_code: "1".into(),
        };
        if grade == "04" {
            for m in month_index(paid_on).max(month_index(ROWS_FROM))..=month_index(SNAPSHOT) {
                let row = WorkInjuryBenefit {
                    benefit_code: "02".into(),
                    amount: Dec(312_000),
                    is_lump_sum: false,
                    pay_month: month_first(m),
                    paid_on: Some(days(month_first(m), 17).min(SNAPSHOT)),
                    ..base.clone()
                };
                self.event(p, month_first(m), row);
            }
        }
        self.event(p, paid_on, base);
    }

    fn custody(&mut self, p: usize) {
        let person = self.person(p);
        let Some(held) = person.is.custody.filter(|c| person.alive_on(c.from)) else { return };
        let changed = held.released.unwrap_or(held.from).min(SNAPSHOT);
        let updated = self.office(changed);
        let division = Some(self.division(p));
        if held.prison {
            let row = PrisonInmate {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                custody_status_code: held.status.into(),
                facility_code: Some("JY3701".into()),
                custody_started_on: held.from,
                sentence_end_on: Some(held.planned),
                released_on: held.released,
                hukou_division_code: division,
                updated_at: updated,
            };
            self.state(p, changed, row);
        } else {
            let row = CompulsoryIsolationRehab {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                custody_status_code: held.status.into(),
                facility_code: Some("JDS3710".into()),
                started_on: held.from,
                planned_end_on: Some(held.planned),
                released_on: held.released,
                hukou_division_code: division,
                updated_at: updated,
            };
            self.state(p, changed, row);
        }
    }
}
