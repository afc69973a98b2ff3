//! What stands above the data, held against the mapping: which column is which, and whether anything has drifted.
//!
//! A header of several rows becomes one name per column: `top/bottom`, where a top cell reaches over the empty ones to
//! its right (merged cells keep their text in the first), or the only text of the column. A mapping may name a column
//! by the joined name or, where that is unambiguous, by its lowest text alone.
//!
//! Drift policy: a mapped column that is missing, or a column that is neither mapped nor ignored, refuses the whole
//! file. Guessing here would put money into the wrong field.

use std::collections::BTreeMap;

use crate::convert::trim;
use crate::mapping::{DataDate, Mapping};
use crate::source::{Head, Refusal};

/// Columns of a file, bound to a mapping.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Name of each column.
    pub columns: Vec<String>,
    /// Name that the mapping uses → column index.
    by_name: BTreeMap<String, usize>,
    /// `_data_date` of the whole file, days since the epoch, when it is written in the file's name or titles.
    pub data_date: Option<i32>,
}

impl Layout {
    /// Binds a head. `file_name` is the name in reports.
    pub fn bind(mapping: &Mapping, head: &Head, file_name: &str) -> Result<Self, Refusal> {
        let (columns, lowest) = column_names(&head.header);
        if columns.iter().all(String::is_empty) {
            return Err(Refusal::new(
                "schema_drift",
                "文件没有表头。请确认文件不是空的，且表头位于约定的行。",
                "the file has no header; check that it is not empty and that the header stands in the agreed row",
            ));
        }
        let mut by_name = BTreeMap::new();
        let mut missing = Vec::new();
        let mut known = vec![false; columns.len()];
        for wanted in mapping.columns() {
            match resolve(&columns, &lowest, &clean(wanted)) {
                Some(at) => {
                    known[at] = true;
                    by_name.insert(wanted.to_owned(), at);
                }
                None if !missing.contains(&wanted) => missing.push(wanted),
                None => {}
            }
        }
        for ignored in &mapping.ignore {
            // Every column of that name: two remarks columns are nothing worse than one.
            let ignored = clean(ignored);
            for (at, name) in columns.iter().enumerate() {
                known[at] |= *name == ignored || lowest[at] == ignored;
            }
        }
        let unknown: Vec<String> = (0..columns.len()).filter(|&at| !known[at]).map(|at| shown(&columns, at)).collect();
        if !missing.is_empty() || !unknown.is_empty() {
            return Err(drift(&missing, &unknown));
        }
        let data_date = data_date(mapping, head, file_name)?;
        Ok(Self { columns, by_name, data_date })
    }

    /// Index of a column by the name that the mapping uses.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

fn resolve(columns: &[String], lowest: &[String], wanted: &str) -> Option<usize> {
    let only = |names: &[String]| {
        let mut matches = (0..columns.len()).filter(|&at| names[at] == wanted);
        let first = matches.next();
        first.filter(|_| matches.next().is_none())
    };
    only(columns).or_else(|| only(lowest))
}

/// How a message calls a column; a name may be missing, a hostile one may be long.
fn shown(columns: &[String], at: usize) -> String {
    if columns[at].is_empty() { format!("#{}", at + 1) } else { columns[at].chars().take(60).collect() }
}

fn drift(missing: &[&str], unknown: &[String]) -> Refusal {
    let mut zh = Vec::new();
    let mut en = Vec::new();
    if !missing.is_empty() {
        zh.push(format!("缺少列：{}", missing.join("、")));
        en.push(format!("missing columns: {}", missing.join(", ")));
    }
    if !unknown.is_empty() {
        let some: Vec<&str> = unknown.iter().take(20).map(String::as_str).collect();
        zh.push(format!("未约定的列：{}", some.join("、")));
        en.push(format!("unknown columns: {}", some.join(", ")));
    }
    Refusal::new(
        "schema_drift",
        format!("列结构与约定不符，整个文件未接收。{}。请恢复约定的列，或更新映射后重新报送。", zh.join("；")),
        format!(
            "the columns differ from what was agreed, the whole file is refused; {}; restore the agreed columns, or update \
             the mapping and send again",
            en.join("; ")
        ),
    )
}

/// Joined and lowest name per column; trailing columns without any header text are cut off.
fn column_names(header: &[Vec<String>]) -> (Vec<String>, Vec<String>) {
    let width = header.iter().map(Vec::len).max().unwrap_or(0);
    let mut paths: Vec<Vec<String>> = vec![Vec::new(); width];
    for (level, row) in header.iter().enumerate() {
        let mut carried = String::new();
        for (at, path) in paths.iter_mut().enumerate() {
            let cell: String = row.get(at).map(|c| clean(c)).unwrap_or_default();
            if !cell.is_empty() {
                carried.clone_from(&cell);
                path.push(cell);
            } else if !carried.is_empty() && below_has_text(header, level, at) && path.len() == level {
                // A merged top cell reaches over the empty cells to its right, as long as something stands below them.
                path.push(carried.clone());
            } else {
                carried.clear();
            }
        }
    }
    while paths.last().is_some_and(Vec::is_empty) {
        paths.pop();
    }
    let joined = paths.iter_mut().map(|path| {
        path.dedup();
        path.join("/")
    });
    let joined = joined.collect();
    (joined, paths.into_iter().map(|path| path.into_iter().next_back().unwrap_or_default()).collect())
}

fn below_has_text(header: &[Vec<String>], level: usize, at: usize) -> bool {
    header[level + 1..].iter().any(|row| row.get(at).is_some_and(|c| !trim(c).is_empty()))
}

/// Header text without white space, line breaks included: they come and go with the column's width.
fn clean(cell: &str) -> String {
    cell.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}').collect()
}

fn data_date(mapping: &Mapping, head: &Head, file_name: &str) -> Result<Option<i32>, Refusal> {
    let (pattern, format, texts) = match &mapping.source.data_date {
        Some(DataDate::FileName { pattern, format }) => (pattern, format, vec![file_name]),
        Some(DataDate::Title { pattern, format }) => {
            (pattern, format, head.titles.iter().map(String::as_str).collect())
        }
        Some(DataDate::Column { .. }) | None => return Ok(None),
    };
    let found = texts.iter().find_map(|text| pattern.captures(text)?.get(1));
    match found.and_then(|group| format.read(trim(group.as_str())).ok()) {
        Some(local) => Ok(Some(local.days)),
        None => Err(Refusal::new(
            "schema_drift",
            format!("文件名或标题中没有约定格式（{format}）的数据日期，整个文件未接收。请恢复约定的命名。"),
            format!(
                "neither file name nor titles carry the data date in the agreed form `{format}`; the whole file is refused"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rows: &[&[&str]]) -> (Vec<String>, Vec<String>) {
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| (*c).to_owned()).collect()).collect();
        column_names(&rows)
    }

    #[test]
    fn merged_headers_become_paths() {
        let (merged, lowest) =
            names(&[&["序号", "人员", "", "金额(元)", "", "备注"], &["", "姓名", "证件 号码", "应发", "实发", ""]]);
        assert_eq!(merged, ["序号", "人员/姓名", "人员/证件号码", "金额(元)/应发", "金额(元)/实发", "备注"]);
        assert_eq!(resolve(&merged, &lowest, "证件号码"), Some(2));
        assert_eq!(resolve(&merged, &lowest, "金额(元)/实发"), Some(4));
        let (twice, lowest) = names(&[&["a", "b"], &["x", "x"]]);
        assert_eq!(resolve(&twice, &lowest, "x"), None);
        assert_eq!(names(&[&["a\n(元)", "b", "", ""]]).0, ["a(元)", "b"]);
        assert_eq!(names(&[&["组", "", "单列"], &["甲", "乙", ""]]).0, ["组/甲", "组/乙", "单列"]);
    }
}
