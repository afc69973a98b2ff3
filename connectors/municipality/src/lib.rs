//! A simulated city whose departments export all 73 items in their own dirty formats, with the truth beside them.
//!
//! In reading order: the seam [`row`].

pub mod row;
