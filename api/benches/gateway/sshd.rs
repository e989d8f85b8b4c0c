//! OpenSSH: its server, set to forward ports and nothing else, and its client.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use russh::keys::ssh_key::LineEnding;
use tempfile::TempDir;

use crate::{KEEPALIVE_S, key, port, process::Process, setting};

/// A server that tunnels end at.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    /// In OpenSSH's form.
    pub host_key: String,
    /// Who devices log in as.
    pub user: String,
    /// Its first device.
    pub first: usize,
    pub folder: TempDir,
}

/// A folder that other users may enter.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("its mode");
    folder
}

fn write_key(path: &Path, device: usize) {
    let text = key(device).to_openssh(LineEnding::LF).expect("a key");
    fs::write(path, text.as_bytes()).expect("the folder can be written");
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("its mode");
}

/// An sshd that knows some devices, which come after all those of the gateway.
pub fn start(devices: usize) -> Server {
    let folder = folder();
    let first = setting("GATEWAY_TUNNELS", 1_000).max(1);
    let root = rustix::process::getuid().is_root();
    if root {
        fs::create_dir_all("/run/sshd").expect("sshd wants this folder");
    }
    let user = match root {
        true => "nobody".to_owned(),
        false => std::env::var("USER").expect("USER is set"),
    };
    let path = |name: &str| folder.path().join(name);
    write_key(&path("host"), usize::MAX);
    let line = |device| key(device).public_key().to_openssh().expect("a key") + "\n";
    fs::write(path("keys"), (first..first + devices).map(line).collect::<String>()).expect("written");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let config = format!(
        "ListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\nUsePAM no\n\
         AllowTcpForwarding remote\nGatewayPorts no\nMaxSessions 0\nMaxStartups 4000:100:4000\nUseDNS no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nClientAliveInterval {KEEPALIVE_S}\nLogLevel QUIET\n",
        path("host").display(),
        path("keys").display()
    );
    fs::write(path("config"), config).expect("written");
    let host_key = key(usize::MAX).public_key().to_openssh().expect("a key");
    let process = launch(folder.path(), address);
    Server { process, address, host_key, user, first, folder }
}

/// Kills it with all its sessions and starts it again where it was.
pub fn restart(server: &mut Server) {
    server.process.kill();
    server.process = launch(server.folder.path(), server.address);
}

fn launch(folder: &Path, address: SocketAddr) -> Process {
    let config = folder.join("config");
    let process = Process::start(Command::new("/usr/sbin/sshd").arg("-D").arg("-e").arg("-f").arg(config));
    until(|| TcpStream::connect(address).is_ok());
    process
}

/// A stock client, as the first device of a server.
pub fn client(server: &Server, service: u16, options: &[&str]) -> Process {
    let path = |name: &str| -> PathBuf { server.folder.path().join(name) };
    write_key(&path("device"), server.first);
    let ssh_port = server.address.port().to_string();
    fs::write(path("hosts"), format!("[127.0.0.1]:{ssh_port} {}\n", server.host_key)).expect("written");
    let forward = format!("{}:127.0.0.1:{service}", port(server.first));
    let hosts = format!("UserKnownHostsFile={}", path("hosts").display());
    let mut command = Command::new("ssh");
    command
        .args(["-F", "none", "-N", "-p", &ssh_port, "-R", &forward, "-o", &hosts])
        .arg("-i")
        .arg(path("device"));
    command.args(["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]);
    let command = command.args(options).arg(format!("{}@127.0.0.1", server.user)).stderr(Stdio::inherit());
    Process::start(command)
}

/// Waits until something holds.
pub fn until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "it never comes up");
        std::thread::sleep(Duration::from_millis(20));
    }
}
