//! One integration binary; tests are its modules.

mod crash;
mod dependencies;
mod doors;
mod feed_faults;
mod feeds;
mod secrecy;
mod structure;
mod world;
