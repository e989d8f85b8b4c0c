//! Every limit is set, and holds.

use super::rented::Rented;
use crate::kit::{engine::Engine, images::RICH};

#[tokio::test]
async fn every_limit_is_set_where_the_engine_shows_it() {
    let Some(engine) = Engine::shared("every_limit_is_set_where_the_engine_shows_it") else { return };
    let mut rented = Rented::with(engine, RICH, |config| {
        config.memory_mib = Some(64);
        config.cpus = Some(0.5.try_into().unwrap());
        config.pids = 40;
    });
    rented.run().await.unwrap();
    let seen = rented.inspect().await;
    let host = seen.host_config.unwrap();
    assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
    assert_eq!((host.nano_cpus, host.pids_limit), (Some(500_000_000), Some(40)));
    assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), Some(false)));
    assert_eq!(host.cap_drop, Some(vec!["ALL".into()]));
    assert_eq!(host.cap_add.unwrap().len(), 9);
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges".into()]));
    assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("none"));
    assert_eq!(host.restart_policy.unwrap().name.map(|n| n.to_string()).as_deref(), Some("no"));
    let config = seen.config.unwrap();
    assert_eq!(config.hostname.as_deref(), Some("berth-3"));
    assert_eq!(config.healthcheck.unwrap().test, Some(vec!["NONE".into()]), "its output would be kept");
    rented.remove().await;
}

#[tokio::test]
async fn memory_processes_core_dumps_and_privileges_are_limited_inside() {
    let name = "memory_processes_core_dumps_and_privileges_are_limited_inside";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::with(engine, RICH, |config| {
        config.memory_mib = Some(64);
        config.pids = 40;
    });
    rented.run().await.unwrap();
    let memory =
        "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
    assert_eq!(rented.inside(memory).await, (true, (64 << 20).to_string()));
    let (_, said) = rented.inside_as("0", "ulimit -c; grep -E 'NoNewPrivs|CapBnd' /proc/1/status").await;
    // Nine capabilities: see the module.
    assert!(said.starts_with("0\n") && said.contains("NoNewPrivs:\t1"), "{said}");
    let bounds = said.lines().find_map(|l| l.strip_prefix("CapBnd:\t")).unwrap();
    let bounds = u64::from_str_radix(bounds, 16).unwrap();
    // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10, SYS_CHROOT 18, AUDIT_WRITE 29.
    assert_eq!(bounds, [0, 1, 3, 5, 6, 7, 10, 18, 29].iter().map(|bit| 1u64 << bit).sum::<u64>());
    // Last: what it leaves behind lets the engine start nothing else inside.
    let bomb = "i=0; while [ $i -lt 100 ]; do sleep 30 & i=$((i+1)); done 2>&1; ls -d /proc/[0-9]* | wc -l";
    let (_, said) = rented.inside(bomb).await;
    assert!(said.contains("can't fork"), "{said}");
    rented.remove().await;
}
