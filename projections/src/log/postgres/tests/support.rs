//! Logs, writers that repeat what they do not know, and a network that stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use domain::event::Position;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::super::PostgresLog;
use crate::{
    log::{
        Append, AppendError, Appended, EventLog, Expected, MAX_PAGE,
        contract::{append, assert_whole, read_to_end, stream},
    },
    postgres::Postgres,
};

/// The log at an address.
pub async fn open(url: &str) -> PostgresLog {
    PostgresLog::open(&Postgres::new(url).unwrap()).await.unwrap()
}

/// Events in each append of [`Writers`].
pub const EACH: u64 = 2;

/// Tasks that append to streams of their own, and repeat what failed until it is answered.
pub struct Writers {
    running: JoinSet<Vec<(Position, u64)>>,
    stop: watch::Sender<bool>,
    /// Appends that were answered.
    pub done: Arc<AtomicUsize>,
    /// Answers that were failures.
    pub failed: Arc<AtomicUsize>,
}

impl Writers {
    /// `each` on every log.
    pub fn start(logs: &[Arc<PostgresLog>], each: u64) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut this = Self { running: JoinSet::new(), stop, done: Arc::default(), failed: Arc::default() };
        for writer in 0..each * logs.len() as u64 {
            let (log, stopped) = (logs[writer as usize % logs.len()].clone(), stopped.clone());
            let (done, failed) = (this.done.clone(), this.failed.clone());
            this.running.spawn(async move {
                let mut acknowledged = Vec::new();
                let mut next = 0;
                while !*stopped.borrow() {
                    let first = (writer << 32) + next;
                    let expected = Expected::from(next.checked_sub(1));
                    let append = append(&writer.to_string(), expected, first..first + EACH);
                    let appended = until_known(&log, append, &failed).await;
                    assert_eq!(appended.revision, next + EACH - 1);
                    acknowledged.push((appended.first, first));
                    next += EACH;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            });
        }
        this
    }

    /// Waits until so many more appends are answered.
    pub async fn progress(&self, appends: usize) {
        let enough = self.done.load(Ordering::Relaxed) + appends;
        let begun = Instant::now();
        while self.done.load(Ordering::Relaxed) < enough {
            assert!(begun.elapsed() < Duration::from_secs(60), "the log does not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops them; checks that exactly what was answered is in the log, once and where it was said to be.
    pub async fn check(self, log: &PostgresLog) {
        self.stop.send_replace(true);
        let acknowledged: Vec<_> = self.running.join_all().await.into_iter().flatten().collect();
        let all = read_to_end(log, MAX_PAGE).await;
        assert_whole(&all);
        for (position, first) in &acknowledged {
            for i in 0..EACH {
                let recorded = &all[(position + i) as usize];
                assert_eq!(recorded.stream, stream(&(first >> 32).to_string()));
                assert_eq!(recorded.event.payload, format!("{{\"n\":{}}}", first + i).into_bytes());
            }
        }
        assert_eq!(all.len() as u64, acknowledged.len() as u64 * EACH, "something is there twice");
    }
}

/// Repeats an append until it is known to be stored; no answer may take long.
async fn until_known(log: &PostgresLog, append: Append, failed: &AtomicUsize) -> Appended {
    loop {
        let asked = Instant::now();
        let answer = log.append(append.clone()).await;
        assert!(asked.elapsed() < Duration::from_secs(20), "{answer:?} after {:?}", asked.elapsed());
        match answer {
            Ok(appended) => return appended,
            Err(
                error @ (AppendError::Conflict { .. }
                | AppendError::TooLarge { .. }
                | AppendError::Invalid(_)),
            ) => {
                panic!("a false refusal: {error}")
            }
            Err(_) => {
                failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A network between a log and its server.
pub struct Proxy {
    port: u16,
    flows: Arc<watch::Sender<bool>>,
    /// Bytes to the server that are still let through.
    rest: Arc<AtomicI64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// In front of a server's address.
    pub async fn new(url: &str) -> Self {
        let server: u16 =
            url.split(['@', '/']).find_map(|part| part.strip_prefix("127.0.0.1:")).unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let flows = Arc::new(watch::Sender::new(true));
        let rest = Arc::new(AtomicI64::new(i64::MAX));
        let mut accepting = JoinSet::new();
        let (flowing, left) = (flows.clone(), rest.clone());
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                connections.spawn(carry(near_read, far_write, flowing.clone(), Some(left.clone())));
                connections.spawn(carry(far_read, near_write, flowing.clone(), None));
            }
        });
        Self { port, flows, rest, _accepting: accepting }
    }

    /// The address of the same database, through this.
    pub fn url(&self, url: &str) -> String {
        let (before, after) = url.split_once("127.0.0.1:").unwrap();
        format!("{before}127.0.0.1:{}/{}", self.port, after.split_once('/').unwrap().1)
    }

    /// Nothing arrives any more; connections stay open.
    pub fn stop(&self) {
        self.flows.send_replace(false);
    }

    /// Stops when so many more bytes have gone to the server.
    pub fn stop_after(&self, bytes: i64) {
        self.rest.store(bytes, Ordering::Relaxed);
    }

    /// Goes on.
    pub fn flow(&self) {
        self.rest.store(i64::MAX, Ordering::Relaxed);
        self.flows.send_replace(true);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    flows: Arc<watch::Sender<bool>>,
    rest: Option<Arc<AtomicI64>>,
) {
    let mut flowing = flows.subscribe();
    let mut bytes = [0; 512];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if flowing.wait_for(|flowing| *flowing).await.is_err() || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
        if rest.as_ref().is_some_and(|rest| rest.fetch_sub(count as i64, Ordering::Relaxed) <= count as i64) {
            flows.send_replace(false);
        }
    }
}
