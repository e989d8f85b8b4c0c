//! How rentals look.

use api::{
    contracts::{Credentials, Quote, QuotedRefund},
    http::{
        contracts::{Access, Contract, Extension, Segment},
        data::{KeyHalf, KeyState},
    },
    pages::{
        page::Shell,
        rentals::{
            access::CredentialsPage,
            end::EndPage,
            extend::ExtensionPage,
            list::{Item, RentalsPage},
            receipt::Erasure,
            show::{Pay, RentalPage},
        },
        term::Typed,
    },
};
use domain::{
    account::Role,
    id::{ContractId, OrderKey, SettlementId},
    money::Money,
    policy::EndedBy,
    settlement::SettlementKind,
    time::{Interval, Time},
    wire::{EraseStep, StepResult},
};
use projections::views::{
    contracts::{ContractStatus, SegmentVerdict},
    settlements::{SettlementRow, SettlementStatus},
};
use uuid::Uuid;

use super::{
    kit::{HOSTILE, sample_shell, snapshot},
    market_looks::offer,
};

fn at(hours: i64) -> Time {
    crate::app::START.parse::<Time>().unwrap().plus(hours * 3_600)
}

fn usd(amount: &str) -> Money {
    Money::parse(amount, "USD".parse().unwrap()).unwrap()
}

fn shell(path: &str) -> Shell {
    sample_shell("Your rentals", path, &[Role::Renter])
}

fn order() -> OrderKey {
    OrderKey { marketplace: "shop".parse().unwrap(), id: "order-1".parse().unwrap() }
}

fn item(text: &str, status: ContractStatus, left_s: i64) -> Item {
    Item {
        contract: ContractId(Uuid::from_u128(5)),
        title: text.into(),
        starts_at: at(-10),
        until: at(left_s / 3_600),
        status,
        left_s,
        paid: usd("12.00"),
        refunded: usd("0"),
        pay_until: (left_s > 0).then(|| at(1)),
    }
}

fn contract(text: &str) -> Contract {
    let segment = |from: i64, verdict| Segment {
        start: at(from),
        end: at(from + 10),
        paid: usd("6.00"),
        marketplace: "shop".into(),
        order_id: "order-1".into(),
        refunded: usd("0"),
        verdict,
    };
    let extension =
        Extension { extension: Uuid::from_u128(9), term_s: 7_200, price: usd("1.20"), lapses_at: at(1) };
    let access = Access {
        host: "gate.example".into(),
        port: 20_001,
        name: "calmotter.gate.example".into(),
        http: Some("http://calmotter.gate.example".into()),
        https: None,
        host_keys: vec!["ssh-ed25519 AAAA".into()],
        connected: true,
    };
    Contract {
        contract: Uuid::from_u128(5),
        device: Uuid::from_u128(7),
        epoch: 1,
        owner: Uuid::from_u128(2),
        renter: Uuid::from_u128(3),
        status: ContractStatus::Running,
        ended_by: None,
        starts_at: at(-10),
        ends_at: at(10),
        ended_at: None,
        access: Some(access),
        segments: vec![segment(-10, SegmentVerdict::Closed), segment(0, SegmentVerdict::Pending)],
        extension: Some(extension),
        paid: usd("12.00"),
        refunded: usd("0"),
        payout: None,
        fee: None,
        moderation: usd("0"),
        payout_due_at: None,
        offer: offer(text),
        quote_valid_s: 300,
        offline_resume: false,
        key_half: KeyHalf {
            state: KeyState::Held,
            commitment: Some("c0".into()),
            destroyed_at: None,
            why: None,
        },
        erased_at: None,
    }
}

fn refund(text: &str) -> SettlementRow {
    SettlementRow {
        settlement: SettlementId(Uuid::from_u128(11)),
        position: 1,
        revision: 1,
        updated: 1,
        kind: SettlementKind::Refund,
        status: SettlementStatus::Settled,
        order_key: order(),
        marketplace: order().marketplace,
        contract: Some(ContractId(Uuid::from_u128(5))),
        recipient: Uuid::from_u128(3).into(),
        amount: usd("5.40"),
        due_at: at(0),
        attempt: 1,
        method: Some("bank".into()),
        started_at: Some(at(0)),
        ended_at: Some(at(0)),
        reference: Some(text.into()),
        moved: Some(usd("5.40")),
        network_fee: None,
        reason: Some(text.into()),
    }
}

fn rental(text: &str, as_whom: Option<EndedBy>) -> RentalPage {
    RentalPage {
        shell: shell("/rentals/5"),
        contract: contract(text),
        as_whom,
        now: at(0),
        pay: Some(Pay { marketplace: "shop".into(), slug: None, till: true }),
        outages: vec![Interval::new(at(-3), at(-2))],
        offline_s: 3_600,
        settlements: Vec::new(),
        erasure: None,
        erasure_asked: false,
    }
}

fn ended(text: &str, as_whom: Option<EndedBy>) -> RentalPage {
    let contract = Contract {
        status: ContractStatus::Terminated,
        ended_by: Some(EndedBy::Renter),
        ended_at: Some(at(0)),
        access: None,
        extension: None,
        refunded: usd("5.40"),
        payout: Some(usd("5.94")),
        fee: Some(usd("0.66")),
        ..contract(text)
    };
    RentalPage {
        contract,
        pay: None,
        outages: Vec::new(),
        offline_s: 0,
        settlements: vec![refund(text)],
        ..rental(text, as_whom)
    }
}

fn erasure(text: &str) -> Erasure {
    let step = EraseStep { step: text.into(), result: StepResult::Done, detail: text.into() };
    Erasure {
        at: at(0),
        position: 42,
        volume: text.into(),
        steps: vec![step],
        tombstone: "00".repeat(32),
        signature: "AAAA".into(),
    }
}

#[test]
fn the_list_of_rentals_looks_like_this() {
    let page = |running: Vec<Item>, past: Vec<Item>, next| RentalsPage {
        shell: shell("/rentals"),
        running,
        more_running: next,
        past,
        more_past: next,
        later: next.is_some(),
    };
    let running =
        |text| vec![item(text, ContractStatus::Running, 36_000), item(text, ContractStatus::Running, 0)];
    let past = |text| {
        [ContractStatus::Expired, ContractStatus::Terminated].map(|status| item(text, status, 0)).to_vec()
    };
    snapshot("rentals", &page(running("Pi"), past("Pi"), Some(17)));
    snapshot("rentals_empty", &page(Vec::new(), Vec::new(), None));
    snapshot("rentals_hostile", &page(running(HOSTILE), past(HOSTILE), None));
}

#[test]
fn a_rental_looks_like_this_to_each_who_sees_it() {
    snapshot("rental_renter", &rental("A small computer", Some(EndedBy::Renter)));
    let slug = Some("berth-x-5-9".to_owned());
    let pay = Some(Pay { marketplace: "openbazaar".into(), slug, till: false });
    snapshot("rental_owner", &RentalPage { pay, ..rental("A small computer", Some(EndedBy::Owner)) });
    snapshot("rental_auditor", &rental("A small computer", None));
    snapshot("rental_hostile", &rental(HOSTILE, Some(EndedBy::Renter)));
    let over = RentalPage { now: at(11), ..rental("A small computer", Some(EndedBy::Renter)) };
    snapshot("rental_time_over", &over);
}

#[test]
fn a_rental_that_is_over_looks_like_this() {
    snapshot("rental_ended", &ended("A small computer", Some(EndedBy::Renter)));
    let mut page = ended("A small computer", Some(EndedBy::Operator));
    (page.erasure, page.erasure_asked) = (Some(erasure("remove files")), true);
    page.contract.erased_at = Some(at(0));
    page.contract.key_half.state = KeyState::Destroyed;
    page.contract.key_half.destroyed_at = Some(at(0));
    snapshot("rental_erased", &page);
    let mut page = ended(HOSTILE, Some(EndedBy::Renter));
    (page.erasure, page.contract.erased_at) = (Some(erasure(HOSTILE)), Some(at(0)));
    snapshot("rental_erased_hostile", &page);
}

#[test]
fn more_time_an_end_and_a_login_look_like_this() {
    let contract = ContractId(Uuid::from_u128(5));
    let more = |text: &str, wrong: Option<&str>| ExtensionPage {
        shell: shell("/rentals/5/extension"),
        contract,
        offer: offer(text),
        ends_at: at(10),
        valid_s: 3_600,
        asked: Typed { term: text.into(), unit: "day".into() },
        wrong: wrong.map(Into::into),
    };
    snapshot("rental_extension", &more("2", None));
    snapshot("rental_extension_hostile", &more(HOSTILE, Some(HOSTILE)));
    let quote = |stands_s: i64| Quote {
        at: at(0),
        stands_until: at(0).plus(stands_s),
        refunds: vec![QuotedRefund { segment: 0, order: order(), amount: usd("5.40") }],
        total: usd("5.40"),
        owner: usd("0.54"),
        fee: usd("0.06"),
    };
    let end = |quote: Option<Quote>, wrong: Option<&str>| EndPage {
        shell: shell("/rentals/5/end"),
        contract,
        title: HOSTILE.into(),
        as_whom: EndedBy::Renter,
        quote,
        wrong: wrong.map(Into::into),
    };
    snapshot("rental_end", &end(Some(quote(300)), None));
    snapshot("rental_end_short", &end(Some(quote(1)), Some("the quote no longer stands")));
    snapshot("rental_end_over", &end(None, Some("the rental is over")));
    let login = Credentials {
        host: "gate.example".into(),
        port: 20_001,
        user: "renter".into(),
        password: "correct-horse".into(),
        subdomain: "calmotter".parse().unwrap(),
    };
    let page =
        CredentialsPage { shell: shell("/rentals/5/credentials"), contract, title: HOSTILE.into(), login };
    snapshot("rental_credentials", &page);
}
