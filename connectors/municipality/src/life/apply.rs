//! Applications: who applies for whom, what is declared, who signs, and what banks, brokers, insurers and payment
//! companies answer (items 8 to 14).
//!
//! Declarations are mostly honest and sometimes not: members left out, strangers put in, the dead and the imprisoned
//! still named, deposits and houses forgotten, signatures missing, limited, withdrawn or given by a child.

use chrono::NaiveDate;

use crate::{
    calendar::{SNAPSHOT, TODAY, at, day_of, days, months},
    chance::hash2,
    city::BANKS,
    items::{
        Dec, Ts,
        civil_affairs::{
            AssistanceApplication, BankDeposit, DeclaredHouseholdMember, InsurancePolicy, NonbankPaymentBalance,
            SecuritiesHolding, VerificationAuthorization,
        },
    },
    parameters,
    row::Text,
    scribe::Origin,
};

use super::{
    circumstance::Story,
    kin::Means,
    teller::{Teller, text},
};

const BROKERS: [&str; 3] = ["SEC-001", "SEC-002", "SEC-003"];
const INSURERS: [(&str, &str); 3] = [("INS-001", "人寿保险"), ("INS-002", "平安保险"), ("INS-003", "太平洋保险")];
const WALLETS: [(&str, &str); 2] = [("EPAY-ALPHA", "支付公司甲"), ("EPAY-BETA", "支付公司乙")];
/// A scope that leaves out pension, deposits and vehicles.
const NARROW: &str = "individual_income_tax,pension_contribution,real_estate_ownership,provident_fund_account,\
securities_holding,insurance_policy,medical_settlement,employment_registration,land_contract_right,agri_subsidy_payment,\
resident_pension_benefit,prison_inmate,compulsory_isolation_rehab";

/// A declared person.
#[derive(Debug, Clone, Copy)]
struct Declared {
    p: usize,
    role: &'static str,
    reason: &'static str,
}

impl Teller<'_, '_> {
    /// The application of the household at `h`, if somebody can apply; its number.
    pub(crate) fn apply(&mut self, h: usize) -> Option<Text> {
        let home = &self.kin.homes[h];
        let story = home.story?;
        let applicant = self.applicant(h, story)?;
        let declared = self.declare(h, applicant, story);
        let number = text!("SQ2026{}{:010}", self.seat(applicant).place.code, self.person(applicant).serial);
        let late = self.chance.percent(4);
        let applied_on = if late { TODAY } else { days(TODAY, -self.chance.range(1, 28)) };
        let applied = if late { at(TODAY, self.chance.range(6 * 60, 7 * 60 + 40)) } else { self.office(applied_on) };
        let batches =
            (text!("CX{:012}A", self.person(applicant).serial), text!("CX{:012}B", self.person(applicant).serial));
        let mut money = 0;
        for d in &declared {
            let authorization = text!("SQS{:012}{:03}", self.person(applicant).serial, d.p);
            self.member(&number, applicant, *d, &authorization, applied_on);
            self.authorize(applicant, *d, &authorization, applied_on);
            if d.role != "06" {
                let found = self.finances(d.p, story, &batches, applied_on);
                if d.role == "01" {
                    money += found;
                }
            }
        }
        self.application(h, applicant, &number, applied, &declared, money);
        Some(number)
    }

    fn applicant(&mut self, h: usize, story: Story) -> Option<usize> {
        let home = &self.kin.homes[h];
        let able = |p: &usize| {
            let q = self.person(*p);
            q.age() >= 18 && q.is.custody.is_none_or(|c| !c.holds(SNAPSHOT)) && q.is.gone.is_none()
        };
        let mut candidates: Vec<usize> = home.members.iter().copied().filter(|p| able(p)).collect();
        if candidates.is_empty() {
            candidates = home.members.iter().copied().filter(|p| self.person(*p).age() >= 18).collect();
        }
        let wanted = match story {
            Story::SevereAlone => {
                candidates.iter().copied().find(|p| self.person(*p).is.severe() && self.person(*p).spouse().is_none())
            }
            Story::SingleParent => candidates.iter().copied().find(|p| {
                self.person(*p).spouse().is_none() && self.kin.children_of(*p).any(|c| self.person(c).age() < 18)
            }),
            _ => None,
        };
        wanted.or_else(|| candidates.first().copied())
    }

    /// Whom the application names, each person once.
    fn declare(&mut self, h: usize, applicant: usize, story: Story) -> Vec<Declared> {
        let mut list: Vec<Declared> = Vec::new();
        let mut add = |p: usize, role: &'static str, reason: &'static str| {
            if list.iter().all(|d| d.p != p) {
                list.push(Declared { p, role, reason });
            }
        };
        let kin = self.kin;
        let person = |p: usize| &kin.people[p];
        if !self.chance.percent(3) {
            add(applicant, "01", "0");
        }
        let spouse = person(applicant).spouse();
        for p in kin.homes[h].members.iter().copied() {
            if p == applicant {
                continue;
            }
            let is = &person(p).is;
            if let Some(held) = is.custody.filter(|c| c.holds(SNAPSHOT)) {
                match self.chance.below(100) {
                    0..58 => add(p, "05", if held.prison { "2" } else { "3" }),
                    58..82 => add(p, "01", "0"),
                    _ => {}
                }
                continue;
            }
            if let Some((code, _)) = is.gone {
                match self.chance.below(100) {
                    0..50 if code == "6" => add(p, "05", "4"),
                    0..40 => add(p, "01", "0"),
                    40..70 => add(p, "05", "9"),
                    _ => {}
                }
                continue;
            }
            let near = Some(p) == spouse || person(p).age() < 18;
            let relation = kin.relation(applicant, p);
            let duty =
                relation < "45" || (("50"..="52").contains(&relation)) || matches!(relation, "71" | "73" | "75" | "77");
            match self.chance.below(100) {
                0..3 if near => {}
                3..5 if near => add(p, "05", "6"),
                _ if near => add(p, "01", "0"),
                0..55 => add(p, "01", "0"),
                55..70 if duty => add(p, "02", "0"),
                70..78 => add(p, "05", "6"),
                78..80 => add(p, "05", "1"),
                80..82 => add(p, "05", "9"),
                82..84 => add(p, "05", "2"),
                _ => {}
            }
        }
        // A spouse who lives elsewhere, and children given to the other parent.
        if let Some(s) = spouse
            && self.chance.percent(85)
        {
            add(s, "01", "0");
        }
        let heads: Vec<usize> = [Some(applicant), spouse].into_iter().flatten().collect();
        for q in &heads {
            for c in kin.children_of(*q) {
                if !person(c).alive() || person(c).is.gone.is_some() {
                    continue;
                }
                match person(c).age() {
                    18.. if self.chance.percent(86) => add(c, "02", "0"),
                    ..18 if self.chance.percent(25) => add(c, "01", "0"),
                    _ => {}
                }
            }
            for parent in [person(*q).father, person(*q).mother].into_iter().flatten() {
                if person(parent).alive() && self.chance.percent(45) {
                    add(parent, if *q == applicant { "03" } else { "02" }, "0");
                }
            }
        }
        // Parents of the children, when they are divorced from the applicant.
        for c in kin.homes[h].members.iter().copied().filter(|c| person(*c).age() < 18) {
            for parent in [person(c).father, person(c).mother].into_iter().flatten() {
                if person(parent).alive() && self.chance.percent(60) {
                    add(parent, "03", "0");
                }
            }
        }
        // The dead of the last two years.
        for p in 0..kin.people.len() {
            if person(p).death.is_some_and(|d| d > months(SNAPSHOT, -24)) && person(p).home == h {
                match self.chance.below(100) {
                    0..22 => add(p, "01", "0"),
                    22..45 => add(p, "05", "5"),
                    _ => {}
                }
            }
        }
        let others: Vec<usize> =
            (0..kin.people.len()).filter(|p| person(*p).alive() && person(*p).age() >= 18).collect();
        if !others.is_empty() && self.chance.percent(3) {
            add(*self.chance.pick(&others), "06", "0");
        }
        if !others.is_empty() && self.chance.percent(4) {
            add(*self.chance.pick(&others), "01", "0");
        }
        if !others.is_empty() && self.chance.percent(3) {
            add(*self.chance.pick(&others), "04", "0");
        }
        let _ = story;
        list
    }

    fn member(&mut self, number: &Text, applicant: usize, d: Declared, authorization: &Text, on: NaiveDate) {
        let person = self.person(d.p);
        let relation = if d.p == applicant { "01" } else { self.kin.relation(applicant, d.p) };
        let relation = match (relation, self.chance.percent(15)) {
            ("11" | "12", true) => "10",
            (other, _) => other,
        };
        let studying = person.is.study.is_some_and(|s| s.stage(person.birth, 2025).is_some());
        let pays = matches!(d.role, "02" | "03" | "04") && self.chance.percent(35);
        let reference =
            if self.chance.per_10k(130) { text!("SQSX{:012}", person.serial) } else { authorization.clone() };
        let row = DeclaredHouseholdMember {
            application_no: number.clone(),
            citizen_id: self.id(d.p),
            full_name: person.name.clone(),
            id_type_code: "111".into(),
            member_role_code: d.role.into(),
            relation_to_applicant_code: relation.into(),
            birth_date: Some(person.birth),
            marital_status_code: Some(person.marital()),
            is_full_time_student: Some(studying),
            labour_capacity_code: Some(if person.is.severe() {
                "3".into()
            } else if person.age() < 16 {
                "4".into()
            } else {
                "1".into()
            }),
            health_status_code: Some(["1", "3", "3", "4"][usize::from(person.is.illness)].into()),
            excluded_reason_code: d.reason.into(),
            declared_maintenance_paid: pays.then(|| Dec(self.chance.range(5, 90) * 10_000)),
            hukou_division_code: Some(self.division(d.p)),
            authorization_no: reference,
        };
        let origin = Origin::event(self.county(applicant), on);
        self.out.put(origin, row);
    }

    fn authorize(&mut self, applicant: usize, d: Declared, number: &Text, on: NaiveDate) {
        let signs = match d.role {
            "01" => 97,
            "05" => 55,
            "06" => 40,
            _ => 78,
        };
        if !self.chance.percent(signs) {
            return;
        }
        let person = self.person(d.p);
        let signed_on = days(on, -self.chance.range(0, 6));
        let child = person.age() < 16;
        let agent = child.then_some(applicant).filter(|a| *a != d.p);
        let mistaken = child && self.chance.percent(5);
        let wide = !self.chance.percent(5);
        let (status, revoked) = match self.chance.below(200) {
            0 => ("2", None),
            1 => ("3", Some(on)),
            2 => ("1", Some(days(TODAY, 0))),
            _ => ("1", None),
        };
        let until = match self.chance.below(100) {
            0 => Some(days(TODAY, -1)),
            1..4 => Some(TODAY),
            4..30 => Some(months(TODAY, 12)),
            _ => None,
        };
        let signed = self.office(signed_on);
        let row = VerificationAuthorization {
            authorization_no: number.clone(),
            grantor_citizen_id: self.id(d.p),
            grantor_name: person.name.clone(),
            id_type_code: "111".into(),
            relation_to_head_code: Some(if d.p == applicant {
                "01".into()
            } else {
                self.kin.relation(applicant, d.p).into()
            }),
            agent_citizen_id: agent.filter(|_| !mistaken).map(|a| self.person(a).id.clone()),
            agent_name: agent.filter(|_| !mistaken).map(|a| self.name(a)),
            agent_relation_code: agent.filter(|_| !mistaken).map(|a| self.kin.relation(d.p, a).into()),
            sign_method_code: if child && !mistaken {
                "4".into()
            } else {
                ["1", "2", "3"][self.chance.weighted(&[70, 10, 20])].into()
            },
            signed_at: signed,
            scope_codes: if wide { "ALL".into() } else { NARROW.into() },
            valid_from: signed_on,
            valid_until: until,
            revoked_at: revoked.map(|r| at(r, 7 * 60)),
            document_hash: text!(
                "{:016x}{:016x}{:016x}{:016x}",
                hash2(person.serial, 1),
                hash2(person.serial, 2),
                hash2(person.serial, 3),
                hash2(person.serial, 4)
            ),
            status_code: status.into(),
        };
        let origin = Origin::event(self.county(applicant), signed_on);
        self.out.put(origin, row);
    }

    /// What the financial institutions answer about `p`; the fen they report in the last batch.
    fn finances(&mut self, p: usize, story: Story, batches: &(Text, Text), applied: NaiveDate) -> i64 {
        let person = self.person(p);
        if person.age() < 12 || !person.alive() {
            return 0;
        }
        let concealing = story == Story::Concealing;
        let (low, high) = match (concealing, self.home(p).means) {
            (true, _) => (300, 26_000),
            (_, Means::Poor) => (0, 1_300),
            (_, Means::Modest) => (10, 4_500),
            (_, Means::Normal) => (300, 16_000),
            (_, Means::Well) => (2_000, 60_000),
        };
        let queried_on = days(applied, self.chance.range(0, 6)).min(SNAPSHOT);
        let queried = self.office(queried_on);
        let earlier = self.chance.percent(22);
        let mut sum = 0;
        let accounts = self.chance.weighted(&[8, 55, 27, 10]);
        let spouse = person.spouse().filter(|s| self.person(*s).home == person.home);
        for n in 0..accounts {
            let bank = (person.serial as usize + n) % BANKS.len();
            let kind = ["01", "02", "04", "03", "05"][self.chance.weighted(&[58, 30, 7, 3, 2])];
            let currency = ["CNY", "USD", "KRW", "JPY"][self.chance.weighted(&[970, 20, 4, 6])];
            let balance =
                self.chance.range(low, high).min(self.chance.range(low, high)) * 1_000 + self.chance.range(0, 999);
            let interest = self.chance.percent(78).then(|| Dec(balance * self.chance.range(0, 160) / 10_000));
            // A joint account shows up for both, under one token.
            let owner = spouse.filter(|s| *s < p && self.chance.percent(9)).unwrap_or(p);
            let status = ["1", "2", "3", "4", "5"][self.chance.weighted(&[885, 45, 20, 40, 10])];
            let row = BankDeposit {
                query_batch_no: batches.1.clone(),
                citizen_id: self.id(p),
                full_name: person.name.clone(),
                institution_code: BANKS[bank].0.into(),
                institution_name: Some(BANKS[bank].1.into()),
                account_token: self.token(owner, 0xba40 + n as u64),
                account_type_code: kind.into(),
                currency_code: currency.into(),
                balance_amount: Dec(balance),
                balance_date: queried_on,
                interest_12m: interest,
                opened_on: Some(days(queried_on, -self.chance.range(100, 5000))),
                account_status_code: Some(status.into()),
                queried_at: queried,
            };
            if earlier {
                let before = days(queried_on, -31);
                let older = BankDeposit {
                    query_batch_no: batches.0.clone(),
                    balance_amount: Dec(balance * self.chance.range(20, 300) / 100),
                    balance_date: before,
                    queried_at: at(before, 600),
                    ..row.clone()
                };
                self.event(p, before, older);
            }
            if owner != p {
                let mirrored = BankDeposit {
                    citizen_id: self.person(owner).id.clone(),
                    full_name: self.name(owner),
                    ..row.clone()
                };
                self.event(p, queried_on, mirrored);
            }
            sum += balance;
            self.event(p, queried_on, row);
        }
        sum += self.holdings(p, concealing, &batches.1, queried_on, queried);
        sum
    }

    fn holdings(&mut self, p: usize, concealing: bool, batch: &Text, on: NaiveDate, queried: Ts) -> i64 {
        let person = self.person(p);
        let mut sum = 0;
        let id = self.id(p);
        if self.chance.percent(if concealing { 30 } else { 4 }) {
            for (kind, code) in [("01", "601318"), ("02", "000051"), ("04", "CASH")] {
                if !self.chance.percent(55) {
                    continue;
                }
                let value = self.chance.range(1, 600) * 10_000;
                sum += value;
                let row = SecuritiesHolding {
                    query_batch_no: batch.clone(),
                    citizen_id: id.clone(),
                    full_name: person.name.clone(),
                    institution_code: BROKERS[(person.serial % 3) as usize].into(),
                    account_token: self.token(p, 0x5ec),
                    security_type_code: kind.into(),
                    security_code: code.into(),
                    quantity: (kind != "04").then_some(Dec(1_000_000)),
                    market_value: Dec(value),
                    currency_code: "CNY".into(),
                    valuation_date: on,
                    queried_at: queried,
                };
                self.event(p, on, row);
            }
        }
        if person.age() >= 18 && self.chance.percent(13) {
            let (code, name) = INSURERS[(person.serial % 3) as usize];
            let kind = ["02", "03", "05", "07", "01", "04"][self.chance.weighted(&[30, 15, 20, 20, 8, 7])];
            let premium = self.chance.range(2, 90) * 10_000;
            let value = matches!(kind, "02" | "03" | "04").then(|| Dec(premium * self.chance.range(1, 5)));
            sum += value.map_or(0, |v| v.0);
            let row = InsurancePolicy {
                insurer_code: code.into(),
                insurer_name: Some(name.into()),
                policy_token: self.token(p, 0x9011),
                holder_citizen_id: id.clone(),
                holder_name: person.name.clone(),
                insured_citizen_id: Some(person.id.clone()),
                product_type_code: kind.into(),
                annual_premium: Some(Dec(premium)),
                premium_paid_total: Some(Dec(premium * 5)),
                cash_value: value.filter(|_| !self.chance.percent(6)),
                effective_on: days(on, -self.chance.range(200, 3000)),
                expires_on: None,
                policy_status_code: ["1", "2", "3", "4"][self.chance.weighted(&[85, 6, 6, 3])].into(),
                queried_at: queried,
            };
            self.event(p, on, row);
        }
        if (16..72).contains(&person.age()) && self.chance.percent(70) {
            for (n, product) in ["01", "02", "04", "03"].into_iter().enumerate() {
                if !self.chance.percent([75, 35, 12, 5][n]) {
                    continue;
                }
                let (code, name) = WALLETS[(person.serial % 2) as usize];
                let value = self.chance.range(1, if concealing { 4_000_000 } else { 180_000 });
                if product != "04" {
                    sum += value;
                }
                let row = NonbankPaymentBalance {
                    query_batch_no: batch.clone(),
                    citizen_id: id.clone(),
                    full_name: person.name.clone(),
                    institution_code: code.into(),
                    institution_name: Some(name.into()),
                    account_token: self.token(p, 0xe9a + n as u64),
                    product_type_code: product.into(),
                    balance_amount: Dec(value),
                    balance_date: on,
                    account_status_code: self.chance.percent(90).then(|| "1".into()),
                    queried_at: queried,
                };
                self.event(p, on, row);
            }
        }
        sum
    }

    fn application(
        &mut self,
        h: usize,
        applicant: usize,
        number: &Text,
        applied: Ts,
        declared: &[Declared],
        money: i64,
    ) {
        let home = &self.kin.homes[h];
        let story = home.story;
        let members: Vec<usize> = declared.iter().filter(|d| d.role == "01").map(|d| d.p).collect();
        let yearly = |f: &dyn Fn(&super::kin::Person) -> i64| members.iter().map(|p| f(self.person(*p))).sum::<i64>();
        let wage = yearly(&|q| q.is.jobs.iter().filter(|j| j.to.is_none()).map(|j| j.wage * 11).sum());
        let business = yearly(&|q| q.is.trade.as_ref().map_or(0, |t| (t.turnover - t.cost).max(0) * 4));
        let transfer = yearly(&|q| q.is.pension.map_or(0, |x| (x.amount + if x.employee { 0 } else { 6_000 }) * 12));
        let honest = !self.chance.percent(if story == Some(Story::Concealing) { 85 } else { 22 });
        let told = |x: i64| if honest { x / 10_000 * 10_000 } else { 0 };
        let size = members.len().max(1) as i64 + if self.chance.percent(4) { 1 } else { 0 };
        let rigid = self.chance.percent(70).then(|| Dec(self.chance.range(10, 400) * 10_000));
        let kind = match story {
            Some(Story::Alone) => ["02", "01"][self.chance.weighted(&[50, 50])],
            Some(Story::Ill) => ["04", "01", "03"][self.chance.weighted(&[40, 40, 20])],
            Some(Story::SevereAlone) => "01",
            _ => ["01", "03", "04"][self.chance.weighted(&[70, 20, 10])],
        };
        let alone = kind == "01" && (story == Some(Story::SevereAlone) || self.chance.percent(2));
        let row = AssistanceApplication {
            application_no: number.clone(),
            applicant_citizen_id: self.id(applicant),
            applicant_name: self.name(applicant),
            apply_type_code: kind.into(),
            guarantee_category_code: parameters::scheme(home.seat, home.rural).into(),
            household_size: size,
            is_single_person: alone,
            declared_wage_income: Dec(told(wage)),
            declared_business_income: Dec(told(business)),
            declared_property_income: Dec(if self.chance.percent(8) { self.chance.range(5, 90) * 10_000 } else { 0 }),
            declared_transfer_income: Dec(told(transfer)),
            declared_monetary_assets: Dec(if honest {
                money / 100_000 * 100_000
            } else {
                self.chance.range(0, 30) * 10_000
            }),
            declared_house_count: i64::from(self.chance.percent(78)),
            declared_vehicle_count: i64::from(honest && self.chance.percent(15)),
            declared_rigid_expenditure: rigid,
            applied_at: applied,
            accept_town_code: home.village.town.into(),
            status_code: "30".into(),
        };
        let county = self.city.seats[home.seat].place.code;
        let origin = Origin::event(county, day_of(applied)).critical(true);
        self.out.put(origin, row);
    }
}
