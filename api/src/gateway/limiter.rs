//! A bandwidth limit: a bucket that fills at a rate.
//!
//! Whoever passes more than is in the bucket waits until it has filled again, so that over any time no more passes than
//! the rate allows, plus one bucket.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// What may pass at once after a pause.
const BURST: Duration = Duration::from_millis(250);

/// A bucket of bytes.
#[derive(Debug)]
pub struct Limiter {
    bytes_per_s: u64,
    /// When all that has passed would have passed at the rate. Held by whoever waits: one waits, others wait for their
    /// turn, and who leaves the queue owes nothing.
    paid: Mutex<Option<Instant>>,
}

impl Limiter {
    /// A bucket that is full.
    #[must_use]
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), paid: Mutex::default() }
    }

    /// Waits until `bytes` may pass.
    pub async fn pass(&self, bytes: usize) {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64);
        let mut paid = self.paid.lock().await;
        let now = Instant::now();
        let from = paid.unwrap_or(now).max(now.checked_sub(BURST).unwrap_or(now));
        let due = from + time;
        if due > now {
            sleep_until(due).await;
        }
        *paid = Some(due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_passes_than_the_rate_allows_and_nobody_waits_after_a_pause() {
        let limiter = Limiter::new(1_000_000);
        let start = Instant::now();
        for _ in 0..40 {
            limiter.pass(100_000).await;
        }
        let took = start.elapsed().as_secs_f64();
        assert!((3.7..=4.1).contains(&took), "{took}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        limiter.pass(200_000).await;
        assert!(start.elapsed() < Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_before_its_turn_costs_the_others_nothing() {
        let limiter = Limiter::new(1_000_000);
        limiter.pass(500_000).await;
        let start = Instant::now();
        for _ in 0..100 {
            let _ = tokio::time::timeout(Duration::from_millis(1), limiter.pass(10_000_000)).await;
        }
        limiter.pass(100_000).await;
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
