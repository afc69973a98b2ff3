//! SQL as people meet it: attacks, policies, the aggregate guard, limits.

mod attacks;
mod changes;
mod fixture;
mod late;
mod limits;
mod policies;
