//! All devices at once.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use agent::pace;

use crate::{
    Plan,
    device::{Heard, Line},
    process::{Cost, Server},
    world::{Known, World},
};

/// What one device went through.
#[derive(Default)]
struct Lived {
    /// From waking up to the first answer.
    first: Option<Duration>,
    /// How much later than asked for each long poll was answered.
    late: Vec<Duration>,
    /// Questions without an answer: before the first answer, and after it.
    failed: [usize; 2],
    heard: Vec<Heard>,
}

/// What all of them went through.
pub struct Told {
    /// Waits for the first answer, ascending.
    pub first: Vec<Duration>,
    /// Lateness of long polls, ascending.
    pub late: Vec<Duration>,
    /// Questions without an answer: before a device's first answer, and after it.
    pub failed: [usize; 2],
    /// Devices that never had an answer.
    pub unanswered: usize,
    /// When the last device had its first answer.
    pub all_back: Option<Duration>,
    /// The server when all were back, and at the end.
    pub cost: [Cost; 2],
}

/// Sends the herd; with `judged`, every answer must hold.
pub async fn run(plan: &Plan, world: &World, server: &Server, judged: bool) -> Told {
    let (before, begun) = (server.cost().cpu_s, Instant::now());
    let end = begun + plan.spread + plan.steady;
    let back = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = world
        .devices
        .iter()
        .enumerate()
        .map(|(number, device)| {
            let life = live(device.clone(), number, *plan, server.address, end, back.clone());
            tokio::spawn(life)
        })
        .collect();
    let (mut all_back, mut middle) = (None, Cost::default());
    // Looked at before the end, when all connections are closed.
    while Instant::now() + Duration::from_millis(500) < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if all_back.is_none() && back.load(Ordering::Relaxed) == plan.devices {
            (all_back, middle) = (Some(begun.elapsed()), server.cost());
        }
    }
    let cost = [middle, server.cost()].map(|cost| Cost { cpu_s: cost.cpu_s - before, ..cost });
    let mut told =
        Told { first: Vec::new(), late: Vec::new(), failed: [0; 2], unanswered: 0, all_back, cost };
    for (device, task) in world.devices.iter().zip(tasks) {
        let lived = task.await.expect("no panic");
        assert!(
            !judged || lived.heard.iter().all(|heard| heard.holds(device, world.root)),
            "an answer does not hold"
        );
        told.unanswered += usize::from(lived.first.is_none());
        told.first.extend(lived.first);
        told.late.extend(lived.late);
        (0..2).for_each(|at| told.failed[at] += lived.failed[at]);
    }
    told.first.sort_unstable();
    told.late.sort_unstable();
    told
}

/// A device from the power's return until `end`. A question that is under way then is given up, uncounted.
async fn live(
    device: Arc<Known>,
    number: usize,
    plan: Plan,
    address: SocketAddr,
    end: Instant,
    back: Arc<AtomicUsize>,
) -> Lived {
    let mut lived = Lived::default();
    let mut line = Line::new(&device, address);
    let unit = unit(number);
    let life = async {
        // As the agent spreads its first poll, over another time perhaps.
        tokio::time::sleep(plan.spread.mul_f64(unit)).await;
        let awake = Instant::now();
        let mut seen = loop {
            if let (Some(heard), _) = line.ask(0, 0).await {
                break heard;
            }
            lived.failed[0] += 1;
            let failures = u32::try_from(lived.failed[0]).unwrap_or(u32::MAX);
            tokio::time::sleep(pace::after_silence(failures, None, unit)).await;
        };
        lived.first = Some(awake.elapsed());
        back.fetch_add(1, Ordering::Relaxed);
        let (wait, mut failures) = (Duration::from_secs(plan.wait_s.into()), 0);
        loop {
            let seq = seen.seq();
            lived.heard.push(std::mem::replace(
                &mut seen,
                match line.ask(plan.wait_s, seq).await {
                    (Some(heard), took) => {
                        failures = 0;
                        lived.late.push(took.saturating_sub(wait));
                        heard
                    }
                    (None, _) => {
                        lived.failed[1] += 1;
                        failures += 1;
                        tokio::time::sleep(pace::after_silence(failures, None, unit)).await;
                        continue;
                    }
                },
            ));
            tokio::time::sleep(Duration::from_millis(100).mul_f64(unit)).await;
        }
    };
    let _ = tokio::time::timeout_at(end.into(), life).await;
    lived
}

/// Spreads evenly over `[0, 1)`, the same in every run: multiples of the golden ratio.
fn unit(number: usize) -> f64 {
    (number as f64 * 0.618_033_988_749_895).fract()
}
