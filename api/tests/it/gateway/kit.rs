//! A gateway, leases on it, stock OpenSSH clients and services behind them.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{
    config,
    gateway::{
        Gateway, Settings,
        leases::{EndedLease, LiveLease, News},
    },
};
use domain::{
    id::{DeviceId, GatewayName, Subdomain},
    key::PublicKey,
};
use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};
use uuid::Uuid;

/// Nothing here takes longer, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway without a server behind it.
pub struct Gate {
    pub gateway: Gateway,
    pub dir: tempfile::TempDir,
    version: AtomicU64,
}

/// A machine with a key.
#[derive(Clone)]
pub struct Machine {
    pub device: DeviceId,
    pub key: Arc<PrivateKey>,
    pub file: PathBuf,
}

impl Machine {
    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.public_key().key_data().ed25519().unwrap().0)
    }
}

impl Gate {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut config::Gateway)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut section = config::Gateway { drain_s: 0, ..config::Gateway::default() };
        change(&mut section);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway =
            Gateway::start(Settings::new(&section).unwrap(), &dir.path().join("gateway"), listener).unwrap();
        Self { gateway, dir, version: AtomicU64::new(0) }
    }

    /// A machine with a key of its own.
    pub fn machine(&self, n: u8) -> Machine {
        let key = PrivateKey::new(Ed25519Keypair::from_seed(&[n; 32]).into(), "test").unwrap();
        let file = self.dir.path().join(format!("key-{n}"));
        std::fs::write(&file, key.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        Machine { device: DeviceId(Uuid::from_u128(n.into())), key: Arc::new(key), file }
    }

    fn news(&self) -> News {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        News { version, whole: false, live: vec![], ended: vec![] }
    }

    /// Grants a lease, on a port that is free.
    pub async fn grant(&self, machine: &Machine, epoch: u32) -> LiveLease {
        let port = free_port().await;
        self.grant_at(machine, epoch, port).await
    }

    pub async fn grant_at(&self, machine: &Machine, epoch: u32, port: u16) -> LiveLease {
        let lease = LiveLease {
            device: machine.device,
            epoch,
            gateway: GatewayName::new("local").unwrap(),
            port,
            subdomain: Subdomain::of(machine.device, epoch),
            device_key: machine.public(),
        };
        self.gateway.take(&News { live: vec![lease.clone()], ..self.news() });
        lease
    }

    pub fn end(&self, lease: &LiveLease) {
        let ended = vec![EndedLease { device: lease.device, epoch: lease.epoch }];
        self.gateway.take(&News { ended, ..self.news() });
    }

    /// OpenSSH's client as this machine, with these arguments; nothing of this host's configuration counts.
    pub fn ssh(&self, machine: &Machine, options: &[&str]) -> Ssh {
        self.ssh_run(machine, options, &[])
    }

    /// As [`Gate::ssh`], with a command.
    pub fn ssh_run(&self, machine: &Machine, options: &[&str], command: &[&str]) -> Ssh {
        Ssh::start(self.gateway.ssh, self.gateway.host_key, &machine.file, options, command)
    }

    /// Waits until a lease has a tunnel, or has none.
    pub async fn until_up(&self, lease: &LiveLease, up: bool) {
        let there = || {
            let seen = self.gateway.look();
            seen.iter().any(|seen| seen.device == lease.device && seen.heard.is_some())
        };
        eventually(|| async { there() == up }).await;
    }
}

/// Waits until something holds.
#[track_caller]
pub fn eventually<F: Future<Output = bool>>(holds: impl Fn() -> F) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "never, at {caller}");
    }
}

pub async fn free_port() -> u16 {
    // Below the range that outgoing connections are given ports of.
    use std::sync::atomic::AtomicU16;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() as u16).wrapping_mul(37).wrapping_add(n) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

/// A running client.
pub struct Ssh {
    child: Child,
}

/// How a client ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ssh {
    pub fn start(
        to: SocketAddr,
        host_key: PublicKey,
        key: &std::path::Path,
        options: &[&str],
        run: &[&str],
    ) -> Self {
        let key_data = russh::keys::ssh_key::public::KeyData::Ed25519(
            russh::keys::ssh_key::public::Ed25519PublicKey(host_key.0),
        );
        let line = russh::keys::PublicKey::from(key_data).to_openssh().unwrap();
        let hosts = key.with_extension(format!("hosts-{}", to.port()));
        std::fs::write(&hosts, format!("[127.0.0.1]:{} {line}\n", to.port())).unwrap();
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-p", &to.port().to_string(), "-i", key.to_str().unwrap()])
            .args(["-o", &format!("UserKnownHostsFile={}", hosts.display())])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"])
            .args(["-o", "ExitOnForwardFailure=yes"])
            .args(options)
            .arg("berth@127.0.0.1")
            .args(run);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self { child: command.spawn().expect("ssh is installed") }
    }

    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub async fn done(self) -> Done {
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await;
        let output = output.expect("ssh does not end").unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Ends the client and says what it wrote.
    pub async fn stop(mut self) -> Done {
        self.child.start_kill().unwrap();
        self.done().await
    }
}

/// A service on a device: answers what it is sent.
pub async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    port
}

/// What a visitor of a port hears back.
pub async fn ask(port: u16, what: &[u8]) -> std::io::Result<Vec<u8>> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(what).await?;
        stream.shutdown().await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        Ok(heard)
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("nothing is heard")
}
