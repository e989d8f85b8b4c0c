//! Making a lease's container and starting it.

use bollard::{
    models::{ContainerState, ContainerSummaryStateEnum as State},
    query_parameters::CreateContainerOptionsBuilder,
};
use tracing::{info, warn};

use super::{
    Docker,
    engine::{Engine, Failure},
    image,
    owned::{self, Owned, Role},
    seed, spec,
};
use crate::workload::Tenancy;

/// The process that the engine puts in front of the image's own.
const INIT_PROGRAM: &str = "docker-init";

impl Docker {
    /// Makes the container, out of an image and a filled volume; it does not run yet.
    pub(super) async fn create(&self, engine: &Engine, tenancy: &Tenancy<'_>) -> Result<String, Failure> {
        let name = owned::name(tenancy.device, tenancy.epoch, Role::Workload);
        let image = image::ensure(engine, &self.config).await?;
        let directories = seed::directories(&self.config, &image)?;
        seed::ensure(engine, tenancy, &image, &directories, &self.writing).await?;
        let about = engine.call("describe itself", engine.docker().info()).await?;
        let memory = spec::memory(&self.config, about.mem_total.unwrap_or(0));
        let mounts = seed::mounts(tenancy.data, &directories);
        let body = spec::body(&self.config, tenancy, &image.id, mounts, memory, self.init);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let creation = engine.docker().create_container(Some(options), body);
        let created = match engine.call(&format!("create {name}"), creation).await {
            Ok(created) => created,
            Err(failure) => return Err(self.refused(engine, tenancy, &name, failure).await?),
        };
        for warning in created.warnings {
            warn!(device = %tenancy.device, epoch = tenancy.epoch, warning, "the container engine warns");
        }
        info!(device = %tenancy.device, epoch = tenancy.epoch, container = name, "created");
        Ok(created.id)
    }

    async fn refused(
        &self,
        engine: &Engine,
        tenancy: &Tenancy<'_>,
        name: &str,
        failure: Failure,
    ) -> Result<Failure, Failure> {
        if failure.is_conflict() {
            let all = owned::list(engine, tenancy.device).await?;
            if all.iter().any(|ours| ours.name == name) {
                // An earlier call that was given up made it meanwhile.
                return Ok(Failure::new(format!(
                    "container {name} was just made by an earlier try; try again"
                )));
            }
            return Ok(Failure::new(format!(
                "a container named {name} is there already and does not carry this device's labels, so it is left alone; rename it with: docker rename {name} {name}-old"
            )));
        }
        if failure.said.contains("No command specified") {
            return Ok(Failure::new(format!(
                "image {} does not say what to run; set \"command\"",
                self.config.image
            )));
        }
        Ok(failure)
    }

    /// Starts it; without the engine's init program when that is not installed.
    pub(super) async fn start(
        &mut self,
        engine: &Engine,
        tenancy: &Tenancy<'_>,
        mut id: String,
    ) -> Result<String, Failure> {
        let mut started = try_start(engine, &id).await;
        if self.init && started.as_ref().is_err_and(|failure| failure.said.contains(INIT_PROGRAM)) {
            warn!("the container engine has no {INIT_PROGRAM}; renters' containers run without");
            self.init = false;
            for unfit in owned::list(engine, tenancy.device).await?.iter().filter(|c| c.id == id) {
                owned::remove(engine, tenancy.device, unfit).await?;
            }
            id = self.create(engine, tenancy).await?;
            started = try_start(engine, &id).await;
        }
        started?;
        info!(device = %tenancy.device, epoch = tenancy.epoch, "started");
        Ok(id)
    }
}

async fn try_start(engine: &Engine, id: &str) -> Result<(), Failure> {
    engine.call("start the renter's container", engine.docker().start_container(id, None)).await
}

/// Lets a container go on that somebody froze.
pub(super) async fn unpause(engine: &Engine, container: &Owned) -> Result<(), Failure> {
    if container.state != State::PAUSED {
        return Ok(());
    }
    warn!(epoch = container.epoch, container = container.name, "it was paused; it goes on");
    let what = format!("unpause {}", container.name);
    engine.call(&what, engine.docker().unpause_container(&container.id)).await
}

/// The state of a container's current run.
pub(super) async fn state(engine: &Engine, id: &str) -> Result<ContainerState, Failure> {
    let seen =
        engine.call("look at the renter's container", engine.docker().inspect_container(id, None)).await?;
    seen.state.ok_or_else(|| Failure::new("the container engine does not tell a container's state"))
}

/// Whether it runs once everything asked of it before is done.
pub(super) async fn runs(engine: &Engine, id: &str) -> Result<bool, Failure> {
    match state(engine, id).await {
        Ok(state) => Ok(state.running == Some(true)),
        Err(failure) if failure.is_absent() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Why it does not run, unless it does.
pub(super) async fn ended(engine: &Engine, id: &str) -> Result<Option<Failure>, Failure> {
    let state = state(engine, id).await?;
    if state.running == Some(true) {
        return Ok(None);
    }
    let code = state.exit_code.unwrap_or(-1);
    let why = if state.oom_killed == Some(true) { "; it needed more than \"memory_mib\"" } else { "" };
    Ok(Some(Failure::new(format!(
        "the renter's container ended with code {code} right after its start{why}; what it runs must go on running, set \"command\" to something that does"
    ))))
}
