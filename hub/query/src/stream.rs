//! The rows of an answer on their way to a door.
//!
//! The query runs in a task of its own and hands batches over a channel of two, so a slow reader slows the query and
//! nothing piles up. Dropping the stream cancels the query. The end of the stream comes after the closing audit record.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::error::QueryError;

/// Batches under way at the same time.
pub(crate) const BATCHES_UNDER_WAY: usize = 2;

/// What the running query tells the stream.
#[derive(Debug)]
pub(crate) enum Message {
    Batch(RecordBatch),
    Failed(QueryError),
    Complete,
}

/// An answer: its schema, and its batches as they come.
#[derive(Debug)]
pub struct QueryStream {
    request_id: String,
    schema: SchemaRef,
    messages: mpsc::Receiver<Message>,
    over: bool,
}

impl QueryStream {
    pub(crate) fn new(request_id: String, schema: SchemaRef, messages: mpsc::Receiver<Message>) -> Self {
        Self { request_id, schema, messages, over: false }
    }

    /// Columns with their labels (`label_zh`) in the metadata of the fields.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// As asked with.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// All batches at once; the limits of the service bound them.
    pub async fn collect_batches(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let Poll::Ready(message) = self.messages.poll_recv(cx) else { return Poll::Pending };
        Poll::Ready(match message {
            Some(Message::Batch(batch)) => Some(Ok(batch)),
            Some(Message::Complete) => {
                self.over = true;
                None
            }
            Some(Message::Failed(why)) => {
                self.over = true;
                Some(Err(why))
            }
            None => {
                self.over = true;
                Some(Err(QueryError::Internal))
            }
        })
    }
}
