//! Extended families: the unit of simulation. A founding couple, its descendants and those who marry in, spread over
//! several households, so that everybody to whom anybody owes a duty is inside the unit.
//!
//! Invariants: a child is at least sixteen years younger than its parents; parents have smaller indices than children;
//! numbers are unique over the city, because a block owns its own birth days and sequence numbers.

use std::{collections::HashSet, sync::Arc};

use chrono::{Datelike, NaiveDate};

use crate::{
    calendar::{LIFE_FROM, SNAPSHOT, TODAY, age, date, days, months},
    chance::{Chance, hash2},
    city::City,
    name::names,
    number,
    place::{self, Village},
    row::Text,
};

use super::circumstance::{Circumstances, Story};

/// How a marriage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Divorce with its mode (HUB_DIVORCE_MODE).
    Divorce(&'static str),
    /// Death of either.
    Death,
}

/// One marriage seen from one side.
#[derive(Debug, Clone)]
pub(crate) struct Marriage {
    pub(crate) with: usize,
    pub(crate) since: NaiveDate,
    pub(crate) end: Option<(NaiveDate, Ending)>,
    pub(crate) no: Text,
}

/// A person.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: Text,
    /// The number before a change of number.
    pub(crate) old_id: Option<Text>,
    pub(crate) name: Text,
    pub(crate) former_name: Option<Text>,
    pub(crate) female: bool,
    pub(crate) birth: NaiveDate,
    pub(crate) death: Option<NaiveDate>,
    pub(crate) father: Option<usize>,
    pub(crate) mother: Option<usize>,
    pub(crate) marriages: Vec<Marriage>,
    pub(crate) home: usize,
    pub(crate) nation: &'static str,
    pub(crate) phone: Text,
    /// A serial unique in the city, for numbers of all kinds.
    pub(crate) serial: u64,
    pub(crate) is: Circumstances,
}

impl Person {
    /// Completed years today.
    pub(crate) fn age(&self) -> i32 {
        age(self.birth, TODAY)
    }

    /// Alive on `day`.
    pub(crate) fn alive_on(&self, day: NaiveDate) -> bool {
        self.birth <= day && self.death.is_none_or(|d| d > day)
    }

    /// Alive today.
    pub(crate) fn alive(&self) -> bool {
        self.death.is_none()
    }

    /// The spouse of today, by law.
    pub(crate) fn spouse(&self) -> Option<usize> {
        self.marriages.last().filter(|m| m.end.is_none()).map(|m| m.with)
    }

    /// GB/T 2261.1.
    pub(crate) fn sex(&self) -> Text {
        if self.female { "2".into() } else { "1".into() }
    }

    /// GB/T 2261.2.
    pub(crate) fn marital(&self) -> Text {
        match self.marriages.last() {
            None => "10".into(),
            Some(m) => match m.end {
                None if self.marriages.len() > 1 => "22".into(),
                None => "20".into(),
                Some((_, Ending::Death)) => "30".into(),
                Some((_, Ending::Divorce(_))) => "40".into(),
            },
        }
    }
}

/// How well off a household is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Means {
    Poor,
    Modest,
    Normal,
    Well,
}

/// A household: one register booklet, living together.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) no: Text,
    /// Index of the seat (county).
    pub(crate) seat: usize,
    pub(crate) village: &'static Village,
    pub(crate) address: Text,
    pub(crate) head: usize,
    /// Living members today, the head first.
    pub(crate) members: Vec<usize>,
    pub(crate) means: Means,
    pub(crate) rural: bool,
    /// Applies for assistance in these weeks, for this reason.
    pub(crate) story: Option<Story>,
    /// On the assistance rolls already.
    pub(crate) assisted: bool,
}

/// An extended family.
#[derive(Debug, Default)]
pub(crate) struct Kin {
    pub(crate) people: Vec<Person>,
    pub(crate) homes: Vec<Home>,
}

/// Citizen numbers and serials of one block.
#[derive(Debug)]
pub(crate) struct Numbers {
    block: u64,
    used: HashSet<(u32, NaiveDate, u32)>,
    serial: u64,
}

/// Birth days are dealt to this many groups of blocks …
const DAY_CLASSES: u64 = 25;
/// … and sequence numbers to this many blocks of a group, five a sex.
const SEQUENCE_CLASSES: u64 = 100;
/// More blocks than this would share numbers.
pub(crate) const BLOCKS_MAX: u64 = DAY_CLASSES * SEQUENCE_CLASSES;

impl Numbers {
    /// The numbers that block `block` owns.
    pub(crate) fn of_block(block: u64) -> Numbers {
        Numbers { block, used: HashSet::new(), serial: 0 }
    }

    /// A number for somebody born in `division` on about `near` (the next own day not after it).
    fn citizen(&mut self, division: u32, near: NaiveDate, female: bool) -> (Text, NaiveDate) {
        let class = self.block % DAY_CLASSES;
        let base = (self.block / DAY_CLASSES % SEQUENCE_CLASSES) as u32 * 10;
        let mut day = near;
        loop {
            if hash2(u64::from(day.num_days_from_ce().unsigned_abs()), 0x0d) % DAY_CLASSES == class {
                for n in 0..5 {
                    let sequence = base + 2 * n + u32::from(!female);
                    // Sequence 000 is never given out.
                    if sequence > 0 && self.used.insert((division, day, sequence)) {
                        return (Text::Shared(Arc::from(number::citizen(division, day, sequence))), day);
                    }
                }
            }
            day = days(day, -1);
        }
    }

    /// A serial unique in the city.
    pub(crate) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.block * 1_000_000 + self.serial
    }
}

/// Age at death in years, as the life tables have it, roughly.
fn lifespan(female: bool, chance: &mut Chance) -> i64 {
    let band = chance.weighted(&[8, 12, 35, 80, 180, 360, 250, 75]);
    let (low, high) = [(0, 20), (20, 40), (40, 55), (55, 66), (66, 76), (76, 85), (85, 92), (92, 101)][band];
    chance.range(low, high) + if female { 3 } else { -1 }
}

/// Builds families of one block.
#[derive(Debug)]
pub(crate) struct Founder<'a> {
    pub(crate) city: &'a City,
    pub(crate) numbers: Numbers,
    pub(crate) chance: Chance,
}

impl Founder<'_> {
    /// A family with about `room` living people at most.
    pub(crate) fn family(&mut self, room: u64) -> Kin {
        let mut kin = Kin::default();
        let band = self.chance.weighted(&[20, 26, 28, 18, 10]);
        let (low, high) = [(1931, 1944), (1945, 1958), (1959, 1973), (1974, 1988), (1989, 2003)][band];
        let year = self.chance.range(low, high) as i32;
        let seat = self.chance.below(self.city.seats.len() as u64) as usize;
        let female = room == 1 && self.chance.percent(40);
        let surname = names().surname(&mut self.chance);
        let root = self.person(&mut kin, seat, year, female, surname, None, None);
        if room >= 8 {
            self.couple(&mut kin, seat, root, 0);
        }
        self.settle(&mut kin, seat);
        kin
    }

    #[allow(clippy::too_many_arguments, reason = "what a birth is made of")]
    fn person(
        &mut self,
        kin: &mut Kin,
        seat: usize,
        year: i32,
        female: bool,
        surname: &str,
        father: Option<usize>,
        mother: Option<usize>,
    ) -> usize {
        let chance = &mut self.chance;
        let near = days(date(year, 1, 1), chance.range(0, 364)).min(SNAPSHOT);
        let local_born = father.is_some() || chance.percent(78);
        let division = if local_born { self.city.seats[seat].place.code } else { chance.pick(place::origins()).0 };
        let (id, birth) = self.numbers.citizen(division, near, female);
        let death = months(birth, 12 * lifespan(female, chance) as i32);
        let death = Some(days(death, chance.range(0, 364))).filter(|d| *d <= SNAPSHOT);
        let dotted = chance.per_10k(6);
        let name = if dotted {
            names().dotted(female, chance).to_owned()
        } else {
            names().full(surname, female, birth.year(), chance)
        };
        let former_name = chance.per_10k(60).then(|| Text::from(names().full(surname, female, birth.year(), chance)));
        let nation =
            if dotted { "05" } else { ["01", "11", "10", "03", "02"][chance.weighted(&[9850, 70, 40, 25, 15])] };
        let phone = format!(
            "1{}{:08}",
            ["35", "38", "50", "77", "86", "99"][chance.below(6) as usize],
            chance.below(100_000_000)
        );
        let old_id = chance.per_10k(8).then(|| {
            // A number given twice or with a wrong day in earlier decades and changed since.
            self.numbers.citizen(division, days(birth, -1), female).0
        });
        let serial = self.numbers.serial();
        kin.people.push(Person {
            id,
            old_id,
            name: Text::from(name),
            former_name,
            female,
            birth,
            death,
            father,
            mother,
            marriages: Vec::new(),
            home: 0,
            nation,
            phone: Text::from(phone),
            serial,
            is: Circumstances::default(),
        });
        kin.people.len() - 1
    }

    /// Marries `p` (perhaps) and gives the couple its children, down the generations.
    fn couple(&mut self, kin: &mut Kin, seat: usize, p: usize, depth: u32) {
        let birth = kin.people[p].birth;
        let chance = &mut self.chance;
        if chance.percent(if birth.year() < 1985 { 4 } else { 14 }) {
            return;
        }
        let older = chance.range(-1, 4);
        let year = birth.year() + if kin.people[p].female { -older as i32 } else { older as i32 };
        let wed = months(birth, 12 * chance.range(22, 29) as i32);
        let surname = names().surname(chance);
        let female = !kin.people[p].female;
        // Somebody not yet of age cannot be married in; the wedding is then still to come.
        if wed > days(SNAPSHOT, -40) || kin.people[p].death.is_some_and(|d| d <= wed) {
            return;
        }
        let spouse = self.person(kin, seat, year, female, surname, None, None);
        let legal = |q: &Person| months(q.birth, 12 * if q.female { 20 } else { 22 });
        let wed = wed.max(legal(&kin.people[p])).max(legal(&kin.people[spouse]));
        let first_death = [p, spouse].iter().filter_map(|q| kin.people[*q].death).min();
        if wed > days(SNAPSHOT, -30) || first_death.is_some_and(|d| d <= days(wed, 30)) {
            kin.people.pop();
            return;
        }
        let divorced = {
            let chance = &mut self.chance;
            let on = days(wed, chance.range(700, 9000));
            let rate = if wed.year() >= 1988 { 20 } else { 3 };
            (chance.percent(rate) && on < days(SNAPSHOT, -5) && first_death.is_none_or(|d| d > on))
                .then(|| (on, Ending::Divorce(["1", "2", "3"][chance.weighted(&[75, 15, 10])])))
        };
        let end = divorced.or(first_death.map(|d| (d, Ending::Death)));
        self.wed(kin, p, spouse, wed, end);
        self.children(kin, seat, p, spouse, depth, wed, end.map(|e| e.0));
        // A second marriage after a divorce.
        if let Some((on, Ending::Divorce(_))) = end
            && self.chance.percent(30)
        {
            let again = days(on, self.chance.range(200, 2500));
            let year = kin.people[p].birth.year() + self.chance.range(-3, 6) as i32;
            if again < days(SNAPSHOT, -30) && kin.people[p].death.is_none_or(|d| d > days(again, 30)) && year < 2000 {
                let surname = names().surname(&mut self.chance);
                let second = self.person(kin, seat, year, female, surname, None, None);
                if kin.people[second].death.is_none_or(|d| d > days(again, 30))
                    && months(kin.people[second].birth, 12 * 22) < again
                {
                    let death = [p, second].iter().filter_map(|q| kin.people[*q].death).min();
                    self.wed(kin, p, second, again, death.map(|d| (d, Ending::Death)));
                } else {
                    kin.people.pop();
                }
            }
        }
    }

    fn wed(&mut self, kin: &mut Kin, a: usize, b: usize, since: NaiveDate, end: Option<(NaiveDate, Ending)>) {
        let no =
            Text::from(format!("J3710{:02}-{}-{:09}", self.chance.below(90) + 1, since.year(), self.numbers.serial()));
        kin.people[a].marriages.push(Marriage { with: b, since, end, no: no.clone() });
        kin.people[b].marriages.push(Marriage { with: a, since, end, no });
    }

    #[allow(clippy::too_many_arguments, reason = "what a family is made of")]
    fn children(
        &mut self,
        kin: &mut Kin,
        seat: usize,
        p: usize,
        spouse: usize,
        depth: u32,
        wed: NaiveDate,
        end: Option<NaiveDate>,
    ) {
        let (father, mother) = if kin.people[p].female { (spouse, p) } else { (p, spouse) };
        let era = kin.people[mother].birth.year();
        let chance = &mut self.chance;
        let count = match era {
            ..1946 => 1 + chance.weighted(&[10, 40, 35, 15]),
            1946..1957 => 1 + chance.weighted(&[35, 45, 20]),
            1957..1980 => chance.weighted(&[4, 72, 24]),
            _ => chance.weighted(&[10, 55, 31, 4]),
        };
        let mut born = days(wed, chance.range(290, 1100));
        for _ in 0..count {
            let latest = end.unwrap_or(SNAPSHOT).min(SNAPSHOT);
            if born > latest || age(kin.people[mother].birth, born) > 43 {
                break;
            }
            let female = self.chance.percent(47);
            let surname: String = {
                let name: &str = &kin.people[father].name;
                let two = ["欧阳", "上官", "司马", "诸葛"].iter().any(|s| name.starts_with(s));
                name.chars().take(if two { 2 } else { 1 }).collect()
            };
            // One in five grown children has left for another city: nobody here knows of that family.
            let grown = age(born, TODAY) >= 24;
            if !(grown && self.chance.percent(22)) {
                let child = self.person(kin, seat, born.year(), female, &surname, Some(father), Some(mother));
                let young_enough = kin.people[child].birth >= months(wed, 7)
                    && age(kin.people[mother].birth, kin.people[child].birth) >= 16
                    && age(kin.people[father].birth, kin.people[child].birth) >= 16
                    && end.is_none_or(|d| kin.people[child].birth <= d);
                if !young_enough {
                    kin.people.pop();
                } else if kin.people[child].age() >= 22 && depth < 3 && kin.people.len() < 26 {
                    self.couple(kin, seat, child, depth + 1);
                }
            }
            born = days(born, self.chance.range(600, 2400));
        }
    }

    /// Gives everybody a household.
    fn settle(&mut self, kin: &mut Kin, seat: usize) {
        let base_rural = self.chance.percent(48);
        let mut home_of: Vec<Option<usize>> = vec![None; kin.people.len()];
        for p in 0..kin.people.len() {
            if home_of[p].is_some() {
                continue;
            }
            let person = &kin.people[p];
            let parents: Vec<usize> = [person.mother, person.father].into_iter().flatten().collect();
            let years = person.age();
            let spouse = person.spouse();
            let stays = spouse.is_none()
                && !parents.is_empty()
                && (years < 18 || (years < 34 && self.chance.percent(72)) || self.chance.percent(18));
            let with_parents = spouse.is_some() && !person.female && self.chance.percent(12);
            let joined = if stays || with_parents {
                let living: Vec<usize> = parents.iter().copied().filter(|q| kin.people[*q].alive()).collect();
                let host = match living.len() {
                    2 if !self.chance.percent(65) => living[1],
                    1.. => living[0],
                    _ => *parents.first().unwrap_or(&p),
                };
                home_of[host]
            } else {
                None
            };
            let home = joined.unwrap_or_else(|| {
                let grown_away = !parents.is_empty();
                let seat = if grown_away && self.chance.percent(15) {
                    self.chance.below(self.city.seats.len() as u64) as usize
                } else {
                    seat
                };
                let rural = base_rural && !(grown_away && self.chance.percent(45));
                self.house(kin, seat, rural, p)
            });
            home_of[p] = Some(home);
            if let Some(s) = spouse
                && home_of[s].is_none()
            {
                home_of[s] = Some(home);
            }
        }
        // Some of the old and alone have moved to a child.
        for p in 0..kin.people.len() {
            let person = &kin.people[p];
            let alone = home_of.iter().filter(|h| **h == home_of[p]).count() == 1;
            if person.age() >= 72 && person.alive() && alone && self.chance.percent(40) {
                let child = (0..kin.people.len()).find(|c| {
                    let q = &kin.people[*c];
                    (q.father == Some(p) || q.mother == Some(p)) && q.alive() && q.age() >= 30
                });
                if let Some(child) = child {
                    home_of[p] = home_of[child];
                }
            }
        }
        for (p, home) in home_of.iter().enumerate() {
            kin.people[p].home = home.unwrap_or(0);
        }
        for (index, home) in kin.homes.iter_mut().enumerate() {
            let mut members: Vec<usize> =
                (0..kin.people.len()).filter(|p| home_of[*p] == Some(index) && kin.people[*p].alive()).collect();
            // The head is the eldest below seventy, else the eldest.
            let head = members
                .iter()
                .copied()
                .filter(|p| kin.people[*p].age() < 70)
                .min_by_key(|p| (kin.people[*p].birth, *p))
                .or_else(|| members.iter().copied().min_by_key(|p| kin.people[*p].birth));
            if let Some(head) = head {
                home.head = head;
                members.sort_by_key(|p| (*p != head, kin.people[*p].birth, *p));
            }
            home.members = members;
        }
    }

    fn house(&mut self, kin: &mut Kin, seat: usize, rural: bool, head: usize) -> usize {
        let chance = &mut self.chance;
        let place = &self.city.seats[seat];
        let index = *chance.pick(if rural { &place.rural } else { &place.urban });
        let village = &place.place.villages[index];
        let address = if rural {
            format!("{}{}{}{}号", place.place.name, village.town_name, village.name, chance.range(1, 380))
        } else {
            format!(
                "{}{}{}{}号楼{}单元{}0{}室",
                place.place.name,
                village.town_name,
                village.name,
                chance.range(1, 60),
                chance.range(1, 4),
                chance.range(1, 18),
                chance.range(1, 4)
            )
        };
        let means = [Means::Poor, Means::Modest, Means::Normal, Means::Well][chance.weighted(&[5, 22, 58, 15])];
        let no = Text::from(format!("{}{:011}", place.place.code, self.numbers.serial()));
        kin.homes.push(Home {
            no,
            seat,
            village,
            address: Text::from(address),
            head,
            members: Vec::new(),
            means,
            rural,
            story: None,
            assisted: false,
        });
        kin.homes.len() - 1
    }
}

impl Kin {
    /// Living people who count as residents.
    pub(crate) fn residents(&self) -> u64 {
        self.people.iter().filter(|p| p.alive()).count() as u64
    }

    /// Children of `p`, dead or alive, ascending.
    pub(crate) fn children_of(&self, p: usize) -> impl Iterator<Item = usize> + '_ {
        self.people.iter().enumerate().filter(move |(_, q)| q.father == Some(p) || q.mother == Some(p)).map(|(i, _)| i)
    }

    /// GB/T 4761: what `q` is, seen from `p`.
    pub(crate) fn relation(&self, p: usize, q: usize) -> &'static str {
        let (a, b) = (&self.people[p], &self.people[q]);
        if p == q {
            return "01";
        }
        if a.marriages.last().is_some_and(|m| m.with == q && !matches!(m.end, Some((_, Ending::Divorce(_))))) {
            return if b.female { "12" } else { "11" };
        }
        let parent = |child: &Person, of: usize| child.father == Some(of) || child.mother == Some(of);
        if parent(b, p) {
            return if b.female { "30" } else { "20" };
        }
        if parent(a, q) {
            return if b.female { "52" } else { "51" };
        }
        let shared = |x: Option<usize>, y: Option<usize>| x.is_some() && x == y;
        if shared(a.father, b.father) || shared(a.mother, b.mother) {
            return match (b.female, b.birth < a.birth) {
                (true, true) => "75",
                (true, false) => "77",
                (false, true) => "71",
                (false, false) => "73",
            };
        }
        for (parent_of, side) in [(b.father, true), (b.mother, false)] {
            if let Some(mid) = parent_of
                && parent(&self.people[mid], p)
            {
                return match (side, b.female) {
                    (true, false) => "41",
                    (true, true) => "42",
                    (false, false) => "43",
                    (false, true) => "44",
                };
            }
        }
        for (mid, paternal) in [(a.father, true), (a.mother, false)] {
            if let Some(mid) = mid
                && parent(&self.people[mid], q)
            {
                return match (paternal, b.female) {
                    (true, false) => "61",
                    (true, true) => "62",
                    (false, false) => "63",
                    (false, true) => "64",
                };
            }
        }
        // Through the spouse: a child-in-law, a parent-in-law.
        if let Some(s) = b.spouse()
            && parent(&self.people[s], p)
        {
            return if b.female { "38" } else { "28" };
        }
        if let Some(s) = a.spouse()
            && parent(&self.people[s], q)
        {
            return match (a.female, b.female) {
                (true, false) => "53",
                (true, true) => "54",
                (false, false) => "55",
                (false, true) => "56",
            };
        }
        "97"
    }

    /// People who were alive at some day of the 24 months.
    pub(crate) fn recent(&self, p: usize) -> bool {
        self.people[p].death.is_none_or(|d| d >= LIFE_FROM)
    }
}
