//! How an owner's pages look, from sample data.

use api::{
    accruals::Accrual,
    pages::devices::{
        device::{Again, DevicePage, Lease, Past},
        enrol::{KeyPage, NewPage},
        fields::{Fields, UNITS, Wrong},
        list::{DevicesPage, Line, Running},
        offer::{OfferPage, samples},
        state::{Presence, Standing, State},
    },
};
use domain::{
    account::Role,
    id::{ContractId, DeviceId},
    money::{Asset, Money},
    offer::Hardware,
    time::Time,
};
use uuid::Uuid;

use super::super::kit::{HOSTILE, sample_shell, snapshot};

fn device() -> DeviceId {
    DeviceId(Uuid::from_u128(0xde01ce))
}

fn now() -> Time {
    crate::app::START.parse().unwrap()
}

fn usd(amount: &str) -> Money {
    Money::parse(amount, "USD".parse().unwrap()).unwrap()
}

fn running() -> Running {
    Running {
        contract: ContractId::of(device(), 1),
        until: now().plus(9_000),
        left_s: 9_000,
        accrual: Some(Accrual { asset: "USD".parse().unwrap(), minor: 405, most: 540, rate: 15_000 }),
    }
}

fn line(name: &str, states: Vec<State>) -> Line {
    Line { device: device(), name: name.into(), states, price: None, rental: None }
}

fn list(devices: Vec<Line>, later: bool, next: Option<u64>) -> DevicesPage {
    let shell = sample_shell("Your devices", "/devices", &[Role::Owner]);
    DevicesPage { shell: shell.live([device().to_string()]), devices, later, next, enrols: true }
}

#[test]
fn the_list_of_devices_looks_like_this() {
    snapshot("devices-empty", &list(Vec::new(), false, None));
    let presence = [Presence::Connected, Presence::Delayed, Presence::Lost];
    let standing = [Standing::Let, Standing::Listed, Standing::Unlisted];
    let rest = [Standing::Waiting, Standing::Erasing, Standing::Retired];
    let of = |(here, there): (Presence, Standing)| vec![State::from(here), State::from(there)];
    let mut lines: Vec<_> = presence.into_iter().zip(standing).map(|pair| line("pi", of(pair))).collect();
    lines.extend(rest.map(|standing| line("pi", vec![standing.into()])));
    (lines[0].rental, lines[0].price) = (Some(running()), Some("0.60 USD an hour".into()));
    lines.push(line(HOSTILE, vec![]));
    snapshot("devices-list", &list(lines, true, Some(7)));
}

#[test]
fn enrolling_looks_like_this() {
    let shell = || sample_shell("Enrol a device", "/devices/new", &[Role::Owner]);
    snapshot("devices-new", &NewPage { shell: shell(), name: String::new(), wrong: None });
    let wrong = Some("name must be 1 to 200 bytes".to_owned());
    snapshot("devices-new-again", &NewPage { shell: shell(), name: HOSTILE.into(), wrong });
    let key = KeyPage {
        shell: sample_shell("Your device is enrolled", "/devices/new", &[Role::Owner]),
        device: device(),
        name: HOSTILE.into(),
        key: "berth-key-AAAA".into(),
        agent_json: "{\n  \"server\": \"https://berth.example\",\n  \"key\": \"berth-key-AAAA\"\n}\n".into(),
        replaced: true,
    };
    snapshot("devices-key", &key);
}

fn page(name: &str) -> DevicePage {
    DevicePage {
        shell: sample_shell(name, &format!("/devices/{}", device()), &[Role::Owner])
            .live([device().to_string()]),
        device: device(),
        revision: 7,
        name: name.into(),
        states: vec![Standing::Waiting.into()],
        owner: None,
        enrolled_at: now(),
        retired_at: None,
        last_seen: None,
        lost: None,
        uptime: None,
        lease: None,
        price: None,
        title: None,
        rental: None,
        rentals: Vec::new(),
        later: false,
        next: None,
        has_key: true,
        keeps: true,
        audits: false,
        again: Again::default(),
    }
}

#[test]
fn a_device_looks_like_this() {
    snapshot("devices-device-new", &page("pi"));
    let hardware = Hardware {
        memory_mib: 4_096,
        disk_mib: 65_536,
        processor: HOSTILE[..60].into(),
        cores: 4,
        bandwidth_kbit_s: Some(94_000),
    };
    let lease = Lease {
        epoch: 2,
        gateway: "gateway".into(),
        host: "berth.example".into(),
        port: 20_001,
        subdomain: "d-1.berth.example".into(),
        hardware: Some(hardware),
        granted_at: now(),
        ended_at: None,
        erased_at: None,
        tunnel: None,
    };
    let past = Past {
        contract: ContractId::of(device(), 1),
        starts_at: now(),
        ends_at: now().plus(36_000),
        how: "running",
        uptime: "97.50 %".into(),
        offline_s: 900,
        outages: 2,
        paid: usd("6.00"),
        payout: None,
    };
    let whole = DevicePage {
        owner: Some((domain::id::AccountId(Uuid::from_u128(2)), HOSTILE.into())),
        states: vec![Presence::Lost.into(), Standing::Let.into()],
        lost: Some((now(), Some(now().plus(1_800)))),
        last_seen: Some(now()),
        uptime: Some("99.90 %".into()),
        lease: Some(lease.clone()),
        price: Some("0.60 USD an hour".into()),
        title: Some(HOSTILE.into()),
        rental: Some(running()),
        rentals: vec![Past { outages: 0, payout: Some(usd("5.40")), ..past.clone() }, past],
        next: Some(9),
        has_key: false,
        audits: true,
        again: Again {
            name: Some((HOSTILE.into(), "too long".into())),
            to: Some((HOSTILE.into(), "no account".into())),
            retire: Some("tick the box".into()),
        },
        ..page(HOSTILE)
    };
    snapshot("devices-device", &whole);
    let ended = Lease { ended_at: Some(now()), ..lease };
    let erasing = DevicePage { lease: Some(ended), retired_at: Some(now()), keeps: false, ..page("pi") };
    snapshot("devices-device-erasing", &erasing);
}

#[test]
fn an_offer_looks_like_this() {
    let typed = Fields { title: "A small computer".into(), hour: "0.60".into(), ..Fields::empty() };
    let offer = typed.read().unwrap();
    let page = |fields: Fields, wrong: Wrong, offered: bool| OfferPage {
        shell: sample_shell("Offer of pi", &format!("/devices/{}/offer", device()), &[Role::Owner]),
        device: device(),
        name: "pi".into(),
        fields,
        wrong,
        offered,
        samples: if offered { samples(&offer) } else { Vec::new() },
        keeps: true,
        assets: Asset::ALL,
        units: UNITS,
        max_text: 120,
    };
    snapshot("devices-offer-new", &page(Fields::empty(), Wrong::default(), false));
    snapshot("devices-offer", &page(Fields::of(&offer), Wrong::default(), true));
    let bad = || HOSTILE.to_owned();
    let fields = Fields {
        title: bad(),
        place: bad(),
        asset: bad(),
        hour: bad(),
        day: bad(),
        week: bad(),
        month: bad(),
        min: bad(),
        min_unit: bad(),
        max: bad(),
        max_unit: bad(),
    };
    let wrong = Wrong { offer: Some(bad()), place: Some(bad()), ..*fields.read().unwrap_err() };
    snapshot("devices-offer-again", &page(fields, wrong, true));
}
