//! A renter visits the rented device, as `ssh` does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use reqwest::Url;
use russh::{
    ChannelMsg,
    client::{self, Handle},
    keys::PublicKeyOrCertificate,
};
use tokio::net::TcpStream;

use super::{client::until, market::Rental};

/// How long a device may take to come up behind its gateway.
const PATIENCE: Duration = Duration::from_secs(30);

/// A renter on their device.
pub struct Visit(Handle<Checked>);

/// Believes only the host keys that the contract shows.
struct Checked(Vec<String>);

impl client::Handler for Checked {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        let shown = key.to_openssh().unwrap_or_default();
        Ok(self.0.iter().any(|known| shown.starts_with(known.as_str())))
    }
}

impl Visit {
    /// Logs in with what the order handed over, once the device is there.
    pub async fn begin(rental: &Rental) -> anyhow::Result<Self> {
        let path = format!("/v1/contracts/{}", rental.contract);
        let access = until("the device is behind its gateway", PATIENCE, || async {
            let access = rental.api.get(&path).await?["access"].clone();
            let there = access["connected"] == true && access["host_keys"][0].is_string();
            Ok(there.then_some(access))
        })
        .await?;
        let known = serde_json::from_value(access["host_keys"].clone())?;
        let config = Arc::new(client::Config::default());
        let mut session = client::connect(config, (rental.host.as_str(), rental.port), Checked(known))
            .await
            .context("ssh")?;
        let welcome = session.authenticate_password(&rental.user, &rental.password).await?;
        ensure!(welcome.success(), "the device does not take the login that the order handed over");
        Ok(Self(session))
    }

    /// What a command says.
    pub async fn run(&self, command: &str) -> anyhow::Result<String> {
        let mut channel = self.0.channel_open_session().await?;
        channel.exec(true, command).await?;
        let mut said = Vec::new();
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => said.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => said.extend_from_slice(&data),
                _ => {}
            }
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Whether the connection was ended.
    pub fn is_over(&self) -> bool {
        self.0.is_closed()
    }
}

/// What a web site says; its name is looked for at the gateway, whatever this machine thinks of it.
pub async fn web(site: &str, gateway: SocketAddr) -> anyhow::Result<String> {
    let name = Url::parse(site)?.host_str().context("a site has a name")?.to_owned();
    let client = reqwest::Client::builder().timeout(PATIENCE).resolve(&name, gateway).build()?;
    Ok(client.get(site).send().await?.error_for_status()?.text().await?)
}

/// Whether nobody answers at a port.
pub async fn is_closed(host: &str, port: u16) -> bool {
    TcpStream::connect((host, port)).await.is_err()
}
