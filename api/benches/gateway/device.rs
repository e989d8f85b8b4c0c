//! Many devices in one process: each holds a tunnel, brings it up again when it is lost, and echoes what visitors send.

use std::{sync::Arc, time::Duration};

use russh::{
    Channel, ChannelMsg,
    client::{self, ChannelOpenHandle, Handler, Msg, Session},
    keys::{PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate},
};

use crate::{KEEPALIVE_S, key, port, process::Process, sshd::Server};

/// How long a device waits before it tries again.
const RETRY: Duration = Duration::from_millis(100);

/// The first devices of a server, in a process of their own.
pub fn start(server: &Server, n: usize) -> Process {
    let (address, first) = (server.address.to_string(), server.first.to_string());
    Process::again(&["be-devices", &address, &server.host_key, &server.user, &first, &n.to_string()])
}

/// Goes on until killed; says so once all have had a tunnel.
pub fn be(to: &str, host_key: &str, user: &str, first: &str, n: &str) {
    let [first, n]: [usize; 2] = [first, n].map(|text| text.parse().expect("a number"));
    let host_key = PublicKey::from_openssh(host_key).expect("a key");
    let config = Arc::new(client::Config {
        keepalive_interval: Some(Duration::from_secs(KEEPALIVE_S.into())),
        nodelay: true,
        ..client::Config::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (up, mut came_up) = tokio::sync::mpsc::channel(n);
        for device in first..first + n {
            let (to, user, host_key, config) =
                (to.to_owned(), user.to_owned(), host_key.clone(), config.clone());
            let mut up = Some(up.clone());
            tokio::spawn(async move {
                let key = Arc::new(key(device));
                loop {
                    let session = tunnel(&config, &to, &user, Pinned(host_key.clone()), key.clone(), device);
                    if let Ok(session) = session.await {
                        if let Some(up) = up.take() {
                            up.send(()).await.expect("it is counted");
                        }
                        let _ = session.await;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            });
        }
        for _ in 0..n {
            came_up.recv().await.expect("devices go on");
        }
        println!("up");
        std::future::pending::<()>().await;
    });
}

async fn tunnel(
    config: &Arc<client::Config>,
    to: &str,
    user: &str,
    handler: Pinned,
    key: Arc<russh::keys::PrivateKey>,
    device: usize,
) -> Result<client::Handle<Pinned>, russh::Error> {
    let mut session = client::connect(config.clone(), to, handler).await?;
    let key = PrivateKeyWithHashAlg::new(key, None);
    if !session.authenticate_publickey(user, key).await?.success() {
        return Err(russh::Error::NotAuthenticated);
    }
    session.tcpip_forward("localhost", port(device).into()).await?;
    Ok(session)
}

/// The host key that it must be.
struct Pinned(PublicKey);

impl Handler for Pinned {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(
            matches!(key, PublicKeyOrCertificate::PublicKey { key, .. } if key.key_data() == self.0.key_data()),
        )
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _address: &str,
        _port: u32,
        _visitor: &str,
        _visitor_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        tokio::spawn(async move {
            let (mut read, write) = channel.split();
            while let Some(ChannelMsg::Data { data }) = read.wait().await {
                if write.data_bytes(data).await.is_err() {
                    break;
                }
            }
            let _ = write.close().await;
        });
        Ok(())
    }
}
