//! Items 37 to 38: what `natural-resources` (自然资源部门(不动产登记)) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    37 RealEstateOwnership "real_estate_ownership" key[real_estate_unit_no, owner_citizen_id, certificate_no] {
        real_estate_unit_no: Text,
        certificate_no: Text,
        owner_citizen_id: Text,
        owner_name: Text,
        co_ownership_code: Text,
        share_ratio: Option<Dec>,
        right_type_code: Text,
        house_use_code: Text,
        house_nature_code: Option<Text>,
        building_area: Dec,
        location_address: Text,
        acquire_price: Option<Dec>,
        registered_on: NaiveDate,
        is_mortgaged: Option<bool>,
        right_status_code: Text,
        division_code: Text,
    }
    38 RealEstateTransfer "real_estate_transfer" key[transfer_case_no, real_estate_unit_no, party_role_code, party_citizen_id] {
        transfer_case_no: Text,
        real_estate_unit_no: Text,
        party_role_code: Text,
        party_citizen_id: Text,
        party_name: Text,
        counterparty_kind_code: Text,
        counterparty_ref: Option<Text>,
        transfer_reason_code: Text,
        deal_price: Option<Dec>,
        share_ratio: Option<Dec>,
        building_area: Option<Dec>,
        house_use_code: Option<Text>,
        location_address: Option<Text>,
        registered_on: NaiveDate,
        division_code: Text,
    }
}
