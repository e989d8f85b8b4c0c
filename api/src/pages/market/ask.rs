//! What a visitor looks for on the market, as it was typed.
//!
//! # Correctness
//! Whatever stands in the address is read or said to be unreadable: no search is an error, and a condition that cannot be
//! read is left out.

use domain::{
    money::{Asset, Money},
    offer::Unit,
};
use projections::views::market::{Cursor, MarketFilter, MarketSort};

/// The longest value that is looked at, in characters.
const MAX_TYPED: usize = 120;
/// The largest number that may be typed.
const MAX_NUMBER: u64 = 1_000_000_000;

/// The orders of the list: name, words, order.
pub const SORTS: [(&str, &str, MarketSort); 11] = [
    ("price", "Lowest rate", MarketSort::Price),
    ("hour", "Cheapest hour", MarketSort::PriceFor(Unit::Hour)),
    ("day", "Cheapest day", MarketSort::PriceFor(Unit::Day)),
    ("week", "Cheapest week", MarketSort::PriceFor(Unit::Week)),
    ("month", "Cheapest month", MarketSort::PriceFor(Unit::Month)),
    ("memory", "Most memory", MarketSort::Memory),
    ("disk", "Largest disk", MarketSort::Disk),
    ("cores", "Most cores", MarketSort::Cores),
    ("bandwidth", "Most bandwidth", MarketSort::Bandwidth),
    ("uptime", "Best uptime", MarketSort::Uptime),
    ("newest", "Newest", MarketSort::Newest),
];
/// The times that a price may be for.
pub const UNITS: [(&str, Unit); 4] =
    [("hour", Unit::Hour), ("day", Unit::Day), ("week", Unit::Week), ("month", Unit::Month)];

/// One value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// What was typed.
    pub typed: String,
    /// Why it cannot be read.
    pub wrong: Option<&'static str>,
}

impl Field {
    fn read<T>(&mut self, wrong: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if self.typed.is_empty() {
            return None;
        }
        let value = parse(&self.typed);
        self.wrong = value.is_none().then_some(wrong);
        value
    }

    fn number(&mut self, most: u64) -> Option<u64> {
        self.read("a whole number", |text| text.parse().ok().filter(|number| *number <= most))
    }

    fn words(&self) -> Option<String> {
        Some(self.typed.clone()).filter(|text| !text.is_empty())
    }

    /// Whether something was typed.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.typed.is_empty()
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident),* $(,)?) => {
        /// What a visitor looks for.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Asked {
            $($(#[$doc])* pub $field: Field,)*
        }

        impl Asked {
            fn all(&self) -> [(&'static str, &Field); [$(stringify!($field)),*].len()] {
                [$((stringify!($field), &self.$field)),*]
            }

            /// Reads an address.
            #[must_use]
            pub fn of(query: Option<&str>) -> Self {
                let pairs: Vec<(String, String)> =
                    serde_urlencoded::from_str(query.unwrap_or_default()).unwrap_or_default();
                let field = |name: &str| {
                    let value = pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
                    Field { typed: value.trim().chars().take(MAX_TYPED).collect(), wrong: None }
                };
                Self { $($field: field(stringify!($field)),)* }
            }
        }
    };
}

fields! {
    /// Words in the title, the processor or the place.
    text,
    /// The asset that is asked for.
    asset,
    /// The highest price.
    max_price,
    /// The time it is for.
    per,
    /// The least memory, in GiB.
    min_memory,
    /// The least storage, in GiB.
    min_disk,
    /// The fewest cores.
    min_cores,
    /// Part of the processor's name.
    processor,
    /// The least bandwidth, in Mbit/s.
    min_bandwidth,
    /// The least uptime, in percent.
    min_uptime,
    /// Where it stands.
    place,
    /// The order.
    sort,
    /// Where the list goes on.
    after,
}

/// GiB with up to three decimals, as MiB.
fn gib(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 || whole.len() + part.len() == 0 {
        return None;
    }
    let thousandths: u64 = format!("{whole}{part:0<3}").parse().ok().filter(|n| *n <= MAX_NUMBER)?;
    Some((thousandths * 1_024).div_ceil(1_000))
}

impl Asked {
    /// The conditions; those that cannot be read are marked and left out.
    pub fn filter(&mut self) -> MarketFilter {
        let asset: Option<Asset> = self.asset.read("one of the list", |code| code.parse().ok());
        let units = |name: &str| UNITS.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit);
        let per = self.per.read("hour, day, week or month", units).unwrap_or(Unit::Hour);
        let price = match asset {
            Some(asset) => {
                self.max_price.read("an amount, such as 0.50", |text| Money::parse(text, asset).ok())
            }
            None => self.max_price.read("an amount, and choose what it is paid in", |_| None),
        };
        MarketFilter {
            max_price_per_hour: None,
            max_price: price.map(|price| (per, price)),
            asset,
            min_memory_mib: self.min_memory.read("a number, such as 4 or 0.5", gib),
            min_disk_mib: self.min_disk.read("a number, such as 64 or 0.5", gib),
            min_cores: self.min_cores.number(MAX_NUMBER).and_then(|cores| u32::try_from(cores).ok()),
            min_bandwidth_kbit_s: self.min_bandwidth.number(MAX_NUMBER).map(|mbit| mbit * 1_000),
            min_uptime_ppm: self.min_uptime.read("a number from 0 to 100, such as 99.9", ppm),
            place: self.place.words(),
            processor: self.processor.words(),
            text: self.text.words(),
        }
    }

    /// The order; the cheapest first when none is asked for.
    pub fn order(&mut self) -> MarketSort {
        let known = |name: &str| SORTS.iter().find(|(known, ..)| *known == name).map(|(.., sort)| *sort);
        self.sort.read("one of the list", known).unwrap_or_default()
    }

    /// Where the list goes on.
    pub fn cursor(&mut self) -> Option<Cursor> {
        self.after.read("not a page of this list", |text| text.parse().ok())
    }

    /// Whether something cannot be read.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        self.all().iter().any(|(_, field)| field.wrong.is_some())
    }

    /// Whether anything but the words and the order is asked for.
    #[must_use]
    pub fn is_detailed(&self) -> bool {
        // The form always says these.
        let always = ["text", "per", "sort", "after"];
        self.all().iter().any(|(name, field)| field.is_set() && !always.contains(name))
    }

    /// Whether anything is asked for.
    #[must_use]
    pub fn is_search(&self) -> bool {
        self.is_detailed() || self.text.is_set()
    }

    /// The address of the list's next part.
    #[must_use]
    pub fn next(&self, cursor: &Cursor) -> String {
        let all = self.all().into_iter().filter(|(name, field)| *name != "after" && field.is_set());
        let mut pairs: Vec<_> = all.map(|(name, field)| (name, field.typed.clone())).collect();
        pairs.push(("after", cursor.to_string()));
        format!("/?{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
    }
}

/// Percent with up to four decimals, as millionths.
fn ppm(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 4 {
        return None;
    }
    format!("{whole}{part:0<4}").parse().ok().filter(|ppm| *ppm <= 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_conditions() {
        let query = "asset=USD&max_price=12&per=day&min_memory=0.5&min_uptime=99.9&place=Hamburg&sort=memory";
        let mut asked = Asked::of(Some(query));
        let filter = asked.filter();
        let usd = "USD".parse().unwrap();
        assert_eq!(filter.max_price, Some((Unit::Day, Money::parse("12", usd).unwrap())));
        assert_eq!((filter.min_memory_mib, filter.min_uptime_ppm), (Some(512), Some(999_000)));
        assert_eq!((filter.place.as_deref(), asked.order()), (Some("Hamburg"), MarketSort::Memory));
        assert!(!asked.is_unclear() && asked.is_detailed());
    }

    #[test]
    fn what_cannot_be_read_is_marked_and_left_out() {
        assert!(!Asked::of(Some("text=&asset=&per=hour&sort=price")).is_search());
        for query in [
            "asset=XXX",
            "max_price=1",
            "asset=USD&max_price=-1",
            "asset=USD&max_price=1e9",
            "min_memory=.",
            "min_memory=99999999999",
            "min_cores=1.5",
            "min_uptime=101",
            "min_bandwidth=x",
            "per=year",
            "sort=luck",
            "after=x",
        ] {
            let mut asked = Asked::of(Some(query));
            let asset = asked.asset.typed == "USD";
            let filter = asked.filter();
            asked.order();
            asked.cursor();
            assert!(asked.is_unclear(), "{query}");
            assert_eq!(filter.asset.is_some(), asset, "{query}");
            assert_eq!(MarketFilter { asset: None, ..filter }, MarketFilter::default(), "{query}");
        }
        assert_eq!(Asked::of(Some("%ff=%ff&&=&text=%ff&text=b")).text.typed, "\u{fffd}");
    }
}
