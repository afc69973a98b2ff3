//! The lake as the archive of versions that retention removed from the log.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use minqiao_bus::{Fence, TopicInfo};
use minqiao_intake::{Archive, ArchiveError};
use minqiao_lake::Lake;

/// See the module.
#[derive(Debug)]
pub(crate) struct LakeArchive(pub(crate) Arc<Lake>);

#[async_trait]
impl Archive for LakeArchive {
    async fn reached(&self, item: &str, topic: &TopicInfo) -> Result<Vec<(u64, Fence)>, ArchiveError> {
        Ok(self.0.reached(item, topic).await?)
    }

    async fn versions(
        &self,
        item: &str,
    ) -> Result<BoxStream<'static, Result<RecordBatch, ArchiveError>>, ArchiveError> {
        Ok(self.0.envelopes(item).await?.map(|rows| Ok(rows?)).boxed())
    }
}
