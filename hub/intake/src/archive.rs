//! Where the versions are whose messages were removed from the bus: the lake, as the index of versions sees it.

use std::fmt;

use arrow::array::{AsArray, RecordBatch};
use async_trait::async_trait;
use futures::stream::BoxStream;
use minqiao_bus::{Fence, TopicInfo};
use minqiao_schemas::envelope;

use crate::IntakeError;
use crate::known::BatchTag;

/// Where the versions are whose messages were removed from the bus.
#[async_trait]
pub trait Archive: Send + Sync + fmt::Debug {
    /// By partition of an item's topic: the position before which it holds everything that counts, and the fence there.
    async fn reached(&self, item: &str, topic: &TopicInfo) -> Result<Vec<(u64, Fence)>, ArchiveError>;

    /// Every version of an item: the envelope's columns that tell versions apart, provider and batch id, typed as on the
    /// bus. At least what stands before positions that were answered earlier.
    async fn versions(&self, item: &str)
    -> Result<BoxStream<'static, Result<RecordBatch, ArchiveError>>, ArchiveError>;
}

/// An archive's own error.
pub type ArchiveError = Box<dyn std::error::Error + Send + Sync>;

/// Tags of archived rows, row by row.
pub(crate) fn tags(archived: &RecordBatch) -> Result<impl Iterator<Item = BatchTag>, IntakeError> {
    let damaged = || IntakeError::Known { what: "an archived version lacks its envelope", source: None };
    let column = |name: &str| archived.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).cloned();
    let providers = column(envelope::PROVIDER_CODE).ok_or_else(damaged)?;
    let batches = column(envelope::BATCH_ID).ok_or_else(damaged)?;
    Ok((0..archived.num_rows()).map(move |row| BatchTag::of(providers.value(row), batches.value(row))))
}
