//! One snapshot per item: whoever changes a schema sees it in review. Regenerate with `INSTA_UPDATE=always`.

use std::fmt::Write;

use minqiao_schemas::{Catalogue, Item};

#[test]
fn every_item_has_its_agreed_schema() {
    for item in Catalogue::embedded().items() {
        let name = format!("{:02}_{}", item.no, item.code);
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, describe(item));
        });
    }
}

fn describe(item: &Item) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").unwrap();
    line(format!("{} {} {} / {}", item.no, item.code, item.name_zh, item.name_en));
    line(format!("{} > {}", item.department, item.class));
    line(format!(
        "kind {} cadence {} mode {} channel {}",
        item.kind, item.cadence, item.exchange_mode, item.source_channel
    ));
    line(format!("level {} minors {} authorization {}", item.level, item.contains_minors, item.authorization_required));
    line(format!("key {}", item.natural_key.join(", ")));
    line(format!("subjects {}", item.subject_fields.join(", ")));
    let m = &item.matching;
    line(format!(
        "matching income {:?} {} asset {:?} expenditure {:?} signals {:?}",
        m.income_category, m.income_treatment, m.asset_category, m.expenditure_category, m.alert_signals
    ));
    for (title, schema) in [("submission", item.submission_schema()), ("sealed", item.sealed_schema())] {
        line(String::new());
        line(title.to_owned());
        for field in schema.fields() {
            let mut metadata: Vec<String> = field.metadata().iter().map(|(k, v)| format!("{k}={v}")).collect();
            metadata.sort();
            let shown = if title == "submission" { metadata.join(" ") } else { String::new() };
            line(format!("  {} {} {shown}", field.name(), field.data_type()).trim_end().to_owned());
        }
    }
    out
}
