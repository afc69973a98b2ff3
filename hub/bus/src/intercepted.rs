//! A bus with something in front of it: for tests of other crates, which make a log slow or let it fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Bus, BusError, Capabilities, Expiry, Limits, Message, Record, TopicInfo};

/// What is about to be asked of the bus.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    /// `ensure_topic`, `wait`, `expire` and `close`.
    Other,
    /// `topics`.
    Topics,
    /// `append` of these.
    Append(&'a [Message]),
    /// `fetch` from this offset.
    Fetch(u64),
    /// `first_offset` and `end_offset`.
    EndOffset,
}

/// What stands in front of the bus. Everything goes through unless it is said otherwise.
#[async_trait]
pub trait Interceptor: Send + Sync + fmt::Debug {
    /// Answers when the call may go through, or with the error that the caller gets instead.
    async fn before(&self, _call: Call<'_>) -> Result<(), BusError> {
        Ok(())
    }

    /// Whether the caller hears of an append that landed.
    fn appended(&self) -> Result<(), BusError> {
        Ok(())
    }

    /// What the caller gets of the records that were fetched.
    fn fetched(&self, records: Vec<Record>) -> Result<Vec<Record>, BusError> {
        Ok(records)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Intercepted {
    inner: Arc<dyn Bus>,
    by: Arc<dyn Interceptor>,
}

impl Intercepted {
    /// `inner` behind `by`.
    pub fn new(inner: Arc<dyn Bus>, by: Arc<dyn Interceptor>) -> Self {
        Self { inner, by }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Bus for Intercepted {
    async fn ensure_topic(&self, topic: &str, partitions: u32) -> Result<TopicInfo, BusError> {
        self.by.before(Call::Other).await?;
        self.inner.ensure_topic(topic, partitions).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        self.by.before(Call::Topics).await?;
        self.inner.topics().await
    }

    async fn append(&self, topic: &str, partition: u32, messages: Vec<Message>) -> Result<Vec<u64>, BusError> {
        self.by.before(Call::Append(&messages)).await?;
        let positions = self.inner.append(topic, partition, messages).await?;
        self.by.appended()?;
        Ok(positions)
    }

    async fn fetch(&self, topic: &str, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<Record>, BusError> {
        self.by.before(Call::Fetch(from)).await?;
        self.by.fetched(self.inner.fetch(topic, partition, from, max_bytes).await?)
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.by.before(Call::EndOffset).await?;
        self.inner.first_offset(topic, partition).await
    }

    async fn end_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.by.before(Call::EndOffset).await?;
        self.inner.end_offset(topic, partition).await
    }

    async fn wait(&self, topic: &str, partition: u32, beyond: u64, timeout: Duration) -> Result<u64, BusError> {
        self.by.before(Call::Other).await?;
        self.inner.wait(topic, partition, beyond, timeout).await
    }

    async fn expire(&self, what: &[Expiry]) -> Result<Vec<u64>, BusError> {
        self.by.before(Call::Other).await?;
        self.inner.expire(what).await
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn check(&self) -> Result<(), BusError> {
        self.inner.check().await
    }

    async fn close(&self) -> Result<(), BusError> {
        self.by.before(Call::Other).await?;
        self.inner.close().await
    }
}
