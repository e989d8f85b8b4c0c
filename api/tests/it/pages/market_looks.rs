//! How the market looks.

use api::pages::{
    market::{
        ask::Asked,
        device::{DevicePage, Listing, Ways},
        list::{Item, MarketPage},
    },
    page::Shell,
    term::{Priced, Typed},
};
use domain::{
    id::DeviceId,
    money::Money,
    offer::{Hardware, Offer, Rate, Unit},
};
use uuid::Uuid;

use super::kit::{HOSTILE, sample_shell, snapshot};

fn usd(amount: &str) -> Money {
    Money::parse(amount, "USD".parse().unwrap()).unwrap()
}

fn nobody(path: &str) -> Shell {
    let mut shell = sample_shell("Market", path, &[]);
    (shell.who, shell.showcase) = (None, true);
    shell
}

pub fn offer(text: &str) -> Offer {
    let rate = |per, price| Rate { per, price: usd(price) };
    Offer {
        title: text.into(),
        place: Some(text.into()),
        rates: vec![rate(Unit::Hour, "0.60"), rate(Unit::Month, "200.00")],
        min_term_s: 3_600,
        max_term_s: 2_592_000,
    }
}

fn hardware(text: &str) -> Hardware {
    Hardware {
        memory_mib: 4_096,
        disk_mib: 65_536,
        processor: text.into(),
        cores: 4,
        bandwidth_kbit_s: Some(93_500),
    }
}

fn item(text: &str) -> Item {
    Item {
        device: DeviceId(Uuid::from_u128(7)),
        title: text.into(),
        place: Some(text.into()),
        rates: offer(text).rates,
        hardware: hardware(text),
        uptime_ppm: 999_000,
        since: Some(crate::app::START.parse().unwrap()),
    }
}

fn market(query: Option<&str>, items: Vec<Item>) -> MarketPage {
    let mut asked = Asked::of(query);
    asked.filter();
    asked.order();
    let next = query.map(|_| "/?after=1.2".to_owned());
    MarketPage { shell: nobody("/"), asked, items, next, places: vec!["Hamburg".into()] }
}

fn device(text: &str, ways: Ways, till: bool) -> DevicePage {
    DevicePage {
        shell: nobody("/market/7"),
        device: DeviceId(Uuid::from_u128(7)),
        offer: offer(text),
        hardware: hardware(text),
        uptime_ppm: 1_000_000,
        since: Some(crate::app::START.parse().unwrap()),
        asked: Typed { term: "3".into(), unit: "hour".into() },
        answer: Some(Priced { term_s: 10_800, price: usd("1.80") }),
        wrong: None,
        ways,
        till,
    }
}

#[test]
fn the_market_looks_like_this() {
    let bare = Item { hardware: Hardware::default(), place: None, ..item("Bare") };
    let query = "text=pi&asset=USD&max_price=2&per=day&min_memory=much&sort=memory&place=Hamburg";
    snapshot("market", &market(Some(query), vec![item("A small computer"), bare]));
    snapshot("market_empty", &market(None, Vec::new()));
    let query = serde_urlencoded::to_string([("text", HOSTILE), ("min_cores", HOSTILE)]).unwrap();
    snapshot("market_hostile", &market(Some(&query), vec![item(HOSTILE)]));
}

#[test]
fn a_device_on_the_market_looks_like_this() {
    let listing = |text: &str, link: Option<&str>| Listing {
        title: text.into(),
        slug: "berth-7-3600".into(),
        link: link.map(Into::into),
        price: usd("0.60"),
    };
    let ways = Ways {
        listings: vec![
            listing("Pi, 1 hour", Some("ob://Qm7/store/berth-7-3600")),
            listing("Pi, 1 month", None),
        ],
        marketplaces: vec!["shop".into(), "fair".into()],
    };
    snapshot("market_device", &device("A small computer", ways, true));
    let wrong = Some("type a whole number from 1".to_owned());
    let alone = DevicePage { wrong, answer: None, since: None, ..device("Pi", Ways::default(), false) };
    snapshot("market_device_alone", &alone);
    let ways = Ways { listings: vec![listing(HOSTILE, None)], marketplaces: Vec::new() };
    snapshot("market_device_hostile", &device(HOSTILE, ways, false));
}
