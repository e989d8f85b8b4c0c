//! What a listing says.

use domain::{
    device::Rentable,
    id::DeviceId,
    money::{Asset, Money},
    offer::{Hardware, Offer},
    time::Seconds,
};
use serde_json::{Value, json};

use super::{desk::Desk, note::plain, slug::Slug, wire::asset_of};

/// When listings cease: the node wants a time in the future.
const EXPIRY: &str = "2037-12-31T05:00:00.000Z";
/// Hours after which the shop alone may take an escrow: mainnet knows no other number.
const ESCROW_HOURS: u32 = 1_080;
/// The longest title and description, in bytes.
const MAX_TITLE: usize = 140;
const MAX_DESCRIPTION: usize = 10_000;

const TERMS: &str = "You rent a device for the time you pay, as many pieces of it as you like. Host, port, user and \
    password come with the fulfilled order, and a token with which you extend or end the rental. When you end it early \
    or the device fails, what was not used is paid back to the second.";
const REFUNDS: &str = "Pro-rated to the second, to the refund address of the order. An order that cannot be served is \
    paid back in full.";

/// The pieces of time that an offer is listed in: one for each rate, as short as the offer allows.
#[must_use]
pub fn terms(offer: &Offer) -> Vec<Seconds> {
    let fitting = |unit: Seconds| unit * ((offer.min_term_s + unit - 1) / unit).max(1);
    let mut terms: Vec<_> = offer.rates.iter().map(|rate| fitting(rate.per.seconds())).collect();
    terms.retain(|term_s| *term_s <= offer.max_term_s);
    if terms.is_empty() {
        terms.push(offer.min_term_s);
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// A length of time in words.
#[must_use]
pub fn words(term_s: Seconds) -> String {
    let units = [
        (2_592_000, "month"),
        (604_800, "week"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let (length, name) = units.into_iter().find(|(length, _)| term_s % length == 0).unwrap_or((1, "second"));
    let count = term_s / length;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

fn facts(hardware: &Hardware, place: Option<&str>) -> String {
    let mut facts = Vec::new();
    let mut add = |known: bool, text: String| {
        if known {
            facts.push(text);
        }
    };
    add(hardware.memory_mib > 0, format!("{} MiB memory", hardware.memory_mib));
    add(hardware.disk_mib > 0, format!("{} MiB storage", hardware.disk_mib));
    add(hardware.cores > 0, format!("{} cores", hardware.cores));
    add(!hardware.processor.is_empty(), hardware.processor.clone());
    let bandwidth = hardware.bandwidth_kbit_s.unwrap_or(0);
    add(bandwidth > 0, format!("{bandwidth} kbit/s measured"));
    add(place.is_some(), format!("stands in {}", place.unwrap_or_default()));
    facts.join(", ")
}

impl Desk {
    /// The node's coin for an asset, if it has a wallet for it.
    pub fn coin(&self, asset: Asset) -> Option<&str> {
        self.coins.iter().map(String::as_str).find(|coin| asset_of(coin) == Some(asset))
    }

    /// The listings of a device that can be rented; none when the node has no wallet for its asset.
    pub fn rentals(&self, device: DeviceId, rentable: &Rentable, hardware: &Hardware) -> Vec<(Slug, Value)> {
        let offer = &rentable.offer;
        let facts = facts(hardware, offer.place.as_deref());
        let listing = |term_s: Seconds| {
            let title = format!("{}, {}", offer.title, words(term_s));
            let slug = Slug::Rental { device, term_s };
            let about = format!("{facts}. {TERMS}");
            let listing = self.listing(&slug, &title, &about, offer.price(term_s)?)?;
            Some((slug, listing))
        };
        terms(offer).into_iter().filter_map(listing).collect()
    }

    /// The listing of an extension.
    pub fn extension(&self, slug: &Slug, offer: &Offer, term_s: Seconds, price: Money) -> Option<Value> {
        let title = format!("{}, {} more", offer.title, words(term_s));
        let about =
            "More time for a rental that runs. Only its renter can buy it; anybody else is paid back.";
        self.listing(slug, &title, about, price)
    }

    fn listing(&self, slug: &Slug, title: &str, about: &str, price: Money) -> Option<Value> {
        let (coin, settings) = (self.coin(price.asset())?, self.settings());
        let moderators: Vec<_> = settings.moderators().collect();
        let image = &settings.image;
        Some(json!({
            "slug": slug.to_string(),
            "metadata": {
                "version": 5, "contractType": "SERVICE", "format": "FIXED_PRICE", "expiry": EXPIRY,
                "acceptedCurrencies": [coin], "escrowTimeoutHours": ESCROW_HOURS,
            },
            "item": {
                "title": plain(title, MAX_TITLE), "description": plain(about, MAX_DESCRIPTION), "processingTime": "at once",
                "bigPrice": price.minor().to_string(),
                "priceCurrency": { "code": coin, "divisibility": price.asset().scale() },
                "nsfw": false, "tags": ["berth", "vps"], "categories": [], "condition": "", "options": [],
                "images": [{
                    "filename": "berth.png", "original": image, "large": image, "medium": image, "small": image,
                    "tiny": image,
                }],
                "skus": [{ "productID": "", "bigQuantity": "-1", "bigSurcharge": "0" }],
            },
            "shippingOptions": [], "taxes": [], "coupons": [], "moderators": moderators,
            "termsAndConditions": TERMS, "refundPolicy": REFUNDS,
        }))
    }
}

#[cfg(test)]
mod tests {
    use domain::offer::{Rate, Unit};

    use super::*;

    fn offer(rates: &[Unit], min_term_s: Seconds, max_term_s: Seconds) -> Offer {
        let price = Money::from_minor(1_000, "BTC".parse().unwrap()).unwrap();
        let rates = rates.iter().map(|per| Rate { per: *per, price }).collect();
        Offer { title: "Pi".into(), place: None, rates, min_term_s, max_term_s }
    }

    #[test]
    fn each_rate_is_listed_in_the_shortest_piece_that_the_offer_allows() {
        assert_eq!(terms(&offer(&[Unit::Hour, Unit::Day], 60, 10_000_000)), [3_600, 86_400]);
        assert_eq!(terms(&offer(&[Unit::Hour, Unit::Day], 7_201, 10_000_000)), [10_800, 86_400]);
        assert_eq!(terms(&offer(&[Unit::Hour, Unit::Day], 60, 7_200)), [3_600]);
        assert_eq!(terms(&offer(&[Unit::Hour], 60, 600)), [60]);
    }

    #[test]
    fn a_length_of_time_is_said_in_words() {
        assert_eq!(
            [60, 3_600, 10_800, 86_400, 2_592_000, 61].map(words),
            ["1 minute", "1 hour", "3 hours", "1 day", "1 month", "61 seconds"]
        );
    }
}
