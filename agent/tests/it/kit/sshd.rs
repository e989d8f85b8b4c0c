//! The stock OpenSSH server, on a port of its own.
//!
//! # Shape
//! ```text
//! unshare: own mounts and processes ──► sh: /run in memory, a passwd with one more user ──► sshd -D
//! ```
//! # Correctness
//! Only sshd's own mount namespace sees the changed files. It is the first process of its namespace: when it ends, its
//! sessions end, and nothing is left.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use domain::{key::PublicKey, wire::GatewayAddress};
use russh::keys::{PublicKey as SshKey, ssh_key::public::Ed25519PublicKey};

use super::skip::skip;

const PROGRAM: &str = "/usr/sbin/sshd";
const SCRIPT: &str = "set -e
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd
mount --bind \"$1/passwd\" /etc/passwd
exec /usr/sbin/sshd -D -e -f \"$1/config\"";

/// A running sshd.
pub struct Sshd {
    pub port: u16,
    directory: tempfile::TempDir,
    child: Child,
}

impl Sshd {
    /// An sshd that lets `user` in for remote forwards to `listen` alone; says why `test` is skipped when there is none.
    pub fn start(test: &str, user: &str, listen: u16) -> Option<Self> {
        Self::try_start(user, listen).map_err(|reason| skip(test, &reason)).ok()
    }

    fn try_start(user: &str, listen: u16) -> Result<Self, String> {
        if !Path::new(PROGRAM).exists() {
            return Err("openssh-server is not installed".into());
        }
        if !is_root() {
            return Err("only root can give sshd a user of its own".into());
        }
        let directory = tempfile::tempdir().unwrap();
        let (at, port) = (directory.path().display(), free_port());
        for kind in ["ed25519", "ecdsa"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-C", "", "-t", kind, "-f"])
                .arg(directory.path().join(kind))
                .status();
            if !made.is_ok_and(|made| made.success()) {
                return Err("ssh-keygen does not work".into());
            }
        }
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/ed25519\nHostKey {at}/ecdsa\nPidFile none\nUsePAM no\n\
             StrictModes no\nAuthorizedKeysFile {at}/keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             AllowTcpForwarding remote\nMaxSessions 0\nPermitListen localhost:{listen}\n"
        );
        let passwd = fs::read_to_string("/etc/passwd").map_err(|e| e.to_string())?;
        fs::write(directory.path().join("passwd"), format!("{passwd}{user}:*:64001:65534::/:/bin/false\n"))
            .unwrap();
        fs::write(directory.path().join("config"), config).unwrap();
        fs::write(directory.path().join("keys"), "").unwrap();
        // sshd reads the keys as the user.
        open_to_all(directory.path(), 0o755);
        open_to_all(&directory.path().join("keys"), 0o644);
        let child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut sshd = Self { port, directory, child };
        sshd.until_up()?;
        Ok(sshd)
    }

    fn until_up(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if self.child.try_wait().unwrap().is_some() || start.elapsed() > Duration::from_secs(10) {
                self.end();
                let mut said = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut said).ok();
                return Err(format!("sshd does not start: {said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends sshd, of which `unshare` then takes leave.
    fn end(&mut self) {
        let id = self.child.id();
        let inside = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for sshd in inside.split_whitespace() {
            Command::new("kill").args(["-KILL", sshd]).status().ok();
        }
        if inside.trim().is_empty() {
            self.child.kill().ok();
        }
        self.child.wait().unwrap();
    }

    /// Lets this key in.
    pub fn admit(&self, key: PublicKey) {
        let line = SshKey::from(Ed25519PublicKey(key.0)).to_openssh().unwrap();
        fs::write(self.directory.path().join("keys"), format!("{line}\n")).unwrap();
    }

    /// Its host keys, best first, as OpenSSH wrote them.
    pub fn host_keys(&self) -> Vec<String> {
        let read =
            |kind: &str| fs::read_to_string(self.directory.path().join(kind)).unwrap().trim().to_owned();
        vec![read("ed25519.pub"), read("ecdsa.pub")]
    }

    pub fn address(&self) -> GatewayAddress {
        let key = SshKey::from_openssh(&self.host_keys()[0]).unwrap();
        let host_key = PublicKey(key.key_data().ed25519().unwrap().0);
        GatewayAddress { host: "127.0.0.1".into(), port: self.port, host_key }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

fn open_to_all(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
