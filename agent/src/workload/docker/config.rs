//! `"workload": {"kind": "docker", …}` of `agent.json`.

mod check;

use std::{num::NonZeroU16, path::Path};

use serde::{Deserialize, Serialize};

use crate::choice::Choice;
pub(super) use check::{IN_MEMORY, check_inside};

/// When an image is fetched from its registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// When the engine does not have it.
    #[default]
    Missing,
    /// Never: it must be loaded by hand.
    Never,
    /// Whenever a container is made, that is once per lease.
    Always,
}

/// What network the container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The engine's own.
    #[default]
    Bridge,
    /// The device's, with everything that listens on it.
    Host,
    /// None.
    None,
}

impl Network {
    /// As the engine calls it.
    pub(super) const fn mode(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

/// On which ports the container's services are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// SSH; 22 unless set, `false` for none.
    #[serde(default)]
    pub ssh: Choice<NonZeroU16>,
    /// HTTP; 80 unless set, `false` for none.
    #[serde(default)]
    pub http: Choice<NonZeroU16>,
    /// TLS; 443 unless set, `false` for none.
    #[serde(default)]
    pub https: Choice<NonZeroU16>,
}

/// A number of processors, such as 1.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Cpus {
    thousandths: u32,
}

impl Cpus {
    /// In billionths, as the engine counts.
    pub(super) fn nano(self) -> i64 {
        i64::from(self.thousandths) * 1_000_000
    }
}

impl TryFrom<f64> for Cpus {
    type Error = String;

    fn try_from(cpus: f64) -> Result<Self, String> {
        if !(0.01..=4096.0).contains(&cpus) {
            return Err(format!("\"cpus\" must be between 0.01 and 4096, got {cpus}"));
        }
        // In range: neither cut nor negative.
        Ok(Self { thousandths: (cpus * 1000.0).round() as u32 })
    }
}

impl From<Cpus> for f64 {
    fn from(cpus: Cpus) -> Self {
        Self::from(cpus.thousandths) / 1000.0
    }
}

/// What runs for renters, and within which limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerConfig {
    /// The image, such as `registry.example/renter:1`.
    pub image: String,
    /// The engine's socket on this machine.
    #[serde(default = "socket")]
    pub socket: String,
    /// What is run instead of the image's own command.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// When the image is fetched.
    #[serde(default)]
    pub pull: Pull,
    /// The most memory, without swap; three quarters of the device's unless set.
    #[serde(default)]
    pub memory_mib: Option<u64>,
    /// The most processors; all unless set.
    #[serde(default)]
    pub cpus: Option<Cpus>,
    /// The most processes and threads.
    #[serde(default = "pids")]
    pub pids: u32,
    /// The network.
    #[serde(default)]
    pub network: Network,
    /// The image's directories that the renter may write to; they lie on the volume.
    #[serde(default = "writable")]
    pub writable: Vec<String>,
    /// The size of each directory in memory: `/tmp`, `/run` and `/dev/shm`. What lies there counts as memory.
    #[serde(default = "tmp_mib")]
    pub tmp_mib: u32,
    /// How long the workload may take to stop before it is killed.
    #[serde(default = "stop_grace_s")]
    pub stop_grace_s: u32,
    /// Where visitors' connections go. With the device's network, only to ports that are set: what else listens there is
    /// not the renter's.
    #[serde(default)]
    pub ports: Ports,
}

fn socket() -> String {
    "unix:///var/run/docker.sock".into()
}

const fn pids() -> u32 {
    512
}

fn writable() -> Vec<String> {
    ["/home", "/root", "/etc", "/var", "/opt", "/srv", "/usr/local"].map(Into::into).into()
}

const fn tmp_mib() -> u32 {
    64
}

const fn stop_grace_s() -> u32 {
    10
}

impl DockerConfig {
    /// The defaults, for an image.
    #[must_use]
    pub fn of(image: &str) -> Self {
        Self {
            image: image.into(),
            socket: socket(),
            command: None,
            pull: Pull::default(),
            memory_mib: None,
            cpus: None,
            pids: pids(),
            network: Network::default(),
            writable: writable(),
            tmp_mib: tmp_mib(),
            stop_grace_s: stop_grace_s(),
            ports: Ports::default(),
        }
    }

    /// The path of the engine's socket.
    #[must_use]
    pub fn socket_path(&self) -> &Path {
        Path::new(self.socket.strip_prefix("unix://").unwrap_or(&self.socket))
    }
}
