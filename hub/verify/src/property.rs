//! Houses, vehicles, machines and business capital on the query day, and the property tests (computation 4.2-4.4).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::calendar::Day;
use crate::case::Case;
use crate::cell::Code;
use crate::exact::Exact;
use crate::finding::Finding;
use crate::items::{
    EnterpriseRole, FarmMachinery, FishingVessel, IndividualBusiness, MotorVehicle, PresaleContract,
    RealEstateOwnership, ShareholderContribution, VehiclePurchaseTax,
};
use crate::monetary::Monetary;
use crate::number::Citizen;
use crate::parameters::Missing;

/// One line of `houses`.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) source: &'static str,
    pub(crate) unit: String,
    pub(crate) share: Exact,
    pub(crate) area: Exact,
    pub(crate) dropped_by: Option<String>,
}

/// One line of `businesses`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Business {
    pub(crate) uscc: String,
    pub(crate) item: u8,
    pub(crate) person: Citizen,
    pub(crate) to_explain: bool,
    pub(crate) exempt_candidate: bool,
}

/// Property of a set of persons.
#[derive(Debug, Default)]
pub(crate) struct Property {
    pub(crate) money: Monetary,
    pub(crate) houses: Vec<House>,
    pub(crate) house_count: i64,
    pub(crate) house_area: Exact,
    pub(crate) non_residential_count: i64,
    /// By vin: the exemption, if any.
    pub(crate) vehicles: BTreeMap<String, Option<&'static str>>,
    pub(crate) machinery_count: i64,
    pub(crate) capital: Exact,
    pub(crate) businesses: BTreeSet<Business>,
    pub(crate) findings: BTreeSet<Finding>,
}

/// Results of the property tests; `None` = not tested.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tests {
    pub(crate) dibao: bool,
    pub(crate) marginal: bool,
    pub(crate) rigid: bool,
    pub(crate) house: bool,
    pub(crate) vehicle: bool,
    pub(crate) capital: bool,
    pub(crate) non_residential: Option<bool>,
    pub(crate) machinery: Option<bool>,
}

impl Tests {
    /// `property_ok` apart from money.
    pub(crate) fn rest(&self) -> bool {
        self.house
            && self.vehicle
            && self.capital
            && self.non_residential != Some(false)
            && self.machinery != Some(false)
    }
}

impl Property {
    /// Property of these persons.
    pub(crate) fn of(case: &Case<'_>, persons: &[Citizen], money: Monetary) -> Self {
        let mut found = Self { money, ..Self::default() };
        found.houses(case, persons);
        found.vehicles(case, persons);
        found.machines(case, persons);
        found.capital(case, persons);
        found
    }

    pub(crate) fn vehicle_counted(&self) -> i64 {
        self.vehicles.values().filter(|exempt| exempt.is_none()).count() as i64
    }

    /// All tests, for `n` persons. The average area is needed only between the two house limits.
    pub(crate) fn tests(&self, case: &Case<'_>, n: i64) -> Result<Tests, Missing> {
        let s = &case.settings;
        let year = s.line(n, 12);
        let money = |multiple: &Exact| {
            let limit = multiple * &year;
            if s.monetary_inclusive { self.money.total <= limit } else { self.money.total < limit }
        };
        let house = if self.house_count <= s.max_houses {
            true
        } else if self.house_count <= s.max_houses_by_area {
            self.house_area <= s.need(&s.avg_area, "housing.avg_area_per_capita")? * n
        } else {
            false
        };
        Ok(Tests {
            dibao: money(&s.monetary_dibao),
            marginal: money(&s.monetary_marginal),
            rigid: money(&s.monetary_rigid),
            house,
            vehicle: self.vehicle_counted() <= s.max_vehicles,
            capital: if s.capital_inclusive { self.capital <= s.capital_max } else { self.capital < s.capital_max },
            non_residential: s.max_non_residential.map(|max| self.non_residential_count <= max),
            machinery: s.max_machinery.map(|max| self.machinery_count <= max),
        })
    }

    fn houses(&mut self, case: &Case<'_>, persons: &[Citizen]) {
        let Units { homes, others } = Units::of(case, persons);
        self.non_residential_count = others.len() as i64;
        let mut presales = Presale::of(case, persons);
        // Step 3: a numbered contract whose unit is owned by now.
        for presale in presales.iter_mut().filter(|p| p.numbered) {
            presale.dropped_by = homes.contains_key(presale.unit.as_str()).then(|| presale.unit.clone());
        }
        // Step 4: unnumbered contracts, oldest first, each take the first ownership that fits.
        let mut order: Vec<&mut Presale<'_>> = presales.iter_mut().filter(|p| !p.numbered).collect();
        order.sort_by(|a, b| (a.signed_on, a.division, a.house_no).cmp(&(b.signed_on, b.division, b.house_no)));
        let mut owned: Vec<(&&str, &Unit)> = homes.iter().collect();
        owned.sort_by_key(|(unit_no, unit)| (unit.registered_on, **unit_no));
        for presale in order {
            let tolerance = &case.settings.presale_tolerance * &presale.area;
            let fits = |unit: &Unit| {
                unit.shares.keys().any(|owner| presale.buyers.contains(owner))
                    && unit.divisions.contains(&presale.division)
                    && unit.registered_on >= presale.signed_on
                    && (&unit.area - &presale.area).abs() <= tolerance
            };
            if let Some(at) = owned.iter().position(|(_, unit)| fits(unit)) {
                presale.dropped_by = Some((*owned.remove(at).0).to_owned());
            }
        }
        let mut add = |house: House| {
            if house.dropped_by.is_none() {
                self.house_count += 1;
                self.house_area = &self.house_area + &(&house.area * &house.share);
            }
            self.houses.push(house);
        };
        for (unit_no, unit) in homes {
            let share = unit.share();
            if share >= case.settings.min_share {
                let unit_no = unit_no.to_owned();
                add(House { source: "ownership", unit: unit_no, share, area: unit.area, dropped_by: None });
            }
        }
        for p in presales {
            add(House { source: "presale", unit: p.unit, share: Exact::ONE, area: p.area, dropped_by: p.dropped_by });
        }
        self.houses.sort_by(|a, b| (a.source, &a.unit).cmp(&(b.source, &b.unit)));
    }

    fn vehicles(&mut self, case: &Case<'_>, persons: &[Citizen]) {
        let mut rows: BTreeMap<&str, Vec<&MotorVehicle>> = BTreeMap::new();
        let mut prices: HashMap<&str, Exact> = HashMap::new();
        for person in persons {
            for row in case.in_force::<MotorVehicle>(*person) {
                rows.entry(case.text(row.vin)).or_default().push(row);
            }
        }
        if !rows.is_empty() && case.settings.vehicle_max_price.is_some() {
            for row in persons.iter().flat_map(|p| case.rows::<VehiclePurchaseTax>(*p)) {
                let price = prices.entry(case.text(row.vin)).or_insert_with(|| row.invoice_price.exact());
                *price = price.clone().max(row.invoice_price.exact());
            }
        }
        let listed = |word: &str| case.settings.vehicle_exemptions.iter().any(|e| e == word);
        let mut exempt: BTreeMap<&str, Option<&'static str>> = BTreeMap::new();
        for (vin, of_vin) in &rows {
            let why = if listed("disabled") && of_vin.iter().any(|r| r.is_disabled_adapted) {
                Some("disabled")
            } else if listed("motorcycle") && of_vin.iter().any(|r| r.vehicle_type_code.first() == b'M') {
                Some("motorcycle")
            } else {
                None
            };
            exempt.insert(vin, why);
        }
        let works = |r: &&MotorVehicle| ["D", "E", "F", "G"].iter().any(|code| r.use_nature_code.is(code));
        let working: Vec<&str> = rows
            .iter()
            .filter(|(vin, of_vin)| exempt.get(*vin).is_some_and(Option::is_none) && of_vin.iter().any(works))
            .map(|(vin, _)| *vin)
            .collect();
        if let ([only], true) = (&working[..], listed("sole_working")) {
            exempt.insert(only, Some("sole_working"));
        }
        if let Some(max) = &case.settings.vehicle_max_price {
            for (vin, why) in &mut exempt {
                if why.is_none() && prices.get(vin).is_some_and(|price| price <= max) {
                    *why = Some("price");
                }
            }
        }
        self.vehicles = exempt.into_iter().map(|(vin, why)| (vin.to_owned(), why)).collect();
    }

    fn machines(&mut self, case: &Case<'_>, persons: &[Citizen]) {
        let mut plates = BTreeSet::new();
        let mut vessels = BTreeSet::new();
        for person in persons {
            plates.extend(case.in_force::<FarmMachinery>(*person).into_iter().map(|r| case.text(r.plate_no)));
            vessels.extend(case.in_force::<FishingVessel>(*person).into_iter().map(|r| case.text(r.vessel_no)));
        }
        self.machinery_count = (plates.len() + vessels.len()) as i64;
    }

    fn capital(&mut self, case: &Case<'_>, persons: &[Citizen]) {
        let mut roles: Vec<(&EnterpriseRole, Citizen)> = Vec::new();
        for person in persons {
            roles.extend(case.in_force::<EnterpriseRole>(*person).into_iter().map(|r| (r, *person)));
        }
        let idle: BTreeSet<&str> =
            roles.iter().filter(|(r, _)| r.has_operation == Some(false)).map(|(r, _)| case.text(r.uscc)).collect();
        for (row, person) in roles {
            let uscc = case.text(row.uscc);
            self.business(uscc, 67, person, idle.contains(uscc), false);
        }
        for person in persons {
            for row in case.in_force::<ShareholderContribution>(*person) {
                let uscc = case.text(row.uscc);
                self.business(uscc, 68, *person, idle.contains(uscc), false);
                if idle.contains(uscc) {
                    continue;
                }
                match case.settings.rate(row.currency_code, case.base) {
                    Some(rate) => self.capital = &self.capital + &(row.subscribed_amount.exact() * &rate),
                    None => {
                        let finding = Finding::of_row("currency_unconverted", 68, case.key(row), *person);
                        self.findings.insert(finding);
                    }
                }
            }
            for row in case.in_force::<IndividualBusiness>(*person) {
                let form = row.form_code.is_some_and(|f| f.is("1") || f.is("2"));
                self.business(case.text(row.uscc), 69, *person, false, form && row.employee_count == Some(0));
            }
        }
    }

    fn business(&mut self, uscc: &str, item: u8, person: Citizen, to_explain: bool, exempt_candidate: bool) {
        self.businesses.insert(Business { uscc: uscc.to_owned(), item, person, to_explain, exempt_candidate });
    }
}

/// Ownership units by number (4.2 steps 1, 2, 6).
struct Units<'a> {
    homes: BTreeMap<&'a str, Unit>,
    others: BTreeSet<&'a str>,
}

struct Unit {
    /// Greatest share of each owner.
    shares: BTreeMap<Citizen, Exact>,
    /// Some row has no share: the unit is wholly owned.
    whole: bool,
    area: Exact,
    registered_on: Day,
    divisions: Vec<Code>,
}

impl Unit {
    fn share(&self) -> Exact {
        if self.whole { Exact::ONE } else { self.shares.values().cloned().sum::<Exact>().min(Exact::ONE) }
    }
}

impl<'a> Units<'a> {
    fn of(case: &Case<'a>, persons: &[Citizen]) -> Self {
        let mut units = Self { homes: BTreeMap::new(), others: BTreeSet::new() };
        for person in persons {
            for row in case.in_force::<RealEstateOwnership>(*person) {
                if case.settings.house_exempt.contains(&row.right_type_code) {
                    continue;
                }
                let number = case.text(row.real_estate_unit_no);
                if !row.house_use_code.is("10") {
                    units.others.insert(number);
                    continue;
                }
                let unit = units.homes.entry(number).or_insert_with(|| Unit {
                    shares: BTreeMap::new(),
                    whole: false,
                    area: row.building_area.exact(),
                    registered_on: row.registered_on,
                    divisions: Vec::new(),
                });
                unit.whole |= row.share_ratio.is_none();
                let share = row.share_ratio.map_or(Exact::ZERO, |s| s.exact());
                match unit.shares.entry(*person) {
                    Entry::Vacant(first) => {
                        first.insert(share);
                    }
                    Entry::Occupied(mut greatest) if share > *greatest.get() => {
                        greatest.insert(share);
                    }
                    Entry::Occupied(_) => {}
                }
                unit.area = unit.area.clone().max(row.building_area.exact());
                unit.registered_on = unit.registered_on.min(row.registered_on);
                unit.divisions.push(row.division_code);
            }
        }
        units
    }
}

/// A contract unit (4.2 step 3).
struct Presale<'a> {
    unit: String,
    numbered: bool,
    division: Code,
    house_no: &'a str,
    signed_on: Day,
    area: Exact,
    buyers: BTreeSet<Citizen>,
    dropped_by: Option<String>,
}

impl<'a> Presale<'a> {
    fn of(case: &Case<'a>, persons: &[Citizen]) -> Vec<Self> {
        let fact = case.rules.of(39).main();
        let mut units: BTreeMap<(bool, String), Self> = BTreeMap::new();
        for person in persons {
            for row in case.passing::<PresaleContract>(*person) {
                let started = fact.day(row).is_some_and(|day| day <= case.q);
                if !started || row.cancelled_on.is_some_and(|day| day <= case.q) {
                    continue;
                }
                let house_no = case.text(row.house_no);
                let (numbered, unit) = match row.real_estate_unit_no {
                    Some(number) => (true, case.text(number).to_owned()),
                    None => (false, format!("{}/{house_no}", row.division_code)),
                };
                let entry = units.entry((numbered, unit.clone())).or_insert_with(|| Self {
                    unit,
                    numbered,
                    division: row.division_code,
                    house_no,
                    signed_on: row.signed_on,
                    area: row.building_area.exact(),
                    buyers: BTreeSet::new(),
                    dropped_by: None,
                });
                entry.signed_on = entry.signed_on.min(row.signed_on);
                entry.area = entry.area.clone().max(row.building_area.exact());
                entry.buyers.insert(*person);
            }
        }
        units.into_values().collect()
    }
}
