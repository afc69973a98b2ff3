//! A simulated city whose departments export all 73 items in their own dirty formats, with the truth beside them.
//!
//! In reading order: the seam to the exports ([`row`]); the items as types ([`items`]); the ground of the city (`place`,
//! `name`, `number`, `calendar`, `chance`, `city`); the lives (`life`).

pub mod row;

mod calendar;
mod chance;
mod city;
pub mod export;
pub mod items;
mod life;
mod name;
mod number;
mod parameters;
mod place;
mod scribe;

pub use city::CityOptions;
