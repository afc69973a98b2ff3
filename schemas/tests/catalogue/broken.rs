use std::fs;

use minqiao_schemas::CatalogueError;

use crate::Copy;

fn mistakes(copy: &Copy) -> Vec<String> {
    match copy.load() {
        Err(CatalogueError::Broken { mistakes }) => mistakes.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("expected broken rules, got {other}"),
        Ok(_) => panic!("the broken catalogue was loaded"),
    }
}

const DEPOSIT: &str = "civil-affairs/bank_deposit.yaml";
const MEMBER: &str = "civil-affairs/subsistence_allowance_member.yaml";

#[test]
fn an_untouched_copy_loads() {
    let catalogue = Copy::new().load().unwrap();
    assert_eq!(catalogue.summary().fields, 953);
}

/// Every rule, one line: the file, what is spoilt, and the one mistake that must be reported.
#[test]
fn every_broken_rule_names_file_and_field() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("catalogue.yaml", "items: 73", "items: 74", "catalogue.yaml: counts.items: says 74, the files hold 73"),
        ("catalogue.yaml", "fields: 953", "fields: 952", "catalogue.yaml: counts.fields: says 952, the files hold 953"),
        ("catalogue.yaml", "classes: 23", "classes: 22", "catalogue.yaml: counts.classes: says 22, the files hold 23"),
        (
            "catalogue.yaml",
            "departments: 17",
            "departments: 16",
            "catalogue.yaml: counts.departments: says 16, the files hold 17",
        ),
        ("catalogue.yaml", "kinds: [identity, ", "kinds: [", "catalogue.yaml: kinds: `identity` is missing"),
        (
            "catalogue.yaml",
            "name: '_op'",
            "name: '_operation'",
            "catalogue.yaml: envelope: columns must be _item_code, _catalogue_version, _provider_code, _batch_id, _source_record_id, _source_updated_at, _data_date, _op, _received_at, _content_hash, _key, in this order",
        ),
        ("catalogue.yaml", "version: '1.0.0'", "version: 'new'", "catalogue.yaml: version: is not of the form 1.2.3"),
        (
            "catalogue.yaml",
            "code: ca-social-assistance",
            "code: ps-social-assistance",
            "catalogue.yaml: departments.public-security.classes.ps-population: the prefix belongs to `civil-affairs`",
        ),
        (
            DEPOSIT,
            "level: L4, tags: [financial, asset]",
            "level: L3, tags: [financial, asset]",
            "civil-affairs/bank_deposit.yaml: fields.balance_amount.level: L3 is below L4, which tag `financial` demands",
        ),
        (
            DEPOSIT,
            "dataset_level: L4",
            "dataset_level: L3",
            "civil-affairs/bank_deposit.yaml: dataset_level: is L3, the highest field level is L4",
        ),
        (
            DEPOSIT,
            "name: account_token, type: Utf8, label_zh: 账户令牌(账号不落明文), required: true",
            "name: account_token, type: Utf8, label_zh: 账户令牌(账号不落明文), required: false",
            "civil-affairs/bank_deposit.yaml: fields.account_token.required: a natural key field must be required",
        ),
        (
            DEPOSIT,
            "subject_fields: [citizen_id]",
            "subject_fields: [full_name]",
            "civil-affairs/bank_deposit.yaml: fields.full_name.code_table: a subject field must be GB11643",
        ),
        (
            DEPOSIT,
            "subject_fields: [citizen_id]",
            "subject_fields: [full_name]",
            "civil-affairs/bank_deposit.yaml: fields.citizen_id: holds citizen numbers but is not among the subject fields",
        ),
        (
            DEPOSIT,
            "code_table: HUB_ACCOUNT_TYPE",
            "code_table: HUB_NOTHING",
            "civil-affairs/bank_deposit.yaml: fields.account_type_code.code_table: `HUB_NOTHING` is no code table",
        ),
        (
            DEPOSIT,
            "'Decimal128(18,2)'",
            "Float64",
            "civil-affairs/bank_deposit.yaml: fields.balance_amount.type: `Float64` is unknown",
        ),
        (
            DEPOSIT,
            "tags: [event]",
            "tags: [events]",
            "civil-affairs/bank_deposit.yaml: fields.balance_date.tags: `events` is unknown",
        ),
        (
            DEPOSIT,
            "tags: [event]",
            "tags: [biometric]",
            "civil-affairs/bank_deposit.yaml: fields.balance_date.tags: `biometric` is reserved, no field may carry it",
        ),
        (DEPOSIT, "kind: asset", "kind: wealth", "civil-affairs/bank_deposit.yaml: kind: `wealth` is unknown"),
        (
            DEPOSIT,
            "update_cadence: realtime",
            "update_cadence: weekly",
            "civil-affairs/bank_deposit.yaml: update_cadence: `weekly` is unknown",
        ),
        (
            DEPOSIT,
            "name: institution_name",
            "name: _op",
            "civil-affairs/bank_deposit.yaml: fields._op: the name clashes with the hub's own columns",
        ),
        (
            DEPOSIT,
            "name: institution_name",
            "name: full_name",
            "civil-affairs/bank_deposit.yaml: fields.full_name: the name is used twice",
        ),
        (
            DEPOSIT,
            "name: institution_name",
            "name: InstitutionName",
            "civil-affairs/bank_deposit.yaml: fields.InstitutionName: the name is not snake_case",
        ),
        (
            DEPOSIT,
            "natural_key: [query_batch_no",
            "natural_key: [query_no",
            "civil-affairs/bank_deposit.yaml: natural_key.query_no: is no field of the item",
        ),
        (
            DEPOSIT,
            "class: ca-verification",
            "class: ps-population",
            "civil-affairs/bank_deposit.yaml: department: class `ps-population` belongs to `public-security`",
        ),
        (
            DEPOSIT,
            "number: 11",
            "number: 12",
            "civil-affairs/securities_holding.yaml: number: is used by civil-affairs/bank_deposit.yaml too",
        ),
        (
            DEPOSIT,
            "code: bank_deposit",
            "code: bank_deposits",
            "civil-affairs/bank_deposit.yaml: code: the file must be named <department>/<code>.yaml",
        ),
        (
            DEPOSIT,
            "asset_category: monetary",
            "asset_category: money",
            "civil-affairs/bank_deposit.yaml: matching.asset_category: `money` is unknown",
        ),
        (DEPOSIT, "refs: [S16", "refs: [S160", "civil-affairs/bank_deposit.yaml: provenance.refs: `S160` is no source"),
        (
            MEMBER,
            "alert_signals: [DUPLICATE_BENEFIT]",
            "alert_signals: [NO_SIGNAL]",
            "civil-affairs/subsistence_allowance_member.yaml: matching.alert_signals: `NO_SIGNAL` is no alert signal",
        ),
        (
            "code_tables/GBT2261_1.yaml",
            "code: '2'",
            "code: '1'",
            "code_tables/GBT2261_1.yaml: values.1: the code is used twice",
        ),
        (
            "code_tables/GBT2261_1.yaml",
            "id: GBT2261_1",
            "id: GBT2261_9",
            "code_tables/GBT2261_1.yaml: id: the file must be named after the id",
        ),
        (
            "code_tables/GAT16_4.yaml",
            "code: 'K11'",
            "code: '11'",
            "code_tables/GAT16_4.yaml: values.11: does not fit the table's pattern",
        ),
    ];
    for (file, from, to, expected) in cases {
        let copy = Copy::new();
        copy.edit(file, from, to);
        let found = mistakes(&copy);
        assert!(found.iter().any(|m| m == expected), "expected\n  {expected}\nfound\n  {}", found.join("\n  "));
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let copy = Copy::new();
    copy.edit(DEPOSIT, "kind: asset", "kind: wealth")
        .edit(DEPOSIT, "tags: [event]", "tags: [events]")
        .edit(MEMBER, "dataset_level: L4", "dataset_level: L1")
        .edit("catalogue.yaml", "fields: 953", "fields: 1");
    fs::write(copy.path("education/student_enrolment.yaml"), "number: [").unwrap();
    let found = mistakes(&copy);
    for start in [
        "civil-affairs/bank_deposit.yaml: kind: ",
        "civil-affairs/bank_deposit.yaml: fields.balance_date.tags: ",
        "civil-affairs/subsistence_allowance_member.yaml: dataset_level: ",
        "education/student_enrolment.yaml: ",
    ] {
        assert!(found.iter().any(|m| m.starts_with(start)), "{start} is missing in\n{}", found.join("\n"));
    }
}

#[test]
fn unknown_keys_and_missing_files_are_refused() {
    let copy = Copy::new();
    copy.edit(DEPOSIT, "kind: asset", "kind: asset\ncolour: red");
    assert!(mistakes(&copy).iter().any(|m| m.starts_with(DEPOSIT) && m.contains("unknown field `colour`")));

    let copy = Copy::new();
    fs::remove_file(copy.path(DEPOSIT)).unwrap();
    assert!(mistakes(&copy).contains(&"catalogue.yaml: counts.items: says 73, the files hold 72".to_owned()));

    let copy = Copy::new();
    fs::remove_file(copy.path("catalogue.yaml")).unwrap();
    assert_eq!(mistakes(&copy), ["catalogue.yaml: the file is missing"]);

    let nowhere = minqiao_schemas::Catalogue::load_dir(&copy.path("nowhere"));
    assert!(matches!(nowhere, Err(CatalogueError::Unreadable { .. })));
}
