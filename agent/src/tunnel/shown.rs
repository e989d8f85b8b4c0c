//! How the tunnel stands, in a file beside the record that `status` reads.
//!
//! # Correctness
//! It is for people only: nothing is decided by it, and it is not made durable. It names the process and the boot that
//! wrote it, so that what a killed agent left behind is not taken for true.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::{
    clock::Boot,
    tree::{Disk, Tree},
};

const FILE: &str = "tunnel.json";
const BYTES_MAX: u64 = 8_192;

/// How a tunnel can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Visitors get through.
    Up,
    /// They do not, and should.
    Down,
    /// They should not.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    state: State,
    gateway: Option<String>,
    why: Option<String>,
    since_ms: u64,
    boot: String,
    process: u32,
}

/// How the tunnel of a running agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// How.
    pub state: State,
    /// The gateway's address.
    pub gateway: Option<String>,
    /// Why it is not up, or what is missing.
    pub why: Option<String>,
    /// For how long, in seconds.
    pub for_s: u64,
}

impl Standing {
    /// As the agent that runs on this directory last said; nothing when none runs or it said nothing.
    #[must_use]
    pub fn read(data_dir: &Path) -> Option<Self> {
        let bytes = Disk.read(&data_dir.join(FILE), BYTES_MAX).ok()??;
        let written: Written = serde_json::from_slice(&bytes).ok()?;
        let lives = Path::new("/proc").join(written.process.to_string()).exists();
        let for_s = Boot::at(Duration::from_millis(written.since_ms)).elapsed().as_secs();
        let Written { state, gateway, why, boot: written_in, .. } = written;
        (lives && written_in == boot()).then_some(Self { state, gateway, why, for_s })
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Up => "up",
            State::Down => "down",
            State::Closed => "closed",
        };
        write!(f, "{state} for {} s", self.for_s)?;
        if let Some(gateway) = &self.gateway {
            write!(f, ", to {gateway}")?;
        }
        self.why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

/// The id of this boot.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Where it is shown; nowhere unless there is a directory.
#[derive(Debug)]
pub(super) struct Shown {
    path: Option<PathBuf>,
    last: Mutex<Option<Written>>,
}

impl Shown {
    pub(super) fn new(data_dir: Option<&Path>) -> Self {
        Self { path: data_dir.map(|directory| directory.join(FILE)), last: Mutex::default() }
    }

    /// Shows it, if it is news; `why` is for people.
    pub(super) fn show(&self, state: State, gateway: Option<&str>, why: Option<String>) {
        let Some(path) = &self.path else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let gateway = gateway.map(str::to_owned);
        let known = |last: &Written| last.state == state && last.gateway == gateway;
        if last.as_ref().is_some_and(|last| known(last) && last.why == why) {
            return;
        }
        let since_ms = last.as_ref().filter(|last| known(last)).map_or_else(now_ms, |last| last.since_ms);
        let written = Written { state, gateway, why, since_ms, boot: boot(), process: std::process::id() };
        if let Err(error) = write(path, &written) {
            debug!(%error, "how the tunnel stands could not be shown");
        }
        *last = Some(written);
    }
}

fn now_ms() -> u64 {
    u64::try_from(Boot::now().since_boot().as_millis()).unwrap_or(u64::MAX)
}

fn write(path: &Path, written: &Written) -> std::io::Result<()> {
    let temporary = path.with_extension("json.tmp");
    Disk.remove(&temporary)?;
    Disk.create(&temporary, &serde_json::to_vec(written)?)?;
    Disk.rename(&temporary, path)
}

impl Drop for Shown {
    fn drop(&mut self) {
        let shown = self.last.get_mut().unwrap_or_else(PoisonError::into_inner).is_some();
        if let Some(path) = self.path.as_ref().filter(|_| shown) {
            // What stays behind names a process that is gone.
            let _ = Disk.remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_is_read_while_its_agent_runs_and_not_from_another_boot() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Standing::read(directory.path()), None);
        let shown = Shown::new(Some(directory.path()));
        shown.show(State::Down, Some("gateway.example:2222"), Some("it does not answer".into()));
        let standing = Standing::read(directory.path()).unwrap();
        assert_eq!((standing.state, standing.for_s), (State::Down, 0));
        assert_eq!(standing.to_string(), "down for 0 s, to gateway.example:2222: it does not answer");
        let path = directory.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        for (old, new) in
            [(boot(), "another boot".to_owned()), (std::process::id().to_string(), "4294967295".into())]
        {
            fs::write(&path, text.replace(&old, &new)).unwrap();
            assert_eq!(Standing::read(directory.path()), None);
        }
        drop(shown);
        assert!(!path.exists());
    }
}
