//! Which records a verification rests on (architecture D9, R-VER-03): per person and item whether it was asked, and the
//! keys of the rows that were used.

use serde::{Deserialize, Serialize};

use crate::compute::{Engine, Run, World};
use crate::items::SHAPES;
use crate::kinship::Kin;
use crate::members::household;
use crate::obligors::obligors;

/// Rows of one person and item. Listed where rows were used or an authorisation was missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Person, as the caller may see it.
    pub citizen_id: String,
    /// Item code.
    pub item: String,
    /// False where section 6 forbids to look; then nothing is known, which is not “none”.
    pub authorised: bool,
    /// Natural keys of the rows, ascending.
    pub keys: Vec<String>,
    /// Data date of the item's feed at the moment of the verification.
    pub data_date: Option<String>,
}

impl Engine {
    /// The records behind a run: of counted members and obligors, by person and item.
    pub fn evidence(&self, world: &World<'_>, run: &Run) -> Vec<Evidence> {
        let Ok((case, ..)) = self.open(world, run) else { return Vec::new() };
        let kin = Kin::full(&case);
        let household = household(&kin);
        let mut people = household.counted.clone();
        people.extend(obligors(&kin, &household).iter().map(|o| o.person));
        let mut found = Vec::new();
        for person in people {
            // Applications other than this one are no evidence.
            for shape in SHAPES.iter().filter(|shape| !matches!(shape.no, 8 | 9)) {
                let authorised = !self.rules.of(shape.no).auth || case.covers(person, shape.no);
                let rows = case.any_current(shape.no, person).into_iter().filter(|row| case.usable(*row));
                let mut keys: Vec<String> = rows.map(|row| case.key(row)).collect();
                keys.sort();
                if authorised && keys.is_empty() {
                    continue;
                }
                found.push(Evidence {
                    citizen_id: (case.show)(person),
                    item: shape.item.to_owned(),
                    authorised,
                    keys,
                    data_date: case.facts.feed_date(shape.no, case.as_of.0).map(|day| day.to_string()),
                });
            }
        }
        found.sort_by(|a, b| a.citizen_id.cmp(&b.citizen_id));
        found
    }
}
