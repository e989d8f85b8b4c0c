//! The fields of an offer, as they are typed.
//!
//! # Correctness
//! What is typed becomes an offer, or comes back as it was with a reason beside each field that is wrong. The domain has
//! the last word: its own check runs over what these fields come to.

use domain::{
    money::{Asset, Money},
    offer::{InvalidOffer, MAX_TERM_S, MAX_TEXT, Offer, Rate, Unit},
    time::Seconds,
};
use serde::Deserialize;

/// Units that a term is typed in, with their seconds.
pub const UNITS: [(&str, Seconds); 6] = [
    ("minutes", 60),
    ("hours", 3_600),
    ("days", 86_400),
    ("weeks", 604_800),
    ("months of 30 days", 2_592_000),
    ("seconds", 1),
];

/// The units of the rates, each with its field.
const RATES: [Unit; 4] = [Unit::Hour, Unit::Day, Unit::Week, Unit::Month];

/// What was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Fields {
    /// What it is called on the market.
    pub title: String,
    /// Where it stands.
    pub place: String,
    /// The asset's code.
    pub asset: String,
    /// What an hour costs; empty for no such rate, as the next three.
    pub hour: String,
    /// What a day costs.
    pub day: String,
    /// What a week costs.
    pub week: String,
    /// What a month costs.
    pub month: String,
    /// The shortest term, in its unit.
    pub min: String,
    /// That unit.
    pub min_unit: String,
    /// The longest term, in its unit.
    pub max: String,
    /// That unit.
    pub max_unit: String,
}

/// What is wrong with each field; none when nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of the form")]
pub struct Wrong {
    pub title: Option<String>,
    pub place: Option<String>,
    pub asset: Option<String>,
    pub hour: Option<String>,
    pub day: Option<String>,
    pub week: Option<String>,
    pub month: Option<String>,
    pub min: Option<String>,
    pub max: Option<String>,
    /// What is wrong with the whole.
    pub offer: Option<String>,
}

impl Wrong {
    /// The whole was refused.
    #[must_use]
    pub fn whole(why: String) -> Self {
        Self { offer: Some(why), ..Self::default() }
    }
}

/// A term as people type it: the largest unit that it is a whole number of.
fn typed(seconds: Seconds) -> (String, String) {
    let fits = UNITS.into_iter().filter(|(_, size)| seconds % size == 0).max_by_key(|(_, size)| *size);
    let (unit, size) = fits.unwrap_or(("seconds", 1));
    ((seconds / size).to_string(), unit.to_owned())
}

fn term(number: &str, unit: &str) -> Result<Seconds, String> {
    let size = UNITS.into_iter().find(|(name, _)| *name == unit).map(|(_, size)| size);
    let size = size.ok_or("choose a unit")?;
    let number: u32 = number.trim().parse().map_err(|_| "type a whole number from 1, such as 2")?;
    let seconds = i64::from(number) * size;
    let allowed = (1..=MAX_TERM_S).contains(&seconds);
    if allowed { Ok(seconds) } else { Err("a term is at least 1 second and at most 3650 days".into()) }
}

impl Fields {
    /// A form that nobody has typed into.
    #[must_use]
    pub fn empty() -> Self {
        let of = |(number, unit): (&str, &str)| (number.to_owned(), unit.to_owned());
        let ((min, min_unit), (max, max_unit)) = (of(("1", "hours")), of(("1", "months of 30 days")));
        Self { asset: "USD".into(), min, min_unit, max, max_unit, ..Self::default() }
    }

    /// The form of an offer.
    #[must_use]
    pub fn of(offer: &Offer) -> Self {
        let rate = |unit: Unit| {
            let rate = offer.rates.iter().find(|rate| rate.per == unit);
            rate.map(|rate| rate.price.decimal().to_string()).unwrap_or_default()
        };
        let [hour, day, week, month] = RATES.map(rate);
        let ((min, min_unit), (max, max_unit)) = (typed(offer.min_term_s), typed(offer.max_term_s));
        Self {
            title: offer.title.clone(),
            place: offer.place.clone().unwrap_or_default(),
            asset: offer.asset().map(|asset| asset.code().to_owned()).unwrap_or_default(),
            hour,
            day,
            week,
            month,
            min,
            min_unit,
            max,
            max_unit,
        }
    }

    /// The offer that was typed.
    ///
    /// # Errors
    /// What is wrong, field by field.
    pub fn read(&self) -> Result<Offer, Box<Wrong>> {
        let mut wrong = Box::<Wrong>::default();
        let asset = self.asset.parse::<Asset>().map_err(|e| wrong.asset = Some(e.to_string())).ok();
        let typed = [&self.hour, &self.day, &self.week, &self.month];
        let slots = [&mut wrong.hour, &mut wrong.day, &mut wrong.week, &mut wrong.month];
        let mut rates = Vec::new();
        for ((per, text), slot) in RATES.into_iter().zip(typed).zip(slots) {
            let Some(asset) = asset.filter(|_| !text.trim().is_empty()) else { continue };
            match Money::parse(text.trim(), asset) {
                Ok(price) if price.is_zero() => *slot = Some("a price must be above 0".into()),
                Ok(price) => rates.push(Rate { per, price }),
                Err(e) => *slot = Some(e.to_string()),
            }
        }
        let limit = |number: &str, unit: &str, slot: &mut Option<String>| {
            term(number, unit).map_err(|why| *slot = Some(why)).unwrap_or(1)
        };
        let min_term_s = limit(&self.min, &self.min_unit, &mut wrong.min);
        let max_term_s = limit(&self.max, &self.max_unit, &mut wrong.max);
        let place = Some(self.place.trim().to_owned()).filter(|place| !place.is_empty());
        let offer = Offer { title: self.title.trim().to_owned(), place, rates, min_term_s, max_term_s };
        let text = || Some(format!("1 to {MAX_TEXT} bytes without control characters"));
        let typed_right = *wrong == Wrong::default();
        match offer.validate() {
            Ok(()) => {}
            Err(InvalidOffer::Text("place")) => wrong.place = text(),
            Err(InvalidOffer::Text(_)) => wrong.title = text(),
            Err(InvalidOffer::Rates) if typed_right => {
                wrong.offer = Some("set a price for an hour, a day, a week or a month".into());
            }
            Err(InvalidOffer::Term) if typed_right => {
                wrong.max = Some("the longest term must not be shorter than the shortest".into());
            }
            // It follows from what is noted already.
            Err(InvalidOffer::Rates | InvalidOffer::Term) => {}
        }
        if *wrong == Wrong::default() { Ok(offer) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields { title: "A small computer".into(), hour: "0.60".into(), ..Fields::empty() }
    }

    #[test]
    fn an_offer_reads_back_as_it_was_typed() {
        let typed = Fields {
            place: "Hamburg".into(),
            month: "99.00".into(),
            min: "90".into(),
            min_unit: "minutes".into(),
            ..fields()
        };
        let offer = typed.read().unwrap();
        assert_eq!((offer.min_term_s, offer.max_term_s), (5_400, 2_592_000));
        assert_eq!(Fields::of(&offer), typed);
    }

    #[test]
    fn what_is_wrong_stands_beside_the_field_that_it_is_in() {
        let of = |change: fn(&mut Fields)| {
            let mut fields = fields();
            change(&mut fields);
            *fields.read().unwrap_err()
        };
        assert!(of(|f| f.title = String::new()).title.is_some());
        assert!(of(|f| f.title = "x".repeat(200)).title.is_some());
        assert!(of(|f| f.place = "a\u{0}b".into()).place.is_some());
        assert!(of(|f| f.asset = "EUROS".into()).asset.unwrap().contains("known are BCH"));
        assert!(of(|f| f.hour = "-1".into()).hour.unwrap().contains("negative"));
        assert!(of(|f| f.day = "0,50".into()).day.unwrap().contains("like 12.50"));
        assert!(of(|f| f.week = "0".into()).week.unwrap().contains("above 0"));
        assert!(of(|f| f.month = "1.001".into()).month.unwrap().contains("decimals"));
        assert!(of(|f| f.hour = String::new()).offer.unwrap().contains("set a price"));
        assert!(of(|f| f.min = "-1".into()).min.unwrap().contains("whole number"));
        assert!(of(|f| f.min_unit = "parsecs".into()).min.unwrap().contains("unit"));
        assert!(of(|f| f.max = "99999999999999999999".into()).max.is_some());
        assert!(of(|f| f.max = "4294967295".into()).max.unwrap().contains("3650 days"));
        assert!(of(|f| f.min = "2000".into()).max.unwrap().contains("shorter"));
    }
}
