//! A container of a Docker Engine.
//!
//! # Shape
//! ```text
//! image ── once per lease ──► <data>/root/… ── bound into ──► container (root read-only, /tmp and /run in memory)
//!                                                                 │ started by the agent alone
//! grant ── user, password, by standard input ─────────────────────┘ once per start
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | what may be configured |
//! | `engine` | reaches the engine; a limit for every call |
//! | `owned` | which containers are this device's, and ending them |
//! | `image` | fetches the image |
//! | `seed` | fills the writable directories of the volume, once |
//! | `spec` | what the container is made of |
//! | `login` | the renter's user and password |
//! | `offer` | where its services are |
//! | `advice` | what stands in the way |
//!
//! # Correctness
//! Nothing is remembered that is not also readable from the engine's labels and the volume, but the last login: forgetting
//! it sets the same login again. So every call may be given up at any point, the agent killed or the engine restarted,
//! and the call made again. A container of another lease of this device that runs is an error, never a neighbour.
//! Containers without this device's labels are never started, stopped or removed.
//!
//! # Limits
//! `/run` starts empty: an image whose sshd wants `/run/sshd` makes it in its command. Registries that ask for a password
//! are not supported: load such images by hand.

mod advice;
pub mod config;
mod engine;
mod image;
mod login;
mod offer;
mod owned;
mod seed;
mod spec;
mod start;

use async_trait::async_trait;
use domain::{
    id::{DeviceId, Epoch},
    key::Digest,
    wire::StepResult,
};
use tracing::{info, warn};

pub use config::DockerConfig;
pub use engine::Patience;
use engine::{Engine, Failure};
use owned::{Owned, Role};

use super::{Services, Tenancy, Workload, WorkloadError};

/// Runs a container for renters.
#[derive(Debug)]
pub struct Docker {
    config: DockerConfig,
    patience: Patience,
    /// Whether the engine brings a process that reaps and passes signals on.
    init: bool,
    writing: seed::Writing,
    login: Option<Login>,
}

/// The last login set, and in which run of which container.
#[derive(Debug, PartialEq, Eq)]
struct Login {
    container: String,
    started_at: String,
    login: Digest,
}

impl Docker {
    /// Runs what `config` says; the engine is not reached before it is needed.
    #[must_use]
    pub fn new(config: DockerConfig) -> Self {
        Self::with_patience(config, Patience::default())
    }

    /// As [`Docker::new`], with other limits for the engine's answers.
    #[must_use]
    pub fn with_patience(config: DockerConfig, patience: Patience) -> Self {
        Self { config, patience, init: true, writing: seed::Writing::default(), login: None }
    }

    async fn reach(&self) -> Result<Engine, Failure> {
        Engine::reach(&self.config, self.patience).await
    }

    /// This lease's container if it fits; everything else of this device that may go is removed.
    async fn choose(&self, engine: &Engine, tenancy: &Tenancy<'_>) -> Result<Option<Owned>, Failure> {
        let (device, epoch) = (tenancy.device, tenancy.epoch);
        let mut all = owned::list(engine, device).await?;
        if let Some(other) = all.iter().find(|c| c.runs() && c.epoch != epoch) {
            return Err(Failure::new(format!(
                "container {} of lease {} still runs; lease {epoch} starts only after that one is erased",
                other.name, other.epoch
            )));
        }
        if let Some(later) = all.iter().find(|c| c.epoch > epoch) {
            return Err(Failure::new(format!(
                "container {} belongs to the later lease {}; it is left alone and lease {epoch} is not started",
                later.name, later.epoch
            )));
        }
        let spec = spec::digest(&self.config, tenancy);
        let fits = |c: &Owned| {
            c.epoch == epoch && c.role == Role::Workload && c.spec.as_ref() == Some(&spec) && c.is_usable()
        };
        // A running one is preferred.
        all.sort_by_key(|c| !c.runs());
        let chosen = all.iter().position(fits).map(|i| all.remove(i));
        for leftover in all {
            if leftover.runs() {
                warn!(%device, epoch, container = leftover.name, "made from another configuration: it is replaced");
                owned::stop(engine, &leftover, self.config.stop_grace_s).await?;
            }
            owned::remove(engine, device, &leftover).await?;
            info!(%device, epoch = leftover.epoch, container = leftover.name, "removed a leftover");
        }
        Ok(chosen)
    }

    /// Sets the login if this run of the container does not have it yet.
    async fn log_in(&mut self, engine: &Engine, id: &str, tenancy: &Tenancy<'_>) -> Result<(), Failure> {
        let state = start::state(engine, id).await?;
        let secret = format!("{}\n{}", tenancy.user, tenancy.password);
        let login = Login {
            container: id.to_owned(),
            started_at: state.started_at.unwrap_or_default(),
            login: Digest::of(secret.as_bytes()),
        };
        if self.login.as_ref() == Some(&login) {
            return Ok(());
        }
        self.login = None;
        if let Err(failure) = login::set(engine, id, tenancy).await {
            // The reason may be that it ended.
            return Err(start::ended(engine, id).await?.unwrap_or(failure));
        }
        info!(device = %tenancy.device, epoch = tenancy.epoch, "the renter's login is set");
        self.login = Some(login);
        Ok(())
    }
}

#[async_trait]
impl Workload for Docker {
    fn kind(&self) -> &'static str {
        "docker"
    }

    async fn run(&mut self, tenancy: &Tenancy<'_>) -> Result<(), WorkloadError> {
        login::check(tenancy)?;
        let engine = self.reach().await?;
        let id = match self.choose(&engine, tenancy).await? {
            Some(container) if container.runs() => {
                start::unpause(&engine, &container).await?;
                container.id
            }
            Some(container) => self.start(&engine, tenancy, container.id).await?,
            None => {
                let id = self.create(&engine, tenancy).await?;
                self.start(&engine, tenancy, id).await?
            }
        };
        Ok(self.log_in(&engine, &id, tenancy).await?)
    }

    async fn stop(&mut self, device: DeviceId) -> Result<(), WorkloadError> {
        let engine = self.reach().await?;
        drop(seed::hold(&engine, &self.writing).await?);
        for container in owned::list(&engine, device).await? {
            // Asked one by one, the engine first finishes a start that was given up.
            if container.runs() || start::runs(&engine, &container.id).await? {
                owned::stop(&engine, &container, self.config.stop_grace_s).await?;
                info!(%device, epoch = container.epoch, container = container.name, "stopped");
            }
        }
        if owned::is_settled(&engine, device, |all| !all.iter().any(Owned::runs)).await? {
            return Ok(());
        }
        Err(WorkloadError("a container of this device still runs; look at: docker ps".into()))
    }

    async fn remove(
        &mut self,
        device: DeviceId,
        epoch: Epoch,
    ) -> Result<(StepResult, String), WorkloadError> {
        let engine = self.reach().await?;
        drop(seed::hold(&engine, &self.writing).await?);
        let mut removed = Vec::new();
        for container in owned::list(&engine, device).await?.into_iter().filter(|c| c.epoch <= epoch) {
            owned::remove(&engine, device, &container).await?;
            info!(%device, epoch = container.epoch, container = container.name, "removed");
            removed.push(container.name);
        }
        if let Some(left) = owned::list(&engine, device).await?.iter().find(|c| c.epoch <= epoch) {
            let name = &left.name;
            return Err(WorkloadError(format!(
                "container {name} is back; remove it with: docker rm -f {name}"
            )));
        }
        self.login = None;
        Ok(match removed.as_slice() {
            [] => (StepResult::NothingThere, "there was no container".into()),
            names => (StepResult::Done, format!("killed and removed {}", names.join(", "))),
        })
    }

    async fn running(&mut self, device: DeviceId) -> Option<Epoch> {
        let engine = self.reach().await.ok()?;
        let all = owned::list(&engine, device).await.ok()?;
        all.iter().filter(|c| c.runs()).map(|c| c.epoch).max()
    }

    async fn services(&mut self, device: DeviceId) -> Result<Services, WorkloadError> {
        let engine = self.reach().await?;
        let all = owned::list(&engine, device).await?;
        match all.into_iter().find(|c| c.runs() && c.role == Role::Workload) {
            Some(container) => Ok(offer::of(&engine, &container.id, &self.config).await?),
            None => Ok(Services::default()),
        }
    }

    async fn problems(&mut self) -> Vec<String> {
        advice::problems(&self.config, self.patience).await
    }
}
