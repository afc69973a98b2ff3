//! One integration binary; tests are its modules.

mod crash;
mod doors;
mod secrecy;
mod structure;
mod world;
