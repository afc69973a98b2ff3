//! A topic's id, partitions and replicas, through librdkafka's C interface.
//!
//! The safe wrapper has no DescribeTopics, and only that tells the id that Kafka draws for a topic when it is made
//! (BUS-5). The alternative, an id of our own in a first message or in a topic of records, would be lost or doubled in
//! exactly the cases it is for. This is the only module with `unsafe`; its rules:
//!
//! - everything that C makes here is owned by an [`Owned`] that ends it once, in any way out of the function;
//! - pointers into the answer are read while the event that owns the answer lives, and never leave the function;
//! - strings and lists are copied; a null pointer or a count of 0 is an empty one.
#![expect(unsafe_code, reason = "librdkafka's DescribeTopics has no safe wrapper; see the rules above")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use uuid::Uuid;

/// What the cluster says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<PartitionDescription>,
}

/// What the cluster says of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionDescription {
    pub(crate) has_leader: bool,
    pub(crate) replicas: usize,
}

/// Something of C's with its end.
struct Owned<T> {
    pointer: *mut T,
    end: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, end: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        (!pointer.is_null()).then_some(Self { pointer, end })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer is not null, came from the function that pairs with `end`, and is ended only here.
        unsafe { (self.end)(self.pointer) }
    }
}

/// Asks for topics by name; `None` for a name that there is no topic of. Blocks up to `timeout`.
pub(crate) fn describe<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Option<Description>>, RDKafkaErrorCode> {
    let names: Vec<CString> = names
        .iter()
        .map(|name| CString::new(*name))
        .collect::<Result<_, _>>()
        .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let handle = client.native_ptr();
    // SAFETY: `handle` is alive as long as `client`; the names outlive the call, which copies them; each object that C
    // returns is checked for null by `Owned`.
    let event = unsafe {
        let topics = c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let topics = Owned::new(topics, c::rd_kafka_TopicCollection_destroy).ok_or(RDKafkaErrorCode::Fail)?;
        let options = c::rd_kafka_AdminOptions_new(handle, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let options = Owned::new(options, c::rd_kafka_AdminOptions_destroy).ok_or(RDKafkaErrorCode::Fail)?;
        let mut why: [c_char; 256] = [0; 256];
        let set = c::rd_kafka_AdminOptions_set_request_timeout(options.pointer, millis, why.as_mut_ptr(), why.len());
        code(set)?;
        let queue = Owned::new(c::rd_kafka_queue_new(handle), c::rd_kafka_queue_destroy);
        let queue = queue.ok_or(RDKafkaErrorCode::Fail)?;
        c::rd_kafka_DescribeTopics(handle, topics.pointer, options.pointer, queue.pointer);
        // The request times out by itself; the second here is for handing over.
        let event = c::rd_kafka_queue_poll(queue.pointer, millis.saturating_add(1000));
        Owned::new(event, c::rd_kafka_event_destroy).ok_or(RDKafkaErrorCode::OperationTimedOut)?
    };
    // SAFETY: `event` is alive until the end of the function and owns everything read from it.
    unsafe {
        code(c::rd_kafka_event_error(event.pointer))?;
        let result = c::rd_kafka_event_DescribeTopics_result(event.pointer);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = c::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        list(topics, count).iter().map(|topic| description(*topic)).collect()
    }
}

/// # Safety
/// `topic` points into an answer that is alive.
unsafe fn description(topic: *const c::rd_kafka_TopicDescription_t) -> Result<Option<Description>, RDKafkaErrorCode> {
    // SAFETY: as above; what the functions return lives as long as the answer.
    unsafe {
        let error = RDKafkaErrorCode::from(c::rd_kafka_error_code(c::rd_kafka_TopicDescription_error(topic)));
        match error {
            RDKafkaErrorCode::NoError => {}
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => return Ok(None),
            // Made a moment ago: it exists, not all of its leaders do.
            RDKafkaErrorCode::LeaderNotAvailable => {}
            other => return Err(other),
        }
        let id = c::rd_kafka_TopicDescription_topic_id(topic);
        let name = c::rd_kafka_TopicDescription_name(topic);
        if id.is_null() || name.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let high = c::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
        let low = c::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
        let mut count = 0;
        let partitions = c::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let partitions = list(partitions, count).iter().map(|partition| {
            let mut replicas = 0;
            c::rd_kafka_TopicPartitionInfo_replicas(*partition, &mut replicas);
            let leader = c::rd_kafka_TopicPartitionInfo_leader(*partition);
            let has_leader = !leader.is_null() && c::rd_kafka_Node_id(leader) >= 0;
            PartitionDescription { has_leader, replicas }
        });
        Ok(Some(Description {
            name: CStr::from_ptr(name).to_string_lossy().into_owned(),
            id: Uuid::from_u64_pair(high, low),
            partitions: partitions.collect(),
        }))
    }
}

/// # Safety
/// `first` is null, or points to `count` pointers that stay as they are while the slice is used.
unsafe fn list<'a, T>(first: *mut *const T, count: usize) -> &'a [*const T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(first, count) }
}

fn code(answer: c::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match RDKafkaErrorCode::from(answer) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code),
    }
}
