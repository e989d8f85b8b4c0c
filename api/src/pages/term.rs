//! Lengths of time: as people type them, and what an offer asks for some of them.

use domain::{
    contract::ContractRefusal,
    money::Money,
    offer::{MAX_TERM_S, Offer},
    time::Seconds,
};
use serde::Deserialize;

use crate::{contracts, openbazaar::words};

/// The units that a length may be typed in, the shortest first.
pub const UNITS: [(&str, Seconds); 6] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", 86_400),
    ("week", 604_800),
    ("month", 2_592_000),
];
/// Lengths that are priced as examples.
const EXAMPLES: [Seconds; 7] = [3_600, 21_600, 86_400, 604_800, 2_592_000, 7_776_000, 31_536_000];

/// A length of time, as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Typed {
    /// How many.
    #[serde(default)]
    pub term: String,
    /// Of what.
    #[serde(default)]
    pub unit: String,
}

impl Typed {
    /// How a length is typed, in the largest unit that fits into it.
    #[must_use]
    pub fn of(seconds: Seconds) -> Self {
        let fits = |(_, length): &&(&str, Seconds)| seconds % length == 0;
        let (unit, length) = UNITS.iter().rev().find(fits).copied().unwrap_or(UNITS[0]);
        Self { term: (seconds / length).to_string(), unit: unit.to_owned() }
    }

    /// Whether nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.term.trim().is_empty()
    }

    /// Its length.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn seconds(&self) -> Result<Seconds, String> {
        let unit = UNITS.iter().find(|(name, _)| *name == self.unit);
        let (_, length) = unit.ok_or("choose seconds, minutes, hours, days, weeks or months")?;
        let number = self.term.trim().parse::<Seconds>().ok().filter(|number| *number > 0);
        let number = number.ok_or("type a whole number from 1")?;
        let seconds = number.checked_mul(*length).filter(|seconds| *seconds <= MAX_TERM_S);
        seconds.ok_or_else(|| format!("at most {}", words(MAX_TERM_S)))
    }

    /// Its length and what that costs by an offer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn priced(&self, offer: &Offer) -> Result<Priced, String> {
        let term_s = self.seconds()?;
        let price = contracts::price(offer, term_s).map_err(|refusal| say(&refusal))?;
        Ok(Priced { term_s, price })
    }
}

/// A refusal, with lengths as people say them.
#[must_use]
pub fn say(refusal: &ContractRefusal) -> String {
    match refusal {
        ContractRefusal::TermOutOfRange { min_term_s, max_term_s } => {
            format!("it goes from {} to {}", words(*min_term_s), words(*max_term_s))
        }
        other => other.to_string(),
    }
}

/// What a length of time costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priced {
    /// Seconds.
    pub term_s: Seconds,
    /// What they cost, exactly.
    pub price: Money,
}

impl Priced {
    /// The length in words.
    #[must_use]
    pub fn words(&self) -> String {
        words(self.term_s)
    }
}

/// What some lengths cost by an offer, the shortest first.
#[must_use]
pub fn examples(offer: &Offer) -> Vec<Priced> {
    let mut lengths = EXAMPLES.to_vec();
    lengths.push(offer.min_term_s);
    lengths.sort_unstable();
    lengths.dedup();
    let priced = |term_s| Some(Priced { term_s, price: offer.price(term_s)? });
    lengths.into_iter().filter_map(priced).collect()
}

/// The length that a form suggests: the shortest example.
#[must_use]
pub fn suggested(offer: &Offer) -> Typed {
    Typed::of(offer.min_term_s.max(3_600).min(offer.max_term_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(term: &str, unit: &str) -> Result<Seconds, String> {
        Typed { term: term.into(), unit: unit.into() }.seconds()
    }

    #[test]
    fn a_length_is_a_whole_number_of_a_known_unit() {
        assert_eq!(typed(" 3 ", "day"), Ok(259_200));
        assert_eq!(Typed::of(259_200), Typed { term: "3".into(), unit: "day".into() });
        assert_eq!(Typed::of(90).seconds(), Ok(90));
        for (term, unit) in
            [("", "day"), ("0", "day"), ("-1", "day"), ("1.5", "day"), ("3", "fortnight"), ("3", "")]
        {
            assert!(typed(term, unit).is_err(), "{term} {unit}");
        }
        assert!(typed("9223372036854775807", "month").is_err());
        assert!(typed("5000", "month").is_err());
    }
}
