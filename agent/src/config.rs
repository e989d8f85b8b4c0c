//! `agent.json`, the only configuration: `{"server": …, "key": …, "server_key"?: …, "ca"?: …}` and where things lie.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use domain::{
    event::canonical_json,
    key::{Digest, PublicKey},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    tree::{Disk, Tree},
    volume::{
        Volume,
        directory::Directory,
        luks::{Luks, System},
    },
    workload::{
        Nothing, Workload,
        docker::{Docker, DockerConfig},
    },
};

use crate::{tls::Ca, tunnel::TunnelConfig};

/// The longest `agent.json`, in bytes.
const CONFIG_BYTES_MAX: u64 = 65_536;
/// The longest enrolment key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// A secret that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret, to be sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where the renter's data lie.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum VolumeConfig {
    /// A directory: for demos, tests and containers; erasing it gives no physical guarantee.
    Directory {
        /// The directory; the agent alone decides what is in it.
        path: PathBuf,
    },
    /// A partition or file, encrypted with a key of which the server holds a half.
    Luks {
        /// The partition, best by a name that stays, such as one in `/dev/disk/by-partuuid`; or a file.
        path: PathBuf,
    },
}

impl VolumeConfig {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Directory { path } | Self::Luks { path } => path,
        }
    }

    /// The volume of an agent with this state directory; `fresh` becomes the identity of a new directory.
    #[must_use]
    pub fn volume(&self, data_dir: &Path, fresh: Uuid) -> Box<dyn Volume> {
        match self {
            Self::Directory { path } => Box::new(Directory::new(path, fresh)),
            Self::Luks { path } => {
                let digest = Digest::of(data_dir.as_os_str().as_encoded_bytes()).to_string();
                let system = System::new(path.clone(), format!("berth-{}", &digest[..12]));
                Box::new(Luks::new(path.clone(), data_dir.join("mount"), Box::new(system)))
            }
        }
    }

    fn beside(self, directory: &Path) -> Self {
        match self {
            Self::Directory { path } => Self::Directory { path: directory.join(path) },
            Self::Luks { path } => Self::Luks { path: directory.join(path) },
        }
    }
}

/// What runs for renters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WorkloadConfig {
    /// Nothing: the lease is a volume and an address.
    #[default]
    None,
    /// A container of a Docker Engine.
    Docker(DockerConfig),
}

impl WorkloadConfig {
    /// The workload; reaches for nothing yet.
    #[must_use]
    pub fn workload(&self) -> Box<dyn Workload> {
        match self {
            Self::None => Box::new(Nothing),
            Self::Docker(config) => Box::new(Docker::new(config.clone())),
        }
    }
}

/// `agent.json` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    server: String,
    key: Secret,
    server_key: Option<PublicKey>,
    ca: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    volume: Option<VolumeConfig>,
    #[serde(default)]
    workload: WorkloadConfig,
    #[serde(default)]
    offline_resume: bool,
    #[serde(default)]
    tunnel: TunnelConfig,
}

/// `agent.json`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The server's address, without a slash at the end.
    pub server: String,
    /// The enrolment key.
    pub key: Secret,
    /// The server's root key; without it the first one seen is pinned.
    pub server_key: Option<PublicKey>,
    /// The certificate authorities of the server; the system's unless `ca` names a PEM file.
    pub ca: Option<Ca>,
    /// Where the agent keeps its state; `agent-data` beside `agent.json` unless set.
    pub data_dir: PathBuf,
    /// The renter's volume; a directory `volume` in the data directory unless set.
    pub volume: VolumeConfig,
    /// What runs for renters; nothing unless set.
    pub workload: WorkloadConfig,
    /// Resume a paid lease after a reboot although the server cannot be reached; off unless set.
    pub offline_resume: bool,
    /// Where visitors' connections go; to what the workload offers unless set.
    pub tunnel: TunnelConfig,
}

impl Config {
    /// Reads and checks `agent.json`; relative paths start at its directory.
    ///
    /// # Errors
    /// What is wrong with it and what to do.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = Disk.read(path, CONFIG_BYTES_MAX).with_context(|| format!("cannot read {shown}"))?;
        let Some(bytes) = bytes else {
            bail!(
                "{shown} does not exist; write one with \"server\" and the \"key\" shown at enrolment, or name another with --config"
            );
        };
        let written: Written = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{shown} must be like {{\"server\": \"https://berth.example\", \"key\": \"<enrolment key>\"}}"
            )
        })?;
        let absolute = std::path::absolute(path)?;
        let beside = absolute.parent().unwrap_or(Path::new("/"));
        Self::check(written, beside).with_context(|| format!("{shown} is not usable"))
    }

    fn check(written: Written, beside: &Path) -> anyhow::Result<Self> {
        let server = written.server.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&server).with_context(|| {
            format!("\"server\" must be an address like https://berth.example, got {server:?}")
        })?;
        ensure!(matches!(url.scheme(), "https" | "http"), "\"server\" must start with https:// or http://");
        ensure!(url.query().is_none() && url.fragment().is_none(), "\"server\" must not contain ? or #");
        let key = written.key.reveal();
        ensure!(
            !key.is_empty(),
            "\"key\" is empty; copy the enrolment key shown when the device was enrolled"
        );
        ensure!(
            key.len() <= KEY_BYTES_MAX && key.bytes().all(|b| b.is_ascii_graphic()),
            "\"key\" must be at most {KEY_BYTES_MAX} visible ASCII characters without spaces"
        );
        let ca = written.ca.map(|path| Ca::read(&beside.join(path))).transpose()?;
        let data_dir = beside.join(written.data_dir.unwrap_or_else(|| "agent-data".into()));
        let volume = match written.volume {
            None => VolumeConfig::Directory { path: data_dir.join("volume") },
            Some(volume) => volume.beside(beside),
        };
        let path = volume.path();
        ensure!(path != data_dir && !data_dir.starts_with(path), "the volume must not contain \"data_dir\"");
        if let WorkloadConfig::Docker(docker) = &written.workload {
            docker.check().context("\"workload\"")?;
        }
        let (key, server_key, offline_resume) = (written.key, written.server_key, written.offline_resume);
        let (workload, tunnel) = (written.workload, written.tunnel);
        Ok(Self { server, key, server_key, ca, data_dir, volume, workload, offline_resume, tunnel })
    }

    /// SHA-256 over the canonical JSON of server, key and root key.
    #[must_use]
    pub fn hash(&self) -> Digest {
        #[derive(Serialize)]
        struct Hashed<'a> {
            server: &'a str,
            key: &'a str,
            server_key: Option<PublicKey>,
        }
        let hashed = Hashed { server: &self.server, key: self.key.reveal(), server_key: self.server_key };
        Digest::of(&canonical_json(&hashed))
    }
}

/// Whether a server's address leads to this machine.
#[must_use]
pub fn is_local(server: &str) -> bool {
    let host = reqwest::Url::parse(server).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.json");
        std::fs::write(&path, json).unwrap();
        Config::load(&path).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn two_fields_are_enough_and_the_rest_lies_beside_the_file() {
        let config = read(r#"{"server": "http://127.0.0.1:8080/", "key": "abc"}"#).unwrap();
        assert_eq!(config.server, "http://127.0.0.1:8080");
        assert!(config.data_dir.ends_with("agent-data"));
        assert_eq!(config.volume, VolumeConfig::Directory { path: config.data_dir.join("volume") });
        assert!(!format!("{config:?}").contains("abc"));
    }

    #[test]
    fn a_broken_configuration_says_what_is_wrong() {
        for (json, said) in [
            ("{", "must be like"),
            (r#"{"server": "http://x"}"#, "missing field `key`"),
            (r#"{"server": "http://x", "key": "a", "sever_key": "b"}"#, "unknown field `sever_key`"),
            (r#"{"server": "ftp://x", "key": "a"}"#, "https://"),
            (r#"{"server": "berth.example", "key": "a"}"#, "must be an address"),
            (r#"{"server": "http://x", "key": ""}"#, "enrolment key"),
            (r#"{"server": "http://x", "key": "a b"}"#, "without spaces"),
            (r#"{"server": "http://x", "key": "a", "server_key": "zz"}"#, "Ed25519 public key"),
            (r#"{"server": "http://x", "key": "a", "tunnel": {"ssh": "22"}}"#, "like 127.0.0.1:22"),
            (
                r#"{"server": "http://x", "key": "a", "data_dir": "/d", "volume": {"kind": "directory", "path": "/d"}}"#,
                "must not contain",
            ),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(said), "{json}: {error}");
        }
        assert!(
            Config::load(Path::new("/nonexistent/agent.json"))
                .unwrap_err()
                .to_string()
                .contains("does not exist")
        );
    }

    #[test]
    fn a_named_authority_is_read_from_beside_the_file_or_refused_with_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.json");
        std::fs::write(&path, r#"{"server": "https://x", "key": "a", "ca": "ca.pem"}"#).unwrap();
        let load = |pem: &[u8]| {
            std::fs::write(directory.path().join("ca.pem"), pem).unwrap();
            Config::load(&path).map_err(|e| format!("{e:#}"))
        };
        let sound = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem();
        assert!(load(sound.as_bytes()).unwrap().ca.is_some());
        let twice = load(format!("our own authority\n{sound}{sound}").as_bytes()).unwrap();
        assert_eq!(format!("{:?}", twice.ca.unwrap()), "Ca(2 certificates)");
        let (cut, inside) = (&sound[..sound.len() / 2], sound.replacen("MII", "MI*", 1));
        for (pem, said) in [
            ("", "it holds none"),
            ("30 82 01 0a", "must hold PEM certificates"),
            (cut, "must hold PEM certificates"),
            (&inside, "must hold PEM certificates"),
            ("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", "cannot be read"),
        ] {
            let error = load(pem.as_bytes()).unwrap_err();
            assert!(error.contains("\"ca\"") && error.contains(said), "{pem}: {error}");
        }
        std::fs::remove_file(directory.path().join("ca.pem")).unwrap();
        let error = format!("{:#}", Config::load(&path).unwrap_err());
        assert!(error.contains("ca.pem does not exist"), "{error}");
        std::fs::create_dir(directory.path().join("ca.pem")).unwrap();
        let error = format!("{:#}", Config::load(&path).unwrap_err());
        assert!(error.contains("cannot read"), "{error}");
    }

    #[test]
    fn the_hash_covers_server_key_and_root_key_only() {
        let hash = |json: &str| read(json).unwrap().hash();
        let plain = hash(r#"{"server": "http://x", "key": "a"}"#);
        assert_eq!(plain, hash(r#"{"key": "a", "server": "http://x/", "data_dir": "/d"}"#));
        assert_ne!(plain, hash(r#"{"server": "http://x", "key": "b"}"#));
        assert_ne!(plain, hash(r#"{"server": "http://y", "key": "a"}"#));
    }
}
