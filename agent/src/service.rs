//! What the service manager is told, and the unit that it starts the agent from.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is told to anybody; a message that cannot be sent stops nothing.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, ensure};
use sd_notify::NotifyState;
use tracing::debug;

use crate::clock::Boot;

/// The unit as it stands in the repository, for the paths below.
const UNIT: &str = include_str!("../berth-agent.service");
/// The program in [`UNIT`].
const PROGRAM: &str = "/usr/bin/berth-agent";
/// The configuration in [`UNIT`].
const CONFIG: &str = "/etc/berth/agent.json";

/// The service manager, if one listens.
#[derive(Debug)]
pub struct Service {
    /// A sign of life is sent at most this often; none are wanted otherwise.
    every: Option<Duration>,
    last: Mutex<Option<Boot>>,
}

impl Service {
    /// The one that the environment names.
    #[must_use]
    pub fn from_env() -> Self {
        // Four signs within the time after which the service manager gives up.
        Self { every: sd_notify::watchdog_enabled().map(|limit| limit / 4), last: Mutex::new(None) }
    }

    /// The agent is up: its state could be read.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The agent ends because it was told to.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// A sign of life; may be given as often as one likes.
    pub fn beat(&self) {
        let Some(every) = self.every else { return };
        let now = Boot::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if is_due(*last, now, every) {
            *last = Some(now);
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn is_due(last: Option<Boot>, now: Boot, every: Duration) -> bool {
    last.is_none_or(|last| now - last >= every)
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager cannot be told");
    }
}

/// The systemd unit that runs `program` with `config` once the file systems of `places` are there too; all paths must be
/// absolute.
///
/// # Errors
/// When a path cannot stand in a unit.
pub fn unit(program: &Path, config: &Path, places: &[&Path]) -> anyhow::Result<String> {
    let program = escaped(program)?;
    // In arguments, unlike in the program's own path, $ stands for a variable.
    let (place, argument) = (escaped(config)?, escaped(config)?.replace('$', "$$"));
    let mut mounts = vec![quoted(&place)];
    for place in places {
        mounts.push(quoted(&escaped(place)?));
    }
    let mounts = mounts.join(" ");
    let lines = UNIT.lines().map(|line| match line.split_once('=') {
        Some(("ExecStart", rest)) => {
            let rest = rest.replace(PROGRAM, &quoted(&program)).replace(CONFIG, &quoted(&argument));
            format!("ExecStart={rest}\n")
        }
        Some(("RequiresMountsFor", rest)) => {
            format!("RequiresMountsFor={}\n", rest.replace(CONFIG, &mounts))
        }
        _ => format!("{line}\n"),
    });
    Ok(lines.collect())
}

/// A path with what systemd would take for something else.
fn escaped(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    ensure!(path.is_absolute(), "{shown} is not an absolute path");
    let text = path.to_str().with_context(|| format!("{shown} is not UTF-8; a unit cannot name it"))?;
    ensure!(
        !text.chars().any(char::is_control),
        "{shown:?} holds a control character; a unit cannot name it"
    );
    Ok(text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

fn quoted(escaped: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:%$".contains(c);
    if escaped.chars().all(is_plain) { escaped.to_owned() } else { format!("\"{escaped}\"") }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixDatagram, process::Command};

    use super::*;

    #[test]
    fn the_unit_in_the_repository_names_the_paths_that_are_filled_in() {
        assert_eq!(unit(Path::new(PROGRAM), Path::new(CONFIG), &[]).unwrap(), UNIT);
        let exec = UNIT.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert!(exec.contains(PROGRAM) && exec.contains(CONFIG));
        assert!(UNIT.contains(&format!("RequiresMountsFor={CONFIG}")));
    }

    #[test]
    fn a_unit_starts_after_the_disks_and_does_not_wait_for_the_network() {
        let orders: Vec<_> = UNIT.lines().filter(|l| l.starts_with("After=")).collect();
        assert_eq!(orders, ["After=local-fs.target"]);
        assert!(!UNIT.lines().any(|l| l.starts_with("Wants=") || l.starts_with("Requires=")));
    }

    /// Any of these gives the agent mounts of its own, and the renter's volume would not reach the container engine.
    #[test]
    fn nothing_in_the_unit_hides_mounts_from_the_container_engine() {
        const HIDING: [&str; 25] = [
            "BindPaths",
            "BindReadOnlyPaths",
            "ExecPaths",
            "ExtensionImages",
            "InaccessiblePaths",
            "MountFlags",
            "MountImages",
            "NoExecPaths",
            "PrivateDevices",
            "PrivateIPC",
            "PrivateMounts",
            "PrivateTmp",
            "PrivateUsers",
            "ProcSubset",
            "ProtectControlGroups",
            "ProtectHome",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectProc",
            "ProtectSystem",
            "ReadOnlyPaths",
            "ReadWritePaths",
            // Not for the mounts: images bring directories with such bits.
            "RestrictSUIDSGID",
            "TemporaryFileSystem",
        ];
        let set = |name: &&str| UNIT.lines().any(|l| l.starts_with(&format!("{name}=")));
        assert_eq!(HIDING.into_iter().find(set), None);
    }

    #[test]
    fn what_systemd_would_misread_in_a_path_is_escaped() {
        let unit = unit(
            Path::new("/opt/my agent/berth-agent"),
            Path::new("/srv/100% $mine/a\".json"),
            &[Path::new("/var/lib/berth")],
        )
        .unwrap();
        assert!(
            unit.contains(
                "ExecStart=\"/opt/my agent/berth-agent\" run --config \"/srv/100%% $$mine/a\\\".json\""
            ),
            "{unit}"
        );
        assert!(unit.contains("RequiresMountsFor=\"/srv/100%% $mine/a\\\".json\""), "{unit}");
        for path in ["relative", "/a\nExecStartPre=/bin/evil"] {
            assert!(super::unit(Path::new(path), Path::new(CONFIG), &[]).is_err(), "{path}");
        }
    }

    #[test]
    fn signs_of_life_are_rationed() {
        let at = |seconds| Boot::at(Duration::from_secs(seconds));
        let every = Duration::from_secs(45);
        assert!(is_due(None, at(0), every) && is_due(Some(at(10)), at(55), every));
        assert!(!is_due(Some(at(10)), at(54), every) && !is_due(Some(at(10)), at(3), every));
    }

    /// Also what [`the_service_manager_hears_everything_once`] runs, in a process with an environment of its own.
    #[test]
    fn saying_everything_to_nobody_fails_nothing() {
        let service = Service::from_env();
        service.ready();
        (0..1_000).for_each(|_| service.beat());
        service.stopping();
    }

    #[test]
    fn the_service_manager_hears_everything_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let say = |name: &str, value: &std::ffi::OsStr, watchdog: &str| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "service::tests::saying_everything_to_nobody_fails_nothing"]);
            child.env_remove("WATCHDOG_PID").env(name, value).env("WATCHDOG_USEC", watchdog);
            assert!(child.output().unwrap().status.success());
            let mut heard = Vec::new();
            let mut buffer = [0; 4_096];
            while let Ok(length) = socket.recv(&mut buffer) {
                heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
            heard
        };
        let all = ["READY=1\n", "WATCHDOG=1\n", "STOPPING=1\n"];
        assert_eq!(say("NOTIFY_SOCKET", path.as_os_str(), "180000000"), all);
        let unwatched = [all[0], all[2]];
        assert_eq!(say("NOTIFY_SOCKET", path.as_os_str(), ""), unwatched);
        assert!(say("UNUSED", path.as_os_str(), "180000000").is_empty());
        assert!(say("NOTIFY_SOCKET", "/nonexistent".as_ref(), "180000000").is_empty());
    }
}
