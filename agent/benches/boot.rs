//! How soon after its start an agent knows what it may do, and what it takes.
//!
//! `cargo build -p berth-agent --profile dist && cargo bench -p berth-agent --bench boot`; about a minute and a half, after
//! the builds.
//!
//! A real `berth-agent run` that holds a lease is started again and again against a server on this machine: no network is
//! measured and no first poll is spread. Told are the median, the least and the most time from just before the process is
//! made until its question reaches the server, and until the *verdict*: the line of its log that says that the workload
//! runs, which is written only after the signed answer to that question was verified and acted on. Then its memory after a
//! minute of polling, and the size of the stripped program as it is shipped. Each stands beside its limit.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;

#[path = "../tests/it/kit/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod kit;

use kit::{
    agent::Device,
    server::{FakeServer, Moment},
};

const STARTS: usize = 31;
const POLLING: Duration = Duration::from_secs(60);
const PROGRAM: &str = env!("CARGO_BIN_EXE_berth-agent");

const VERDICT_MS_MAX: f64 = 100.0;
const MEMORY_MB_MAX: f64 = 20.0;
const PROGRAM_MB_MAX: f64 = 12.0;

#[tokio::main]
async fn main() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    device.terminate();

    let (asked, questions) = mpsc::channel();
    server.on_moment(move |moment, _| {
        if moment == Moment::PollAsked {
            // Nobody listens between two starts.
            let _ = asked.send(Instant::now());
        }
    });
    let (mut question, mut verdict) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        questions.try_iter().for_each(drop);
        let begun = Instant::now();
        let (child, lines) = start(&device.config());
        let runs = tokio::task::block_in_place(|| first_run(&lines));
        stop(child);
        verdict.push(ms(runs - begun));
        question.push(ms(questions.recv().expect("it asked") - begun));
    }
    told("question, ms", &mut question, None);
    told("verdict, ms", &mut verdict, Some(VERDICT_MS_MAX));

    let (child, _lines) = start(&device.config());
    tokio::time::sleep(POLLING).await;
    for (name, field) in [("memory, MB", "VmRSS"), ("most memory, MB", "VmHWM")] {
        beside(name, memory_mb(child.id(), field), Some(MEMORY_MB_MAX));
    }
    stop(child);

    let shipped = Path::new(PROGRAM).ancestors().nth(2).map(|target| target.join("dist/berth-agent"));
    match shipped.and_then(|path| Some((fs::metadata(&path).ok()?.len(), path))) {
        Some((bytes, path)) => {
            beside("program, MB", bytes as f64 / 1e6, Some(PROGRAM_MB_MAX));
            println!("{:>16}   {}, as it was built last", "", path.display());
        }
        None => println!("program: build it first with `cargo build -p berth-agent --profile dist`"),
    }
}

/// Starts it; what it logs comes out of the channel, each line with the time it came.
fn start(config: &PathBuf) -> (Child, mpsc::Receiver<(Instant, String)>) {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(config).args(["run", "--log-format", "json"]).env_remove("RUST_LOG");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let log = BufReader::new(child.stderr.take().expect("piped"));
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            // It must be able to go on logging when nobody listens any more.
            let _ = sender.send((Instant::now(), line));
        }
    });
    (child, lines)
}

/// When the line came that says that the workload runs.
fn first_run(lines: &mpsc::Receiver<(Instant, String)>) -> Instant {
    let mut seen = Vec::new();
    while let Ok((at, line)) = lines.recv_timeout(Duration::from_secs(10)) {
        let told: Value = serde_json::from_str(&line).expect("a line of JSON");
        if told["message"] == "running" {
            return at;
        }
        seen.push(line);
    }
    panic!("it never said that the workload runs: {seen:#?}");
}

fn stop(mut child: Child) {
    child.kill().expect("it ran");
    child.wait().expect("it ran");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn memory_mb(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("it is there");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1_024.0 / 1e6
}

fn told(name: &str, all: &mut [f64], limit: Option<f64>) {
    all.sort_by(f64::total_cmp);
    beside(name, all[all.len() / 2], limit);
    println!("{:>16}   median of {}; {:.1} to {:.1}", "", all.len(), all[0], all[all.len() - 1]);
}

fn beside(name: &str, value: f64, limit: Option<f64>) {
    let limit = limit.map_or_else(String::new, |limit| {
        format!("limit {limit:>5.0}   {}", if value <= limit { "kept" } else { "NOT KEPT" })
    });
    println!("{name:>16}   {value:>6.1}   {limit}");
}
