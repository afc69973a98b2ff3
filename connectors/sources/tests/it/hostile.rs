//! Any bytes: no panic, every line accounted for, and agreement with a well-known reader where the file is sound.

use std::sync::Arc;

use minqiao_connector_api::Mapper;
use minqiao_connector_api::layout::Layout;
use minqiao_connector_api::source::{Limits, SourceError, Sources};
use minqiao_connector_sources::FileSources;
use proptest::prelude::*;

use crate::support::{HEADER, file_ref, inmates, inmates_csv, mapping, row};

/// Reads and maps a file; returns rows and rejects, or nothing when it is refused.
fn read(department: &minqiao_connector_api::Department, bytes: &[u8], limits: &Limits) -> Option<(Vec<u32>, Vec<u32>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, bytes).unwrap();
    let mapping = mapping(department);
    let mut source = match FileSources.open(&file_ref(&path), &mapping.source, limits, None) {
        Ok(source) => source,
        Err(SourceError::Refused { .. }) => return None,
        Err(other) => panic!("{other}"),
    };
    let layout = Layout::bind(&mapping, source.head(), "a.csv").ok()?;
    let mapper = Mapper::new(Arc::clone(&mapping), layout, limits);
    source.set_width(mapper.width());
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    while let Some(piece) = source.next_piece().unwrap() {
        let mapped = mapper.map(&piece.rows());
        rows.extend(mapped.rows);
        rejects.extend(mapped.rejects.iter().map(|r| r.row));
    }
    Some((rows, rejects))
}

fn ascending(rows: &[u32]) -> bool {
    rows.windows(2).all(|pair| pair[0] < pair[1])
}

/// Pieces of damage.
fn scrap() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\"".to_vec()),
        Just(b",".to_vec()),
        Just(vec![0x81, b'|']),
        Just(vec![0xff, 0x00]),
        Just(row(1).into_bytes()),
        Just(format!("{}\n", row(2)).into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

#[test]
fn a_line_without_end_costs_one_row_and_no_memory() {
    let limits = Limits { piece_rows: 2, field_bytes: 100, record_bytes: 300, ..Limits::default() };
    let header = encoding_rs::GBK.encode(HEADER).0.into_owned();
    let good = encoding_rs::GBK.encode(&row(1)).0.into_owned();
    for (first, length) in [(b'x', 400), (b'"', 400), (b'x', 5 << 20), (b'"', 5 << 20)] {
        let mut bytes = [&header[..], b"\n", &good, b"\n"].concat();
        bytes.push(first);
        bytes.extend(std::iter::repeat_n(b'y', length));
        bytes.extend([&b"\n"[..], &good].concat());
        let found = read(&inmates_csv(), &bytes, &limits).expect("the header is sound");
        assert_eq!(found, (vec![2, 4], vec![3]), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_end_as_rows_or_rejects(scraps in proptest::collection::vec(scrap(), 0..30), piece_rows in 1usize..5) {
        let limits = Limits { piece_rows, field_bytes: 200, record_bytes: 400, ..Limits::default() };
        for encoding in ["gbk", "gb18030", "utf-8"] {
            for separator in [",", "|"] {
                let source = format!("{{ kind: csv, files: \"*.csv\", encoding: {encoding}, separator: \"{separator}\" }}");
                let department = inmates(&source);
                let header = HEADER.replace(',', separator);
                let header = match encoding {
                    "gbk" => encoding_rs::GBK.encode(&header).0.into_owned(),
                    "gb18030" => encoding_rs::GB18030.encode(&header).0.into_owned(),
                    _ => header.into_bytes(),
                };
                let bytes = [&header[..], b"\n", &scraps.concat()].concat();
                let (rows, rejects) = read(&department, &bytes, &limits).expect("the header is sound");
                prop_assert!(ascending(&rows) && ascending(&rejects));
                let lines = bytes.iter().filter(|b| **b == b'\n').count() as u32 + 1;
                prop_assert!(rows.iter().chain(&rejects).all(|&at| at > 1 && at <= lines));
                prop_assert!(!rows.iter().any(|at| rejects.contains(at)));
            }
        }
    }

    #[test]
    fn files_without_a_header_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _rows = read(&inmates_csv(), &bytes, &Limits::default());
    }

    #[test]
    fn sound_files_are_read_as_the_csv_crate_reads_them(
        cells in proptest::collection::vec(proptest::collection::vec("[a-c王\" ,\n]{0,6}", 11..=11), 1..20)
    ) {
        let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
        writer.write_record(HEADER.split(',')).unwrap();
        for row in &cells {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, &bytes).unwrap();
        let department = inmates("{ kind: csv, files: \"*.csv\", encoding: utf-8 }");
        let spec = &department.mappings[0].source;
        let mut source = FileSources.open(&file_ref(&path), spec, &Limits::default(), None).unwrap();
        source.set_width(11);
        let mut found: Vec<Vec<String>> = Vec::new();
        while let Some(piece) = source.next_piece().unwrap() {
            let rows = piece.rows();
            prop_assert!(rows.faults().is_empty(), "{:?}", rows.faults());
            found.extend((0..rows.len()).map(|r| (0..11).map(|c| rows.cell(r, c).to_owned()).collect()));
        }
        let wanted: Vec<Vec<String>> =
            cells.into_iter().filter(|row| row.iter().any(|cell| !cell.trim().is_empty())).collect();
        prop_assert_eq!(found, wanted);
    }
}
