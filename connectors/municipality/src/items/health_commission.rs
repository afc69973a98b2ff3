//! Items 49 to 51: what `health-commission` (卫生健康部门) holds.

use chrono::NaiveDate;

use super::{Dec, Ts, items};
use crate::row::Text;

items! {
    49 BirthCertificate "birth_certificate" key[certificate_no] {
        certificate_no: Text,
        newborn_name: Option<Text>,
        newborn_citizen_id: Option<Text>,
        sex_code: Text,
        born_at: Ts,
        mother_citizen_id: Text,
        mother_name: Text,
        father_citizen_id: Option<Text>,
        father_name: Option<Text>,
        institution_uscc: Option<Text>,
        institution_name: Option<Text>,
        issued_on: NaiveDate,
        record_status_code: Text,
    }
    50 SevereMentalDisorder "severe_mental_disorder" key[citizen_id, filed_on] {
        citizen_id: Text,
        full_name: Text,
        diagnosis_code: Option<Text>,
        class_code: Text,
        filed_on: NaiveDate,
        guardian_citizen_id: Option<Text>,
        guardian_name: Option<Text>,
        treatment_status_code: Option<Text>,
        guardian_award_amount: Option<Dec>,
        medicine_subsidy_amount: Option<Dec>,
        record_status_code: Text,
        division_code: Text,
    }
    51 FamilyPlanningSupport "family_planning_support" key[citizen_id, support_code, support_year] {
        citizen_id: Text,
        full_name: Text,
        support_code: Text,
        support_year: i64,
        annual_amount: Dec,
        confirmed_on: Option<NaiveDate>,
        paid_on: Option<NaiveDate>,
        exited_on: Option<NaiveDate>,
        exit_reason_code: Option<Text>,
        pay_status_code: Text,
        division_code: Text,
    }
}
