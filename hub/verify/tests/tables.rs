//! The tables that are data agree with the catalogue, and with what the program asks of them.

use minqiao_schemas::Catalogue;
use minqiao_verify::fact_map::{FactMap, Rules};
use minqiao_verify::items::{SHAPES, item_no};

#[test]
fn the_fact_map_covers_all_items_and_agrees_with_the_catalogue() {
    let map = FactMap::embedded().unwrap();
    assert_eq!(map.items.len(), 73);
    for (line, item) in map.items.iter().zip(Catalogue::embedded().items()) {
        assert_eq!((u16::from(line.no), &line.item), (item.no, &item.code));
        assert_eq!(line.subject, item.subject_field().name, "subject of {}", item.code);
        assert_eq!(line.auth, item.authorization_required, "authorisation of {}", item.code);
        let excluded = item.matching.income_treatment.as_str() == "excluded";
        let states = line.facts.iter().any(|f| format!("{:?}", f.treatment) == "Excluded");
        assert!(!excluded || states, "{} is excluded income by the catalogue", item.code);
    }
    Rules::compile(&map).unwrap();
}

#[test]
fn rows_have_the_fields_and_keys_of_the_catalogue() {
    for shape in &SHAPES {
        let item = Catalogue::embedded().item(shape.item).unwrap();
        assert_eq!(u16::from(shape.no), item.no);
        assert_eq!(shape.key, item.natural_key);
        assert_eq!(shape.subject[0], item.subject_field().name);
        for field in shape.fields.iter().chain(&shape.subject) {
            assert!(item.field(field).is_some(), "{} has no field {field}", shape.item);
        }
        for key in shape.key {
            assert!(shape.position(key).is_some(), "{} does not read its key", shape.item);
        }
    }
}

#[test]
fn facts_that_the_program_asks_for_exist() {
    let rules = Rules::compile(&FactMap::embedded().unwrap()).unwrap();
    let asked = [
        ("temporary_assistance", "aid"),
        ("assistance_payment", "aid"),
        ("nonbank_payment_balance", "debt"),
        ("child_welfare_guarantee", "now"),
        ("death_cancellation", "missing"),
        ("death_cancellation", "emigrated"),
        ("motor_vehicle", "disposed"),
        ("pension_contribution", "base"),
        ("pension_contribution", "deduction"),
        ("employment_registration", "job"),
        ("provident_fund_account", "base"),
        ("provident_fund_account", "balance"),
        ("agri_subsidy_payment", "excluded"),
        ("student_enrolment", "tuition"),
        ("medical_settlement", "main"),
        ("disability_rehabilitation_aid", "main"),
    ];
    for (item, fact) in asked {
        assert!(rules.of(item_no(item)).has(fact), "{item} {fact}");
    }
}
