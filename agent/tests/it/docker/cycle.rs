//! Create, run, stop, run, remove.

use std::{fs, os::unix::fs::MetadataExt};

use agent::{
    choice::Choice,
    workload::{Services, Workload, docker::config::Network},
};
use domain::wire::StepResult;

use super::rented::{Rented, nothing};
use crate::kit::{
    engine::Engine,
    images::{BARE, RICH},
};

#[tokio::test]
async fn a_lease_is_created_run_stopped_run_again_and_removed() {
    let Some(engine) = Engine::shared("a_lease_is_created_run_stopped_run_again_and_removed") else { return };
    let mut rented = Rented::new(engine);
    assert_eq!(rented.docker.problems().await, Vec::<String>::new());
    assert_eq!(rented.docker.running(rented.device).await, None);
    rented.run().await.unwrap();
    assert_eq!(rented.docker.running(rented.device).await, Some(3));
    assert_eq!(rented.names(&rented.name()).await, [rented.name()], "what filled the volume is gone");

    let (id, started) = (rented.inspect().await.id, rented.started_at().await);
    rented.run().await.unwrap();
    assert_eq!(
        (id.clone(), started.clone()),
        (rented.inspect().await.id, rented.started_at().await),
        "a no-op"
    );

    assert_eq!(rented.inside("echo mine > /home/app/letter").await, (true, String::new()));
    rented.docker.stop(rented.device).await.unwrap();
    assert_eq!(rented.docker.running(rented.device).await, None);
    assert_eq!(rented.inspect().await.state.unwrap().exit_code, Some(0), "it was asked to end, not killed");
    rented.docker.stop(rented.device).await.unwrap();

    rented.run().await.unwrap();
    assert_eq!(id, rented.inspect().await.id, "the same container");
    assert_ne!(started, rented.started_at().await);
    assert_eq!(rented.inside("cat /home/app/letter").await, (true, "mine".into()));

    let said = rented.remove().await;
    assert_eq!(said, (StepResult::Done, format!("killed and removed {}", rented.name())));
    assert_eq!(rented.names(&rented.name()).await, Vec::<String>::new());
    assert_eq!(rented.on_volume("home/app/letter"), "mine\n", "the volume is erased by somebody else");
    assert_eq!(rented.remove().await, nothing());
}

#[tokio::test]
async fn the_writable_directories_are_the_images_with_owners_and_modes() {
    let name = "the_writable_directories_are_the_images_with_owners_and_modes";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::new(engine);
    rented.run().await.unwrap();
    let root = rented.data().join("root");
    let of = |path: &str| {
        let seen = fs::metadata(root.join(path)).unwrap();
        (seen.mode() & 0o7777, seen.uid(), seen.gid())
    };
    assert_eq!(of("home/app"), (0o700, 1000, 1000));
    assert_eq!(of("home/app/notes"), (0o600, 1000, 1000));
    assert_eq!(of("usr+local/raised"), (0o4755, 0, 0));
    assert_eq!(of("srv"), (0o2775, 1000, 1000), "the symlinked directory itself");
    assert_eq!(rented.on_volume("srv/page"), "served\n");
    assert_eq!(rented.inside("cat /srv/page").await, (true, "served".into()));
    assert_eq!(of("root"), (0o700, 0, 0));
    assert_eq!(of("opt"), (0o755, 0, 0), "not in the image");
    assert_eq!(of(".").0, 0o700, "nobody but the agent's user sees the volume");
    // A declared volume would lie in the engine's files.
    assert_eq!(of("var+lib+db"), (0o750, 1000, 1000));
    assert_eq!(
        rented.inside("cat /var/lib/db/rows; echo new > /var/lib/db/rows").await,
        (true, "rows".into())
    );
    assert_eq!(rented.on_volume("var+lib+db/rows"), "new\n");
    let mounts = rented.inspect().await.mounts.unwrap();
    assert!(
        mounts.iter().all(|m| m.source.as_ref().unwrap().starts_with(root.to_str().unwrap())),
        "{mounts:?}"
    );
    rented.remove().await;
}

#[tokio::test]
async fn what_the_renter_writes_lies_on_the_volume_or_in_memory() {
    let name = "what_the_renter_writes_lies_on_the_volume_or_in_memory";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::new(engine);
    rented.run().await.unwrap();
    for path in ["/home", "/root", "/etc", "/var", "/opt", "/srv", "/usr/local"] {
        let (written, said) = rented.inside(&format!("echo {path} > {path}/secret-of-the-renter")).await;
        assert!(written, "{path}: {said}");
        let on_volume = format!("{}/secret-of-the-renter", path.trim_start_matches('/').replace('/', "+"));
        assert_eq!(rented.on_volume(&on_volume), format!("{path}\n"));
    }
    for path in ["/", "/bin", "/data", "/usr", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname"] {
        let file = if path.starts_with("/etc/") { path.to_owned() } else { format!("{path}/x") };
        let (written, said) = rented.inside(&format!("echo x >> {file}")).await;
        assert!(!written && said.contains("Read-only"), "{path}: {said}");
    }
    for path in ["/tmp", "/run", "/dev/shm"] {
        let written =
            rented.inside(&format!("echo x > {path}/secret-of-the-renter && stat -f -c %T {path}")).await;
        assert_eq!(written, (true, "tmpfs".into()), "{path}");
    }
    assert!(rented.inside("cp /bin/busybox /tmp/ls && /tmp/ls / >/dev/null").await.0);
    let (full, said) = rented.inside("dd if=/dev/zero of=/tmp/big bs=1M count=80").await;
    assert!(!full && said.contains("No space"), "{said}");
    // Neither does the engine write it down.
    let listed = std::process::Command::new("find")
        .arg(rented.engine.files())
        .args(["-path", "*/merged", "-prune", "-o", "-name", "secret-of-the-renter", "-print"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "");
    rented.remove().await;
}

#[tokio::test]
async fn the_volume_is_filled_once() {
    let Some(engine) = Engine::shared("the_volume_is_filled_once") else { return };
    let mut rented = Rented::new(engine);
    rented.run().await.unwrap();
    assert!(rented.inside("rm /home/app/notes; echo changed > /srv/page; ln -s / /opt/all").await.0);
    rented.remove().await;
    rented.run().await.unwrap();
    assert!(!rented.inside("cat /home/app/notes").await.0, "what was deleted stays so");
    assert_eq!(rented.on_volume("srv/page"), "changed\n");
    rented.remove().await;
}

#[tokio::test]
async fn another_configuration_makes_another_container_with_the_same_files() {
    let name = "another_configuration_makes_another_container_with_the_same_files";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::new(engine);
    rented.run().await.unwrap();
    let id = rented.inspect().await.id;
    assert!(rented.inside("echo mine > /home/letter").await.0);
    rented.restarted(|config| config.stop_grace_s = 1);
    rented.run().await.unwrap();
    assert_eq!(rented.inspect().await.id, id, "nothing that the container is made of changed");
    rented.restarted(|config| config.pids = 77);
    rented.run().await.unwrap();
    let now = rented.inspect().await;
    assert_ne!(now.id, id);
    assert_eq!(now.host_config.unwrap().pids_limit, Some(77));
    assert_eq!(rented.inside("cat /home/letter").await, (true, "mine".into()));
    rented.remove().await;
}

#[tokio::test]
async fn a_paused_container_goes_on_and_a_paused_one_can_be_stopped() {
    let name = "a_paused_container_goes_on_and_a_paused_one_can_be_stopped";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::with(engine, BARE, |config| config.stop_grace_s = 1);
    rented.run().await.unwrap();
    let client = engine.client().negotiate_version().await.unwrap();
    client.pause_container(&rented.name()).await.unwrap();
    rented.run().await.unwrap();
    assert!(rented.inside("true").await.0);
    client.pause_container(&rented.name()).await.unwrap();
    rented.docker.stop(rented.device).await.unwrap();
    assert_eq!(rented.docker.running(rented.device).await, None);
    rented.remove().await;
}

#[tokio::test]
async fn a_workload_that_does_not_listen_is_killed_after_its_grace() {
    let name = "a_workload_that_does_not_listen_is_killed_after_its_grace";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::with(engine, RICH, |config| {
        config.stop_grace_s = 1;
        config.command = Some(["/bin/sh", "-c", "trap '' TERM; sleep 1000000"].map(Into::into).into());
    });
    rented.run().await.unwrap();
    rented.docker.stop(rented.device).await.unwrap();
    assert_eq!(rented.inspect().await.state.unwrap().exit_code, Some(137));
    rented.remove().await;
}

#[tokio::test]
async fn what_runs_says_where_its_services_are_and_which_run_it_is() {
    let Some(engine) = Engine::shared("what_runs_says_where_its_services_are_and_which_run_it_is") else {
        return;
    };
    let mut rented = Rented::with(engine, BARE, |config| {
        // The tests' engine has no network of its own.
        config.network = Network::Host;
        config.ports.ssh = Choice::Set(2_222.try_into().unwrap());
    });
    let device = rented.device;
    assert_eq!(rented.docker.services(device).await, Ok(Services::default()));
    rented.run().await.unwrap();
    let first = rented.docker.services(device).await.unwrap();
    assert_eq!(first.ssh.as_ref().map(ToString::to_string), Some("127.0.0.1:2222".into()));
    assert_eq!((&first.http, &first.https), (&None, &None));
    assert_eq!(rented.docker.services(device).await.as_ref(), Ok(&first), "the same run");
    rented.docker.stop(device).await.unwrap();
    assert_eq!(rented.docker.services(device).await, Ok(Services::default()));
    rented.run().await.unwrap();
    let again = rented.docker.services(device).await.unwrap();
    assert_ne!(again.run, first.run);
    assert_eq!(Services { run: first.run.clone(), ..again }, first);
    rented.remove().await;
}
