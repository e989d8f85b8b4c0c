//! A herd of devices that comes back after a power cut.
//!
//! `cargo bench -p berth-api --bench herd`; about seven minutes, after the build.
//!
//! A real `berth serve` on SQLite, in a process of its own, holds the leases of all devices. Then all of them ask at once
//! what to do, each over a TCP connection of its own from this process, and go on with long polls over the same connection,
//! as the agent does: once with their first polls spread as the agent spreads them, once without (the worst case). What is
//! told: how long a device waited for its first answer, from opening its connection and retries included; how much later
//! than it should a long poll was answered; and what that cost the server. Every answer is held against the pinned root
//! key and the nonce, after the clock was stopped: both processes share this machine.
//!
//! The floor is measured in the same run and the same way: the same devices against a bare axum server that reads the same
//! question, waits as long and answers as many bytes that it did not compute.
//!
//! | environment | | default |
//! |---|---|---|
//! | `HERD_DEVICES` | how many | 10000 |
//! | `HERD_SPREAD_S` | the first polls are spread over this | 60 |
//! | `HERD_STEADY_S` | how long they go on | 60 |
//! | `HERD_WAIT_S` | how long a poll waits for news | 25 |
//! | `HERD_LOST` | `1`: the server has given all of them up, and writes down that each is back (in the first round) | 0 |
//! | `HERD_ONLY` | `spread` or `at-once` | both |
//!
//! Each process needs about a thousand files more than there are devices.

use std::time::Duration;

mod device;
mod floor;
mod herd;
mod process;
mod report;
mod world;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Devices.
    pub devices: usize,
    /// The first polls are spread over this time.
    pub spread: Duration,
    /// How long they go on polling.
    pub steady: Duration,
    /// How long a poll waits for news, in seconds.
    pub wait_s: u32,
    /// Whether the server has given the devices up.
    pub lost: bool,
}

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match arguments.get(1).map(String::as_str) {
        Some("floor") => runtime.block_on(floor::serve()),
        _ => runtime.block_on(measure()),
    }
}

async fn measure() {
    let plan = Plan {
        devices: usize::try_from(setting("HERD_DEVICES", 10_000)).expect("a size"),
        spread: Duration::from_secs(setting("HERD_SPREAD_S", 60)),
        steady: Duration::from_secs(setting("HERD_STEADY_S", 60)),
        wait_s: u32::try_from(setting("HERD_WAIT_S", 25)).expect("a time"),
        lost: setting("HERD_LOST", 0) == 1,
    };
    let only = std::env::var("HERD_ONLY").ok();
    let rounds = [("spread", plan), ("at-once", Plan { spread: Duration::ZERO, ..plan })];
    let rounds: Vec<_> =
        rounds.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)).collect();
    println!(
        "{} devices; first polls spread over {} s or at once; long polls of {} s for {} s",
        plan.devices,
        plan.spread.as_secs(),
        plan.wait_s,
        plan.steady.as_secs()
    );
    let world = world::World::make(&plan).await;
    report::heading();
    for (name, plan) in rounds {
        let floor = process::Server::floor();
        let least = herd::run(&plan, &world, &floor, false).await;
        drop(floor);
        report::line(&format!("axum {name}"), &least);
        let berth = process::Server::berth(world.data());
        let told = herd::run(&plan, &world, &berth, true).await;
        drop(berth);
        report::line(&format!("berth {name}"), &told);
        report::ratio(&told, &least);
    }
}
