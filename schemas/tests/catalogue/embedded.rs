use std::collections::HashSet;

use minqiao_schemas::{Catalogue, Level, Membership, Seal, Tag};

#[test]
fn the_embedded_catalogue_loads_and_counts_itself() {
    let catalogue = match Catalogue::try_embedded() {
        Ok(catalogue) => catalogue,
        Err(e) => panic!("{e}"),
    };
    assert_eq!(catalogue.summary().to_string(), "17 departments, 23 classes, 73 items, 953 fields");
    assert_eq!(catalogue.version(), "1.0.0");
    assert_eq!(catalogue.code_tables().len(), 151);
    assert_eq!(catalogue.alert_signals().len(), 32);
    let numbers: Vec<u16> = catalogue.items().iter().map(|i| i.no).collect();
    assert_eq!(numbers, (1..=73).collect::<Vec<_>>());
}

#[test]
fn no_identifier_stays_in_clear() {
    for item in Catalogue::embedded().items() {
        assert_eq!(item.subject_field().seal(), Seal::CipherAndToken, "{}", item.code);
        let sealed = item.sealed_schema();
        for field in &item.fields {
            let identifies = field.has_tag(Tag::DirectIdentifier) || field.has_tag(Tag::Contact);
            let must = identifies || field.is_citizen_number() || field.is_account_number();
            assert!(!must || field.is_sealed(), "{}.{}", item.code, field.name);
            let key = item.natural_key.contains(&field.name);
            assert!(!(key && field.is_sealed()) || field.has_token(), "{}.{}", item.code, field.name);
            assert_eq!(sealed.column_with_name(&field.token_column()).is_some(), field.has_token());
            if field.is_sealed() {
                let ty = sealed.field_with_name(&field.name).unwrap().data_type().to_string();
                assert_eq!(ty, "Binary", "{}.{}", item.code, field.name);
            }
        }
    }
}

/// A value that one item seals must not lie in clear in another: vehicles are joined by it.
#[test]
fn a_vin_is_a_token_wherever_it_stands() {
    let catalogue = Catalogue::embedded();
    for item in ["motor_vehicle", "vehicle_purchase_tax"] {
        let field = catalogue.item(item).and_then(|i| i.field("vin")).unwrap();
        assert_eq!((field.seal(), field.token_domain()), (Seal::CipherAndToken, "field:vin"), "{item}");
    }
}

#[test]
fn token_domains_join_persons_and_accounts() {
    let domains: HashSet<(bool, bool, &str)> = Catalogue::embedded()
        .items()
        .iter()
        .flat_map(|i| i.token_fields().map(|(_, f)| (f.is_citizen_number(), f.is_account_number(), f.token_domain())))
        .filter(|(citizen, account, _)| *citizen || *account)
        .collect();
    assert_eq!(domains, HashSet::from([(true, false, "person"), (false, true, "account")]));
}

#[test]
fn levels_and_minors_are_what_the_catalogue_says() {
    let catalogue = Catalogue::embedded();
    let birth = catalogue.item("birth_certificate").unwrap();
    assert!(birth.contains_minors);
    assert_eq!(birth.level, Level::L4);
    assert!(catalogue.items().iter().filter(|i| i.authorization_required).count() == 33);
    assert!(catalogue.item("no_such_item").is_none());
}

#[test]
fn code_tables_know_members_strangers_and_retired_codes() {
    let catalogue = Catalogue::embedded();
    let cases = [
        ("GBT2261_1", "2", Membership::Member),
        ("GBT2261_1", "3", Membership::Unknown),
        ("GBT3304", "08", Membership::Member),
        ("GBT2260", "371002", Membership::Member),
        ("GBT2260", "371081", Membership::Retired),
        ("GBT2260", "371099", Membership::Unknown),
        ("GBT2260", "37100", Membership::Malformed),
        ("GBT10114", "371002001", Membership::Member),
        ("GBT10114", "371002001003", Membership::Member),
        ("GBT10114", "3710020010", Membership::Malformed),
        ("GBT10114", "371099001", Membership::Unknown),
        ("GAT16_4", "K33", Membership::Member),
        ("GAT16_4", "33", Membership::Malformed),
        ("GB32100_SELF", "SELF", Membership::Member),
        ("GB32100_SELF", "91350100M000100Y43", Membership::Member),
        ("GB32100", "SELF", Membership::Malformed),
        ("GBT12406", "CNY", Membership::Member),
    ];
    for (table, value, expected) in cases {
        let table = catalogue.code_table(table).unwrap();
        assert_eq!(table.membership(value), expected, "{} {value}", table.id);
        // Records outlive mergers of counties.
        assert_eq!(table.accepts(value), matches!(expected, Membership::Member | Membership::Retired));
    }
    assert_eq!(catalogue.code_table("GBT2260").unwrap().name_zh_of("371002"), Some("环翠区"));
    assert_eq!(catalogue.code_table("GBT2261_1").unwrap().name_zh_of("1"), Some("男性"));
}
