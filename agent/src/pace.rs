//! How long to wait between two questions: spread out, so that a thousand devices do not ask at once.

use std::time::Duration;

/// The first retry comes within this time; the span doubles with every failure.
const FIRST_RETRY_S: f64 = 2.0;
/// The span of a retry never exceeds this.
const RETRY_S_MAX: f64 = 300.0;
/// The longest wait that a server can ask for.
const ASKED_S_MAX: f64 = 3_600.0;

/// A fleet that lost its power comes back within this time, not all at once.
const FIRST_POLL_S: f64 = 60.0;
/// A machine that has been up for this long did not just get its power back.
const COLD_BOOT: Duration = Duration::from_secs(300);

/// How long to wait before the first question: spread over a minute after the machine booted, because a power cut ends for
/// a whole street at once. Nothing when only the agent was restarted, or the server is on this machine. What needs no
/// network (going on with an erasure, stopping what nobody pays) does not wait for it; and news are never later than that.
///
/// To be called once, before the first question and after the first step:
/// `first(config::is_local(&config.server), clock::uptime(), dice::unit())`.
#[must_use]
pub fn first(server_is_local: bool, uptime: Duration, unit: f64) -> Duration {
    if server_is_local || uptime >= COLD_BOOT {
        return Duration::ZERO;
    }
    Duration::from_secs_f64(FIRST_POLL_S * unit)
}

/// Full jitter after `failures` (at least 1) silences in a row, never before `retry_after`; `unit` is out of `[0, 1)`.
#[must_use]
pub fn after_silence(failures: u32, retry_after: Option<Duration>, unit: f64) -> Duration {
    let span =
        (FIRST_RETRY_S * 2f64.powi(i32::try_from(failures.min(30)).unwrap_or(30) - 1)).min(RETRY_S_MAX);
    let jittered = span * unit;
    let asked = retry_after.map_or(0.0, |asked| asked.as_secs_f64() * (1.0 + 0.25 * unit)).min(ASKED_S_MAX);
    Duration::from_secs_f64(jittered.max(asked))
}

/// `next_poll_s` ± 20 %, at most an hour.
#[must_use]
pub fn steady(next_poll_s: u32, unit: f64) -> Duration {
    let seconds = f64::from(next_poll_s) * (0.8 + 0.4 * unit);
    Duration::from_secs_f64(seconds.clamp(0.5, ASKED_S_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_first_poll_comes_within_a_minute_of_a_cold_boot_and_at_once_otherwise(
            local: bool, up_s in 0u64..10_000_000, unit in 0.0..1.0f64,
        ) {
            let wait = first(local, Duration::from_secs(up_s), unit);
            prop_assert!(wait < Duration::from_secs(60));
            let at_once = local || up_s >= 300;
            prop_assert_eq!(wait, if at_once { Duration::ZERO } else { Duration::from_secs_f64(60.0 * unit) });
        }

        #[test]
        fn a_retry_waits_at_least_as_asked_and_never_over_an_hour(
            failures in 1u32..100, asked in proptest::option::of(0u64..10_000), unit in 0.0..1.0f64,
        ) {
            let wait = after_silence(failures, asked.map(Duration::from_secs), unit).as_secs_f64();
            prop_assert!(wait <= ASKED_S_MAX);
            prop_assert!(wait >= asked.map_or(0.0, |s| s as f64).min(ASKED_S_MAX) - 1e-6);
            prop_assert!(asked.is_some() || wait <= RETRY_S_MAX);
        }
    }

    #[test]
    fn first_polls_of_a_street_are_spread_evenly() {
        let waits = (0..6_000).map(|i| first(false, Duration::from_secs(20), f64::from(i) / 6_000.0));
        let mut seconds = [0; 60];
        waits.for_each(|wait| seconds[usize::try_from(wait.as_secs()).unwrap()] += 1);
        assert!(seconds.iter().all(|count| (99..=101).contains(count)), "{seconds:?}");
    }

    #[test]
    fn the_span_of_a_retry_doubles_up_to_five_minutes() {
        let spans: Vec<_> = (1..=10).map(|n| after_silence(n, None, 0.5).as_secs()).collect();
        assert_eq!(spans, [1, 2, 4, 8, 16, 32, 64, 128, 150, 150]);
    }

    #[test]
    fn a_steady_poll_stays_within_a_fifth_of_what_was_asked() {
        assert_eq!(steady(60, 0.0), Duration::from_secs(48));
        assert_eq!(steady(60, 0.5), Duration::from_secs(60));
        assert_eq!(steady(0, 0.5), Duration::from_millis(500));
    }
}
