//! Parameters with effective dates (architecture D9, computation section 9): names, types and defaults are data, values
//! come from the parameter set, and a run reads them once for its county and base date as [`Settings`].
//!
//! A parameter without default is an error only where its value is reached (ruling “errors”), so those stay optional
//! in [`Settings`] and are asked for with [`Settings::need`].

use std::collections::HashMap;

use minqiao_core::{Kind, KindOf};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::calendar::Day;
use crate::cell::Code;
use crate::exact::Exact;

/// A value that is needed and not loaded (`parameter_missing`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter `{0}` is needed and no value is in force")]
pub struct Missing(pub &'static str);

/// A parameter set that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// Not JSON of the expected form.
    #[error("the parameter list is not a list of parameter rows")]
    Syntax(#[source] serde_json::Error),
    /// The table of defaults, part of the program, is broken.
    #[error("the table of parameters cannot be read")]
    Table(#[source] serde_norway::Error),
    /// A value has not the type that the parameter needs.
    #[error("row {row} of the parameter list: `{name}` must be of type {expected}")]
    Value {
        /// Position, from 1.
        row: usize,
        /// Parameter.
        name: String,
        /// Expected type.
        expected: &'static str,
    },
    /// A date is none.
    #[error("row {row} of the parameter list: `effective_from` of `{name}` is not a date")]
    EffectiveFrom {
        /// Position, from 1.
        row: usize,
        /// Parameter.
        name: String,
    },
}

impl KindOf for ParametersError {
    fn kind(&self) -> Kind {
        match self {
            Self::Syntax(_) | Self::Value { .. } | Self::EffectiveFrom { .. } => Kind::FailedPrecondition,
            Self::Table(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        "parameters"
    }
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Type {
    Decimal,
    Integer,
    Boolean,
    Date,
    Text,
    Codes,
    Bands,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Decimal => "decimal",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Text => "text",
            Self::Codes => "list of codes",
            Self::Bands => "list of bands",
        }
    }
}

#[derive(Debug, Deserialize)]
struct Definition {
    name: String,
    #[serde(rename = "type")]
    ty: Type,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    default: Json,
    rule: String,
}

/// A typed value.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Decimal(Exact),
    Integer(i64),
    Boolean(bool),
    Date(Day),
    Text(String),
    Codes(Vec<String>),
    Bands(Vec<(Exact, Exact)>),
}

fn decimal(json: &Json) -> Option<Exact> {
    match json {
        Json::String(text) => Exact::parse_decimal(text),
        Json::Number(n) => Exact::parse_decimal(&n.to_string()),
        _ => None,
    }
}

fn typed(ty: Type, json: &Json) -> Option<Value> {
    if json.is_null() {
        return Some(Value::Null);
    }
    Some(match ty {
        Type::Decimal => Value::Decimal(decimal(json)?),
        Type::Integer => {
            let whole = decimal(json)?;
            let n = whole.ceil();
            (Exact::from(n) == whole).then_some(Value::Integer(n))?
        }
        Type::Boolean => Value::Boolean(json.as_bool()?),
        Type::Date => Value::Date(Day::parse(json.as_str()?)?),
        Type::Text => Value::Text(json.as_str()?.to_owned()),
        Type::Codes => {
            Value::Codes(json.as_array()?.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()?)
        }
        Type::Bands => Value::Bands(
            json.as_array()?
                .iter()
                .map(|band| Some((decimal(band.get("gap_from")?)?, decimal(band.get("amount")?)?)))
                .collect::<Option<Vec<_>>>()?,
        ),
    })
}

#[derive(Debug, Deserialize)]
struct RawRow {
    name: String,
    #[serde(default)]
    county: Option<String>,
    #[serde(default)]
    scheme: Option<String>,
    #[serde(default)]
    key: Option<String>,
    effective_from: String,
    #[serde(default)]
    value: Json,
}

#[derive(Debug)]
struct ParameterRow {
    county: Option<String>,
    /// Scheme or code.
    key: Option<String>,
    from: Day,
    value: Value,
}

/// A parameter set: all values with their dates, and the defaults.
#[derive(Debug)]
pub struct Parameters {
    version: String,
    rows: HashMap<String, Vec<ParameterRow>>,
    defaults: HashMap<String, Value>,
}

impl Parameters {
    /// The defaults alone.
    pub fn defaults(version: &str) -> Result<Self, ParametersError> {
        Self::from_json("[]", version)
    }

    /// Reads a list in the form of a case folder's `parameters.json`. Names that verification does not know belong to
    /// other parts of the hub and are left alone.
    pub fn from_json(text: &str, version: &str) -> Result<Self, ParametersError> {
        let table: Vec<Definition> =
            serde_norway::from_str(include_str!("../data/parameters.yaml")).map_err(ParametersError::Table)?;
        let mut types = HashMap::new();
        let mut defaults = HashMap::new();
        for definition in &table {
            debug_assert!(definition.rule.starts_with("R-"), "every parameter cites its rule");
            types.insert(definition.name.as_str(), definition.ty);
            if !definition.required {
                let value = typed(definition.ty, &definition.default).ok_or_else(|| ParametersError::Value {
                    row: 0,
                    name: definition.name.clone(),
                    expected: definition.ty.name(),
                })?;
                defaults.insert(definition.name.clone(), value);
            }
        }
        let raw: Vec<RawRow> = serde_json::from_str(text).map_err(ParametersError::Syntax)?;
        let mut rows: HashMap<String, Vec<ParameterRow>> = HashMap::new();
        for (at, row) in raw.into_iter().enumerate() {
            let Some(ty) = types.get(row.name.as_str()) else { continue };
            let from = Day::parse(&row.effective_from)
                .ok_or_else(|| ParametersError::EffectiveFrom { row: at + 1, name: row.name.clone() })?;
            let value = typed(*ty, &row.value).ok_or_else(|| ParametersError::Value {
                row: at + 1,
                name: row.name.clone(),
                expected: ty.name(),
            })?;
            let key = row.scheme.or(row.key);
            rows.entry(row.name).or_default().push(ParameterRow { county: row.county, key, from, value });
        }
        Ok(Self { version: version.to_owned(), rows, defaults })
    }

    /// Name of the set, as given with it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The value in force: the county's row, else the city's.
    fn loaded(&self, name: &str, county: &str, key: Option<&str>, on: Day) -> Option<&Value> {
        let rows = self.rows.get(name)?;
        let in_force = |of: Option<&str>| {
            rows.iter()
                .filter(|r| r.county.as_deref() == of && r.key.as_deref() == key && r.from <= on)
                .max_by_key(|r| r.from)
                .map(|r| &r.value)
        };
        in_force(Some(county)).or_else(|| in_force(None))
    }

    /// Everything a run reads, for a county, scheme and base date.
    pub fn resolve(&self, county: &str, scheme: &str, base: Day) -> Result<Settings<'_>, Missing> {
        Settings::resolve(self, county, scheme, base)
    }
}

/// The parameters of one run.
#[derive(Debug)]
#[expect(missing_docs, reason = "fields carry the names of computation.md section 9")]
pub struct Settings<'a> {
    parameters: &'a Parameters,
    county: String,
    base: Day,
    pub standard: Exact,
    pub pcdi: Option<Exact>,
    pub avg_area: Option<Exact>,
    pub window_months: i32,
    pub central_until: Option<Day>,
    pub lump_months: i32,
    pub lump_as_property: bool,
    pub wage_fallback: Vec<String>,
    pub declared_counts_for: Vec<String>,
    pub deduct_own: bool,
    unemployment_excluded: Vec<Code>,
    agri_excluded: Vec<Code>,
    pub farm_yield: Exact,
    pub fishing_yield: Exact,
    pub disregard: String,
    pub disregard_min_wage: Option<Exact>,
    pub disregard_amount: Option<Exact>,
    pub disregard_months: i32,
    pub disregard_multiple: Exact,
    pub capacity_multiple: Exact,
    pub rate_le2: Exact,
    pub rate_ge3: Exact,
    pub count_computed: bool,
    pub same_booklet_no_duty: bool,
    pub declared_other: bool,
    pub exclude_supported_extreme: bool,
    pub student_max_age: Option<i32>,
    pub benefit_mode: String,
    pub bands: Option<Vec<(Exact, Exact)>>,
    pub monetary_dibao: Exact,
    pub monetary_marginal: Exact,
    pub monetary_rigid: Exact,
    pub monetary_inclusive: bool,
    pub net_debts: bool,
    pub count_provident_fund: bool,
    pub max_houses: i64,
    pub max_houses_by_area: i64,
    pub min_share: Exact,
    pub max_non_residential: Option<i64>,
    pub max_vehicles: i64,
    pub max_machinery: Option<i64>,
    pub house_exempt: Vec<Code>,
    pub presale_tolerance: Exact,
    pub vehicle_exemptions: Vec<String>,
    pub vehicle_max_price: Option<Exact>,
    pub capital_max: Exact,
    pub capital_inclusive: bool,
    pub lookback_months: i32,
    pub below_market_ratio: Option<Exact>,
    pub market_price: Option<Exact>,
    pub marginal_multiple: Exact,
    pub marginal_inclusive: bool,
    pub rigid_ratio: Exact,
    pub rigid_inclusive: bool,
    pub education_stages: Vec<Code>,
    pub extreme_minor_age: i32,
    pub extreme_elderly_age: i32,
    pub grace_months: i32,
    pub single_groups: Vec<String>,
    pub max_refusals: i64,
    pub refusal_stops: bool,
    pub case_bound: bool,
    pub valid_general: i32,
    pub valid_financial: i32,
    pub reverify_stable: i32,
    pub reverify_unstable: i32,
    pub disc_abs: Exact,
    pub disc_rel: Exact,
    pub blocking: Vec<String>,
    pub stale_daily: i32,
    pub stale_monthly: i32,
    pub deadline_days: i32,
}

struct Reader<'a> {
    parameters: &'a Parameters,
    county: &'a str,
    base: Day,
}

impl Reader<'_> {
    fn value(&self, name: &'static str) -> Option<&Value> {
        self.parameters
            .loaded(name, self.county, None, self.base)
            .or_else(|| self.parameters.defaults.get(name))
            .filter(|v| **v != Value::Null)
    }
    fn decimal_or_null(&self, name: &'static str) -> Option<Exact> {
        if let Some(Value::Decimal(x)) = self.value(name) { Some(x.clone()) } else { None }
    }
    fn decimal(&self, name: &'static str) -> Result<Exact, Missing> {
        self.decimal_or_null(name).ok_or(Missing(name))
    }
    fn integer_or_null(&self, name: &'static str) -> Option<i64> {
        if let Some(Value::Integer(x)) = self.value(name) { Some(*x) } else { None }
    }
    fn integer(&self, name: &'static str) -> Result<i64, Missing> {
        self.integer_or_null(name).ok_or(Missing(name))
    }
    /// Months, days, years: kept far from the ends of the calendar.
    fn span(&self, name: &'static str) -> Result<i32, Missing> {
        self.integer(name).map(|n| n.clamp(-24_000, 24_000) as i32)
    }
    /// Null boolean = false (1.4).
    fn boolean(&self, name: &'static str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }
    fn text(&self, name: &'static str) -> String {
        if let Some(Value::Text(x)) = self.value(name) { x.clone() } else { String::new() }
    }
    fn words(&self, name: &'static str) -> Vec<String> {
        if let Some(Value::Codes(x)) = self.value(name) { x.clone() } else { Vec::new() }
    }
    fn codes(&self, name: &'static str) -> Vec<Code> {
        self.words(name).iter().filter_map(|w| Code::new(w)).collect()
    }
}

impl<'a> Settings<'a> {
    fn resolve(parameters: &'a Parameters, county: &str, scheme: &str, base: Day) -> Result<Self, Missing> {
        let r = Reader { parameters, county, base };
        let standard = [scheme, "3", "1"]
            .iter()
            .find_map(|k| match parameters.loaded("dibao.standard_monthly", county, Some(k), base) {
                Some(Value::Decimal(s)) => Some(s.clone()),
                _ => None,
            })
            .ok_or(Missing("dibao.standard_monthly"))?;
        let window = if scheme == "2" { "income.window_months" } else { "income.window_months_nonfarm" };
        let exclusions = r.words("family.local_exclusions");
        Ok(Self {
            parameters,
            county: county.to_owned(),
            base,
            standard,
            pcdi: r.decimal_or_null("pcdi.previous_year"),
            avg_area: r.decimal_or_null("housing.avg_area_per_capita"),
            window_months: r.span(window)?,
            central_until: match r.value("income.exclude_central_basic_pension_until") {
                Some(Value::Date(day)) => Some(*day),
                _ => None,
            },
            lump_months: r.span("income.lump_sum_months")?,
            lump_as_property: r.boolean("income.lump_sum_as_property"),
            wage_fallback: r.words("income.wage_fallback"),
            declared_counts_for: r.words("income.declared_counts_for"),
            deduct_own: r.boolean("income.deduct_own_contributions"),
            unemployment_excluded: r.codes("income.unemployment_excluded_codes"),
            agri_excluded: r.codes("income.agri_excluded_codes"),
            farm_yield: r.decimal("income.farm_yield_per_mu")?,
            fishing_yield: r.decimal("income.fishing_yield_per_kw")?,
            disregard: r.text("income.earned_disregard"),
            disregard_min_wage: r.decimal_or_null("disregard.min_wage"),
            disregard_amount: r.decimal_or_null("disregard.amount"),
            disregard_months: r.span("disregard.months")?,
            disregard_multiple: r.decimal("disregard.multiple")?,
            capacity_multiple: r.decimal("obligor.capacity_multiple")?,
            rate_le2: r.decimal("obligor.rate_le2")?,
            rate_ge3: r.decimal("obligor.rate_ge3")?,
            count_computed: r.boolean("obligor.count_computed"),
            same_booklet_no_duty: exclusions.iter().any(|x| x == "same_booklet_no_duty"),
            declared_other: exclusions.iter().any(|x| x == "declared_other"),
            exclude_supported_extreme: r.boolean("family.exclude_supported_extreme"),
            student_max_age: r.integer_or_null("family.student_max_age").map(|n| n.clamp(0, 10_000) as i32),
            benefit_mode: r.text("benefit.mode"),
            bands: match r.value("benefit.bands") {
                Some(Value::Bands(bands)) => Some(bands.clone()),
                _ => None,
            },
            monetary_dibao: r.decimal("property.monetary_multiple.dibao")?,
            monetary_marginal: r.decimal("property.monetary_multiple.marginal")?,
            monetary_rigid: r.decimal("property.monetary_multiple.rigid")?,
            monetary_inclusive: r.boolean("property.monetary_inclusive"),
            net_debts: r.boolean("property.net_debts"),
            count_provident_fund: r.boolean("property.count_provident_fund"),
            max_houses: r.integer("property.max_houses")?,
            max_houses_by_area: r.integer("property.max_houses_by_area")?,
            min_share: r.decimal("property.min_share")?,
            max_non_residential: r.integer_or_null("property.max_non_residential"),
            max_vehicles: r.integer("property.max_vehicles")?,
            max_machinery: r.integer_or_null("property.max_machinery"),
            house_exempt: r.codes("property.house_exempt_right_types"),
            presale_tolerance: r.decimal("property.presale_area_tolerance")?,
            vehicle_exemptions: r.words("property.vehicle_exemptions"),
            vehicle_max_price: r.decimal_or_null("property.vehicle_max_price"),
            capital_max: r.decimal("property.subscribed_capital_max")?,
            capital_inclusive: r.boolean("property.subscribed_capital_inclusive"),
            lookback_months: r.span("property.lookback_months")?,
            below_market_ratio: r.decimal_or_null("property.below_market_ratio"),
            market_price: r.decimal_or_null("property.market_price_per_m2"),
            marginal_multiple: r.decimal("marginal.multiple")?,
            marginal_inclusive: r.boolean("marginal.inclusive"),
            rigid_ratio: r.decimal("rigid.ratio")?,
            rigid_inclusive: r.boolean("rigid.inclusive"),
            education_stages: r.codes("rigid.education_stages"),
            extreme_minor_age: r.span("extreme.minor_age")?,
            extreme_elderly_age: r.span("extreme.elderly_age")?,
            grace_months: r.span("grace.months")?,
            single_groups: r.words("single.local_groups"),
            max_refusals: r.integer("work.max_refusals")?,
            refusal_stops: r.text("work.refusal_action") == "stop",
            case_bound: r.text("auth.end_policy") != "until_exit",
            valid_general: r.span("report.valid_days.general")?,
            valid_financial: r.span("report.valid_days.financial")?,
            reverify_stable: r.span("reverify.stable_months")?,
            reverify_unstable: r.span("reverify.unstable_months")?,
            disc_abs: r.decimal("disc.abs_yuan")?,
            disc_rel: r.decimal("disc.rel")?,
            blocking: r.words("disc.blocking"),
            stale_daily: r.span("stale_days.daily")?,
            stale_monthly: r.span("stale_days.monthly")?,
            deadline_days: r.span("query.deadline_days")?,
        })
    }

    /// A value without default, where it is reached.
    pub fn need<'b, T>(&self, value: &'b Option<T>, name: &'static str) -> Result<&'b T, Missing> {
        value.as_ref().ok_or(Missing(name))
    }

    /// The code list of a parameter that filters name.
    pub fn excluded_codes(&self, name: &str) -> &[Code] {
        match name {
            "income.unemployment_excluded_codes" => &self.unemployment_excluded,
            "income.agri_excluded_codes" => &self.agri_excluded,
            _ => &[],
        }
    }

    /// CNY per unit of a currency on a day; 1 for CNY itself.
    pub fn rate(&self, currency: Code, on: Day) -> Option<Exact> {
        if currency.is("CNY") {
            return Some(Exact::ONE);
        }
        match self.parameters.loaded("fx.rate", &self.county, Some(&currency.to_string()), on) {
            Some(Value::Decimal(rate)) => Some(rate.clone()),
            _ => None,
        }
    }

    /// Yearly interest rate of an account type.
    pub fn interest_rate(&self, account_type: Code) -> Exact {
        let key = account_type.to_string();
        match self.parameters.loaded("income.deposit_interest_rate", &self.county, Some(&key), self.base) {
            Some(Value::Decimal(rate)) => rate.clone(),
            _ => Exact::ZERO,
        }
    }

    /// Monthly standard × persons × months.
    pub fn line(&self, persons: i64, months: i32) -> Exact {
        &self.standard * (persons * i64::from(months))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn a_county_row_that_is_not_yet_in_force_leaves_the_citys() {
        let set = Parameters::from_json(
            r#"[{"name":"dibao.standard_monthly","county":null,"scheme":"3","effective_from":"2026-01-01","value":"900.00"},
                {"name":"dibao.standard_monthly","county":"371002","scheme":"3","effective_from":"2026-04-01","value":"950"},
                {"name":"marginal.multiple","county":null,"effective_from":"2020-01-01","value":2},
                {"name":"income.exclude_central_basic_pension_until","county":null,"effective_from":"2020-01-01","value":null},
                {"name":"alert.red","county":null,"effective_from":"2020-01-01","value":70}]"#,
            "v1",
        )
        .unwrap();
        let s = set.resolve("371002", "1", day("2026-03-15")).unwrap();
        assert_eq!(s.standard, Exact::from(900));
        assert_eq!(s.marginal_multiple, Exact::from(2));
        assert_eq!(s.central_until, None);
        assert_eq!(set.resolve("371002", "1", day("2026-04-01")).unwrap().standard, Exact::from(950));
        assert_eq!(set.resolve("371002", "1", day("2025-12-31")).unwrap_err(), Missing("dibao.standard_monthly"));
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_row() {
        let text = r#"[{"name":"disc.rel","effective_from":"2020-01-01","value":"5%"}]"#;
        let error = Parameters::from_json(text, "v1").unwrap_err();
        assert_eq!(error.to_string(), "row 1 of the parameter list: `disc.rel` must be of type decimal");
    }
}
