//! The lives: families (`kin`), what becomes of their people (`circumstance`), and how every department tells of it
//! (`teller` and one module per part of life).

pub(crate) mod aid;
pub(crate) mod apply;
pub(crate) mod circumstance;
pub(crate) mod health;
pub(crate) mod income;
pub(crate) mod kin;
pub(crate) mod register;
pub(crate) mod school;
pub(crate) mod teller;
pub(crate) mod wealth;

use crate::{
    calendar::SNAPSHOT,
    chance::Chance,
    city::City,
    row::{RowSink, Text},
    scribe::{Entry, Scribe},
};

use self::{
    circumstance::live,
    kin::{Founder, Kin, Numbers},
    teller::Teller,
};

/// What a block has besides its rows.
#[derive(Debug)]
pub(crate) struct Lived {
    /// Rows per item number.
    pub(crate) counts: Vec<u64>,
    /// Living residents.
    pub(crate) residents: u64,
    /// Households with living members.
    pub(crate) households: u64,
}

/// Families are redrawn this many times before single people fill a block up.
const DRAWS_MAX: u32 = 12;

/// Lives block `block` with `quota` residents; `judge` gets every application with the rows of its family.
pub(crate) fn live_block(
    city: &City,
    block: u64,
    quota: u64,
    sink: &mut dyn RowSink,
    mut judge: impl FnMut(&Text, usize, &[Entry]),
) -> Lived {
    let seed = city.options.seed;
    let mut founder = Founder { city, numbers: Numbers::of_block(block), chance: Chance::new(seed, 2 * block + 1) };
    let mut lives = Chance::new(seed ^ 0x11fe, block);
    let mut scribe = Scribe::new(sink, Chance::new(seed ^ 0x5c1b, block));
    let (mut residents, mut households) = (0, 0);
    while residents < quota {
        let room = quota - residents;
        let mut kin = founder.family(room);
        for _ in 0..DRAWS_MAX {
            if kin.residents() <= room && kin.residents() > 0 {
                break;
            }
            kin = founder.family(room);
        }
        if kin.residents() > room {
            kin = founder.family(1);
        }
        if kin.residents() == 0 {
            continue;
        }
        live(&mut kin, city, &mut lives);
        residents += kin.residents();
        households += kin.homes.iter().filter(|h| !h.members.is_empty()).count() as u64;
        tell(city, &kin, &mut scribe, lives.split(0x7e11), &mut judge);
    }
    Lived { counts: scribe.counts, residents, households }
}

/// Tells one family's life.
fn tell(
    city: &City,
    kin: &Kin,
    scribe: &mut Scribe<'_>,
    chance: Chance,
    judge: &mut impl FnMut(&Text, usize, &[Entry]),
) {
    let applies = kin.homes.iter().any(|h| h.story.is_some());
    scribe.ledger.clear();
    scribe.remember = applies;
    let mut teller = Teller { city, kin, out: scribe, chance };
    for p in 0..kin.people.len() {
        teller.registers(p, applies);
        teller.permit(p);
        teller.incomes(p);
        teller.health(p);
        teller.school(p);
        teller.personal_aid(p);
    }
    let mut numbers = Vec::new();
    for h in 0..kin.homes.len() {
        teller.estate(h);
        teller.household_aid(h);
        numbers.extend(teller.apply(h).map(|n| (n, kin.homes[h].seat)));
    }
    debug_assert!(kin.people.iter().all(|p| p.birth <= SNAPSHOT));
    for (number, seat) in numbers {
        judge(&number, seat, &scribe.ledger);
    }
}
