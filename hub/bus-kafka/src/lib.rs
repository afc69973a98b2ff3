//! The bus on Apache Kafka, for clusters of several hubs.
//!
//! Same promises as the embedded engine (`minqiao_bus::api`), same contract suite. What is different:
//!
//! - **BUS-1** An acknowledged message is in the memory of `min.insync.replicas` brokers, not necessarily on a disk: Kafka
//!   survives the loss of all brokers' power at once only as far as their file systems had written. Replicas belong on
//!   machines, and better in rooms, that do not fail together.
//! - **BUS-2** Offsets are Kafka's. They are dense because nothing but messages is ever in these topics: no transactions
//!   (each ends in a control record that takes an offset) and no compaction. A reader that meets a hole reports damage.
//! - **BUS-3** holds for the last [`KafkaOptions::window_messages`] of each partition and is rebuilt from the log after a
//!   start ([`minqiao_bus::Capabilities::idempotent_forever`] is false). Every append first looks at what other processes
//!   stored since the last look, so a batch that is sent again through another gateway is recognised, too. What is not:
//!   the same span sent through two processes *at the same moment*; the operational store, which knows the batch, is
//!   between. Within a process a message whose outcome is unknown is never sent a second time: the producer repeats it
//!   under its sequence number, which brokers recognise, for as long as it lives. After a fatal error of the producer the
//!   log is read before anything is repeated. One gap remains that Kafka does not close without transactions: a broker
//!   that stalls with a dead producer's last request in its hands, and applies it after the log was looked at.
//! - **BUS-4** Ends and reads are `read_committed`: what all in-sync replicas have.
//! - **BUS-5** [`minqiao_bus::TopicInfo::id`] is Kafka's own. A topic replaced under a running process is noticed within ten
//!   seconds of reading, and at once when an acknowledgement does not fit; it is then refused until `ensure_topic` is
//!   called again.
//! - **BUS-6** The queue is bounded in bytes; an append that cannot be acknowledged in time fails with
//!   [`minqiao_bus::BusError::TimedOut`], and what it sent keeps its place in the queue.
//!
//! Topics are made with the settings that the promises need, and one that exists is checked for them; see `ops/kafka.md`.
//!
//! Reading order: [`options`], `topics` and `describe` (what topics are), `window` (BUS-3, pure), `append` and
//! `producer`, `readers` and `ends`, `bus`. Left out on purpose: consumer groups and committed offsets, because the lake
//! holds the positions.

mod append;
mod bus;
mod context;
mod describe;
mod ends;
mod failure;
pub mod options;
mod partition;
mod producer;
mod readers;
mod topics;
mod window;
mod wire;

pub use bus::KafkaBus;
pub use context::KafkaFigures;
pub use failure::Failure;
pub use options::{KafkaOptions, Password, Security};
