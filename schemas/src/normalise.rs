//! One value: from what a department wrote to the canonical form, or to the rule it breaks.
pub mod citizen_id;
pub mod uscc;
