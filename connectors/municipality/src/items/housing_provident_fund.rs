//! Items 42 to 43: what `housing-provident-fund` (住房公积金管理中心) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    42 ProvidentFundAccount "provident_fund_account" key[account_token, as_of_date] {
        account_token: Text,
        citizen_id: Text,
        full_name: Text,
        employer_uscc: Option<Text>,
        employer_name: Option<Text>,
        contribution_base: Option<Dec>,
        personal_monthly_amount: Dec,
        employer_monthly_amount: Option<Dec>,
        balance_amount: Dec,
        paid_until_month: Option<NaiveDate>,
        opened_on: Option<NaiveDate>,
        account_status_code: Text,
        as_of_date: NaiveDate,
        center_code: Text,
    }
    43 ProvidentFundWithdrawal "provident_fund_withdrawal" key[withdrawal_no] {
        withdrawal_no: Text,
        account_token: Text,
        citizen_id: Text,
        full_name: Text,
        reason_code: Text,
        amount: Dec,
        withdrawn_on: NaiveDate,
        house_ref_no: Option<Text>,
        center_code: Text,
    }
}
