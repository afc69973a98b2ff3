//! The lake that the configuration asks for.

use std::sync::Arc;

use anyhow::Context;
use minqiao_core::Clock;
use minqiao_lake::{Lake, LakeOptions, Location};
use minqiao_schemas::Catalogue;
use prometheus::Registry;

use crate::config::{Config, LakePlace};

/// Opens the lake. The point index is below the data folder, wherever the tables are.
pub async fn open(
    config: &Config,
    catalogue: &Catalogue,
    options: LakeOptions,
    clock: Arc<dyn Clock>,
    registry: &Registry,
) -> anyhow::Result<Arc<Lake>> {
    open_at(config, location(config).await?, catalogue, options, clock, registry).await
}

/// The same for a place that is known.
pub async fn open_at(
    config: &Config,
    location: Location,
    catalogue: &Catalogue,
    options: LakeOptions,
    clock: Arc<dyn Clock>,
    registry: &Registry,
) -> anyhow::Result<Arc<Lake>> {
    let index = config.lake_index();
    Lake::open_at(location, &index, catalogue, options, clock, registry).await.context("cannot open the lake")
}

/// Where the tables are; an object store has proved by then that it keeps its promise.
pub async fn location(config: &Config) -> anyhow::Result<Location> {
    match config.lake_place()? {
        LakePlace::Folder(folder) => {
            Location::local(&folder).with_context(|| format!("cannot open the lake in `{}`", folder.display()))
        }
        LakePlace::S3(options) => {
            Location::s3(&options).await.with_context(|| format!("cannot open the lake at `{}`", options.url()))
        }
    }
}
