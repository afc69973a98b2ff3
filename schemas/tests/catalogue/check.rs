use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray, TimestampMillisecondArray, new_null_array,
};
use arrow::datatypes::Field as ArrowField;
use arrow::datatypes::Schema;
use chrono::NaiveDate;
use minqiao_schemas::check::{Checker, SchemaMismatch};
use minqiao_schemas::normalise::{self, Value};
use minqiao_schemas::{Catalogue, Item, Rule};

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 20).unwrap()
}

fn deposit() -> &'static Item {
    Catalogue::embedded().item("bank_deposit").unwrap()
}

const ROWS: usize = 2;

/// Two valid rows; columns given by name replace theirs.
fn batch(replaced: &[(&str, ArrayRef)]) -> RecordBatch {
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; ROWS])) };
    let amount = |cents: i128| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![cents; ROWS]).with_precision_and_scale(18, 2).unwrap())
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("query_batch_no", text("Q-1")),
        ("citizen_id", text("11010519491231002X")),
        ("full_name", text("甲乙")),
        ("institution_code", text("C1030837000001")),
        ("account_token", text("6222000000000001")),
        ("account_type_code", text("01")),
        ("currency_code", text("CNY")),
        ("balance_amount", amount(100)),
        ("balance_date", Arc::new(Date32Array::from(vec![20_000; ROWS]))),
        (
            "queried_at",
            Arc::new(TimestampMillisecondArray::from(vec![1_780_000_000_000; ROWS]).with_timezone("+08:00")),
        ),
    ];
    for (name, values) in replaced {
        match columns.iter_mut().find(|(n, _)| n == name) {
            Some(column) => column.1 = Arc::clone(values),
            None => columns.push((name, Arc::clone(values))),
        }
    }
    let fields: Vec<ArrowField> =
        columns.iter().map(|(name, values)| ArrowField::new(*name, values.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, v)| v).collect()).unwrap()
}

/// `field: rule` of every problem in the second row; the first must be clean.
fn problems(replaced: &[(&str, ArrayRef)]) -> Vec<String> {
    let item = deposit();
    let found = Checker::for_item(item).check_batch(&batch(replaced), today()).unwrap();
    assert!(found.iter().all(|p| p.row == 1), "{found:?}");
    let name = |p: &minqiao_schemas::check::RowProblem| p.field_of(item).map_or("", |f| f.name.as_str()).to_owned();
    found.iter().map(|p| format!("{}: {}", name(p), p.rule)).collect()
}

fn second(good: &str, bad: Option<&str>) -> ArrayRef {
    Arc::new(StringArray::from(vec![Some(good), bad]))
}

#[test]
fn a_valid_batch_has_no_problems() {
    assert_eq!(problems(&[]), [""; 0]);
}

#[test]
fn each_kind_of_breach_is_found_in_its_row_and_field() {
    let id = "11010519491231002X";
    let cases: &[(&str, ArrayRef, &str)] = &[
        ("citizen_id", second(id, Some("110105194912310021")), "citizen_id: id_check_character"),
        ("citizen_id", second(id, Some("371002199003071000")), "citizen_id: id_cut_by_spreadsheet"),
        ("citizen_id", second(id, Some("11010519491231002x")), "citizen_id: id_characters"),
        ("citizen_id", second(id, None), "citizen_id: key_present"),
        ("full_name", second("甲乙", None), "full_name: required_present"),
        ("full_name", second("甲乙", Some(" 甲乙")), "full_name: text_normal"),
        ("full_name", second("甲乙", Some("")), "full_name: text_normal"),
        ("full_name", second("甲乙", Some(&"长".repeat(2000))), "full_name: text_length"),
        ("account_type_code", second("01", Some("ZZ")), "account_type_code: code_listed"),
        ("currency_code", second("CNY", Some("cny")), "currency_code: code_pattern"),
        ("balance_date", Arc::new(Date32Array::from(vec![20_000, i32::MAX])), "balance_date: date_plausible"),
        ("_op", second("upsert", Some("remove")), ": op_known"),
    ];
    for (column, values, expected) in cases {
        assert_eq!(problems(&[(column, Arc::clone(values))]), [*expected], "{column}");
    }
}

#[test]
fn a_decimal_beyond_its_precision_is_out_of_range() {
    let values = Decimal128Array::from(vec![1, 10i128.pow(18)]).with_precision_and_scale(18, 2).unwrap();
    assert_eq!(problems(&[("balance_amount", Arc::new(values))]), ["balance_amount: number_size"]);
}

#[test]
fn a_delete_needs_its_key_only() {
    let delete = ("_op", second("upsert", Some("delete")));
    assert_eq!(problems(&[delete.clone(), ("full_name", second("甲乙", None))]), [""; 0]);
    let without_key = ("citizen_id", second("11010519491231002X", None));
    assert_eq!(problems(&[delete, without_key]), ["citizen_id: key_present"]);
}

#[test]
fn an_absent_required_column_is_missing_in_every_row() {
    let full = batch(&[]);
    let without: Vec<usize> =
        (0..full.num_columns()).filter(|at| full.schema().field(*at).name() != "balance_amount").collect();
    let found = Checker::for_item(deposit()).check_batch(&full.project(&without).unwrap(), today()).unwrap();
    let rules: Vec<(usize, Rule)> = found.iter().map(|p| (p.row, p.rule)).collect();
    assert_eq!(rules, [(0, Rule::RequiredPresent), (1, Rule::RequiredPresent)]);
}

#[test]
fn columns_that_do_not_fit_refuse_the_batch() {
    let checker = Checker::for_item(deposit());
    let refuse = |replaced: &[(&str, ArrayRef)]| checker.check_batch(&batch(replaced), today()).unwrap_err();
    let unknown = refuse(&[("colour", second("red", None))]);
    assert_eq!(unknown.to_string(), "item `bank_deposit` has no column `colour`");
    let wrong = refuse(&[("balance_date", second("2026-01-01", None))]);
    assert_eq!(wrong.to_string(), "column `balance_date` of item `bank_deposit` is Utf8, must be Date32");
    let twice = batch(&[]).project(&[0, 0]).unwrap();
    assert!(matches!(checker.check_batch(&twice, today()), Err(SchemaMismatch::RepeatedColumn { .. })));
    // The hub's own columns are not a provider's to send.
    assert!(matches!(refuse(&[("_received_at", second("a", None))]), SchemaMismatch::UnknownColumn { .. }));
}

/// Nothing of a value may reach a message.
#[test]
fn messages_name_field_and_fix_but_no_value() {
    let item = deposit();
    let bad = "110105194912310021";
    let found = Checker::for_item(item)
        .check_batch(&batch(&[("citizen_id", second("11010519491231002X", Some(bad)))]), today())
        .unwrap();
    let zh = found[0].message_zh(item);
    let en = found[0].message_en(item);
    assert_eq!(zh, "“公民身份号码”公民身份号码校验码不符（GB 11643）。请核对身份证原件，检查是否录错数字。");
    assert!(en.starts_with("`citizen_id`: the check character"), "{en}");
    assert!(!zh.contains(bad) && !en.contains(bad));
}

#[test]
fn an_empty_batch_of_every_item_passes_and_a_row_of_nulls_misses_what_is_required() {
    for item in Catalogue::embedded().items() {
        let schema = item.submission_schema();
        let checker = Checker::for_item(item);
        let empty = RecordBatch::new_empty(Arc::clone(&schema));
        assert_eq!(checker.check_batch(&empty, today()), Ok(vec![]));
        let nulls = schema.fields().iter().map(|f| new_null_array(f.data_type(), 1)).collect();
        let found = checker.check_batch(&RecordBatch::try_new(schema, nulls).unwrap(), today()).unwrap();
        assert_eq!(found.len(), item.fields.iter().filter(|f| f.required).count(), "{}", item.code);
    }
}

#[test]
fn a_field_reads_what_its_type_says() {
    let read = |item: &str, field: &str, raw: &'static str| {
        let field = Catalogue::embedded().item(item).and_then(|i| i.field(field)).unwrap();
        normalise::value(field, raw, today())
    };
    assert_eq!(read("bank_deposit", "balance_amount", "1.5万元"), Ok(Some(Value::Decimal(1_500_000))));
    assert_eq!(read("bank_deposit", "balance_date", "2026年3月1日"), Ok(Some(Value::Date32(20_513))));
    assert_eq!(read("bank_deposit", "balance_date", "2026年3月"), Err(Rule::DateForm));
    assert_eq!(read("assistance_payment", "pay_month", "2026年3月"), Ok(Some(Value::Date32(20_513))));
    assert_eq!(read("subsistence_allowance_member", "is_guaranteed", "是"), Ok(Some(Value::Boolean(true))));
    assert_eq!(read("medical_insurance_enrolment", "contribution_year", "2026年度"), Ok(Some(Value::Int32(2026))));
    assert_eq!(read("individual_income_tax", "payer_uscc", "self"), Ok(Some(Value::Text("SELF".into()))));
    assert_eq!(
        read("bank_deposit", "citizen_id", "110105491231002"),
        Ok(Some(Value::Text("11010519491231002X".into())))
    );
    assert_eq!(read("bank_deposit", "full_name", "　"), Ok(None));
}
