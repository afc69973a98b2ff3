//! Items 59 to 64: what `medical-insurance` (医疗保障部门) holds.

use chrono::NaiveDate;

use super::{Dec, Ts, items};
use crate::row::Text;

items! {
    59 MedicalInsuranceEnrolment "medical_insurance_enrolment" key[person_no, insurance_type_code, contribution_year] {
        person_no: Text,
        citizen_id: Text,
        full_name: Text,
        insurance_type_code: Text,
        enrol_status_code: Text,
        enrol_from: NaiveDate,
        enrol_to: Option<NaiveDate>,
        contribution_year: i64,
        personal_paid_amount: Option<Dec>,
        subsidised_amount: Option<Dec>,
        identity_code: Option<Text>,
        employer_uscc: Option<Text>,
        insured_division_code: Text,
    }
    60 MedicalSettlement "medical_settlement" key[settlement_no] {
        settlement_no: Text,
        person_no: Option<Text>,
        citizen_id: Text,
        full_name: Text,
        insurance_type_code: Text,
        medical_type_code: Text,
        institution_code: Text,
        diagnosis_code: Option<Text>,
        admitted_on: Option<NaiveDate>,
        settled_at: Ts,
        total_amount: Dec,
        in_policy_amount: Dec,
        fund_paid_amount: Dec,
        critical_illness_paid_amount: Dec,
        medical_aid_paid_amount: Dec,
        personal_paid_amount: Dec,
    }
    61 ChronicDiseaseQualification "chronic_disease_qualification" key[citizen_id, disease_code, valid_from] {
        citizen_id: Text,
        full_name: Text,
        person_no: Option<Text>,
        disease_code: Text,
        disease_name: Option<Text>,
        class_code: Text,
        recognised_on: NaiveDate,
        valid_from: NaiveDate,
        valid_until: Option<NaiveDate>,
        institution_code: Option<Text>,
        annual_limit_amount: Option<Dec>,
        record_status_code: Text,
    }
    62 HighMedicalCostAlert "high_medical_cost_alert" key[alert_no] {
        alert_no: Text,
        citizen_id: Text,
        full_name: Text,
        identity_code: Text,
        window_from: NaiveDate,
        window_to: NaiveDate,
        cumulative_total_amount: Option<Dec>,
        cumulative_personal_amount: Dec,
        threshold_amount: Dec,
        threshold_basis_code: Text,
        exceed_ratio: Option<Dec>,
        pushed_at: Ts,
        insured_division_code: Text,
    }
    63 MedicalAssistancePayment "medical_assistance_payment" key[assistance_no] {
        assistance_no: Text,
        citizen_id: Text,
        full_name: Text,
        settlement_no: Option<Text>,
        identity_code: Text,
        mode_code: Text,
        in_policy_personal_amount: Option<Dec>,
        assistance_amount: Dec,
        year_cumulative_amount: Option<Dec>,
        settled_at: Ts,
        channel_code: Option<Text>,
        insured_division_code: Text,
    }
    64 InsuranceContributionSubsidy "insurance_contribution_subsidy" key[citizen_id, insurance_type_code, contribution_year] {
        citizen_id: Text,
        full_name: Text,
        insurance_type_code: Text,
        contribution_year: i64,
        identity_code: Text,
        subsidy_mode_code: Text,
        contribution_standard: Option<Dec>,
        subsidy_amount: Dec,
        personal_amount: Option<Dec>,
        paid_on: Option<NaiveDate>,
        pay_status_code: Text,
        insured_division_code: Text,
    }
}
