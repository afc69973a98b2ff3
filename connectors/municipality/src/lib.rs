//! A simulated city whose departments export all 73 items in their own dirty formats, with the truth beside them.
//!
//! [`generate`] makes a city on disk. In reading order: the seam to the exports ([`row`]); the items as types ([`items`]);
//! the ground of the city (`place`, `name`, `number`, `calendar`, `chance`, `city`, `parameters`); the lives (`life`,
//! `scribe`); what is true of every application (`truth`); the departments' files ([`export`]); the same past the files (`case`).

pub mod row;

mod calendar;
mod case;
mod chance;
mod city;
pub mod export;
mod generate;
pub mod items;
mod life;
mod name;
mod number;
mod parameters;
mod place;
mod scribe;
#[cfg(test)]
mod tests;
mod truth;

pub use case::case_folder;
pub use city::CityOptions;
pub use generate::{CityError, CitySummary, ItemRows, Progress, generate};
