//! What a configuration must be.

use std::path::{Component, Path};

use anyhow::{bail, ensure};

use super::DockerConfig;

/// Directories that are in memory, not on the volume.
pub(in super::super) const IN_MEMORY: [&str; 2] = ["/tmp", "/run"];
/// Directories that the engine itself fills.
const OF_THE_ENGINE: [&str; 3] = ["/proc", "/sys", "/dev"];
const WRITABLE_MAX: usize = 32;
const PATH_BYTES_MAX: usize = 80;
const COMMAND_BYTES_MAX: usize = 16_384;
const IMAGE_BYTES_MAX: usize = 512;
const MEMORY_MIB_MIN: u64 = 16;
const MEMORY_MIB_MAX: u64 = 1 << 24;
const PIDS_MIN: u32 = 16;
const PIDS_MAX: u32 = 1 << 20;
const TMP_MIB_MAX: u32 = 65_536;
const STOP_GRACE_S_MAX: u32 = 300;

impl DockerConfig {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub fn check(&self) -> anyhow::Result<()> {
        let Self { image, socket, pids, tmp_mib, stop_grace_s, .. } = self;
        ensure!(
            !image.is_empty()
                && image.len() <= IMAGE_BYTES_MAX
                && image.bytes().all(|b| b.is_ascii_graphic()),
            "\"image\" must name an image like registry.example/renter:1, got {image:?}"
        );
        let path = self.socket_path();
        ensure!(
            path.is_absolute() && !path.to_string_lossy().contains("://"),
            "\"socket\" must be a socket on this machine like unix:///var/run/docker.sock, got {socket:?}"
        );
        if let Some(command) = &self.command {
            let bytes: usize = command.iter().map(String::len).sum();
            ensure!(!command.is_empty(), "\"command\" is empty; leave it out to run the image's own command");
            ensure!(bytes <= COMMAND_BYTES_MAX, "\"command\" must be at most {COMMAND_BYTES_MAX} bytes");
            ensure!(
                !command.iter().any(|c| c.contains('\0')),
                "\"command\" must not contain a NUL character"
            );
        }
        if let Some(mib) = self.memory_mib {
            ensure!(
                (MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&mib),
                "\"memory_mib\" must be between {MEMORY_MIB_MIN} and {MEMORY_MIB_MAX}, got {mib}"
            );
        }
        ensure!(
            (PIDS_MIN..=PIDS_MAX).contains(pids),
            "\"pids\" must be between {PIDS_MIN} and {PIDS_MAX}, got {pids}"
        );
        ensure!(
            (1..=TMP_MIB_MAX).contains(tmp_mib),
            "\"tmp_mib\" must be between 1 and {TMP_MIB_MAX}, got {tmp_mib}"
        );
        ensure!(
            *stop_grace_s <= STOP_GRACE_S_MAX,
            "\"stop_grace_s\" must be at most {STOP_GRACE_S_MAX}, got {stop_grace_s}"
        );
        self.check_writable()
    }

    fn check_writable(&self) -> anyhow::Result<()> {
        ensure!(
            self.writable.len() <= WRITABLE_MAX,
            "\"writable\" must name at most {WRITABLE_MAX} directories"
        );
        self.writable.iter().try_for_each(|path| check_inside(path))?;
        for (i, path) in self.writable.iter().enumerate() {
            let reserved = OF_THE_ENGINE.iter().chain(&IN_MEMORY).find(|r| Path::new(path).starts_with(r));
            if let Some(reserved) = reserved {
                bail!("\"writable\" must not name {path}: {reserved} is never on the volume");
            }
            for (j, other) in self.writable.iter().enumerate() {
                if i != j && Path::new(path).starts_with(other) {
                    bail!("\"writable\" names {path} and {other}, which contains it; remove {path}");
                }
            }
        }
        ensure!(
            self.writable.iter().any(|path| path == "/etc"),
            "\"writable\" must name /etc: the renter's login is written there"
        );
        Ok(())
    }
}

/// Whether `path` names a directory inside an image in the one canonical way.
pub(in super::super) fn check_inside(path: &str) -> anyhow::Result<()> {
    let plain = |c: Component<'_>| matches!(c, Component::RootDir | Component::Normal(_));
    ensure!(
        path.len() > 1 && path.starts_with('/') && Path::new(path).components().all(plain),
        "{path:?} must be an absolute directory of the image like /srv, without .., and not the root"
    );
    let rebuilt: std::path::PathBuf = Path::new(path).components().collect();
    ensure!(rebuilt.as_os_str() == path, "{path:?} must be written as {}", rebuilt.display());
    ensure!(!path.chars().any(char::is_control), "{path:?} must not contain control characters");
    ensure!(path.len() <= PATH_BYTES_MAX, "{path:?} must be at most {PATH_BYTES_MAX} bytes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    /// As `agent.json` holds it.
    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Workload {
        Docker(DockerConfig),
    }

    fn read(extra: &Value) -> Result<DockerConfig, String> {
        let mut value = json!({"kind": "docker", "image": "renter"});
        for (key, field) in extra.as_object().unwrap() {
            value[key] = field.clone();
        }
        let Workload::Docker(config) = serde_json::from_value(value).map_err(|e| e.to_string())?;
        config.check().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn an_image_is_enough() {
        let config = read(&json!({})).unwrap();
        assert_eq!(config, DockerConfig::of("renter"));
        assert_eq!(config.socket_path(), Path::new("/var/run/docker.sock"));
    }

    #[test]
    fn cpus_are_decimal() {
        let config = read(&json!({"cpus": 1.5})).unwrap();
        assert_eq!(config.cpus.unwrap().nano(), 1_500_000_000);
        assert!(serde_json::to_string(&config).unwrap().contains("\"cpus\":1.5"));
    }

    #[test]
    fn a_broken_configuration_says_what_is_wrong() {
        for (extra, said) in [
            (json!({"image": ""}), "\"image\" must name"),
            (json!({"image": "a b"}), "\"image\" must name"),
            (json!({"imgae": "a"}), "unknown field `imgae`"),
            (json!({"socket": "tcp://1.2.3.4:2375"}), "a socket on this machine"),
            (json!({"socket": "unix://docker.sock"}), "a socket on this machine"),
            (json!({"pull": "sometimes"}), "`missing`"),
            (json!({"network": "macvlan"}), "`bridge`"),
            (json!({"command": []}), "leave it out"),
            (json!({"memory_mib": 1}), "\"memory_mib\" must be between"),
            (json!({"cpus": 0}), "\"cpus\" must be between"),
            (json!({"pids": 1}), "\"pids\" must be between"),
            (json!({"tmp_mib": 0}), "\"tmp_mib\" must be between"),
            (json!({"stop_grace_s": 100_000}), "\"stop_grace_s\" must be at most"),
            (json!({"writable": ["/home"]}), "must name /etc"),
            (json!({"writable": ["/etc", "/"]}), "not the root"),
            (json!({"writable": ["/etc", "srv"]}), "absolute directory"),
            (json!({"writable": ["/etc", "/srv/.."]}), "without .."),
            (json!({"writable": ["/etc", "/srv/."]}), "must be written as /srv"),
            (json!({"writable": ["/etc", "//srv/"]}), "must be written as /srv"),
            (json!({"writable": ["/etc", "/tmp/x"]}), "/tmp is never on the volume"),
            (json!({"writable": ["/etc", "/etc/ssh"]}), "remove /etc/ssh"),
            (json!({"writable": ["/etc", "/etc"]}), "remove /etc"),
        ] {
            let error = read(&extra).unwrap_err();
            assert!(error.contains(said), "{extra}: {error}");
        }
    }
}
