//! SQL as people meet it: attacks, policies, the aggregate guard, limits.

mod attacks;
mod fixture;
mod limits;
mod policies;
