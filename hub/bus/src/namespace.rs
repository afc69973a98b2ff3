//! Several hubs on one cluster: each puts its own words before the names of its topics.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Bus, BusError, Capabilities, Expiry, Limits, Message, Record, TopicInfo};

/// A bus whose topics are called `<namespace><name>` on the engine below, and `<name>` here. Errors name the topic as the
/// engine knows it, so that whoever runs the cluster finds it.
#[derive(Debug)]
pub struct Namespaced {
    inner: Arc<dyn Bus>,
    namespace: String,
}

impl Namespaced {
    /// `namespace` with its separator, e.g. `weihai.`.
    pub fn new(inner: Arc<dyn Bus>, namespace: impl Into<String>) -> Self {
        Self { inner, namespace: namespace.into() }
    }

    fn below(&self, topic: &str) -> String {
        format!("{}{topic}", self.namespace)
    }

    fn above(&self, info: TopicInfo) -> Option<TopicInfo> {
        let name = info.name.strip_prefix(&self.namespace)?.to_owned();
        Some(TopicInfo { name, ..info })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Bus for Namespaced {
    async fn ensure_topic(&self, topic: &str, partitions: u32) -> Result<TopicInfo, BusError> {
        let made = self.inner.ensure_topic(&self.below(topic), partitions).await?;
        self.above(made).ok_or(BusError::InvalidTopic)
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        Ok(self.inner.topics().await?.into_iter().filter_map(|topic| self.above(topic)).collect())
    }

    async fn append(&self, topic: &str, partition: u32, messages: Vec<Message>) -> Result<Vec<u64>, BusError> {
        self.inner.append(&self.below(topic), partition, messages).await
    }

    async fn fetch(&self, topic: &str, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<Record>, BusError> {
        self.inner.fetch(&self.below(topic), partition, from, max_bytes).await
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.inner.first_offset(&self.below(topic), partition).await
    }

    async fn end_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.inner.end_offset(&self.below(topic), partition).await
    }

    async fn wait(&self, topic: &str, partition: u32, beyond: u64, timeout: Duration) -> Result<u64, BusError> {
        self.inner.wait(&self.below(topic), partition, beyond, timeout).await
    }

    async fn expire(&self, what: &[Expiry]) -> Result<Vec<u64>, BusError> {
        let below = what.iter().map(|each| Expiry { topic: self.below(&each.topic), ..each.clone() });
        self.inner.expire(&below.collect::<Vec<_>>()).await
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
        self.inner.close().await
    }
}
