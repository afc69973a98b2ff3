//! Items 44 to 48: what `agriculture-rural-affairs` (农业农村部门(乡村振兴、渔业)) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    44 RelapseMonitoringPerson "relapse_monitoring_person" key[household_file_no, citizen_id, data_year] {
        household_file_no: Text,
        citizen_id: Text,
        full_name: Text,
        relation_to_head_code: Text,
        monitor_type_code: Text,
        risk_type_codes: Option<Text>,
        per_capita_net_income: Option<Dec>,
        identified_on: NaiveDate,
        is_risk_resolved: bool,
        resolved_on: Option<NaiveDate>,
        help_measures: Option<Text>,
        data_year: i64,
        village_code: Option<Text>,
    }
    45 LandContractRight "land_contract_right" key[contract_no] {
        contract_no: Text,
        certificate_no: Option<Text>,
        contractor_citizen_id: Text,
        contractor_name: Text,
        member_count: Option<i64>,
        parcel_count: Option<i64>,
        contracted_area_mu: Dec,
        transferred_area_mu: Option<Dec>,
        annual_transfer_income: Option<Dec>,
        term_from: Option<NaiveDate>,
        term_to: Option<NaiveDate>,
        record_status_code: Text,
        village_code: Option<Text>,
    }
    46 AgriSubsidyPayment "agri_subsidy_payment" key[payment_no] {
        payment_no: Text,
        citizen_id: Text,
        full_name: Text,
        subsidy_code: Text,
        policy_name: Option<Text>,
        area_mu: Option<Dec>,
        unit_standard: Option<Dec>,
        amount: Dec,
        pay_year: i64,
        paid_on: Option<NaiveDate>,
        account_token: Option<Text>,
        village_code: Option<Text>,
    }
    47 FarmMachinery "farm_machinery" key[plate_no, owner_citizen_id] {
        plate_no: Text,
        owner_citizen_id: Text,
        owner_name: Text,
        machine_type_code: Text,
        brand_model: Option<Text>,
        factory_no: Option<Text>,
        engine_power_kw: Dec,
        purchase_price: Option<Dec>,
        purchase_subsidy: Option<Dec>,
        first_registered_on: NaiveDate,
        inspection_valid_until: Option<NaiveDate>,
        equipment_status_code: Text,
        division_code: Text,
    }
    48 FishingVessel "fishing_vessel" key[vessel_no, owner_citizen_id] {
        vessel_no: Text,
        owner_citizen_id: Text,
        owner_name: Text,
        vessel_name: Option<Text>,
        vessel_type_code: Text,
        length_m: Option<Dec>,
        gross_tonnage: Option<Dec>,
        engine_power_kw: Dec,
        share_ratio: Option<Dec>,
        fuel_subsidy_amount: Option<Dec>,
        registered_on: NaiveDate,
        certificate_valid_until: Option<NaiveDate>,
        equipment_status_code: Text,
        home_port_division_code: Option<Text>,
    }
}
