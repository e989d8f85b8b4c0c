//! One cycle of the OpenBazaar connector over many open orders.
//!
//! `cargo bench -p berth-api --bench openbazaar`; about a minute, after the build.
//!
//! The node stands in this process, the connector in one of its own, so that its memory is its own. For each number of open
//! orders: a cycle in which nothing changed, and cycles in which some were paid (each is recorded, refused, refunded and
//! settled); how many orders were looked at; the time as a multiple of only downloading the node's list of sales, which is
//! the least that can be done; and the most memory that the connector ever held.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use api::{
    app::{App, DataDir},
    clock::Clock,
    config::{Config, Secret},
    openbazaar::Connector,
    roles::{Part, Roles},
    server::Server,
};
use fixtures::openbazaar::{self, Call, Method, Node, Purchase};
use serde_json::Value;

const SIZES: [usize; 3] = [1_000, 10_000, 50_000];
const CHANGED: [usize; 4] = [0, 1, 10, 100];
const ROUNDS: usize = 5;
const USER: &str = "vendor";
const PASSWORD: &str = "a password";
/// Of a device that Berth does not know.
const SLUG: &str = "berth-00000000000000000000000000000000-3600";

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, word, url] = &arguments[..]
        && word == "connector"
    {
        return connector(url).await;
    }
    println!("open orders  paid  orders asked for  cycle      of only reading the list  most memory");
    for size in SIZES {
        measure(size).await;
    }
}

/// The connector's process: one cycle for every line on its input.
async fn connector(url: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.openbazaar.url = url.into();
    config.openbazaar.username = USER.into();
    config.openbazaar.password = Secret(PASSWORD.into());
    let data = DataDir::open(&folder.path().join("data")).expect("a data folder");
    let app = App::open(&data, config, Clock::System, |_| {}).await.expect("it opens");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("it listens");
    let server = Server::start(app.clone(), listener, &Roles::of(&[Part::Api, Part::Steward]))
        .await
        .expect("it starts");
    let mut connector = Connector::new(&app).expect("a client").expect("there is a node");
    for _ in std::io::stdin().lines() {
        let begun = Instant::now();
        let more = connector.cycle().await.expect("the node answers");
        println!("{} {} {}", begun.elapsed().as_micros(), u8::from(more), peak_mib());
    }
    server.stop().await.expect("it stops");
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1_024
}

/// The other process, from here.
struct Other {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A cycle's milliseconds, whether there was more to do, and the most memory so far.
type Cycle = (f64, bool, u64);

impl Other {
    fn start(url: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["connector", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, input, output: BufReader::new(output) }
    }

    /// One cycle; the node in this process goes on meanwhile.
    fn cycle(&mut self) -> Cycle {
        writeln!(self.input).expect("it reads");
        let mut line = String::new();
        tokio::task::block_in_place(|| self.output.read_line(&mut line)).expect("it answers");
        let words: Vec<u64> = line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        (words[0] as f64 / 1_000.0, words[1] == 1, words[2])
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

async fn measure(size: usize) {
    let config = openbazaar::Config::new(USER, PASSWORD, Arc::new(|| Clock::System.now()));
    let node = Node::start(config).await.expect("a node");
    node.fund("TBTC", 100_000_000_000);
    list(&node).await;
    let buyer = node.buyer();
    let order = || node.purchase(buyer, Purchase::of(SLUG, Method::AddressRequest)).expect("it is listed");
    let orders: Vec<_> = (0..size).map(|_| order()).collect();
    let mut unpaid = orders.iter();
    let mut other = Other::start(&node.url());
    // The first cycles look at all of them.
    while other.cycle().1 {}
    for changed in CHANGED {
        let (mut cycles, mut least, mut asked, mut peak) = (Vec::new(), Vec::new(), 0, 0);
        for _ in 0..ROUNDS {
            for order in unpaid.by_ref().take(changed) {
                node.pay(order, 1_000_000).expect("it is paid");
            }
            let before = node.calls(Call::Order);
            let (took, _, memory) = other.cycle();
            asked += node.calls(Call::Order) - before;
            peak = memory;
            cycles.push(took);
            // What follows from it in the ledger is not part of the next one.
            for _ in 0..3 {
                other.cycle();
            }
            least.push(only_read(&node).await);
        }
        let (cycle, least) = (median(cycles), median(least));
        println!(
            "{size:>11} {changed:>5} {:>17} {cycle:>7.1} ms {:>25.2} {peak:>8} MiB",
            asked / ROUNDS,
            cycle / least
        );
    }
}

/// Downloads the list of sales as the connector asks for it; milliseconds.
async fn only_read(node: &Node) -> f64 {
    let url = format!("{}/ob/sales?state=0,1,2,3,4,10,11&limit=-1&search=&sortBy=data-asc", node.url());
    let begun = Instant::now();
    let answer = reqwest::Client::new().get(url).basic_auth(USER, Some(PASSWORD)).send().await;
    let bytes = answer.expect("it answers").bytes().await.expect("it answers").len();
    assert!(bytes > 100);
    begun.elapsed().as_secs_f64() * 1_000.0
}

async fn list(node: &Node) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let recorded = include_str!("../../fixtures/openbazaar/req_listing_service_v5.json");
    let mut listing: Value = serde_json::from_str(recorded).expect("JSON");
    listing["slug"] = SLUG.into();
    let request = reqwest::Client::new().post(format!("{}/ob/listing", node.url()));
    let answer = request.basic_auth(USER, Some(PASSWORD)).json(&listing).send().await.expect("it answers");
    assert!(answer.status().is_success());
}
