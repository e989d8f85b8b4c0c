//! How times, spans and amounts are written for people.

use domain::{offer::Unit, time::Time};

/// A span as people say it: its two largest units.
#[must_use]
pub fn span(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds.max(0);
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        if left >= size && parts.len() < 2 {
            parts.push(format!("{} {unit}", left / size));
            left %= size;
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() { "0 s".into() } else { parts.join(" ") }
}

/// An amount of storage, from MiB.
#[must_use]
pub fn size(mib: u64) -> String {
    match mib {
        0..1_024 => format!("{mib} MiB"),
        1_024..1_048_576 => tenths(mib, 1_024, "GiB"),
        _ => tenths(mib, 1_048_576, "TiB"),
    }
}

/// An amount of bytes.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => tenths(bytes, 1_024, "KiB"),
        _ => size(bytes / 1_048_576),
    }
}

fn tenths(amount: u64, unit: u64, name: &str) -> String {
    let (whole, tenth) = (amount / unit, amount % unit * 10 / unit);
    if tenth == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
}

/// A share in percent, from millionths.
#[must_use]
pub fn percent(ppm: u32) -> String {
    if ppm.is_multiple_of(10_000) {
        format!("{} %", ppm / 10_000)
    } else {
        format!("{}.{:02} %", ppm / 10_000, ppm / 100 % 100)
    }
}

/// A unit of time.
#[must_use]
pub const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Hour => "hour",
        Unit::Day => "day",
        Unit::Week => "week",
        Unit::Month => "month",
    }
}

/// A bandwidth, from kbit/s.
#[must_use]
pub fn bandwidth(kbit_s: u64) -> String {
    match kbit_s {
        0..1_000 => format!("{kbit_s} kbit/s"),
        1_000..1_000_000 => tenths(kbit_s, 1_000, "Mbit/s"),
        _ => tenths(kbit_s, 1_000_000, "Gbit/s"),
    }
}

/// A moment: the day and the time of day, in UTC.
#[must_use]
pub fn when(time: Time) -> String {
    let text = time.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(hour)) => format!("{day} {hour} UTC"),
        _ => text,
    }
}

/// The beginning of an id, which tells it from others on a page.
#[must_use]
pub fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// Filters of templates.
#[expect(missing_docs, reason = "the macro makes items without")]
pub mod filters {
    use std::{borrow::Borrow, fmt::Display};

    use askama::Values;
    use domain::{offer::Unit, time::Time};

    /// As [`super::span`].
    #[askama::filter_fn]
    pub fn span(seconds: impl Borrow<i64>, _: &dyn Values) -> askama::Result<String> {
        Ok(super::span(*seconds.borrow()))
    }

    /// As [`super::size`].
    #[askama::filter_fn]
    pub fn size(mib: impl Borrow<u64>, _: &dyn Values) -> askama::Result<String> {
        Ok(super::size(*mib.borrow()))
    }

    /// As [`super::bytes`].
    #[askama::filter_fn]
    pub fn bytes(bytes: &u64, _: &dyn Values) -> askama::Result<String> {
        Ok(super::bytes(*bytes))
    }

    /// As [`super::percent`].
    #[askama::filter_fn]
    pub fn percent(ppm: impl Borrow<u32>, _: &dyn Values) -> askama::Result<String> {
        Ok(super::percent(*ppm.borrow()))
    }

    /// As [`crate::openbazaar::words`].
    #[askama::filter_fn]
    pub fn words(seconds: impl Borrow<i64>, _: &dyn Values) -> askama::Result<String> {
        Ok(crate::openbazaar::words(*seconds.borrow()))
    }

    /// As [`super::unit`].
    #[askama::filter_fn]
    pub fn unit(unit: impl Borrow<Unit>, _: &dyn Values) -> askama::Result<&'static str> {
        Ok(super::unit(*unit.borrow()))
    }

    /// As [`super::bandwidth`].
    #[askama::filter_fn]
    pub fn bandwidth(kbit_s: impl Borrow<u64>, _: &dyn Values) -> askama::Result<String> {
        Ok(super::bandwidth(*kbit_s.borrow()))
    }

    /// As [`super::when`].
    #[askama::filter_fn]
    pub fn when(time: &Time, _: &dyn Values) -> askama::Result<String> {
        Ok(super::when(*time))
    }

    /// As [`super::short`].
    #[askama::filter_fn]
    pub fn short(id: impl Display, _: &dyn Values) -> askama::Result<String> {
        Ok(super::short(&id.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_sizes_and_shares_are_short() {
        let spans = [(0, "0 s"), (59, "59 s"), (3_600, "1 h"), (3_661, "1 h 1 min"), (90_061, "1 d 1 h")];
        for (seconds, said) in spans {
            assert_eq!(span(seconds), said);
        }
        assert_eq!((span(86_460), span(-5)), ("1 d".into(), "0 s".into()));
        assert_eq!(
            (size(512), size(1_536), size(2_097_152)),
            ("512 MiB".into(), "1.5 GiB".into(), "2 TiB".into())
        );
        assert_eq!((percent(1_000_000), percent(999_900)), ("100 %".into(), "99.99 %".into()));
        assert_eq!(when(Time::from_unix(0)), "1970-01-01 00:00:00 UTC");
    }
}
