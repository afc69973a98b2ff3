//! Property given away before the application (computation 4.5; R-PRO-08): questions to the household, never a test.

use std::collections::BTreeSet;

use crate::calendar::Day;
use crate::case::Case;
use crate::items::{MarriageRegistration, MotorVehicle, RealEstateTransfer, Row};
use crate::number::Citizen;

/// Questions of the look-back (4.5; R-PRO-08).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lookback {
    pub(crate) date: Day,
    pub(crate) code: &'static str,
    pub(crate) item: u8,
    pub(crate) key: String,
    pub(crate) person: Citizen,
}

/// Look-back findings of counted members.
pub(crate) fn lookback(case: &Case<'_>, persons: &[Citizen]) -> BTreeSet<Lookback> {
    let from = case.base.add_months(-case.settings.lookback_months);
    let inside = |day: Day| from <= day && day <= case.q;
    let mut found = BTreeSet::new();
    for person in persons {
        let mut add = |date: Day, code: &'static str, item: u8, key: String| {
            found.insert(Lookback { date, code, item, key, person: *person });
        };
        for row in case.passing::<RealEstateTransfer>(*person).into_iter().filter(|r| inside(r.registered_on)) {
            let reason = row.transfer_reason_code;
            if reason.is("02") {
                add(row.registered_on, "gift", RealEstateTransfer::NO, case.key(row));
            } else if reason.is("04") {
                add(row.registered_on, "divorce_split", RealEstateTransfer::NO, case.key(row));
            } else if reason.is("01")
                && let (Some(price), Some(area)) = (row.deal_price, row.building_area)
                && let (Some(ratio), Some(market)) = (&case.settings.below_market_ratio, &case.settings.market_price)
                && price.exact() < ratio * market * area.exact()
            {
                add(row.registered_on, "below_market", RealEstateTransfer::NO, case.key(row));
            }
        }
        let disposed = case.rules.of(25).fact("disposed");
        for row in case.rows::<MotorVehicle>(*person) {
            if disposed.passes(row, &case.settings)
                && let Some(day) = disposed.day(row).filter(|day| inside(*day))
            {
                add(day, "vehicle_disposed", MotorVehicle::NO, case.key(row));
            }
        }
        for row in case.passing::<MarriageRegistration>(*person) {
            if row.event_code.is("2") && inside(row.event_date) {
                add(row.event_date, "divorce", MarriageRegistration::NO, case.key(row));
            }
        }
        for pair in case.pairs(*person).iter().filter(|p| !p.married) {
            if let Some(day) = pair.divorce.filter(|_| case.same_household(*person, pair.other)) {
                let (a, b) = (pair.other.min(*person), pair.other.max(*person));
                let key = format!("{}/{}", (case.show)(a), (case.show)(b));
                add(day, "divorce_same_booklet", MarriageRegistration::NO, key);
            }
        }
    }
    found
}
