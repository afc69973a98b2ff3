//! What an error of the parts behind the doors means for department staff, in Chinese, by its code; by its kind where a
//! caller cannot do anything about the code.

use minqiao_core::Kind;

/// Advice for a code.
pub(crate) fn advice(code: &str, kind: Kind) -> &'static str {
    match code {
        // Intake.
        "unknown_item" => "目录中没有该信息项：请核对信息项代码（GET /v1/catalogue）",
        "policy_forbidden" => "该信息项属于其他部门，本单位不能报送",
        "foreign_county" => "报送单位的行政区划不在本平台服务范围内：请核对区划代码",
        "oversize" => "批次、行数或字段长度超过上限：请拆分为较小的批次",
        "malformed_body" => "请求体与声明的格式不符：请按提示的行号检查文件格式和编码",
        "schema_drift" => "列与信息项目录不一致：请按提示的列名调整导出或映射",
        "rate_limited" => "报送过快：请按 Retry-After 稍后重试，已受理的数据不受影响",
        "batch_too_early" => "前一批次尚未受理：请先报送前一批次",
        "lake_behind" => "该信息项入湖积压较多，暂停接收：请稍后重试，已受理的数据不受影响",
        "item_busy" | "turn_lost" => "该信息项正由另一个网关接收：请稍后重新发送本批次",
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
