//! Whose rows a provider may deliver: a county's provider those of its county, a city's those of its city.
//!
//! Most items say in one field where the department sits that made the row: it recognised the household, registered the
//! house, pays the pension. That field must name the provider's own place. Which field it is, is the choice of
//! `ops/policies/scopes.yaml` less the items of which another place is as true:
//!
//! - `prison_inmate`, `compulsory_isolation_rehab`: where the person is registered, held by the prison's department.
//! - `household_migration`: where somebody moved to.
//! - `pension_contribution`: where the month was insured, also of those who brought their months along.
//! - `medical_insurance_enrolment`, `high_medical_cost_alert`, `medical_assistance_payment`,
//!   `insurance_contribution_subsidy`: where the person is insured; people are helped and counted where they live.
//! - A row of `resident_identity` that says that the person moved away names the new place.
//!
//! Items that the map ties to a county by their subject alone say nothing of who made the row.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use minqiao_core::ProviderCode;
use minqiao_schemas::{Field, Item};

/// 所属县级行政区划: in every item that has it, the county of the department that made the row.
const DIVISION_FIELD: &str = "division_code";

/// The same in items that name it otherwise.
const PLACES: [(&str, &str); 8] = [
    ("assistance_application", "accept_town_code"),
    ("employee_pension_benefit", "agency_division_code"),
    ("employment_registration", "agency_division_code"),
    ("fishing_vessel", "home_port_division_code"),
    ("resident_identity", "hukou_division_code"),
    ("resident_pension_benefit", "agency_division_code"),
    ("residence_permit", "residence_division_code"),
    ("unemployment_benefit", "agency_division_code"),
];

/// Field and code of a row whose subject left; such a row names the place that they left for.
const MOVED_AWAY: (&str, &str) = ("person_status_code", "3");

/// What codes of a provider's own place begin with: all six digits of a county, four of a city, two of a province.
pub(crate) fn own_place(provider: &ProviderCode) -> &str {
    let division = provider.division().unwrap_or_default();
    let city = division.strip_suffix("00").unwrap_or(division);
    city.strip_suffix("00").unwrap_or(city)
}

/// The field of the item that names the place of the department that made the row.
fn place_of(item: &Item) -> Option<&Field> {
    let named = PLACES.iter().find(|(code, _)| *code == item.code).map_or(DIVISION_FIELD, |(_, field)| field);
    item.field(named)
}

/// Rows of other places than `own`, with the field that says so. Rows that name none are not judged.
pub(crate) fn foreign_rows<'i>(item: &'i Item, batch: &RecordBatch, own: &str) -> Option<(&'i Field, Vec<usize>)> {
    let field = place_of(item)?;
    let places = text(batch, &field.name)?;
    let states = text(batch, MOVED_AWAY.0);
    let left = |row: usize| states.is_some_and(|states| states.is_valid(row) && states.value(row) == MOVED_AWAY.1);
    let foreign = |row: &usize| places.is_valid(*row) && !places.value(*row).starts_with(own) && !left(*row);
    Some((field, (0..places.len()).filter(foreign).collect()))
}

fn text<'b>(batch: &'b RecordBatch, name: &str) -> Option<&'b StringArray> {
    batch.column_by_name(name)?.as_string_opt()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use minqiao_schemas::Catalogue;

    use super::*;

    /// Of these the map's field may name another place; the module says why.
    const ELSEWHERE: [(&str, &str); 8] = [
        ("compulsory_isolation_rehab", "hukou_division_code"),
        ("high_medical_cost_alert", "insured_division_code"),
        ("household_migration", "to_division_code"),
        ("insurance_contribution_subsidy", "insured_division_code"),
        ("medical_assistance_payment", "insured_division_code"),
        ("medical_insurance_enrolment", "insured_division_code"),
        ("pension_contribution", "agency_division_code"),
        ("prison_inmate", "hukou_division_code"),
    ];

    #[test]
    fn every_item_of_the_map_is_either_judged_by_its_field_or_left_out_by_name() {
        let map: BTreeMap<&str, &str> = include_str!("../../../ops/policies/scopes.yaml")
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once(": "))
            .filter(|(_, field)| *field != "subject")
            .collect();
        let items = Catalogue::embedded().items();
        let judged = items.iter().filter_map(|item| Some((item.code.as_str(), place_of(item)?.name.as_str())));
        let listed: BTreeMap<&str, &str> = judged.chain(ELSEWHERE).collect();
        assert_eq!(listed, map);
        for (item, _) in ELSEWHERE {
            assert!(Catalogue::embedded().item(item).is_some_and(|item| place_of(item).is_none()), "{item}");
        }
        let item = Catalogue::embedded().item("resident_identity").expect("the catalogue has the item");
        assert!(item.field(MOVED_AWAY.0).is_some());
    }

    #[test]
    fn a_provider_has_its_county_or_its_city() {
        for (code, own) in [
            ("taxation.371002", "371002"),
            ("taxation.371000", "3710"),
            ("taxation.370000", "37"),
            ("taxation.429004", "429004"),
        ] {
            assert_eq!(own_place(&ProviderCode::new(code).expect("valid")), own, "{code}");
        }
    }
}
