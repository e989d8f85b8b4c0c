//! Time is UTC and counted in whole seconds: the grain of leases and of pro-rating.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// UTC seconds since 1970-01-01, written as RFC 3339 (`2026-11-22T09:00:00Z`).
///
/// Years 0001 to 9999; constructors clamp to that range, so every value can be written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

/// Seconds between two times.
pub type Seconds = i64;

const MIN: i64 = -62_135_596_800;
const MAX: i64 = 253_402_300_799;

impl Time {
    /// The last second of the year 9999.
    pub const MAX: Self = Self(MAX);
    /// The first second of the year 0001.
    pub const MIN: Self = Self(MIN);

    /// The time `unix` seconds after 1970, clamped to the years 0001–9999.
    #[must_use]
    pub const fn from_unix(unix: i64) -> Self {
        Self(if unix < MIN {
            MIN
        } else if unix > MAX {
            MAX
        } else {
            unix
        })
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// This many seconds later (earlier when negative), clamped.
    #[must_use]
    pub const fn plus(self, seconds: Seconds) -> Self {
        Self::from_unix(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this time; negative when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Seconds {
        self.0 - earlier.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = DateTime::from_timestamp(self.0, 0).unwrap_or_default();
        let (date, time) = (utc.date_naive(), utc.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text was not a time of the form `2026-11-22T09:00:00Z`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a UTC time of whole seconds like 2026-11-22T09:00:00Z: {0:?}")]
pub struct InvalidTime(String);

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.as_bytes()).ok_or_else(|| InvalidTime(text.chars().take(40).collect()))
    }
}

/// Reads the one form that is ever written; far faster than a general RFC 3339 parser, and replay is mostly this.
fn parse(text: &[u8]) -> Option<Time> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'Z'] = text
    else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0u32, |sum, d| d.is_ascii_digit().then(|| sum * 10 + u32::from(d - b'0')))
    };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok().filter(|y| *y >= 1)?;
    let date = NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)?;
    let at = date.and_hms_opt(number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?)?;
    Some(Time(at.and_utc().timestamp()))
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UTC time of whole seconds like 2026-11-22T09:00:00Z")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// `[start, end)`, in UTC seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// First second inside.
    pub start: Time,
    /// First second outside.
    pub end: Time,
}

impl Interval {
    /// From `start` until before `end`.
    #[must_use]
    pub const fn new(start: Time, end: Time) -> Self {
        Self { start, end }
    }

    /// Length in seconds; 0 when it ends before it starts.
    #[must_use]
    pub fn len(self) -> Seconds {
        self.end.since(self.start).max(0)
    }

    /// Whether it holds no second.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_time_reads_back_as_it_was_written(unix in MIN..=MAX) {
            let time = Time::from_unix(unix);
            prop_assert_eq!(time.to_string().parse::<Time>(), Ok(time));
        }
    }

    #[test]
    fn only_the_written_form_is_read() {
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T09:00:00+01:00",
            "2026-02-30T00:00:00Z",
            "2026-11-22T09:00:60Z",
            "2026-11-22T09:00:00.5Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_last_writable_second() {
        assert_eq!(Time::from_unix(i64::MAX).plus(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }
}
