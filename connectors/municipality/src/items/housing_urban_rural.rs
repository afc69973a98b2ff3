//! Items 39 to 41: what `housing-urban-rural` (住房和城乡建设部门) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    39 PresaleContract "presale_contract" key[contract_no, buyer_citizen_id] {
        contract_no: Text,
        buyer_citizen_id: Text,
        buyer_name: Text,
        house_no: Text,
        real_estate_unit_no: Option<Text>,
        project_name: Option<Text>,
        building_area: Dec,
        house_use_code: Text,
        total_price: Dec,
        down_payment: Option<Dec>,
        pay_mode_code: Option<Text>,
        signed_on: NaiveDate,
        filed_on: Option<NaiveDate>,
        cancelled_on: Option<NaiveDate>,
        contract_status_code: Text,
        division_code: Text,
    }
    40 HousingGuarantee "housing_guarantee" key[guarantee_no] {
        guarantee_no: Text,
        applicant_citizen_id: Text,
        applicant_name: Text,
        mode_code: Text,
        household_size: i64,
        house_address: Option<Text>,
        building_area: Option<Dec>,
        monthly_rent: Option<Dec>,
        monthly_subsidy: Option<Dec>,
        effective_from: NaiveDate,
        valid_until: Option<NaiveDate>,
        status_code: Text,
        exit_reason_code: Option<Text>,
        division_code: Text,
    }
    41 RuralDilapidatedHouse "rural_dilapidated_house" key[house_file_no, plan_year] {
        house_file_no: Text,
        plan_year: i64,
        head_citizen_id: Text,
        head_name: Text,
        household_category_code: Text,
        danger_grade_code: Text,
        renovation_code: Option<Text>,
        subsidy_amount: Option<Dec>,
        started_on: Option<NaiveDate>,
        completed_on: Option<NaiveDate>,
        is_accepted: bool,
        house_address: Option<Text>,
        village_code: Option<Text>,
    }
}
