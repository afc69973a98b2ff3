//! Damaged text files: what each kind of damage costs.

use encoding_rs::{GB18030, GBK};

use crate::support::{HEADER, deliver, inmates, inmates_csv, number, outcomes, row};

fn gbk(text: &str) -> Vec<u8> {
    GBK.encode(text).0.into_owned()
}

async fn check(lines: &[&str], wanted: &[&str]) {
    let text = format!("{HEADER}\r\n{}\r\n", lines.join("\r\n"));
    let delivered = deliver(inmates_csv(), "a.csv", &gbk(&text)).await;
    assert_eq!(outcomes(&delivered.report), wanted, "{lines:?}");
}

#[tokio::test]
async fn good_rows_are_accepted_and_repeated_ones_are_duplicates() {
    check(&[&row(1), &row(2), &row(1), &row(3), &row(4)], &["2-3 accepted", "4-4 duplicate", "5-6 accepted"]).await;
}

#[tokio::test]
async fn repairable_numbers_are_accepted_and_others_named_by_column() {
    let wrong = row(3).replacen("3710021980", "3710021981", 1);
    let cut = row(4).replacen(&number(4), "371002198001011000", 1);
    let science = row(5).replacen(&number(5), "3.71002E+17", 1);
    let short = row(6).replacen(&number(6), "371002800101001", 1);
    let wide: String = number(7).chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect();
    let wide = row(7).replacen(&number(7), &wide, 1);
    check(
        &[&wrong, &cut, &science, &short, &wide],
        &["2-2 quarantined invalid_id_number 证件号码", "3-4 quarantined precision_loss 证件号码", "5-6 accepted"],
    )
    .await;
}

#[tokio::test]
async fn each_bad_cell_has_its_reason_and_column() {
    check(
        &[
            &row(1).replacen("在押", "越狱", 1),
            &row(2).replacen("2024-03-01", "2024-02-30", 1),
            &row(3).replacen("在押", "", 1),
            &row(4).replacen("371002,2026", "371099,2026", 1),
            "",
            "合计,,5,,,,,,,,",
            &row(5),
        ],
        &[
            "2-2 quarantined unknown_code 状态",
            "3-3 quarantined invalid_date 收押日期",
            "4-4 quarantined missing_required 状态",
            "5-5 quarantined unknown_code 户籍地",
            "8-8 accepted",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_lost_quotation_mark_costs_its_row_only() {
    let open = row(2).replacen("王小明", "\"王小明", 1);
    check(&[&row(1), &open, &row(3), &row(4)], &["2-2 accepted", "3-3 quarantined schema_drift", "4-5 accepted"]).await;
    let later = row(5).replacen("王小明", "\"王五\"", 1);
    check(&[&row(1), &open, &row(3), &later], &["2-2 accepted", "3-3 quarantined schema_drift", "4-5 accepted"]).await;
}

#[tokio::test]
async fn quoted_cells_may_hold_separators_quotes_and_lines() {
    let quoted = row(1).replacen("王小明", "\"王,\"\"小\"\"\n明\"", 1);
    check(&[&quoted, &row(2)], &["2-2 accepted", "4-4 accepted"]).await;
}

#[tokio::test]
async fn ragged_rows_and_runaway_fields_cost_themselves() {
    let long = row(2).replacen("王小明", &format!("\"{}", "很".repeat(40_000)), 1);
    let wide = format!("{},x", row(3));
    let blanks = format!("{},,", row(4));
    check(
        &[&row(1), &long, &wide, &blanks, "a,b"],
        &[
            "2-2 accepted",
            "3-3 quarantined oversize",
            "4-4 quarantined schema_drift",
            "5-5 accepted",
            "6-6 quarantined schema_drift",
        ],
    )
    .await;
}

#[tokio::test]
async fn rows_in_another_encoding_and_with_nul_are_refused_alone() {
    let mut bytes = gbk(&format!("{HEADER}\n{}\n", row(1)));
    let damaged = row(2).replacen("王小明", "\u{1}", 1);
    bytes.extend(gbk(&damaged).iter().map(|&b| if b == 1 { 0xff } else { b }));
    bytes.push(b'\n');
    bytes.extend(gbk(&row(3)).iter().map(|&b| if b == b'1' { 0 } else { b }));
    bytes.push(b'\n');
    bytes.extend(gbk(&row(4)));
    let delivered = deliver(inmates_csv(), "a.csv", &bytes).await;
    let wanted = ["2-2 accepted", "3-3 quarantined encoding 姓名", "4-4 quarantined encoding 证件号码", "5-5 accepted"];
    let found = outcomes(&delivered.report);
    assert_eq!(found[..2], wanted[..2]);
    assert!(found[2].starts_with("4-4 quarantined encoding"), "{found:?}");
    assert_eq!(found[3], wanted[3]);
}

#[tokio::test]
async fn whole_files_are_refused_with_a_reason_and_others_go_on() {
    let good = format!("{HEADER}\n{}\n", row(1));
    let drift = good.replacen("姓名", "名字", 1);
    let cases: [(&str, Vec<u8>); 6] = [
        ("schema_drift", Vec::new()),
        ("schema_drift", gbk(&drift)),
        ("encoding", good.clone().into_bytes()),
        (
            "encoding",
            good.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>().into_iter().fold(
                vec![0xff, 0xfe],
                |mut all, b| {
                    all.push(b);
                    all
                },
            ),
        ),
        ("encoding", [&[0xef, 0xbb, 0xbf][..], good.as_bytes()].concat()),
        ("encoding", b"PK\x03\x04rest".to_vec()),
    ];
    for (code, bytes) in cases {
        let delivered = deliver(inmates_csv(), "a.csv", &bytes).await;
        let file = &delivered.report.items[0].files[0];
        let refused = file.refused.as_ref().unwrap_or_else(|| panic!("{code}: not refused"));
        // UTF-8 read as GBK may also show as another header.
        assert!(refused.code == code || (code == "encoding" && refused.code == "schema_drift"), "{refused:?}");
        assert!(file.done && !delivered.report.is_complete() && file.counts.rows == 0);
    }
    let drifted = deliver(inmates_csv(), "a.csv", &gbk(&drift)).await;
    let refused = drifted.report.items[0].files[0].refused.clone().expect("refused");
    assert_eq!(
        refused.message_zh,
        "列结构与约定不符，整个文件未接收。缺少列：姓名；未约定的列：名字。请恢复约定的列，或更新映射后重新报送。"
    );
}

#[tokio::test]
async fn all_encodings_and_separators_read_the_same() {
    let text = format!("{HEADER}\n{}\n{}", row(1), row(2)).replace("王小明", "王\u{9fb4}明");
    let piped = text.replace(',', "|");
    let cases: [(&str, Vec<u8>); 4] = [
        ("{ kind: csv, files: \"*.csv\", encoding: utf-8 }", text.clone().into_bytes()),
        ("{ kind: csv, files: \"*.csv\", encoding: utf-8 }", [&[0xef, 0xbb, 0xbf][..], text.as_bytes()].concat()),
        ("{ kind: csv, files: \"*.csv\", encoding: gb18030 }", GB18030.encode(&text).0.into_owned()),
        ("{ kind: csv, files: \"*.csv\", encoding: gb18030, separator: \"|\" }", GB18030.encode(&piped).0.into_owned()),
    ];
    for (source, bytes) in cases {
        let delivered = deliver(inmates(source), "a.csv", &bytes).await;
        assert_eq!(outcomes(&delivered.report), ["2-3 accepted"], "{source}");
    }
}

#[tokio::test]
async fn titles_carry_the_data_date_and_the_return_sheet_opens_in_excel() {
    let source = "{ kind: csv, files: \"*.csv\", encoding: gbk, skip_rows: 2, \
                  data_date: { from: title, pattern: \"截至(\\\\d{8})\" } }";
    let bad = row(2).replacen("在押", "=越狱", 1);
    let text = format!("服刑人员名册\n截至20261120,单位：司法局\n{HEADER}\n{}\n{bad}\n", row(1));
    let delivered = deliver(inmates(source), "a.csv", &gbk(&text)).await;
    assert_eq!(outcomes(&delivered.report), ["4-4 accepted", "5-5 quarantined unknown_code 状态"]);
    let sheet = delivered.root.path().join("回执单.csv");
    delivered.report.write_return_sheet(&sheet).unwrap();
    let sheet = std::fs::read_to_string(sheet).unwrap();
    assert_eq!(
        sheet,
        "\u{feff}信息项,文件,工作表,起始行,终止行,列,原因代码,问题与处理办法,Problem and fix\n\
         prison_inmate,a.csv,,5,5,状态,unknown_code,第 5 行“状态”列：代码不在代码表内。请改用代码表中的代码，或在映射中补充该代码的转换。,\
         \"row 5, column `状态`: the code is not in its table; use a code of the table, or add the code to the mapping's \
         translation\"\n"
    );
    delivered.report.write_outcomes(&delivered.root.path().join("o")).unwrap();
    let rows = std::fs::read_to_string(delivered.root.path().join("o/prison_inmate.csv")).unwrap();
    assert_eq!(
        rows,
        "file,sheet,first_row,last_row,outcome,reason,column\na.csv,,4,4,accepted,,\na.csv,,5,5,quarantined,unknown_code,状态\n"
    );
}
