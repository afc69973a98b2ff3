//! A report for people: plain Chinese text, or one HTML page without any outside resource.
//!
//! Both come from the same list of sections, so they cannot say different things. Citizen numbers can be masked
//! (digits 7 to 14, the birth date) wherever they stand, natural keys included.
//!
//! What a person reads is rounded to the cent and named: exact fractions and codes stay in the JSON, which is what is
//! hashed and signed. Keys of records and numbers of institutions are shown as they are, for they are looked up.

use std::fmt::Write as _;

use minqiao_schemas::{Catalogue, division};

use crate::exact::Exact;
use crate::report::Report;
use crate::result::{Discrepancy, Verification};

/// How a report is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct RenderOptions {
    /// Hide the birth date inside every citizen number.
    pub mask_numbers: bool,
}

struct Section {
    title: &'static str,
    parts: Vec<Part>,
}

enum Part {
    Pair(&'static str, String),
    Table(&'static [&'static str], Vec<Vec<String>>),
    Note(String),
}

/// Plain text, one section after the other.
pub fn text(report: &Report, options: RenderOptions) -> String {
    let mut out = String::from("低收入人口家庭经济状况核对报告\n");
    for section in sections(report) {
        let _infallible = writeln!(out, "\n【{}】", section.title);
        for part in section.parts {
            let _infallible = match part {
                Part::Pair(name, value) => writeln!(out, "  {name}:{value}"),
                Part::Note(note) => writeln!(out, "  {note}"),
                Part::Table(head, rows) => {
                    let rows = rows.iter().map(|row| {
                        let cells = head.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
                        format!("  - {}\n", cells.map(|(h, cell)| format!("{h} {cell}")).collect::<Vec<_>>().join(","))
                    });
                    write!(out, "{}", rows.collect::<String>())
                }
            };
        }
    }
    if options.mask_numbers { masked(&out) } else { out }
}

/// One HTML page.
pub fn html(report: &Report, options: RenderOptions) -> String {
    let mut body = String::new();
    for section in sections(report) {
        let _infallible = write!(body, "<section><h2>{}</h2>", section.title);
        for part in section.parts {
            let _infallible = match part {
                Part::Pair(name, value) => write!(body, "<p><b>{name}</b>:{}</p>", escaped(&value)),
                Part::Note(note) => write!(body, "<p>{}</p>", escaped(&note)),
                Part::Table(head, rows) => {
                    let head: String = head.iter().map(|h| format!("<th>{h}</th>")).collect();
                    let row = |row: &Vec<String>| {
                        let cells: String = row.iter().map(|c| format!("<td>{}</td>", escaped(c))).collect();
                        format!("<tr>{cells}</tr>")
                    };
                    write!(body, "<table><tr>{head}</tr>{}</table>", rows.iter().map(row).collect::<String>())
                }
            };
        }
        body.push_str("</section>");
    }
    let page = format!(
        "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\"><title>核对报告</title><style>\
         body{{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}\
         table{{border-collapse:collapse;margin:.5em 0}}td,th{{border:1px solid #999;padding:.2em .6em;text-align:left}}\
         h2{{border-bottom:2px solid #345}}p{{margin:.3em 0}}</style></head><body>\
         <h1>低收入人口家庭经济状况核对报告</h1>{body}</body></html>"
    );
    if options.mask_numbers { masked(&page) } else { page }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Hides digits 7 to 14 of everything that looks like a citizen number.
pub fn masked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let word = |b: &u8| b.is_ascii_alphanumeric();
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|b| word(b)).count();
        if run == 0 {
            let next = bytes[at..].iter().position(word).map_or(bytes.len(), |n| at + n);
            out.push_str(text.get(at..next).unwrap_or_default());
            at = next;
            continue;
        }
        let token = text.get(at..at + run).unwrap_or_default();
        let is_number = run == 18
            && token.bytes().take(17).all(|b| b.is_ascii_digit())
            && token.bytes().last().is_some_and(|b| b.is_ascii_digit() || b == b'X');
        if is_number {
            out.push_str(&token[..6]);
            out.push_str("********");
            out.push_str(&token[14..]);
        } else {
            out.push_str(token);
        }
        at += run;
    }
    out
}

fn item_name(code: &str) -> String {
    Catalogue::embedded().item(code).map_or_else(|| code.to_owned(), |item| item.name_zh.clone())
}

/// An exact figure `n/d`.
fn exact(text: &str) -> Option<Exact> {
    let (n, d) = text.split_once('/').unwrap_or((text, "1"));
    let d = Exact::parse_decimal(d).filter(|d| !d.is_zero())?;
    Some(&Exact::parse_decimal(n)? / &d)
}

/// An exact amount or area with two decimals.
fn rounded(text: &str) -> String {
    exact(text).map_or_else(|| text.to_owned(), |figure| figure.money())
}

/// An exact share as a percentage.
fn percentage(text: &str) -> String {
    exact(text).map_or_else(
        || text.to_owned(),
        |share| {
            let hundredths = (&share * 100).money();
            format!("{}%", hundredths.trim_end_matches('0').trim_end_matches('.'))
        },
    )
}

/// A division's name beside its code.
fn county(code: &str) -> String {
    division::find(code).map_or_else(|| code.to_owned(), |found| format!("{}({code})", found.name))
}

/// Whom or what a doubt is about.
fn subject(subject: &str) -> String {
    subject.strip_prefix("certificate:").map_or_else(|| subject.to_owned(), |no| format!("出生医学证明 {no}"))
}

fn yes(value: bool) -> String {
    if value { "是" } else { "否" }.to_owned()
}

fn test(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "符合",
        Some(false) => "超出",
        None => "不核",
    }
}

fn word(code: &str) -> &str {
    match code {
        "applicant" => "申请人",
        "spouse" => "配偶",
        "child" => "子女",
        "parent" => "父母",
        "other" => "其他",
        "matched" => "一致",
        "matched_former" => "与曾用名一致",
        "mismatched" => "不一致",
        "not_found" => "未查到",
        "registered" => "已登记",
        "dead" => "死亡",
        "missing" => "宣告失踪",
        "emigrated" => "出国(境)定居",
        "prison" => "在监狱服刑",
        "rehab" => "强制隔离戒毒",
        "religious" => "宗教教职人员",
        "supported_extreme" => "特困人员",
        "student_not_dependent" => "不属于须供养的在校生",
        "no_duty" => "无法定赡养、抚养、扶养关系",
        "local_same_booklet" => "同户籍无法定义务(本地规定)",
        "local_declared" => "本地规定的其他情形",
        "declared" => "按申报不计入",
        "raise" => "抚养",
        "support" => "赡养",
        "mutual" => "扶养",
        "none_custody" => "羁押或戒毒,无能力",
        "unknown" => "未授权,未知",
        "none_minor" => "未成年,无能力",
        "none_below" => "收入未超出标准,无能力",
        "able" => "有能力",
        "declared_income" => "按申报",
        "extreme" => "特困人员供养",
        "dibao" => "最低生活保障",
        "dibao_single" => "最低生活保障(单人保)",
        "marginal" => "最低生活保障边缘家庭",
        "rigid" => "刚性支出困难家庭",
        "none" => "不属于以上各类",
        other => other,
    }
}

/// What was declared and found (7.1).
fn pair_word(pair: &str) -> &str {
    match pair {
        "wage" => "工资性收入(元)",
        "business" => "经营净收入(元)",
        "property" => "财产净收入(元)",
        "transfer" => "转移净收入(元)",
        "monetary_assets" => "货币财产(元)",
        "house_count" => "住房(套)",
        "vehicle_count" => "机动车(辆)",
        "rigid" => "刚性支出(元)",
        other => other,
    }
}

/// What is to be explained (4.5).
fn lookback_word(code: &str) -> &str {
    match code {
        "gift" => "赠与房产",
        "divorce_split" => "离婚分割房产",
        "below_market" => "低于市场价转让房产",
        "vehicle_disposed" => "处置机动车",
        "divorce" => "离婚",
        "divorce_same_booklet" => "离婚后仍同户籍",
        other => other,
    }
}

fn discrepancy_word(d: &Discrepancy) -> &str {
    match d.kind.as_str() {
        "undeclared" => "查有未报",
        "difference" => "申报与查得相差较大",
        "member_not_declared" => "家庭成员未申报",
        "obligor_not_declared" => "法定义务人未申报",
        "declared_not_found" => "申报人员查无登记",
        "declared_not_related" => "申报人员无法定关系依据",
        "spouse_conflict" => "申报的配偶与婚姻登记冲突",
        "exclusion_not_confirmed" => "申报的不计入原因未获证实",
        "declared_excluded_but_member" => "申报不计入但应计入",
        "newborn_without_number" => "新生儿尚无公民身份号码",
        "household_size" => "家庭人口数不符",
        "dead" => "已死亡",
        "missing" => "宣告失踪",
        "emigrated" => "已出国(境)定居",
        "prison" => "在监狱服刑",
        "rehab" => "强制隔离戒毒",
        "supported_extreme" => "已享受特困供养",
        "moved_out" => "户籍已迁出",
        "supported_other_dibao" => "已在其他家庭享受低保",
        "duplicate_benefit" => "重复享受救助",
        "wage_source" => "工资来源互相矛盾",
        "marriage_source" => "婚姻状况来源互相矛盾",
        "parent_source" => "父母信息来源互相矛盾",
        "birth_date" => "出生日期与号码不符",
        "death_alive" => "死亡登记后仍有生存认证",
        "not_answered" => "查询逾期未反馈",
        "stale" => "数据过期",
        "identity" => "姓名与号码不符,该记录未采用",
        other => other,
    }
}

fn sections(report: &Report) -> Vec<Section> {
    let r = &report.result;
    vec![basis(report), members(r), income(r), property(r), expenditure(r), conclusion(r), doubts(r), silence(r)]
}

fn basis(report: &Report) -> Section {
    let r = &report.result;
    let rows = |n: usize| format!("{n} 项");
    Section {
        title: "申请与依据",
        parts: vec![
            Part::Pair("报告编号", report.report_no.clone()),
            Part::Pair("出具机构", report.issuer.clone()),
            Part::Pair("出具时间", report.issued_at.clone()),
            Part::Pair("申请编号", r.application_no.clone()),
            Part::Pair("核对时点", r.as_of.clone()),
            Part::Pair("申请(复核)日期", r.base_date.clone()),
            Part::Pair("收入核对期间", format!("{} 至 {}({} 个月)", r.window.from, r.window.to, r.window.months)),
            Part::Pair("财产核对日", r.query_date.clone()),
            Part::Pair("受理地", county(&r.county)),
            Part::Pair("低保月标准(元/人)", r.standard_monthly.clone()),
            Part::Pair("参数版本", report.parameters_version.clone()),
            Part::Pair("数据版本", rows(report.lake_versions.len())),
            Part::Pair("报告有效期至", r.report.valid_until.clone()),
            Part::Pair("应复核日期", r.report.reverify_due.clone()),
            Part::Pair("结果摘要(SM3)", report.result_sm3.clone()),
        ],
    }
}

fn members(r: &Verification) -> Section {
    let counted = r.members.iter().map(|m| {
        let marks = [(m.minor, "未成年"), (m.student, "在校"), (m.severe, "重残"), (!m.guaranteed, "暂停保障")];
        let marks: Vec<&str> = marks.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        vec![
            m.citizen_id.clone(),
            word(&m.role).to_owned(),
            m.age.to_string(),
            yes(m.declared),
            word(&m.identity).to_owned(),
            marks.join("、"),
        ]
    });
    let excluded = r.excluded.iter().map(|e| vec![e.citizen_id.clone(), word(&e.reason).to_owned()]);
    let obligors = r.obligors.iter().map(|o| {
        vec![
            o.citizen_id.clone(),
            word(&o.duty).to_owned(),
            o.of.clone(),
            word(&o.capacity).to_owned(),
            o.pay.clone(),
            o.declared_paid.clone(),
        ]
    });
    Section {
        title: "家庭成员",
        parts: vec![
            Part::Pair("计入人数", r.member_count.to_string()),
            Part::Table(&["号码", "与申请人关系", "年龄", "已申报", "身份核验", "情况"], counted.collect()),
            Part::Note(format!("不计入:{} 人", r.excluded.len())),
            Part::Table(&["号码", "原因"], excluded.collect()),
            Part::Note(format!("法定义务人:{} 条", r.obligors.len())),
            Part::Table(&["号码", "义务", "对象", "能力", "应付(元)", "申报已付(元)"], obligors.collect()),
        ],
    }
}

fn income(r: &Verification) -> Section {
    let source = |s: &str| if s == "declared" { "(按申报)" } else { "" };
    let by_member = r.income_by_member.iter().map(|m| {
        vec![
            m.citizen_id.clone(),
            rounded(&m.wage),
            rounded(&m.business),
            rounded(&m.property),
            rounded(&m.transfer),
            rounded(&m.deductions),
        ]
    });
    let excluded = r.excluded_income.iter().map(|e| vec![item_name(&e.item), e.amount.clone()]);
    Section {
        title: "收入",
        parts: vec![
            Part::Pair("工资性收入", format!("{}{}", r.income.wage, source(&r.income_sources.wage))),
            Part::Pair("经营净收入", format!("{}{}", r.income.business, source(&r.income_sources.business))),
            Part::Pair("财产净收入", format!("{}{}", r.income.property, source(&r.income_sources.property))),
            Part::Pair("转移净收入", r.income.transfer.clone()),
            Part::Pair("赡养(抚养、扶养)收入", r.income.maintenance.clone()),
            Part::Pair("个人缴费扣除", r.income.deductions.clone()),
            Part::Pair("就业收入豁免", r.income.disregard.clone()),
            Part::Pair("期间合计(元)", r.income.total.clone()),
            Part::Pair("人均月收入(元)", r.per_capita_monthly.clone().unwrap_or_else(|| "无".to_owned())),
            Part::Table(&["号码", "工资(元)", "经营(元)", "财产(元)", "转移(元)", "缴费扣除(元)"], by_member.collect()),
            Part::Note("依法不计入收入的款项:".to_owned()),
            Part::Table(&["信息项", "金额(元)"], excluded.collect()),
        ],
    }
}

fn property(r: &Verification) -> Section {
    let (p, t) = (&r.property, &r.property_tests);
    let houses = r.houses.iter().map(|h| {
        let kind = if h.source == "presale" { "预售合同" } else { "产权" };
        let taken = h.dropped_by.as_ref().map(|unit| format!("已转为 {unit}")).unwrap_or_default();
        vec![kind.to_owned(), h.unit.clone(), h.area.clone(), percentage(&h.share_exact), taken]
    });
    let vehicles = r.vehicles.iter().map(|v| {
        let exempt = match v.exempt.as_deref() {
            Some("disabled") => "残疾人代步车",
            Some("motorcycle") => "摩托车",
            Some("sole_working") => "唯一谋生工具",
            Some("price") => "低于价格上限",
            _ => "",
        };
        vec![v.vin.clone(), exempt.to_owned()]
    });
    let lookback = r
        .lookback
        .iter()
        .map(|l| vec![l.date.clone(), lookback_word(&l.code).to_owned(), l.citizen_id.clone(), l.key.clone()]);
    Section {
        title: "财产",
        parts: vec![
            Part::Pair("货币财产(元)", p.monetary_total.clone()),
            Part::Pair("其中存款/证券/保险/支付账户", {
                format!("{} / {} / {} / {}", p.deposits, p.securities, p.insurance, p.payment)
            }),
            Part::Pair("低保货币财产限额(元)", p.monetary_limit_dibao.clone()),
            Part::Pair("住房", format!("{} 套,{} 平方米", p.house_count, rounded(&p.house_area_exact))),
            Part::Pair("非住宅", p.non_residential_count.to_string()),
            Part::Pair("机动车", format!("{} 辆,其中计入 {} 辆", p.vehicle_count, p.vehicle_counted)),
            Part::Pair("农机与渔船", p.machinery_count.to_string()),
            Part::Pair("认缴出资(元)", p.subscribed_capital.clone()),
            Part::Pair("与标准比较", {
                let money = format!(
                    "货币(低保/边缘/刚性){}/{}/{}",
                    test(Some(t.monetary_dibao)),
                    test(Some(t.monetary_marginal)),
                    test(Some(t.monetary_rigid))
                );
                let rest = [
                    ("住房", Some(t.house)),
                    ("车辆", Some(t.vehicle)),
                    ("出资", Some(t.capital)),
                    ("非住宅", t.non_residential),
                    ("农机渔船", t.machinery),
                ];
                rest.iter().fold(money, |all, (name, result)| format!("{all},{name}{}", test(*result)))
            }),
            Part::Table(&["来源", "单元", "面积", "份额", "说明"], houses.collect()),
            Part::Table(&["车辆识别代号", "不计入原因"], vehicles.collect()),
            Part::Table(&["日期", "需说明的处置", "人员", "记录"], lookback.collect()),
        ],
    }
}

fn expenditure(r: &Verification) -> Section {
    let e = &r.rigid;
    Section {
        title: "支出",
        parts: vec![
            Part::Pair("医疗", e.medical.clone()),
            Part::Pair("教育", e.education.clone()),
            Part::Pair("残疾康复", e.rehab.clone()),
            Part::Pair("基本生活", e.living.clone()),
            Part::Pair("减:已获救助", e.aid.clone()),
            Part::Pair("刚性支出合计(元)", e.total.clone()),
        ],
    }
}

fn conclusion(r: &Verification) -> Section {
    let mut parts = vec![
        Part::Pair("测算类别", word(&r.category).to_owned()),
        Part::Pair("保障人数", r.covered_count.to_string()),
        Part::Pair("测算月保障金(元)", r.benefit_monthly.map_or_else(|| "无".to_owned(), |b| b.to_string())),
        Part::Pair("可直接提请审核", yes(r.automatic_positive)),
    ];
    if r.grace.eligible {
        let (from, until) = (r.grace.from.clone().unwrap_or_default(), r.grace.until.clone().unwrap_or_default());
        parts.push(Part::Pair("渐退期", format!("{from} 至 {until}")));
    }
    parts.push(Part::Note("本报告仅供参考,是否符合条件由乡镇(街道)审核确认。".to_owned()));
    Section { title: "结论(仅供参考)", parts }
}

fn doubts(r: &Verification) -> Section {
    let rows = r.discrepancies.iter().map(|d| {
        vec![
            d.code.clone(),
            discrepancy_word(d).to_owned(),
            subject(&d.subject),
            d.pair.as_deref().map(|pair| pair_word(pair).to_owned()).unwrap_or_default(),
            d.item.as_deref().map(item_name).unwrap_or_default(),
            d.key.clone().unwrap_or_default(),
            d.declared.clone().unwrap_or_default(),
            d.found.clone().unwrap_or_default(),
            if d.blocking { "须先说明" } else { "" }.to_owned(),
        ]
    });
    let table =
        Part::Table(&["代码", "疑点", "对象", "事项", "信息项", "记录", "申报", "查得", "处理"], rows.collect());
    Section { title: "疑点", parts: vec![Part::Pair("条数", r.discrepancies.len().to_string()), table] }
}

fn silence(r: &Verification) -> Section {
    let names = |items: &[String]| items.iter().map(|i| item_name(i)).collect::<Vec<_>>().join("、");
    let missing = r.not_authorised.iter().map(|n| vec![n.citizen_id.clone(), names(&n.items)]);
    let silent = |state: &'static str, list: &[crate::result::Unanswered]| {
        list.iter()
            .map(|u| {
                vec![
                    state.to_owned(),
                    u.citizen_id.clone(),
                    item_name(&u.item),
                    u.institution_code.clone(),
                    u.deadline_at.clone(),
                ]
            })
            .collect::<Vec<_>>()
    };
    let mut unanswered = silent("逾期未反馈", &r.not_answered);
    unanswered.extend(silent("等待反馈", &r.pending));
    Section {
        title: "未授权/未反馈",
        parts: vec![
            Part::Note("未授权查询的信息项(不视为“没有”):".to_owned()),
            Part::Table(&["号码", "信息项"], missing.collect()),
            Part::Table(&["状态", "号码", "信息项", "机构", "期限"], unanswered),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::{county, escaped, lookback_word, masked, pair_word, percentage, rounded, subject, word};

    #[test]
    fn exact_figures_are_read_to_the_cent() {
        assert_eq!(rounded("2946459/100"), "29464.59");
        assert_eq!(rounded("378679/40000"), "9.47");
        assert_eq!(rounded("1/200"), "0.01");
        assert_eq!(rounded("-17500/3"), "-5833.33");
        assert_eq!(rounded("0"), "0.00");
        assert_eq!(percentage("1"), "100%");
        assert_eq!(percentage("1/2"), "50%");
        assert_eq!(percentage("3333/10000"), "33.33%");
        assert_eq!(percentage("0"), "0%");
    }

    #[test]
    fn codes_have_names() {
        assert_eq!(county("371002"), "环翠区(371002)");
        assert_eq!(county("000000"), "000000");
        assert_eq!(subject("certificate:B7"), "出生医学证明 B7");
        let pairs =
            ["wage", "business", "property", "transfer", "monetary_assets", "house_count", "vehicle_count", "rigid"];
        assert!(pairs.iter().all(|code| pair_word(code) != *code));
        let lookback = ["gift", "divorce_split", "below_market", "vehicle_disposed", "divorce", "divorce_same_booklet"];
        assert!(lookback.iter().all(|code| lookback_word(code) != *code));
        assert_ne!(word("mutual"), "mutual");
    }

    #[test]
    fn masking_reaches_numbers_inside_keys() {
        assert_eq!(masked("91/37100219900101001X/2025"), "91/371002********001X/2025");
        assert_eq!(masked("号码371002199001010019。"), "号码371002********0019。");
        assert_eq!(masked("1371002199001010019"), "1371002199001010019");
        assert_eq!(escaped("<a&\">"), "&lt;a&amp;&quot;&gt;");
    }
}
