//! What a renter's container is made of.
//!
//! # Correctness
//! Whatever the renter can write lies on the volume or in memory: the root is read-only, the engine keeps no log and no
//! result of health checks, there is neither swap nor a core dump, and every volume the image declares is bound to the
//! renter's volume. Nothing restarts it but the agent. It holds no secret: the login is set inside, later.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use domain::{event::canonical_json, key::Digest};
use serde::Serialize;

use super::{
    config::{Cpus, DockerConfig, IN_MEMORY, Network},
    owned::{Role, labels},
};
use crate::workload::Tenancy;

/// What an ordinary sshd and its sessions need.
const CAPABILITIES: [&str; 9] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
];
const MIB: i64 = 1024 * 1024;
/// What part of the device's memory a renter gets unless it is set.
const MEMORY_PART: (i64, i64) = (3, 4);
/// Grows when containers are made differently: running ones are then replaced.
const SPEC_VERSION: u32 = 1;

/// Tells containers apart that were made from something else; the login and how an image is fetched do not matter.
pub(super) fn digest(config: &DockerConfig, tenancy: &Tenancy<'_>) -> String {
    #[derive(Serialize)]
    struct Hashed<'a> {
        v: u32,
        data: &'a str,
        image: &'a str,
        command: Option<&'a [String]>,
        memory_mib: Option<u64>,
        cpus_nano: Option<i64>,
        pids: u32,
        network: Network,
        writable: &'a [String],
        tmp_mib: u32,
    }
    let hashed = Hashed {
        v: SPEC_VERSION,
        data: &tenancy.data.to_string_lossy(),
        image: &config.image,
        command: config.command.as_deref(),
        memory_mib: config.memory_mib,
        cpus_nano: config.cpus.map(Cpus::nano),
        pids: config.pids,
        network: config.network,
        writable: &config.writable,
        tmp_mib: config.tmp_mib,
    };
    Digest::of(&canonical_json(&hashed)).to_string()
}

/// The memory limit in bytes, on a device with `total` bytes.
pub(super) fn memory(config: &DockerConfig, total: i64) -> Option<i64> {
    match config.memory_mib {
        Some(mib) => i64::try_from(mib).ok().map(|mib| mib * MIB),
        None if total > 0 => Some(total / MEMORY_PART.1 * MEMORY_PART.0 / MIB * MIB),
        None => None,
    }
}

/// What the engine is asked to make.
pub(super) fn body(
    config: &DockerConfig,
    tenancy: &Tenancy<'_>,
    image: &str,
    mounts: Vec<Mount>,
    memory: Option<i64>,
    init: bool,
) -> ContainerCreateBody {
    let spec = digest(config, tenancy);
    let bound = |path: &str| mounts.iter().any(|m| m.target.as_deref() == Some(path));
    let tmpfs: HashMap<_, _> = IN_MEMORY
        .into_iter()
        .filter(|path| !bound(path))
        .map(|path| (path.to_owned(), in_memory(path, config.tmp_mib)))
        .collect();
    let host = HostConfig {
        memory,
        // As much as memory alone: no swap.
        memory_swap: memory,
        nano_cpus: config.cpus.map(Cpus::nano),
        pids_limit: Some(config.pids.into()),
        init: init.then_some(true),
        ulimits: Some(vec![ResourcesUlimits { name: Some("core".into()), soft: Some(0), hard: Some(0) }]),
        log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
        network_mode: Some(config.network.mode().into()),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        mounts: Some(mounts),
        cap_add: Some(CAPABILITIES.map(Into::into).into()),
        cap_drop: Some(vec!["ALL".into()]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        security_opt: Some(vec!["no-new-privileges".into()]),
        tmpfs: Some(tmpfs),
        shm_size: Some(i64::from(config.tmp_mib) * MIB),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        hostname: Some(format!("berth-{}", tenancy.epoch)),
        image: Some(image.into()),
        cmd: config.command.clone(),
        labels: Some(labels(tenancy.device, tenancy.epoch, Role::Workload, Some(&spec))),
        stop_signal: Some("SIGTERM".into()),
        stop_timeout: Some(config.stop_grace_s.into()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

/// The engine forbids running programs there unless it is told otherwise; people build in `/tmp`.
fn in_memory(path: &str, mib: u32) -> String {
    let mode = if path == "/tmp" { "exec,mode=1777" } else { "mode=0755" };
    format!("rw,nosuid,nodev,size={mib}m,{mode}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use domain::id::DeviceId;
    use uuid::Uuid;

    use super::*;

    fn tenancy(epoch: u32) -> Tenancy<'static> {
        let device = DeviceId(Uuid::from_u128(5));
        Tenancy { device, epoch, user: "renter", password: "correct horse", data: Path::new("/v/data") }
    }

    #[test]
    fn the_container_holds_no_login() {
        let body = body(&DockerConfig::of("a"), &tenancy(3), "sha256:1", Vec::new(), Some(MIB), true);
        let json = serde_json::to_string(&body).unwrap();
        assert!(!json.contains("correct horse") && !json.contains("renter"), "{json}");
        assert!(json.contains("berth-3"), "{json}");
    }

    #[test]
    fn only_what_the_container_is_made_of_changes_its_digest() {
        let config = DockerConfig::of("a");
        let plain = digest(&config, &tenancy(3));
        assert_eq!(plain, digest(&DockerConfig { stop_grace_s: 1, ..config.clone() }, &tenancy(3)));
        assert_eq!(plain, digest(&config, &Tenancy { password: "other", ..tenancy(3) }));
        assert_ne!(plain, digest(&DockerConfig { pids: 99, ..config.clone() }, &tenancy(3)));
        assert_ne!(plain, digest(&DockerConfig { image: "b".into(), ..config.clone() }, &tenancy(3)));
        assert_ne!(plain, digest(&config, &Tenancy { data: Path::new("/w"), ..tenancy(3) }));
    }

    #[test]
    fn a_renter_gets_three_quarters_of_the_memory_unless_told() {
        let config = DockerConfig::of("a");
        assert_eq!(memory(&config, 1024 * MIB), Some(768 * MIB));
        assert_eq!(memory(&DockerConfig { memory_mib: Some(64), ..config.clone() }, 0), Some(64 * MIB));
        assert_eq!(memory(&config, 0), None);
    }
}
