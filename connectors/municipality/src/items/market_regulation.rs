//! Items 67 to 69: what `market-regulation` (市场监督管理部门) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    67 EnterpriseRole "enterprise_role" key[uscc, citizen_id, role_code] {
        uscc: Text,
        enterprise_name: Text,
        citizen_id: Text,
        full_name: Text,
        role_code: Text,
        entity_type_code: Text,
        industry_code: Option<Text>,
        registered_capital: Option<Dec>,
        established_on: NaiveDate,
        appointed_on: Option<NaiveDate>,
        removed_on: Option<NaiveDate>,
        has_operation: Option<bool>,
        entity_status_code: Text,
        authority_code: Text,
    }
    68 ShareholderContribution "shareholder_contribution" key[uscc, citizen_id] {
        uscc: Text,
        enterprise_name: Text,
        citizen_id: Text,
        full_name: Text,
        invest_type_code: Option<Text>,
        subscribed_amount: Dec,
        paid_amount: Option<Dec>,
        share_ratio: Option<Dec>,
        currency_code: Text,
        subscribe_due_on: Option<NaiveDate>,
        holder_from: Option<NaiveDate>,
        holder_to: Option<NaiveDate>,
        entity_status_code: Text,
    }
    69 IndividualBusiness "individual_business" key[uscc] {
        uscc: Text,
        business_name: Text,
        operator_citizen_id: Text,
        operator_name: Text,
        form_code: Option<Text>,
        capital_amount: Option<Dec>,
        employee_count: Option<i64>,
        industry_code: Option<Text>,
        business_scope: Option<Text>,
        business_address: Option<Text>,
        registered_on: NaiveDate,
        cancelled_on: Option<NaiveDate>,
        annual_turnover: Option<Dec>,
        entity_status_code: Text,
        authority_code: Text,
    }
}
