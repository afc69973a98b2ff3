//! What lies on disk: every file opens with an ordinary reader, and the truth counts its rows.

use std::collections::BTreeMap;

use calamine::{Data, Reader};

use super::*;
use crate::export::format::{Charset, Kind, load};
use crate::export::plan::Plan;

/// (sheet, first row, last row, outcome, reason, column) of one file.
type Runs = Vec<(String, u32, u32, String, String, String)>;

fn truth(dir: &Path, item: &str) -> BTreeMap<String, Runs> {
    let mut files: BTreeMap<String, Runs> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(dir.join(format!("truth/rows/{item}.csv"))).unwrap();
    for record in reader.records() {
        let r = record.unwrap();
        let number = |i: usize| r[i].parse::<u32>().unwrap();
        files.entry(r[0].to_owned()).or_default().push((
            r[1].to_owned(),
            number(2),
            number(3),
            r[4].to_owned(),
            r[5].to_owned(),
            r[6].to_owned(),
        ));
    }
    files
}

/// Rows of a file as text, titles and headers included.
fn rows(path: &Path, kind: &Kind) -> Vec<Vec<String>> {
    match kind {
        Kind::Csv { charset, separator, .. } => {
            let bytes = std::fs::read(path).unwrap();
            let encoding = match charset {
                Charset::Gbk => encoding_rs::GBK,
                Charset::Gb18030 => encoding_rs::GB18030,
                _ => encoding_rs::UTF_8,
            };
            assert_eq!(bytes.starts_with(&[0xef, 0xbb, 0xbf]), *charset == Charset::Utf8Bom);
            let (text, _, wrong) = encoding.decode(&bytes);
            assert!(!wrong, "{}", path.display());
            let mut reader =
                csv::ReaderBuilder::new().has_headers(false).delimiter(*separator).from_reader(text.as_bytes());
            reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
        }
        Kind::Xlsx { .. } => {
            let mut book: calamine::Xlsx<_> = calamine::open_workbook(path).unwrap();
            let sheet = book.worksheet_range_at(0).unwrap().unwrap();
            assert_eq!(sheet.start(), Some((0, 0)));
            let text = |cell: &Data| match cell {
                Data::DateTime(at) => format!("serial {}", at.as_f64()),
                other => other.to_string(),
            };
            sheet.rows().map(|r| r.iter().map(text).collect()).collect()
        }
    }
}

#[test]
fn every_item_is_written_and_its_truth_covers_every_row() {
    let dir = tempfile::tempdir().unwrap();
    let summary = export(dir.path(), 11, 1500, |_| {});
    let formats = load(Catalogue::embedded()).unwrap();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for (format, count) in formats.iter().zip(&summary.items) {
        let item = format.item;
        let truth = truth(dir.path(), &item.code);
        let mut total = 0;
        for (file, data_rows) in &count.files {
            let path = dir.path().join("exports").join(&item.department).join(file);
            let all = rows(&path, &format.kind);
            let (above, below) = match &format.kind {
                Kind::Csv { .. } => (1, 0),
                Kind::Xlsx { header_rows, titles, total, .. } => {
                    (titles.len() + *header_rows as usize, usize::from(total.is_some()))
                }
            };
            assert_eq!(all.len() as u64, above as u64 + data_rows + below as u64, "{file}");
            header_is_there(format, &all[..above], file);
            if let Kind::Xlsx { total: Some((label, _)), .. } = &format.kind {
                assert_eq!(all.last().unwrap()[0], *label, "{file}");
            }
            let mut next = above as u32 + 1;
            for (_, first, last, outcome, reason, column) in &truth[file] {
                assert_eq!(*first, next, "{file}: rows without truth");
                next = last + 1;
                *reasons.entry(format!("{outcome} {reason}")).or_default() += u64::from(last - first + 1);
                if outcome == "quarantined" {
                    let at = format.columns.iter().position(|c| c.header == *column).unwrap();
                    let cell = &all[*first as usize - 1][at];
                    assert_eq!(reason == "missing_required", cell.is_empty(), "{file}: {column}");
                }
                if outcome == "duplicate" {
                    let skip = usize::from(format.columns[0].header == "序号");
                    let copy = &all[*first as usize - 1][skip..];
                    assert!(all[above..*first as usize - 1].iter().any(|r| r[skip..] == *copy), "{file}: no original");
                }
            }
            assert_eq!(u64::from(next) - above as u64 - 1, *data_rows, "{file}");
            total += data_rows;
        }
        assert_eq!(total, count.rows(), "{}", item.code);
        assert!(total >= 1500);
    }
    for wanted in [
        "accepted ",
        "duplicate ",
        "quarantined missing_required",
        "quarantined unknown_code",
        "quarantined invalid_date",
        "quarantined invalid_id_number",
        "quarantined precision_loss",
    ] {
        assert!(reasons.contains_key(wanted), "{wanted}: {reasons:?}");
    }
}

fn header_is_there(format: &format::Format, above: &[Vec<String>], file: &str) {
    let headers = match &format.kind {
        Kind::Csv { .. } => above[0].clone(),
        Kind::Xlsx { header_rows: 1, .. } => above.last().unwrap().clone(),
        Kind::Xlsx { .. } => {
            // Merged downwards: the text is in the upper row.
            let [.., upper, lower] = above else { panic!("{file}: no header") };
            let leaf = |(up, low): (&String, &String)| if low.is_empty() { up.clone() } else { low.clone() };
            upper.iter().zip(lower).map(leaf).collect()
        }
    };
    let headers: Vec<_> = headers.iter().map(|h| h.trim_start_matches('\u{feff}')).collect();
    let wanted: Vec<_> = format.columns.iter().map(|c| c.header.as_str()).collect();
    assert_eq!(headers, wanted, "{file}");
}

#[test]
fn errors_strike_at_their_stated_rates() {
    let dir = tempfile::tempdir().unwrap();
    let summary = export(dir.path(), 5, 4000, |_| {});
    let n = 73.0 * 4000.0;
    let plan = Plan::new(&options(dir.path(), 5)).unwrap();
    for rule in plan.errors.rules() {
        let struck = summary.injected.get(&rule.kind).copied().unwrap_or(0) as f64;
        // An upper bound for all; for errors that can strike (nearly) every row a lower one too.
        let expected = n * f64::from(rule.per_100k) / 100_000.0;
        let slack = 5.0 * expected.sqrt();
        assert!(struck > 0.0 && struck < expected + slack, "{:?}: {struck} of {expected}", rule.kind);
        use errors::ErrorKind::{BlankRequired, ExactDuplicate, FullWidthDigits, WrongCheckCharacter};
        if matches!(rule.kind, ExactDuplicate | FullWidthDigits | WrongCheckCharacter | BlankRequired) {
            assert!(struck > expected - slack, "{:?}: {struck} of {expected}", rule.kind);
        }
    }
}

#[test]
fn rows_that_others_rest_on_are_never_lost_and_deletes_are_clean() {
    let dir = tempfile::tempdir().unwrap();
    let critical = export(dir.path(), 3, 600, |row| row.critical = true);
    assert!(critical.items.iter().all(|i| i.quarantined.is_empty()));
    assert!(!critical.injected.is_empty());
    let deletes = export(dir.path(), 3, 200, |row| row.delete = true);
    assert!(deletes.injected.is_empty());
    assert!(deletes.items.iter().all(|i| i.accepted == 200));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let read = |seed| {
        let dir = tempfile::tempdir().unwrap();
        export(dir.path(), seed, 120, |_| {});
        let mut files = BTreeMap::new();
        for folder in std::fs::read_dir(dir.path().join("exports")).unwrap() {
            for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                files.insert(path.file_name().unwrap().to_owned(), std::fs::read(path).unwrap());
            }
        }
        files
    };
    let (one, two, other) = (read(1), read(1), read(2));
    let differ: Vec<_> = one.iter().filter(|(k, v)| two[*k] != **v).map(|(k, _)| k).collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert_ne!(one, other);
}

#[test]
fn a_full_sheet_goes_on_in_a_second_file() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::new(&options(dir.path(), 1)).unwrap();
    let item = plan.items.iter().find(|i| i.format.item.code == "distressed_worker").unwrap();
    let mut block = ExportBlock::new(Arc::new(Plan::new(&options(dir.path(), 1)).unwrap()), 0);
    for n in 0..25 {
        let row = Row { delete: true, ..row(item.format.item, n) };
        block.emit(item.no, row);
    }
    let mut truth_file = TruthFile::create(&dir.path().join("truth.csv")).unwrap();
    let out = &block.lanes[item.no - 1].outs[0];
    let mut file = OutFile::open_part(dir.path(), &plan, item, out.key, 1, 15).unwrap();
    file.append(&plan, item, out, &mut truth_file).unwrap();
    let parts: Vec<_> = file.parts().collect();
    file.finish(item, &mut truth_file).unwrap();
    truth_file.finish().unwrap();
    // Three titles and two header rows leave ten of fifteen rows.
    let names = ["困难职工建档_20260630.xlsx", "困难职工建档_20260630_2.xlsx", "困难职工建档_20260630_3.xlsx"];
    assert_eq!(parts, [(names[0].into(), 10), (names[1].into(), 10), (names[2].into(), 5)]);
    for (name, data_rows) in parts {
        assert_eq!(rows(&dir.path().join(name), &item.format.kind).len() as u64, 5 + data_rows + 1);
    }
}
