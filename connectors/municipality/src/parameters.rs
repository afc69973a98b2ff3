//! The parameters of the simulated city: what `parameters.json` says and what the truth reckons with.
//!
//! One table feeds both, so that they cannot differ. Amounts are in fen, areas in hundredths of a square metre. What is
//! not named here has the default of the computation, section 9.

use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::calendar::date;

/// Standards per person and month by seat (modulo four), fen, before the yearly change.
const STANDARDS: [(i64, i64); 4] = [(108_700, 108_700), (102_900, 87_600), (105_400, 105_400), (99_800, 99_800)];
/// Yearly changes: from this day that much more.
const STEPS: [(NaiveDate, i64); 3] = [(date(2024, 7, 1), -4_200), (date(2025, 7, 1), 0), (date(2026, 7, 1), 3_600)];
/// Disposable income per person of the previous year, fen, by day of effect.
const PCDI: [(NaiveDate, i64); 2] = [(date(2025, 2, 1), 5_012_400), (date(2026, 2, 1), 5_231_800)];
const AVERAGE_AREA: i64 = 3_750;
/// Own-farmed land, fen a mu and year; only where the city's third county estimates it.
const FARM_YIELD: i64 = 38_000;
/// Fishing, fen a kilowatt and year, in the same county.
const FISHING_YIELD: i64 = 2_550;
/// Interest where the bank names none: account type and rate in ten-thousandths.
const DEPOSIT_RATES: [(&str, i64); 2] = [("01", 5), ("02", 110)];
/// Exchange rates in ten-thousandths, by day.
const RATES: [(&str, NaiveDate, i64); 4] = [
    ("USD", date(2025, 1, 1), 72_014),
    ("USD", date(2026, 6, 1), 71_025),
    ("HKD", date(2025, 1, 1), 9_185),
    ("JPY", date(2025, 1, 1), 478),
];

/// The parameters that hold for one application.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    /// S, fen per person and month.
    pub(crate) standard: i64,
    /// Fen per person and year.
    pub(crate) pcdi: i64,
    /// Hundredths of m².
    pub(crate) average_area: i64,
    /// Months of the window.
    pub(crate) window: i32,
    /// Fen a mu and year.
    pub(crate) farm_yield: i64,
    /// Fen a kilowatt and year.
    pub(crate) fishing_yield: i64,
    /// `rare` illnesses let a person apply alone.
    pub(crate) rare_alone: bool,
}

fn splits(seat: usize) -> bool {
    seat % 4 == 1
}

fn estimates(seat: usize) -> bool {
    seat % 4 == 2
}

/// HUB_URBAN_RURAL schemes that the county of `seat` has.
pub(crate) fn scheme(seat: usize, rural: bool) -> &'static str {
    match (splits(seat), rural) {
        (true, true) => "2",
        (true, false) => "1",
        _ => "3",
    }
}

/// What holds in the county of `seat` for a scheme on the base date.
pub(crate) fn parameters(seat: usize, scheme: &str, base: NaiveDate) -> Parameters {
    let (urban, rural) = STANDARDS[seat % 4];
    let step = STEPS.iter().rfind(|(from, _)| *from <= base).map_or(0, |s| s.1);
    Parameters {
        standard: if splits(seat) && scheme == "2" { rural } else { urban } + step,
        pcdi: PCDI.iter().rfind(|(from, _)| *from <= base).map_or(0, |p| p.1),
        average_area: AVERAGE_AREA,
        window: if seat % 4 == 3 && scheme != "2" { 6 } else { 12 },
        farm_yield: if estimates(seat) { FARM_YIELD } else { 0 },
        fishing_yield: if estimates(seat) { FISHING_YIELD } else { 0 },
        rare_alone: seat.is_multiple_of(4),
    }
}

/// Rate for deposits without stated interest, ten-thousandths a year.
pub(crate) fn deposit_rate(kind: &str) -> i64 {
    DEPOSIT_RATES.iter().find(|(k, _)| *k == kind).map_or(0, |r| r.1)
}

/// CNY per unit in ten-thousandths on `day`; None when no rate is loaded.
pub(crate) fn exchange(currency: &str, day: NaiveDate) -> Option<i64> {
    if currency == "CNY" {
        return Some(10_000);
    }
    RATES.iter().rfind(|(c, from, _)| *c == currency && *from <= day).map(|r| r.2)
}

fn hundredths(n: i64) -> String {
    format!("{}.{:02}", n / 100, n % 100)
}

fn ten_thousandths(n: i64) -> String {
    format!("{}.{:04}", n / 10_000, n % 10_000)
}

/// `parameters.json` for the counties (codes as text, in seat order).
pub(crate) fn file(counties: &[&str]) -> Value {
    let mut rows = Vec::new();
    for (seat, county) in counties.iter().enumerate() {
        let (urban, rural) = STANDARDS[seat % 4];
        for (from, step) in STEPS {
            let schemes = if splits(seat) { vec![("1", urban), ("2", rural)] } else { vec![("3", urban)] };
            for (scheme, amount) in schemes {
                rows.push(json!({"name": "dibao.standard_monthly", "county": county, "scheme": scheme,
                    "effective_from": from.to_string(), "value": hundredths(amount + step)}));
            }
        }
        let mut own = |name: &str, value: Value| {
            rows.push(json!({"name": name, "county": county, "effective_from": "2020-01-01", "value": value}));
        };
        if seat % 4 == 3 {
            own("income.window_months_nonfarm", json!(6));
        }
        if estimates(seat) {
            own("income.farm_yield_per_mu", json!(hundredths(FARM_YIELD)));
            own("income.fishing_yield_per_kw", json!(hundredths(FISHING_YIELD)));
        }
        if seat % 4 == 0 {
            own("single.local_groups", json!(["rare"]));
        }
    }
    for (from, amount) in PCDI {
        rows.push(json!({"name": "pcdi.previous_year", "county": null, "effective_from": from.to_string(),
            "value": hundredths(amount)}));
    }
    rows.push(json!({"name": "housing.avg_area_per_capita", "county": null, "effective_from": "2024-01-01",
        "value": hundredths(AVERAGE_AREA)}));
    for (key, rate) in DEPOSIT_RATES {
        rows.push(json!({"name": "income.deposit_interest_rate", "county": null, "key": key,
            "effective_from": "2024-01-01", "value": ten_thousandths(rate)}));
    }
    for (key, from, rate) in RATES {
        rows.push(json!({"name": "fx.rate", "county": null, "key": key, "effective_from": from.to_string(),
            "value": ten_thousandths(rate)}));
    }
    Value::Array(rows)
}
