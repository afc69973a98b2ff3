//! One integration binary; tests are its modules.

mod back_pressure;
mod cluster;
mod crash;
mod damage;
mod dependencies;
mod doors;
mod feed_faults;
mod feed_waits;
mod feeds;
mod ingest;
mod retention;
mod secrecy;
mod structure;
mod world;
