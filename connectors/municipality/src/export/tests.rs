//! Tests of the exports: against the connectors' mappings (`agreement`), on disk (`files`), and of the rendering.

use std::path::Path;

use chrono::NaiveDate;
use minqiao_schemas::{Catalogue, FieldType, Item};

use super::*;
use crate::chance::Chance;
use crate::row::{Exporter, Row, RowSink, Text, Value};

mod agreement;
mod files;

fn day(y: i32, m: u32, d: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(y, m, d).unwrap()
}

fn options(dir: &Path, seed: u64) -> ExportOptions {
    ExportOptions {
        dir: dir.to_owned(),
        seed,
        city: "威海市".into(),
        last_day: day(2026, 6, 30),
        counties: vec![(371_002, "环翠区".into()), (371_003, "文登区".into())],
    }
}

/// A row whose every field is filled with something its type and code table allow; `n` makes the key.
fn row(item: &Item, n: u64) -> Row {
    let mut chance = Chance::new(n, u64::from(item.no));
    let born = day(1930 + i32::try_from(n % 80).unwrap(), 1 + u32::try_from(n % 12).unwrap(), 3);
    let number = crate::number::citizen(371_002, born, u32::try_from(n / 80 % 1000).unwrap());
    let values = item.fields.iter().map(|f| {
        let table = f.table();
        match f.ty {
            FieldType::Utf8 if f.is_citizen_number() => Value::Text(Text::from(number.clone())),
            FieldType::Utf8 => match table.filter(|t| !t.values.is_empty()) {
                Some(table) => Value::Text(Text::from(chance.pick(&table.values).code.clone())),
                None if f.name.ends_with("name") => Value::Text("李,桂\u{3400}英".into()),
                None if item.natural_key.contains(&f.name) => Value::Text(Text::from(format!("K{n}"))),
                None => Value::Text("371002".into()),
            },
            FieldType::Int32 | FieldType::Int64 => Value::Int(i64::try_from(n % 3000).unwrap()),
            FieldType::Boolean => Value::Bool(n.is_multiple_of(2)),
            FieldType::Date32 => Value::Date(day(2025, 1 + u32::try_from(n % 12).unwrap(), 1)),
            FieldType::TimestampMs => Value::Time(1_740_000_000_000 + i64::try_from(n).unwrap() * 1000),
            FieldType::Decimal { .. } => Value::Decimal(i128::from(chance.range(1, 5_000_000))),
        }
    });
    let mut values: Vec<Value> = values.collect();
    if let Some(at) = item.field_index("currency_code") {
        values[at] = Value::Text("CNY".into());
    }
    Row {
        values,
        county: if n.is_multiple_of(3) { 371_003 } else { 371_002 },
        source_updated_at: 1_750_000_000_000 + i64::try_from(n).unwrap() * 1000,
        data_date: day(2024 + i32::try_from(n % 3).unwrap(), 1 + u32::try_from(n % 6).unwrap(), 20),
        delete: false,
        critical: false,
    }
}

/// Exports `rows` rows of every item in blocks of a hundred; what `change` makes of them.
fn export(dir: &Path, seed: u64, rows: u64, change: impl Fn(&mut Row)) -> ExportSummary {
    let mut files = DepartmentFiles::create(&options(dir, seed)).unwrap();
    for block in 0..rows.div_ceil(100) {
        let mut sink = files.open_block(block);
        for item in Catalogue::embedded().items() {
            for n in block * 100..((block + 1) * 100).min(rows) {
                let mut row = row(item, n);
                change(&mut row);
                sink.emit(usize::from(item.no), row);
            }
        }
        files.append(sink).unwrap();
    }
    files.finish().unwrap()
}

#[test]
fn amounts_are_written_exactly_in_every_dress() {
    use super::shape::{Money, decimal};
    let pen = pen::Pen::new(format::Charset::Utf8);
    for (value, scale, unit, money, wanted) in [
        (123_456_789, 2, 0, Money::Plain, "1234567.89"),
        (123_456_789, 2, 0, Money::Thousands, "1,234,567.89"),
        (100_000, 2, 0, Money::Yuan, "￥1,000.00"),
        (5, 2, 0, Money::Plain, "0.05"),
        (-1250, 2, 0, Money::Thousands, "-12.50"),
        (123_456, 2, 4, Money::Plain, "0.123456"),
        (150_000_000, 2, 4, Money::Plain, "150.00"),
        (0, 2, 4, Money::Plain, "0.00"),
        (3333, 4, -2, Money::Plain, "33.33"),
        (10_000, 4, -2, Money::Plain, "100.00"),
        (15_000, 4, 0, Money::Plain, "1.5000"),
    ] {
        let mut out = Vec::new();
        decimal(pen, &mut out, value, scale, unit, money);
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}

#[test]
fn gbk_files_keep_characters_outside_gbk() {
    let pen = pen::Pen::new(format::Charset::Gbk);
    let text = "王㛃𠮷·叶尔兰￥年€";
    let mut out = Vec::new();
    pen.write(&mut out, text);
    let (back, _, wrong) = encoding_rs::GBK.decode(&out);
    assert!(!wrong);
    assert_eq!(back, text);
}

#[test]
fn cells_are_quoted_when_a_reader_needs_it() {
    let pen = pen::Pen::new(format::Charset::Utf8);
    for (text, wanted) in [("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("plain", "plain"), ("", "")] {
        let mut out = b"before,".to_vec();
        let start = out.len();
        pen.write(&mut out, text);
        pen.close_cell(&mut out, start, b',');
        assert_eq!(&out[start..], wanted.as_bytes());
    }
}
