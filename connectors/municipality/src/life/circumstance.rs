//! What becomes of people: school, work, illness, disability, custody, age, as of the city's today.
//!
//! A household that applies for assistance has a [`Story`], which bends the general rates so that every kind of case the
//! rules know occurs; everybody else lives by the rates alone. Nobody works after death, in custody or at school.

use chrono::{Datelike, NaiveDate};

use crate::{
    calendar::{LIFE_FROM, SNAPSHOT, TODAY, age, date, days, month_first, month_index, months},
    chance::Chance,
    city::City,
    row::Text,
};

use super::kin::{Kin, Means};

/// Why a household applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Story {
    Frail,
    Disabled,
    SingleParent,
    LaidOff,
    Ill,
    Custody,
    LowWage,
    Concealing,
    Farmer,
    Trader,
    SevereAlone,
    Alone,
    Students,
}

const STORIES: [(Story, u32); 13] = [
    (Story::Frail, 16),
    (Story::Disabled, 14),
    (Story::SingleParent, 8),
    (Story::LaidOff, 9),
    (Story::Ill, 14),
    (Story::Custody, 6),
    (Story::LowWage, 8),
    (Story::Concealing, 8),
    (Story::Farmer, 6),
    (Story::Trader, 4),
    (Story::SevereAlone, 5),
    (Story::Alone, 8),
    (Story::Students, 6),
];

/// A disability certificate.
#[derive(Debug, Clone)]
pub(crate) struct Disability {
    /// GBT26341_TYPE and grade.
    pub(crate) kind: &'static str,
    pub(crate) grade: &'static str,
    pub(crate) multi: Option<&'static str>,
    pub(crate) issued: NaiveDate,
    pub(crate) valid_until: NaiveDate,
    /// GBT26341 certificate status.
    pub(crate) status: &'static str,
}

/// A path through school.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Study {
    /// '4', '5' or ' ' after junior school.
    pub(crate) upper: char,
    /// '6', '7' or ' ' after eighteen.
    pub(crate) college: char,
    pub(crate) graduate: bool,
    pub(crate) special: bool,
    /// HUB_ENROL_STATUS of the current year.
    pub(crate) status: &'static str,
    pub(crate) full_time: bool,
}

impl Study {
    /// (stage, year of entry, years it takes) in the academic year that begins in `year`.
    pub(crate) fn stage(&self, birth: NaiveDate, year: i32) -> Option<(char, i32, i32)> {
        let years = age(birth, date(year, 9, 1));
        let entry = |from: i32| year - (years - from);
        let compulsory = |stage: char| if self.special { '9' } else { stage };
        match years {
            3..6 => Some(('1', entry(3), 3)),
            6..12 => Some((compulsory('2'), entry(6), 6)),
            12..15 => Some((compulsory('3'), entry(12), 3)),
            15..18 if self.upper != ' ' => Some((self.upper, entry(15), 3)),
            18..21 if self.college == '6' => Some(('6', entry(18), 3)),
            18..22 if self.college == '7' => Some(('7', entry(18), 4)),
            22..25 if self.graduate && self.college == '7' => Some(('8', entry(22), 3)),
            _ => None,
        }
    }
}

/// Who pays a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payer {
    /// Index into the city's employers.
    Employer(usize),
    /// The person.
    Own,
}

/// A job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) payer: Payer,
    pub(crate) from: NaiveDate,
    /// First day no longer at work.
    pub(crate) to: Option<NaiveDate>,
    /// Monthly, in fen.
    pub(crate) wage: i64,
    /// Income item in the tax rows, empty when the job is not taxed at source.
    pub(crate) taxed: &'static str,
    pub(crate) insured: bool,
    pub(crate) fund: bool,
    pub(crate) registered: bool,
    /// A public welfare post: monthly subsidy in fen.
    pub(crate) post: Option<i64>,
    /// HUB_JOB_END.
    pub(crate) end_reason: &'static str,
    /// Compensation on dismissal, fen.
    pub(crate) severance: i64,
}

impl Job {
    /// At work on some day of the month.
    pub(crate) fn covers(&self, month: i32) -> bool {
        month_index(self.from) <= month && self.to.is_none_or(|to| to > month_first(month))
    }
}

/// A pension in payment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pension {
    /// Employee scheme, else resident scheme.
    pub(crate) employee: bool,
    pub(crate) from: NaiveDate,
    /// Monthly, fen (resident scheme: personal account part).
    pub(crate) amount: i64,
}

/// Custody or compulsory rehabilitation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Custody {
    pub(crate) prison: bool,
    pub(crate) from: NaiveDate,
    pub(crate) planned: NaiveDate,
    pub(crate) released: Option<NaiveDate>,
    /// HUB_CUSTODY_STATUS.
    pub(crate) status: &'static str,
}

impl Custody {
    /// Locked up on `day`.
    pub(crate) fn holds(&self, day: NaiveDate) -> bool {
        self.from <= day && self.released.map_or(self.status == "1", |r| r > day)
    }
}

/// A business of one's own.
#[derive(Debug, Clone)]
pub(crate) struct Trade {
    pub(crate) uscc: Text,
    pub(crate) word: usize,
    pub(crate) since: NaiveDate,
    pub(crate) closed: Option<NaiveDate>,
    /// Quarterly turnover and cost, fen.
    pub(crate) turnover: i64,
    pub(crate) cost: i64,
    /// Files 05 returns.
    pub(crate) files: bool,
    /// A company with shares, else an individual business.
    pub(crate) company: bool,
    pub(crate) capital: i64,
    pub(crate) operates: Option<bool>,
}

/// Everything that holds of a person beside the family.
#[derive(Debug, Clone, Default)]
pub(crate) struct Circumstances {
    pub(crate) disability: Option<Disability>,
    pub(crate) study: Option<Study>,
    pub(crate) education: &'static str,
    pub(crate) jobs: Vec<Job>,
    pub(crate) pension: Option<Pension>,
    pub(crate) custody: Option<Custody>,
    /// '4' emigrated, '6' missing, with the day.
    pub(crate) gone: Option<(&'static str, NaiveDate)>,
    pub(crate) trade: Option<Trade>,
    /// Pays pension contributions alone.
    pub(crate) flexible: bool,
    /// 0 well, 1 chronic, 2 ill, 3 gravely ill.
    pub(crate) illness: u8,
    pub(crate) mental: bool,
    pub(crate) veteran: Option<&'static str>,
    pub(crate) farms: bool,
    /// Registered unemployed since.
    pub(crate) unemployed: Option<NaiveDate>,
    pub(crate) refusals: i64,
    /// Draws unemployment benefit (fen a month).
    pub(crate) unemployment: i64,
    /// Work injury: (day, grade, lump sum fen).
    pub(crate) injury: Option<(NaiveDate, &'static str, i64)>,
    /// Supported as extremely poor since.
    pub(crate) extreme: Option<NaiveDate>,
}

impl Circumstances {
    /// Severe in the sense of R-CAT-05, by a valid certificate.
    pub(crate) fn severe(&self) -> bool {
        self.disability
            .as_ref()
            .is_some_and(|d| d.status == "1" && (d.grade <= "2" || (d.grade == "3" && matches!(d.kind, "5" | "6"))))
    }

    /// Works today.
    pub(crate) fn works(&self) -> bool {
        self.jobs.iter().any(|j| j.to.is_none())
    }
}

/// Lets the families live.
pub(crate) fn live(kin: &mut Kin, city: &City, chance: &mut Chance) {
    let mut stories: Vec<Option<Story>> = vec![None; kin.homes.len()];
    #[expect(clippy::needless_range_loop, reason = "`choose` needs the whole family, not one home")]
    for h in 0..kin.homes.len() {
        let adult = kin.homes[h].members.iter().any(|p| kin.people[*p].age() >= 18);
        if !adult {
            continue;
        }
        let low = kin.homes[h].means <= Means::Modest;
        if chance.per_10k(300) {
            let story = choose(kin, h, chance);
            stories[h] = Some(story);
            kin.homes[h].story = Some(story);
            kin.homes[h].means = match story {
                Story::Concealing => Means::Normal,
                Story::Students | Story::LaidOff | Story::LowWage if chance.percent(50) => Means::Poor,
                Story::Ill | Story::SevereAlone | Story::Students | Story::LaidOff | Story::LowWage => Means::Modest,
                _ => Means::Poor,
            };
            kin.homes[h].assisted = chance.percent(15);
        } else if chance.per_10k(if low { 900 } else { 30 }) {
            kin.homes[h].means = Means::Poor;
            kin.homes[h].assisted = true;
        }
    }
    for p in 0..kin.people.len() {
        let mut own = chance.split(p as u64);
        let is = person(kin, city, p, stories[kin.people[p].home], &mut own);
        kin.people[p].is = is;
    }
    for (h, story) in stories.iter().enumerate() {
        if let Some(story) = story {
            bend(kin, city, h, *story, chance);
        }
        support(kin, city, h, chance);
    }
}

/// Support that the town has seen to already: the old without anybody, and posts for those whom nobody employs.
fn support(kin: &mut Kin, city: &City, h: usize, chance: &mut Chance) {
    let members = kin.homes[h].members.clone();
    let means = kin.homes[h].means;
    if let [p] = members[..]
        && kin.people[p].age() >= 60
        && means <= Means::Modest
        && !kin.children_of(p).any(|c| kin.people[c].alive())
        && kin.people[p].is.pension.is_none_or(|x| !x.employee)
        && kin.people[p].is.gone.is_none()
        && chance.percent(40)
    {
        kin.people[p].is.extreme = Some(days(SNAPSHOT, -chance.range(100, 2000)));
    }
    for p in members {
        let person = &kin.people[p];
        let idle = person.is.jobs.is_empty() && person.is.trade.is_none() && person.is.pension.is_none();
        let free = person.is.custody.is_none() && person.is.gone.is_none() && !person.is.severe();
        if means <= Means::Modest && (35..60).contains(&person.age()) && idle && free && chance.percent(7) {
            let mut post = job(city, Means::Poor, days(SNAPSHOT, -chance.range(40, 700)), None, chance);
            let subsidy = chance.range(6, 20) * 10_000;
            post.post = Some(subsidy);
            post.wage = subsidy;
            post.insured = false;
            post.fund = false;
            post.taxed = if chance.percent(25) { "01" } else { "" };
            let is = &mut kin.people[p].is;
            is.jobs.push(post);
            is.unemployed = None;
            is.unemployment = 0;
        }
    }
}

/// A story that fits the household.
fn choose(kin: &Kin, h: usize, chance: &mut Chance) -> Story {
    let weights: Vec<u32> = STORIES.iter().map(|s| s.1).collect();
    let members = &kin.homes[h].members;
    let any = |test: &dyn Fn(i32) -> bool| members.iter().any(|p| test(kin.people[*p].age()));
    for _ in 0..20 {
        let story = STORIES[chance.weighted(&weights)].0;
        let fits = match story {
            Story::Frail => any(&|a| a >= 60),
            Story::SingleParent => {
                any(&|a| a < 18)
                    && members.iter().any(|p| kin.people[*p].spouse().is_none() && kin.people[*p].age() >= 22)
            }
            Story::Custody => members.iter().filter(|p| kin.people[**p].age() >= 20).count() >= 2,
            Story::LaidOff | Story::LowWage | Story::Trader => any(&|a| (22..58).contains(&a)),
            Story::SevereAlone => {
                members.iter().any(|p| kin.people[*p].age() >= 18 && kin.people[*p].spouse().is_none())
            }
            Story::Alone => members.len() == 1 && any(&|a| a >= 45),
            Story::Students => any(&|a| (15..24).contains(&a)),
            Story::Farmer => kin.homes[h].rural,
            Story::Disabled | Story::Ill | Story::Concealing => true,
        };
        if fits {
            return story;
        }
    }
    Story::Ill
}

fn education(birth: NaiveDate, study: Option<Study>, chance: &mut Chance) -> &'static str {
    if let Some(study) = study
        && age(birth, TODAY) >= 22
    {
        return match (study.college, study.upper) {
            ('7', _) => "20",
            ('6', _) => "30",
            (_, '4') => "60",
            (_, '5') => "40",
            _ => "70",
        };
    }
    let codes = ["80", "70", "60", "40", "30", "20", "10"];
    let weights: [u32; 7] = match birth.year() {
        ..1945 => [60, 28, 8, 2, 1, 1, 0],
        1945..1965 => [25, 48, 18, 4, 3, 2, 0],
        1965..1985 => [6, 46, 18, 12, 11, 7, 0],
        _ => [1, 24, 14, 16, 22, 21, 2],
    };
    codes[chance.weighted(&weights)]
}

fn study(birth: NaiveDate, chance: &mut Chance) -> Study {
    let upper = ['4', '5', ' '][chance.weighted(&[58, 37, 5])];
    let college = match upper {
        '4' => ['6', '7', ' '][chance.weighted(&[30, 62, 8])],
        '5' => ['6', '7', ' '][chance.weighted(&[42, 4, 54])],
        _ => ' ',
    };
    let status = if age(birth, TODAY) < 18 { "1" } else { ["1", "2", "5"][chance.weighted(&[970, 20, 10])] };
    Study { upper, college, graduate: chance.percent(12), special: false, status, full_time: !chance.per_10k(150) }
}

const GRADES: [&str; 4] = ["1", "2", "3", "4"];

fn disability(birth: NaiveDate, severe: bool, chance: &mut Chance) -> Disability {
    let kind = ["1", "2", "3", "4", "5", "6", "7"][chance.weighted(&[13, 14, 2, 48, 9, 11, 3])];
    let grade = GRADES[if severe { chance.weighted(&[35, 65]) } else { chance.weighted(&[12, 24, 33, 31]) }];
    let oldest = (TODAY - birth).num_days().clamp(60, 4200);
    let issued = days(SNAPSHOT, -chance.range(30, oldest));
    let valid_until = days(months(issued, 120), -1);
    let status = if valid_until < TODAY { "4" } else { ["1", "3", "2"][chance.weighted(&[970, 15, 15])] };
    let multi = (kind == "7").then_some(match grade {
        "1" => "4:1;5:2",
        "2" => "1:3;4:2",
        "3" => "2:3;3:3",
        _ => "2:4;4:4",
    });
    Disability { kind, grade, multi, issued, valid_until, status }
}

/// One person by the general rates.
fn person(kin: &Kin, city: &City, p: usize, story: Option<Story>, chance: &mut Chance) -> Circumstances {
    let person = &kin.people[p];
    let home = &kin.homes[person.home];
    let years = person.age();
    let mut is = Circumstances::default();
    let path = (years < 27 && chance.percent(97)).then(|| study(person.birth, chance));
    is.study = path;
    is.education = education(person.birth, path, chance);
    let poor = home.means == Means::Poor;
    let rate = match years {
        ..15 => 60,
        15..45 => 170,
        45..65 => 420,
        _ => 700,
    };
    if chance.per_10k(if poor { rate * 5 } else { rate }) {
        is.disability = Some(disability(person.birth, false, chance));
    }
    if years < 15 && is.disability.is_some() && chance.percent(35) {
        is.study = is.study.map(|s| Study { special: true, ..s });
    }
    is.mental = is.disability.as_ref().is_some_and(|d| d.kind == "6") || (years >= 18 && chance.per_10k(35));
    is.illness = {
        let frail = match years {
            ..40 => 3,
            40..60 => 14,
            60..75 => 34,
            _ => 50,
        } + if poor { 12 } else { 0 };
        match chance.below(100) {
            n if n * 25 < frail => 3,
            n if n * 8 < frail => 2,
            n if n < frail => 1,
            _ => 0,
        }
    };
    if person.alive() && years >= 20 && chance.per_10k(6) {
        is.gone = Some((if chance.percent(70) { "4" } else { "6" }, days(SNAPSHOT, -chance.range(60, 2400))));
    }
    if (19..62).contains(&years)
        && is.gone.is_none()
        && chance.per_10k(if story == Some(Story::Custody) { 50 } else { 16 })
    {
        is.custody = Some(custody(chance));
    }
    if years >= 20 && !person.female && chance.per_10k(if years >= 60 { 420 } else { 60 }) {
        is.veteran = Some(if years >= 60 {
            ["10", "08", "01", "07"][chance.weighted(&[80, 10, 6, 4])]
        } else {
            ["01", "07", "12"][chance.weighted(&[40, 30, 30])]
        });
    }
    is.farms = home.rural && (25..80).contains(&years) && chance.percent(45);
    work(kin, city, p, &mut is, chance);
    is
}

fn custody(chance: &mut Chance) -> Custody {
    let prison = chance.percent(72);
    let from = days(SNAPSHOT, -chance.range(40, 1100));
    let planned = if prison { months(from, chance.range(8, 84) as i32) } else { months(from, 24) };
    let over = planned < SNAPSHOT;
    let (status, released) = if over {
        ("2", Some(planned))
    } else if chance.percent(12) {
        (
            if prison { ["3", "4"][chance.below(2) as usize] } else { "5" },
            chance.percent(50).then(|| days(SNAPSHOT, -chance.range(1, 30)).max(from)),
        )
    } else {
        ("1", None)
    };
    Custody { prison, from, planned, released, status }
}

/// Retirement, jobs, business, unemployment.
fn work(kin: &Kin, city: &City, p: usize, is: &mut Circumstances, chance: &mut Chance) {
    let person = &kin.people[p];
    let home = &kin.homes[person.home];
    let years = person.age();
    let until = person.death.unwrap_or(TODAY);
    let formal_career = chance.percent(if home.rural { 22 } else { 68 });
    let retire_at = if !formal_career {
        60
    } else if person.female {
        if chance.percent(60) { 50 } else { 55 }
    } else {
        60
    };
    let retired_on = month_first(month_index(months(person.birth, 12 * retire_at)) + 1);
    if retired_on <= SNAPSHOT && person.death.is_none_or(|d| d > retired_on) {
        let poor = home.means <= Means::Modest;
        let amount = if formal_career {
            chance.around(if poor { 215_000 } else { 330_000 }, 60_000).max(120_000)
        } else {
            chance.range(1_500, 12_000)
        };
        if formal_career || chance.percent(94) {
            is.pension = Some(Pension { employee: formal_career, from: retired_on, amount });
        }
        return;
    }
    let studying = is.study.is_some_and(|s| s.stage(person.birth, 2025).is_some() && s.status != "5");
    if years < 17 || (studying && years < 26) || person.death.is_some_and(|d| d < LIFE_FROM) {
        return;
    }
    let unfit = is.severe() || is.illness == 3;
    let active = if unfit {
        8
    } else if home.means == Means::Poor {
        45
    } else {
        84
    };
    if is.gone.is_some() || !chance.percent(active) {
        if !unfit && home.means <= Means::Modest && chance.percent(14) {
            is.unemployed = Some(days(SNAPSHOT, -chance.range(20, 600)));
            is.refusals = if chance.percent(8) { chance.range(1, 4) } else { 0 };
        }
        return;
    }
    let locked = is.custody.map(|c| (c.from, c.released));
    let kind = if home.rural { chance.weighted(&[34, 14, 12, 8, 32]) } else { chance.weighted(&[70, 9, 11, 8, 2]) };
    match kind {
        0 => {
            let count = chance.weighted(&[0, 72, 24, 4]);
            let mut from = days(LIFE_FROM, -chance.range(30, 2600)).max(months(person.birth, 12 * 18));
            for n in 0..count {
                let last = n + 1 == count;
                let end =
                    (!last || chance.percent(6)).then(|| days(LIFE_FROM, chance.range(60, 700)).max(days(from, 60)));
                is.jobs.push(job(city, home.means, from, end, chance));
                let Some(end) = end else { break };
                from = days(end, chance.range(1, 120));
            }
        }
        1 => {
            // Paid by the task, untaxed or as labour remuneration.
            let from = days(LIFE_FROM, -chance.range(-300, 900)).max(months(person.birth, 12 * 18));
            let mut own = job(city, home.means, from, None, chance);
            own.wage = own.wage * 7 / 10 / 1000 * 1000;
            own.insured = false;
            own.fund = false;
            own.taxed = if chance.percent(55) { "02" } else { "" };
            own.registered = chance.percent(70);
            is.jobs.push(own);
        }
        2 => {
            is.flexible = years >= 20 && chance.percent(65);
            let from = days(LIFE_FROM, -chance.range(-200, 1200)).max(months(person.birth, 12 * 18));
            is.jobs.push(Job {
                payer: Payer::Own,
                from,
                to: None,
                wage: chance.range(180_000, 420_000) / 1000 * 1000,
                taxed: "",
                insured: false,
                fund: false,
                registered: chance.percent(60),
                post: None,
                end_reason: "",
                severance: 0,
            });
        }
        3 => is.trade = Some(trade(city, kin, p, chance)),
        _ => is.farms = true,
    }
    for job in &mut is.jobs {
        if let Some((from, _)) = locked
            && job.to.is_none_or(|to| to > from)
        {
            job.to = Some(from);
            job.end_reason = "99";
        }
        if until < TODAY && job.to.is_none_or(|to| to > until) {
            job.to = Some(until);
            job.end_reason = "07";
        }
        if job.to.is_some_and(|to| to > SNAPSHOT) {
            job.to = None;
        }
    }
    is.jobs.retain(|j| j.to.is_none_or(|to| to > j.from) && j.from <= SNAPSHOT);
    if is.jobs.iter().all(|j| j.to.is_some()) && !is.jobs.is_empty() && until == TODAY && locked.is_none() {
        let lost = is.jobs.last().and_then(|j| j.to).unwrap_or(SNAPSHOT);
        if chance.percent(60) {
            is.unemployed = Some(days(lost, chance.range(5, 40)).min(SNAPSHOT));
            is.unemployment = if chance.percent(60) { 189_000 } else { 0 };
        }
    }
    if is.jobs.iter().any(|j| j.insured) && chance.per_10k(35) {
        let on = days(SNAPSHOT, -chance.range(20, 600));
        is.injury = Some((
            on,
            ["10", "09", "08", "07", "04"][chance.weighted(&[50, 28, 12, 7, 3])],
            chance.range(18, 60) * 100_000,
        ));
    }
}

/// A job at an employer from `from`.
pub(crate) fn job(city: &City, means: Means, from: NaiveDate, to: Option<NaiveDate>, chance: &mut Chance) -> Job {
    let index = chance.below(city.employers.len() as u64) as usize;
    let employer = &city.employers[index];
    let percent = match means {
        Means::Poor => 46,
        Means::Modest => 62,
        Means::Normal => 100,
        Means::Well => 190,
    };
    let wage = (employer.wage * percent / 100 * chance.range(75, 135) / 100).max(201_000) / 1000 * 1000;
    Job {
        payer: Payer::Employer(index),
        from,
        to,
        wage,
        taxed: if chance.percent(96) { "01" } else { "" },
        insured: chance.percent(if means <= Means::Modest { 82 } else { 96 }),
        fund: employer.fund && chance.percent(92),
        registered: chance.percent(93),
        post: None,
        end_reason: if to.is_some() { ["01", "02", "03", "04"][chance.weighted(&[35, 45, 12, 8])] } else { "" },
        severance: if to.is_some() && chance.percent(18) { chance.range(6, 60) * 100_000 } else { 0 },
    }
}

fn trade(city: &City, kin: &Kin, p: usize, chance: &mut Chance) -> Trade {
    let person = &kin.people[p];
    let home = &kin.homes[person.home];
    let county = city.seats[home.seat].place.code;
    let company = chance.percent(22);
    let turnover = chance.range(15, 160) * 100_000;
    let since = days(SNAPSHOT, -chance.range(120, 3600)).max(months(person.birth, 12 * 18));
    Trade {
        uscc: Text::from(crate::number::credit(
            if company { "91" } else { "92" },
            county,
            40_000_000_000 + person.serial,
        )),
        word: chance.below(1000) as usize,
        since,
        closed: chance.percent(9).then(|| days(SNAPSHOT, -chance.range(10, 500))).filter(|c| *c > since),
        turnover,
        cost: turnover * chance.range(55, 112) / 100,
        files: chance.percent(62),
        company,
        capital: [50_000, 100_000, 150_000, 199_999, 200_000, 500_000, 1_000_000][chance.below(7) as usize] * 100,
        operates: [Some(true), Some(false), None][chance.weighted(&[70, 18, 12])],
    }
}

/// Bends the rates for a household that applies.
fn bend(kin: &mut Kin, city: &City, h: usize, story: Story, chance: &mut Chance) {
    let members = kin.homes[h].members.clone();
    let ages: Vec<i32> = members.iter().map(|p| kin.people[*p].age()).collect();
    let find = |test: &dyn Fn(usize) -> bool| members.iter().copied().find(|p| test(*p));
    let alone = |p: usize| kin.people[p].spouse().is_none();
    match story {
        Story::Frail => {
            for (p, years) in members.iter().zip(&ages) {
                if *years >= 60 {
                    let is = &mut kin.people[*p].is;
                    is.illness = is.illness.max(1);
                }
            }
        }
        Story::Disabled => {
            let p = *chance.pick(&members);
            let d = disability(kin.people[p].birth, true, chance);
            let is = &mut kin.people[p].is;
            is.disability = Some(Disability { status: "1", valid_until: d.valid_until.max(days(TODAY, 300)), ..d });
            if chance.percent(85) {
                is.jobs.clear();
                is.trade = None;
            }
        }
        Story::SevereAlone => {
            if let Some(p) = find(&|p| kin.people[p].age() >= 18 && alone(p)) {
                let d = disability(kin.people[p].birth, chance.percent(85), chance);
                let is = &mut kin.people[p].is;
                is.disability = Some(Disability { status: "1", valid_until: d.valid_until.max(days(TODAY, 300)), ..d });
                is.jobs.clear();
                is.trade = None;
                is.study = None;
            }
        }
        Story::LaidOff => {
            if let Some(p) = find(&|p| (22..58).contains(&kin.people[p].age()) && kin.people[p].is.pension.is_none()) {
                let left = days(SNAPSHOT, -chance.range(30, 420));
                let from = days(left, -chance.range(400, 2500)).max(months(kin.people[p].birth, 12 * 18));
                let mut lost = job(city, Means::Modest, from, Some(left), chance);
                lost.severance = if chance.percent(70) { chance.range(8, 60) * 100_000 } else { 0 };
                lost.end_reason = ["03", "04", "05"][chance.below(3) as usize];
                let is = &mut kin.people[p].is;
                if is.custody.is_none() && left > from {
                    is.jobs = vec![lost];
                    is.study = None;
                    is.trade = None;
                    is.unemployed = Some(days(left, 10).min(SNAPSHOT));
                    is.unemployment = if chance.percent(70) { 189_000 } else { 0 };
                    is.refusals = chance.range(0, 4);
                }
            }
        }
        Story::Ill => {
            let p = *chance.pick(&members);
            kin.people[p].is.illness = 3;
        }
        Story::Custody => {
            if let Some(p) = find(&|p| (19..62).contains(&kin.people[p].age()) && kin.people[p].is.custody.is_none()) {
                let held = custody(chance);
                let is = &mut kin.people[p].is;
                is.custody = Some(held);
                is.gone = None;
                is.study = None;
                is.unemployed = None;
                for job in &mut is.jobs {
                    job.to = Some(job.to.map_or(held.from, |to| to.min(held.from)));
                    job.end_reason = "99";
                }
                is.jobs.retain(|j| j.to.is_none_or(|to| to > j.from));
                is.trade = None;
            }
        }
        Story::LowWage => {
            if let Some(p) = find(&|p| (22..58).contains(&kin.people[p].age()) && kin.people[p].is.pension.is_none()) {
                let from = days(SNAPSHOT, -chance.range(100, 900)).max(months(kin.people[p].birth, 12 * 18));
                let mut main = job(city, Means::Poor, from, None, chance);
                main.taxed = ["01", "02", ""][chance.weighted(&[60, 20, 20])];
                let is = &mut kin.people[p].is;
                if is.custody.is_none() && is.gone.is_none() {
                    is.study = None;
                    is.jobs = vec![main];
                    if chance.percent(50) {
                        let mut post = job(city, Means::Poor, days(SNAPSHOT, -chance.range(60, 500)), None, chance);
                        post.post = Some(chance.range(8, 20) * 10_000);
                        post.insured = false;
                        post.fund = false;
                        post.taxed = if chance.percent(40) { "01" } else { "" };
                        post.wage = post.post.unwrap_or(0);
                        is.jobs.push(post);
                    }
                }
            }
        }
        Story::Trader => {
            if let Some(p) = find(&|p| (22..58).contains(&kin.people[p].age()) && kin.people[p].is.custody.is_none()) {
                let own = trade(city, kin, p, chance);
                let is = &mut kin.people[p].is;
                is.study = None;
                is.jobs.clear();
                is.trade = Some(Trade { files: chance.percent(75), ..own });
            }
        }
        Story::Alone => {
            for p in &members {
                let children = kin.children_of(*p).count();
                let is = &mut kin.people[*p].is;
                is.jobs.clear();
                is.trade = None;
                if is.pension.is_some_and(|p| p.employee) && chance.percent(80) {
                    is.pension = None;
                }
                if children == 0 && chance.percent(15) {
                    is.extreme = Some(days(SNAPSHOT, -chance.range(100, 2000)));
                }
            }
        }
        Story::Students => {
            for (p, years) in members.iter().zip(&ages) {
                if (15..24).contains(years) {
                    let birth = kin.people[*p].birth;
                    let graduate = chance.percent(20);
                    let is = &mut kin.people[*p].is;
                    if is.custody.is_none() {
                        is.study = Some(Study {
                            upper: '4',
                            college: if chance.percent(70) { '7' } else { '6' },
                            graduate,
                            special: false,
                            status: if age(birth, TODAY) >= 18 && chance.percent(8) { "2" } else { "1" },
                            full_time: true,
                        });
                        if is.study.is_some_and(|s| s.stage(birth, 2025).is_some()) {
                            is.jobs.clear();
                            is.unemployed = None;
                        }
                    }
                }
            }
        }
        Story::SingleParent | Story::Concealing | Story::Farmer => {}
    }
}
