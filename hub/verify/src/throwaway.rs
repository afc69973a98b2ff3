//! A lake that lives as long as one command: what `minqiao verify --from-folder` reads a case folder into.
//!
//! The rows take the way of all rows: sealed, over a bus, through the lake's writer. Only the bus is in memory and
//! nothing is flushed, because the directory is deleted afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use minqiao_bus::{Bus, BusError, Headers, MemoryBus, Message, Span};
use minqiao_core::{BatchEnvelope, BatchId, Clock, Kind, KindOf, ProviderCode};
use minqiao_lake::{Lake, LakeError, LakeOptions, LakeWriter};
use minqiao_schemas::Catalogue;
use minqiao_vault::{Sealer, VaultError};
use tokio_util::sync::CancellationToken;

use crate::folder::ItemRows;
use crate::sealing::sealed;

/// Rows of one message: far below the bus's limit of one MiB even for the widest item.
const MESSAGE_ROWS: usize = 256;
/// How long the writer may take for everything.
const DEADLINE: Duration = Duration::from_secs(600);

/// The rows could not be brought into a lake.
#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    /// Sealing failed.
    #[error("rows cannot be sealed")]
    Seal(#[from] VaultError),
    /// The bus failed.
    #[error("rows cannot be put on the bus")]
    Bus(#[from] BusError),
    /// The lake failed.
    #[error("rows cannot be written to the lake")]
    Lake(#[from] LakeError),
    /// A batch cannot be encoded.
    #[error("rows cannot be encoded")]
    Encode(#[from] arrow::error::ArrowError),
    /// The writer's task ended early.
    #[error("the writer of the lake ended early")]
    Writer,
}

impl KindOf for ThrowawayError {
    fn kind(&self) -> Kind {
        match self {
            Self::Seal(error) => error.kind(),
            Self::Bus(error) => error.kind(),
            Self::Lake(error) => error.kind(),
            Self::Encode(_) | Self::Writer => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Seal(error) => error.code(),
            Self::Bus(error) => error.code(),
            Self::Lake(error) => error.code(),
            Self::Encode(_) | Self::Writer => "verification_failed",
        }
    }
}

/// Seals the rows of a folder into a new lake below a directory. Must run on a multi-threaded runtime.
pub async fn lake_of(
    rows: &[ItemRows],
    sealer: &Sealer,
    directory: &Path,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Lake>, ThrowawayError> {
    let options = LakeOptions { batch_delay: Duration::ZERO, sync: false, ..LakeOptions::default() };
    let registry = prometheus::Registry::new();
    let lake = Lake::open_local(directory, Catalogue::embedded(), options, Arc::clone(&clock), &registry).await?;
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    for of_item in rows {
        append(bus.as_ref(), of_item, sealer, clock.as_ref()).await?;
    }
    let (writer, cancel) = (LakeWriter::new(Arc::clone(&lake)), CancellationToken::new());
    let running = {
        let (writer, bus, cancel) = (writer.clone(), Arc::clone(&bus), cancel.clone());
        tokio::spawn(async move { writer.run(bus, cancel).await })
    };
    let waited = writer.wait_for_all(bus.as_ref(), DEADLINE).await;
    cancel.cancel();
    running.await.map_err(|_| ThrowawayError::Writer)??;
    waited?;
    Ok(lake)
}

async fn append(bus: &dyn Bus, rows: &ItemRows, sealer: &Sealer, clock: &dyn Clock) -> Result<(), ThrowawayError> {
    let provider = format!("{}.000000", rows.item.department);
    let head = BatchEnvelope {
        provider: ProviderCode::new(provider).expect("department codes are short ASCII words"),
        batch_id: BatchId::new("case-folder").expect("a short ASCII word"),
        received_at: clock.now(),
    };
    let topic = format!("minqiao.{}", rows.item.code);
    bus.ensure_topic(&topic, 1).await?;
    let mut first_row = 0u32;
    for batch in sealed(sealer, rows, &head)? {
        let mut at = 0;
        while at < batch.num_rows() {
            let part = batch.slice(at, MESSAGE_ROWS.min(batch.num_rows() - at));
            at += part.num_rows();
            let rows_in = part.num_rows() as u32;
            let headers = Headers {
                item: rows.item.code.clone(),
                catalogue_version: rows.item.catalogue_version.clone(),
                batch_id: head.batch_id.to_string(),
                provider: head.provider.to_string(),
                span: Span { first_row, rows: rows_in },
                epoch: 0,
            };
            first_row += rows_in;
            bus.append(&topic, 0, vec![Message { headers, payload: encoded(&part)?.into() }]).await?;
        }
    }
    Ok(())
}

fn encoded(batch: &RecordBatch) -> Result<Vec<u8>, arrow::error::ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(batch)?;
    writer.finish()?;
    writer.into_inner()
}
