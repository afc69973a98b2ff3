//! Members and obligors (computation section 2): states on the query day, edges, counted persons, who owes whom.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDate;

use crate::{
    calendar::{TODAY, age, at, date, day_of},
    items::{
        Ts,
        civil_affairs::{
            AssistanceApplication, CremationRecord, DeclaredHouseholdMember, ExtremePovertySupport,
            MarriageRegistration, VerificationAuthorization,
        },
        disabled_persons_federation::DisabilityCertificate,
        education::StudentEnrolment,
        health_commission::BirthCertificate,
        judicial_administration::{CompulsoryIsolationRehab, PrisonInmate},
        public_security::{DeathCancellation, HouseholdRegisterMember, ResidentIdentity},
    },
    life::register::printed_birth,
    parameters::{Parameters, parameters},
    row::Text,
};

use super::view::View;

/// The as-of time of every run: 20:00 of the city's today.
pub(crate) fn as_of() -> Ts {
    at(TODAY, 20 * 60)
}

/// Query day.
pub(crate) const QUERY: NaiveDate = TODAY;

/// A number; ordered as text.
pub(crate) type Id = String;

/// Married couples and parents.
#[derive(Debug, Default, Clone)]
pub(crate) struct Graph {
    spouse: HashMap<Id, Id>,
    parents: HashMap<Id, BTreeSet<Id>>,
    children: HashMap<Id, BTreeSet<Id>>,
    grand: HashSet<(Id, Id)>,
    siblings: HashSet<(Id, Id)>,
}

/// One application with everything known about its family.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    pub(crate) view: &'a View,
    pub(crate) application: AssistanceApplication,
    pub(crate) applicant: Id,
    /// Base date.
    pub(crate) base: NaiveDate,
    pub(crate) parameters: Parameters,
    declared: BTreeMap<Id, DeclaredHouseholdMember>,
    registers: HashMap<Id, HouseholdRegisterMember>,
    authorizations: HashMap<Id, Vec<VerificationAuthorization>>,
    dead: HashSet<Id>,
    missing: HashSet<Id>,
    emigrated: HashSet<Id>,
    prison: HashSet<Id>,
    rehab: HashSet<Id>,
    pub(crate) extreme: HashSet<Id>,
    severe: HashSet<Id>,
    student: HashSet<Id>,
    enrolled: HashSet<Id>,
    graph: Graph,
    /// The same without declarations (3.9).
    registered: Graph,
    pub(crate) counted: BTreeSet<Id>,
    pub(crate) excluded: BTreeSet<Id>,
    /// (obligor, member).
    pub(crate) duties: BTreeSet<(Id, Id)>,
}

/// In force on the query day: started, and not yet ended (the end is the first day out of force).
pub(crate) fn in_force(start: NaiveDate, end: Option<NaiveDate>) -> bool {
    start <= QUERY && end.is_none_or(|e| e > QUERY)
}

/// HUB_RECORD_STATUS that counts.
pub(crate) fn recorded(code: &Text) -> bool {
    matches!(&**code, "1" | "3")
}

fn male(id: &str) -> bool {
    id.as_bytes().get(16).is_some_and(|b| (b - b'0') % 2 == 1)
}

/// Completed years on a day, by the number.
pub(crate) fn years(id: &str, on: NaiveDate) -> i32 {
    printed_birth(id).map_or(0, |b| age(b, on))
}

impl<'a> Family<'a> {
    /// Reads the application `number` of `seat`; None when no such row is seen.
    pub(crate) fn new(view: &'a View, number: &Text, seat: usize) -> Option<Family<'a>> {
        let application = view.all::<AssistanceApplication>().into_iter().find(|a| a.application_no == *number)?;
        let base = day_of(application.applied_at);
        let parameters = parameters(seat, &application.guarantee_category_code, base);
        let applicant = view.person(&application.applicant_citizen_id);
        let mut family = Family {
            view,
            applicant,
            base,
            parameters,
            declared: BTreeMap::new(),
            registers: HashMap::new(),
            authorizations: HashMap::new(),
            dead: HashSet::new(),
            missing: HashSet::new(),
            emigrated: HashSet::new(),
            prison: HashSet::new(),
            rehab: HashSet::new(),
            extreme: HashSet::new(),
            severe: HashSet::new(),
            student: HashSet::new(),
            enrolled: HashSet::new(),
            graph: Graph::default(),
            registered: Graph::default(),
            counted: BTreeSet::new(),
            excluded: BTreeSet::new(),
            duties: BTreeSet::new(),
            application,
        };
        family.read_declared();
        family.read_registers();
        family.read_authorizations();
        family.read_states();
        family.graph = family.edges(true);
        family.registered = family.edges(false);
        family.count();
        family.oblige();
        Some(family)
    }

    fn read_declared(&mut self) {
        let number = &self.application.application_no;
        let mut rows: Vec<DeclaredHouseholdMember> = self
            .view
            .all::<DeclaredHouseholdMember>()
            .into_iter()
            .filter(|d| d.application_no == *number && &*d.member_role_code != "06")
            .collect();
        // Of several rows of a person the one under the canonical number, else the smallest number.
        rows.sort_by_key(|d| {
            let person = self.view.person(&d.citizen_id);
            (*d.citizen_id != *person, d.citizen_id.to_string())
        });
        for row in rows {
            self.declared.entry(self.view.person(&row.citizen_id)).or_insert(row);
        }
    }

    fn read_registers(&mut self) {
        let mut rows = self.view.all::<HouseholdRegisterMember>();
        rows.sort_by(|a, b| {
            (b.updated_at, &*b.household_no, &*a.citizen_id).cmp(&(a.updated_at, &*a.household_no, &*b.citizen_id))
        });
        for row in rows {
            self.registers.entry(self.view.person(&row.citizen_id)).or_insert(row);
        }
    }

    fn read_authorizations(&mut self) {
        for row in self.view.all::<VerificationAuthorization>() {
            self.authorizations.entry(self.view.person(&row.grantor_citizen_id)).or_default().push(row);
        }
    }

    /// Section 6: `p` is covered for `item`.
    pub(crate) fn covered(&self, p: &str, item: &str) -> bool {
        let Some(rows) = self.authorizations.get(p) else { return false };
        let now = as_of();
        rows.iter().any(|a| {
            let in_time = &*a.status_code == "1"
                && a.signed_at <= now
                && a.valid_from <= QUERY
                && a.valid_until.is_none_or(|d| d >= QUERY)
                && a.revoked_at.is_none_or(|r| r > now);
            let scope =
                &*a.scope_codes == "ALL" || a.scope_codes.split(',').any(|c| c.trim() == item && c.trim() != "ALL");
            let signer =
                years(p, day_of(a.signed_at)) >= 16 || (&*a.sign_method_code == "4" && a.agent_citizen_id.is_some());
            let bound = self.declared.get(p).is_none_or(|d| d.authorization_no == a.authorization_no);
            in_time && scope && signer && bound
        })
    }

    fn read_states(&mut self) {
        let view = self.view;
        for row in view.all::<DeathCancellation>() {
            let p = view.person(&row.citizen_id);
            match &*row.cancel_reason_code {
                "1" | "2" if row.death_date <= QUERY => drop(self.dead.insert(p)),
                "3" if row.death_date <= QUERY => drop(self.missing.insert(p)),
                "4" if row.cancelled_on <= QUERY => drop(self.emigrated.insert(p)),
                _ => {}
            }
        }
        for row in view.all::<CremationRecord>() {
            if row.death_date.unwrap_or(row.cremated_on) <= QUERY {
                self.dead.insert(view.person(&row.citizen_id));
            }
        }
        for row in view.all::<ResidentIdentity>() {
            // The row of a replaced number feeds the alias only.
            if row.replaced_by_citizen_id.is_some() {
                continue;
            }
            let p = view.person(&row.citizen_id);
            match &*row.person_status_code {
                "2" => drop(self.dead.insert(p)),
                "4" => drop(self.emigrated.insert(p)),
                "6" => drop(self.missing.insert(p)),
                _ => {}
            }
        }
        let held = |from: NaiveDate, released: Option<NaiveDate>, status: &Text| {
            from <= QUERY && released.map_or(&**status == "1", |r| r > QUERY)
        };
        for row in view.all::<PrisonInmate>() {
            let p = view.person(&row.citizen_id);
            if held(row.custody_started_on, row.released_on, &row.custody_status_code)
                && self.covered(&p, "prison_inmate")
            {
                self.prison.insert(p);
            }
        }
        for row in view.all::<CompulsoryIsolationRehab>() {
            let p = view.person(&row.citizen_id);
            if held(row.started_on, row.released_on, &row.custody_status_code)
                && self.covered(&p, "compulsory_isolation_rehab")
            {
                self.rehab.insert(p);
            }
        }
        for row in view.all::<ExtremePovertySupport>() {
            if matches!(&*row.status_code, "1" | "4") && in_force(row.approved_on, row.terminated_on) {
                self.extreme.insert(view.person(&row.citizen_id));
            }
        }
        for row in view.all::<DisabilityCertificate>() {
            if certified(&row) && severe(&row) {
                self.severe.insert(view.person(&row.citizen_id));
            }
        }
        for row in view.all::<StudentEnrolment>() {
            let in_year = academic_year(&row.academic_year)
                .is_some_and(|y| date(y, 9, 1) <= QUERY && QUERY <= date(y + 1, 8, 31));
            let enrolled = row.is_full_time
                && &*row.enrol_status_code == "1"
                && row.enrolled_on <= QUERY
                && in_year
                && row.expected_end_on.is_none_or(|e| e >= QUERY);
            if enrolled {
                let p = view.person(&row.citizen_id);
                if matches!(&*row.stage_code, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "9") {
                    self.student.insert(p.clone());
                }
                self.enrolled.insert(p);
            }
        }
    }

    /// Dead on the query day.
    pub(crate) fn is_dead(&self, p: &str) -> bool {
        self.dead.contains(p)
    }

    /// In custody on the query day, as far as the person's authorisation shows it.
    pub(crate) fn in_custody(&self, p: &str) -> bool {
        self.prison.contains(p) || self.rehab.contains(p)
    }

    /// R-CAT-05.
    pub(crate) fn is_severe(&self, p: &str) -> bool {
        self.severe.contains(p)
    }

    /// Under eighteen.
    pub(crate) fn is_minor(&self, p: &str) -> bool {
        years(p, QUERY) < 18
    }

    fn state(&self, p: &str, religious: bool) -> bool {
        self.dead.contains(p)
            || self.missing.contains(p)
            || self.emigrated.contains(p)
            || self.in_custody(p)
            || (religious
                && self.declared.get(p).is_some_and(|d| p != self.applicant && &*d.excluded_reason_code == "1"))
            || (self.extreme.contains(p) && p != self.applicant)
    }

    fn role(&self, p: &str) -> &str {
        if p == self.applicant { "01" } else { self.declared.get(p).map_or("", |d| &*d.member_role_code) }
    }

    fn booklet(&self, p: &str) -> Option<&str> {
        self.registers.get(p).map(|r| &*r.household_no)
    }

    /// What was declared to be paid by `p`, fen in twelve months.
    pub(crate) fn declared_paid(&self, p: &str) -> i64 {
        self.declared.get(p).and_then(|d| d.declared_maintenance_paid).map_or(0, |d| d.0)
    }
}

/// The first year of `YYYY-ZZZZ` with ZZZZ = YYYY + 1.
pub(crate) fn academic_year(text: &str) -> Option<i32> {
    let (first, second) = text.split_once('-')?;
    let (first, second): (i32, i32) = (first.parse().ok()?, second.parse().ok()?);
    (second == first + 1).then_some(first)
}

/// A certificate in force (computation 1.5).
pub(crate) fn certified(row: &DisabilityCertificate) -> bool {
    &*row.certificate_status_code == "1" && row.issued_on <= QUERY && row.valid_until.is_none_or(|d| d >= QUERY)
}

fn severe(row: &DisabilityCertificate) -> bool {
    match (&*row.disability_type_code, &*row.disability_grade_code) {
        (_, "1" | "2") => true,
        (kind, "3") => matches!(kind, "5" | "6"),
        _ => false,
    }
}

/// Edges (2.3).
impl Family<'_> {
    fn edges(&self, declarations: bool) -> Graph {
        let mut graph = Graph::default();
        let (ended, in_force) = self.marriages();
        self.spouses(&mut graph, &ended, &in_force, declarations);
        self.parents(&mut graph, declarations);
        let statements = self.statements(declarations);
        for (_, from, to, code) in &statements {
            match code.as_str() {
                // Seen from `from`: a grandchild, a grandparent, a sibling.
                "40" | "41" | "42" | "43" | "44" => drop(graph.grand.insert((from.clone(), to.clone()))),
                "60" | "61" | "62" | "63" | "64" => drop(graph.grand.insert((to.clone(), from.clone()))),
                "71" | "73" | "75" | "77" => {
                    graph.siblings.insert((from.clone(), to.clone()));
                    graph.siblings.insert((to.clone(), from.clone()));
                }
                _ => {}
            }
        }
        let mut derived = Vec::new();
        for children in graph.children.values() {
            for a in children {
                for b in children {
                    if a != b {
                        derived.push((a.clone(), b.clone()));
                    }
                }
            }
        }
        graph.siblings.extend(derived);
        let mut grand = Vec::new();
        for (parent, children) in &graph.children {
            for child in children {
                for grandchild in graph.children.get(child).into_iter().flatten() {
                    grand.push((parent.clone(), grandchild.clone()));
                }
            }
        }
        graph.grand.extend(grand);
        graph
    }

    /// Registered pairs: those ended, and those in force.
    fn marriages(&self) -> (HashSet<(Id, Id)>, HashMap<Id, Id>) {
        type Event = (NaiveDate, u8);
        let mut events: BTreeMap<(Id, Id), Vec<Event>> = BTreeMap::new();
        let rank = |code: &str| match code {
            "1" => 0,
            "3" => 1,
            "2" => 2,
            "4" => 3,
            _ => 4,
        };
        for row in self.view.all::<MarriageRegistration>() {
            let Some(spouse) = &row.spouse_citizen_id else { continue };
            if !recorded(&row.record_status_code) || row.event_date > QUERY {
                continue;
            }
            let (a, b) = (self.view.person(&row.citizen_id), self.view.person(spouse));
            if a == b {
                continue;
            }
            let pair = if a < b { (a, b) } else { (b, a) };
            events.entry(pair).or_default().push((row.event_date, rank(&row.event_code)));
        }
        let mut ended = HashSet::new();
        // Per person the married pair with the latest last event, the smaller partner number on a tie.
        let mut latest: HashMap<Id, (NaiveDate, std::cmp::Reverse<Id>)> = HashMap::new();
        let mut married = Vec::new();
        for (pair, list) in events {
            let Some(last) = list.iter().max() else { continue };
            if last.1 <= 1 {
                for (me, other) in [(&pair.0, &pair.1), (&pair.1, &pair.0)] {
                    let mine = (last.0, std::cmp::Reverse(other.clone()));
                    let slot = latest.entry(me.clone()).or_insert_with(|| mine.clone());
                    if mine > *slot {
                        *slot = mine;
                    }
                }
                married.push(pair);
            } else {
                ended.insert(pair);
            }
        }
        let mut in_force = HashMap::new();
        for (a, b) in married {
            let agree = latest.get(&a).is_some_and(|l| l.1.0 == b) && latest.get(&b).is_some_and(|l| l.1.0 == a);
            if agree && !self.is_dead(&a) && !self.is_dead(&b) {
                in_force.insert(a.clone(), b.clone());
                in_force.insert(b, a);
            }
        }
        (ended, in_force)
    }

    /// Statements of relation: (level, from, to, code): `to` is `code` seen from `from`.
    fn statements(&self, declarations: bool) -> Vec<(u8, Id, Id, String)> {
        let mut all = Vec::new();
        if declarations {
            for (p, row) in &self.declared {
                if *p != self.applicant {
                    all.push((4, self.applicant.clone(), p.clone(), row.relation_to_applicant_code.to_string()));
                }
            }
        }
        for (p, row) in &self.registers {
            let head = self.view.person(&row.head_citizen_id);
            if head != *p && self.booklet(&head) == Some(&*row.household_no) {
                all.push((5, head, p.clone(), row.relation_to_head_code.to_string()));
            }
        }
        all.sort();
        all
    }

    fn spouses(&self, graph: &mut Graph, ended: &HashSet<(Id, Id)>, in_force: &HashMap<Id, Id>, declarations: bool) {
        let ordered = |a: &Id, b: &Id| if a < b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
        let mut candidates: BTreeSet<(u8, (Id, Id))> = BTreeSet::new();
        for (a, b) in in_force {
            candidates.insert((1, ordered(a, b)));
        }
        let mut stated: Vec<(u8, (Id, Id))> = Vec::new();
        for (p, row) in &self.registers {
            if let Some(spouse) = &row.spouse_citizen_id {
                stated.push((2, ordered(p, &self.view.person(spouse))));
            }
        }
        for (level, from, to, code) in self.statements(declarations) {
            if matches!(code.as_str(), "10" | "11" | "12") {
                stated.push((level, ordered(&from, &to)));
            }
        }
        for (level, pair) in stated {
            let third = |me: &Id, other: &Id| in_force.get(me).is_some_and(|x| x != other);
            let rejected = ended.contains(&pair)
                || third(&pair.0, &pair.1)
                || third(&pair.1, &pair.0)
                || self.is_dead(&pair.0)
                || self.is_dead(&pair.1);
            if !rejected && pair.0 != pair.1 {
                candidates.insert((level, pair));
            }
        }
        for (_, (a, b)) in candidates {
            if !graph.spouse.contains_key(&a) && !graph.spouse.contains_key(&b) {
                graph.spouse.insert(a.clone(), b.clone());
                graph.spouse.insert(b, a);
            }
        }
    }

    fn parents(&self, graph: &mut Graph, declarations: bool) {
        // Per child and slot (true = father): the statement of the smallest level, then the smallest number.
        let mut slots: BTreeMap<(Id, bool), (u8, Id)> = BTreeMap::new();
        let mut outside: Vec<(Id, Id)> = Vec::new();
        let mut state = |child: &Id, father: bool, level: u8, parent: Id| {
            if *child == parent {
                return;
            }
            let said = (level, parent);
            let slot = slots.entry((child.clone(), father)).or_insert_with(|| said.clone());
            if said < *slot {
                *slot = said;
            }
        };
        for (p, row) in &self.registers {
            for (parent, father) in [(&row.father_citizen_id, true), (&row.mother_citizen_id, false)] {
                if let Some(parent) = parent {
                    state(p, father, 2, self.view.person(parent));
                }
            }
        }
        for row in self.view.all::<BirthCertificate>() {
            let Some(child) = &row.newborn_citizen_id else { continue };
            if !recorded(&row.record_status_code) {
                continue;
            }
            let child = self.view.person(child);
            state(&child, false, 3, self.view.person(&row.mother_citizen_id));
            if let Some(father) = &row.father_citizen_id {
                state(&child, true, 3, self.view.person(father));
            }
        }
        for (level, from, to, code) in self.statements(declarations) {
            match code.as_str() {
                "20" | "21" | "22" | "23" | "24" | "25" | "26" | "30" | "31" | "32" | "33" | "34" | "35" | "36" => {
                    state(&to, male(&from), level, from);
                }
                "50" | "51" | "52" => state(&from, male(&to), level, to),
                "27" | "37" => outside.push((from, to)),
                "57" | "58" => outside.push((to, from)),
                _ => {}
            }
        }
        let inside = slots.into_iter().map(|((child, _), (_, parent))| (parent, child));
        for (parent, child) in inside.chain(outside) {
            graph.children.entry(parent.clone()).or_default().insert(child.clone());
            graph.parents.entry(child).or_default().insert(parent);
        }
    }
}

/// Dependence, members, obligors (2.4 to 2.7).
impl Family<'_> {
    fn dependent(&self, graph: &Graph, p: &str) -> bool {
        self.is_minor(p) || (!graph.spouse.contains_key(p) && (self.student.contains(p) || self.severe.contains(p)))
    }

    fn attributed(&self, graph: &Graph, c: &str, p: &str, declarations: bool) -> bool {
        if self.is_dead(c) || self.is_dead(p) {
            return false;
        }
        if declarations && self.role(c) == "01" {
            return true;
        }
        let others: Vec<&Id> = graph.parents.get(c).into_iter().flatten().filter(|q| *q != p).collect();
        let spouse = graph.spouse.get(p);
        if others.iter().all(|q| self.is_dead(q) || spouse == Some(*q)) {
            return true;
        }
        let home = self.booklet(p);
        home.is_some()
            && self.booklet(c) == home
            && others.iter().filter(|q| !self.is_dead(q)).all(|q| self.booklet(q).is_none_or(|h| Some(h) != home))
    }

    fn add(&mut self, p: &Id) {
        if self.counted.contains(p) || self.excluded.contains(p) {
            return;
        }
        if self.state(p, true) {
            self.excluded.insert(p.clone());
            return;
        }
        let past_school = years(p, QUERY) >= 18 && self.enrolled.contains(p) && !self.student.contains(p);
        if *p != self.applicant && past_school {
            let of_household = self
                .graph
                .parents
                .get(p)
                .into_iter()
                .flatten()
                .any(|f| *f == self.applicant || self.counted.contains(f) || self.role(f) == "01");
            if of_household {
                self.excluded.insert(p.clone());
                return;
            }
        }
        self.counted.insert(p.clone());
        self.expand(p);
    }

    fn expand(&mut self, p: &Id) {
        let mut next: BTreeSet<Id> = self.graph.spouse.get(p).cloned().into_iter().collect();
        for c in self.graph.children.get(p).into_iter().flatten() {
            if self.dependent(&self.graph, c) && self.attributed(&self.graph, c, p, true) {
                next.insert(c.clone());
            }
        }
        if *p == self.applicant && self.dependent(&self.graph, p) {
            let home = self.booklet(p);
            for f in self.graph.parents.get(p).into_iter().flatten() {
                if self.role(f) == "01" || (home.is_some() && self.booklet(f) == home) {
                    next.insert(f.clone());
                }
            }
        }
        for x in next {
            self.add(&x);
        }
    }

    fn count(&mut self) {
        let applicant = self.applicant.clone();
        self.add(&applicant);
        if self.excluded.contains(&applicant) {
            self.expand(&applicant);
        }
        let waiting: Vec<Id> = self
            .declared
            .iter()
            .filter(|(p, d)| {
                self.role(p) == "01"
                    || (&*d.member_role_code == "05"
                        && matches!(&*d.excluded_reason_code, "2" | "3" | "4" | "5")
                        && !self.state(p, true))
            })
            .map(|(p, _)| p.clone())
            .collect();
        loop {
            let before = self.counted.len() + self.excluded.len();
            for x in &waiting {
                if !self.counted.contains(x) && !self.excluded.contains(x) && self.near(x) {
                    self.add(x);
                }
            }
            if self.counted.len() + self.excluded.len() == before {
                break;
            }
        }
        // Whoever is declared and not counted is excluded for one reason or another.
        for (p, d) in &self.declared {
            if matches!(&*d.member_role_code, "01" | "05") && !self.counted.contains(p) {
                self.excluded.insert(p.clone());
            }
        }
    }

    /// An edge with a counted person, or with the applicant if excluded.
    fn near(&self, x: &Id) -> bool {
        let graph = &self.graph;
        let with = |y: &Id| {
            graph.spouse.get(x) == Some(y)
                || graph.parents.get(x).is_some_and(|s| s.contains(y))
                || graph.children.get(x).is_some_and(|s| s.contains(y))
                || graph.siblings.contains(&(x.clone(), y.clone()))
                || graph.grand.contains(&(x.clone(), y.clone()))
                || graph.grand.contains(&(y.clone(), x.clone()))
        };
        self.counted.iter().any(&with) || (self.excluded.contains(&self.applicant) && with(&self.applicant))
    }

    fn oblige(&mut self) {
        let graph = &self.graph;
        let none = BTreeSet::new();
        let parents = |p: &Id| graph.parents.get(p).unwrap_or(&none);
        let children = |p: &Id| graph.children.get(p).unwrap_or(&none);
        let adult = |p: &Id| years(p, QUERY) >= 18;
        let mut duties = BTreeSet::new();
        for m in &self.counted {
            let mut owing: BTreeSet<Id> = BTreeSet::new();
            if self.dependent(graph, m) {
                owing.extend(parents(m).iter().cloned());
            }
            owing.extend(children(m).iter().filter(|c| adult(c)).cloned());
            let orphaned = !parents(m).is_empty() && parents(m).iter().all(|f| self.is_dead(f));
            if self.is_minor(m) && orphaned {
                owing.extend(graph.grand.iter().filter(|(_, c)| c == m).map(|(g, _)| g.clone()));
                owing.extend(
                    graph
                        .siblings
                        .iter()
                        .filter(|(a, b)| a == m && adult(b) && printed_birth(b) < printed_birth(m))
                        .map(|(_, b)| b.clone()),
                );
            }
            if !children(m).is_empty() && children(m).iter().all(|c| self.is_dead(c)) {
                owing.extend(graph.grand.iter().filter(|(g, c)| g == m && adult(c)).map(|(_, c)| c.clone()));
            }
            for o in owing {
                let gone = self.dead.contains(&o) || self.missing.contains(&o) || self.emigrated.contains(&o);
                if !self.counted.contains(&o) && !gone && o != *m {
                    duties.insert((o, m.clone()));
                }
            }
        }
        self.duties = duties;
    }

    /// The household of an obligor (3.9), by registers alone.
    pub(crate) fn household_of(&self, o: &Id) -> BTreeSet<Id> {
        let graph = &self.registered;
        let mut household: BTreeSet<Id> = BTreeSet::from([o.clone()]);
        let mut queue = vec![o.clone()];
        while let Some(p) = queue.pop() {
            let mut next: Vec<Id> = graph.spouse.get(&p).cloned().into_iter().collect();
            for c in graph.children.get(&p).into_iter().flatten() {
                if self.dependent(graph, c) && self.attributed(graph, c, &p, false) {
                    next.push(c.clone());
                }
            }
            for x in next {
                if !self.counted.contains(&x) && !self.state(&x, false) && household.insert(x.clone()) {
                    queue.push(x);
                }
            }
        }
        household
    }

    /// To how many persons outside `household` the obligor owes support or raising (k of 3.9).
    pub(crate) fn maintained(&self, o: &Id, household: &BTreeSet<Id>) -> usize {
        let mut all: BTreeSet<&Id> = self.graph.parents.get(o).into_iter().flatten().collect();
        all.extend(self.graph.children.get(o).into_iter().flatten().filter(|c| self.dependent(&self.graph, c)));
        all.extend(self.duties.iter().filter(|(x, _)| x == o).map(|(_, m)| m));
        all.into_iter().filter(|p| !self.is_dead(p) && !household.contains(*p)).count()
    }

    /// Children of `m` who are not dead.
    pub(crate) fn living_children(&self, m: &Id) -> usize {
        self.graph.children.get(m).into_iter().flatten().filter(|c| !self.is_dead(c)).count()
    }
}
