//! Who people are: identity, household register, marriages, births, deaths, moves (items 18 to 24 and 49).

use chrono::Datelike;

use crate::{
    calendar::{LIFE_FROM, SNAPSHOT, date, days, months},
    items::{
        civil_affairs::{CremationRecord, MarriageRegistration},
        health_commission::BirthCertificate,
        public_security::{
            DeathCancellation, HouseholdMigration, HouseholdRegisterMember, ResidencePermit, ResidentIdentity,
        },
    },
    row::Text,
    scribe::Origin,
};

use super::{
    kin::Ending,
    teller::{REGISTERS_FROM, Teller, text},
};

impl Teller<'_, '_> {
    /// All register rows of `p`; `critical` families lose none of the rows others rest on.
    pub(crate) fn registers(&mut self, p: usize, critical: bool) {
        if !self.registered(p) {
            return;
        }
        self.identity(p, critical);
        let person = self.person(p);
        let emigrated = person.is.gone.is_some_and(|(code, _)| code == "4");
        if person.alive() && !emigrated {
            self.household_member(p, critical);
        }
        self.marriages(p);
        self.birth(p);
        self.death(p);
        self.moves(p);
    }

    fn identity(&mut self, p: usize, critical: bool) {
        let (person, home) = (self.person(p), self.home(p));
        let county = self.county(p);
        let changed = match (person.death, person.is.gone) {
            (Some(d), _) => days(d, self.chance.range(2, 25)),
            (None, Some((_, d))) => days(d, 20),
            _ => self.lately(1200).max(person.birth),
        }
        .min(SNAPSHOT);
        let status = match (person.death, person.is.gone) {
            (Some(d), _) if d < days(SNAPSHOT, -40) || self.chance.percent(60) => "2",
            (None, Some((code, _))) => code,
            _ => "1",
        };
        let updated = self.office(changed);
        let hukou_type = match (home.rural, self.chance.percent(70)) {
            (_, true) => "3",
            (true, false) => "1",
            (false, false) => "2",
        };
        let valid = match person.age() {
            ..16 => months(changed, 60),
            16..26 => months(changed, 120),
            26..46 => months(changed, 240),
            _ => date(2099, 12, 31),
        };
        let elsewhere = self.chance.percent(6);
        let row = ResidentIdentity {
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            former_name: person.former_name.clone(),
            sex_code: person.sex(),
            nation_code: Some(person.nation.into()),
            birth_date: person.birth,
            hukou_division_code: self.division(p),
            hukou_address: home.address.clone(),
            residence_address: (!elsewhere).then(|| home.address.clone()),
            hukou_type_code: Some(hukou_type.into()),
            marital_status_code: Some(person.marital()),
            education_code: (person.age() >= 6 && !person.is.education.is_empty()).then(|| person.is.education.into()),
            person_status_code: status.into(),
            replaced_by_citizen_id: None,
            id_valid_until: person.alive().then_some(valid),
            mobile_phone: (person.age() >= 14 && person.alive() && self.chance.percent(88))
                .then(|| person.phone.clone()),
            updated_at: updated,
        };
        if let Some(old) = &person.old_id {
            let before = days(changed, -self.chance.range(200, 900)).max(person.birth);
            let stale = ResidentIdentity {
                citizen_id: old.clone(),
                person_status_code: "5".into(),
                replaced_by_citizen_id: Some(person.id.clone()),
                birth_date: days(person.birth, 0),
                mobile_phone: None,
                id_valid_until: None,
                updated_at: self.office(before),
                ..row.clone()
            };
            // The birth date of a changed number is the one printed in it.
            let stale = ResidentIdentity { birth_date: printed_birth(old).unwrap_or(person.birth), ..stale };
            self.out.put(Origin::state(county, before).critical(critical), stale);
        }
        self.out.put(Origin::state(county, changed).critical(critical), row);
    }

    fn household_member(&mut self, p: usize, critical: bool) {
        let (person, home) = (self.person(p), self.home(p));
        let head = self.person(home.head);
        let known = |q: Option<usize>| q.filter(|q| self.registered(*q)).map(|q| self.kin.people[q].id.clone());
        let (father, mother, spouse) = (known(person.father), known(person.mother), known(person.spouse()));
        let gap = self.chance.percent(2);
        let joined = match person.marriages.last() {
            Some(m) if person.father.is_none() && m.since > REGISTERS_FROM => m.since,
            _ => person.birth.max(days(SNAPSHOT, -self.chance.range(300, 6000))),
        };
        let changed = joined.max(self.lately(900));
        let updated = self.office(changed);
        let relation = if home.head == p { "02" } else { self.kin.relation(home.head, p) };
        let row = HouseholdRegisterMember {
            household_no: home.no.clone(),
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            relation_to_head_code: relation.into(),
            head_citizen_id: head.id.clone(),
            head_name: Some(head.name.clone()),
            household_kind_code: "1".into(),
            father_citizen_id: father.filter(|_| !gap),
            mother_citizen_id: mother,
            spouse_citizen_id: spouse,
            joined_on: Some(joined),
            register_address: Some(home.address.clone()),
            village_code: Some(home.village.code.into()),
            updated_at: updated,
        };
        self.out.put(Origin::state(self.county(p), changed).critical(critical), row);
    }

    fn marriages(&mut self, p: usize) {
        let person = self.person(p);
        let office = self.seat(p).marriage_office.clone();
        for m in &person.marriages {
            if m.since < date(1986, 1, 1) {
                continue;
            }
            let other = self.person(m.with);
            let wedding = MarriageRegistration {
                registration_no: m.no.clone(),
                event_code: "1".into(),
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                sex_code: person.sex(),
                spouse_citizen_id: Some(other.id.clone()),
                spouse_name: other.name.clone(),
                spouse_id_type_code: "111".into(),
                spouse_document_no: None,
                event_date: m.since,
                divorce_mode_code: None,
                office_code: office.0.clone(),
                office_name: Some(office.1.clone()),
                record_status_code: "1".into(),
            };
            if let Some((on, Ending::Divorce(mode))) = m.end {
                let divorce = MarriageRegistration {
                    registration_no: text!("L{}", &m.no[1..]),
                    event_code: "2".into(),
                    event_date: on,
                    divorce_mode_code: Some(mode.into()),
                    ..wedding.clone()
                };
                self.event(p, on, divorce);
            } else if self.chance.per_10k(80) {
                let on = days(m.since, self.chance.range(400, 4000)).min(SNAPSHOT);
                let reissued = MarriageRegistration { event_code: "3".into(), event_date: on, ..wedding.clone() };
                self.event(p, on, reissued);
            }
            self.event(p, m.since, wedding);
        }
    }

    fn birth(&mut self, p: usize) {
        let person = self.person(p);
        let (Some(father), Some(mother)) = (person.father, person.mother) else { return };
        if person.birth.year() < 2016 {
            return;
        }
        let hospital = &self.seat(p).hospitals[0];
        let issued = days(person.birth, self.chance.range(1, 12)).min(SNAPSHOT);
        let (father, mother) = (self.person(father), self.person(mother));
        let row = BirthCertificate {
            certificate_no: text!("{}{:010}", ["T", "U", "V", "W"][(person.birth.year() % 4) as usize], person.serial),
            newborn_name: Some(person.name.clone()),
            newborn_citizen_id: Some(person.id.clone()),
            sex_code: person.sex(),
            born_at: self.office(person.birth),
            mother_citizen_id: mother.id.clone(),
            mother_name: mother.name.clone(),
            father_citizen_id: (!self.chance.percent(2)).then(|| father.id.clone()),
            father_name: Some(father.name.clone()),
            institution_uscc: Some(hospital.2.clone()),
            institution_name: Some(hospital.1.clone()),
            issued_on: issued,
            record_status_code: "1".into(),
        };
        self.event(p, issued, row);
    }

    fn death(&mut self, p: usize) {
        let person = self.person(p);
        let seat = self.seat(p);
        if let (None, Some((code, on))) = (person.death, person.is.gone) {
            let cancelled = days(on, self.chance.range(0, 25)).min(SNAPSHOT);
            let recorded = self.office(cancelled);
            let row = DeathCancellation {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                death_date: on,
                cancelled_on: cancelled,
                cancel_reason_code: if code == "4" { "4".into() } else { "3".into() },
                death_cause_code: None,
                evidence_code: Some(if code == "4" { "5".into() } else { "3".into() }),
                declarant_citizen_id: None,
                declarant_relation_code: None,
                station_code: Some(seat.police.clone()),
                recorded_at: recorded,
            };
            self.event(p, cancelled, row);
            return;
        }
        let Some(on) = person.death else { return };
        let burnt = days(on, self.chance.range(1, 4));
        let teller = self.kin.children_of(p).find(|c| self.kin.people[*c].alive() && self.kin.people[*c].age() >= 18);
        let relation = teller.map(|c| Text::from(self.kin.relation(p, c)));
        let told = teller.map(|c| self.kin.people[c].id.clone());
        if self.chance.percent(93) && burnt <= SNAPSHOT {
            let row = CremationRecord {
                cremation_no: text!("HH{}{:012}", seat.place.code, person.serial),
                citizen_id: self.id(p),
                full_name: person.name.clone(),
                sex_code: Some(person.sex()),
                death_date: (!self.chance.percent(8)).then_some(on),
                cremated_on: burnt,
                funeral_home_uscc: seat.funeral_home.0.clone(),
                funeral_home_name: Some(seat.funeral_home.1.clone()),
                handler_citizen_id: told.clone(),
                handler_relation_code: relation.clone(),
                division_code: self.division(p),
            };
            self.event(p, burnt, row);
        }
        // Some are only reported weeks later, a few not at all.
        let cancelled = days(on, self.chance.range(2, 45));
        if cancelled <= SNAPSHOT && !self.chance.percent(2) {
            let recorded = self.office(cancelled);
            let row = DeathCancellation {
                citizen_id: person.id.clone(),
                full_name: person.name.clone(),
                death_date: on,
                cancelled_on: cancelled,
                cancel_reason_code: "1".into(),
                death_cause_code: Some(["1", "2", "5", "6"][self.chance.weighted(&[92, 3, 3, 2])].into()),
                evidence_code: Some(["1", "2", "4"][self.chance.weighted(&[80, 15, 5])].into()),
                declarant_citizen_id: told,
                declarant_relation_code: relation,
                station_code: Some(seat.police.clone()),
                recorded_at: recorded,
            };
            self.event(p, cancelled, row);
        }
    }

    fn moves(&mut self, p: usize) {
        let (person, home) = (self.person(p), self.home(p));
        let seat = self.seat(p);
        let (code, on) = if person.birth >= LIFE_FROM {
            ("01", days(person.birth, self.chance.range(3, 40)))
        } else if let Some(m) = person.marriages.last().filter(|m| m.since >= LIFE_FROM && person.father.is_none()) {
            ("08", days(m.since, self.chance.range(5, 60)))
        } else if person.alive() && self.chance.per_10k(110) {
            (
                ["02", "05", "04", "03", "10"][self.chance.weighted(&[50, 25, 12, 8, 5])],
                self.lately(700).max(person.birth),
            )
        } else {
            return;
        };
        if on > SNAPSHOT {
            return;
        }
        let here = Some(Text::from(seat.place.code_text));
        let from = match code {
            "02" | "08" => Some(Text::from(self.chance.pick(crate::place::origins()).1)),
            "03" => here.clone(),
            _ => None,
        };
        let to = if code == "03" { Some(Text::from(self.chance.pick(crate::place::origins()).1)) } else { here };
        let recorded = self.office(on);
        let row = HouseholdMigration {
            citizen_id: person.id.clone(),
            full_name: person.name.clone(),
            event_code: code.into(),
            event_date: on,
            from_division_code: from,
            to_division_code: to,
            from_household_no: None,
            to_household_no: (code != "03").then(|| home.no.clone()),
            reason: Some(match code {
                "01" => "出生".into(),
                "08" => "婚迁".into(),
                "05" => "分户".into(),
                _ => "其他".into(),
            }),
            station_code: Some(seat.police.clone()),
            recorded_at: recorded,
        };
        self.event(p, on, row);
    }

    /// Residence permits of those who live in another county of the city.
    pub(crate) fn permit(&mut self, p: usize) {
        let person = self.person(p);
        if self.city.seats.len() < 2
            || !person.alive()
            || !(18..60).contains(&person.age())
            || !self.chance.per_10k(130)
        {
            return;
        }
        let there = self.city.seats.iter().position(|s| s.place.code != self.county(p)).unwrap_or(0);
        let seat = &self.city.seats[there];
        let village = &seat.place.villages[*self.chance.pick(&seat.urban)];
        let first = self.lately(1500);
        let until =
            if first < days(SNAPSHOT, -365) { days(SNAPSHOT, self.chance.range(-60, 330)) } else { months(first, 12) };
        let row = ResidencePermit {
            permit_no: text!("{}{:012}", seat.place.code, person.serial),
            citizen_id: self.id(p),
            full_name: person.name.clone(),
            hukou_division_code: self.division(p),
            residence_division_code: seat.place.code_text.into(),
            residence_town_code: Some(village.town.into()),
            residence_address: text!(
                "{}{}{}{}号",
                seat.place.name,
                village.town_name,
                village.name,
                self.chance.range(1, 200)
            ),
            reason_code: Some(["1", "2", "3", "4"][self.chance.weighted(&[70, 15, 5, 10])].into()),
            first_issued_on: first,
            valid_until: until,
            permit_status_code: if until < SNAPSHOT { "2".into() } else { "1".into() },
        };
        self.out.put(Origin::state(seat.place.code, first), row);
    }
}

/// Birth date in a citizen number.
pub(crate) fn printed_birth(id: &str) -> Option<chrono::NaiveDate> {
    let digits = id.get(6..14)?;
    chrono::NaiveDate::from_ymd_opt(digits[..4].parse().ok()?, digits[4..6].parse().ok()?, digits[6..].parse().ok()?)
}
