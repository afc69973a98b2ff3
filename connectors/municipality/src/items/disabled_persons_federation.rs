//! Items 70 to 71: what `disabled-persons-federation` (残疾人联合会) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    70 DisabilityCertificate "disability_certificate" key[disability_certificate_no] {
        disability_certificate_no: Text,
        citizen_id: Text,
        full_name: Text,
        disability_type_code: Text,
        disability_grade_code: Text,
        multi_detail: Option<Text>,
        guardian_name: Option<Text>,
        guardian_phone: Option<Text>,
        issued_on: NaiveDate,
        valid_until: Option<NaiveDate>,
        certificate_status_code: Text,
        assessed_institution: Option<Text>,
        division_code: Text,
    }
    71 DisabilityRehabilitationAid "disability_rehabilitation_aid" key[aid_no] {
        aid_no: Text,
        citizen_id: Text,
        full_name: Text,
        aid_code: Text,
        institution_uscc: Option<Text>,
        institution_name: Option<Text>,
        service_from: NaiveDate,
        service_to: Option<NaiveDate>,
        total_cost: Dec,
        aid_amount: Dec,
        personal_amount: Dec,
        record_status_code: Text,
        division_code: Text,
    }
}
