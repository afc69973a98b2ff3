//! Items 20 to 26: what `public-security` (公安部门) holds.

use chrono::NaiveDate;

use super::{Ts, items};
use crate::row::Text;

items! {
    20 ResidentIdentity "resident_identity" key[citizen_id] {
        citizen_id: Text,
        full_name: Text,
        former_name: Option<Text>,
        sex_code: Text,
        nation_code: Option<Text>,
        birth_date: NaiveDate,
        hukou_division_code: Text,
        hukou_address: Text,
        residence_address: Option<Text>,
        hukou_type_code: Option<Text>,
        marital_status_code: Option<Text>,
        education_code: Option<Text>,
        person_status_code: Text,
        replaced_by_citizen_id: Option<Text>,
        id_valid_until: Option<NaiveDate>,
        mobile_phone: Option<Text>,
        updated_at: Ts,
    }
    21 HouseholdRegisterMember "household_register_member" key[household_no, citizen_id] {
        household_no: Text,
        citizen_id: Text,
        full_name: Text,
        relation_to_head_code: Text,
        head_citizen_id: Text,
        head_name: Option<Text>,
        household_kind_code: Text,
        father_citizen_id: Option<Text>,
        mother_citizen_id: Option<Text>,
        spouse_citizen_id: Option<Text>,
        joined_on: Option<NaiveDate>,
        register_address: Option<Text>,
        village_code: Option<Text>,
        updated_at: Ts,
    }
    22 HouseholdMigration "household_migration" key[citizen_id, event_code, event_date] {
        citizen_id: Text,
        full_name: Text,
        event_code: Text,
        event_date: NaiveDate,
        from_division_code: Option<Text>,
        to_division_code: Option<Text>,
        from_household_no: Option<Text>,
        to_household_no: Option<Text>,
        reason: Option<Text>,
        station_code: Option<Text>,
        recorded_at: Ts,
    }
    23 DeathCancellation "death_cancellation" key[citizen_id] {
        citizen_id: Text,
        full_name: Text,
        death_date: NaiveDate,
        cancelled_on: NaiveDate,
        cancel_reason_code: Text,
        death_cause_code: Option<Text>,
        evidence_code: Option<Text>,
        declarant_citizen_id: Option<Text>,
        declarant_relation_code: Option<Text>,
        station_code: Option<Text>,
        recorded_at: Ts,
    }
    24 ResidencePermit "residence_permit" key[permit_no] {
        permit_no: Text,
        citizen_id: Text,
        full_name: Text,
        hukou_division_code: Text,
        residence_division_code: Text,
        residence_town_code: Option<Text>,
        residence_address: Text,
        reason_code: Option<Text>,
        first_issued_on: NaiveDate,
        valid_until: NaiveDate,
        permit_status_code: Text,
    }
    25 MotorVehicle "motor_vehicle" key[vin, owner_citizen_id, registered_on] {
        vin: Text,
        plate_type_code: Text,
        plate_no: Text,
        owner_citizen_id: Text,
        owner_name: Text,
        vehicle_type_code: Text,
        use_nature_code: Text,
        brand_model: Option<Text>,
        energy_code: Option<Text>,
        first_registered_on: NaiveDate,
        registered_on: NaiveDate,
        obtain_mode_code: Option<Text>,
        is_disabled_adapted: bool,
        vehicle_status_code: Text,
        ended_on: Option<NaiveDate>,
        division_code: Text,
    }
    26 ExitEntryRecord "exit_entry_record" key[document_no, crossing_at, direction_code] {
        citizen_id: Text,
        full_name: Text,
        document_type_code: Text,
        document_no: Text,
        direction_code: Text,
        crossing_at: Ts,
        port_code: Option<Text>,
        country_code: Option<Text>,
        travel_reason_code: Option<Text>,
        queried_at: Ts,
    }
}
