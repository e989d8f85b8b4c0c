//! What an agent is made of: the real parts, or those of a test.

use std::sync::Arc;

use anyhow::Context;
use domain::time::Time;
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use super::Agent;
use crate::{
    config::Config,
    dice, identity,
    keyring::Keyring,
    record::{Loaded, Store},
    server::{Server, Uplink},
    tls::{Floor, Tls},
    tree::Disk,
    tunnel::Tunnel,
    volume::Volume,
    workload::Workload,
};

/// The parts.
pub struct Parts {
    /// `agent.json`.
    pub config: Config,
    /// The record.
    pub store: Store,
    /// The device key.
    pub key: SigningKey,
    /// The halves of the volume key.
    pub keyring: Keyring,
    /// The renter's volume.
    pub volume: Box<dyn Volume>,
    /// What runs on it.
    pub workload: Box<dyn Workload>,
    /// The server.
    pub uplink: Arc<dyn Uplink>,
    /// The id of this start.
    pub boot_id: Uuid,
    /// Visitors' way in.
    pub tunnel: Tunnel,
}

impl Agent {
    /// Opens the state directory and reads what is held.
    ///
    /// # Errors
    /// When another agent runs on it, or it cannot be used.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let workload = config.workload.workload();
        Self::open_with(config, workload).await
    }

    /// As [`Agent::open`], with this workload whatever the configuration says.
    ///
    /// # Errors
    /// As [`Agent::open`].
    pub async fn open_with(config: Config, workload: Box<dyn Workload>) -> anyhow::Result<Self> {
        let store = Store::lock(&config.data_dir)?;
        let (floor, bound) = match Store::look(&config.data_dir) {
            Loaded::Record(record) => (record.floor, record.is_bound()),
            Loaded::Missing | Loaded::Unreadable(_) => (Time::default(), false),
        };
        let tls = Tls::new(config.ca.clone(), Floor::new(floor));
        let key = identity::load_or_create(&config.data_dir, bound).context("cannot use the device key")?;
        let parts = Parts {
            store,
            tunnel: Tunnel::new(key.clone(), Some(&config.data_dir)),
            key,
            keyring: Keyring::new(Arc::new(Disk), config.data_dir.join("volume.half")),
            volume: config.volume.volume(&config.data_dir, dice::uuid()),
            workload,
            uplink: Arc::new(Server::new(config.key.clone(), &tls)?),
            boot_id: dice::uuid(),
            config,
        };
        Ok(Self::assemble(parts).await)
    }
}
