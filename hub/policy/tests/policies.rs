//! The built-in policies, held against what `ops/policies/README.md` promises.

use minqiao_core::{Principal, Purpose, Role};
use minqiao_policy::{Access, CountyBy, Mask, Policy, PolicyError, PolicySource, Reach, Show};
use minqiao_schemas::{Catalogue, Item};

fn item(code: &str) -> &'static Item {
    Catalogue::embedded().item(code).expect("an item of the catalogue")
}

fn principal(role: Role, county: Option<&str>) -> Principal {
    Principal { id: "tester".into(), role, department: None, county: county.map(str::to_owned) }
}

fn purpose(code: &str, case: Option<&str>) -> Purpose {
    Purpose { code: code.into(), case: case.map(str::to_owned) }
}

#[test]
fn the_built_in_policies_have_no_finding() {
    let policy = Policy::parse(&PolicySource::embedded(), Catalogue::embedded()).expect("parses");
    assert_eq!(policy.check(Catalogue::embedded()), Vec::<String>::new());
}

#[test]
fn the_same_name_is_raw_masked_or_absent_by_who_asks_for_what() {
    let policy = Policy::embedded().expect("valid");
    let person = item("resident_identity");
    let shown = |role, county, code: &str, case| {
        policy.decide(&principal(role, county), &purpose(code, case), person).show("full_name")
    };
    assert_eq!(shown(Role::Caseworker, Some("371002"), "dibao_verification", Some("A1")), Show::Raw);
    assert_eq!(shown(Role::Caseworker, Some("371002"), "monitoring", None), Show::Masked(Mask::Name));
    assert_eq!(shown(Role::Analyst, None, "analysis", None), Show::Masked(Mask::Name));
    assert_eq!(shown(Role::Statistician, None, "statistics", None), Show::Absent);
    assert_eq!(shown(Role::Caseworker, Some("371002"), "dibao_verification", None), Show::Absent);
    assert_eq!(shown(Role::Analyst, None, "dibao_verification", Some("A1")), Show::Absent);
    assert_eq!(shown(Role::Analyst, None, "curiosity", None), Show::Absent);
    for role in [Role::Operator, Role::Auditor, Role::Connector] {
        for code in ["operations", "audit", "analysis", "statistics", "dibao_verification"] {
            let decision = policy.decide(&principal(role, None), &purpose(code, Some("A1")), person);
            assert!(!decision.is_visible(), "{role} {code}");
        }
    }
}

/// Doors refuse what no policy could speak about; a city's own schema may list more.
#[test]
fn purposes_are_those_of_the_schema() {
    let known = Policy::embedded().expect("valid");
    assert!(known.knows_purpose("analysis") && !known.knows_purpose("curiosity") && !known.knows_purpose(""));
    let mut source = PolicySource::embedded();
    source.schema = source.schema.replacen("\"analysis\"", "\"analysis\", \"school_meals\"", 1);
    let own = Policy::load(&source, Catalogue::embedded()).expect("valid");
    assert!(own.knows_purpose("school_meals") && !known.knows_purpose("school_meals"));
}

#[test]
fn numbers_are_masked_for_a_case_and_raw_only_to_settle_identity() {
    let policy = Policy::embedded().expect("valid");
    let person = item("resident_identity");
    let worker = principal(Role::Caseworker, Some("371002"));
    let case = policy.decide(&worker, &purpose("dibao_verification", Some("A1")), person);
    assert_eq!(case.show("citizen_id"), Show::Masked(Mask::CitizenId));
    assert_eq!(case.show("mobile_phone"), Show::Masked(Mask::Phone));
    assert_eq!(case.show("residence_address"), Show::Raw);
    let identity = policy.decide(&worker, &purpose("identity_check", Some("A1")), person);
    assert_eq!(identity.show("citizen_id"), Show::Raw);
    let analyst = policy.decide(&principal(Role::Analyst, None), &purpose("analysis", None), person);
    assert_eq!(analyst.show("citizen_id"), Show::Pseudonym);
    assert_eq!(analyst.show("birth_date"), Show::Masked(Mask::Year));
    assert_eq!(analyst.show("mobile_phone"), Show::Absent);
    assert_eq!(analyst.show("hukou_division_code"), Show::Masked(Mask::County));
}

/// The number of a dwelling, a contract or a certificate finds its person as surely as a name.
#[test]
fn no_number_of_a_record_is_raw_to_an_analyst() {
    let policy = Policy::embedded().expect("valid");
    let (analyst, statistician) = (principal(Role::Analyst, None), principal(Role::Statistician, None));
    for item in Catalogue::embedded().items() {
        let numbers = item.fields.iter().filter(|field| field.name.ends_with("_no"));
        let analysis = policy.decide(&analyst, &purpose("analysis", None), item);
        let statistics = policy.decide(&statistician, &purpose("statistics", None), item);
        for number in numbers {
            let shown = analysis.show(&number.name);
            assert!(matches!(shown, Show::Pseudonym | Show::Absent), "{}.{} {shown}", item.code, number.name);
            assert_eq!(statistics.show(&number.name), Show::Absent, "{}.{}", item.code, number.name);
        }
    }
    let dwelling = policy.decide(&analyst, &purpose("analysis", None), item("real_estate_ownership"));
    assert_eq!(dwelling.show("real_estate_unit_no"), Show::Pseudonym);
}

#[test]
fn money_in_the_bank_is_for_verification_not_for_queries() {
    let policy = Policy::embedded().expect("valid");
    let deposit = item("bank_deposit");
    let worker = policy.decide(
        &principal(Role::Caseworker, Some("371002")),
        &purpose("dibao_verification", Some("A1")),
        deposit,
    );
    assert_eq!(worker.show("balance_amount"), Show::Absent);
    assert!(worker.rows.authorised_only);
    let analyst = policy.decide(&principal(Role::Analyst, None), &purpose("analysis", None), deposit);
    assert_eq!(analyst.show("balance_amount"), Show::AggregateOnly);
    assert!(!analyst.rows.authorised_only);
    let statistics = policy.decide(&principal(Role::Statistician, None), &purpose("statistics", None), deposit);
    assert_eq!((statistics.access, statistics.k), (Access::Aggregates, 5));
}

#[test]
fn rows_reach_as_far_as_the_principal_does() {
    let policy = Policy::embedded().expect("valid");
    let reach = |who: &Principal, what: &Purpose, code: &str| policy.decide(who, what, item(code)).rows.clone();
    let worker = principal(Role::Caseworker, Some("371002"));
    let case = reach(&worker, &purpose("dibao_verification", Some("A1")), "motor_vehicle");
    assert_eq!(case.reach, Reach::Case { case: "A1".into(), county: Some("371002".into()) });
    let county = reach(&worker, &purpose("monitoring", None), "motor_vehicle");
    let by = CountyBy::Field("division_code".into());
    assert_eq!(county.reach, Reach::County { county: "371002".into(), by });
    let roaming = principal(Role::Caseworker, None);
    assert_eq!(reach(&roaming, &purpose("monitoring", None), "motor_vehicle").reach, Reach::Nothing);
    let analyst = reach(&principal(Role::Analyst, None), &purpose("analysis", None), "medical_settlement");
    assert_eq!((analyst.reach, analyst.without_minors), (Reach::City, true));
}

#[test]
fn custody_and_movements_are_hidden_from_everybody() {
    let policy = Policy::embedded().expect("valid");
    for code in ["prison_inmate", "compulsory_isolation_rehab", "exit_entry_record"] {
        for role in Role::ALL {
            for what in ["dibao_verification", "analysis", "statistics", "monitoring"] {
                let decision = policy.decide(&principal(role, Some("371002")), &purpose(what, Some("A1")), item(code));
                assert!(!decision.is_visible(), "{role} {what} {code}");
            }
        }
    }
}

#[test]
fn decisions_of_every_role_are_as_recorded() {
    let policy = Policy::embedded().expect("valid");
    let asks = [
        (Role::Caseworker, Some("371002"), "dibao_verification", Some("A1")),
        (Role::Caseworker, Some("371002"), "monitoring", None),
        (Role::Analyst, None, "analysis", None),
        (Role::Statistician, None, "statistics", None),
    ];
    let mut text = String::new();
    for code in ["resident_identity", "disability_certificate", "bank_deposit", "assistance_application"] {
        for (role, county, what, case) in asks {
            let who = principal(role, county);
            let what = purpose(what, case);
            let decision = policy.decide(&who, &what, item(code));
            text.push_str(&format!("{code} {role} {} access={}\n", what.code, decision.access));
            for field in &decision.fields {
                text.push_str(&format!("  {} {}\n", field.field, field.show));
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_forbid_outweighs_and_a_mistake_is_found() {
    let check = |name: &str, text: &str| {
        let mut source = PolicySource::embedded();
        source.policies.push((name.into(), text.into()));
        Policy::load(&source, Catalogue::embedded())
    };
    let mut source = PolicySource::embedded();
    source.policies = vec![("open.cedar".into(), r#"@id("x") permit (principal, action, resource);"#.into())];
    let open = Policy::load(&source, Catalogue::embedded()).expect("valid as Cedar");
    let person = item("resident_identity");
    assert!(open.guard_rails(person).iter().any(|finding| finding.contains("resident_identity.full_name")));
    let analyst = open.decide(&principal(Role::Analyst, None), &purpose("analysis", None), person);
    assert_eq!(analyst.show("full_name"), Show::Absent, "the rails hold against a permit of everything");
    assert_eq!(analyst.show("sex_code"), Show::Raw);
    let operator = open.decide(&principal(Role::Operator, None), &purpose("operations", None), person);
    assert!(!operator.is_visible());
    let typo = r#"@id("x") permit (principal, action == Minqiao::Action::"showRaw", resource) when { resource in Minqiao::Tag::"helth" };"#;
    assert!(matches!(check("typo.cedar", typo), Err(PolicyError::Invalid(_))));
    let nameless =
        r#"permit (principal, action == Minqiao::Action::"showRaw", resource) when { resource.level == 1 };"#;
    assert!(matches!(check("nameless.cedar", nameless), Err(PolicyError::PolicyId { .. })));
    let closed = check("closed.cedar", r#"@id("x") forbid (principal, action, resource);"#).expect("valid");
    let decision = closed.decide(
        &principal(Role::Caseworker, Some("371002")),
        &purpose("dibao_verification", Some("A1")),
        item("resident_identity"),
    );
    assert!(!decision.is_visible());
}

#[test]
fn an_explanation_names_the_policies() {
    let policy = Policy::embedded().expect("valid");
    let (who, what) = (principal(Role::Analyst, None), purpose("analysis", None));
    let text = policy.explain(&who, &what, item("resident_identity")).to_string();
    assert!(text.contains("analyst-people-are-pseudonyms"), "{text}");
    assert!(text.contains("masked(name)"), "{text}");
}

/// The built-in set with one more policy, as `ops/feeds.md` and `department.cedar` show it.
fn shared_with_education(group: &str) -> Policy {
    let mut source = minqiao_policy::PolicySource::embedded();
    let text = format!(
        "@id(\"education-sees-disability-certificates\")\n\
         permit (principal in Minqiao::Role::\"department\", action in Minqiao::Action::\"{group}\",\n\
         resource == Minqiao::Item::\"disability_certificate\")\n\
         when {{ principal has department && principal.department == \"education\" }};"
    );
    source.policies.push(("shared.cedar".to_owned(), text));
    Policy::load(&source, Catalogue::embedded()).expect("valid")
}

fn department(code: &str, county: Option<&str>) -> Principal {
    let id = format!("{code}.{}", county.unwrap_or("371000"));
    Principal { id, department: Some(code.to_owned()), ..principal(Role::Department, county) }
}

#[test]
fn a_department_reads_its_receipts_and_nothing_else_by_default() {
    let policy = Policy::embedded().expect("valid");
    let exchange = purpose("exchange", None);
    for (who, receipts) in [
        (department("education", Some("371002")), true),
        (principal(Role::Connector, None), false),
        (principal(Role::Analyst, None), false),
    ] {
        assert_eq!(policy.may_subscribe_view(&who, &exchange, "receipts"), receipts, "{who:?}");
        for item in Catalogue::embedded().items() {
            assert!(!policy.may_subscribe(&who, &exchange, item), "{} {who:?}", item.code);
        }
    }
    let education = department("education", Some("371002"));
    for item in Catalogue::embedded().items() {
        assert!(!policy.decide(&education, &exchange, item).is_visible(), "{}", item.code);
    }
    for other in ["monitoring", "audit", "no such purpose"] {
        assert!(!policy.may_subscribe_view(&education, &purpose(other, None), "receipts"), "{other}");
    }
    assert!(!policy.may_subscribe_view(&education, &exchange, "audit_log"));
    assert!(!policy.may_read_view(&education, &exchange, "receipts"), "a feed is no table");
}

#[test]
fn one_policy_shares_an_item_with_one_department_as_masked_as_for_everybody() {
    let exchange = purpose("exchange", None);
    let certificate = item("disability_certificate");
    let policy = shared_with_education("shareInCounty");
    let education = department("education", Some("371002"));
    assert!(policy.may_subscribe(&education, &exchange, certificate));
    let decision = policy.decide(&education, &exchange, certificate);
    assert_eq!(decision.access, Access::Rows);
    let by = CountyBy::Field("division_code".into());
    assert_eq!(decision.rows.reach, Reach::County { county: "371002".into(), by });
    assert_eq!(decision.show("citizen_id"), Show::Pseudonym);
    assert_eq!(decision.show("full_name"), Show::Masked(Mask::Name));

    // Not another department, not another item, not another purpose, not a department of the whole city.
    let health = department("health", Some("371002"));
    assert!(!policy.may_subscribe(&health, &exchange, certificate));
    assert!(!policy.decide(&health, &exchange, certificate).is_visible());
    assert!(!policy.may_subscribe(&education, &exchange, item("resident_identity")));
    assert!(!policy.decide(&education, &purpose("analysis", None), certificate).is_visible());
    let whole_city = department("education", None);
    assert!(!policy.decide(&whole_city, &exchange, certificate).is_visible());
    let policy = shared_with_education("shareInCity");
    assert_eq!(policy.decide(&whole_city, &exchange, certificate).rows.reach, Reach::City);
    assert!(policy.check(Catalogue::embedded()).is_empty());
}
