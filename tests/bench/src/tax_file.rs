//! The wide item's file: income tax declarations (18 fields, 20 columns) as the tax bureau exports them, GBK.
//!
//! Rows stand month by month, one row per person and month for two years, so that nothing about a person repeats within
//! a batch. One row in 200 breaks a rule; no row is a duplicate. Everything follows from the row number.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use encoding_rs::GBK;
use minqiao_schemas::normalise::{citizen_id, uscc};

/// Name that the mapping of the item looks for.
pub(crate) const NAME: &str = "个税申报明细_202606.csv";
/// Rows of one person: months of two years.
const MONTHS: u64 = 24;
/// One row in so many breaks a rule.
const BROKEN_EVERY: u64 = 200;

const HEADER: &str = "纳税人识别号(身份证号),纳税人姓名,扣缴义务人识别号,扣缴义务人名称,所得项目名称,税款所属期,所属期月数,收入额,费用,免税收入,减除社保公积金,专项附加扣除合计,应纳税所得额,已缴税额,申报日期,主管税务所,更正申报,解除合同补偿,入库时间,作废标志";
const REGIONS: [&str; 8] = ["371002", "371003", "371082", "371083", "370602", "370611", "220104", "410105"];
const SURNAMES: [&str; 16] =
    ["王", "李", "张", "刘", "陈", "杨", "黄", "赵", "吴", "周", "徐", "孙", "马", "朱", "胡", "欧阳"];
const GIVEN: [&str; 24] = [
    "伟", "芳", "秀英", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "娟", "涛", "明", "超", "秀兰",
    "霞", "平", "刚", "桂英", "文博", "雨桐",
];
const ITEMS: [&str; 8] =
    ["工资薪金", "工资薪金", "工资薪金", "工资薪金", "工资薪金", "劳务报酬", "经营所得", "利息股息红利"];

/// The file of `rows` rows in `folder`, made unless it is there; answers how many of its rows break a rule.
pub(crate) fn make(folder: &Path, rows: u64) -> anyhow::Result<u64> {
    if std::fs::exists(folder.join(NAME))? {
        return Ok((0..rows).filter(|row| is_broken(*row)).count() as u64);
    }
    let unfinished = folder.with_extension("unfinished");
    let broken = write(&unfinished, rows)?;
    std::fs::rename(unfinished, folder)?;
    Ok(broken)
}

fn write(folder: &Path, rows: u64) -> anyhow::Result<u64> {
    std::fs::create_dir_all(folder)?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(folder.join(NAME))?);
    let people = rows.div_ceil(MONTHS).max(1);
    let mut text = format!("{HEADER}\r\n");
    let mut broken = 0;
    for row in 0..rows {
        broken += u64::from(write_row(&mut text, row % people, row / people, row));
        if text.len() > 1 << 20 || row + 1 == rows {
            let (bytes, _, unmappable) = GBK.encode(&text);
            anyhow::ensure!(!unmappable, "a character outside GBK");
            file.write_all(&bytes)?;
            text.clear();
        }
    }
    file.flush()?;
    Ok(broken)
}

/// The first draw of the schedule that a number seeds.
fn mix(of: u64) -> u64 {
    minqiao_tests::Schedule::new(of).draw()
}

fn pick<'a>(of: &[&'a str], by: u64) -> &'a str {
    of[(by % of.len() as u64) as usize]
}

/// A number that no other person of the file has: the person's place in (region, birth date, sequence).
fn citizen(person: u64) -> String {
    let region = pick(&REGIONS, person);
    let within = person / REGIONS.len() as u64;
    let (day, within) = (within % 28 + 1, within / 28);
    let (month, within) = (within % 12 + 1, within / 12);
    let (year, sequence) = (1950 + within % 55, within / 55);
    let mut number = format!("{region}{year:04}{month:02}{day:02}{:03}", sequence % 1000);
    number.push(citizen_id::check_character(&number).unwrap_or('X'));
    number
}

fn employer(number: u64) -> String {
    let mut code = format!("91371000MA{number:07}");
    code.push(uscc::check_character(&code).unwrap_or('0'));
    code
}

/// Cents with separators, as the bureau prints them.
fn amount(text: &mut String, cents: u64) {
    let yuan = cents / 100;
    let written = if yuan >= 1000 {
        write!(text, "\"{},{:03}.{:02}\",", yuan / 1000, yuan % 1000, cents % 100)
    } else {
        write!(text, "{yuan}.{:02},", cents % 100)
    };
    debug_assert!(written.is_ok(), "writing to a string");
}

fn chance(row: u64) -> u64 {
    mix(row ^ 0x5EED)
}

fn is_broken(row: u64) -> bool {
    chance(row).is_multiple_of(BROKEN_EVERY)
}

/// Appends a row; whether it breaks a rule.
fn write_row(text: &mut String, person: u64, month: u64, row: u64) -> bool {
    let (life, chance) = (mix(person), chance(row));
    let broken = is_broken(row);
    let fault = if broken { 1 + (chance >> 32) % 4 } else { 0 };
    let mut number = citizen(person);
    if fault == 1 {
        let last = number.pop().unwrap_or('0');
        number.push(if last == '7' { '8' } else { '7' });
    }
    let (year, of_year) = (2024 + (month + 6) / 12, (month + 6) % 12 + 1);
    let (next_year, next) = if of_year == 12 { (year + 1, 1) } else { (year, of_year + 1) };
    let (declared, recorded) = (2 + chance % 13, 2 + chance % 13 + (chance >> 8) % 5);
    let company = life % 40_000;
    let item = if fault == 2 { "其他所得项目" } else { pick(&ITEMS, life >> 16) };
    let name = (pick(&SURNAMES, life >> 24), pick(&GIVEN, life >> 32));
    let employer = if fault == 3 { String::new() } else { employer(company) };
    let _in_memory = write!(
        text,
        "{number},{}{},{employer},荣成市海诚第{company}食品有限公司,{item},{year}年{of_year}月,1,",
        name.0, name.1
    );
    let income = 250_000 + (life >> 40) % 1_500_000 + chance % 20_000;
    amount(text, income);
    text.push_str(",,");
    amount(text, income * 105 / 1000);
    amount(text, if life.is_multiple_of(3) { 0 } else { 100_000 * (1 + life % 4) });
    amount(text, income.saturating_sub(500_000));
    amount(text, income.saturating_sub(500_000) * 3 / 100);
    let day = if fault == 4 { 31 + declared } else { declared };
    let (hour, minute, second) = ((chance >> 16) % 10 + 8, (chance >> 24) % 60, (chance >> 40) % 60);
    let _in_memory = write!(
        text,
        "{next_year}年{next}月{day}日,{}0000,N,N,{next_year}年{next}月{recorded}日 {hour:02}:{minute:02}:{second:02},N\r\n",
        ["1371002", "1371003", "1371082", "1371083"][(life % 4) as usize]
    );
    broken
}
