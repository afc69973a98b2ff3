//! Tells the lives as rows: what every department's part needs at hand.

use chrono::NaiveDate;

use crate::{
    calendar::{SNAPSHOT, TODAY, at, date, days, month_index},
    chance::{Chance, hash2},
    city::{City, Seat},
    items::{Item, Ts},
    row::Text,
    scribe::{Origin, Scribe},
};

use super::kin::{Home, Kin, Person};

/// First month of the monthly rows: fourteen months up to the last closed one.
pub(crate) const ROWS_FROM: NaiveDate = date(2025, 5, 1);
/// Deaths before this day are in no electronic register.
pub(crate) const REGISTERS_FROM: NaiveDate = date(2010, 1, 1);

/// Text made with `format!`.
macro_rules! text {
    ($($arg:tt)*) => { $crate::row::Text::from(format!($($arg)*)) };
}
pub(crate) use text;

/// One family being told.
#[derive(Debug)]
pub(crate) struct Teller<'a, 'b> {
    pub(crate) city: &'a City,
    pub(crate) kin: &'a Kin,
    pub(crate) out: &'a mut Scribe<'b>,
    pub(crate) chance: Chance,
}

impl<'a> Teller<'a, '_> {
    /// The person.
    pub(crate) fn person(&self, p: usize) -> &'a Person {
        &self.kin.people[p]
    }

    /// The person's household.
    pub(crate) fn home(&self, p: usize) -> &'a Home {
        &self.kin.homes[self.kin.people[p].home]
    }

    /// The institutions of the person's county.
    pub(crate) fn seat(&self, p: usize) -> &'a Seat {
        &self.city.seats[self.home(p).seat]
    }

    /// GB/T 2260 of the person's county.
    pub(crate) fn county(&self, p: usize) -> u32 {
        self.seat(p).place.code
    }

    /// The same as text.
    pub(crate) fn division(&self, p: usize) -> Text {
        self.seat(p).place.code_text.into()
    }

    /// The number under which a department knows the person: sometimes still the old one.
    pub(crate) fn id(&mut self, p: usize) -> Text {
        let person = &self.kin.people[p];
        match &person.old_id {
            Some(old) if self.chance.percent(25) => old.clone(),
            _ => person.id.clone(),
        }
    }

    /// The person's name.
    pub(crate) fn name(&self, p: usize) -> Text {
        self.kin.people[p].name.clone()
    }

    /// An account token of the person (keyed digest, the number itself never travels).
    pub(crate) fn token(&self, p: usize, kind: u64) -> Text {
        let serial = self.kin.people[p].serial;
        let seed = self.city.options.seed;
        text!("{:016x}{:016x}", hash2(seed ^ serial, kind), hash2(kind, seed.rotate_left(17) ^ serial))
    }

    /// A row of a state register about `p`.
    pub(crate) fn state<T: Item>(&mut self, p: usize, changed: NaiveDate, item: T) {
        let origin = Origin::state(self.county(p), changed);
        self.out.put(origin, item);
    }

    /// A row about something that happened to `p`.
    pub(crate) fn event<T: Item>(&mut self, p: usize, changed: NaiveDate, item: T) {
        let origin = Origin::event(self.county(p), changed);
        self.out.put(origin, item);
    }

    /// Alive and here on `day`: neither dead, emigrated nor missing.
    pub(crate) fn here(&self, p: usize, day: NaiveDate) -> bool {
        let person = &self.kin.people[p];
        person.alive_on(day) && person.is.gone.is_none_or(|(_, d)| d > day)
    }

    /// A day in the last `n` days.
    pub(crate) fn lately(&mut self, n: i64) -> NaiveDate {
        days(SNAPSHOT, -self.chance.range(0, n - 1))
    }

    /// `d` at an office hour.
    pub(crate) fn office(&mut self, d: NaiveDate) -> Ts {
        let Ts(ms) = at(d, self.chance.range(8 * 60 + 30, 17 * 60));
        Ts(ms + self.chance.range(0, 59) * 1000)
    }

    /// True for somebody whom the registers of families still know.
    pub(crate) fn registered(&self, p: usize) -> bool {
        self.kin.people[p].death.is_none_or(|d| d >= REGISTERS_FROM)
    }
}

/// Month indices of the monthly rows, up to and with `last`.
pub(crate) fn row_months(last: NaiveDate) -> std::ops::RangeInclusive<i32> {
    month_index(ROWS_FROM)..=month_index(last.min(TODAY))
}
