//! The durable log between intake and lake.
//!
//! A topic per item, a few partitions per topic, messages numbered densely from 0 in each partition. Whoever appends
//! gets an answer only when the messages would survive the loss of power; whoever fetches sees only such messages.
//! Two engines live here: [`EmbeddedBus`] for one machine and [`MemoryBus`] for tests of other crates; `minqiao-bus-kafka`
//! is the engine of clusters. Every engine passes [`contract`].
//!
//! Reading order: [`message`] (what travels), [`api`] (the seam), [`embedded`], [`memory`],
//! [`intercepted`] (a bus that fails on purpose, for tests of other crates), [`namespace`] (several hubs on one cluster), [`fence`] (several hubs in one topic), [`contract`].
//!
//! Left out on purpose: consumer groups and stored consumer positions. The lake stores the position of what it
//! contains (architecture D3), so a position kept here could only disagree with it.

pub mod api;
pub mod contract;
pub mod embedded;
pub mod fence;
pub mod intercepted;
pub mod memory;
pub mod message;
pub mod namespace;

pub use api::{Bus, BusError, Capabilities, Difference, Expiry, Limits, TopicInfo};
pub use embedded::{EmbeddedBus, EmbeddedOptions};
pub use fence::Fence;
pub use intercepted::{Call, Intercepted, Interceptor};
pub use memory::MemoryBus;
pub use message::{Headers, Message, Record, Span};
pub use namespace::Namespaced;
