//! Why a row is refused, for the person who has to correct it: row, column in *their* file, rule and fix, in Chinese
//! and English, never the value.
//!
//! The words are the catalogue's ([`minqiao_schemas::Reason`], [`minqiao_schemas::Rule`]); this module adds where.
//! Reasons that the hub finds come back with canonical field names and are led back to the source column.

use minqiao_core::RowReason;
use minqiao_schemas::Reason;
use minqiao_schemas::reason::Advice;
use serde::{Deserialize, Serialize};

use crate::convert::Fault;
use crate::mapping::Mapping;
use crate::rows::FaultKind;

/// One reason, placed in the department's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedReason {
    /// A name of the closed list.
    pub code: String,
    /// Canonical field, when one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Header of the column in the department's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// For department staff.
    pub message_zh: String,
    /// The same in English.
    pub message_en: String,
}

impl PlacedReason {
    /// As the hub takes it.
    pub fn to_row_reason(&self) -> RowReason {
        RowReason {
            code: self.code.clone(),
            field: self.field.clone(),
            message_zh: self.message_zh.clone(),
            message_en: self.message_en.clone(),
        }
    }

    /// Leads a reason that the hub found back to the department's column.
    pub fn from_hub(reason: RowReason, row: u32, mapping: &Mapping) -> Self {
        let column = reason.field.as_deref().and_then(|field| mapping.column_of(field)).map(str::to_owned);
        let (zh, en) = place(row, column.as_deref());
        Self {
            message_zh: format!("{zh}{}", reason.message_zh),
            message_en: format!("{en}{}", reason.message_en),
            code: reason.code,
            field: reason.field,
            column,
        }
    }

    /// A reason for one cell.
    pub fn cell(fault: Fault, row: u32, column: &str, field: Option<&str>) -> Self {
        let (reason, advice) = advice_of(fault);
        Self::new(reason, &advice, row, Some(column), field)
    }

    /// A reason for a row that could not be cut into cells.
    pub fn row(kind: FaultKind, row: u32, column: Option<&str>, width: usize) -> Self {
        let (reason, extra_zh, extra_en) = match kind {
            FaultKind::Encoding => (Reason::Encoding, String::new(), String::new()),
            FaultKind::Ragged { found } => (
                Reason::SchemaDrift,
                format!("表头有 {width} 列，本行有 {found} 列，请检查分隔符和引号。"),
                format!("; the header has {width} columns, this row {found}; check separators and quotation marks"),
            ),
            FaultKind::Unbalanced => (
                Reason::SchemaDrift,
                "引号不成对，请补全或成对书写引号。".to_owned(),
                "; a quotation mark has no partner; close it, or double it inside text".to_owned(),
            ),
            FaultKind::Oversize => (
                Reason::Oversize,
                "单元格超过 64 KiB，多为引号不成对所致。".to_owned(),
                "; a cell exceeds 64 KiB, usually because a quotation mark has no partner".to_owned(),
            ),
        };
        let mut placed = Self::new(reason, &reason.advice(), row, column, None);
        placed.message_zh.push_str(&extra_zh);
        placed.message_en.push_str(&extra_en);
        placed
    }

    fn new(reason: Reason, advice: &Advice, row: u32, column: Option<&str>, field: Option<&str>) -> Self {
        let (zh, en) = place(row, column);
        Self {
            code: reason.code().to_owned(),
            field: field.map(str::to_owned),
            column: column.map(str::to_owned),
            message_zh: format!("{zh}{}。{}。", advice.zh, advice.fix_zh),
            message_en: format!("{en}{}; {}", advice.en, advice.fix_en),
        }
    }
}

fn place(row: u32, column: Option<&str>) -> (String, String) {
    match column {
        Some(column) => (format!("第 {row} 行“{column}”列："), format!("row {row}, column `{column}`: ")),
        None => (format!("第 {row} 行："), format!("row {row}: ")),
    }
}

fn advice_of(fault: Fault) -> (Reason, Advice) {
    let reason = |reason: Reason| (reason, reason.advice());
    match fault {
        Fault::Date => (
            Reason::InvalidDate,
            Advice {
                zh: "日期不存在或与约定格式不符",
                en: "there is no such day, or it is not written in the agreed form",
                ..Reason::InvalidDate.advice()
            },
        ),
        Fault::Rule(rule) => (rule.reason(), rule.advice()),
        Fault::Precision => reason(Reason::PrecisionLoss),
        Fault::Code => reason(Reason::UnknownCode),
        Fault::Formula => (
            Reason::TypeMismatch,
            Advice {
                zh: "单元格是公式错误（如 #N/A）",
                en: "the cell holds a formula error such as #N/A",
                fix_zh: "请改为数值后重新报送",
                fix_en: "replace the formula by its value and send again",
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_row_column_rule_and_fix_in_both_languages() {
        let date = PlacedReason::cell(Fault::Date, 12, "发放日期", Some("paid_on"));
        assert_eq!(
            (date.code.as_str(), date.message_zh.as_str(), date.message_en.as_str()),
            (
                "invalid_date",
                "第 12 行“发放日期”列：日期不存在或与约定格式不符。请填写真实存在的日期，如 2026-03-01。",
                "row 12, column `发放日期`: there is no such day, or it is not written in the agreed form; \
                 give a day that exists, such as 2026-03-01",
            )
        );
        let ragged = PlacedReason::row(FaultKind::Ragged { found: 3 }, 7, None, 5);
        assert_eq!(
            ragged.message_zh,
            "第 7 行：列结构与约定不符。请恢复约定的列，或更新映射后重新报送。表头有 5 列，本行有 3 列，请检查分隔符和引号。"
        );
        assert_eq!(PlacedReason::cell(Fault::Code, 1, "性别", None).code, "unknown_code");
    }
}
