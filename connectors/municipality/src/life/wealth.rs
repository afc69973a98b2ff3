//! What people own: houses, vehicles, land, machines, vessels, businesses, and where they travel (items 25, 26, 37 to 39,
//! 45 to 48 and 66 to 69).

use chrono::{Datelike, NaiveDate};

use crate::{
    calendar::{SNAPSHOT, date, days, months},
    chance::hash2,
    city::{industry, word},
    items::{
        Dec,
        agriculture_rural_affairs::{AgriSubsidyPayment, FarmMachinery, FishingVessel, LandContractRight},
        housing_urban_rural::PresaleContract,
        market_regulation::{EnterpriseRole, IndividualBusiness, ShareholderContribution},
        natural_resources::{RealEstateOwnership, RealEstateTransfer},
        public_security::{ExitEntryRecord, MotorVehicle},
        taxation::VehiclePurchaseTax,
    },
    number,
    row::Text,
};

use super::{
    circumstance::Story,
    kin::{Ending, Means},
    teller::{Teller, text},
};

/// A flat or house as it is registered.
#[derive(Debug, Clone)]
struct Unit {
    unit: Text,
    area: i64,
    registered: NaiveDate,
    use_code: &'static str,
    right: &'static str,
    nature: &'static str,
    price: i64,
}

impl Teller<'_, '_> {
    /// What the household at `h` owns.
    pub(crate) fn estate(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        if home.members.is_empty() {
            return;
        }
        let head = home.head;
        let concealing = home.story == Some(Story::Concealing);
        let years = self.person(head).age();
        let owns = match home.means {
            Means::Poor => 68,
            Means::Modest => 80,
            _ => 91,
        };
        if years >= 24 && self.chance.percent(owns) {
            let unit = self.unit(h, "10");
            self.ownership(h, &unit);
        }
        let second = match home.means {
            Means::Well => 42,
            Means::Normal => 11,
            Means::Modest => 3,
            Means::Poor => 1,
        };
        if years >= 28 && self.chance.percent(if concealing { 55 } else { second }) {
            let unit = self.unit(h, "10");
            self.ownership(h, &unit);
        }
        if years >= 28 && self.chance.percent(if home.means == Means::Well { 14 } else { 3 }) {
            let use_code = ["80", "30", "60"][self.chance.weighted(&[75, 20, 5])];
            let unit = self.unit(h, use_code);
            self.ownership(h, &unit);
        }
        let buys = if concealing {
            22
        } else if home.story.is_some() {
            6
        } else {
            3
        };
        if (24..66).contains(&years) && self.chance.percent(buys) {
            self.presale(h);
        }
        if years >= 26 && self.chance.percent(if home.story.is_some() { 7 } else { 3 }) {
            self.transfer(h);
        }
        self.vehicles(h);
        self.land(h);
        self.boats(h);
        for p in home.members.clone() {
            self.businesses(p);
            self.travel(p);
        }
    }

    fn unit(&mut self, h: usize, use_code: &'static str) -> Unit {
        let home = &self.kin.homes[h];
        let town = home.village.town.parse().unwrap_or(371_002_001);
        let serial = hash2(self.person(home.head).serial, self.chance.next_u64()) % 500_000_000_000;
        let area = match use_code {
            "10" if home.rural => self.chance.range(70, 160),
            "10" => self.chance.range(48, 138),
            _ => self.chance.range(12, 70),
        };
        let (right, nature) = match (use_code, home.rural) {
            ("10", true) => ("6", "13"),
            ("10", false) => ("4", ["0", "12", "1"][self.chance.weighted(&[80, 12, 8])]),
            _ => ("4", if use_code == "80" { "11" } else { "10" }),
        };
        Unit {
            unit: Text::from(number::real_estate_unit(town, serial)),
            area: area * 100 + self.chance.range(0, 99),
            registered: days(SNAPSHOT, -self.chance.range(20, 6500)),
            use_code,
            right,
            nature,
            price: area * 100 * self.chance.range(3_000, 11_000),
        }
    }

    /// Registers `unit` for the head, with the spouse or a sibling.
    fn ownership(&mut self, h: usize, unit: &Unit) {
        let home = &self.kin.homes[h];
        let head = home.head;
        let spouse = self.person(head).spouse().filter(|s| self.kin.people[*s].home == h);
        let roll = self.chance.below(100);
        let sibling = (0..self.kin.people.len()).find(|q| {
            let (a, b) = (self.person(head), self.person(*q));
            *q != head && a.father.is_some() && a.father == b.father && b.alive()
        });
        let (co, owners): (&'static str, Vec<(usize, Option<i64>)>) = match (spouse, sibling) {
            (Some(s), _) if roll < 45 => ("1", vec![(head, None), (s, None)]),
            (Some(s), _) if roll < 52 => ("2", vec![(head, Some(5_000)), (s, Some(5_000))]),
            (Some(s), _) if roll < 60 => ("0", vec![(s, None)]),
            (_, Some(q)) if roll >= 92 => ("2", vec![(head, Some(6_000)), (q, Some(4_000))]),
            _ => ("0", vec![(head, None)]),
        };
        let address = home.address.clone();
        for (n, (p, share)) in owners.into_iter().enumerate() {
            let row = RealEstateOwnership {
                real_estate_unit_no: unit.unit.clone(),
                certificate_no: text!(
                    "鲁({})不动产权第{:010}{}号",
                    unit.registered.year(),
                    hash2(self.person(head).serial, unit.price as u64) % 10_000_000_000,
                    n
                ),
                owner_citizen_id: self.id(p),
                owner_name: self.name(p),
                co_ownership_code: co.into(),
                share_ratio: share.map(Dec),
                right_type_code: unit.right.into(),
                house_use_code: unit.use_code.into(),
                house_nature_code: Some(unit.nature.into()),
                building_area: Dec(unit.area),
                location_address: address.clone(),
                acquire_price: (unit.right == "4").then_some(Dec(unit.price)),
                registered_on: unit.registered,
                is_mortgaged: Some(unit.right == "4" && unit.registered.year() > 2012 && self.chance.percent(45)),
                right_status_code: if self.chance.per_10k(120) { "2".into() } else { "1".into() },
                division_code: self.seat(head).place.code_text.into(),
            };
            // Delivered by the county of the house.
            self.state(head, unit.registered, row);
        }
    }

    fn presale(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let head = home.head;
        let spouse =
            self.person(head).spouse().filter(|s| self.kin.people[*s].home == h && self.kin.people[*s].alive());
        let signed = self.lately(1500);
        let filed = days(signed, self.chance.range(1, 25));
        let mut unit = self.unit(h, "10");
        let status = ["2", "2", "1", "3", "4"][self.chance.weighted(&[45, 15, 12, 8, 20])];
        let numbered = self.chance.percent(30);
        let contract = text!("YS{}{:010}", self.seat(head).place.code, self.person(head).serial);
        let house_no =
            text!("LP{:04}-{:02}-{:04}", self.chance.below(4000), self.chance.below(30), self.chance.below(2400));
        let mut buyers = vec![head];
        if self.chance.percent(50) {
            buyers.extend(spouse);
        }
        let county = self.division(head);
        let finished = (matches!(status, "2" | "4") && self.chance.percent(60)) || status == "4";
        for p in &buyers {
            let row = PresaleContract {
                contract_no: contract.clone(),
                buyer_citizen_id: self.id(*p),
                buyer_name: self.name(*p),
                house_no: house_no.clone(),
                real_estate_unit_no: numbered.then(|| unit.unit.clone()),
                project_name: Some(text!("{}花园", word(self.person(head).serial as usize))),
                building_area: Dec(unit.area),
                house_use_code: "10".into(),
                total_price: Dec(unit.price),
                down_payment: Some(Dec(unit.price * 3 / 10)),
                pay_mode_code: Some(["1", "2", "3", "4"][self.chance.weighted(&[20, 45, 15, 20])].into()),
                signed_on: signed,
                filed_on: (status != "1").then_some(filed),
                cancelled_on: (status == "3").then(|| days(filed, 60).min(SNAPSHOT)),
                contract_status_code: status.into(),
                division_code: county.clone(),
            };
            self.state(*p, filed, row);
        }
        if finished {
            // The same flat, measured again when it is registered.
            unit.registered = days(signed, self.chance.range(200, 700)).min(SNAPSHOT);
            let wide = self.chance.percent(15);
            unit.area += unit.area * self.chance.range(-20, if wide { 60 } else { 28 }) / 1000;
            self.ownership(h, &unit);
        }
    }

    fn transfer(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let head = home.head;
        let person = self.person(head);
        let divorce = person.marriages.iter().find_map(|m| match m.end {
            Some((d, Ending::Divorce(_))) if d > days(SNAPSHOT, -730) => Some((m.with, d)),
            _ => None,
        });
        let child = self.kin.children_of(head).find(|c| self.person(*c).alive() && self.person(*c).age() >= 18);
        let unit = self.unit(h, "10");
        let on = self.lately(720);
        let (reason, role, other, on) = match (divorce, child) {
            (Some((with, d)), _) => ("04", "1", Some(with), days(d, 20).min(SNAPSHOT)),
            (None, Some(c)) if self.chance.percent(45) => ("02", "1", Some(c), on),
            _ => ("01", if self.chance.percent(60) { "1" } else { "2" }, None, on),
        };
        let case = text!("BDC{}{:010}", on.year(), person.serial);
        let stranger =
            text!("{}", self.city.employers[person.serial as usize % self.city.employers.len()].uscc.to_string());
        let base = RealEstateTransfer {
            transfer_case_no: case,
            real_estate_unit_no: unit.unit.clone(),
            party_role_code: role.into(),
            party_citizen_id: person.id.clone(),
            party_name: person.name.clone(),
            counterparty_kind_code: if other.is_some() { "1".into() } else { "2".into() },
            counterparty_ref: Some(other.map_or(stranger, |q| self.person(q).id.clone())),
            transfer_reason_code: reason.into(),
            deal_price: (reason == "01").then_some(Dec(unit.price)),
            share_ratio: Some(Dec(10_000)),
            building_area: Some(Dec(unit.area)),
            house_use_code: Some("10".into()),
            location_address: Some(home.address.clone()),
            registered_on: on,
            division_code: self.division(head),
        };
        if let Some(q) = other {
            let mirror = RealEstateTransfer {
                party_role_code: "2".into(),
                party_citizen_id: self.person(q).id.clone(),
                party_name: self.name(q),
                counterparty_ref: Some(person.id.clone()),
                ..base.clone()
            };
            self.event(head, on, mirror);
        }
        if reason == "01" && role == "2" {
            self.ownership(h, &Unit { registered: on, ..unit });
        }
        self.event(head, on, base);
    }

    fn vehicles(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let members = home.members.clone();
        let concealing = home.story == Some(Story::Concealing);
        let car = match home.means {
            Means::Poor => 5,
            Means::Modest => 24,
            Means::Normal => 58,
            Means::Well => 88,
        };
        let car = if concealing { 62 } else { car };
        let mut n = 0;
        for p in members {
            let person = self.person(p);
            if !(20..76).contains(&person.age()) || person.is.gone.is_some() {
                continue;
            }
            if self.chance.percent(if n == 0 { car } else { car / 5 }) {
                n += 1;
                let kind = ["K33", "K32", "K31", "K43"][self.chance.weighted(&[70, 18, 7, 5])];
                self.vehicle(p, kind, "A", false, n);
            }
            if home.rural && self.chance.percent(9) {
                n += 1;
                let kind = ["M21", "M22", "M11"][self.chance.weighted(&[75, 10, 15])];
                self.vehicle(p, kind, "A", false, n);
            }
            if self.person(p).is.trade.is_some() && self.chance.percent(22) || (home.rural && self.chance.percent(2)) {
                n += 1;
                let kind = ["H31", "H41", "N11"][self.chance.weighted(&[55, 30, 15])];
                self.vehicle(p, kind, "F", false, n);
            }
            let lame = self.person(p).is.disability.as_ref().is_some_and(|d| d.kind == "4");
            if lame && self.chance.percent(9) {
                n += 1;
                self.vehicle(p, "K33", "A", true, n);
            }
        }
    }

    fn vehicle(&mut self, p: usize, kind: &'static str, nature: &'static str, adapted: bool, n: u64) {
        let person = self.person(p);
        let first = self.lately(4300);
        let used = self.chance.percent(20);
        let registered = if used { days(first, self.chance.range(200, 1500)).min(SNAPSHOT) } else { first };
        let (model, price) = match kind.as_bytes()[0] {
            b'K' => (
                ["五菱宏光", "吉利帝豪", "大众朗逸", "比亚迪秦", "丰田卡罗拉"][self.chance.below(5) as usize],
                self.chance.range(35, 220),
            ),
            b'M' => (["轻骑QS125", "豪爵HJ125", "宗申ZS110"][self.chance.below(3) as usize], self.chance.range(4, 9)),
            _ => (["福田时代", "东风小霸王", "时风7YPJ"][self.chance.below(3) as usize], self.chance.range(30, 90)),
        };
        let electric = kind.starts_with('K') && first.year() >= 2020 && self.chance.percent(35);
        let vin = Text::from(number::vin(
            ["LSV", "LFV", "LGX", "LZW"][self.chance.below(4) as usize],
            person.serial * 16 + n,
        ));
        let status = ["A", "Q", "G", "B", "E", "M"][self.chance.weighted(&[860, 50, 30, 25, 25, 10])];
        let ended =
            matches!(status, "B" | "E" | "M").then(|| days(registered, self.chance.range(60, 2000)).min(SNAPSHOT));
        let letters = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
        let tail = self.chance.next_u64();
        let plate = text!(
            "鲁K{}{:0width$}",
            letters[(tail % 24) as usize] as char,
            tail / 24 % if electric { 100_000 } else { 10_000 },
            width = if electric { 5 } else { 4 }
        );
        let plate_type = match (kind.as_bytes()[0], electric) {
            (b'M', _) => "07",
            (b'N', _) => "13",
            (_, true) => "52",
            _ => "02",
        };
        let id = self.id(p);
        let row = MotorVehicle {
            vin: vin.clone(),
            plate_type_code: plate_type.into(),
            plate_no: plate,
            owner_citizen_id: id.clone(),
            owner_name: person.name.clone(),
            vehicle_type_code: kind.into(),
            use_nature_code: nature.into(),
            brand_model: Some(model.into()),
            energy_code: Some(if electric {
                "C".into()
            } else if nature == "F" {
                "B".into()
            } else {
                "A".into()
            }),
            first_registered_on: first,
            registered_on: registered,
            obtain_mode_code: Some(if used {
                ["A", "C", "B"][self.chance.weighted(&[85, 10, 5])].into()
            } else {
                "A".into()
            }),
            is_disabled_adapted: adapted,
            vehicle_status_code: status.into(),
            ended_on: ended,
            division_code: self.division(p),
        };
        self.state(p, ended.unwrap_or(registered), row);
        if !used && first >= date(2018, 1, 1) && !kind.starts_with('M') {
            let declared = first;
            let exempt = electric;
            let row = VehiclePurchaseTax {
                tax_certificate_no: text!("GZS{:012}{n:02}", person.serial),
                citizen_id: id,
                full_name: person.name.clone(),
                vin,
                vehicle_type_code: Some(kind.into()),
                brand_model: Some(model.into()),
                invoice_price: Dec(price * 100_000),
                taxable_price: Dec(price * 100_000),
                tax_amount: Some(Dec(if exempt { 0 } else { price * 10_000 })),
                is_exempt: exempt,
                declared_on: declared,
                tax_authority_code: self.seat(p).tax_authority.clone(),
            };
            self.event(p, declared, row);
        }
    }

    fn land(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        if !home.rural || !self.chance.percent(62) {
            return;
        }
        let head = home.head;
        let person = self.person(head);
        if person.age() < 22 {
            return;
        }
        let farms = home.members.iter().any(|p| self.kin.people[*p].is.farms);
        let area = self.chance.range(180, 1100);
        let let_out = match farms {
            true if self.chance.percent(70) => 0,
            true => area / 3,
            false if self.chance.percent(75) => area,
            false => area / 2,
        };
        let code = home.village.code;
        let row = LandContractRight {
            contract_no: text!("{}{:010}J", &code[..12], person.serial),
            certificate_no: Some(text!("鲁农地承包权{:012}", person.serial)),
            contractor_citizen_id: self.id(head),
            contractor_name: person.name.clone(),
            member_count: Some(home.members.len() as i64),
            parcel_count: Some(self.chance.range(1, 6)),
            contracted_area_mu: Dec(area),
            transferred_area_mu: Some(Dec(let_out)),
            annual_transfer_income: (let_out > 0).then(|| Dec(let_out * self.chance.range(500, 800))),
            term_from: Some(date(1999, 10, 1)),
            term_to: Some(date(2029, 9, 30)),
            record_status_code: "1".into(),
            village_code: Some(code.into()),
        };
        let changed = self.lately(900);
        self.state(head, changed, row);
        let token = self.token(head, 0xa9);
        for (n, (year, code, standard, paid)) in [
            (2025, "01", 12_500, Some(date(2025, 6, 18))),
            (2025, "03", 4_100, Some(date(2025, 9, 12))),
            (2026, "01", 12_800, Some(date(2026, 6, 16))),
        ]
        .into_iter()
        .enumerate()
        {
            let sown = if code == "03" { area - let_out } else { area };
            if sown == 0 || !self.chance.percent(90) {
                continue;
            }
            // Some payments are still on their way.
            let paid = paid.filter(|_| !(year == 2026 && self.chance.percent(8)));
            let row = AgriSubsidyPayment {
                payment_no: text!("HN{year}{:012}{n}", person.serial),
                citizen_id: self.id(head),
                full_name: person.name.clone(),
                subsidy_code: code.into(),
                policy_name: Some(if code == "01" {
                    "耕地地力保护补贴".into()
                } else {
                    "实际种粮农民一次性补贴".into()
                }),
                area_mu: Some(Dec(sown)),
                unit_standard: Some(Dec(standard)),
                amount: Dec(sown * standard / 100),
                pay_year: year,
                paid_on: paid,
                account_token: Some(token.clone()),
                village_code: Some(home.village.code.into()),
            };
            self.event(head, paid.unwrap_or(SNAPSHOT), row);
        }
        if farms && self.chance.percent(8) {
            let first = self.lately(4000);
            let row = FarmMachinery {
                plate_no: text!("鲁10{:010}", person.serial),
                owner_citizen_id: self.id(head),
                owner_name: person.name.clone(),
                machine_type_code: ["G1", "G2", "R", "H"][self.chance.weighted(&[25, 50, 15, 10])].into(),
                brand_model: Some(["东方红LX804", "雷沃M504", "时风304"][self.chance.below(3) as usize].into()),
                factory_no: Some(text!("CC{:010}", person.serial)),
                engine_power_kw: Dec(self.chance.range(1_500, 9_000)),
                purchase_price: Some(Dec(self.chance.range(20, 160) * 100_000)),
                purchase_subsidy: Some(Dec(self.chance.range(5, 40) * 100_000)),
                first_registered_on: first,
                inspection_valid_until: Some(months(SNAPSHOT, self.chance.range(-6, 11) as i32)),
                equipment_status_code: ["1", "5", "3", "2"][self.chance.weighted(&[85, 8, 4, 3])].into(),
                division_code: self.division(head),
            };
            self.state(head, first, row);
        }
    }

    fn boats(&mut self, h: usize) {
        let home = &self.kin.homes[h];
        let p = home.head;
        let coast = matches!(self.seat(p).place.code, 371_082 | 371_083 | 371_002);
        let person = self.person(p);
        if !coast || !home.rural || person.female || !(25..70).contains(&person.age()) || !self.chance.per_10k(260) {
            return;
        }
        let power = self.chance.range(1_100, 22_000);
        let registered = self.lately(5000);
        let partner = self.kin.people[p].father.filter(|f| self.kin.people[*f].alive() && self.chance.percent(30));
        for (q, share) in [(Some(p), if partner.is_some() { Some(5_000) } else { None }), (partner, Some(5_000))] {
            let Some(q) = q else { continue };
            let row = FishingVessel {
                vessel_no: text!("{}{:010}", self.seat(p).place.code, person.serial),
                owner_citizen_id: self.id(q),
                owner_name: self.name(q),
                vessel_name: Some(text!("鲁威渔{:05}", person.serial % 100_000)),
                vessel_type_code: ["1", "2", "3"][self.chance.weighted(&[45, 45, 10])].into(),
                length_m: Some(Dec(self.chance.range(700, 2400))),
                gross_tonnage: Some(Dec(self.chance.range(300, 9000))),
                engine_power_kw: Dec(power),
                share_ratio: share.map(Dec),
                fuel_subsidy_amount: Some(Dec(power * 60)),
                registered_on: registered,
                certificate_valid_until: Some(months(SNAPSHOT, self.chance.range(-3, 40) as i32)),
                equipment_status_code: ["1", "3", "5"][self.chance.weighted(&[90, 5, 5])].into(),
                home_port_division_code: Some(self.division(p)),
            };
            self.state(q, registered, row);
        }
    }

    fn businesses(&mut self, p: usize) {
        let person = self.person(p);
        let Some(trade) = &person.is.trade else { return };
        let county = self.division(p);
        let (code, kind) = industry(trade.word);
        let brand = word(trade.word);
        let authority = self.seat(p).market_authority.clone();
        let status = if trade.closed.is_some() { "3" } else { ["1", "5", "2"][self.chance.weighted(&[90, 6, 4])] };
        let changed = trade.closed.unwrap_or(trade.since);
        let id = self.id(p);
        if !trade.company {
            let row = IndividualBusiness {
                uscc: trade.uscc.clone(),
                business_name: text!("{}{brand}{kind}店", self.seat(p).place.name),
                operator_citizen_id: id,
                operator_name: person.name.clone(),
                form_code: Some(["1", "2"][self.chance.weighted(&[70, 30])].into()),
                capital_amount: Some(Dec(self.chance.range(1, 30) * 1_000_000)),
                employee_count: Some(self.chance.range(0, 5)),
                industry_code: Some(code.into()),
                business_scope: Some(text!("{kind}(依法须经批准的项目除外)")),
                business_address: Some(text!("{}{}沿街门市", self.seat(p).place.name, self.home(p).village.town_name)),
                registered_on: trade.since,
                cancelled_on: trade.closed,
                annual_turnover: trade.files.then_some(Dec(trade.turnover * 4)),
                entity_status_code: status.into(),
                authority_code: authority,
            };
            self.state(p, changed, row);
            return;
        }
        let name = text!("{}{brand}{kind}有限公司", self.seat(p).place.name);
        let spouse = person.spouse().filter(|s| self.person(*s).age() >= 20);
        let operates = trade.operates;
        let role = EnterpriseRole {
            uscc: trade.uscc.clone(),
            enterprise_name: name.clone(),
            citizen_id: id.clone(),
            full_name: person.name.clone(),
            role_code: "1".into(),
            entity_type_code: "1".into(),
            industry_code: Some(code.into()),
            registered_capital: Some(Dec(trade.capital * 2)),
            established_on: trade.since,
            appointed_on: Some(trade.since),
            removed_on: trade.closed,
            has_operation: operates,
            entity_status_code: status.into(),
            authority_code: authority,
        };
        if let Some(s) = spouse
            && self.chance.percent(50)
        {
            let watch = EnterpriseRole {
                citizen_id: self.person(s).id.clone(),
                full_name: self.name(s),
                role_code: "5".into(),
                ..role.clone()
            };
            self.state(s, changed, watch);
        }
        self.state(p, changed, role);
        let share = ShareholderContribution {
            uscc: trade.uscc.clone(),
            enterprise_name: name,
            citizen_id: id,
            full_name: person.name.clone(),
            invest_type_code: Some("1".into()),
            subscribed_amount: Dec(trade.capital),
            paid_amount: Some(Dec(trade.capital / 4)),
            share_ratio: Some(Dec(5_000)),
            currency_code: "CNY".into(),
            subscribe_due_on: Some(months(trade.since, 240)),
            holder_from: Some(trade.since),
            holder_to: trade.closed,
            entity_status_code: status.into(),
        };
        if let Some(s) = spouse
            && self.chance.percent(35)
        {
            let half = ShareholderContribution {
                citizen_id: self.person(s).id.clone(),
                full_name: self.name(s),
                subscribed_amount: Dec(trade.capital / 2),
                ..share.clone()
            };
            self.state(s, changed, half);
        }
        self.state(p, changed, share);
        let _ = county;
    }

    fn travel(&mut self, p: usize) {
        let person = self.person(p);
        let rate = match self.home(p).means {
            Means::Well => 600,
            Means::Normal => 150,
            _ => 30,
        };
        if person.age() < 6 || person.is.custody.is_some() || person.is.gone.is_some() || !self.chance.per_10k(rate) {
            return;
        }
        let out = self.lately(700).max(person.birth);
        let back = days(out, self.chance.range(4, 40));
        let (country, reason) = [("KOR", "1"), ("JPN", "1"), ("THA", "1"), ("KOR", "3"), ("SGP", "2")]
            [self.chance.weighted(&[40, 25, 15, 12, 8])];
        let document = text!("EJ{:010}", person.serial);
        for (direction, on) in [("1", out), ("2", back)] {
            if on > SNAPSHOT {
                continue;
            }
            let crossing = self.office(on);
            let row = ExitEntryRecord {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                document_type_code: "414".into(),
                document_no: document.clone(),
                direction_code: direction.into(),
                crossing_at: crossing,
                port_code: Some(["WEH", "YNT", "TAO"][self.chance.below(3) as usize].into()),
                country_code: Some(country.into()),
                travel_reason_code: (direction == "1").then(|| reason.into()),
                queried_at: self.office(SNAPSHOT),
            };
            self.event(p, on, row);
        }
    }
}
