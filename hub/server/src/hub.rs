//! The hub in one process: opens the parts in the order they stand on each other, runs what must run, and takes it all
//! down in the opposite order, each participant by name.
//!
//! ```text
//! open:  vault → store → audit → bus → other hubs → lake → intake → policy → sql, verifications
//! stop:  readiness off → doors drain → writer commits what was fetched → upkeep → intake ends → leave the others → audit
//!        → bus → store
//! ```
//!
//! Every process opens all parts; its roles decide which doors it opens and what it does beside them.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use minqiao_bus::Bus;
use minqiao_core::Clock;
use minqiao_doors::access::AccessList;
use minqiao_doors::evidence::QueryEvidence;
use minqiao_doors::feeds::{FeedMetrics, FeedParts, Feeds};
use minqiao_doors::http::{self, Access};
use minqiao_doors::metrics::DoorMetrics;
use minqiao_doors::operations::{self, Check, Health};
use minqiao_doors::serve::{ServeOptions, serve};
use minqiao_doors::state::{AppState, UserLimit};
use minqiao_doors::tls::server_config;
use minqiao_doors::verification::Verifications;
use minqiao_intake::{Intake, IntakeLimits, IntakeOptions, IntakeParts, KnownOptions, KnownVersions};
use minqiao_lake::{Lake, LakeOptions, LakeWriter};
use minqiao_policy::{Policy, PolicySource};
use minqiao_query::{Limits as QueryLimits, QueryParts, Sealing, SqlService};
use minqiao_schemas::Catalogue;
use minqiao_store::{AuditLog, AuditOptions, Membership, Store};
use minqiao_vault::{Vault, VaultOptions};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::archive::LakeArchive;
use crate::back_pressure::BackPressure;
use crate::certificates::secret_folder;
use crate::cluster;
use crate::config::{Config, Role};
use crate::views;

/// Every part, open and wired. Commands use the parts they need; [`Hub::start`] makes it serve.
#[derive(Debug)]
pub struct Hub {
    /// What is in force.
    pub config: Config,
    /// Time of this hub.
    pub clock: Arc<dyn Clock>,
    /// The items.
    pub catalogue: &'static Catalogue,
    /// Keys.
    pub vault: Vault,
    /// Operational state.
    pub store: Store,
    /// Evidence.
    pub audit: Arc<AuditLog>,
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// The tables.
    pub lake: Arc<Lake>,
    /// From the log to the tables.
    pub writer: LakeWriter,
    /// From a request to a receipt.
    pub intake: Arc<Intake>,
    /// Who may see what.
    pub policy: Arc<Policy>,
    /// Answers SQL.
    pub sql: SqlService,
    /// What departments read.
    pub feeds: Feeds,
    /// Verifies households.
    pub verifications: Arc<Verifications>,
    /// Other hubs of the city, if there may be any.
    pub membership: Option<Arc<Membership>>,
    /// Who may come in.
    pub access: Arc<AccessList>,
    /// Metrics of this process.
    pub registry: Registry,
    doors: DoorMetrics,
}

/// A hub that serves.
#[derive(Debug)]
pub struct Running {
    /// The parts.
    pub hub: Arc<Hub>,
    /// Where the public port is.
    pub http: SocketAddr,
    /// Where probes and metrics are.
    pub operations: SocketAddr,
    health: Arc<Health>,
    doors: Task,
    probes: Task,
    /// In the order in which they end.
    work: Vec<Task>,
}

#[derive(Debug)]
struct Task {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Task {
    fn spawn<F>(name: &'static str, run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        Self { name, task: tokio::spawn(run(stop.clone())), stop }
    }

    /// For readiness: whether it runs, under its name.
    fn alive(&self) -> Check {
        let task = self.task.abort_handle();
        (self.name, Box::new(move || !task.is_finished()))
    }

    async fn end(self, within: Duration) {
        self.stop.cancel();
        match tokio::time::timeout(within, self.task).await {
            Ok(Ok(())) => tracing::debug!(part = self.name, "ended"),
            Ok(Err(_)) => tracing::error!(part = self.name, "panicked"),
            Err(_) => tracing::warn!(part = self.name, "did not end in time"),
        }
    }
}

impl Hub {
    /// Opens the parts below `config.data_dir`. Fails when another hub has it open.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Self>> {
        let catalogue = Catalogue::try_embedded().map_err(|error| anyhow::anyhow!("{error}"))?;
        secret_folder(&config.data_dir)
            .with_context(|| format!("cannot make the data folder `{}`", config.data_dir.display()))?;
        let registry = Registry::new();
        build_info(&registry)?;
        let vault = Vault::open(VaultOptions::at(config.keys())).context("cannot open the key ring")?;
        let store = Store::open(config.store_options()?).await.context("cannot open the operational store")?;
        let audit = AuditLog::open(store.clone(), vault.signer(), clock.clone(), AuditOptions::default())
            .await
            .context("cannot open the audit chain")?;
        let audit = Arc::new(audit);
        let bus = crate::bus::open(&config, &registry).await?;
        let options = LakeOptions {
            batch_delay: config.lake.commit_every.0,
            maintain_every: config.lake.compact_every.0,
            ..LakeOptions::default()
        };
        let location = crate::lake::location(&config).await?;
        let membership = if config.is_shared() {
            let lake = location.identity().await.context("cannot read the lake's identity")?;
            cluster::agree(&store, &vault, &lake).await?;
            // A guest until it serves: commands do no hub's work.
            let entered = Membership::enter(store.clone(), "").await;
            Some(Arc::new(entered.context("cannot enter among the hubs of the city")?))
        } else {
            None
        };
        let lake = crate::lake::open_at(&config, location, catalogue, options, clock.clone(), &registry).await?;
        let writer = LakeWriter::new(lake.clone());
        let known = KnownVersions::open(
            KnownOptions::at(config.below_data("known")),
            Some(Arc::new(LakeArchive(lake.clone()))),
        )
        .context("cannot open the index of versions")?;
        let options = IntakeOptions {
            limits: IntakeLimits {
                body_bytes_max: config.limits.body_bytes_max.0,
                rows_max: config.limits.batch_rows_max,
                ..IntakeLimits::default()
            },
            city: config.city.map(|city| city.to_string()),
            partitions: config.bus.partitions,
            rows_per_second: config.limits.provider_rows_per_second,
            ..IntakeOptions::default()
        };
        let parts = IntakeParts {
            vault: vault.clone(),
            bus: bus.clone(),
            store: store.clone(),
            known,
            membership: membership.clone(),
            clock: clock.clone(),
        };
        let intake = Intake::open(parts, options, &registry).await.context("cannot open the intake")?;
        let intake = Arc::new(intake);
        let policy = Arc::new(open_policy(config.access.policies.as_deref(), catalogue)?);
        let sql = SqlService::new(QueryParts {
            base: lake.clone(),
            catalogue,
            policy: policy.clone(),
            sealing: Sealing::of(&vault),
            limits: QueryLimits {
                rows_max: config.limits.query_rows_max as u64,
                query_memory_bytes: config.limits.query_memory_max.0,
                timeout: config.limits.query_timeout.0,
                ..QueryLimits::default()
            },
            audit: Arc::new(QueryEvidence(audit.clone())),
            clock: clock.clone(),
            system: views::all(store.clone(), audit.clone()),
        })
        .context("cannot start the SQL service")?;
        let verifications = Verifications::open(
            lake.clone(),
            vault.clone(),
            store.clone(),
            audit.clone(),
            clock.clone(),
            &config.parameters(),
        )
        .context("cannot read the parameters of the rules")?;
        let feeds = Feeds::new(FeedParts {
            sql: sql.clone(),
            lake: lake.clone(),
            bus: bus.clone(),
            store: store.clone(),
            audit: audit.clone(),
            vault: vault.clone(),
            clock: clock.clone(),
            catalogue,
            metrics: FeedMetrics::register(&registry)?,
            limits: config.feeds.limits(),
        });
        let list = config.access_list();
        let access = match std::fs::exists(&list) {
            Ok(true) => AccessList::load(&list)?,
            _ => AccessList::default(),
        };
        let doors = DoorMetrics::register(&registry)?;
        Ok(Arc::new(Self {
            config,
            clock,
            catalogue,
            vault,
            store,
            audit,
            bus,
            lake,
            writer,
            intake,
            policy,
            sql,
            feeds,
            verifications: Arc::new(verifications),
            membership,
            access: Arc::new(access),
            registry,
            doors,
        }))
    }

    /// Serves on the configured ports until [`Running::stop`].
    pub async fn start(self: Arc<Self>) -> anyhow::Result<Running> {
        let tls = server_config(&self.config.tls_files())?;
        let listen = |address: SocketAddr| async move {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; is the port taken?"))
        };
        let public = listen(self.config.http.listen).await?;
        let private = listen(self.config.operations.listen).await?;
        let (http_address, operations_address) = (public.local_addr()?, private.local_addr()?);

        let work = self.work().await?;
        let health = Health::new(work.iter().map(Task::alive).collect());
        let probe_router = operations::router(health.clone(), self.registry.clone());
        let probes = Task::spawn("probes", |stop| serve(private, None, probe_router, ServeOptions::default(), stop));
        let state = AppState {
            catalogue: self.catalogue,
            access: self.access.clone(),
            intake: self.intake.clone(),
            sql: self.sql.clone(),
            feeds: self.feeds.clone(),
            verifications: self.verifications.clone(),
            store: self.store.clone(),
            vault: self.vault.clone(),
            audit: self.audit.clone(),
            clock: self.clock.clone(),
            metrics: self.doors.clone(),
            user_limit: Arc::new(UserLimit::per_minute(
                NonZeroU32::new(self.config.limits.user_queries_per_minute).unwrap_or(NonZeroU32::MIN),
            )),
        };
        let options = ServeOptions {
            connections_max: self.config.http.connections_max,
            drain_timeout: self.config.http.drain.0,
            ..ServeOptions::default()
        };
        let roles = self.config.roles.clone();
        let serves = move |access| match access {
            Access::Public => true,
            Access::Connector | Access::Reader => roles.has(Role::Gateway),
            Access::User => roles.has(Role::Query),
        };
        let body_bytes_max = self.config.limits.body_bytes_max.0;
        let doors = Task::spawn("doors", |stop| {
            let feeds = state.feeds.clone().until(stop.clone());
            let router = http::router(AppState { feeds, ..state }, body_bytes_max, serves);
            serve(public, Some(tls), router, options, stop)
        });
        health.started();
        tracing::info!(http = %http_address, operations = %operations_address, "serving");
        Ok(Running { hub: self, http: http_address, operations: operations_address, health, doors, probes, work })
    }

    /// Starts what runs beside the doors, as the roles say.
    async fn work(&self) -> anyhow::Result<Vec<Task>> {
        let mut work = Vec::new();
        let roles = &self.config.roles;
        if let Some(membership) = &self.membership {
            membership.announce(&roles.to_string()).await.context("the operational store does not answer")?;
            let figures = cluster::Figures::register(&self.registry)?;
            let (view, lake) = (membership.view(), self.lake.clone());
            cluster::take_share(&view, &lake, &figures);
            let membership = membership.clone();
            work.push(Task::spawn("share", |stop| cluster::keep_share(membership, lake, figures, stop)));
            let (lake, every) = (self.lake.clone(), self.config.lake.follow_every.0);
            if roles.has(Role::Writer) || roles.has(Role::Query) {
                work.push(Task::spawn("lake follower", |stop| async move { lake.run_follow(every, stop).await }));
            }
        }
        if roles.has(Role::Gateway) {
            let (intake, lake, bus) = (self.intake.clone(), self.lake.clone(), self.bus.clone());
            let limit = self.config.limits.lake_behind_messages_max;
            let pressure = BackPressure::new(intake, lake, bus, limit, &self.registry)?;
            work.push(Task::spawn("back-pressure", |stop| pressure.run(stop)));
        }
        if roles.has(Role::Writer) {
            let (writer, bus, lake) = (self.writer.clone(), self.bus.clone(), self.lake.clone());
            work.push(Task::spawn("lake writer", |stop| async move {
                if let Err(error) = writer.run(bus, stop).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "the lake writer ended");
                }
            }));
            if let Some(hours) = self.config.bus.retention_hours {
                let (lake, bus, keep) = (self.lake.clone(), self.bus.clone(), Duration::from_hours(hours.into()));
                work.push(Task::spawn("retention", |stop| async move { lake.run_expiry(bus, keep, stop).await }));
            }
            work.push(Task::spawn("lake upkeep", |stop| async move { lake.run_upkeep(stop).await }));
        }
        Ok(work)
    }

    /// Closes what was opened, for commands that did not serve.
    pub async fn close(&self) {
        if let Err(error) = self.intake.close().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the intake did not close");
        }
        if let Some(membership) = &self.membership
            && let Err(error) = membership.leave().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "this hub did not leave; others will notice");
        }
        if let Err(error) = self.audit.close().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the audit chain did not close");
        }
        if let Err(error) = self.bus.close().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the bus did not close");
        }
        self.store.close().await;
    }
}

impl Running {
    /// Drains and closes everything, in order.
    pub async fn stop(self) {
        self.health.drain();
        let drain = self.hub.config.http.drain.0;
        self.doors.end(drain + Duration::from_secs(5)).await;
        for task in self.work {
            task.end(Duration::from_secs(30)).await;
        }
        self.hub.close().await;
        self.probes.end(Duration::from_secs(2)).await;
        tracing::info!("stopped");
    }
}

fn open_policy(folder: Option<&Path>, catalogue: &Catalogue) -> anyhow::Result<Policy> {
    let source = match folder {
        Some(folder) => PolicySource::from_dir(folder)?,
        None => PolicySource::embedded(),
    };
    Policy::load(&source, catalogue).context("the policies were refused; `minqiao policy check` lists every mistake")
}

fn build_info(registry: &Registry) -> anyhow::Result<()> {
    let info = prometheus::IntGaugeVec::new(
        prometheus::Opts::new("minqiao_build_info", "Version of the running hub; always 1."),
        &["version"],
    )?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(info))?;
    Ok(())
}
