//! The two descriptions of the departments' files, formats here and mappings there, say the same.
//!
//! The mappings are read as plain YAML, not by the connectors' code: this test would not notice a mistake that both
//! readers share, but it does notice every column, code, form and unit that the two sides spell differently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use minqiao_schemas::Catalogue;
use serde_norway::Value as Yaml;

use crate::export::format::{Charset, Form, Format, Kind, Source, load};
use crate::export::shape::{DateShape, TimeShape};

fn departments() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../departments")
}

fn yaml(path: PathBuf) -> Yaml {
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_norway::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn text<'a>(yaml: &'a Yaml, key: &str) -> Option<&'a str> {
    yaml.get(key).and_then(Yaml::as_str)
}

fn words(yaml: &Yaml) -> BTreeMap<String, String> {
    let pair = |(k, v): (&Yaml, &Yaml)| (k.as_str().unwrap().to_owned(), v.as_str().unwrap().to_owned());
    yaml.as_mapping().unwrap().iter().map(pair).collect()
}

#[test]
fn seventeen_connectors_carry_their_items_in_order() {
    let catalogue = Catalogue::embedded();
    let mut items = 0;
    for department in catalogue.departments() {
        let folder = departments().join(&department.code);
        let connector = yaml(folder.join("connector.yaml"));
        assert_eq!(text(&connector, "department"), Some(department.code.as_str()));
        let listed: BTreeSet<_> =
            connector["items"].as_sequence().unwrap().iter().map(|i| i.as_str().unwrap().to_owned()).collect();
        let own: BTreeSet<_> =
            catalogue.items().iter().filter(|i| i.department == department.code).map(|i| i.code.clone()).collect();
        assert_eq!(listed, own, "{}", department.code);
        let on_disk: BTreeSet<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter_map(|n| n.strip_suffix(".yaml").map(str::to_owned))
            .filter(|n| n != "connector" && n != "codes")
            .collect();
        assert_eq!(on_disk, own, "{}", department.code);
        items += own.len();
    }
    assert_eq!((catalogue.departments().len(), items), (17, 73));
}

#[test]
fn every_field_is_mapped_as_it_is_written() {
    let formats = load(Catalogue::embedded()).unwrap();
    let mut fields = 0;
    for format in &formats {
        let folder = departments().join(&format.item.department);
        let mapping = yaml(folder.join(format!("{}.yaml", format.item.code)));
        let codes = folder.join("codes.yaml");
        let lists = if codes.is_file() { yaml(codes) } else { Yaml::Null };
        source_agrees(format, &mapping["source"]);
        let mut read = BTreeSet::new();
        for field in &format.item.fields {
            let spec = mapping["fields"].get(field.name.as_str());
            let spec = spec.unwrap_or_else(|| panic!("{}: `{}` is not mapped", format.item.code, field.name));
            field_agrees(format, &field.name, spec, &lists);
            read.extend(text(spec, "column").map(str::to_owned));
            fields += 1;
        }
        assert_eq!(mapping["fields"].as_mapping().unwrap().len(), format.item.fields.len());
        envelope_agrees(format, &mapping, &mut read);
        let written: BTreeSet<_> = format.columns.iter().map(|c| c.header.clone()).collect();
        assert_eq!(read, written, "{}: columns", format.item.code);
    }
    assert_eq!((formats.len(), fields), (73, 953));
}

fn source_agrees(format: &Format, source: &Yaml) {
    let code = &format.item.code;
    match &format.kind {
        Kind::Csv { charset, separator, .. } => {
            assert_eq!(text(source, "kind"), Some("csv"), "{code}");
            let encoding = match charset {
                Charset::Gbk => "gbk",
                Charset::Gb18030 => "gb18030",
                Charset::Utf8 | Charset::Utf8Bom => "utf-8",
            };
            assert_eq!(text(source, "encoding"), Some(encoding), "{code}");
            assert_eq!(text(source, "separator"), Some(char::from(*separator).to_string().as_str()), "{code}");
        }
        Kind::Xlsx { header_rows, titles, total, .. } => {
            assert_eq!(text(source, "kind"), Some("xlsx"), "{code}");
            assert_eq!(source.get("header_rows").and_then(Yaml::as_u64), Some(u64::from(*header_rows)), "{code}");
            let skip = source.get("skip_rows").and_then(Yaml::as_u64).unwrap_or(0);
            assert_eq!(skip, titles.len() as u64, "{code}");
            assert_eq!(text(source, "total_row"), total.as_ref().map(|(label, _)| label.as_str()), "{code}");
        }
    }
}

fn field_agrees(format: &Format, name: &str, spec: &Yaml, lists: &Yaml) {
    let at = format!("{}.{name}", format.item.code);
    let index = format.item.field_index(name).unwrap();
    if let Some(constant) = text(spec, "constant") {
        assert!(format.always.contains(&(index, constant.to_owned())), "{at}");
        return;
    }
    let column = format.columns.iter().find(|c| matches!(&c.source, Source::Field(f, _) if *f == index));
    let column = column.unwrap_or_else(|| panic!("{at}: not written"));
    assert_eq!(text(spec, "column"), Some(column.header.as_str()), "{at}");
    let Source::Field(_, form) = &column.source else { unreachable!() };
    let kind = text(spec, "as");
    let date = |form: &DateShape| assert_eq!(DateShape::parse(text(spec, "format").unwrap()), Ok(*form), "{at}");
    let codes = spec.get("codes").map(|c| match c.as_str().and_then(|c| c.strip_prefix('$')) {
        Some(list) => words(lists.get(list).unwrap_or_else(|| panic!("{at}: no list `{list}`"))),
        None => words(c),
    });
    match form {
        Form::Text => {
            let number = format.item.fields[index].is_citizen_number();
            assert_eq!((kind, codes), (number.then_some("citizen_id"), None), "{at}");
        }
        Form::Codes(written) => {
            // Both ways: the mapping gives every word its code back, and knows no word that is never written.
            let back: BTreeMap<_, _> = written.iter().map(|(code, word)| (word.clone(), code.clone())).collect();
            assert_eq!(back.len(), written.len(), "{at}: two codes share a word");
            assert_eq!(codes, Some(back), "{at}");
        }
        Form::Int => assert_eq!(kind, Some("integer"), "{at}"),
        Form::Bool([yes, no]) => {
            assert_eq!(kind, Some("boolean"), "{at}");
            let wanted = BTreeMap::from([(yes.clone(), "true".to_owned()), (no.clone(), "false".to_owned())]);
            assert_eq!(codes, Some(wanted), "{at}");
        }
        Form::Date(form) => {
            assert_eq!(kind, Some("date"), "{at}");
            date(form);
        }
        Form::Month(form) => {
            assert_eq!(kind, Some("month"), "{at}");
            date(form);
        }
        Form::Time(form) => {
            assert_eq!(kind, Some("timestamp"), "{at}");
            assert_eq!(TimeShape::parse(text(spec, "format").unwrap()), Ok(*form), "{at}");
        }
        Form::Decimal { unit, .. } => {
            assert_eq!(kind, Some("decimal"), "{at}");
            let wanted = [(4, "万元"), (-2, "%")].into_iter().find(|(u, _)| u == unit).map(|(_, name)| name);
            assert_eq!(text(spec, "unit"), wanted, "{at}");
        }
    }
}

fn envelope_agrees(format: &Format, mapping: &Yaml, read: &mut BTreeSet<String>) {
    let code = &format.item.code;
    let envelope = &mapping["envelope"];
    let ignored: BTreeSet<&str> = mapping
        .get("ignore")
        .and_then(Yaml::as_sequence)
        .map(|all| all.iter().filter_map(Yaml::as_str).collect())
        .unwrap_or_default();
    for column in &format.columns {
        let header = Some(column.header.as_str());
        match &column.source {
            Source::Field(..) => continue,
            Source::Updated(form) => {
                let spec = &envelope["source_updated_at"];
                assert_eq!(text(spec, "column"), header, "{code}");
                assert_eq!(TimeShape::parse(text(spec, "format").unwrap()), Ok(*form), "{code}");
            }
            Source::RecordId => assert_eq!(text(&envelope["source_record_id"], "column"), header, "{code}"),
            Source::Op(upsert, delete) => {
                assert_eq!(text(&envelope["op"], "column"), header, "{code}");
                let mut wanted: BTreeMap<_, _> = upsert.iter().map(|w| (w.clone(), "upsert".to_owned())).collect();
                wanted.insert(delete.clone(), "delete".into());
                assert_eq!(words(&envelope["op"]["codes"]), wanted, "{code}");
            }
            Source::DataDate(form) => {
                let spec = &mapping["source"]["data_date"];
                assert_eq!((text(spec, "from"), text(spec, "column")), (Some("column"), header), "{code}");
                assert_eq!(DateShape::parse(text(spec, "format").unwrap()), Ok(*form), "{code}");
            }
            Source::RowNumber | Source::AnyOf(_) => assert!(ignored.contains(column.header.as_str()), "{code}"),
        }
        read.insert(column.header.clone());
    }
    assert!(format.columns.iter().any(|c| matches!(c.source, Source::Updated(_))), "{code}: versions have no order");
    assert!(format.columns.iter().any(|c| matches!(c.source, Source::Op(..))), "{code}: nothing can be deleted");
}

#[test]
fn every_department_shows_a_sample_of_one_of_its_files() {
    let formats = load(Catalogue::embedded()).unwrap();
    for department in Catalogue::embedded().departments() {
        let folder = departments().join(&department.code).join("samples");
        let names: Vec<String> =
            std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!names.is_empty(), "{}", department.code);
        for name in names {
            let stem = |text: &str| text.split(['{', '.']).next().unwrap_or_default().to_owned();
            let of = |f: &&Format| f.item.department == department.code && name.starts_with(&stem(&f.file));
            let format = formats.iter().find(of).unwrap_or_else(|| panic!("{name}: no item's file"));
            let Kind::Csv { charset, separator, .. } = &format.kind else { continue };
            let bytes = std::fs::read(folder.join(&name)).unwrap();
            let encoding = match charset {
                Charset::Gbk => encoding_rs::GBK,
                Charset::Gb18030 => encoding_rs::GB18030,
                Charset::Utf8 | Charset::Utf8Bom => encoding_rs::UTF_8,
            };
            let (text, _, _) = encoding.decode(&bytes);
            let header: Vec<_> = text.lines().next().unwrap().split(char::from(*separator)).collect();
            let written: Vec<_> = format.columns.iter().map(|c| c.header.as_str()).collect();
            assert_eq!(header, written, "{name}");
        }
    }
}

#[test]
fn dirty_words_are_in_no_code_list() {
    for format in load(Catalogue::embedded()).unwrap() {
        for column in &format.columns {
            let Source::Field(field, form) = &column.source else { continue };
            let mut known: Vec<&str> = format.item.fields[*field]
                .table()
                .map(|t| t.values.iter().map(|v| v.code.as_str()).collect())
                .unwrap_or_default();
            if let Form::Codes(words) = form {
                known.extend(words.values().map(String::as_str));
            }
            assert!(!known.iter().any(|w| crate::export::dirt::UNKNOWN.contains(w)), "{}", column.header);
        }
    }
}
