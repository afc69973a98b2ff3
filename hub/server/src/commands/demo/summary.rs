//! The figures of a demo run: as JSON for machines, as a page of text for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Rows by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Source rows in the departments' files.
    pub generated: u64,
    /// Durable in the hub.
    pub accepted: u64,
    /// Known before.
    pub duplicate: u64,
    /// Rejected with reasons.
    pub quarantined: u64,
}

impl Rows {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.generated += other.generated;
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
    }
}

/// Rows held against the truth of the simulated city.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Rows that ended as the city says, with the reason it says.
    pub rows_agree: u64,
    /// The others.
    pub rows_disagree: u64,
}

/// Households held against the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifications {
    /// Applications verified.
    pub total: u64,
    /// Reports that agree to the cent.
    pub agree: u64,
    /// The others.
    pub disagree: u64,
}

/// One department's line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DepartmentLine {
    /// Code.
    pub code: String,
    /// Chinese name.
    pub name_zh: String,
    /// Its rows.
    pub rows: Rows,
    /// Quarantined rows by reason code.
    pub reasons: BTreeMap<String, u64>,
    /// Seconds its connector took.
    pub seconds: f64,
}

/// Everything that a run found; written by `--summary FILE`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Summary {
    /// People in the city.
    pub residents: u64,
    /// Seed of the city.
    pub seed: u64,
    /// Departments that delivered.
    pub departments: u64,
    /// Items with at least one accepted row.
    pub items: u64,
    /// All rows.
    pub rows: Rows,
    /// Rows against the truth.
    pub truth: Truth,
    /// Households against the truth.
    pub verifications: Verifications,
    /// Categories found, by code.
    pub categories: BTreeMap<String, u64>,
    /// Versions in the lake; equals `rows.accepted` when nothing was lost or doubled.
    pub stored_rows: u64,
    /// Wall time of the whole run.
    pub seconds: f64,
    /// Wall time by stage.
    pub stages: Vec<(String, f64)>,
    /// Largest resident memory of this process.
    pub peak_rss_bytes: u64,
    /// One line per department.
    pub by_department: Vec<DepartmentLine>,
}

impl Summary {
    /// Whether every row and every household agrees with the truth.
    pub fn agrees(&self) -> bool {
        self.truth.rows_disagree == 0
            && self.verifications.disagree == 0
            && self.truth.rows_agree == self.rows.generated
            && self.stored_rows == self.rows.accepted
    }

    /// The page for people.
    pub fn page(&self) -> String {
        let mut page = String::new();
        let mut line = |text: String| {
            page.push_str(&text);
            page.push('\n');
        };
        line(format!(
            "  {}{:>10} {:>10} {:>9} {:>11}  {}",
            pad("部门 department", 34),
            "rows",
            "accepted",
            "duplicate",
            "quarantined",
            "why"
        ));
        for d in &self.by_department {
            let mut why: Vec<_> = d.reasons.iter().collect();
            why.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            let why: Vec<_> = why.iter().take(3).map(|(reason, n)| format!("{reason} {n}")).collect();
            line(format!(
                "  {}{:>10} {:>10} {:>9} {:>11}  {}",
                pad(&format!("{} {}", d.name_zh, d.code), 34),
                thousands(d.rows.generated),
                thousands(d.rows.accepted),
                thousands(d.rows.duplicate),
                thousands(d.rows.quarantined),
                why.join(", "),
            ));
        }
        line(format!(
            "  {}{:>10} {:>10} {:>9} {:>11}",
            pad("合计 total", 34),
            thousands(self.rows.generated),
            thousands(self.rows.accepted),
            thousands(self.rows.duplicate),
            thousands(self.rows.quarantined),
        ));
        line(String::new());
        line(format!(
            "  与模拟城市的真值比对 against the simulated city's truth:  rows {} agree, {} disagree",
            thousands(self.truth.rows_agree),
            thousands(self.truth.rows_disagree)
        ));
        line(format!(
            "  家庭经济状况核对 households verified:  {} agree to the cent, {} disagree, of {}",
            thousands(self.verifications.agree),
            thousands(self.verifications.disagree),
            thousands(self.verifications.total)
        ));
        let categories: Vec<_> = self.categories.iter().map(|(c, n)| format!("{} {c} {n}", category_zh(c))).collect();
        line(format!("  {}", categories.join(" · ")));
        page
    }

    /// Wall time by stage and memory, one line.
    pub fn cost(&self) -> String {
        let mut text = String::new();
        for (stage, seconds) in &self.stages {
            let _infallible = write!(text, "{stage} {seconds:.1} s · ");
        }
        format!("{text}total {:.1} s · peak memory {} MiB", self.seconds, self.peak_rss_bytes >> 20)
    }
}

fn category_zh(code: &str) -> &str {
    match code {
        "extreme" => "特困",
        "dibao" => "低保",
        "dibao_single" => "单人保",
        "marginal" => "低保边缘",
        "rigid" => "刚性支出",
        "none" => "不符合",
        other => other,
    }
}

/// Pads to a width in terminal columns; Chinese characters take two.
fn pad(text: &str, width: usize) -> String {
    let columns: usize = text.chars().map(|c| if u32::from(c) >= 0x2E80 { 2 } else { 1 }).sum();
    format!("{text}{}", " ".repeat(width.saturating_sub(columns)))
}

/// `1234567` → `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_chinese_is_two_wide() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(pad("民政", 6), "民政  ");
    }

    #[test]
    fn a_row_that_nobody_accounted_for_is_a_disagreement() {
        let rows = Rows { generated: 2, accepted: 1, duplicate: 1, quarantined: 0 };
        let mut summary = Summary { rows, stored_rows: 1, ..Summary::default() };
        summary.truth.rows_agree = 1;
        assert!(!summary.agrees());
        summary.truth.rows_agree = 2;
        assert!(summary.agrees());
        summary.stored_rows = 2;
        assert!(!summary.agrees(), "a doubled row");
    }
}
