//! The one place where the agent reads clocks.
//!
//! # Shape
//! [`Boot`] is what everything that lasts is measured with. The wall clock has one user: TLS ([`crate::tls`]).
//!
//! # Correctness
//! `CLOCK_BOOTTIME` never jumps and goes on while the machine is suspended; the runtime's timers stand still then. So a
//! wait for a [`Boot`] is made of slices, and after a suspend it ends at most one slice late.

use std::{
    fs,
    ops::{Add, Sub},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

/// The longest wait that is not checked against the clock.
const SLICE: Duration = Duration::from_secs(2);

/// A moment since the machine booted, suspended time included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(Duration);

impl Boot {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        Self(Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), nanos))
    }

    /// The moment `after` the boot.
    #[must_use]
    pub const fn at(after: Duration) -> Self {
        Self(after)
    }

    /// Time since the boot.
    #[must_use]
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// Time since then; nothing if that is still to come.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// Time until then; nothing if that is over.
    #[must_use]
    pub fn left(self) -> Duration {
        self - Self::now()
    }
}

impl Add<Duration> for Boot {
    type Output = Self;
    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

impl Sub<Duration> for Boot {
    type Output = Self;
    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier))
    }
}

/// The time from an earlier moment to a later one; nothing the other way round.
impl Sub for Boot {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Sleeps until `until`, also across a suspend.
pub async fn sleep_until(until: Boot) {
    loop {
        let left = until.left();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SLICE)).await;
    }
}

/// How long the machine has been up.
#[must_use]
pub fn uptime() -> Duration {
    let told = fs::read_to_string("/proc/uptime").ok();
    told.and_then(|text| seconds_up(&text)).unwrap_or_else(|| Boot::now().since_boot())
}

fn seconds_up(text: &str) -> Option<Duration> {
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The wall clock in seconds since 1970: right or wrong, so it decides nothing but how certificates are judged.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where the agent reads the wall clock")]
pub fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn moments_never_fall_below_the_boot_nor_leave_the_scale() {
        let then = Boot::at(s(10));
        assert_eq!(then + s(5), Boot::at(s(15)));
        assert_eq!(then - s(4), Boot::at(s(6)));
        assert_eq!(then - s(11), Boot::at(s(0)));
        assert_eq!((then + s(5)) - then, s(5));
        assert_eq!(then - (then + s(5)), s(0));
        assert_eq!(then + Duration::MAX, Boot::at(Duration::MAX));
    }

    #[test]
    fn the_clock_goes_on_and_agrees_with_the_kernel() {
        let (first, then) = (Boot::now(), Boot::now());
        assert!(first <= then && first.since_boot() > Duration::ZERO);
        assert!((Boot::now() + s(60)).left() > s(59) && then.elapsed() < s(60));
        assert!(uptime().abs_diff(Boot::now().since_boot()) < s(60));
        assert!(wall() > 0);
    }

    #[test]
    fn an_uptime_is_read_or_refused_whole() {
        assert_eq!(seconds_up("350735.47 234388.90\n"), Some(Duration::from_secs_f64(350_735.47)));
        for text in ["", "x 1", "-1 2", "NaN 1", "inf 1"] {
            assert_eq!(seconds_up(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_sleep_ends_at_its_moment() {
        let end = Boot::now() + Duration::from_millis(30);
        sleep_until(end).await;
        assert!(Boot::now() >= end);
        sleep_until(end - s(1)).await;
    }
}
