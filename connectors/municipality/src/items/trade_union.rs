//! Items 72 to 73: what `trade-union` (总工会) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    72 DistressedWorker "distressed_worker" key[file_no] {
        file_no: Text,
        citizen_id: Text,
        full_name: Text,
        employer_uscc: Option<Text>,
        employer_name: Option<Text>,
        level_code: Text,
        cause_code: Text,
        household_size: Option<i64>,
        per_capita_monthly_income: Option<Dec>,
        filed_on: NaiveDate,
        closed_on: Option<NaiveDate>,
        close_reason_code: Option<Text>,
        record_status_code: Text,
        union_code: Option<Text>,
    }
    73 DistressedWorkerAid "distressed_worker_aid" key[aid_no] {
        aid_no: Text,
        file_no: Text,
        citizen_id: Text,
        full_name: Text,
        aid_code: Text,
        amount: Dec,
        aid_year: i64,
        approved_on: Option<NaiveDate>,
        paid_on: Option<NaiveDate>,
        fund_source_code: Option<Text>,
        union_code: Option<Text>,
    }
}
