//! What the device holds, and whether everything it needs is in place.

use std::{fmt, os::unix::fs::PermissionsExt, path::Path};

use domain::{
    id::{DeviceId, Epoch},
    key::PublicKey,
    time::Time,
    wire::Grant,
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    cli::MakeWorkload,
    config::{Config, is_local},
    decide::Label,
    record::{Held, Loaded, Store, StoreError},
    server::{Server, Uplink},
    tls::{Floor, Tls},
    tunnel::{self, Standing},
};

/// What `status` shows; never a credential.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    /// `blank`, `idle`, `preparing`, `leased`, `erasing`, `erased`, `quarantined`, `forsaken` (erased by its owner) or `unknown`.
    pub state: &'static str,
    /// The lease; the last one that is over while idle, 0 for none.
    pub epoch: Epoch,
    /// The end of the paid time.
    pub until: Option<Time>,
    /// The device's id.
    pub device: Option<DeviceId>,
    /// The server.
    pub server: String,
    /// Its pinned root key.
    pub server_key: Option<PublicKey>,
    /// Where the leased port is.
    pub address: Option<String>,
    /// The lease that the volume's label names.
    pub label: Option<Epoch>,
    /// Where the renter's files are.
    pub data: String,
    /// The time is at least this.
    pub not_before: Option<Time>,
    /// How visitors' way in stands; none while no agent runs.
    pub tunnel: Option<Standing>,
    /// What cannot be read, and why.
    pub damage: Option<String>,
}

impl Status {
    /// Looks at the record and the volume; disturbs no running agent.
    #[must_use]
    pub fn read(config: &Config) -> Self {
        let volume = config.volume.volume(&config.data_dir, Uuid::nil());
        let torn = volume.owner().err().map(|why| format!("the volume's label: {why}"));
        let label = if let Label::Epoch(epoch) = volume.label() { Some(epoch) } else { None };
        let data = volume.data().display().to_string();
        let tunnel = Standing::read(&config.data_dir);
        let server = config.server.clone();
        let base = Self { server, label, data, tunnel, damage: torn, ..Self::default() };
        let record = match Store::look(&config.data_dir) {
            Loaded::Missing if label.is_none() && base.damage.is_none() => {
                return Self { state: "blank", ..base };
            }
            Loaded::Missing => return Self { state: "unknown", epoch: label.unwrap_or(0), ..base },
            Loaded::Unreadable(why) => {
                let damage = Some(format!("the record: {why}"));
                return Self { state: "unknown", epoch: label.unwrap_or(0), damage, ..base };
            }
            Loaded::Record(record) => *record,
        };
        let address = |grant: &Grant| Some(format!("{}:{}", grant.host, grant.port));
        let (state, until, address) = match &record.held {
            Held::Blank if label.is_some() => ("unknown", None, None),
            Held::Blank => ("blank", None, None),
            Held::Idle { .. } => ("idle", None, None),
            Held::Preparing { grant } => ("preparing", None, address(grant)),
            Held::Leased { until, grant, .. } => ("leased", *until, grant.as_ref().and_then(address)),
            Held::Erasing { .. } => ("erasing", None, None),
            Held::Erased { .. } => ("erased", None, None),
            Held::Quarantined { .. } => ("quarantined", None, None),
            Held::Forsaken { .. } => ("forsaken", None, None),
        };
        Self {
            state,
            epoch: record.epoch(),
            until,
            device: record.device,
            server: record.server,
            server_key: record.root,
            address,
            not_before: Some(record.floor),
            ..base
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: Option<String>| match value {
            Some(value) => writeln!(f, "{name:<11} {value}"),
            None => Ok(()),
        };
        line("state", Some(self.state.to_owned()))?;
        line("epoch", Some(self.epoch.to_string()))?;
        line("paid until", self.until.map(|t| t.to_string()))?;
        line("device", self.device.map(|d| d.to_string()))?;
        line("server", Some(self.server.clone()))?;
        line("server key", self.server_key.map(|k| k.to_string()))?;
        line("address", self.address.clone())?;
        line("tunnel", self.tunnel.as_ref().map(ToString::to_string))?;
        line("label", self.label.map(|e| format!("lease {e}")))?;
        line("data", Some(self.data.clone()))?;
        line("not before", self.not_before.filter(|t| *t != Time::default()).map(|t| t.to_string()))?;
        line("damage", self.damage.clone())
    }
}

/// Checks everything the agent needs and prints what it found; `false` when something is wrong.
///
/// # Errors
/// When the configuration cannot be used.
pub async fn check(path: &Path, make: &MakeWorkload<'_>) -> anyhow::Result<bool> {
    let config = Config::load(path)?;
    println!("ok    {} can be read", path.display());
    let mut sound = true;
    let mut wrong = |what: String| {
        println!("WRONG {what}");
        sound = false;
    };
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        println!(
            "note  {} holds a secret and others may read it: chmod 600 {}",
            path.display(),
            path.display()
        );
    }
    match Store::lock(&config.data_dir) {
        Ok(_) => println!("ok    {} can be used", config.data_dir.display()),
        Err(StoreError::Locked(_)) => println!("ok    an agent runs on {}", config.data_dir.display()),
        Err(error) => wrong(error.to_string()),
    }
    let status = Status::read(&config);
    match &status.damage {
        None => println!("ok    this device is {} (epoch {})", status.state, status.epoch),
        Some(damage) => wrong(format!("{damage}; the agent keeps the data and goes by what is left")),
    }
    config.volume.volume(&config.data_dir, Uuid::nil()).problems().into_iter().for_each(&mut wrong);
    make(&config).problems().await.into_iter().for_each(&mut wrong);
    if let Some(gateway) = status.tunnel.as_ref().and_then(|tunnel| tunnel.gateway.as_ref()) {
        match tunnel::reach(gateway).await {
            Ok(()) => println!("ok    the gateway {gateway} can be reached"),
            Err(error) => wrong(format!("the gateway {gateway} cannot be reached: {error}")),
        }
    }
    if config.server.starts_with("http://") && !is_local(&config.server) {
        println!("note  {} is not encrypted: others can read the enrolment key; use https://", config.server);
    }
    let floor = Floor::new(status.not_before.unwrap_or_default());
    let server = Server::new(config.key.clone(), &Tls::new(config.ca.clone(), floor))?;
    match server.root_key(&config.server).await {
        Ok(shown) => {
            println!("ok    {} is a Berth server", config.server);
            let expected = config.server_key.or(status.server_key.filter(|_| status.server == config.server));
            if let Some(expected) = expected.filter(|expected| *expected != shown) {
                wrong(format!(
                    "the server shows the key {shown}, and {expected} is pinned: it is not believed"
                ));
            }
            match server.ready(&config.server).await {
                Ok(()) => println!("ok    it is ready"),
                Err(silent) => wrong(format!("it is not ready: {}", silent.why)),
            }
            match server.knows_key(&config.server).await {
                Ok(()) => println!("ok    it knows the enrolment key"),
                Err(silent) => wrong(format!("the enrolment key does not work: {}", silent.why)),
            }
        }
        Err(silent) => {
            wrong(format!("{} is no Berth server, or out of reach: {}", config.server, silent.why))
        }
    }
    Ok(sound)
}
