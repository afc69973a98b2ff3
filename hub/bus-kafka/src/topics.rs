//! Topics: making, checking, telling apart.
//!
//! A topic must be such that the bus's promises hold; [`differences`] is the whole list. What exists is never changed
//! from here: an operator decides (`ops/kafka.md`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use minqiao_bus::{BusError, Difference};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::{Instant, sleep};

use crate::KafkaOptions;
use crate::context::{Heard, Listener};
use crate::describe::{Description, describe};
use crate::failure::{code_of, failure, unusable};
use crate::partition::Partition;

/// Pause between looks at something that the cluster is about to do.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The part of the bus that talks about topics.
pub(crate) struct Topics {
    admin: Arc<AdminClient<Listener>>,
    options: KafkaOptions,
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics").finish_non_exhaustive()
    }
}

/// A question that went to a broker which has just died is never answered: it is asked again within the same time.
const ASKED_TIMES: u32 = 4;

impl Topics {
    pub(crate) fn new(options: &KafkaOptions, listener: Listener) -> Result<Self, BusError> {
        let admin = AdminClient::from_config_and_context(&options.admin()?, listener).map_err(|e| unusable(&e))?;
        Ok(Self { admin: Arc::new(admin), options: options.clone() })
    }

    /// Waits until a broker answers; the reason for refusal when brokers keep us out, of which the producer hears.
    pub(crate) async fn connect(&self, heard: &Heard) -> Result<(), BusError> {
        let within = self.options.request_timeout();
        let deadline = Instant::now() + within;
        loop {
            let admin = Arc::clone(&self.admin);
            let metadata =
                blocking(move || Ok(admin.inner().fetch_metadata(None, Duration::from_millis(500)).map(drop))).await?;
            let Err(error) = metadata else { return Ok(()) };
            if let Some(reason) = heard.refusal() {
                return Err(BusError::AccessDenied { reason });
            }
            if Instant::now() >= deadline {
                tracing::warn!(code = ?code_of(&error), "no broker answers");
                let doing = "accept a connection (check `bootstrap` and `security`)";
                return Err(BusError::TimedOut { doing, waited: within });
            }
            // A connection that is refused fails at once.
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Every topic with the prefix, and those of `known` that there are.
    pub(crate) async fn list(&self, known: Vec<String>) -> Result<Vec<Description>, BusError> {
        let within = self.options.request_timeout();
        let (admin, prefix) = (Arc::clone(&self.admin), self.options.topic_prefix.clone());
        let names = blocking(move || {
            let doing = "list the topics";
            let metadata = admin.inner().fetch_metadata(None, within);
            let metadata = metadata.map_err(|error| failure(doing, within, code_of(&error)))?;
            let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
            let names = names.filter(|name| name.starts_with(&prefix) && !name.starts_with("__"));
            Ok(names.chain(known).collect::<BTreeSet<_>>().into_iter().collect())
        })
        .await?;
        Ok(self.describe_all(names).await?.into_iter().flatten().collect())
    }

    /// A topic, asked freshly.
    pub(crate) async fn describe(&self, name: &str) -> Result<Option<Description>, BusError> {
        Ok(self.describe_all(vec![name.to_owned()]).await?.into_iter().next().flatten())
    }

    async fn describe_all(&self, names: Vec<String>) -> Result<Vec<Option<Description>>, BusError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let within = self.options.request_timeout();
        let admin = Arc::clone(&self.admin);
        blocking(move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let ask = || describe(admin.inner(), &names, within / ASKED_TIMES);
            let late = |answer: &Result<_, RDKafkaErrorCode>| {
                matches!(answer, Err(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut))
            };
            let mut answer = ask();
            for _ in 1..ASKED_TIMES {
                if late(&answer) {
                    answer = ask();
                }
            }
            answer.map_err(|code| failure("describe topics", within, code))
        })
        .await
    }

    /// How many brokers the cluster has.
    pub(crate) async fn brokers(&self) -> Result<usize, BusError> {
        let (admin, within) = (Arc::clone(&self.admin), self.options.request_timeout());
        blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, within);
            let metadata = metadata.map_err(|error| failure("name its brokers", within, code_of(&error)))?;
            Ok(metadata.brokers().len())
        })
        .await
    }

    /// Removes topics with all they hold.
    pub(crate) async fn delete(&self, names: &[String]) -> Result<(), BusError> {
        if names.is_empty() {
            return Ok(());
        }
        let within = self.options.request_timeout();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
        let deleted = self.admin.delete_topics(&names, &options).await;
        let results = deleted.map_err(|error| failure("remove topics", within, code_of(&error)))?;
        let refused = results.into_iter().find_map(|result| result.err().map(|(_, code)| code));
        match refused {
            None | Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(()),
            Some(code) => Err(failure("remove topics", within, code)),
        }
    }

    /// Removes the messages before positions.
    pub(crate) async fn remove_before(&self, what: &[(Arc<Partition>, u64)]) -> Result<(), BusError> {
        let (doing, within) = ("remove old messages", self.options.request_timeout());
        let mut list = TopicPartitionList::with_capacity(what.len());
        for (partition, before) in what {
            let before = Offset::Offset(i64::try_from(*before).unwrap_or(i64::MAX));
            let added = list.add_partition_offset(&partition.topic, partition.number, before);
            added.map_err(|error| failure(doing, within, code_of(&error)))?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
        let removed = self.admin.delete_records(&list, &options).await;
        let removed = removed.map_err(|error| failure(doing, within, code_of(&error)))?;
        match removed.elements().iter().find_map(|each| each.error().err()) {
            Some(error) => Err(failure(doing, within, code_of(&error))),
            None => Ok(()),
        }
    }

    /// The topic as it must be, made when there is none.
    pub(crate) async fn ensure(&self, name: &str, partitions: u32) -> Result<Description, BusError> {
        let found = match self.describe(name).await? {
            Some(found) => found,
            None => {
                self.make(name, partitions).await?;
                self.appeared(name).await?
            }
        };
        self.check(&found, partitions).await?;
        Ok(found)
    }

    async fn make(&self, name: &str, partitions: u32) -> Result<(), BusError> {
        let within = self.options.request_timeout();
        let count = i32::try_from(partitions).map_err(|_| BusError::InvalidTopic)?;
        let settings = settings(&self.options);
        let replication = TopicReplication::Fixed(self.options.replication.into());
        let mut topic = NewTopic::new(name, count, replication);
        for (key, value) in &settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
        let made = self.admin.create_topics([&topic], &options).await;
        let code = match made.map(|mut results| results.pop()) {
            Ok(Some(Ok(_)) | None) => return Ok(()),
            Ok(Some(Err((_, code)))) => code,
            Err(error) => code_of(&error),
        };
        match code {
            // Somebody else was faster; whether it is the same topic is checked.
            RDKafkaErrorCode::TopicAlreadyExists => Ok(()),
            RDKafkaErrorCode::InvalidTopic => Err(BusError::InvalidTopic),
            RDKafkaErrorCode::InvalidReplicationFactor => {
                Err(BusError::Misconfigured { key: "replication", problem: "is more than the cluster has brokers" })
            }
            code => Err(failure("make a topic", within, code)),
        }
    }

    /// Waits until the brokers know a topic and each partition has its leader.
    async fn appeared(&self, name: &str) -> Result<Description, BusError> {
        let within = self.options.request_timeout();
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = self.describe(name).await?
                && !found.partitions.is_empty()
                && found.partitions.iter().all(|partition| partition.has_leader)
            {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Err(BusError::TimedOut { doing: "make a topic", waited: within });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn check(&self, found: &Description, partitions: u32) -> Result<(), BusError> {
        let actual = u32::try_from(found.partitions.len()).unwrap_or(u32::MAX);
        if actual != partitions {
            return Err(BusError::PartitionCountDiffers { topic: found.name.clone(), actual, wanted: partitions });
        }
        let config = self.config(&found.name).await?;
        let differences = differences(&self.options, found, &config);
        if differences.is_empty() {
            Ok(())
        } else {
            Err(BusError::TopicDiffers { topic: found.name.clone(), differences })
        }
    }

    /// A topic's settings. A broker that has not heard of a new topic yet answers none at all, and is asked again.
    async fn config(&self, name: &str) -> Result<ConfigResource, BusError> {
        let doing = "tell a topic's settings";
        let within = self.options.request_timeout();
        let deadline = Instant::now() + within;
        let options = AdminOptions::new().request_timeout(Some(within));
        loop {
            let asked = self.admin.describe_configs([&ResourceSpecifier::Topic(name)], &options).await;
            let answer = asked.map(|mut each| each.pop().unwrap_or(Err(RDKafkaErrorCode::Fail)));
            match answer.unwrap_or_else(|error| Err(code_of(&error))) {
                Ok(config) if !config.entries.is_empty() => return Ok(config),
                Ok(_) | Err(RDKafkaErrorCode::UnknownTopicOrPartition) if Instant::now() < deadline => {}
                Ok(_) => return Err(BusError::TimedOut { doing, waited: within }),
                Err(code) => return Err(failure(doing, within, code)),
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// What a topic of ours is made with.
fn settings(options: &KafkaOptions) -> [(&'static str, String); 6] {
    [
        ("min.insync.replicas", options.min_insync.to_string()),
        ("max.message.bytes", options.record_bytes_max().to_string()),
        // Time and size must not take what the lake lacks: the hub removes old messages itself.
        ("retention.ms", "-1".to_owned()),
        ("retention.bytes", "-1".to_owned()),
        // Compaction would take messages out of the middle.
        ("cleanup.policy", "delete".to_owned()),
        // A replica that lacks acknowledged messages must never lead.
        ("unclean.leader.election.enable", "false".to_owned()),
    ]
}

/// Under which settings the promises would not hold, or messages would go too soon. More than is wanted is
/// fine: more copies, larger messages.
fn differences(options: &KafkaOptions, found: &Description, config: &ConfigResource) -> Vec<Difference> {
    let mut differences = Vec::new();
    let copies = found.partitions.iter().map(|partition| partition.replicas).min().unwrap_or(0);
    if copies < usize::from(options.replication) {
        differences.push(Difference {
            setting: "replication factor",
            actual: copies.to_string(),
            wanted: format!("{} or more", options.replication),
        });
    }
    for (setting, wanted) in settings(options) {
        let actual = config.get(setting).and_then(|entry| entry.value.clone());
        let enough = actual.as_deref().is_some_and(|actual| is_enough(setting, actual, &wanted));
        if !enough {
            differences.push(Difference { setting, actual: actual.unwrap_or_else(|| "unknown".to_owned()), wanted });
        }
    }
    differences
}

fn is_enough(setting: &str, actual: &str, wanted: &str) -> bool {
    let numbers = || Some((actual.parse::<i64>().ok()?, wanted.parse::<i64>().ok()?));
    match setting {
        "min.insync.replicas" | "max.message.bytes" => numbers().is_some_and(|(actual, wanted)| actual >= wanted),
        _ => actual == wanted,
    }
}

/// Runs what blocks away from the runtime's own threads.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(act).await.map_err(|error| BusError::Storage(Box::new(error)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_wanted_is_enough_and_less_is_not() {
        for (setting, actual, wanted, enough) in [
            ("min.insync.replicas", "2", "2", true),
            ("min.insync.replicas", "3", "2", true),
            ("min.insync.replicas", "1", "2", false),
            ("max.message.bytes", "2000000", "1114112", true),
            ("max.message.bytes", "1048588", "1114112", false),
            ("retention.ms", "-1", "-1", true),
            ("retention.ms", "604800000", "-1", false),
            ("retention.bytes", "1000000", "-1", false),
            ("cleanup.policy", "compact,delete", "delete", false),
            ("unclean.leader.election.enable", "true", "false", false),
            ("min.insync.replicas", "many", "2", false),
        ] {
            assert_eq!(is_enough(setting, actual, wanted), enough, "{setting} {actual} for {wanted}");
        }
    }
}
