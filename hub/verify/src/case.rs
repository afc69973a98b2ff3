//! One run: an application, a moment and the rows that may be seen from it (computation 1).
//!
//! [`Case`] answers “which rows has person p?” and hides everything that decides it: the version in force at `as_of`,
//! the aliases of a number, the agreement of number and name, and the authorisation of the person (section 6). No
//! other module reads a table directly, except kinship through second numbers, which uses [`Case::usable`].
//!
//! A case also remembers whom it asked about ([`Case::touched`]), so that a source which loads by person knows what
//! is still missing; a store that holds everything ignores it.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use minqiao_core::Timestamp;

use crate::authorisation;
use crate::calendar::{Day, Window};
use crate::cell::{Code, Show, Text};
use crate::fact_map::{Fact, Rule, Rules};
use crate::facts::{ByNumber, Facts, Link};
use crate::items::{
    AnyRow, AssistanceApplication, DeclaredHouseholdMember, HouseholdRegisterMember, Named, ResidentIdentity, Row,
    item_code,
};
use crate::names::{Agreement, fold};
use crate::number::Citizen;
use crate::parameters::Settings;
use crate::registers::Pair;
use crate::standing::Standing;

/// One line of the query log (computation 7.4).
#[derive(Debug, Clone)]
pub struct Query {
    /// Number asked about.
    pub person: Citizen,
    /// Item number.
    pub item: u8,
    /// Institution asked.
    pub institution_code: String,
    /// Batch.
    pub query_batch_no: String,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When it is overdue; null: the default deadline.
    pub deadline_at: Option<Timestamp>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// Rows of the answer.
    pub row_count: Option<i64>,
}

/// Operational inputs beside the catalogue's rows.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Aliases entered by an operator, old to new.
    pub aliases: ByNumber<Citizen>,
    /// The query log; `None` when there is none.
    pub query_log: Option<Vec<Query>>,
    reverse: ByNumber<Vec<Citizen>>,
    by_person: ByNumber<Vec<u32>>,
}

impl Inputs {
    /// Inputs, indexed.
    pub fn new(aliases: ByNumber<Citizen>, query_log: Option<Vec<Query>>) -> Self {
        let mut reverse: ByNumber<Vec<Citizen>> = ByNumber::default();
        for (old, new) in &aliases {
            reverse.entry(*new).or_default().push(*old);
        }
        let mut by_person: ByNumber<Vec<u32>> = ByNumber::default();
        for (at, query) in query_log.iter().flatten().enumerate() {
            by_person.entry(query.person).or_default().push(at as u32);
        }
        Self { aliases, query_log, reverse, by_person }
    }

    /// Queries about a stored number.
    pub(crate) fn queries(&self, number: Citizen) -> impl Iterator<Item = &Query> {
        let log = self.query_log.as_deref().unwrap_or_default();
        self.by_person.get(&number).into_iter().flatten().filter_map(|at| log.get(*at as usize))
    }
}

/// What the application says about a person (computation 2.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared<'a> {
    pub(crate) role: Code,
    pub(crate) relation: Code,
    pub(crate) reason: Code,
    pub(crate) row: Option<&'a DeclaredHouseholdMember>,
    pub(crate) identity: Agreement,
}

impl Declared<'_> {
    pub(crate) fn is_member(&self) -> bool {
        self.role.is("01")
    }
}

/// What is known about a person, filled as it is asked for.
#[derive(Debug)]
pub(crate) struct Card<'a> {
    pub(crate) numbers: Vec<Citizen>,
    pub(crate) identity: Option<&'a ResidentIdentity>,
    names: OnceCell<(String, Option<String>)>,
    covered: OnceCell<u128>,
    register: OnceCell<Option<&'a HouseholdRegisterMember>>,
    pub(crate) standing: Standing,
    pub(crate) pairs: OnceCell<Rc<[Pair]>>,
}

/// A row whose name does not belong to its number, and who it is about.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) person: Citizen,
    pub(crate) item: u8,
    pub(crate) key: String,
}

/// One run.
pub struct Case<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) rules: &'a Rules,
    pub(crate) settings: Settings<'a>,
    pub(crate) inputs: &'a Inputs,
    pub(crate) show: &'a Show<'a>,
    pub(crate) as_of: Timestamp,
    /// Query day.
    pub(crate) q: Day,
    /// Base date.
    pub(crate) base: Day,
    pub(crate) application: &'a AssistanceApplication,
    pub(crate) applicant: Citizen,
    pub(crate) declared: ByNumber<Declared<'a>>,
    /// Declared persons in ascending order, the applicant not among them unless a row names them.
    pub(crate) declared_order: Vec<Citizen>,
    /// Persons of whom every declared row mismatches.
    pub(crate) declared_mismatched: HashSet<Citizen>,
    pub(crate) declared_mismatches: Vec<Mismatch>,
    cards: RefCell<ByNumber<Rc<Card<'a>>>>,
    persons: RefCell<ByNumber<Citizen>>,
    touched: RefCell<ByNumber<bool>>,
}

impl std::fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("as_of", &self.as_of).finish_non_exhaustive()
    }
}

/// What a case is made from.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Rows.
    pub facts: &'a Facts,
    /// Table 3.1.
    pub rules: &'a Rules,
    /// Operational inputs.
    pub inputs: &'a Inputs,
    /// How citizen numbers are printed.
    pub show: &'a Show<'a>,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

/// Items that decide who belongs to a household; a source loads them for more persons than the others.
pub(crate) const KIN_ITEMS: [u8; 10] = [3, 10, 18, 19, 20, 21, 23, 27, 28, 49];
pub(crate) const KIN_ITEMS_MORE: [u8; 2] = [56, 70];

fn is_kin(item: u8) -> bool {
    KIN_ITEMS.contains(&item) || KIN_ITEMS_MORE.contains(&item)
}

impl<'a> Case<'a> {
    /// Opens a case. The caller has found the application and resolved parameters for its county and base date.
    pub(crate) fn open(
        known: Known<'a>,
        settings: Settings<'a>,
        application: &'a AssistanceApplication,
        as_of: Timestamp,
        base: Day,
    ) -> Self {
        let mut case = Self {
            facts: known.facts,
            rules: known.rules,
            settings,
            inputs: known.inputs,
            show: known.show,
            as_of,
            q: Day::of(as_of),
            base,
            application,
            applicant: application.applicant_citizen_id,
            declared: ByNumber::default(),
            declared_order: Vec::new(),
            declared_mismatched: HashSet::new(),
            declared_mismatches: Vec::new(),
            cards: RefCell::default(),
            persons: RefCell::default(),
            touched: RefCell::default(),
        };
        case.applicant = case.person(application.applicant_citizen_id);
        case.read_declared();
        case
    }

    fn read_declared(&mut self) {
        let number = self.text(self.application.application_no);
        let mut rows: HashMap<Citizen, Vec<(&'a DeclaredHouseholdMember, Agreement)>> = HashMap::new();
        let mut mismatches = Vec::new();
        for row in self.facts.declared(number, self.as_of.0).filter(|r| !r.member_role_code.is("06")) {
            let person = self.person(row.citizen_id);
            let agreement = self.agreement(row.citizen_id, row.full_name);
            if agreement == Agreement::Mismatched {
                let key = self.facts.key(row, self.show);
                mismatches.push(Mismatch { person, item: 9, key });
            }
            rows.entry(person).or_default().push((row, agreement));
        }
        for (person, mut of_person) in rows {
            of_person.retain(|(_, agreement)| *agreement != Agreement::Mismatched);
            let Some((row, identity)) =
                of_person.into_iter().min_by_key(|(row, _)| (row.citizen_id != person, row.citizen_id))
            else {
                self.declared_mismatched.insert(person);
                continue;
            };
            let declared = Declared {
                role: row.member_role_code,
                relation: row.relation_to_applicant_code,
                reason: row.excluded_reason_code,
                row: Some(row),
                identity,
            };
            self.declared.insert(person, declared);
        }
        let row = self.declared.get(&self.applicant).and_then(|d| d.row);
        let [member, none] = [Code::new("01"), Code::new("0")].map(|c| c.expect("two characters fit"));
        let identity = self.agreement(self.application.applicant_citizen_id, self.application.applicant_name);
        let applicant = Declared { role: member, relation: member, reason: none, row, identity };
        self.declared.insert(self.applicant, applicant);
        self.declared_order = self.declared.keys().copied().collect();
        self.declared_order.sort_unstable();
        self.declared_mismatches = mismatches;
    }

    /// The characters of a text.
    pub(crate) fn text(&self, text: Text) -> &'a str {
        self.facts.text(text)
    }

    /// `decl(p)`.
    pub(crate) fn decl(&self, person: Citizen) -> Option<&Declared<'a>> {
        self.declared.get(&person)
    }

    fn touch(&self, number: Citizen, facts: bool) {
        let mut touched = self.touched.borrow_mut();
        *touched.entry(number).or_default() |= facts;
    }

    /// Notes that the facts of a person will be asked for.
    pub(crate) fn ask(&self, person: Citizen) {
        for number in &self.card(person).numbers {
            self.touch(*number, true);
        }
    }

    /// Everyone asked about: true where also facts were asked.
    pub fn touched(&self) -> Vec<(Citizen, bool)> {
        self.touched.borrow().iter().map(|(n, f)| (*n, *f)).collect()
    }

    fn identity_of(&self, number: Citizen) -> Option<&'a ResidentIdentity> {
        self.touch(number, false);
        self.facts.tables.resident_identity.of(number).iter().find_map(|e| e.current(self.as_of.0))
    }

    fn next_alias(&self, number: Citizen) -> Option<Citizen> {
        self.identity_of(number)
            .and_then(|row| row.replaced_by_citizen_id)
            .or_else(|| self.inputs.aliases.get(&number).copied())
    }

    /// `person(n)`: the end of the alias chain; a number whose chain runs into a cycle stays itself.
    pub(crate) fn person(&self, number: Citizen) -> Citizen {
        if let Some(person) = self.persons.borrow().get(&number) {
            return *person;
        }
        let mut seen = vec![number];
        let mut at = number;
        let person = loop {
            match self.next_alias(at) {
                None => break at,
                Some(next) if seen.contains(&next) => break number,
                Some(next) => {
                    seen.push(next);
                    at = next;
                }
            }
        };
        self.persons.borrow_mut().insert(number, person);
        person
    }

    fn numbers(&self, person: Citizen) -> Vec<Citizen> {
        let mut numbers = vec![person];
        let mut at = 0;
        while let Some(number) = numbers.get(at).copied() {
            at += 1;
            self.touch(number, false);
            let register = self.facts.linked(Link::ReplacedBy, number).iter().filter_map(|i| {
                let entry = &self.facts.tables.resident_identity.all()[*i as usize];
                entry.current(self.as_of.0).map(|row| row.citizen_id)
            });
            let operator = self.inputs.reverse.get(&number).into_iter().flatten().copied();
            let before: Vec<Citizen> = register.chain(operator).collect();
            for old in before {
                if !numbers.contains(&old) && self.person(old) == person {
                    numbers.push(old);
                }
            }
        }
        numbers.sort_unstable();
        numbers
    }

    /// What is known about a person.
    pub(crate) fn card(&self, person: Citizen) -> Rc<Card<'a>> {
        if let Some(card) = self.cards.borrow().get(&person) {
            return Rc::clone(card);
        }
        let card = Rc::new(Card {
            numbers: self.numbers(person),
            identity: self.identity_of(person),
            names: OnceCell::new(),
            covered: OnceCell::new(),
            register: OnceCell::new(),
            standing: Standing::default(),
            pairs: OnceCell::new(),
        });
        self.cards.borrow_mut().insert(person, Rc::clone(&card));
        card
    }

    /// Whether a name belongs to a number (R-IDM-02), in the order of ruling “1.6 names”.
    pub(crate) fn agreement(&self, number: Citizen, name: Text) -> Agreement {
        let card = self.card(self.person(number));
        let Some(identity) = card.identity else { return Agreement::NotFound };
        let (full, former) = card.names.get_or_init(|| {
            (fold(self.text(identity.full_name)), identity.former_name.map(|name| fold(self.text(name))))
        });
        let name = self.text(name);
        if name == self.text(identity.full_name) && !full.is_empty() {
            return Agreement::Matched;
        }
        let name = fold(name);
        if name.is_empty() {
            Agreement::Mismatched
        } else if name == *full {
            Agreement::Matched
        } else if former.as_ref() == Some(&name) {
            Agreement::MatchedFormer
        } else {
            Agreement::Mismatched
        }
    }

    fn agrees(&self, named: Named) -> bool {
        let (Some(number), Some(name)) = (named.number, named.name) else { return true };
        self.agreement(number, name) != Agreement::Mismatched
    }

    /// Every name of the row belongs to its number; authorisation is not asked.
    pub(crate) fn usable(&self, row: &dyn AnyRow) -> bool {
        row.no() == 20 || (self.agrees(row.named()) && row.also_named().into_iter().all(|named| self.agrees(named)))
    }

    /// Current rows of a person before names and authorisation.
    pub(crate) fn current<T: Row>(&self, person: Citizen) -> Vec<&'a T> {
        let card = self.card(person);
        if !is_kin(T::NO) {
            card.numbers.iter().for_each(|n| self.touch(*n, true));
        }
        let mut rows = Vec::new();
        for number in &card.numbers {
            rows.extend(T::table(self.facts).of(*number).iter().filter_map(|e| e.current(self.as_of.0)));
        }
        rows
    }

    /// The rows of a person that may be used.
    pub(crate) fn rows<T: Row>(&self, person: Citizen) -> Vec<&'a T> {
        let mut rows = self.current::<T>(person);
        if !rows.is_empty() {
            if !self.covered::<T>(person) {
                return Vec::new();
            }
            rows.retain(|row| self.usable(*row));
        }
        rows
    }

    /// Current rows of a person in an item's table, before names; none where an authorisation is missing.
    pub(crate) fn any_current(&self, item: u8, person: Citizen) -> Vec<&'a dyn AnyRow> {
        let card = self.card(person);
        let mut rows = Vec::new();
        for number in &card.numbers {
            if !is_kin(item) {
                self.touch(*number, true);
            }
            rows.extend(self.facts.any_of(item, *number, self.as_of.0));
        }
        if !rows.is_empty() && self.rules.of(item).auth && !self.covers(person, item) {
            rows.clear();
        }
        rows
    }

    /// The rule of an item.
    pub(crate) fn rule<T: Row>(&self) -> &'a Rule {
        self.rules.of(T::NO)
    }

    /// The only or first fact of an item.
    pub(crate) fn fact<T: Row>(&self) -> &'a Fact {
        self.rule::<T>().main()
    }

    /// Rows of a person that pass the item's filter.
    pub(crate) fn passing<T: Row>(&self, person: Citizen) -> Vec<&'a T> {
        let mut rows = self.rows::<T>(person);
        if !rows.is_empty() {
            let fact = self.fact::<T>();
            rows.retain(|row| fact.passes(*row, &self.settings));
        }
        rows
    }

    /// Rows of a person that pass the item's filter and are in force on Q.
    pub(crate) fn in_force<T: Row>(&self, person: Citizen) -> Vec<&'a T> {
        let mut rows = self.passing::<T>(person);
        if !rows.is_empty() {
            let fact = self.fact::<T>();
            rows.retain(|row| fact.in_force(*row, self.q));
        }
        rows
    }

    /// Section 6 for an item by number.
    pub(crate) fn covers(&self, person: Citizen, item: u8) -> bool {
        let card = self.card(person);
        card.covered.get_or_init(|| authorisation::coverage(self, person)) >> item & 1 == 1
    }

    fn covered<T: Row>(&self, person: Citizen) -> bool {
        !self.rule::<T>().auth || self.covers(person, T::NO)
    }

    /// `hr(p)`: greatest by time, household number; then the smallest stored number.
    pub(crate) fn register(&self, person: Citizen) -> Option<&'a HouseholdRegisterMember> {
        let card = self.card(person);
        *card.register.get_or_init(|| {
            self.rows::<HouseholdRegisterMember>(person)
                .into_iter()
                .max_by_key(|row| (row.updated_at, self.text(row.household_no), std::cmp::Reverse(row.citizen_id)))
        })
    }

    /// `hh(p)`.
    pub(crate) fn household(&self, person: Citizen) -> Option<&'a str> {
        self.register(person).map(|row| self.text(row.household_no))
    }

    /// Both have the same household number, which is not null.
    pub(crate) fn same_household(&self, a: Citizen, b: Citizen) -> bool {
        self.household(a).is_some_and(|hh| self.household(b) == Some(hh))
    }

    /// Age on Q.
    pub(crate) fn age(&self, person: Citizen) -> i32 {
        person.age_on(self.q)
    }

    /// `WIN(w)`.
    pub(crate) fn window(&self) -> Window {
        Window::before(self.base, self.settings.window_months)
    }

    /// `WIN(12)`.
    pub(crate) fn year(&self) -> Window {
        Window::before(self.base, 12)
    }

    /// Natural key of a row as it is printed.
    pub(crate) fn key(&self, row: &dyn AnyRow) -> String {
        self.facts.key(row, self.show)
    }

    /// Code of an item by number.
    pub(crate) fn item(&self, no: u8) -> &'static str {
        item_code(no)
    }
}
