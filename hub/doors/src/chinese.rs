//! What an error of the parts behind the doors means for department staff, in Chinese, by its code; by its kind where a
//! caller cannot do anything about the code.

use minqiao_core::Kind;
use minqiao_intake::{Format, IntakeError};
use minqiao_schemas::check::SchemaMismatch;

/// Advice for a code.
pub(crate) fn advice(code: &str, kind: Kind) -> &'static str {
    match code {
        // Intake.
        "unknown_item" => "目录中没有该信息项：请核对信息项代码（GET /v1/catalogue）",
        "policy_forbidden" => "该信息项属于其他部门，本单位不能报送",
        "foreign_county" => "报送单位的行政区划不在本平台服务范围内：请核对区划代码",
        "oversize" => "批次、行数或字段长度超过上限：请拆分为较小的批次",
        "malformed_body" => "请求体与声明的格式不符：请检查文件格式和编码",
        "schema_drift" => "列与信息项目录不一致：请按 GET /v1/catalogue 调整导出或映射",
        "rate_limited" => "报送过快：请按 Retry-After 稍后重试，已受理的数据不受影响",
        "batch_too_early" => "前一批次尚未受理：请先报送前一批次",
        "lake_behind" => "该信息项入湖积压较多，暂停接收：请稍后重试，已受理的数据不受影响",
        "item_busy" | "turn_lost" => "该信息项正由另一个网关接收：请稍后重新发送本批次",
        "identity_in_batch_id" => "批次号含有公民身份号码：请更换不含号码的批次号",
        "batch_conflict" => "该批次号已用于其他内容：请更换批次号后重新发送",
        "not_replayable" => "该行不能重新处理：请按提示核对",
        // SQL.
        "sql_syntax" => "SQL 语法有误：请按提示位置修改",
        "sql_not_allowed" => "只允许对 information_schema.tables 所列的表执行 SELECT 查询",
        "sql_not_found" => "表或列不存在，或您以该用途无权查看",
        "sql_invalid" => "语句与表不匹配：请检查类型、函数参数或查询参数",
        "sql_too_large" => "语句过长：请精简后重试",
        "sql_protected" => "受保护数据只能按足够多的人员汇总查询：请改用更粗的分组",
        "sql_evaluation" => "表达式在某一行上无法计算：请检查类型转换、除法和函数参数",
        "answer_too_large" => "结果超过上限：请汇总，或使用 LIMIT",
        "query_memory" => "查询所需内存超过上限：请缩小范围",
        "query_timeout" => "查询超时：请缩小范围",
        "too_many_queries" => "同时执行的查询过多：请稍后重试",
        "query_cancelled" => "查询已取消",
        // Verification.
        "application_unknown" => "该时点没有此申请：请核对申请编号和时点",
        "base_after_as_of" => "基准日晚于核对日：请核对日期",
        "parameter_missing" => "缺少核对参数：请联系平台运维人员补充参数表",
        "verification_forbidden" => "您无权发起或查看该核对：请核对角色、用途和县区",
        _ => of_kind(kind),
    }
}

/// What intake says no to, where advice alone would point at a line, a column or a limit that it does not name.
pub(crate) fn of_intake(error: &IntakeError) -> Option<String> {
    Some(match error {
        IntakeError::Malformed { format, what, line } => {
            let format = match format {
                Format::Arrow => "Arrow 流",
                Format::Ndjson => "NDJSON",
                Format::Csv => "CSV",
            };
            let place = line.map(|line| format!("第 {line} 行：")).unwrap_or_default();
            let what = malformed(what).unwrap_or("内容有误");
            format!("请求体不是可读的 {format}：{place}{what}。请检查文件格式和编码")
        }
        IntakeError::TooLarge { what, actual, max, line, column } => {
            let place = match (line, column) {
                (Some(line), Some(column)) => format!("第 {line} 行，列 {column}："),
                (Some(line), None) => format!("第 {line} 行："),
                (None, Some(column)) => format!("列 {column}："),
                (None, None) => String::new(),
            };
            let what = measured(what).unwrap_or("大小");
            let fix =
                if column.is_some() { "请核对该值是否错列或有误" } else { "请拆分为较小的批次" };
            format!("{place}{what}为 {actual}，上限为 {max}。{fix}")
        }
        IntakeError::Schema(mismatch) => {
            let (item, what) = match mismatch {
                SchemaMismatch::UnknownColumn { item, column } => (item, format!("没有列 {column}")),
                SchemaMismatch::RepeatedColumn { item, column } => (item, format!("的列 {column} 在批次中重复出现")),
                SchemaMismatch::WrongType { item, column, found, expected } => {
                    (item, format!("的列 {column} 类型为 {found}，应为 {expected}"))
                }
            };
            format!("信息项 {item} {what}。请按 GET /v1/catalogue/{item} 调整导出或映射")
        }
        _ => return None,
    })
}

fn malformed(what: &str) -> Option<&'static str> {
    Some(match what {
        "it is not UTF-8" => "编码不是 UTF-8",
        "a line has another number of cells than the header" => "该行的列数与表头不同",
        "it breaks the rules of CSV" => "不符合 CSV 规则",
        "a line is not one JSON object in UTF-8" => "该行不是一个 UTF-8 编码的 JSON 对象",
        "it is compressed with gzip, send it uncompressed and without `Content-Encoding`" => {
            "内容经过 gzip 压缩，请不压缩发送"
        }
        "a key stands twice in an object" => "对象中有重复的键",
        "a rejected row needs an object `source`" => "退回行缺少对象 source",
        "a rejected row needs at least one reason" => "退回行至少需要一个原因",
        "a reason's `code` is not in the closed list" => "原因代码不在规定的清单中",
        "the stream is truncated, it has no end-of-stream marker" => "数据流被截断，没有结束标记",
        "there are bytes after the end of the stream, or it is truncated" => "数据流结束后还有内容，或被截断",
        "it does not begin with a schema" => "开头不是模式 (schema)",
        "its schema cannot be read" => "模式 (schema) 无法读取",
        "a record batch cannot be read" => "有记录批无法读取",
        "its record batches do not fit together" => "各记录批的结构不一致",
        "it is forged" => "内容不合规范",
        _ => return None,
    })
}

fn measured(what: &str) -> Option<&'static str> {
    Some(match what {
        "the body's length in bytes" => "请求体字节数",
        "the number of rows" => "行数",
        "the number of rows to replay" => "重新处理的行数",
        "a field's length in bytes" => "字段字节数",
        _ => return None,
    })
}

fn of_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidArgument => "请求有误：请按说明修改后重试",
        Kind::Unauthenticated => "身份未确认：请使用本平台签发的证书或令牌",
        Kind::Forbidden => "您无权进行此操作",
        Kind::NotFound => "未找到，或您无权查看",
        Kind::Conflict => "与已有内容冲突：请核对后重试",
        Kind::FailedPrecondition => "当前状态下不能进行此操作",
        Kind::RateLimited { .. } => "请求过多：请按 Retry-After 稍后重试",
        Kind::Unavailable { .. } => "平台暂时不可用：请稍后重试，未受理的数据请保留",
        Kind::Internal => "平台内部错误：请将请求编号告知平台运维人员",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: IntakeError, wanted: &str) {
        assert_eq!(of_intake(&error).expect("words of its own"), wanted, "{error}");
    }

    #[test]
    fn what_the_english_names_the_chinese_names_too() {
        check(
            IntakeError::Malformed { format: Format::Csv, what: "it is not UTF-8", line: Some(7) },
            "请求体不是可读的 CSV：第 7 行：编码不是 UTF-8。请检查文件格式和编码",
        );
        check(
            IntakeError::Malformed { format: Format::Arrow, what: "something new", line: None },
            "请求体不是可读的 Arrow 流：内容有误。请检查文件格式和编码",
        );
        let oversize = |what, line, column: Option<&str>| {
            let column = column.map(str::to_owned);
            IntakeError::TooLarge { what, actual: 5000, max: 4096, line, column }
        };
        check(
            oversize("a field's length in bytes", Some(3), Some("full_name")),
            "第 3 行，列 full_name：字段字节数为 5000，上限为 4096。请核对该值是否错列或有误",
        );
        check(oversize("the number of rows", None, None), "行数为 5000，上限为 4096。请拆分为较小的批次");
        let (item, column) = ("bank_deposit".to_owned(), "shoe_size".to_owned());
        check(
            SchemaMismatch::UnknownColumn { item: item.clone(), column: column.clone() }.into(),
            "信息项 bank_deposit 没有列 shoe_size。请按 GET /v1/catalogue/bank_deposit 调整导出或映射",
        );
        let (found, expected) = ("Utf8".to_owned(), "Date32".to_owned());
        check(
            SchemaMismatch::WrongType { item, column, found, expected }.into(),
            "信息项 bank_deposit 的列 shoe_size 类型为 Utf8，应为 Date32。请按 GET /v1/catalogue/bank_deposit 调整导出或映射",
        );
        assert!(of_intake(&IntakeError::Worker).is_none(), "advice by code is enough");
    }
}
