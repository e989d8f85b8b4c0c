//! What an owner asks for, and what a term costs.

use serde::{Deserialize, Serialize};

use crate::{
    money::{Asset, MAX_MINOR, Money, mul_div},
    time::Seconds,
};

/// The longest term of one order, in seconds: ten years of 365 days.
pub const MAX_TERM_S: Seconds = 315_360_000;
/// The longest title or place, in bytes.
pub const MAX_TEXT: usize = 120;

/// The time a rate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 3,600 s.
    Hour,
    /// 86,400 s.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
}

impl Unit {
    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> Seconds {
        match self {
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_592_000,
        }
    }
}

/// A price for a unit of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The time it buys.
    pub per: Unit,
    /// What that costs; above 0.
    pub price: Money,
}

/// What an owner asks: rates, term limits and a title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Shown on the market; 1 to [`MAX_TEXT`] bytes.
    pub title: String,
    /// Where the device stands, as the owner says; at most [`MAX_TEXT`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// One to four rates of one asset, each unit at most once.
    pub rates: Vec<Rate>,
    /// The shortest term of an order or extension, in seconds; at least 1.
    pub min_term_s: Seconds,
    /// The longest term of an order or extension, in seconds; at most [`MAX_TERM_S`].
    pub max_term_s: Seconds,
}

/// What is wrong with an offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOffer {
    /// Title or place.
    #[error("{0} must be 1 to {MAX_TEXT} bytes without control characters")]
    Text(&'static str),
    /// The rates.
    #[error("an offer needs one to four rates of one asset, each unit once and each price above 0")]
    Rates,
    /// The term limits.
    #[error("terms must satisfy 1 <= min_term_s <= max_term_s <= {MAX_TERM_S}")]
    Term,
}

impl Offer {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first limit that is broken.
    pub fn validate(&self) -> Result<(), InvalidOffer> {
        let text_ok = |text: &str| {
            (1..=MAX_TEXT).contains(&text.len())
                && !text.trim().is_empty()
                && !text.chars().any(char::is_control)
        };
        if !text_ok(&self.title) {
            return Err(InvalidOffer::Text("title"));
        }
        if self.place.as_deref().is_some_and(|place| !text_ok(place)) {
            return Err(InvalidOffer::Text("place"));
        }
        let Some(first) = self.rates.first() else { return Err(InvalidOffer::Rates) };
        let same_asset =
            self.rates.iter().all(|r| r.price.asset() == first.price.asset() && !r.price.is_zero());
        let mut units: Vec<_> = self.rates.iter().map(|r| r.per).collect();
        units.sort_unstable();
        units.dedup();
        if !same_asset || units.len() != self.rates.len() {
            return Err(InvalidOffer::Rates);
        }
        let terms_ok =
            1 <= self.min_term_s && self.min_term_s <= self.max_term_s && self.max_term_s <= MAX_TERM_S;
        if terms_ok { Ok(()) } else { Err(InvalidOffer::Term) }
    }

    /// The asset of its rates; `None` only before [`Offer::validate`].
    #[must_use]
    pub fn asset(&self) -> Option<Asset> {
        self.rates.first().map(|r| r.price.asset())
    }

    /// What `term_s` seconds cost: the rate of the largest unit that fits into the term (else of the smallest unit
    /// offered), in proportion, rounded up to a minor unit. `None` when the term is outside the limits or the price
    /// beyond the asset's range.
    #[must_use]
    pub fn price(&self, term_s: Seconds) -> Option<Money> {
        if !(self.min_term_s..=self.max_term_s).contains(&term_s) {
            return None;
        }
        let fits = self.rates.iter().filter(|r| r.per.seconds() <= term_s).max_by_key(|r| r.per);
        let rate = fits.or_else(|| self.rates.iter().min_by_key(|r| r.per))?;
        let unit = i128::from(rate.per.seconds());
        let (whole, rest) = (i128::from(term_s) / unit, i128::from(term_s) % unit);
        let price = rate.price.minor();
        let part = mul_div(price, rest, unit);
        let exact = mul_div(price, rest, unit) * unit == price * rest;
        let minor = price.checked_mul(whole)? + part + i128::from(!exact);
        (minor <= MAX_MINOR).then(|| Money::from_minor(minor, rate.price.asset()).ok()).flatten()
    }
}

/// What the device says it is, once, at registration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Storage for the renter in MiB.
    pub disk_mib: u64,
    /// The processor's name; at most [`MAX_TEXT`] bytes.
    pub processor: String,
    /// Processor cores.
    pub cores: u32,
    /// Measured bandwidth in kbit/s, when it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_kbit_s: Option<u64>,
}

impl Hardware {
    /// Whether every field is within its limit.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        const MAX_MIB: u64 = 1 << 40;
        self.memory_mib <= MAX_MIB
            && self.disk_mib <= MAX_MIB
            && self.processor.len() <= MAX_TEXT
            && !self.processor.chars().any(char::is_control)
            && self.cores <= 100_000
            && self.bandwidth_kbit_s.is_none_or(|b| b <= MAX_MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(rates: &[(Unit, &str)]) -> Offer {
        let usd = "USD".parse().unwrap();
        let rates = rates
            .iter()
            .map(|(per, price)| Rate { per: *per, price: Money::parse(price, usd).unwrap() })
            .collect();
        Offer { title: "Pi".into(), place: None, rates, min_term_s: 60, max_term_s: MAX_TERM_S }
    }

    fn price(offer: &Offer, term_s: Seconds) -> String {
        offer.price(term_s).unwrap().decimal().to_string()
    }

    #[test]
    fn the_largest_unit_that_fits_sets_the_price_and_it_is_rounded_up() {
        let offer = offer(&[(Unit::Hour, "0.50"), (Unit::Day, "6.00")]);
        assert_eq!(offer.validate(), Ok(()));
        assert_eq!(price(&offer, 3_600), "0.50");
        assert_eq!(price(&offer, 60), "0.01");
        assert_eq!(price(&offer, 86_400), "6.00");
        assert_eq!(price(&offer, 129_600), "9.00");
        assert_eq!(price(&offer, 86_401), "6.01");
        assert_eq!(offer.price(59), None);
    }

    #[test]
    fn an_offer_with_two_assets_or_a_zero_price_is_invalid() {
        let mut mixed = offer(&[(Unit::Hour, "1.00"), (Unit::Day, "2.00")]);
        mixed.rates[1].price = Money::parse("1", "EUR".parse().unwrap()).unwrap();
        assert_eq!(mixed.validate(), Err(InvalidOffer::Rates));
        assert_eq!(offer(&[(Unit::Hour, "0")]).validate(), Err(InvalidOffer::Rates));
        assert_eq!(offer(&[(Unit::Hour, "1"), (Unit::Hour, "2")]).validate(), Err(InvalidOffer::Rates));
        assert_eq!(offer(&[]).validate(), Err(InvalidOffer::Rates));
    }
}
