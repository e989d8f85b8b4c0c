//! How long a visitor waits.

use std::{
    io::{Read, Write},
    time::Instant,
};

use crate::{
    gateway,
    load::{Service, answers, connect},
    proxy,
    report::{median, percentile},
    setting, sshd,
};

/// New connections of a round.
const NEW: usize = 60;
/// Echoes of a round over one connection.
const HELD: usize = 1_000;

/// Measures and prints.
pub fn measure() {
    let rounds = setting("GATEWAY_ROUNDS", 7);
    let service = Service::start();
    let berth = gateway::start(1);
    let sshd = sshd::start(1);
    let options = ["-c", "aes128-gcm@openssh.com"];
    let _clients = [&berth, &sshd].map(|server| sshd::client(server, service.port, &options));
    let [berth_port, sshd_port] = [&berth, &sshd].map(|server| crate::port(server.first));
    [berth_port, sshd_port].iter().for_each(|port| sshd::until(|| answers(*port)));
    let (_plain, plain_port) = proxy::start(service.port);
    let contenders =
        [("berth", berth_port), ("sshd", sshd_port), ("plain proxy", plain_port), ("direct", service.port)];
    let mut waits: [[Vec<f64>; 2]; 4] = Default::default();
    for _ in 0..rounds {
        for ((_, port), [new, held]) in contenders.iter().zip(&mut waits) {
            new.extend((0..NEW).map(|_| {
                let start = Instant::now();
                assert!(answers(*port), "no answer");
                ms(start)
            }));
            let mut stream = connect(*port, b'E').expect("a connection");
            stream.read_exact(&mut [0]).expect("an echo");
            held.extend((0..HELD).map(|_| {
                let start = Instant::now();
                stream.write_all(&[0; 64]).expect("it is open");
                stream.read_exact(&mut [0; 64]).expect("an echo");
                ms(start)
            }));
        }
    }
    println!("latency: ms, of {} new connections and {} echoes, one at a time", NEW * rounds, HELD * rounds);
    println!("{:14} | {:>21} | {:>21}", "", "new connection + echo", "echo over a held one");
    println!("{:14} | {:>10} {:>10} | {:>10} {:>10}", "", "p50", "p99", "p50", "p99");
    for ((name, _), [new, held]) in contenders.iter().zip(&waits) {
        let [new, held] = [new, held].map(|waits| (median(waits), percentile(waits, 0.99)));
        println!("{name:14} | {:>10.2} {:>10.2} | {:>10.3} {:>10.3}", new.0, new.1, held.0, held.1);
    }
    println!();
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
