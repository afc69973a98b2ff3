//! Items 52 to 53: what `veterans-affairs` (退役军人事务部门) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    52 PreferentialTreatmentPerson "preferential_treatment_person" key[citizen_id, pref_type_code] {
        citizen_id: Text,
        full_name: Text,
        pref_type_code: Text,
        certificate_no: Option<Text>,
        injury_grade_code: Option<Text>,
        discharged_on: Option<NaiveDate>,
        recognised_on: NaiveDate,
        is_in_institution: Option<bool>,
        cancelled_on: Option<NaiveDate>,
        record_status_code: Text,
        division_code: Text,
    }
    53 PreferentialTreatmentPayment "preferential_treatment_payment" key[citizen_id, payment_code, pay_month] {
        citizen_id: Text,
        full_name: Text,
        pref_type_code: Text,
        payment_code: Text,
        amount: Dec,
        pay_month: NaiveDate,
        paid_on: Option<NaiveDate>,
        account_token: Option<Text>,
        fund_source_code: Option<Text>,
        pay_status_code: Text,
        division_code: Text,
    }
}
