use minqiao_schemas::Catalogue;
use minqiao_schemas::compat::{self, Verdict};

use crate::Copy;

const DEPOSIT: &str = "civil-affairs/bank_deposit.yaml";

/// The verdicts on a catalogue spoilt that way, without the complaint about the version.
fn verdicts(edit: impl FnOnce(&Copy)) -> Vec<(Verdict, String, String)> {
    let copy = Copy::new();
    copy.edit("catalogue.yaml", "version: '1.0.0'", "version: '1.1.0'");
    edit(&copy);
    let new = copy.load().unwrap_or_else(|e| panic!("{e}"));
    compat::compare(Catalogue::embedded(), &new).into_iter().map(|c| (c.verdict, c.at, c.what)).collect()
}

fn only(verdict: Verdict, at: &str, what: &str) -> Vec<(Verdict, String, String)> {
    vec![(verdict, at.to_owned(), what.to_owned())]
}

#[test]
fn a_new_label_is_no_change_and_an_optional_field_may_be_added() {
    assert_eq!(
        verdicts(|c| {
            c.edit(DEPOSIT, "label_zh: 币种", "label_zh: 货币");
        }),
        []
    );
    let added = verdicts(|c| {
        c.edit("catalogue.yaml", "fields: 953", "fields: 954").edit(
            DEPOSIT,
            "fields:\n",
            "fields:\n  - {name: branch_name, type: Utf8, label_zh: 网点名称, required: false, level: L1, tags: [org_identifier]}\n",
        );
    });
    assert_eq!(added, only(Verdict::Allowed, "bank_deposit.branch_name", "optional field added"));
}

#[test]
fn what_breaks_stored_rows_or_connectors_is_refused() {
    let refused = |edit: &dyn Fn(&Copy), at: &str, what: &str| {
        let found = verdicts(|c| edit(c));
        let wanted = (Verdict::Refused, at.to_owned(), what.to_owned());
        assert!(found.contains(&wanted), "expected {wanted:?}, found {found:?}");
    };
    refused(
        &|c| {
            c.edit(DEPOSIT, "name: institution_name", "name: bank_name");
        },
        "bank_deposit.institution_name",
        "field removed or renamed",
    );
    refused(
        &|c| {
            c.edit(DEPOSIT, "label_zh: 金融机构名称, required: false", "label_zh: 金融机构名称, required: true");
        },
        "bank_deposit.institution_name",
        "became required",
    );
    refused(
        &|c| {
            c.edit(DEPOSIT, "'Decimal128(18,2)'", "'Decimal128(18,4)'");
        },
        "bank_deposit.balance_amount",
        "type Decimal128(18,2) became Decimal128(18,4)",
    );
    refused(
        &|c| {
            c.edit(DEPOSIT, "required: false, level: L3, tags: [asset]", "required: false, level: L2, tags: [asset]");
        },
        "bank_deposit.opened_on",
        "level L3 became L2",
    );
    refused(
        &|c| {
            c.edit(DEPOSIT, "[query_batch_no, citizen_id, ", "[citizen_id, query_batch_no, ");
        },
        "bank_deposit",
        "natural key changed",
    );
    refused(
        &|c| {
            c.edit("code_tables/GBT2261_1.yaml", "  - {code: '9', zh: 未说明的性别}\n", "");
        },
        "GBT2261_1.9",
        "code removed",
    );
    refused(
        &|c| {
            c.edit(DEPOSIT, "tags: [financial, direct_identifier]", "tags: [financial]");
        },
        "bank_deposit.account_token",
        "sealing changed",
    );
    refused(
        &|c| {
            c.edit("code_tables/GAT16_4.yaml", "^[A-Z]", "^[A-Z]?");
        },
        "GAT16_4",
        "pattern changed",
    );
}

#[test]
fn a_change_without_a_new_version_is_refused() {
    let copy = Copy::new();
    copy.edit("code_tables/GBT2261_1.yaml", "values:\n", "values:\n  - {code: '5', zh: 其他}\n");
    let changes = compat::compare(Catalogue::embedded(), &copy.load().unwrap());
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "allowed: GBT2261_1.5: code added (nobody uses it yet)",
            "refused: version: same version (every stored row names the version that it was checked against)",
        ]
    );
    assert!(!compat::is_compatible(&changes));
    assert!(compat::is_compatible(&compat::compare(Catalogue::embedded(), Catalogue::embedded())));
}
