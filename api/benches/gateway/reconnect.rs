//! Everyone comes back at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    device, gateway,
    load::answers,
    report::{limit, percentile},
    setting, sshd,
    sshd::Server,
};

/// How long all may take.
const MOST_S: f64 = 10.0;
/// The pause between two tries of a visitor.
const PAUSE: Duration = Duration::from_millis(50);

/// Measures and prints.
pub fn measure() {
    println!(
        "reconnect: the server is killed and started again; s from then on until every port answers an echo"
    );
    let n = setting("GATEWAY_TUNNELS", 1_000);
    let mut berth = gateway::start(n);
    told("berth", n, true, come_back(&mut berth, n, |berth| gateway::restart(berth, n)));
    drop(berth);
    let n = setting("GATEWAY_SSHD_TUNNELS", 200);
    let mut sshd = sshd::start(n);
    told("sshd", n, false, come_back(&mut sshd, n, sshd::restart));
    println!();
}

fn told(name: &str, n: usize, limited: bool, (times, cpu_s): (Vec<f64>, f64)) {
    let all = percentile(&times, 1.0);
    let all = if limited { limit(all, all <= MOST_S, "≤ 10") } else { format!("{all:.2}") };
    let half = percentile(&times, 0.5);
    let cpu_ms = cpu_s * 1e3 / n as f64;
    println!("{name:14} | {n:>5} devices | half {half:>6.2} | all {all:>20} | CPU {cpu_ms:>6.2} ms each");
}

/// When each port answered again, and the CPU seconds of the new server.
fn come_back(server: &mut Server, n: usize, restart: impl Fn(&mut Server)) -> (Vec<f64>, f64) {
    let mut devices = device::start(server, n);
    assert_eq!(devices.line(), "up");
    let start = Instant::now();
    restart(server);
    let visit = |port: u16| {
        thread::spawn(move || {
            while !answers(port) {
                thread::sleep(PAUSE);
            }
            start.elapsed().as_secs_f64()
        })
    };
    let visitors: Vec<_> =
        (server.first..server.first + n).map(|device| visit(crate::port(device))).collect();
    let times = visitors.into_iter().map(|visitor| visitor.join().expect("a visitor ends")).collect();
    (times, server.process.cpu_s())
}
