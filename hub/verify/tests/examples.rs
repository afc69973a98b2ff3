//! The page's worked examples C-001 … C-061 and mini cases for its rulings, kept as data under `examples/`.
//!
//! A scenario has persons (a letter and a birth date; the number is made from it), rows and expectations, and cases
//! that add to or change them. What a row leaves out is filled with something harmless, so that a scenario says only
//! what matters. The application is always `A1` of person `a`, and everybody has authorised everything unless listed
//! under `unauthorised`. Expectations are paths into the result; a list along the path is mapped; `has` and `lacks` look
//! for entries with these fields.

#![allow(clippy::unwrap_used, clippy::large_futures, reason = "a test fails by panicking, and its futures run once")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use minqiao_core::Timestamp;
use minqiao_schemas::{Catalogue, FieldType, Item};
use minqiao_verify::calendar::Day;
use minqiao_verify::case::{Inputs, Query};
use minqiao_verify::compute::{Engine, Run, World};
use minqiao_verify::facts::{ByNumber, Facts, Versions};
use minqiao_verify::folder::batch_of;
use minqiao_verify::items::item_no;
use minqiao_verify::number::Citizen;
use minqiao_verify::parameters::Parameters;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Part {
    /// `2026-03-20T10:00:00.000+08:00` unless given.
    as_of: Option<String>,
    reverify_on: Option<String>,
    persons: BTreeMap<String, String>,
    /// Fields of the application.
    application: Map<String, Json>,
    /// Declared members besides the applicant; `01` with relation as given.
    declared: Vec<Map<String, Json>>,
    /// Rows by item; `times: N` repeats a row for N months from its month field on.
    rows: BTreeMap<String, Vec<Map<String, Json>>>,
    /// Parameters as `name: value`, effective since 2020, or a full row.
    parameters: BTreeMap<String, Json>,
    parameter_rows: Vec<Json>,
    /// Persons without any authorisation.
    unauthorised: Vec<String>,
    aliases: BTreeMap<String, String>,
    query_log: Option<Vec<Map<String, Json>>>,
    expect: BTreeMap<String, Json>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    id: String,
    #[expect(dead_code, reason = "for the reader")]
    about: String,
    #[serde(default)]
    given: Part,
    cases: Vec<Part>,
}

fn merged(base: &Part, case: &Part) -> Part {
    let mut part = base.clone();
    part.as_of = case.as_of.clone().or(part.as_of);
    part.reverify_on = case.reverify_on.clone().or(part.reverify_on);
    part.persons.extend(case.persons.clone());
    part.application.extend(case.application.clone());
    part.declared.extend(case.declared.clone());
    for (item, rows) in &case.rows {
        part.rows.entry(item.clone()).or_default().extend(rows.clone());
    }
    part.parameters.extend(case.parameters.clone());
    part.parameter_rows.extend(case.parameter_rows.clone());
    part.unauthorised.extend(case.unauthorised.clone());
    part.aliases.extend(case.aliases.clone());
    part.query_log = case.query_log.clone().or(part.query_log);
    part.expect.extend(case.expect.clone());
    part
}

/// Numbers of the scenario's persons: women have a trailing `f` after the birth date.
fn numbers(part: &Part) -> HashMap<String, String> {
    part.persons
        .iter()
        .enumerate()
        .map(|(at, (name, born))| {
            let (date, sex) = born.split_once(' ').unwrap_or((born, "m"));
            let sequence = 101 + at * 2 - usize::from(sex == "f");
            let digits = format!("371002{}{sequence:03}", date.replace('-', ""));
            let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
            let sum: u32 = digits.bytes().zip(weights).map(|(b, w)| u32::from(b - b'0') * w).sum();
            let check = b"10X98765432"[(sum % 11) as usize] as char;
            (name.clone(), format!("{digits}{check}"))
        })
        .collect()
}

fn filler(item: &Item, field: &str, ty: FieldType) -> Json {
    let name = match field {
        "member_role_code" | "relation_to_applicant_code" => "01",
        "excluded_reason_code" => "0",
        "relation_to_head_code" => "99",
        "guarantee_category_code" => "3",
        "currency_code" => "CNY",
        "scope_codes" => "ALL",
        "accept_town_code" => "371002001000",
        "house_use_code" => "10",
        "benefit_code" => "01",
        "scheme_code" => "110",
        "account_type_code" => "02",
        "division_code" => "371002",
        "academic_year" => "2025-2026",
        "vehicle_status_code" => "A",
        "aid_mode_code" | "channel_code" => "1",
        "party_role_code" => "1",
        "contract_status_code" => "2",
        _ => "1",
    };
    match ty {
        FieldType::Utf8 if field.ends_with("_name") => json!("某人"),
        FieldType::Utf8 => json!(name),
        FieldType::Int32 | FieldType::Int64 => json!(0),
        FieldType::Boolean => json!(field == "is_guaranteed" || field == "is_full_time" || field == "is_accepted"),
        FieldType::Date32 if field.contains("month") => json!("2025-03-01"),
        FieldType::Date32 => json!("2020-01-01"),
        FieldType::TimestampMs if item.code == "assistance_application" => json!("2026-03-15T09:00:00.000+08:00"),
        FieldType::TimestampMs => json!("2026-03-10T09:00:00.000+08:00"),
        FieldType::Decimal { .. } => json!("0.00"),
    }
}

/// A month later, for rows that repeat.
fn later(value: &Json, months: i32) -> Json {
    let day = value.as_str().and_then(Day::parse).expect("a repeated field is a date");
    json!(day.add_months(months).to_string())
}

fn complete(item: &Item, row: &Map<String, Json>, numbers: &HashMap<String, String>, serial: &mut u32) -> Vec<Json> {
    let times = row.get("times").and_then(Json::as_u64).unwrap_or(1) as i32;
    (0..times)
        .map(|n| {
            let mut full = Map::new();
            for field in &item.fields {
                let mut value = row.get(&field.name).cloned().unwrap_or(Json::Null);
                if field.is_citizen_number()
                    && let Some(number) = value.as_str().and_then(|v| numbers.get(v))
                {
                    value = json!(number);
                }
                if value.is_null() && field.required && !row.contains_key(&field.name) {
                    let key = item.natural_key.contains(&field.name);
                    *serial += 1;
                    let free = field.table().is_none() && field.ty == FieldType::Utf8 && !field.name.ends_with("_name");
                    value = if key && free && !field.is_citizen_number() {
                        json!(format!("K{serial}"))
                    } else if field.is_citizen_number() {
                        json!(numbers["a"])
                    } else {
                        filler(item, &field.name, field.ty)
                    };
                }
                let repeats =
                    ["pay_month", "tax_period", "contribution_month", "as_of_date"].contains(&field.name.as_str());
                if times > 1 && repeats {
                    value = later(&value, n);
                }
                full.insert(field.name.clone(), value);
            }
            for (name, default) in [
                ("_source_updated_at", json!("2026-03-01T00:00:00.000+08:00")),
                ("_received_at", json!("2026-03-01T00:00:00.000+08:00")),
                ("_data_date", json!("2026-03-20")),
                ("_op", json!("upsert")),
                ("_content_hash", json!("00")),
            ] {
                full.insert(name.to_owned(), row.get(name).cloned().unwrap_or(default));
            }
            Json::Object(full)
        })
        .collect()
}

fn answer(engine: &Engine, part: &Part, order: u64) -> Json {
    let numbers = numbers(part);
    let mut rows: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
    let mut serial = 0;
    let mut add = |code: &str, row: &Map<String, Json>| {
        let item = Catalogue::embedded().item(code).unwrap_or_else(|| panic!("no item {code}"));
        for key in row.keys().filter(|k| !k.starts_with('_') && *k != "times") {
            assert!(item.field(key).is_some(), "{code} has no field {key}");
        }
        rows.entry(item.code.as_str()).or_default().extend(complete(item, row, &numbers, &mut serial));
    };
    let object = |json: Json| json.as_object().cloned().unwrap_or_default();
    let mut application = object(json!({"application_no": "A1", "applicant_citizen_id": "a", "apply_type_code": "01",
        "household_size": 1}));
    application.extend(part.application.clone());
    add("assistance_application", &application);
    for declared in &part.declared {
        let mut row = object(json!({"application_no": "A1", "authorization_no": "none"}));
        let person = declared["citizen_id"].as_str().unwrap_or_default();
        row.insert("authorization_no".to_owned(), json!(format!("Z-{person}")));
        row.extend(declared.clone());
        add("declared_household_member", &row);
    }
    for name in part.persons.keys().filter(|name| !part.unauthorised.contains(name)) {
        add(
            "verification_authorization",
            &object(json!({"grantor_citizen_id": name, "authorization_no":
            format!("Z-{name}"), "sign_method_code": "4", "agent_citizen_id": "a"})),
        );
    }
    for (code, list) in &part.rows {
        for row in list {
            add(code, row);
        }
    }
    let mut facts = Facts::new();
    for (code, mut list) in rows {
        // Any order of lines gives the same answer.
        if order > 0 {
            let len = list.len();
            list.rotate_left(order as usize * 7 % len.max(1));
            if order % 2 == 1 {
                list.reverse();
            }
        }
        let item = Catalogue::embedded().item(code).expect("known");
        let lines: Vec<String> = list.iter().map(Json::to_string).collect();
        let batch = batch_of(item, &lines.join("\n")).unwrap();
        facts.load(code, &batch, Versions::All).unwrap();
    }
    facts.finish();
    let mut parameters: Vec<Json> = vec![
        json!({"name": "dibao.standard_monthly", "scheme": "3", "effective_from": "2020-01-01", "value": "900.00"}),
        json!({"name": "pcdi.previous_year", "effective_from": "2020-01-01", "value": "30000"}),
        json!({"name": "housing.avg_area_per_capita", "effective_from": "2020-01-01", "value": "35"}),
    ];
    for (name, value) in &part.parameters {
        let same = |row: &Json| row["name"] == json!(name);
        parameters.retain(|row| !same(row));
        let scheme = (name == "dibao.standard_monthly").then_some("3");
        parameters.push(json!({"name": name, "scheme": scheme, "effective_from": "2020-01-01", "value": value}));
    }
    parameters.extend(part.parameter_rows.clone());
    let parameters = Parameters::from_json(&Json::Array(parameters).to_string(), "v1").unwrap();
    let citizen = |name: &str| Citizen::parse(&numbers[name]).unwrap();
    let aliases: ByNumber<Citizen> = part.aliases.iter().map(|(a, b)| (citizen(a), citizen(b))).collect();
    let time = |json: Option<&Json>| json.and_then(Json::as_str).map(|t| Timestamp::parse(t).expect("a time"));
    let log = part.query_log.as_ref().map(|log| {
        let text = |q: &Map<String, Json>, name: &str| q.get(name).and_then(Json::as_str).unwrap_or("B1").to_owned();
        log.iter()
            .map(|q| Query {
                person: citizen(&text(q, "person")),
                item: item_no(&text(q, "item")),
                institution_code: text(q, "institution_code"),
                query_batch_no: text(q, "query_batch_no"),
                requested_at: time(q.get("requested_at")).expect("requested_at"),
                deadline_at: time(q.get("deadline_at")),
                answered_at: time(q.get("answered_at")),
                row_count: q.get("row_count").and_then(Json::as_i64),
            })
            .collect()
    });
    let names: HashMap<String, String> = numbers.iter().map(|(name, number)| (number.clone(), name.clone())).collect();
    let show = |number: Citizen| names.get(&number.to_string()).cloned().unwrap_or_else(|| number.to_string());
    let run = Run {
        application_no: "A1".to_owned(),
        as_of: Timestamp::parse(part.as_of.as_deref().unwrap_or("2026-03-20T10:00:00.000+08:00")).expect("a time"),
        reverify_on: part.reverify_on.as_deref().map(|d| Day::parse(d).expect("a date")),
    };
    let inputs = Inputs::new(aliases, log);
    let world = World { facts: &facts, inputs: &inputs, parameters: &parameters, show: &show };
    match engine.run(&world, &run).0 {
        Ok(result) => serde_json::to_value(result).unwrap(),
        Err(error) => json!({"error": error.code()}),
    }
}

fn at(json: &Json, path: &[&str]) -> Json {
    match (path, json) {
        ([], _) => json.clone(),
        (_, Json::Array(list)) => Json::Array(list.iter().map(|entry| at(entry, path)).collect()),
        ([first, rest @ ..], Json::Object(map)) => map.get(*first).map_or(json!("<absent>"), |value| at(value, rest)),
        _ => json!("<absent>"),
    }
}

fn holds(found: &Json, part: &Json) -> bool {
    match (found, part) {
        (Json::Object(f), Json::Object(p)) => p.iter().all(|(k, v)| f.get(k).is_some_and(|f| holds(f, v))),
        _ => found == part,
    }
}

fn check(id: &str, case: usize, result: &Json, expect: &BTreeMap<String, Json>, wrong: &mut Vec<String>) {
    for (path, expected) in expect {
        let found = at(result, &path.split('.').collect::<Vec<_>>());
        let entries = |list: &Json| list.as_array().cloned().unwrap_or_default();
        let ok = match expected.as_object() {
            Some(words) if words.contains_key("has") || words.contains_key("lacks") => {
                let list = entries(&found);
                entries(words.get("has").unwrap_or(&Json::Null)).iter().all(|e| list.iter().any(|f| holds(f, e)))
                    && entries(words.get("lacks").unwrap_or(&Json::Null))
                        .iter()
                        .all(|e| !list.iter().any(|f| holds(f, e)))
            }
            _ => found == *expected,
        };
        if !ok {
            wrong.push(format!("{id} case {case}: {path}: expected {expected}, found {found}"));
        }
    }
}

fn scenarios(folder: &str) -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            serde_norway::from_str::<Vec<Scenario>>(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
        })
        .collect()
}

fn run_all(folder: &str) -> BTreeSet<String> {
    let engine = Engine::new().unwrap();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for scenario in scenarios(folder) {
        for (number, case) in scenario.cases.iter().enumerate() {
            let part = merged(&scenario.given, case);
            let result = answer(&engine, &part, 0);
            check(&scenario.id, number + 1, &result, &part.expect, &mut wrong);
            for order in 1..=3 {
                if answer(&engine, &part, order) != result {
                    wrong.push(format!("{} case {}: the order of rows matters", scenario.id, number + 1));
                }
            }
        }
        seen.insert(scenario.id);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    seen
}

#[test]
fn every_worked_example_of_the_page_holds() {
    let seen = run_all("examples");
    let mut page: BTreeSet<String> = (1..=61).map(|n| format!("C-{n:03}")).collect();
    page.extend(["C-024a", "C-024b", "C-024c", "C-036a", "C-040a"].map(str::to_owned));
    assert_eq!(seen, page, "every example of the page is a scenario, and nothing else");
}

#[test]
fn every_ruling_holds_in_a_mini_case() {
    assert!(run_all("rulings").len() >= 20);
}
