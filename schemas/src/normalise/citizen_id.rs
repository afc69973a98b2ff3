//! Citizen numbers.
/// Whether canonical.
pub fn is_canonical(value: &str) -> bool { value.len() == 18 }
