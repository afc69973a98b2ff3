//! Items 27 to 28: what `judicial-administration` (司法行政部门) holds.

use chrono::NaiveDate;

use super::{Ts, items};
use crate::row::Text;

items! {
    27 PrisonInmate "prison_inmate" key[citizen_id, custody_started_on] {
        citizen_id: Text,
        full_name: Text,
        custody_status_code: Text,
        facility_code: Option<Text>,
        custody_started_on: NaiveDate,
        sentence_end_on: Option<NaiveDate>,
        released_on: Option<NaiveDate>,
        hukou_division_code: Option<Text>,
        updated_at: Ts,
    }
    28 CompulsoryIsolationRehab "compulsory_isolation_rehab" key[citizen_id, started_on] {
        citizen_id: Text,
        full_name: Text,
        custody_status_code: Text,
        facility_code: Option<Text>,
        started_on: NaiveDate,
        planned_end_on: Option<NaiveDate>,
        released_on: Option<NaiveDate>,
        hukou_division_code: Option<Text>,
        updated_at: Ts,
    }
}
