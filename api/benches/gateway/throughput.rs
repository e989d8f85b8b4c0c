//! How much goes through.

use std::time::Duration;

use crate::{
    gateway,
    load::{Service, Way, answers},
    process::Process,
    proxy,
    report::{limit, median, ratio},
    setting, sshd,
};

/// As fast as sshd is the least.
const LEAST: f64 = 1.0;

const CASES: [(&str, Way, usize); 4] = [
    ("device→visitor, 1 connection", Way::Down, 1),
    ("device→visitor, 16 connections", Way::Down, 16),
    ("visitor→device, 1 connection", Way::Up, 1),
    ("visitor→device, 16 connections", Way::Up, 16),
];

/// Something that is measured, round by round.
struct Contender<'a> {
    name: &'static str,
    port: u16,
    server: Option<&'a Process>,
    /// Bytes per second and CPU seconds per byte, of each case and round.
    speeds: [Vec<f64>; 4],
    costs: [Vec<f64>; 4],
}

impl<'a> Contender<'a> {
    fn new(name: &'static str, port: u16, server: Option<&'a Process>) -> Self {
        Self { name, port, server, speeds: Default::default(), costs: Default::default() }
    }

    fn round(&mut self, service: &Service, case: usize, time: Duration) {
        let (_, way, connections) = CASES[case];
        let mut used = Vec::new();
        let server = self.server;
        let note = || used.push(server.map_or(0.0, Process::cpu_s));
        let speed = service.speed(self.port, way, connections, time, note);
        self.speeds[case].push(speed);
        self.costs[case].push((used[1] - used[0]) / (speed * time.as_secs_f64()));
    }
}

/// Measures and prints.
pub fn measure() {
    let rounds = setting("GATEWAY_ROUNDS", 7);
    println!("throughput: MB/s (server's CPU s/GB), medians of {rounds} rounds; ratios within rounds");
    ciphers("aes128-gcm@openssh.com", &["-c", "aes128-gcm@openssh.com"], rounds, true);
    ciphers("ssh's default cipher", &[], rounds, false);
}

fn ciphers(name: &str, options: &[&str], rounds: usize, floors: bool) {
    let only = std::env::var("GATEWAY_ONLY").unwrap_or_default();
    let wanted =
        |case: &usize| only.split(';').all(|word| format!("{name}, {}", CASES[*case].0).contains(word));
    let cases: Vec<_> = (0..CASES.len()).filter(wanted).collect();
    if cases.is_empty() {
        return;
    }
    let service = Service::start();
    let berth = gateway::start(1);
    let sshd = sshd::start(1);
    let _clients = [&berth, &sshd].map(|server| sshd::client(server, service.port, options));
    let ports = [&berth, &sshd].map(|server| crate::port(server.first));
    ports.iter().for_each(|port| sshd::until(|| answers(*port)));
    let (plain, plain_port) = proxy::start(service.port);
    let mut contenders = vec![
        Contender::new("berth", ports[0], Some(&berth.process)),
        Contender::new("sshd", ports[1], Some(&sshd.process)),
    ];
    if floors {
        contenders.push(Contender::new("plain proxy", plain_port, Some(&plain)));
        contenders.push(Contender::new("direct", service.port, None));
    }
    let time = Duration::from_millis(setting("GATEWAY_WINDOW_MS", 1_200) as u64);
    for round in 0..rounds {
        for &case in &cases {
            // Whoever comes after the fastest should not always be the same.
            for turn in 0..contenders.len() {
                let at = (turn + round) % contenders.len();
                contenders[at].round(&service, case, time);
            }
        }
    }
    println!(
        "{name:32} | {:>13} | {:>13} | {:>13} | {:>8} | {:>20} | {:>8}",
        "berth", "sshd", "plain proxy", "direct", "of sshd (limit)", "of plain"
    );
    for case in cases {
        let (what, ..) = CASES[case];
        let cell = |contender: &Contender| {
            let (speed, cost) = (median(&contender.speeds[case]) / 1e6, median(&contender.costs[case]) * 1e9);
            if contender.server.is_some() { format!("{speed:.0} ({cost:.2})") } else { format!("{speed:.0}") }
        };
        let named = |name: &str| contenders.iter().find(|contender| contender.name == name);
        let cells =
            ["berth", "sshd", "plain proxy", "direct"].map(|name| named(name).map_or(String::new(), cell));
        let of =
            |name: &str| named(name).map(|other| ratio(&contenders[0].speeds[case], &other.speeds[case]));
        let of_sshd = of("sshd").map_or(String::new(), |ratio| limit(ratio, ratio >= LEAST, "≥ 1.00"));
        let of_plain = of("plain proxy").map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let [berth, sshd, plain, direct] = cells;
        println!(
            "{what:32} | {berth:>13} | {sshd:>13} | {plain:>13} | {direct:>8} | {of_sshd:>20} | {of_plain:>8}"
        );
    }
    println!();
}
