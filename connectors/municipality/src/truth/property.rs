//! Property on the query day (computation section 4): money, houses, vehicles, capital.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::{
    items::{
        Item,
        civil_affairs::{BankDeposit, InsurancePolicy, NonbankPaymentBalance, SecuritiesHolding},
        housing_urban_rural::PresaleContract,
        market_regulation::{EnterpriseRole, ShareholderContribution},
        natural_resources::RealEstateOwnership,
        public_security::MotorVehicle,
    },
    parameters::{deposit_rate, exchange},
};

use super::{
    Exact,
    kinship::{Family, Id, QUERY},
};

/// Interest of one counted deposit.
#[derive(Debug, Clone)]
pub(crate) struct Interest {
    /// The only owner among the people asked about; empty for a joint account.
    pub(crate) owner: Id,
    pub(crate) yearly: Exact,
    /// Counts as a fact of property income (3.6).
    pub(crate) fact: bool,
}

/// Monetary property of some people.
#[derive(Debug, Clone)]
pub(crate) struct Money {
    pub(crate) total: Exact,
    pub(crate) interest: Vec<Interest>,
}

/// One row of an account in its last batch.
struct Account<'a> {
    owner: Id,
    institution: &'a str,
    batch: (i64, &'a str),
    /// Same key = same account.
    key: String,
    /// None = looked at and left out.
    value: Option<Exact>,
    interest: Option<(Exact, bool)>,
}

fn whole(n: i64) -> Exact {
    Exact::from_integer(i128::from(n))
}

fn converted(fen: i64, currency: &str, day: NaiveDate) -> Exact {
    let rate = exchange(currency, day).unwrap_or(0);
    Exact::new(i128::from(fen) * i128::from(rate), 10_000)
}

/// Keeps the rows of each person's last batch per institution, then each account once.
fn reduce(accounts: Vec<Account<'_>>, interest: &mut Vec<Interest>) -> Exact {
    let mut last: BTreeMap<(Id, String), (i64, String)> = BTreeMap::new();
    for a in &accounts {
        let batch = (a.batch.0, a.batch.1.to_owned());
        let slot = last.entry((a.owner.clone(), a.institution.to_owned())).or_insert_with(|| batch.clone());
        if batch > *slot {
            *slot = batch;
        }
    }
    type Shared = (Exact, Id, BTreeSet<Id>, Option<(Exact, bool)>);
    let mut once: BTreeMap<String, Shared> = BTreeMap::new();
    for a in accounts {
        let current = last.get(&(a.owner.clone(), a.institution.to_owned()));
        let (Some(value), true) = (a.value, current.is_some_and(|b| b.1 == a.batch.1)) else { continue };
        let entry = once
            .entry(format!("{}\u{1f}{}", a.institution, a.key))
            .or_insert_with(|| (value, a.owner.clone(), BTreeSet::new(), a.interest));
        if (value, std::cmp::Reverse(&a.owner)) > (entry.0, std::cmp::Reverse(&entry.1)) {
            entry.0 = value;
            entry.1.clone_from(&a.owner);
            entry.3 = a.interest;
        }
        entry.2.insert(a.owner);
    }
    let mut total = whole(0);
    for (_, (value, owner, owners, rate)) in once {
        total += value;
        if let Some((yearly, fact)) = rate {
            let owner = if owners.len() == 1 { owner } else { String::new() };
            interest.push(Interest { owner, yearly, fact });
        }
    }
    total
}

/// Monetary property of `people` (4.1).
pub(crate) fn money(family: &Family<'_>, people: &BTreeSet<Id>) -> Money {
    let mine = |number: &str, item: &str| {
        let p = family.view.person(number);
        (people.contains(&p) && family.covered(&p, item)).then_some(p)
    };
    let mut interest = Vec::new();
    let mut total = whole(0);
    let rows = family.view.all::<BankDeposit>();
    let accounts = rows
        .iter()
        .filter_map(|r| {
            let owner = mine(&r.citizen_id, BankDeposit::CODE)?;
            let open = r.account_status_code.as_ref().is_none_or(|s| &**s != "4");
            let balance = r.balance_amount.0;
            let yearly = match r.interest_12m {
                Some(i) => (converted(i.0, &r.currency_code, r.balance_date), i.0 != 0),
                None => {
                    let rate = deposit_rate(&r.account_type_code);
                    let base = converted(balance, &r.currency_code, r.balance_date);
                    (base * Exact::new(i128::from(rate), 10_000), rate != 0 && balance != 0)
                }
            };
            Some(Account {
                owner,
                institution: &r.institution_code,
                batch: (r.queried_at.0, &r.query_batch_no),
                key: r.account_token.to_string(),
                value: open.then(|| converted(balance.max(0), &r.currency_code, r.balance_date)),
                interest: open.then_some(yearly),
            })
        })
        .collect();
    total += reduce(accounts, &mut interest);
    let rows = family.view.all::<SecuritiesHolding>();
    let accounts = rows
        .iter()
        .filter_map(|r| {
            Some(Account {
                owner: mine(&r.citizen_id, SecuritiesHolding::CODE)?,
                institution: &r.institution_code,
                batch: (r.queried_at.0, &r.query_batch_no),
                key: format!("{}\u{1f}{}", &*r.account_token, &*r.security_code),
                value: Some(converted(r.market_value.0.max(0), &r.currency_code, r.valuation_date)),
                interest: None,
            })
        })
        .collect();
    total += reduce(accounts, &mut interest);
    let rows = family.view.all::<NonbankPaymentBalance>();
    let accounts = rows
        .iter()
        .filter_map(|r| {
            let counts = &*r.product_type_code != "04" && r.account_status_code.as_ref().is_none_or(|s| &**s != "4");
            Some(Account {
                owner: mine(&r.citizen_id, NonbankPaymentBalance::CODE)?,
                institution: &r.institution_code,
                batch: (r.queried_at.0, &r.query_batch_no),
                key: r.account_token.to_string(),
                value: counts.then(|| whole(r.balance_amount.0.max(0))),
                interest: None,
            })
        })
        .collect();
    total += reduce(accounts, &mut interest);
    for r in family.view.all::<InsurancePolicy>() {
        let counts = mine(&r.holder_citizen_id, InsurancePolicy::CODE).is_some()
            && r.effective_on <= QUERY
            && matches!(&*r.product_type_code, "02" | "03" | "04")
            && matches!(&*r.policy_status_code, "1" | "2");
        if counts {
            total += whole(r.cash_value.map_or(0, |v| v.0.max(0)));
        }
    }
    Money { total, interest }
}

/// Houses of some people.
#[derive(Debug, Clone)]
pub(crate) struct Houses {
    pub(crate) count: usize,
    /// Hundredths of m².
    pub(crate) area: Exact,
}

#[derive(Debug, Default)]
struct Unit {
    division: String,
    owners: BTreeSet<Id>,
    /// Greatest share per owner, ten-thousandths.
    shares: BTreeMap<Id, i64>,
    whole: bool,
    area: i64,
    first: Option<NaiveDate>,
}

impl Unit {
    fn see(&mut self, owner: &Id, area: i64, day: NaiveDate, division: &str) {
        self.owners.insert(owner.clone());
        self.area = self.area.max(area);
        self.first = Some(self.first.map_or(day, |d| d.min(day)));
        if self.division.is_empty() {
            division.clone_into(&mut self.division);
        }
    }
}

/// Houses of `people` (4.2).
pub(crate) fn houses(family: &Family<'_>, people: &BTreeSet<Id>) -> Houses {
    let mine = |number: &str, item: &str| {
        let p = family.view.person(number);
        (people.contains(&p) && family.covered(&p, item)).then_some(p)
    };
    let mut owned: BTreeMap<String, Unit> = BTreeMap::new();
    for r in family.view.all::<RealEstateOwnership>() {
        let Some(owner) = mine(&r.owner_citizen_id, RealEstateOwnership::CODE) else { continue };
        if &*r.right_status_code != "1" || r.registered_on > QUERY || &*r.house_use_code != "10" {
            continue;
        }
        let unit = owned.entry(r.real_estate_unit_no.to_string()).or_default();
        unit.see(&owner, r.building_area.0, r.registered_on, &r.division_code);
        match r.share_ratio {
            None => unit.whole = true,
            Some(s) => {
                let slot = unit.shares.entry(owner).or_insert(s.0);
                *slot = (*slot).max(s.0);
            }
        }
    }
    let mut numbered: BTreeMap<String, Unit> = BTreeMap::new();
    let mut contracts: BTreeMap<(String, String), Unit> = BTreeMap::new();
    for r in family.view.all::<PresaleContract>() {
        let Some(buyer) = mine(&r.buyer_citizen_id, PresaleContract::CODE) else { continue };
        let counts = &*r.contract_status_code == "2"
            && &*r.house_use_code == "10"
            && r.filed_on.unwrap_or(r.signed_on) <= QUERY
            && r.cancelled_on.is_none_or(|d| d > QUERY);
        if !counts {
            continue;
        }
        let unit = match &r.real_estate_unit_no {
            Some(number) => numbered.entry(number.to_string()).or_default(),
            None => contracts.entry((r.division_code.to_string(), r.house_no.to_string())).or_default(),
        };
        unit.see(&buyer, r.building_area.0, r.signed_on, &r.division_code);
    }
    numbered.retain(|number, _| !owned.contains_key(number));
    let mut order: Vec<_> = contracts.into_iter().collect();
    order.sort_by(|a, b| (a.1.first, &a.0).cmp(&(b.1.first, &b.0)));
    let mut registered: Vec<(&String, &Unit)> = owned.iter().collect();
    registered.sort_by_key(|(number, unit)| (unit.first, (*number).clone()));
    let mut taken: BTreeSet<&String> = BTreeSet::new();
    let mut left = Vec::new();
    for (_, presale) in order {
        let found = registered.iter().find(|(number, unit)| {
            let near = i128::from((unit.area - presale.area).abs()) * 100 <= i128::from(presale.area) * 3;
            !taken.contains(number)
                && !unit.owners.is_disjoint(&presale.owners)
                && unit.division == presale.division
                && unit.first >= presale.first
                && near
        });
        match found {
            Some((number, _)) => drop(taken.insert(number)),
            None => left.push(presale),
        }
    }
    let mut area = whole(0);
    for unit in owned.values() {
        let part = if unit.whole { 10_000 } else { unit.shares.values().sum::<i64>().min(10_000) };
        area += Exact::new(i128::from(unit.area) * i128::from(part), 10_000);
    }
    area += left.iter().chain(numbered.values()).map(|u| whole(u.area)).sum::<Exact>();
    Houses { count: owned.len() + left.len() + numbered.len(), area }
}

/// (vehicles, vehicles after exemptions) of `people` (4.3).
pub(crate) fn vehicles(family: &Family<'_>, people: &BTreeSet<Id>) -> (usize, usize) {
    #[derive(Default)]
    struct Seen {
        adapted: bool,
        motorcycle: bool,
        working: bool,
    }
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for r in family.view.all::<MotorVehicle>() {
        let p = family.view.person(&r.owner_citizen_id);
        let owned = people.contains(&p)
            && family.covered(&p, MotorVehicle::CODE)
            && !matches!(&*r.vehicle_status_code, "B" | "E" | "M")
            && r.registered_on <= QUERY
            && r.ended_on.is_none_or(|d| d > QUERY);
        if owned {
            let car = seen.entry(r.vin.to_string()).or_default();
            car.adapted |= r.is_disabled_adapted;
            car.motorcycle |= r.vehicle_type_code.starts_with('M');
            car.working |= matches!(&*r.use_nature_code, "D" | "E" | "F" | "G");
        }
    }
    let rest: Vec<&Seen> = seen.values().filter(|c| !c.adapted && !c.motorcycle).collect();
    let working = rest.iter().filter(|c| c.working).count();
    (seen.len(), rest.len() - usize::from(working == 1))
}

/// Subscribed capital of `people`, fen (4.4).
pub(crate) fn capital(family: &Family<'_>, people: &BTreeSet<Id>) -> i64 {
    let mut explained: BTreeSet<String> = BTreeSet::new();
    for r in family.view.all::<EnterpriseRole>() {
        let p = family.view.person(&r.citizen_id);
        let counts = people.contains(&p)
            && family.covered(&p, EnterpriseRole::CODE)
            && r.appointed_on.is_none_or(|d| d <= QUERY)
            && r.removed_on.is_none_or(|d| d > QUERY)
            && &*r.entity_status_code != "3";
        if counts && r.has_operation == Some(false) {
            explained.insert(r.uscc.to_string());
        }
    }
    family
        .view
        .all::<ShareholderContribution>()
        .iter()
        .filter(|r| {
            let p = family.view.person(&r.citizen_id);
            people.contains(&p)
                && family.covered(&p, ShareholderContribution::CODE)
                && r.holder_from.is_none_or(|d| d <= QUERY)
                && r.holder_to.is_none_or(|d| d > QUERY)
                && &*r.entity_status_code != "3"
                && !explained.contains(&*r.uscc)
        })
        .map(|r| r.subscribed_amount.0)
        .sum()
}

/// Whether `people` pass the property test with `multiple` annual standards of money (4.1 to 4.4).
pub(crate) fn passes(family: &Family<'_>, people: &BTreeSet<Id>, money: &Money, multiple: i64) -> bool {
    let n = people.len() as i64;
    let standard = family.parameters.standard;
    let houses = houses(family, people);
    money.total <= whole(multiple * 12 * standard * n)
        && (houses.count <= 1 || (houses.count <= 2 && houses.area <= whole(family.parameters.average_area * n)))
        && vehicles(family, people).1 == 0
        && capital(family, people) < 20_000_000
}
