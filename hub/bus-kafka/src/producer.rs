//! The idempotent producer, and its successor when it gives up.
//!
//! One producer serves all partitions. It never gives a message up by itself (`message.timeout.ms` is 0): as long as it
//! lives, a message is repeated under its sequence number until the broker has it once. A *fatal* error, e.g. when the
//! brokers lost what the producer knows to be acknowledged, ends the producer; the next append makes another one, and
//! each partition with something on its way is looked into before anything is sent again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use minqiao_bus::{BusError, Message};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::KafkaOptions;
use crate::context::{Heard, Listener};
use crate::failure::{code_of, unusable};
use crate::partition::Partition;
use crate::topics::blocking;
use crate::window::Ending;
use crate::wire::headers_of;

/// What is remembered of a message on its way.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) partition: Arc<Partition>,
    pub(crate) identity: Vec<u8>,
    /// What was known of the log when the message was sent.
    pub(crate) after: u64,
    pub(crate) ending: watch::Sender<Option<Ending>>,
    /// Given back with the last message of a call.
    pub(crate) _queued: Arc<OwnedSemaphorePermit>,
}

/// Context of the producer: hears how each message ends.
#[derive(Debug)]
pub(crate) struct Deliveries(Listener);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let ending: Ending = match result {
            // Negative when a repetition was recognised so late that the broker had forgotten its offset.
            Ok(message) => u64::try_from(message.offset()).map_err(|_| RDKafkaErrorCode::DuplicateSequenceNumber),
            Err((error, _)) => Err(code_of(error)),
        };
        let Delivery { partition, identity, after, ending: answer, .. } = *delivery;
        let fits = partition.window.lock().ended(identity, after, &ending);
        if !fits {
            partition.suspect.store(true, Ordering::Release);
        }
        match ending {
            Ok(offset) => {
                self.0.0.forget_refusal();
                partition.reaches(offset + 1);
            }
            Err(RDKafkaErrorCode::Fatal) => self.0.0.say_fatal(),
            Err(_) => {}
        }
        answer.send_replace(Some(ending));
        partition.changed.notify_waiters();
    }
}

type Native = ThreadedProducer<Deliveries, NoCustomPartitioner>;

/// See the module.
pub(crate) struct Producer {
    options: KafkaOptions,
    heard: Arc<Heard>,
    native: Mutex<Option<Arc<Native>>>,
    replacing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    pub(crate) fn new(options: &KafkaOptions, heard: &Arc<Heard>) -> Result<Self, BusError> {
        let native = make(options, heard)?;
        Ok(Self {
            options: options.clone(),
            heard: Arc::clone(heard),
            native: Mutex::new(Some(Arc::new(native))),
            replacing: tokio::sync::Mutex::new(()),
        })
    }

    /// The producer in charge, a new one when the last has given up.
    pub(crate) async fn current(&self) -> Result<Arc<Native>, BusError> {
        if self.heard.is_fatal() {
            self.replace().await?;
        }
        self.native.lock().clone().ok_or(BusError::Closed)
    }

    async fn replace(&self) -> Result<(), BusError> {
        let _replacing = self.replacing.lock().await;
        if !self.heard.is_fatal() {
            return Ok(());
        }
        let Some(old) = self.native.lock().take() else { return Err(BusError::Closed) };
        tracing::warn!("the Kafka producer ended with a fatal error and is replaced");
        let (options, heard) = (self.options.clone(), Arc::clone(&self.heard));
        let new = blocking(move || {
            // What is still on its way ends here, as unknown.
            drop(old);
            make(&options, &heard)
        })
        .await?;
        self.heard.replaced();
        *self.native.lock() = Some(Arc::new(new));
        Ok(())
    }

    /// Takes the producer out: nothing is sent any more. What is on its way ends as unknown when it is dropped.
    pub(crate) fn take(&self) -> Option<Arc<Native>> {
        self.native.lock().take()
    }
}

fn make(options: &KafkaOptions, heard: &Arc<Heard>) -> Result<Native, BusError> {
    let context = Deliveries(Listener(Arc::clone(heard)));
    Native::from_config_and_context(&options.producer()?, context).map_err(|error| unusable(&error))
}

/// Hands a message to librdkafka, which copies it. On refusal the delivery comes back: nothing was queued.
pub(crate) fn send(
    native: &Native,
    message: &Message,
    delivery: Box<Delivery>,
) -> Result<(), (RDKafkaErrorCode, Box<Delivery>)> {
    let partition = Arc::clone(&delivery.partition);
    let record: BaseRecord<'_, (), [u8], Box<Delivery>> = BaseRecord::with_opaque_to(&partition.topic, delivery)
        .partition(partition.number)
        .headers(headers_of(&message.headers))
        .payload(&message.payload);
    native.send(record).map_err(|(error, record)| (code_of(&error), record.delivery_opaque))
}

/// Waits until everything sent has ended; blocks.
pub(crate) fn flush(native: &Native, within: std::time::Duration) -> Result<(), RDKafkaErrorCode> {
    native.flush(within).map_err(|error| code_of(&error))
}
