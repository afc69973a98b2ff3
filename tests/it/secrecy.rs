//! `SEC-1`: after a demo no generated name, citizen number, telephone or address stands anywhere below the data folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use indicatif::{MultiProgress, ProgressDrawTarget};
use minqiao_server::commands::demo::{self, DemoArgs, make_city};
use minqiao_server::config::Config;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// GB 11643: 17 digits with a birth date of this or the last century and the right check character. A credit code of
/// an organisation, which is public, can have 17 digits too.
fn is_citizen_number(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    if bytes.len() != 18 || !bytes[..17].iter().all(u8::is_ascii_digit) || !matches!(&bytes[6..8], b"19" | b"20") {
        return false;
    }
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = bytes.iter().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    b"10X98765432"[(sum % 11) as usize] == bytes[17]
}

fn text_rows(file: &Path) -> Vec<Vec<String>> {
    let bytes = std::fs::read(file).expect("an export");
    let (text, _, broken) = encoding_rs::GB18030.decode(&bytes);
    let text = if broken || std::str::from_utf8(&bytes).is_ok() {
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        text.into_owned()
    };
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    rows.records().filter_map(Result::ok).map(|row| row.iter().map(str::to_owned).collect()).collect()
}

fn sheet_rows(file: &Path) -> Vec<Vec<String>> {
    let mut workbook: calamine::Xlsx<_> = calamine::open_workbook(file).expect("a workbook");
    let sheets = calamine::Reader::worksheets(&mut workbook);
    sheets.iter().flat_map(|(_, cells)| cells.rows()).map(|row| row.iter().map(ToString::to_string).collect()).collect()
}

/// Every text of a Parquet file, one a line: compression hides it from a search of the bytes.
fn texts_of(file: &Path) -> Vec<u8> {
    use arrow::array::AsArray;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).expect("a file")).expect("Parquet");
    let mut texts = Vec::new();
    for batch in reader.build().expect("a reader") {
        for column in batch.expect("a batch").columns() {
            for text in column.as_string_opt::<i32>().into_iter().flatten().flatten() {
                texts.extend_from_slice(text.as_bytes());
                texts.push(b'\n');
            }
        }
    }
    texts
}

/// Identifiers of the city as the departments wrote them: every citizen number, and every cell of a column whose
/// header speaks of a name, telephone or address.
fn identifiers(city: &Path) -> HashMap<Vec<u8>, String> {
    let mut found = HashMap::new();
    for file in files(&city.join("exports")) {
        let rows = match file.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => text_rows(&file),
            Some("xlsx") => sheet_rows(&file),
            _ => continue,
        };
        let named = |row: &Vec<String>| row.iter().filter(|cell| !cell.trim().is_empty()).count();
        // Titles and groups of columns stand above it.
        let heads = rows.iter().take(6).enumerate().max_by_key(|(_, row)| named(row));
        let Some((head, header)) = heads else { continue };
        let personal: Vec<usize> = header
            .iter()
            .enumerate()
            .filter(|(_, name)| {
                ["姓名", "电话", "手机", "住址", "地址", "纳税人"].iter().any(|word| name.contains(word))
            })
            .map(|(column, _)| column)
            .collect();
        for row in &rows[head + 1..] {
            for (column, cell) in row.iter().enumerate() {
                let cell = cell.trim();
                let is_number = is_citizen_number(cell);
                // Two characters of three bytes each are the shortest name; shorter cells are codes.
                if is_number
                    || (personal.contains(&column) && cell.len() >= 6 && !cell.is_ascii())
                    || (personal.contains(&column) && cell.len() >= 11)
                {
                    let place = file.file_name().unwrap_or_default().to_string_lossy();
                    let column = header.get(column).map(String::as_str).unwrap_or_default();
                    found.insert(cell.as_bytes().to_vec(), format!("column {column} of {place}"));
                }
            }
        }
        for name in header.iter() {
            found.remove(name.as_bytes());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_identity_stands_in_clear_below_the_data_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    demo_agrees_and_hides(crate::world::config(folder.path()), folder.path(), None).await;
}

/// The same city with its lake on an object store that keeps plain files.
#[tokio::test(flavor = "multi_thread")]
async fn no_identity_stands_in_clear_on_an_object_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = crate::world::config(folder.path());
    let Some(server) = crate::world::lake_on_s3(&mut config) else { return };
    let tables = server.join("data").join(config.lake.location.as_deref().expect("a location").replace("s3://", ""));
    demo_agrees_and_hides(config, folder.path(), Some(&tables)).await;
}

/// Runs the demo, which holds rows, verifications and SQL against the city's truth, and searches what it left.
async fn demo_agrees_and_hides(mut config: Config, folder: &Path, tables: Option<&Path>) {
    let city = folder.join("city");
    let summary = folder.join("summary.json");
    let args = |city: Option<PathBuf>, summary| DemoArgs {
        residents: 1500,
        seed: 7,
        counties: 2,
        exit: true,
        summary,
        city,
        kafka: None,
    };
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
    make_city(&args(None, None), &city, &bars).await.expect("the same city for looking things up");
    let wanted = identifiers(&city);
    assert!(wanted.len() > 1000, "only {} identifiers found in the exports", wanted.len());

    config.data_dir = folder.join("hub");
    let data = config.data_dir.clone();
    demo::run(&args(None, Some(summary.clone())), config, true).await.expect("the demo agrees with its truth");
    let figures: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&summary).expect("a summary")).expect("JSON");
    assert_eq!(figures["truth"]["rows_disagree"], 0);
    assert_eq!(figures["verifications"]["disagree"], 0);

    let patterns: Vec<&Vec<u8>> = wanted.keys().collect();
    let search = aho_corasick::AhoCorasick::new(&patterns).expect("patterns");
    let mut searched = 0;
    let kept = tables.map(files).unwrap_or_default();
    assert!(tables.is_none() || kept.iter().any(|file| file.extension().is_some_and(|ending| ending == "parquet")));
    for file in files(&data).into_iter().chain(kept) {
        let mut bytes = std::fs::read(&file).expect("a file of the hub");
        if file.extension().is_some_and(|extension| extension == "parquet") {
            bytes.extend(texts_of(&file));
        }
        searched += bytes.len();
        if let Some(hit) = search.find(&bytes) {
            let value = patterns[hit.pattern().as_usize()];
            panic!("{} holds a value of {} at {}", file.display(), wanted[value], hit.start());
        }
        let name = file.to_string_lossy().into_owned();
        assert!(search.find(name.as_bytes()).is_none(), "a file name holds an identifier");
    }
    assert!(searched > 1 << 20, "only {searched} bytes searched");
    if tables.is_some() {
        let local = files(&data).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "parquet"));
        assert_eq!(local.count(), 0, "the tables are on the object store and nowhere else");
    }
}
