//! One integration binary; tests are its modules.

mod cluster;
mod crash;
mod dependencies;
mod doors;
mod secrecy;
mod structure;
mod world;
