//! Why a row is refused, in the words of the department that has to correct it.
//!
//! Two levels. [`Reason`] is the closed list that receipts, metrics and return sheets count by. [`Rule`] is the exact check
//! that failed, each belonging to one reason. Both carry text in Chinese and English that says what is wrong with a value and
//! what to do, and never the value itself: a message ends in logs, receipts and spreadsheets.

use crate::model::Field;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// Reject reasons, closed; also the metric label.
    Reason {
        /// Bytes are not text in the declared encoding.
        Encoding = "encoding",
        /// A required field is empty.
        MissingRequired = "missing_required",
        /// The value has not the field's type.
        TypeMismatch = "type_mismatch",
        /// Digits were lost on the way.
        PrecisionLoss = "precision_loss",
        /// A citizen number or credit code that cannot be one.
        InvalidIdNumber = "invalid_id_number",
        /// Not a day of the calendar, or not a plausible one.
        InvalidDate = "invalid_date",
        /// Not in the code table.
        UnknownCode = "unknown_code",
        /// Too large or too small.
        Range = "range",
        /// Two rows of one batch claim the same version of one key with different content.
        DuplicateKeyConflict = "duplicate_key_conflict",
        /// Columns differ from what was agreed.
        SchemaDrift = "schema_drift",
        /// Longer than the hub takes.
        Oversize = "oversize",
        /// The signature does not fit the content.
        SignatureInvalid = "signature_invalid",
        /// The provider may not deliver this.
        PolicyForbidden = "policy_forbidden",
        /// A citizen number in a column that is stored in clear.
        IdentityInClearField = "identity_in_clear_field",
        /// The hub's own fault.
        Internal = "internal",
    }
}

/// What is wrong and what to do, in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// What is wrong, Chinese.
    pub zh: &'static str,
    /// What is wrong, English.
    pub en: &'static str,
    /// What to do, Chinese.
    pub fix_zh: &'static str,
    /// What to do, English.
    pub fix_en: &'static str,
}

const fn advice(zh: &'static str, fix_zh: &'static str, en: &'static str, fix_en: &'static str) -> Advice {
    Advice { zh, en, fix_zh, fix_en }
}

impl Reason {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        self.as_str()
    }

    /// What is wrong and what to do.
    pub const fn advice(self) -> Advice {
        match self {
            Self::Encoding => advice(
                "文字编码无法识别",
                "请按约定的编码（UTF-8、GB18030 或 GBK）重新导出",
                "the text is not in the declared encoding",
                "export again in the agreed encoding (UTF-8, GB18030 or GBK)",
            ),
            Self::MissingRequired => advice(
                "必填项为空",
                "请补填该项后重新报送",
                "a required field is empty",
                "fill the field in and send the row again",
            ),
            Self::TypeMismatch => advice(
                "数据类型不符",
                "请按目录规定的数据类型填写",
                "the value has the wrong type",
                "give the value in the type that the catalogue states",
            ),
            Self::PrecisionLoss => advice(
                "数值精度已丢失",
                "请从原系统按文本格式重新导出，避免电子表格改写数字",
                "digits were lost",
                "export again from the source system as text, so that no spreadsheet rewrites the number",
            ),
            Self::InvalidIdNumber => advice(
                "证件号码不符合国家标准",
                "请核对原始证件后更正号码",
                "the identification number breaks its standard",
                "compare with the original document and correct the number",
            ),
            Self::InvalidDate => advice(
                "日期无效",
                "请填写真实存在的日期，如 2026-03-01",
                "the date is not valid",
                "give a day that exists, such as 2026-03-01",
            ),
            Self::UnknownCode => advice(
                "代码不在代码表内",
                "请改用代码表中的代码，或在映射中补充该代码的转换",
                "the code is not in its table",
                "use a code of the table, or add the code to the mapping's translation",
            ),
            Self::Range => advice(
                "数值超出允许范围",
                "请核对数值及其单位",
                "the value is out of range",
                "check the value and its unit",
            ),
            Self::DuplicateKeyConflict => advice(
                "同一主键的同一版本内容不一致",
                "请保留正确的一行，或给出不同的更新时间",
                "two rows give one version of a key different content",
                "keep the right row, or give the rows different update times",
            ),
            Self::SchemaDrift => advice(
                "列结构与约定不符",
                "请恢复约定的列，或更新映射后重新报送",
                "the columns differ from what was agreed",
                "restore the agreed columns, or update the mapping and send again",
            ),
            Self::Oversize => {
                advice("内容过长", "请缩短内容或拆分批次", "the content is too long", "shorten it or split the batch")
            }
            Self::SignatureInvalid => advice(
                "签名验证失败",
                "请核对签名证书和原文后重新签名",
                "the signature does not fit the content",
                "check certificate and content and sign again",
            ),
            Self::PolicyForbidden => advice(
                "无权报送该数据",
                "请联系平台管理员核对授权范围",
                "this provider may not deliver this",
                "ask the hub's operator about the scope of your authorisation",
            ),
            Self::IdentityInClearField => advice(
                "含有公民身份号码，而该列以明文存储",
                "请从该列删去号码，公民身份号码只应填入公民身份号码列",
                "this column is stored in clear and holds a citizen number",
                "leave the number out of this column; it belongs into the citizen-number column",
            ),
            Self::Internal => advice(
                "平台内部错误",
                "无需更正，请稍后重新报送",
                "the hub failed",
                "nothing to correct; send the row again later",
            ),
        }
    }
}

vocabulary! {
    /// The exact check that failed.
    Rule {
        /// Required field empty.
        RequiredPresent = "required_present",
        /// Natural key field empty.
        KeyPresent = "key_present",
        /// Citizen number: 15 or 18 characters.
        IdLength = "id_length",
        /// Citizen number: digits, the last may be X; does not start with 0.
        IdCharacters = "id_characters",
        /// Citizen number: digits 7–14 are a day.
        IdBirthDate = "id_birth_date",
        /// Citizen number: born before the processing date.
        IdBornBeforeToday = "id_born_before_today",
        /// Citizen number: MOD 11-2.
        IdCheckCharacter = "id_check_character",
        /// Citizen number: kept to 15 significant digits by a spreadsheet.
        IdCutBySpreadsheet = "id_cut_by_spreadsheet",
        /// Credit code: 18 characters of the standard's alphabet.
        CreditCodeShape = "credit_code_shape",
        /// Credit code: MOD 31.
        CreditCodeCheckCharacter = "credit_code_check_character",
        /// Listed in the code table.
        CodeListed = "code_listed",
        /// Fits the code table's pattern.
        CodePattern = "code_pattern",
        /// The division exists or existed.
        DivisionExists = "division_exists",
        /// A known form of a date.
        DateForm = "date_form",
        /// A day of the calendar.
        DateExists = "date_exists",
        /// Between 1850 and 2199, or 9999-12-31 for no end.
        DatePlausible = "date_plausible",
        /// A known form of a point in time.
        TimestampForm = "timestamp_form",
        /// A known form of a number.
        NumberForm = "number_form",
        /// A whole number.
        NumberWhole = "number_whole",
        /// No more fraction digits than the field has.
        NumberFraction = "number_fraction",
        /// No more digits than the field has.
        NumberSize = "number_size",
        /// A known form of yes or no.
        BooleanForm = "boolean_form",
        /// Normalised text: trimmed, half-width, not empty.
        TextNormal = "text_normal",
        /// At most [`crate::check::TEXT_BYTES_MAX`] bytes.
        TextLength = "text_length",
        /// `upsert` or `delete`.
        OpKnown = "op_known",
    }
}

impl Rule {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        self.as_str()
    }

    /// The reason that a breach of the rule counts under.
    pub const fn reason(self) -> Reason {
        match self {
            Self::RequiredPresent | Self::KeyPresent => Reason::MissingRequired,
            Self::IdLength
            | Self::IdCharacters
            | Self::IdBirthDate
            | Self::IdBornBeforeToday
            | Self::IdCheckCharacter
            | Self::CreditCodeShape
            | Self::CreditCodeCheckCharacter => Reason::InvalidIdNumber,
            Self::IdCutBySpreadsheet | Self::NumberFraction => Reason::PrecisionLoss,
            Self::CodeListed | Self::CodePattern | Self::DivisionExists | Self::OpKnown => Reason::UnknownCode,
            Self::DateForm | Self::DateExists | Self::DatePlausible | Self::TimestampForm => Reason::InvalidDate,
            Self::NumberForm | Self::NumberWhole | Self::BooleanForm | Self::TextNormal => Reason::TypeMismatch,
            Self::NumberSize => Reason::Range,
            Self::TextLength => Reason::Oversize,
        }
    }

    /// What is wrong and what to do.
    pub const fn advice(self) -> Advice {
        match self {
            Self::RequiredPresent => Reason::MissingRequired.advice(),
            Self::KeyPresent => advice(
                "主键项为空",
                "请补填主键项后重新报送",
                "a key field is empty",
                "fill the key field in and send the row again",
            ),
            Self::IdLength => advice(
                "公民身份号码位数不对",
                "请填写 18 位号码（旧号码 15 位）",
                "a citizen number has 18 characters (15 in the old form)",
                "give the full number",
            ),
            Self::IdCharacters => advice(
                "公民身份号码含有非法字符",
                "前 17 位应为数字，末位为数字或 X",
                "a citizen number is digits, the last may be X",
                "remove other characters",
            ),
            Self::IdBirthDate => advice(
                "公民身份号码中的出生日期不存在",
                "请核对身份证原件后更正",
                "the birth date inside the citizen number is no day of the calendar",
                "compare with the identity card and correct the number",
            ),
            Self::IdBornBeforeToday => advice(
                "公民身份号码中的出生日期晚于今天",
                "请核对身份证原件后更正",
                "the birth date inside the citizen number lies in the future",
                "compare with the identity card and correct the number",
            ),
            Self::IdCheckCharacter => advice(
                "公民身份号码校验码不符（GB 11643）",
                "请核对身份证原件，检查是否录错数字",
                "the check character of the citizen number is wrong (GB 11643)",
                "compare with the identity card; a digit is mistyped",
            ),
            Self::IdCutBySpreadsheet => advice(
                "公民身份号码被电子表格截断，后几位变为 0",
                "请将该列设为文本格式后从原系统重新导出",
                "a spreadsheet kept 15 digits of the citizen number and set the rest to 0",
                "format the column as text and export again from the source system",
            ),
            Self::CreditCodeShape => advice(
                "统一社会信用代码格式不对",
                "应为 18 位数字和大写字母（不含 I、O、S、V、Z）",
                "a unified social credit code has 18 digits and capitals (no I, O, S, V, Z)",
                "compare with the licence and correct the code",
            ),
            Self::CreditCodeCheckCharacter => advice(
                "统一社会信用代码校验码不符（GB 32100）",
                "请核对营业执照后更正",
                "the check character of the credit code is wrong (GB 32100)",
                "compare with the licence and correct the code",
            ),
            Self::CodeListed => Reason::UnknownCode.advice(),
            Self::CodePattern => advice(
                "代码不符合该代码表的编码规则",
                "请按标准填写代码",
                "the code has not the form of its table",
                "give the code in the standard's form",
            ),
            Self::DivisionExists => advice(
                "行政区划代码不存在",
                "请核对并改用行政区划代码（GB/T 2260）",
                "no division has or had this code",
                "use a division code of GB/T 2260",
            ),
            Self::DateForm => advice(
                "日期格式无法识别",
                "请填写如 2026-03-01 的日期",
                "the form of the date is not known",
                "write dates such as 2026-03-01",
            ),
            Self::DateExists => {
                advice("日期不存在", "请核对年月日", "the calendar has no such day", "check year, month and day")
            }
            Self::DatePlausible => advice(
                "日期不合理（过早或过晚）",
                "请核对年份",
                "the date is implausibly early or late",
                "check the year",
            ),
            Self::TimestampForm => advice(
                "时间格式无法识别",
                "请填写如 2026-03-01 08:30:00 的时间",
                "the form of the time is not known",
                "write times such as 2026-03-01 08:30:00",
            ),
            Self::NumberForm => advice(
                "数字格式无法识别",
                "请只填写数字和小数点",
                "this is not a number",
                "give digits and a decimal point only",
            ),
            Self::NumberWhole => advice("应为整数", "请填写整数", "a whole number is needed", "give a whole number"),
            Self::NumberFraction => advice(
                "小数位数超过规定",
                "请按规定的小数位数填写",
                "there are more fraction digits than the field holds",
                "round as the catalogue states and send again",
            ),
            Self::NumberSize => Reason::Range.advice(),
            Self::BooleanForm => advice("应为是或否", "请填写“是”或“否”", "a yes or no is needed", "write 是 or 否"),
            Self::TextNormal => advice(
                "文本未规范化（空白、全角字符）",
                "请去除首尾空白并使用半角数字和字母",
                "the text is not normalised (blanks, full-width characters)",
                "trim it and use half-width digits and letters",
            ),
            Self::TextLength => Reason::Oversize.advice(),
            Self::OpKnown => advice(
                "操作类型无法识别",
                "应为 upsert 或 delete",
                "the operation is not known",
                "use `upsert` or `delete`",
            ),
        }
    }

    /// What is wrong with a field and what to do, for department staff.
    pub fn message_zh(self, field: Option<&Field>) -> String {
        let Advice { zh, fix_zh, .. } = self.advice();
        match field {
            Some(f) => format!("“{}”{zh}。{fix_zh}。", f.label_zh),
            None => format!("{zh}。{fix_zh}。"),
        }
    }

    /// The same in English.
    pub fn message_en(self, field: Option<&Field>) -> String {
        let Advice { en, fix_en, .. } = self.advice();
        match field {
            Some(f) => format!("`{}`: {en}; {fix_en}", f.name),
            None => format!("{en}; {fix_en}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_reasons_is_the_agreed_one() {
        let codes: Vec<&str> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(
            codes,
            [
                "encoding",
                "missing_required",
                "type_mismatch",
                "precision_loss",
                "invalid_id_number",
                "invalid_date",
                "unknown_code",
                "range",
                "duplicate_key_conflict",
                "schema_drift",
                "oversize",
                "signature_invalid",
                "policy_forbidden",
                "identity_in_clear_field",
                "internal",
            ]
        );
    }

    #[test]
    fn every_rule_says_what_to_do_in_both_languages() {
        let advices = Rule::ALL.iter().map(|r| r.advice()).chain(Reason::ALL.iter().map(|r| r.advice()));
        for a in advices {
            assert!(!a.zh.is_ascii() && !a.fix_zh.is_ascii(), "Chinese text expected: {a:?}");
            assert!(!a.en.is_empty() && !a.fix_en.is_empty(), "{a:?}");
        }
    }
}
