//! Workbooks: titles, merged headers, cell kinds, damage.

use std::io::Write;

use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};

use crate::support::{deliver, inmates, number, outcomes};

const SOURCE: &str = "{ kind: xlsx, files: \"*.xlsx\", sheet: 1, skip_rows: 1, header_rows: 2, total_row: 合计 }";

/// Two title-and-header rows above the columns of the test department, then its rows.
fn workbook(rows: impl FnOnce(&mut rust_xlsxwriter::Worksheet)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet().set_name("名册").unwrap();
    sheet.merge_range(0, 0, 0, 9, "服刑人员名册", &Format::new()).unwrap();
    sheet.merge_range(1, 1, 1, 2, "人员", &Format::new()).unwrap();
    sheet.merge_range(1, 5, 1, 7, "刑期", &Format::new()).unwrap();
    for (at, name) in ["序号", "", "", "状态", "单位", "", "", "", "户籍地", "更新时间"].into_iter().enumerate()
    {
        if !name.is_empty() {
            sheet.write(1, at as u16, name).unwrap();
        }
    }
    for (at, name) in [(1, "证件号码"), (2, "姓 名"), (5, "收押日期"), (6, "刑期止日"), (7, "释放日期")]
    {
        sheet.write(2, at, name).unwrap();
    }
    rows(sheet);
    workbook.save_to_buffer().unwrap()
}

fn good(sheet: &mut rust_xlsxwriter::Worksheet, row: u32, n: u32) {
    let date = Format::new().set_num_format("yyyy-mm-dd");
    sheet.write(row, 0, n).unwrap();
    sheet.write(row, 1, number(n)).unwrap();
    sheet.write(row, 2, "王小明").unwrap();
    sheet.write(row, 3, "在押").unwrap();
    sheet.write(row, 4, 3_702_010_001_f64).unwrap();
    sheet.write_with_format(row, 5, ExcelDateTime::from_ymd(2024, 3, 1).unwrap(), &date).unwrap();
    sheet.write(row, 6, "2027-02-28").unwrap();
    sheet.write(row, 8, 371_002).unwrap();
    sheet.write(row, 9, "2026-11-20 08:00:00").unwrap();
}

#[tokio::test]
async fn merged_headers_date_cells_numbers_and_totals_are_understood() {
    let bytes = workbook(|sheet| {
        for n in 0..4 {
            good(sheet, 3 + n, n);
        }
        good(sheet, 8, 9);
        sheet.write(8, 1, 371_002_199_001_010_000.0).unwrap();
        good(sheet, 9, 10);
        sheet.write(9, 5, 2024.5).unwrap();
        sheet.write(10, 0, "合计").unwrap();
        sheet.write(10, 1, 6).unwrap();
    });
    let delivered = deliver(inmates(SOURCE), "a.xlsx", &bytes).await;
    let wanted = [
        "4-7 accepted",
        "9-9 quarantined precision_loss 人员/证件号码",
        "10-10 quarantined invalid_date 刑期/收押日期",
    ];
    let found: Vec<String> =
        outcomes(&delivered.report).iter().map(|l| l.replace("人员/", "").replace("刑期/", "")).collect();
    let wanted: Vec<String> = wanted.iter().map(|l| l.replace("人员/", "").replace("刑期/", "")).collect();
    assert_eq!(found, wanted, "{:?}", delivered.report);
    assert_eq!(delivered.report.items[0].files[0].sheet, "名册");
}

async fn refused(bytes: &[u8]) -> String {
    let delivered = deliver(inmates(SOURCE), "a.xlsx", bytes).await;
    let file = &delivered.report.items[0].files[0];
    assert_eq!(file.counts.rows, 0);
    file.refused.as_ref().map(|r| r.code.clone()).unwrap_or_else(|| panic!("not refused: {:?}", delivered.report))
}

/// An archive of one sheet whose XML is made by `write`.
fn archive(write: impl FnOnce(&mut dyn Write)) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("xl/worksheets/sheet1.xml", options).unwrap();
    write(&mut zip);
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn damaged_workbooks_and_bombs_are_refused_before_any_row() {
    let whole = workbook(|sheet| good(sheet, 3, 1));
    assert_eq!(refused(b"").await, "schema_drift");
    assert_eq!(refused(b"not a workbook").await, "schema_drift");
    assert_eq!(refused(&whole[..whole.len() / 2]).await, "schema_drift");
    let mut flipped = whole.clone();
    flipped[200] ^= 0x55;
    let delivered = deliver(inmates(SOURCE), "a.xlsx", &flipped).await;
    assert!(delivered.report.items[0].failed.is_none());
    // One run of text without an end, and many small ones beyond the limit of the whole.
    let run = archive(|to| {
        let block = vec![b'a'; 1 << 20];
        for _ in 0..64 {
            to.write_all(&block).unwrap();
        }
    });
    assert_eq!(refused(&run).await, "oversize");
    assert_eq!(refused(&archive(|to| to.write_all(b"<!DOCTYPE x [<!ENTITY a 'b'>]>").unwrap())).await, "schema_drift");
}
