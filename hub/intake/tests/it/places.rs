//! Whose rows a provider may deliver: its own county's, its own city's, and whichever the item lets name another place.

use bytes::Bytes;
use minqiao_core::{ProviderCode, Receipt};
use minqiao_intake::Format;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

/// Rows that are refused for their place. The rows need not be whole.
fn foreign(receipt: &Receipt) -> Vec<u32> {
    let of_place = |code: &str| code == "policy_forbidden";
    let rows = receipt.outcomes.iter().filter(|row| row.reasons.iter().any(|reason| of_place(&reason.code)));
    rows.map(|row| row.row).collect()
}

async fn sent(hub: &Hub, provider: &str, item: &str, rows: &[Value]) -> Receipt {
    let who = ProviderCode::new(provider).expect("valid");
    let body: Bytes = rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n").into();
    let id = batch_id(&format!("{item}-{provider}"));
    hub.intake.submit(&who, item, &id, None, body, Format::Ndjson).await.expect("taken")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_department_delivers_the_rows_that_it_made() {
    let dir = TempDir::new().expect("a directory");
    let hub = Hub::open(dir.path()).await;
    let judged = [
        ("civil-affairs", "elderly_allowance", "division_code", ""),
        ("civil-affairs", "assistance_application", "accept_town_code", "001"),
        ("natural-resources", "real_estate_ownership", "division_code", ""),
        ("public-security", "resident_identity", "hukou_division_code", ""),
        ("public-security", "residence_permit", "residence_division_code", ""),
        ("human-resources-social-security", "employee_pension_benefit", "agency_division_code", ""),
        ("human-resources-social-security", "resident_pension_benefit", "agency_division_code", ""),
        ("human-resources-social-security", "unemployment_benefit", "agency_division_code", ""),
        ("human-resources-social-security", "employment_registration", "agency_division_code", ""),
        ("agriculture-rural-affairs", "fishing_vessel", "home_port_division_code", ""),
    ];
    // Own county, a county that was dissolved, another county of the city, other cities, none.
    let places = ["371002", "371081", "371003", "440305", "370202", ""];
    for (department, item, field, suffix) in judged {
        let cell = |place: &str| if place.is_empty() { Value::Null } else { format!("{place}{suffix}").into() };
        let rows = places.map(|place| json!({ field: cell(place) }));
        let of_county = sent(&hub, &format!("{department}.371002"), item, &rows).await;
        assert_eq!(foreign(&of_county), [1, 2, 3, 4], "{item}");
        let of_city = sent(&hub, &format!("{department}.371000"), item, &rows).await;
        assert_eq!(foreign(&of_city), [3, 4], "{item}");
        let of_province = sent(&hub, &format!("{department}.370000"), item, &rows).await;
        assert_eq!(foreign(&of_province), [3], "{item}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_place_is_no_offence_where_the_row_is_about_one() {
    let dir = TempDir::new().expect("a directory");
    let hub = Hub::open(dir.path()).await;
    let cases = [
        ("judicial-administration", "prison_inmate", "hukou_division_code"),
        ("public-security", "household_migration", "to_division_code"),
        ("public-security", "residence_permit", "hukou_division_code"),
        ("human-resources-social-security", "pension_contribution", "agency_division_code"),
        ("medical-insurance", "medical_insurance_enrolment", "insured_division_code"),
        ("medical-insurance", "medical_assistance_payment", "insured_division_code"),
        ("civil-affairs", "declared_household_member", "hukou_division_code"),
    ];
    for (department, item, field) in cases {
        let receipt = sent(&hub, &format!("{department}.371002"), item, &[json!({ field: "440305" })]).await;
        assert_eq!((receipt.rows, foreign(&receipt)), (1, vec![]), "{item}");
    }
    // Who moved away is registered elsewhere, who did not is not.
    let person = |status: &str| json!({ "hukou_division_code": "440305", "person_status_code": status });
    let receipt = sent(&hub, "public-security.371000", "resident_identity", &["1", "3"].map(person)).await;
    assert_eq!(foreign(&receipt), [0]);
}
