//! A device whose SSH client is russh, within this process.

use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use domain::key::PublicKey;
use futures_util::future::BoxFuture;
use russh::{
    Channel,
    client::{self, ChannelOpenHandle, Handle, Msg, Session},
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate},
};
use tokio::{
    io::{AsyncWriteExt, copy, split},
    net::TcpStream,
    time::timeout,
};

use super::kit::{Gate, Machine, PATIENCE};

/// What it does with visitors.
#[derive(Clone)]
pub enum Serves {
    /// Answers what it is sent.
    Echo,
    /// Says this.
    Says(Arc<str>),
    /// Does not even say whether it takes them in.
    Nobody,
    /// Does this with each.
    With(Arc<dyn Fn(Channel<Msg>) -> BoxFuture<'static, ()> + Send + Sync>),
}

impl Serves {
    pub fn with<F: Future<Output = ()> + Send + 'static>(
        each: impl Fn(Channel<Msg>) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::With(Arc::new(move |channel| Box::pin(each(channel))))
    }
}

/// Takes visitors in.
pub struct Client {
    host_key: PublicKey,
    serves: Serves,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        Ok(key.key_data().ed25519().is_some_and(|key| key.0 == self.host_key.0))
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let serves = self.serves.clone();
        tokio::spawn(async move {
            if matches!(serves, Serves::Nobody) {
                return std::future::pending().await;
            }
            reply.accept().await;
            if let Serves::With(each) = serves {
                return each(channel).await;
            }
            let mut stream = channel.into_stream();
            match serves {
                Serves::Nobody | Serves::With(_) => {}
                Serves::Echo => {
                    let (mut read, mut write) = split(stream);
                    let _ = copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                }
                Serves::Says(name) => {
                    let _ = stream.write_all(name.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        Ok(())
    }
}

/// A device's session; it ends when this is dropped.
pub struct Device(Handle<Client>);

impl Deref for Device {
    type Target = Handle<Client>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Device {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Connects without proving anything.
pub async fn knock(to: SocketAddr, host_key: PublicKey, serves: Serves) -> Result<Device, russh::Error> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let config = client::Config { window_size: 4 * 1024 * 1024, ..client::Config::default() };
    let client = Client { host_key, serves };
    Ok(Device(client::connect_stream(Arc::new(config), stream, client).await?))
}

/// Connects and proves who it is; `None` when the gateway does not believe it.
pub async fn log_in(
    to: SocketAddr,
    host_key: PublicKey,
    machine: &Machine,
    serves: Serves,
) -> Result<Option<Device>, russh::Error> {
    let mut device = knock(to, host_key, serves).await?;
    let key = PrivateKeyWithHashAlg::new(machine.key.clone(), None);
    Ok(device.authenticate_publickey("berth", key).await?.success().then_some(device))
}

/// Brings a tunnel up.
pub async fn bring_up(gate: &Gate, machine: &Machine, serves: Serves) -> Device {
    let coming = async {
        let device = log_in(gate.gateway.ssh, gate.gateway.host_key, machine, serves).await.unwrap();
        let device = device.expect("it has a lease");
        device.tcpip_forward("localhost", 0).await.unwrap();
        device
    };
    timeout(PATIENCE, coming).await.expect("no tunnel comes up")
}
