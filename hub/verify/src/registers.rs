//! What the registers say about one person and another (computation 2.3): marriages, household rows, certificates.

use std::cmp::Reverse;
use std::rc::Rc;

use crate::calendar::Day;
use crate::case::Case;
use crate::cell::Code;
use crate::facts::Link;
use crate::items::{BirthCertificate, HouseholdRegisterMember, MarriageRegistration};
use crate::number::Citizen;

/// What the marriage register says about a person and one other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) other: Citizen,
    /// Married, else ended.
    pub(crate) married: bool,
    /// Last event.
    pub(crate) last: Day,
    /// Last divorce by registration ('2').
    pub(crate) divorce: Option<Day>,
}

/// What GB/T 4761 says about a person seen from the applicant or the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Spouse,
    /// The person is a child; false for adoptive and step children, who stand outside the slots.
    Child(bool),
    /// The person is a parent; false outside the slots.
    Parent(bool),
    Grandchild,
    Grandparent,
    Sibling,
    None,
}

pub(crate) fn relation(code: Code) -> Relation {
    match code.to_string().as_str() {
        "10" | "11" | "12" => Relation::Spouse,
        "20" | "21" | "22" | "23" | "24" | "25" | "26" | "30" | "31" | "32" | "33" | "34" | "35" | "36" => {
            Relation::Child(true)
        }
        "27" | "37" => Relation::Child(false),
        "50" | "51" | "52" => Relation::Parent(true),
        "57" | "58" => Relation::Parent(false),
        "40" | "41" | "42" | "43" | "44" => Relation::Grandchild,
        "60" | "61" | "62" | "63" | "64" => Relation::Grandparent,
        "71" | "73" | "75" | "77" => Relation::Sibling,
        _ => Relation::None,
    }
}

impl<'a> Case<'a> {
    /// States of every registered pair of a person (2.3, registered marriage).
    pub(crate) fn pairs(&self, person: Citizen) -> Rc<[Pair]> {
        let card = self.card(person);
        Rc::clone(card.pairs.get_or_init(|| {
            let mut rows: Vec<&MarriageRegistration> = self.current(person);
            for number in &card.numbers {
                rows.extend(self.linked::<MarriageRegistration>(Link::MarriageSpouse, *number));
            }
            let fact = self.rules.of(18).main();
            let mut events: Vec<(Citizen, Day, u8)> = Vec::new();
            for row in rows {
                let Some(spouse) = row.spouse_citizen_id else { continue };
                if row.event_date > self.q || !fact.passes(row, &self.settings) || !self.usable(row) {
                    continue;
                }
                let rank = ["1", "3", "2", "4", "5"].iter().position(|code| row.event_code.is(code));
                let (a, b) = (self.person(row.citizen_id), self.person(spouse));
                let other = if a == person { b } else { a };
                if let Some(rank) = rank.filter(|_| other != person) {
                    events.push((other, row.event_date, rank as u8));
                }
            }
            events.sort_unstable();
            events
                .chunk_by(|a, b| a.0 == b.0)
                .filter_map(|of_pair| {
                    let (other, last, rank) = *of_pair.last()?;
                    let divorce = of_pair.iter().filter(|(_, _, rank)| *rank == 2).map(|(_, day, _)| *day).max();
                    Some(Pair { other, married: rank < 2, last, divorce })
                })
                .collect()
        }))
    }

    fn latest_marriage(&self, person: Citizen) -> Option<Citizen> {
        self.pairs(person).iter().filter(|p| p.married).max_by_key(|p| (p.last, Reverse(p.other))).map(|p| p.other)
    }

    /// The partner of the pair in force.
    pub(crate) fn married_to(&self, person: Citizen) -> Option<Citizen> {
        let other = self.latest_marriage(person)?;
        (self.latest_marriage(other) == Some(person) && !self.dead(person) && !self.dead(other)).then_some(other)
    }

    fn linked<T: crate::items::Row>(&self, link: Link, number: Citizen) -> impl Iterator<Item = &'a T> {
        let facts = self.facts;
        let as_of = self.as_of.0;
        facts.linked(link, number).iter().filter_map(move |i| T::table(facts).all()[*i as usize].current(as_of))
    }

    /// Register rows that name the person in a second field and are the selected row of their own person.
    pub(crate) fn named_in_register(&self, link: Link, person: Citizen) -> Vec<(Citizen, &'a HouseholdRegisterMember)> {
        let mut found = Vec::new();
        for number in &self.card(person).numbers {
            for row in self.linked::<HouseholdRegisterMember>(link, *number) {
                let of = self.person(row.citizen_id);
                if of != person && self.register(of).is_some_and(|selected| std::ptr::eq(selected, row)) {
                    found.push((of, row));
                }
            }
        }
        found
    }

    /// Birth certificates that name the person as mother or father, usable and of a status that counts.
    pub(crate) fn certificates_of_parent(&self, person: Citizen) -> Vec<&'a BirthCertificate> {
        let mut found: Vec<&BirthCertificate> = Vec::new();
        let fact = self.rules.of(49).main();
        for number in &self.card(person).numbers {
            for link in [Link::BirthMother, Link::BirthFather] {
                for row in self.linked::<BirthCertificate>(link, *number) {
                    if fact.passes(row, &self.settings)
                        && self.usable(row)
                        && !found.iter().any(|r| std::ptr::eq(*r, row))
                    {
                        found.push(row);
                    }
                }
            }
        }
        found
    }

    /// Head of the person's household where head and person are in the same one.
    pub(crate) fn head(&self, person: Citizen) -> Option<(Citizen, Relation)> {
        let row = self.register(person)?;
        let head = self.person(row.head_citizen_id);
        (head != person && self.same_household(person, head)).then(|| (head, relation(row.relation_to_head_code)))
    }

    /// Persons whose head is this one, in the same household, with their relation to it.
    pub(crate) fn headed(&self, person: Citizen) -> Vec<(Citizen, Relation)> {
        let named = self.named_in_register(Link::RegisterHead, person);
        named
            .into_iter()
            .filter(|(of, _)| self.same_household(*of, person))
            .map(|(of, row)| (of, relation(row.relation_to_head_code)))
            .collect()
    }
}
