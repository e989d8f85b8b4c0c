//! Months, by which earnings are summed up.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate};
use domain::time::Time;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::db::Kind;
use crate::rows::{BadColumn, Column};

/// A month of a year (UTC), or all months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u32);

impl Month {
    /// All months together: before every other in order.
    pub const ALL: Self = Self(0);

    /// The month that a time is in.
    #[must_use]
    pub fn of(time: Time) -> Self {
        let utc = DateTime::from_timestamp(time.unix(), 0).unwrap_or_default();
        // A time's year is 1 to 9999.
        Self(u32::try_from(utc.year()).unwrap_or(1) * 12 + utc.month0())
    }

    /// This many months later (earlier when negative); of [`Month::ALL`], itself.
    #[must_use]
    pub const fn plus(self, months: i32) -> Self {
        if self.0 == 0 {
            return self;
        }
        let later = self.0.saturating_add_signed(months);
        Self(if later < 12 { 12 } else { later })
    }

    /// Its first second; of [`Month::ALL`], the first there is.
    #[must_use]
    pub fn start(self) -> Time {
        let year = i32::try_from(self.0 / 12).unwrap_or(i32::MAX);
        let first = NaiveDate::from_ymd_opt(year.max(1), self.0 % 12 + 1, 1).unwrap_or(NaiveDate::MAX);
        Time::from_unix(first.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc().timestamp())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("all"),
            Self(month) => write!(f, "{:04}-{:02}", month / 12, month % 12 + 1),
        }
    }
}

impl Column for Month {
    const KIND: Kind = Kind::Integer;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::from(self.0)
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        u32::read(value).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_with_its_first_second_and_ends_before_the_next() {
        for (time, name) in [
            ("2026-01-01T00:00:00Z", "2026-01"),
            ("2026-01-31T23:59:59Z", "2026-01"),
            ("2025-12-31T23:59:59Z", "2025-12"),
            ("2024-02-29T12:00:00Z", "2024-02"),
            ("0001-01-01T00:00:00Z", "0001-01"),
            ("9999-12-31T23:59:59Z", "9999-12"),
        ] {
            let time: Time = time.parse().unwrap();
            let month = Month::of(time);
            assert_eq!(month.to_string(), name);
            assert_eq!(Month::of(month.start()), month);
            assert_eq!(month.start().to_string(), format!("{name}-01T00:00:00Z"));
            assert!(Month::ALL < month && month.start() <= time);
            assert_eq!(month.plus(25).plus(-25), month);
        }
        assert_eq!(Month::of("2025-12-31T23:59:59Z".parse().unwrap()).plus(1).to_string(), "2026-01");
        assert_eq!(Month::ALL.plus(3), Month::ALL);
        assert_eq!(Month::ALL.start(), Time::MIN);
    }
}
