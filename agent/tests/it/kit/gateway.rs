//! An SSH server that plays the gateway, or a renter's SSH server.

use std::{
    net::Shutdown,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use domain::{key::PublicKey, wire::GatewayAddress};
use russh::{
    Channel, Error,
    keys::{PrivateKey, ssh_key::private::Ed25519Keypair},
    server::{Auth, Config, Handle, Handler, Msg, Session, VerifiedPublicKey, run_stream},
};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

/// Everything it saw.
#[derive(Default)]
pub struct Seen {
    /// Connections, whatever came of them.
    pub connections: usize,
    /// Who tried to log in, with which key.
    pub logins: Vec<(String, PublicKey)>,
    /// What was asked to be forwarded, in order.
    pub forwards: Vec<(String, u32)>,
    /// What is refused although asked.
    pub refused: Vec<u32>,
    /// Sessions that are not over.
    pub open: usize,
    handle: Option<Handle>,
    sockets: Vec<std::net::TcpStream>,
}

/// A gateway.
pub struct Gateway {
    pub port: u16,
    key: PrivateKey,
    seen: Arc<Mutex<Seen>>,
    accepting: JoinHandle<()>,
}

impl Gateway {
    pub async fn start(seed: u8) -> Self {
        Self::start_at(seed, 0).await
    }

    /// Where another one was.
    pub async fn start_at(seed: u8, port: u16) -> Self {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Seen::default())));
        let config = Config {
            keys: vec![key.clone()],
            auth_rejection_time: Duration::from_millis(50),
            auth_rejection_time_initial: Some(Duration::ZERO),
            ..Config::default()
        };
        let accepting = tokio::spawn(accept(listener, Arc::new(config), seen.clone()));
        Self { port, key, seen, accepting }
    }

    pub fn host_key(&self) -> PublicKey {
        PublicKey(self.key.public_key().key_data().ed25519().unwrap().0)
    }

    /// As OpenSSH writes it.
    pub fn host_key_line(&self) -> String {
        self.key.public_key().to_openssh().unwrap()
    }

    pub fn address(&self) -> GatewayAddress {
        GatewayAddress { host: "127.0.0.1".into(), port: self.port, host_key: self.host_key() }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Waits until something holds; panics after 30 s.
    pub async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let start = Instant::now();
        while !holds(&self.seen()) {
            assert!(start.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until so many forwards were asked for.
    pub async fn until_forwards(&self, count: usize) {
        self.until(&format!("{count} forwards"), |seen| seen.forwards.len() >= count).await;
    }

    /// Opens a connection to what was forwarded, for a visitor.
    pub async fn visit(&self, address: &str, port: u32) -> Result<Channel<Msg>, Error> {
        let handle = self.seen().handle.clone().unwrap();
        handle.channel_open_forwarded_tcpip(address, port, "192.0.2.7", 50_000).await
    }

    /// Cuts every connection and takes no more.
    pub fn kill(self) -> u16 {
        self.accepting.abort();
        for socket in self.seen().sockets.drain(..) {
            // Some are closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.port
    }

    /// Waits until every session is over.
    pub async fn until_left(&self) {
        self.until("the gateway is left", |seen| seen.open == 0).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, config: Arc<Config>, seen: Arc<Mutex<Seen>>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let stream = stream.into_std().unwrap();
        {
            let mut seen = seen.lock().unwrap();
            seen.connections += 1;
            seen.sockets.push(stream.try_clone().unwrap());
        }
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let (config, guest, seen) = (config.clone(), Guest(seen.clone()), seen.clone());
        tokio::spawn(async move {
            seen.lock().unwrap().open += 1;
            if let Ok(session) = run_stream(config, stream, guest).await {
                // A client that turns back is no fault.
                let _ = session.await;
            }
            seen.lock().unwrap().open -= 1;
        });
    }
}

struct Guest(Arc<Mutex<Seen>>);

impl Handler for Guest {
    type Error = Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        let key = PublicKey(key.public_key.key_data().ed25519().unwrap().0);
        self.0.lock().unwrap().logins.push((user.into(), key));
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Error> {
        self.0.lock().unwrap().handle = Some(session.handle());
        Ok(())
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, _: &mut Session) -> Result<bool, Error> {
        let mut seen = self.0.lock().unwrap();
        seen.forwards.push((address.into(), *port));
        Ok(!seen.refused.contains(port))
    }
}
