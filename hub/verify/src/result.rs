//! The result object of computation section 8. Field order is the order of keys; figures are strings, never floats.

use serde::{Deserialize, Serialize};

/// Section 8, all keys in that order. Money has two decimals, exact figures are `n/d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "computation.md section 8 documents the fields under the same names")]
pub struct Verification {
    pub application_no: String,
    pub as_of: String,
    pub base_date: String,
    pub query_date: String,
    pub county: String,
    pub scheme: String,
    pub standard_monthly: String,
    pub window: WindowOf,
    pub parameters_version: String,
    pub members: Vec<Member>,
    pub excluded: Vec<Excluded>,
    pub obligors: Vec<ObligorOf>,
    pub member_count: i64,
    pub income: Kinds,
    pub income_exact: Kinds,
    pub income_sources: Sources,
    pub income_by_member: Vec<MemberIncome>,
    pub wage_levels: Vec<WageLevel>,
    pub excluded_income: Vec<ExcludedIncome>,
    pub per_capita_monthly_exact: Option<String>,
    pub per_capita_monthly: Option<String>,
    pub property: PropertyOf,
    pub property_tests: PropertyTests,
    pub houses: Vec<HouseOf>,
    pub vehicles: Vec<VehicleOf>,
    pub businesses: Vec<BusinessOf>,
    pub lookback: Vec<LookbackOf>,
    pub rigid: RigidOf,
    pub category: String,
    pub category_code: Option<String>,
    pub single_person: SinglePerson,
    pub covered_count: i64,
    pub benefit_monthly: Option<i64>,
    pub grace: Grace,
    pub automatic_positive: bool,
    pub discrepancies: Vec<Discrepancy>,
    pub not_authorised: Vec<NotAuthorised>,
    pub not_answered: Vec<Unanswered>,
    pub pending: Vec<Unanswered>,
    pub findings: Vec<FindingOf>,
    pub report: Dates,
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            #[expect(missing_docs, reason = "computation.md section 8 documents the fields under the same names")]
            pub struct $name { $(pub $field: $type),* }
        )*
    };
}

parts! {
    /// `window`.
    WindowOf { from: String, to: String, months: i64 }
    /// One of `members`.
    Member {
        citizen_id: String, role: String, evidence: Option<u8>, declared: bool, declared_only: bool, age: i64,
        identity: String, minor: bool, student: bool, severe: bool, guaranteed: bool,
    }
    /// One of `excluded`.
    Excluded { citizen_id: String, reason_code: String, reason: String, declared_only: bool }
    /// One of `obligors`.
    ObligorOf {
        citizen_id: String, of: String, duty: String, evidence: u8, declared_only: bool, capacity: String,
        household_size: Option<i64>, household_income: Option<String>, excess_monthly_exact: Option<String>,
        maintained: Option<i64>, rate: Option<String>, pay_exact: Option<String>, pay: String, declared_paid: String,
    }
    /// `income` and `income_exact`.
    Kinds {
        wage: String, business: String, property: String, transfer: String, maintenance: String, deductions: String,
        disregard: String, total: String,
    }
    /// `income_sources`: `declared` or `registers`.
    Sources { wage: String, business: String, property: String }
    /// One of `income_by_member`.
    MemberIncome {
        citizen_id: String, wage: String, business: String, property: String, transfer: String, deductions: String,
    }
    /// One of `wage_levels`.
    WageLevel { citizen_id: String, month: String, level: u8 }
    /// One of `excluded_income`.
    ExcludedIncome { item: String, amount: String }
    /// `property`.
    PropertyOf {
        monetary_total: String, deposits: String, securities: String, insurance: String, payment: String,
        provident_fund: String, debts: String, monetary_limit_dibao: String, house_count: i64,
        house_area_exact: String, non_residential_count: i64, vehicle_count: i64, vehicle_counted: i64,
        machinery_count: i64, subscribed_capital: String,
    }
    /// `property_tests`; null when not tested.
    PropertyTests {
        monetary_dibao: bool, monetary_marginal: bool, monetary_rigid: bool, house: bool, vehicle: bool,
        capital: bool, non_residential: Option<bool>, machinery: Option<bool>,
    }
    /// One of `houses`.
    HouseOf { source: String, unit: String, share_exact: String, area: String, dropped_by: Option<String> }
    /// One of `vehicles`.
    VehicleOf { vin: String, exempt: Option<String> }
    /// One of `businesses`.
    BusinessOf { uscc: String, item: String, citizen_id: String, to_explain: bool, exempt_candidate: bool }
    /// One of `lookback`.
    LookbackOf { code: String, item: String, key: String, citizen_id: String, date: String }
    /// `rigid`.
    RigidOf {
        medical: String, education: String, rehab: String, living: String, aid: String, total: String,
        ratio_exact: Option<String>,
    }
    /// `single_person`.
    SinglePerson { requested: bool, eligible: Vec<String> }
    /// `grace`.
    Grace {
        eligible: bool, reason: Option<String>, from: Option<String>, until: Option<String>, amount: Option<String>,
    }
    /// One of `discrepancies`.
    Discrepancy {
        code: String, kind: String, subject: String, item: Option<String>, key: Option<String>, pair: Option<String>,
        declared: Option<String>, found: Option<String>, blocking: bool,
    }
    /// One of `not_authorised`.
    NotAuthorised { citizen_id: String, items: Vec<String> }
    /// One of `not_answered` and `pending`.
    Unanswered { citizen_id: String, item: String, institution_code: String, deadline_at: String }
    /// One of `findings`.
    FindingOf { code: String, item: Option<String>, key: Option<String>, citizen_id: Option<String> }
    /// `report`.
    Dates { valid_until: String, reverify_due: String }
}
