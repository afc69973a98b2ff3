//! Monetary property (computation 4.1; R-PRO-02): the last answer of every institution, joint accounts once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use minqiao_core::Timestamp;

use crate::calendar::Day;
use crate::case::Case;
use crate::cell::{Cents, Code};
use crate::exact::Exact;
use crate::finding::Finding;
use crate::items::{
    AnyRow, BankDeposit, InsurancePolicy, NonbankPaymentBalance, ProvidentFundAccount, Row, SecuritiesHolding,
};
use crate::number::Citizen;

/// Interest of one account that counts.
#[derive(Debug, Clone)]
pub(crate) struct Interest {
    /// Under whom it is reported.
    pub(crate) owner: Citizen,
    /// Several counted members own the account.
    pub(crate) shared: bool,
    /// Yuan for twelve months.
    pub(crate) yearly: Exact,
    /// Stated, or estimated from rate and balance.
    pub(crate) estimated: bool,
    /// Whether it is a fact in the sense of 3.6.
    pub(crate) fact: bool,
}

/// Money on the query day.
#[derive(Debug, Default)]
pub(crate) struct Monetary {
    pub(crate) deposits: Exact,
    pub(crate) securities: Exact,
    pub(crate) insurance: Exact,
    pub(crate) payment: Exact,
    pub(crate) provident_fund: Exact,
    pub(crate) debts: Exact,
    pub(crate) total: Exact,
    pub(crate) interest: Vec<Interest>,
    pub(crate) findings: BTreeSet<Finding>,
    /// Oldest answer that enters, by person and item.
    pub(crate) oldest: BTreeMap<(Citizen, u8), Day>,
}

/// One account, policy or debt of one row.
struct Holding<'a> {
    account: (u8, bool, &'a str, &'a str, &'a str),
    person: Citizen,
    value: Exact,
    interest: Option<(Exact, bool, bool)>,
    key: String,
}

struct Money<'c, 'a> {
    case: &'c Case<'a>,
    found: Monetary,
    holdings: Vec<Holding<'a>>,
}

impl Monetary {
    /// Money of these persons.
    pub(crate) fn of(case: &Case<'_>, persons: &[Citizen]) -> Self {
        let mut money = Money { case, found: Self::default(), holdings: Vec::new() };
        for person in persons {
            money.deposits(*person);
            money.securities(*person);
            money.policies(*person);
            money.payments(*person);
        }
        money.settle();
        if case.settings.count_provident_fund {
            money.provident_fund(persons);
        }
        let Money { mut found, .. } = money;
        let sum = &(&(&found.deposits + &found.securities) + &found.insurance) + &found.payment;
        found.total = (sum + &found.provident_fund - &found.debts).floor_zero();
        found
    }
}

impl<'a> Money<'_, 'a> {
    /// Rows of the last batch of every institution, unless a later query was answered with nothing.
    fn last_batches<T: Row>(&self, person: Citizen, of: impl Fn(&T) -> (&'a str, Timestamp, &'a str)) -> Vec<&'a T> {
        let rows = self.case.rows::<T>(person);
        let mut last: HashMap<&str, (Timestamp, &str)> = HashMap::new();
        for row in &rows {
            let (institution, at, batch) = of(row);
            let entry = last.entry(institution).or_insert((at, batch));
            *entry = (*entry).max((at, batch));
        }
        let emptied = |institution: &str, seen: Timestamp| {
            self.case.card(person).numbers.iter().any(|number| {
                self.case.inputs.queries(*number).any(|query| {
                    query.item == T::NO
                        && query.institution_code == institution
                        && query.row_count == Some(0)
                        && query.answered_at.is_some_and(|at| at <= self.case.as_of && at > seen)
                })
            })
        };
        last.retain(|institution, (at, _)| !emptied(institution, *at));
        rows.into_iter()
            .filter(|row| {
                let (institution, _, batch) = of(row);
                last.get(institution).is_some_and(|(_, last)| *last == batch)
            })
            .collect()
    }

    fn enters(&mut self, person: Citizen, item: u8, queried_at: Timestamp) {
        let day = Day::of(queried_at);
        let oldest = self.found.oldest.entry((person, item)).or_insert(day);
        *oldest = (*oldest).min(day);
    }

    fn converted(&mut self, row: &dyn AnyRow, person: Citizen, currency: Code, on: Day) -> Exact {
        match self.case.settings.rate(currency, on) {
            Some(rate) => rate,
            None => {
                let key = self.case.key(row);
                self.found.findings.insert(Finding::of_row("currency_unconverted", row.no(), key, person));
                Exact::ZERO
            }
        }
    }

    fn deposits(&mut self, person: Citizen) {
        let case = self.case;
        let fact = case.rules.of(11).main();
        let rows = self.last_batches::<BankDeposit>(person, |r| {
            (case.text(r.institution_code), r.queried_at, case.text(r.query_batch_no))
        });
        for row in rows.into_iter().filter(|r| fact.passes(*r, &case.settings)) {
            self.enters(person, 11, row.queried_at);
            let rate = self.converted(row, person, row.currency_code, row.balance_date);
            let value = &row.balance_amount.exact().floor_zero() * &rate;
            let interest = match row.interest_12m {
                Some(stated) => (stated.exact() * &rate, false, stated != Cents(0)),
                None => {
                    let yearly = &value * &case.settings.interest_rate(row.account_type_code);
                    let fact = !yearly.is_zero();
                    (yearly, true, fact)
                }
            };
            self.holdings.push(Holding {
                account: (11, false, case.text(row.institution_code), case.text(row.account_token), ""),
                person,
                value,
                interest: Some(interest),
                key: case.key(row),
            });
        }
    }

    fn securities(&mut self, person: Citizen) {
        let case = self.case;
        let rows = self.last_batches::<SecuritiesHolding>(person, |r| {
            (case.text(r.institution_code), r.queried_at, case.text(r.query_batch_no))
        });
        for row in rows {
            self.enters(person, 12, row.queried_at);
            let rate = self.converted(row, person, row.currency_code, row.valuation_date);
            let security = case.text(row.security_code);
            self.holdings.push(Holding {
                account: (12, false, case.text(row.institution_code), case.text(row.account_token), security),
                person,
                value: row.market_value.exact().floor_zero() * &rate,
                interest: None,
                key: case.key(row),
            });
        }
    }

    fn policies(&mut self, person: Citizen) {
        let case = self.case;
        for row in case.in_force::<InsurancePolicy>(person) {
            self.enters(person, 13, row.queried_at);
            match row.cash_value {
                Some(value) => self.found.insurance = &self.found.insurance + &value.exact().floor_zero(),
                None => {
                    let finding = Finding::of_row("value_missing", 13, case.key(row), person);
                    self.found.findings.insert(finding);
                }
            }
        }
    }

    fn payments(&mut self, person: Citizen) {
        let case = self.case;
        let rule = case.rules.of(14);
        let rows = self.last_batches::<NonbankPaymentBalance>(person, |r| {
            (case.text(r.institution_code), r.queried_at, case.text(r.query_batch_no))
        });
        for row in rows {
            let debt = rule.fact("debt").passes(row, &case.settings);
            if !(rule.main().passes(row, &case.settings) || (debt && case.settings.net_debts)) {
                continue;
            }
            self.enters(person, 14, row.queried_at);
            self.holdings.push(Holding {
                account: (14, debt, case.text(row.institution_code), case.text(row.account_token), ""),
                person,
                value: row.balance_amount.exact().floor_zero(),
                interest: None,
                key: case.key(row),
            });
        }
    }

    /// Counts every account once: the row of greatest value, under the smallest number.
    fn settle(&mut self) {
        let mut accounts: BTreeMap<(u8, bool, &str, &str, &str), Vec<Holding<'_>>> = BTreeMap::new();
        for holding in self.holdings.drain(..) {
            accounts.entry(holding.account).or_default().push(holding);
        }
        for ((item, debt, ..), mut rows) in accounts {
            let Some(owner) = rows.iter().map(|h| h.person).min() else { continue };
            let shared = rows.iter().any(|h| h.person != owner);
            rows.sort_by(|a, b| b.value.cmp(&a.value).then((a.person, &a.key).cmp(&(b.person, &b.key))));
            let Some(counts) = rows.into_iter().next() else { continue };
            let part = match (item, debt) {
                (11, _) => &mut self.found.deposits,
                (12, _) => &mut self.found.securities,
                (_, false) => &mut self.found.payment,
                (_, true) => &mut self.found.debts,
            };
            *part = &*part + &counts.value;
            if let Some((yearly, estimated, fact)) = counts.interest {
                self.found.interest.push(Interest { owner, shared, yearly, estimated, fact });
            }
        }
    }

    fn provident_fund(&mut self, persons: &[Citizen]) {
        let case = self.case;
        let fact = case.rules.of(42).fact("balance");
        let mut latest: HashMap<&str, &ProvidentFundAccount> = HashMap::new();
        for person in persons {
            for row in case.rows::<ProvidentFundAccount>(*person) {
                if fact.in_force(row, case.q) {
                    let entry = latest.entry(case.text(row.account_token)).or_insert(row);
                    if row.as_of_date > entry.as_of_date {
                        *entry = row;
                    }
                }
            }
        }
        for row in latest.into_values().filter(|row| fact.passes(*row, &case.settings)) {
            self.found.provident_fund = &self.found.provident_fund + &row.balance_amount.exact();
        }
    }
}
