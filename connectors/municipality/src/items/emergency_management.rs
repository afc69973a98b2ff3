//! Items 54 to 55: what `emergency-management` (应急管理部门) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    54 DisasterReliefPerson "disaster_relief_person" key[disaster_no, citizen_id, relief_code] {
        disaster_no: Text,
        disaster_type_code: Text,
        occurred_on: NaiveDate,
        citizen_id: Text,
        full_name: Text,
        head_citizen_id: Option<Text>,
        relief_code: Text,
        affected_count: Option<i64>,
        relief_amount: Option<Dec>,
        relief_goods: Option<Text>,
        confirmed_on: Option<NaiveDate>,
        paid_on: Option<NaiveDate>,
        village_code: Option<Text>,
    }
    55 DisasterDamagedHouse "disaster_damaged_house" key[disaster_no, house_file_no] {
        disaster_no: Text,
        house_file_no: Text,
        head_citizen_id: Text,
        head_name: Text,
        damage_code: Text,
        damaged_rooms: Option<i64>,
        is_only_house: Option<bool>,
        rebuild_code: Option<Text>,
        rebuild_subsidy: Option<Dec>,
        rebuilt_on: Option<NaiveDate>,
        house_address: Option<Text>,
        village_code: Option<Text>,
    }
}
