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
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};
use uuid::Uuid;

use super::visit::listening;

/// Nothing here takes longer, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway without a server behind it.
pub struct Gate {
    pub gateway: Gateway,
    pub dir: tempfile::TempDir,
    settings: Settings,
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
        let mut section = config::Gateway { drain_s: 0, ..config::Gateway::default() };
        change(&mut section);
        Self::set(Settings::new(&section).unwrap()).await
    }

    /// As [`Gate::with`], with what nobody can set from outside.
    pub async fn tuned(change: impl FnOnce(&mut Settings)) -> Self {
        let section = config::Gateway { drain_s: 0, ..config::Gateway::default() };
        let mut settings = Settings::new(&section).unwrap();
        change(&mut settings);
        Self::set(settings).await
    }

    async fn set(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ssh = SocketAddr::from(([127, 0, 0, 1], free_port().await));
        let gateway = begin(&settings, dir.path(), ssh).await;
        Self { gateway, dir, settings, version: AtomicU64::new(0) }
    }

    /// Stops the gateway; another takes its place, with its key and its address, and knows of no lease yet.
    pub async fn restart(&mut self) {
        self.gateway.clone().stop().await;
        self.gateway = begin(&self.settings, self.dir.path(), self.gateway.ssh).await;
    }

    /// A machine with a key of its own.
    pub fn machine(&self, n: u16) -> Machine {
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&n.to_be_bytes());
        let key = PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), "test").unwrap();
        let file = self.dir.path().join(format!("key-{n}"));
        std::fs::write(&file, key.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        Machine { device: DeviceId(Uuid::from_u128(n.into())), key: Arc::new(key), file }
    }

    fn news(&self) -> News {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        News { source: uuid::Uuid::nil(), version, whole: false, live: vec![], ended: vec![] }
    }

    /// Tells the gateway everything there is.
    pub fn tell(&self, live: &[LiveLease]) {
        self.gateway.take(&News { whole: true, live: live.to_vec(), ..self.news() });
    }

    /// Grants a lease, on a port that is free; when this returns, the port is open.
    pub async fn grant(&self, machine: &Machine, epoch: u32) -> LiveLease {
        let port = free_port().await;
        let lease = self.grant_at(machine, epoch, port).await;
        eventually(|| async { listening(port) }).await;
        lease
    }

    pub async fn grant_at(&self, machine: &Machine, epoch: u32, port: u16) -> LiveLease {
        let lease = self.lease(machine, epoch, port);
        self.gateway.take(&News { live: vec![lease.clone()], ..self.news() });
        lease
    }

    /// A lease that the gateway does not know of.
    pub fn lease(&self, machine: &Machine, epoch: u32, port: u16) -> LiveLease {
        LiveLease {
            device: machine.device,
            epoch,
            gateway: GatewayName::new("local").unwrap(),
            port,
            subdomain: Subdomain::of(machine.device, epoch),
            device_key: machine.public(),
        }
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

    /// As [`Gate::ssh`], on another way to the gateway.
    pub fn ssh_to(&self, to: SocketAddr, machine: &Machine, options: &[&str]) -> Ssh {
        Ssh::start(to, self.gateway.host_key, &machine.file, options, &[])
    }

    /// What starts a client as [`Gate::ssh`] does, as often as one likes.
    pub fn client(&self, machine: &Machine, options: &[&str]) -> impl Fn() -> Ssh + Send + use<> {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let (to, host_key, key) = (self.gateway.ssh, self.gateway.host_key, machine.file.clone());
        move || {
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            Ssh::start(to, host_key, &key, &options, &[])
        }
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

async fn begin(settings: &Settings, folder: &std::path::Path, ssh: SocketAddr) -> Gateway {
    let listener = TcpListener::bind(ssh).await.unwrap();
    Gateway::start(settings.clone(), &folder.join("gateway"), listener).unwrap()
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
        let port = 10_000 + (std::process::id() as u16).wrapping_mul(37).wrapping_add(n) % 10_000;
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

    /// Stops the process where it is, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub async fn done(self) -> Done {
        tokio::time::timeout(PATIENCE, self.done_at_last()).await.expect("ssh does not end")
    }

    /// As [`Ssh::done`], however long that takes.
    pub async fn done_at_last(self) -> Done {
        let output = self.child.wait_with_output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Ends the client and says what it wrote.
    pub async fn stop(mut self) -> Done {
        self.child.start_kill().unwrap();
        self.done().await
    }
}
