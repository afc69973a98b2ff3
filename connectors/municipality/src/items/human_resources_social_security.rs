//! Items 29 to 36: what `human-resources-social-security` (人力资源和社会保障部门) holds.

use chrono::NaiveDate;

use super::{Dec, Ts, items};
use crate::row::Text;

items! {
    29 PensionContribution "pension_contribution" key[citizen_id, scheme_code, contribution_month] {
        citizen_id: Text,
        full_name: Text,
        scheme_code: Text,
        employer_uscc: Option<Text>,
        employer_name: Option<Text>,
        payer_kind_code: Text,
        participation_status_code: Text,
        contribution_base: Option<Dec>,
        personal_amount: Dec,
        employer_amount: Option<Dec>,
        contribution_month: NaiveDate,
        paid_on: Option<NaiveDate>,
        cumulative_months: Option<i64>,
        agency_division_code: Text,
    }
    30 EmployeePensionBenefit "employee_pension_benefit" key[citizen_id, benefit_code, pay_month] {
        citizen_id: Text,
        full_name: Text,
        benefit_code: Text,
        retired_on: Option<NaiveDate>,
        retire_kind_code: Option<Text>,
        monthly_amount: Dec,
        is_lump_sum: bool,
        pay_month: NaiveDate,
        paid_on: Option<NaiveDate>,
        pay_status_code: Text,
        account_token: Option<Text>,
        alive_verified_on: Option<NaiveDate>,
        agency_division_code: Text,
    }
    31 ResidentPensionBenefit "resident_pension_benefit" key[citizen_id, pay_month] {
        citizen_id: Text,
        full_name: Text,
        started_on: Option<NaiveDate>,
        central_basic_amount: Dec,
        local_basic_amount: Dec,
        personal_account_amount: Dec,
        other_amount: Option<Dec>,
        total_amount: Dec,
        pay_month: NaiveDate,
        paid_on: Option<NaiveDate>,
        pay_status_code: Text,
        alive_verified_on: Option<NaiveDate>,
        agency_division_code: Text,
    }
    32 UnemploymentBenefit "unemployment_benefit" key[citizen_id, benefit_code, pay_month] {
        citizen_id: Text,
        full_name: Text,
        benefit_code: Text,
        unemployed_on: Option<NaiveDate>,
        approved_months: Option<i64>,
        enjoyed_months: Option<i64>,
        amount: Dec,
        pay_month: NaiveDate,
        paid_on: Option<NaiveDate>,
        status_code: Text,
        stop_reason_code: Option<Text>,
        agency_division_code: Text,
    }
    33 WorkInjuryBenefit "work_injury_benefit" key[case_no, benefit_code, pay_month] {
        case_no: Text,
        citizen_id: Text,
        full_name: Text,
        benefit_code: Text,
        injury_grade_code: Option<Text>,
        amount: Dec,
        is_lump_sum: bool,
        pay_month: NaiveDate,
        paid_on: Option<NaiveDate>,
        employer_uscc: Option<Text>,
        pay_status_code: Text,
    }
    34 EmploymentRegistration "employment_registration" key[citizen_id, employer_uscc, started_on] {
        citizen_id: Text,
        full_name: Text,
        employer_uscc: Text,
        employer_name: Option<Text>,
        employment_form_code: Text,
        contract_code: Option<Text>,
        occupation_code: Option<Text>,
        started_on: NaiveDate,
        ended_on: Option<NaiveDate>,
        declared_monthly_wage: Option<Dec>,
        end_reason_code: Option<Text>,
        registered_at: Ts,
        agency_division_code: Text,
    }
    35 UnemploymentRegistration "unemployment_registration" key[registration_no] {
        registration_no: Text,
        citizen_id: Text,
        full_name: Text,
        registered_on: NaiveDate,
        unemployment_reason_code: Text,
        education_code: Option<Text>,
        hardship_type_code: Option<Text>,
        job_refusal_count: Option<i64>,
        cancelled_on: Option<NaiveDate>,
        cancel_reason: Option<Text>,
        status_code: Text,
        service_town_code: Option<Text>,
    }
    36 PublicWelfarePost "public_welfare_post" key[citizen_id, post_no, started_on] {
        citizen_id: Text,
        full_name: Text,
        post_no: Text,
        post_type_code: Text,
        employer_uscc: Option<Text>,
        employer_name: Option<Text>,
        started_on: NaiveDate,
        ended_on: Option<NaiveDate>,
        monthly_subsidy: Dec,
        insurance_subsidy: Option<Dec>,
        fund_source_code: Option<Text>,
        division_code: Text,
    }
}
