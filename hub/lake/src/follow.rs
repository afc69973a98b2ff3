//! Following a lake that other processes write.
//!
//! Every table is asked for its next log entry from time to time; new files enter the point index of this process, files
//! that left the tables leave it. Reads see the newest state that was brought in, never a half of a commit.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use crate::LakeError;
use crate::compact::add_missing;
use crate::files::FilePlace;
use crate::index::file_id;
use crate::lake::Lake;
use crate::snapshot::{ItemTables, Picture};
use crate::table::TableState;

/// Tables asked at the same time: a store in the network takes its time to answer.
const ASKED_AT_ONCE: usize = 16;

impl Lake {
    /// Brings in what other processes commit, every `every`, until `cancel`. Items that this process writes itself are
    /// left out. Failures are logged and tried again.
    pub async fn run_follow(&self, every: Duration, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            if let Err(error) = self.follow().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the lake cannot be followed, trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = cancel.cancelled() => {}
            }
        }
    }

    /// One look at every item that another process writes.
    pub async fn follow(&self) -> Result<(), LakeError> {
        let others: Vec<_> =
            self.items.values().filter(|tables| !self.writes(&tables.layout.code)).map(Arc::clone).collect();
        futures::stream::iter(others)
            .map(|tables| async move { self.follow_item(&tables).await })
            .buffer_unordered(ASKED_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn follow_item(&self, tables: &Arc<ItemTables>) -> Result<(), LakeError> {
        let before = Picture::take(tables);
        // Changes first: `current` then never lacks the rows that its files are folded from.
        let moved = tables.changes.refresh().await? | tables.current.refresh().await?;
        for table in [&tables.changes, &tables.current] {
            table.forget_retired(self.clock.monotonic(), self.options.retention);
        }
        if !moved {
            return Ok(());
        }
        let now = Picture::take(tables);
        let changes = added(&before.changes, &now.changes).map(|file| now.place_changes(file));
        let current = added(&before.current, &now.current).map(|file| now.place_current(file));
        let places: Vec<FilePlace> = changes.chain(current).collect();
        let gone = added(&now.changes, &before.changes).chain(added(&now.current, &before.current));
        let gone: Vec<_> = gone.filter_map(|file| file_id(&file.path)).collect();
        let (index, scans, layout) = (Arc::clone(&self.index), Arc::clone(&self.scans), Arc::clone(&tables.layout));
        let indexing = tokio::task::spawn_blocking(move || {
            add_missing(&index, &layout, &scans, &places)?;
            // A picture that still holds one of them searches the file itself.
            gone.iter().try_for_each(|file| index.remove(layout.no, file))
        });
        indexing.await.map_err(|_| LakeError::Task)??;
        self.show_files(tables);
        Ok(())
    }
}

/// Files of the second state that the first does not have.
fn added<'a>(
    before: &'a TableState,
    after: &'a TableState,
) -> impl Iterator<Item = Arc<crate::table::DataFile>> + use<'a> {
    after.files.iter().filter(|(path, _)| !before.files.contains_key(*path)).map(|(_, file)| Arc::clone(file))
}
