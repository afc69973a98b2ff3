//! Remarks of the computation that are neither figures nor discrepancies (section 8, `findings`).

use crate::number::Citizen;

/// One remark. Ordered and unique as it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    /// Item number.
    pub(crate) item: Option<u8>,
    pub(crate) key: Option<String>,
    pub(crate) person: Option<Citizen>,
}

impl Finding {
    /// About one row.
    pub(crate) fn of_row(code: &'static str, item: u8, key: String, person: Citizen) -> Self {
        Self { code, item: Some(item), key: Some(key), person: Some(person) }
    }

    /// An estimate of a person from an item.
    pub(crate) fn estimated(item: u8, person: Citizen) -> Self {
        Self { code: "estimated", item: Some(item), key: None, person: Some(person) }
    }
}
