//! What runs for renters in the demo: an SSH server that gives a shell in the renter's folder, and a web server that
//! shows it. Both listen on this machine only, and run as whoever started the demo.
//!
//! # Correctness
//! It lives in the agent's process and dies with it, so nothing is left that belongs to nobody. The host key lies in the
//! renter's folder: it is another for every lease, and the same after a reboot.

mod shell;
mod web;

use std::{io::Write, net::SocketAddr, os::unix::fs::OpenOptionsExt, path::Path};

use agent::workload::{Services, Tenancy, Workload, WorkloadError};
use async_trait::async_trait;
use domain::{
    id::{DeviceId, Epoch},
    wire::StepResult,
};
use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::random_bytes;

/// Where the host key lies in the renter's folder.
const HOST_KEY: &str = ".ssh_host_key";

/// The workload of the demo.
#[derive(Default)]
pub struct Desk {
    running: Option<Running>,
}

struct Running {
    device: DeviceId,
    epoch: Epoch,
    ssh: SocketAddr,
    http: SocketAddr,
    _stop: DropGuard,
}

impl Desk {
    async fn start(tenancy: &Tenancy<'_>) -> anyhow::Result<Running> {
        let stop = CancellationToken::new();
        let (ssh, http) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let running = Running {
            device: tenancy.device,
            epoch: tenancy.epoch,
            ssh: ssh.local_addr()?,
            http: http.local_addr()?,
            _stop: stop.clone().drop_guard(),
        };
        let login = shell::Login {
            user: tenancy.user.to_owned(),
            password: tenancy.password.to_owned(),
            home: tenancy.data.to_owned(),
        };
        tokio::spawn(shell::serve(ssh, host_key(tenancy.data)?, login, stop.clone()));
        let title = format!("Device {}, lease {}", tenancy.device, tenancy.epoch);
        tokio::spawn(web::serve(http, title, tenancy.data.to_owned(), stop));
        Ok(running)
    }
}

/// The lease's host key, made when there is none.
fn host_key(folder: &Path) -> anyhow::Result<PrivateKey> {
    let path = folder.join(HOST_KEY);
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Ok(PrivateKey::from_openssh(text)?);
    }
    let key = PrivateKey::new(Ed25519Keypair::from_seed(&random_bytes()).into(), "")?;
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(key.to_openssh(LineEnding::LF)?.as_bytes())?;
    Ok(key)
}

#[async_trait]
impl Workload for Desk {
    fn kind(&self) -> &'static str {
        "demo"
    }

    async fn run(&mut self, tenancy: &Tenancy<'_>) -> Result<(), WorkloadError> {
        let runs = |running: &Running| (running.device, running.epoch) == (tenancy.device, tenancy.epoch);
        if !self.running.as_ref().is_some_and(runs) {
            self.running = None;
            let started = Self::start(tenancy).await;
            self.running =
                Some(started.map_err(|e| WorkloadError(format!("the demo's services do not start: {e:#}")))?);
        }
        Ok(())
    }

    async fn stop(&mut self, _: DeviceId) -> Result<(), WorkloadError> {
        self.running = None;
        Ok(())
    }

    async fn remove(&mut self, _: DeviceId, _: Epoch) -> Result<(StepResult, String), WorkloadError> {
        Ok(match self.running.take() {
            Some(_) => (StepResult::Done, "the demo's services were stopped".into()),
            None => (StepResult::NothingThere, "the demo's services did not run".into()),
        })
    }

    async fn running(&mut self, device: DeviceId) -> Option<Epoch> {
        self.running.as_ref().filter(|running| running.device == device).map(|running| running.epoch)
    }

    async fn services(&mut self, device: DeviceId) -> Result<Services, WorkloadError> {
        let running = self.running.as_ref().filter(|running| running.device == device);
        Ok(running.map_or_else(Services::default, |running| Services {
            ssh: Some(running.ssh.into()),
            http: Some(running.http.into()),
            https: None,
            run: running.ssh.to_string(),
        }))
    }

    async fn problems(&mut self) -> Vec<String> {
        Vec::new()
    }
}
