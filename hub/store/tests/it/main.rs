//! The store from outside, on every engine.
//!
//! SQLite always runs. PostgreSQL runs at the server that `MINQIAO_POSTGRES_URL` names (`tests/servers/postgres` starts
//! one); each test has a schema of its own there.

mod audit;
mod feed;
mod hubs;
mod lost_answers;
mod place;
mod processes;
mod scenarios;
mod schema;
mod server;
