//! Money: an amount at an asset's fixed scale.
//!
//! # Shape
//! Inside, an amount is an `i128` count of minor units (cents, satoshi, wei). Outside, it is a decimal string at full
//! scale with its asset: `{"amount":"12.30","asset":"USD"}`. No float exists anywhere.
//!
//! # Correctness
//! Amounts are bounded by [`MAX_MINOR`]; `amount × seconds` may still pass 128 bits, so [`mul_div`] never forms the
//! product when it does not fit. Two assets are never added: [`Money::plus`] answers `None`.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The largest amount of any asset, in minor units: what a `Decimal` holds with room to spare.
pub const MAX_MINOR: i128 = 1_000_000_000_000_000_000_000_000_000;

/// A currency or coin with its fixed number of decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    code: &'static str,
    scale: u32,
}

impl Asset {
    /// Every asset Berth can hold: ISO 4217 currencies by their minor unit, coins by their chain's smallest unit.
    pub const ALL: &'static [Self] = &[
        Self { code: "BCH", scale: 8 },
        Self { code: "BTC", scale: 8 },
        Self { code: "CHF", scale: 2 },
        Self { code: "ETH", scale: 18 },
        Self { code: "EUR", scale: 2 },
        Self { code: "GBP", scale: 2 },
        Self { code: "JPY", scale: 0 },
        Self { code: "LTC", scale: 8 },
        Self { code: "USD", scale: 2 },
        Self { code: "ZEC", scale: 8 },
    ];

    /// The code, such as `BTC`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// Decimals of the smallest unit.
    #[must_use]
    pub const fn scale(self) -> u32 {
        self.scale
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code, self.scale)
    }
}

impl FromStr for Asset {
    type Err = InvalidMoney;
    fn from_str(code: &str) -> Result<Self, InvalidMoney> {
        let known = Self::ALL.iter().find(|asset| asset.code == code).copied();
        known.ok_or_else(|| InvalidMoney::UnknownAsset(code.chars().take(20).collect()))
    }
}

impl Serialize for Asset {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text or number is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// The asset's code is not known.
    #[error("unknown asset {0:?}; known are BCH, BTC, CHF, ETH, EUR, GBP, JPY, LTC, USD, ZEC")]
    UnknownAsset(String),
    /// Not a plain decimal number.
    #[error("{0:?} is not a decimal number like 12.50")]
    NotANumber(String),
    /// More decimals than the asset has.
    #[error("{asset} has {scale} decimals, {amount:?} has more")]
    TooManyDecimals {
        /// The asset's code.
        asset: &'static str,
        /// The asset's decimals.
        scale: u32,
        /// The offending text.
        amount: String,
    },
    /// Below zero.
    #[error("an amount cannot be negative, got {0:?}")]
    Negative(String),
    /// Above [`MAX_MINOR`].
    #[error("the amount is beyond what {0} can hold (at most {MAX_MINOR} minor units)")]
    OutOfRange(&'static str),
}

/// A non-negative amount of one asset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Money {
    asset: Asset,
    minor: i128,
}

impl Money {
    /// `minor` units of `asset`.
    ///
    /// # Errors
    /// When negative or above [`MAX_MINOR`].
    pub fn from_minor(minor: i128, asset: Asset) -> Result<Self, InvalidMoney> {
        match minor {
            ..0 => Err(InvalidMoney::Negative(minor.to_string())),
            0..=MAX_MINOR => Ok(Self { asset, minor }),
            _ => Err(InvalidMoney::OutOfRange(asset.code)),
        }
    }

    /// Nothing.
    #[must_use]
    pub const fn zero(asset: Asset) -> Self {
        Self { asset, minor: 0 }
    }

    /// Reads a plain decimal number (`12`, `12.5`, `12.50`); no sign, exponent or separators.
    ///
    /// # Errors
    /// See [`InvalidMoney`].
    pub fn parse(amount: &str, asset: Asset) -> Result<Self, InvalidMoney> {
        let shown = || amount.chars().take(40).collect::<String>();
        if amount.starts_with('-') {
            return Err(InvalidMoney::Negative(shown()));
        }
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(InvalidMoney::NotANumber(shown()));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > asset.scale as usize {
            return Err(InvalidMoney::TooManyDecimals {
                asset: asset.code,
                scale: asset.scale,
                amount: shown(),
            });
        }
        let padded =
            format!("{}{fraction:0<width$}", whole.trim_start_matches('0'), width = asset.scale as usize);
        let minor = match padded.as_str() {
            "" => 0,
            text => text.parse().map_err(|_| InvalidMoney::OutOfRange(asset.code))?,
        };
        Self::from_minor(minor, asset)
    }

    /// The asset.
    #[must_use]
    pub const fn asset(self) -> Asset {
        self.asset
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn minor(self) -> i128 {
        self.minor
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The amount as a decimal at full scale.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(self.minor, self.asset.scale)
    }

    /// The sum, or `None` when the assets differ or the sum is out of range.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let same = self.asset == other.asset;
        same.then(|| Self::from_minor(self.minor + other.minor, self.asset).ok()).flatten()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.asset)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An amount that may be below zero, such as a balance; written as a decimal at full scale: `-12.30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Minor units.
    pub minor: i128,
    /// Of what.
    pub asset: Asset,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor < 0 { "-" } else { "" };
        let (minor, scale) = (self.minor.unsigned_abs(), self.asset.scale);
        if scale == 0 {
            return write!(f, "{sign}{minor}");
        }
        let unit = 10u128.pow(scale);
        write!(f, "{sign}{}.{:0width$}", minor / unit, minor % unit, width = scale as usize)
    }
}

/// How money is written in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    amount: String,
    asset: Asset,
}

impl TryFrom<Written> for Money {
    type Error = InvalidMoney;
    fn try_from(written: Written) -> Result<Self, InvalidMoney> {
        Self::parse(&written.amount, written.asset)
    }
}

impl From<Money> for Written {
    fn from(money: Money) -> Self {
        Self { amount: money.decimal().to_string(), asset: money.asset }
    }
}

/// `a × b / c` for non-negative numbers, exact to the floor, also when the product does not fit 128 bits.
///
/// # Panics
/// When `c` is 0 or the quotient does not fit; callers pass `b <= c`, so it is at most `a`.
#[must_use]
pub fn mul_div(a: i128, b: i128, c: i128) -> i128 {
    debug_assert!(a >= 0 && b >= 0 && c > 0);
    if let Some(product) = a.checked_mul(b) {
        return product / c;
    }
    // a = q·c + r, so a·b/c = q·b + r·b/c; r·b is then divided bit by bit.
    let (mut quotient, mut rest) = ((a / c) * b, 0i128);
    let (r, mut low) = (a % c, 0i128);
    for bit in (0..127).rev() {
        rest *= 2;
        low *= 2;
        if b >> bit & 1 == 1 {
            rest += r;
        }
        low += rest / c;
        rest %= c;
    }
    quotient += low;
    quotient
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asset(code: &str) -> Asset {
        code.parse().unwrap()
    }

    #[test]
    fn amounts_below_zero_are_written_at_full_scale_too() {
        let shown = |minor, code| Signed { minor, asset: asset(code) }.to_string();
        assert_eq!([shown(-5, "USD"), shown(-120, "USD"), shown(0, "USD")], ["-0.05", "-1.20", "0.00"]);
        assert_eq!([shown(-7, "JPY"), shown(1, "ETH")], ["-7", "0.000000000000000001"]);
    }

    proptest! {
        #[test]
        fn every_amount_reads_back_as_it_was_written(minor in 0..=MAX_MINOR, which in 0..Asset::ALL.len()) {
            let money = Money::from_minor(minor, Asset::ALL[which]).unwrap();
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }

        #[test]
        fn wide_division_agrees_with_narrow(a in 0..=MAX_MINOR, b in 0i128..100_000_000_000, extra in 0i128..100_000_000_000) {
            let c = b + extra + 1;
            prop_assert_eq!(mul_div(a, b, c), a / c * b + a % c * b / c);
        }
    }

    #[test]
    fn amounts_are_written_at_full_scale_with_their_asset() {
        let money = Money::parse("12.3", asset("USD")).unwrap();
        assert_eq!(serde_json::to_string(&money).unwrap(), r#"{"amount":"12.30","asset":"USD"}"#);
        assert_eq!(Money::from_minor(1, asset("ETH")).unwrap().to_string(), "0.000000000000000001 ETH");
    }

    #[test]
    fn what_is_not_an_exact_amount_is_refused() {
        let usd = asset("USD");
        for bad in ["", ".", "1.", ".5", "1e3", "+1", "1,000", " 1", "0x1", "NaN"] {
            assert!(matches!(Money::parse(bad, usd), Err(InvalidMoney::NotANumber(_))), "{bad}");
        }
        assert!(matches!(Money::parse("-1", usd), Err(InvalidMoney::Negative(_))));
        assert!(matches!(Money::parse("0.001", usd), Err(InvalidMoney::TooManyDecimals { .. })));
        assert!(matches!(Money::parse(&"9".repeat(30), usd), Err(InvalidMoney::OutOfRange(_))));
        assert!(matches!(Money::parse(&"9".repeat(300), usd), Err(InvalidMoney::OutOfRange(_))));
        assert_eq!(Money::parse("0.5000", usd).unwrap().minor(), 50);
    }

    #[test]
    fn two_assets_do_not_add_up() {
        assert_eq!(Money::zero(asset("USD")).plus(Money::zero(asset("EUR"))), None);
    }
}
