//! The loop: ask, decide, make durable, act; for ever.
//!
//! # Shape
//! `memory` holds the record and what is known of this start, `hands` performs steps, this file asks and keeps time.
//! While nothing is pending a question may wait at the server for news; a silent server is asked again with full jitter.
//!
//! # Correctness
//! * At the start the table is asked before the server is: an erasure goes on without a network.
//! * A question does not stop time: when the last word lapses, the question is given up and the workload stops.
//! * Nothing durable changes unless the change was written first; a record that cannot be written stops everything but
//!   running on and stopping.

use std::time::Duration;

use domain::wire::{self, PollRequest, SignedPoll};
use tracing::{info, warn};

use crate::{
    clock::{self, Boot},
    config::is_local,
    dice,
    heard::{Heard, Why, Word},
    pace,
    server::{Question, Silent},
};

mod demand;
mod hands;
mod memory;
mod parts;
mod signal;
mod way;

pub use memory::Agent;
pub use parts::Parts;
use signal::Signal;

/// How long a question may wait at the server for news.
const WAIT_S: u32 = 25;
/// The server is asked again within this time after its last word lapsed.
const LAPSE_RETRY_S: f64 = 2.0;
/// So many quick answers in a row are followed up at once; then news slow the agent to a poll a second, and answers
/// without news to the server's pace.
const QUICK_MAX: u32 = 10;

/// How a turn ended.
#[derive(Debug)]
enum Turn {
    /// Nothing is left to do until there is news.
    Settled,
    /// The server should be asked at once.
    AskNow,
    /// The server should be asked soon.
    AskSoon,
    /// A step failed and is tried again.
    Failed(Option<Duration>),
}

/// Counts that set the pace.
#[derive(Debug, Default)]
struct Pace {
    settled: bool,
    failures: u32,
    quick: u32,
}

impl Agent {
    /// Runs until the future is dropped, which may happen at any point.
    pub async fn run(&mut self) {
        let mut pace = Pace::default();
        let mut signal = Signal::of(self);
        signal.during(self.record.server.clone(), self.start()).await;
        let first = pace::first(is_local(&self.config.server), clock::uptime(), dice::unit());
        self.sleep(first).await;
        loop {
            let wait = signal.during(self.record.server.clone(), self.turn(&mut pace)).await;
            self.sleep(wait).await;
        }
    }

    /// Does what needs no server: an erasure goes on, a lease that may resume by itself resumes.
    pub async fn start(&mut self) {
        let start = self.act(&Heard::Silence(Why::NotAsked)).await;
        if let Turn::Failed(retry_after) = start {
            warn!(
                retry_after_s = retry_after.map(|d| d.as_secs()),
                "the first step failed and is tried again"
            );
        }
    }

    /// Asks once without waiting for news, and acts.
    pub async fn step(&mut self) {
        self.turn(&mut Pace::default()).await;
    }

    /// Asks once and acts; says how long to wait.
    async fn turn(&mut self, pace: &mut Pace) -> Duration {
        let wait_s = if pace.settled { self.patience() } else { 0 };
        let order = self.order();
        let asked = Boot::now();
        let word = match self.ask(wait_s).await {
            Ok(word) => word,
            Err(Silent { why, retry_after }) => {
                warn!(device = %self.shown_device(), epoch = self.epoch(), %why, "no answer to act on");
                self.act(&Heard::Silence(why)).await;
                pace.settled = false;
                pace.failures = pace.failures.saturating_add(1);
                return pace::after_silence(pace.failures, retry_after, dice::unit());
            }
        };
        let next_poll_s = word.next_poll_s();
        let news = word.order() > order;
        let turn = self.act(&Heard::Word(word)).await;
        let held = wait_s > 0 && asked.elapsed() >= Duration::from_secs(u64::from(wait_s) / 2);
        if let Turn::Failed(retry_after) = turn {
            pace.settled = false;
            pace.failures = pace.failures.saturating_add(1);
            return pace::after_silence(pace.failures, retry_after, dice::unit());
        }
        pace.failures = 0;
        pace.quick = if held { 0 } else { pace.quick.saturating_add(1) };
        let first = !std::mem::replace(&mut pace.settled, matches!(turn, Turn::Settled));
        match turn {
            _ if pace.quick > QUICK_MAX && news => Duration::from_secs_f64(0.5 + dice::unit()),
            _ if pace.quick > QUICK_MAX => pace::steady(next_poll_s, dice::unit()),
            Turn::AskNow => Duration::ZERO,
            Turn::AskSoon => Duration::from_secs_f64(0.2 + 0.3 * dice::unit()),
            Turn::Settled | Turn::Failed(_) if first || held || news => {
                Duration::from_secs_f64(0.1 * dice::unit())
            }
            Turn::Settled | Turn::Failed(_) => {
                pace.quick = 0;
                pace::steady(next_poll_s, dice::unit())
            }
        }
    }

    /// How long a question may wait: not so long that the last word lapses meanwhile.
    fn patience(&self) -> u32 {
        let left = self.lapse().map(|lapse| lapse.left().as_secs() / 2);
        left.and_then(|left| u32::try_from(left).ok()).map_or(WAIT_S, |left| left.min(WAIT_S))
    }

    /// One question and its verified answer, learnt but not acted on.
    async fn ask(&mut self, wait_s: u32) -> Result<Word, Silent> {
        let root = self.pinned().await?;
        self.asked += 1;
        let request = PollRequest {
            v: wire::VERSION,
            nonce: dice::nonce(),
            device_key: self.public_key(),
            boot_id: self.boot_id(),
            count: self.asked,
            saves: self.store.saves(),
            reported: self.reported(),
            seen_seq: self.order().1,
            wait_s,
            floor: self.now(),
        };
        let signed = SignedPoll(wire::sign(&request, &self.key));
        let question = Question { signed, nonce: request.nonce, wait_s };
        let (server, record) = (self.uplink.clone(), self.record().clone());
        let sent = Boot::now();
        let poll = async move { server.poll(&record, root, record.device, &question).await };
        // A lapse that is over must not keep the agent from asking: what could not be stopped is tried again on the answer.
        let word = match self.lapse().filter(|lapse| !lapse.left().is_zero()) {
            None => poll.await?,
            Some(lapse) => tokio::select! {
                answered = poll => answered?,
                () = clock::sleep_until(lapse) => {
                    self.lapsed();
                    return Err(Why::Lapsed.into());
                }
            },
        };
        self.learn(&word, sent);
        Ok(word)
    }

    /// Sleeps. If the last word lapses on the way, the workload is stopped and the server asked again soon: the lapse may
    /// be the end of the paid time, and a tombstone or an extension may wait.
    async fn sleep(&mut self, wait: Duration) {
        let end = Boot::now() + wait;
        let ahead = |lapse: &Boot| *lapse < end && !lapse.left().is_zero();
        let Some(lapse) = self.lapse().filter(ahead) else {
            return clock::sleep_until(end).await;
        };
        clock::sleep_until(lapse).await;
        self.lapsed();
        self.act(&Heard::Silence(Why::Lapsed)).await;
        let soon = Boot::now() + Duration::from_secs_f64(LAPSE_RETRY_S * dice::unit());
        clock::sleep_until(soon.min(end)).await;
    }

    fn lapsed(&mut self) {
        info!(device = %self.shown_device(), epoch = self.epoch(), "the last answer lapsed");
        self.forget_word();
    }
}
