//! What stands in the way of running, for a human.

use bollard::models::SystemInfo;

use super::{
    config::{DockerConfig, Pull},
    engine::{Engine, Failure, Patience},
    image,
};

/// Everything that is wrong at once; empty when nothing is.
pub(super) async fn problems(config: &DockerConfig, patience: Patience) -> Vec<String> {
    match look(config, patience).await {
        Ok(problems) => problems,
        Err(failure) => vec![failure.said],
    }
}

async fn look(config: &DockerConfig, patience: Patience) -> Result<Vec<String>, Failure> {
    let engine = Engine::reach(config, patience).await?;
    let info = engine.call("describe itself", engine.docker().info()).await?;
    let mut problems = about(config, &info);
    if config.pull == Pull::Never && image::find(&engine, &config.image).await?.is_none() {
        problems.push(image::missing(&config.image));
    }
    Ok(problems)
}

fn about(config: &DockerConfig, info: &SystemInfo) -> Vec<String> {
    let mut problems = Vec::new();
    let boot = "add cgroup_enable=memory cgroup_memory=1 swapaccount=1 to the kernel's command line (on a Raspberry Pi: /boot/firmware/cmdline.txt) and reboot";
    if info.os_type.as_deref().is_some_and(|os| os != "linux") {
        problems.push("the container engine does not run Linux containers; use a Linux engine".into());
    }
    if info.memory_limit == Some(false) {
        problems.push(format!("this kernel cannot limit a renter's memory; {boot}"));
    } else if info.swap_limit == Some(false) {
        problems
            .push(format!("this kernel cannot keep a renter's memory out of swap; turn swap off, or {boot}"));
    }
    if info.pids_limit == Some(false) {
        problems.push("this kernel cannot limit a renter's processes; use one with the pids cgroup".into());
    }
    if config.cpus.is_some() && info.cpu_cfs_quota == Some(false) {
        problems.push("this kernel cannot limit a renter's processors; leave out \"cpus\"".into());
    }
    let wanted = config.cpus.map_or(0, super::config::Cpus::nano);
    if let Some(there) = info.ncpu.filter(|there| *there > 0 && wanted > there * 1_000_000_000) {
        problems.push(format!("\"cpus\" is more than the {there} processors of this device; lower it"));
    }
    let wanted = config.memory_mib.unwrap_or(0);
    let there = info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0) / (1024 * 1024);
    if there > 0 && wanted > there {
        problems.push(format!("\"memory_mib\" is more than the {there} MiB of this device; lower it"));
    }
    for (option, what) in
        [("name=userns", "maps users (userns-remap)"), ("name=rootless", "runs without root")]
    {
        if info.security_options.iter().flatten().any(|o| o.starts_with(option)) {
            problems.push(format!(
                "the container engine {what}: renters could not write to their own files; set that off in /etc/docker/daemon.json, or use an engine of its own"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SystemInfo {
        SystemInfo {
            os_type: Some("linux".into()),
            memory_limit: Some(true),
            swap_limit: Some(true),
            pids_limit: Some(true),
            cpu_cfs_quota: Some(true),
            ncpu: Some(4),
            mem_total: Some(1 << 30),
            ..SystemInfo::default()
        }
    }

    #[test]
    fn an_engine_that_keeps_every_limit_is_no_problem() {
        assert_eq!(about(&DockerConfig::of("a"), &info()), Vec::<String>::new());
    }

    #[test]
    fn a_limit_that_cannot_be_kept_is_a_problem() {
        let config = DockerConfig {
            cpus: Some(8.0.try_into().unwrap()),
            memory_mib: Some(2048),
            ..DockerConfig::of("a")
        };
        for (info, said) in [
            (SystemInfo { memory_limit: Some(false), ..info() }, "cannot limit a renter's memory"),
            (SystemInfo { swap_limit: Some(false), ..info() }, "out of swap"),
            (SystemInfo { pids_limit: Some(false), ..info() }, "cannot limit a renter's processes"),
            (SystemInfo { cpu_cfs_quota: Some(false), ..info() }, "leave out \"cpus\""),
            (info(), "the 4 processors"),
            (info(), "the 1024 MiB"),
            (SystemInfo { os_type: Some("windows".into()), ..info() }, "Linux"),
            (SystemInfo { security_options: Some(vec!["name=userns".into()]), ..info() }, "userns-remap"),
        ] {
            let problems = about(&config, &info);
            assert!(problems.iter().any(|p| p.contains(said)), "{said}: {problems:?}");
        }
    }
}
