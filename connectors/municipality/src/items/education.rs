//! Items 56 to 58: what `education` (教育部门) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    56 StudentEnrolment "student_enrolment" key[student_no, academic_year] {
        student_no: Text,
        citizen_id: Text,
        full_name: Text,
        academic_year: Text,
        school_code: Text,
        school_name: Option<Text>,
        stage_code: Text,
        grade: Option<Text>,
        is_full_time: bool,
        is_boarding: Option<bool>,
        enrolled_on: NaiveDate,
        expected_end_on: Option<NaiveDate>,
        annual_tuition: Option<Dec>,
        enrol_status_code: Text,
        guardian_citizen_id: Option<Text>,
    }
    57 StudentFinancialAid "student_financial_aid" key[citizen_id, aid_code, academic_year, term_code] {
        citizen_id: Text,
        full_name: Text,
        student_no: Option<Text>,
        school_code: Text,
        aid_code: Text,
        hardship_grade_code: Option<Text>,
        amount: Dec,
        academic_year: Text,
        term_code: Text,
        approved_on: Option<NaiveDate>,
        paid_on: Option<NaiveDate>,
        pay_status_code: Text,
    }
    58 StudentOriginLoan "student_origin_loan" key[loan_contract_no, academic_year] {
        loan_contract_no: Text,
        citizen_id: Text,
        full_name: Text,
        co_borrower_citizen_id: Option<Text>,
        co_borrower_name: Option<Text>,
        lender_code: Option<Text>,
        loan_amount: Dec,
        academic_year: Text,
        signed_on: Option<NaiveDate>,
        outstanding_amount: Option<Dec>,
        loan_status_code: Text,
        division_code: Text,
    }
}
