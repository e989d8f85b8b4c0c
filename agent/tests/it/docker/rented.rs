//! A device with a volume, an engine and a workload.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use agent::workload::{
    Tenancy, Workload, WorkloadError,
    docker::{Docker, DockerConfig},
};
use bollard::{
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::ContainerInspectResponse,
    query_parameters::ListContainersOptionsBuilder,
};
use domain::{
    id::{DeviceId, Epoch},
    wire::StepResult,
};
use futures_util::StreamExt;
use uuid::Uuid;

use crate::kit::{engine::Engine, images};

pub const USER: &str = "renter-1";
pub const PASSWORD: &str = "correct: horse $`\"'\\ battery";

pub struct Rented<'e> {
    pub engine: &'e Engine,
    pub device: DeviceId,
    pub epoch: Epoch,
    pub password: &'static str,
    pub config: DockerConfig,
    pub docker: Docker,
    directory: tempfile::TempDir,
}

impl<'e> Rented<'e> {
    /// A device nobody else has, with lease 3 of the image `rich`.
    pub fn new(engine: &'e Engine) -> Self {
        Self::with(engine, images::RICH, |_| {})
    }

    pub fn with(engine: &'e Engine, image: &str, change: impl FnOnce(&mut DockerConfig)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let mut config = DockerConfig::of(image);
        config.socket = format!("unix://{}", engine.socket().display());
        config.network = agent::workload::docker::config::Network::None;
        config.stop_grace_s = 5;
        if image != images::RICH {
            config.command = Some(["/bin/sh", "-c", images::ENDLESS].map(Into::into).into());
        }
        change(&mut config);
        config.check().unwrap();
        let directory = tempfile::tempdir_in(engine.volumes()).unwrap();
        std::fs::create_dir(directory.path().join("data")).unwrap();
        // The first eight digits, which names are made of, differ.
        let device = DeviceId(Uuid::from_u128(u128::from(COUNT.fetch_add(1, Ordering::Relaxed)) << 96));
        let docker = Docker::new(config.clone());
        Self { engine, device, epoch: 3, password: PASSWORD, config, docker, directory }
    }

    /// The same device after its agent was killed and started with `change`.
    pub fn restarted(&mut self, change: impl FnOnce(&mut DockerConfig)) {
        change(&mut self.config);
        self.docker = Docker::new(self.config.clone());
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn name(&self) -> String {
        format!("berth-{}-{}", &self.device.0.simple().to_string()[..8], self.epoch)
    }

    pub async fn run(&mut self) -> Result<(), WorkloadError> {
        let data = self.data();
        let (device, epoch, password) = (self.device, self.epoch, self.password);
        let tenancy = Tenancy { device, epoch, user: USER, password, data: &data };
        self.docker.run(&tenancy).await
    }

    pub async fn remove(&mut self) -> (StepResult, String) {
        self.docker.remove(self.device, self.epoch).await.unwrap()
    }

    pub async fn inspect(&self) -> ContainerInspectResponse {
        let client = self.engine.client().negotiate_version().await.unwrap();
        client.inspect_container(&self.name(), None).await.unwrap()
    }

    pub async fn started_at(&self) -> String {
        self.inspect().await.state.unwrap().started_at.unwrap()
    }

    /// The names of every container on the engine whose name has `part` in it.
    pub async fn names(&self, part: &str) -> Vec<String> {
        let client = self.engine.client().negotiate_version().await.unwrap();
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let all = client.list_containers(Some(options)).await.unwrap();
        let names = all.into_iter().flat_map(|c| c.names.unwrap_or_default());
        names.map(|n| n.trim_start_matches('/').to_owned()).filter(|n| n.contains(part)).collect()
    }

    /// What `script` prints inside, and whether it succeeds; as root.
    pub async fn inside(&self, script: &str) -> (bool, String) {
        self.inside_as("0:0", script).await
    }

    pub async fn inside_as(&self, user: &str, script: &str) -> (bool, String) {
        let client = self.engine.client().negotiate_version().await.unwrap();
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            user: Some(user),
            cmd: Some(vec!["/bin/sh", "-c", script]),
            ..CreateExecOptions::default()
        };
        let id = client.create_exec(&self.name(), options).await.unwrap().id;
        let started = client.start_exec(&id, None::<StartExecOptions>).await.unwrap();
        let StartExecResults::Attached { mut output, input: _input } = started else { panic!("detached") };
        let mut text = String::new();
        while let Some(Ok(line)) = output.next().await {
            text.push_str(&line.to_string());
        }
        let code = client.inspect_exec(&id).await.unwrap().exit_code;
        (code == Some(0), text.trim().to_owned())
    }

    /// What is in a file on the volume.
    pub fn on_volume(&self, path: impl AsRef<Path>) -> String {
        std::fs::read_to_string(self.data().join("root").join(path)).unwrap_or_default()
    }
}

/// What removing says when there was nothing.
pub fn nothing() -> (StepResult, String) {
    (StepResult::NothingThere, "there was no container".into())
}
