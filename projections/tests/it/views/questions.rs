//! Everything that can be asked of the views, answered as text: two stores that hold the same answer the same.

use std::fmt::Debug;

use domain::{
    id::{GatewayName, MarketplaceName},
    money::{Asset, Money},
    offer::Unit,
    time::Time,
};
use projections::{
    rebuild,
    views::{
        Page, ViewError, Views,
        contracts::{ContractScope, ContractStatus},
        due::DueKind,
        earnings::Month,
        journal::{Accounts, JournalReader},
        market::{MarketFilter, MarketSort},
        orders::OrderScope,
        settlements::SettlementFilter,
        timeline::Subject,
    },
};

/// Collects answers.
#[derive(Default)]
struct Answers(Vec<String>);

impl Answers {
    fn add(&mut self, question: &str, answer: impl Debug) {
        self.0.push(format!("{question}: {answer:?}"));
    }
}

/// Asks everything.
pub async fn answers(views: &Views) -> Vec<String> {
    let mut all = Answers::default();
    let devices = views.devices(Page::newest(500)).await.unwrap();
    all.add("devices", &devices);
    let pages = [
        Page::oldest(3),
        Page { after: Some(200), ..Page::oldest(7) },
        Page { after: Some(300), ..Page::newest(7) },
    ];
    for page in pages {
        all.add("lost", views.lost_devices(page).await.unwrap());
        all.add("unerased", views.unerased_devices(page).await.unwrap());
        all.add("purses", views.purses(None, page).await.unwrap());
        all.add("journal", views.journal(page).await.unwrap());
        all.add("contracts", views.contracts(ContractScope::All, None, page).await.unwrap());
        for scope in [OrderScope::All, OrderScope::Undecided, OrderScope::Rejected] {
            all.add("orders", views.orders(scope, page).await.unwrap());
        }
        all.add("settlements", views.settlements(SettlementFilter::default(), page).await.unwrap());
    }
    let (page, usd): (_, Asset) = (Page::newest(50), "USD".parse().unwrap());
    for device in devices.iter().take(4) {
        let owner = device.owner;
        all.add("of owner", views.devices_of(owner, page).await.unwrap());
        all.add("one", views.device(device.device).await.unwrap());
        for scope in
            [ContractScope::Renter(owner), ContractScope::Owner(owner), ContractScope::Device(device.device)]
        {
            let running = Some(ContractStatus::Running);
            all.add("contracts of", views.contracts(scope, None, page).await.unwrap());
            all.add("running of", views.contracts(scope, running, page).await.unwrap());
        }
        all.add("feed", views.device_feed(device.device, Some(3), 50).await.unwrap());
        all.add("timeline", views.timeline(Subject::from(device.device), None, 50).await.unwrap());
        all.add("owed", views.owed_to(owner).await.unwrap());
        all.add("payable", views.payable_to(owner).await.unwrap());
        all.add("accrued", views.accrued_to(owner).await.unwrap());
        all.add("earnings", views.earnings(owner, Month::ALL, 50).await.unwrap());
        all.add("in all", views.earnings_in_all(owner).await.unwrap());
        let best = views.best_devices(owner, (usd, Month::ALL), None, 2).await.unwrap();
        let after = best.last().map(|row| (row.earned, row.device));
        all.add("best", best);
        all.add("next best", views.best_devices(owner, (usd, Month::ALL), after, 2).await.unwrap());
    }
    for contract in views.contracts(ContractScope::All, None, Page::newest(5)).await.unwrap() {
        all.add("contract", views.contract(contract.contract).await.unwrap());
        all.add("history", views.history_of(contract.contract, None, 100).await.unwrap());
        all.add("orders of", views.orders(OrderScope::Contract(contract.contract), page).await.unwrap());
        all.add("order", views.order(contract.started_by).await.unwrap());
    }
    let marketplace = OrderScope::Marketplace(MarketplaceName::new("openbazaar").unwrap());
    all.add("of marketplace", views.orders(marketplace, page).await.unwrap());
    for kind in [DueKind::Expiry, DueKind::Payout, DueKind::ExtensionLapse] {
        all.add("due", views.due(kind, Time::from_unix(4_000_000_000), 100).await.unwrap());
        all.add("next due", views.next_due(kind).await.unwrap());
    }
    all.add("leases", views.leases(GatewayName::new("gw").unwrap(), None, 100).await.unwrap());
    all.add("overview", views.overview().await.unwrap());
    all.add("entries of", views.entries_of(&(0..400).collect::<Vec<_>>()).await.unwrap());
    for which in [Accounts::All, Accounts::NotEmpty] {
        let first = views.balances(which, None, 40).await.unwrap();
        let after = first.last().map(|row| (row.account.to_string(), row.asset.code().to_owned()));
        all.add("balances", first);
        all.add("more balances", views.balances(which, after, 500).await.unwrap());
    }
    market(views, usd, &mut all).await;
    let store = views.store().clone();
    let entries = tokio::task::spawn_blocking(move || {
        let (mut all, reader) = (Vec::new(), JournalReader::open(store).unwrap());
        let mut keep = |row: &dyn Debug| {
            all.push(format!("{row:?}"));
            Ok::<_, ViewError>(())
        };
        reader.entries(|entry| keep(&entry)).unwrap();
        reader.balances(|row| keep(&row)).unwrap();
        reader.open_items(|row| keep(&row)).unwrap();
        all
    });
    all.0.extend(entries.await.unwrap());
    all.0
}

async fn market(views: &Views, usd: Asset, all: &mut Answers) {
    let places = views.places(100).await.unwrap();
    let some = MarketFilter {
        max_price_per_hour: Some(Money::from_minor(400, usd).unwrap()),
        max_price: Some((Unit::Day, Money::from_minor(9_000, usd).unwrap())),
        min_memory_mib: Some(1),
        min_uptime_ppm: Some(1),
        ..MarketFilter::default()
    };
    let placed = MarketFilter { place: places.first().cloned(), ..MarketFilter::default() };
    let named = MarketFilter { text: Some("p".into()), processor: Some("cortex".into()), ..some.clone() };
    all.add("places", &places);
    for sort in MarketSort::ALL {
        for filter in [MarketFilter::default(), some.clone(), placed.clone(), named.clone()] {
            let first = views.market(filter.clone(), sort, None, 2).await.unwrap();
            let after = first.last().map(|row| row.cursor(sort));
            all.add("market", (sort, first));
            all.add("further", (sort, views.market(filter, sort, after, 50).await.unwrap()));
        }
    }
}

/// Fails with the first answer that differs.
#[track_caller]
pub fn assert_same(a: &[String], b: &[String]) {
    for (left, right) in a.iter().zip(b) {
        assert_eq!(left, right);
    }
    assert_eq!(a.len(), b.len());
    let told = |answer: &&String| !answer.ends_with(": []") && !answer.ends_with(": None");
    assert!(a.iter().filter(told).count() > a.len() / 2, "hardly anything was answered");
}

/// What a comparison with the log finds.
pub async fn compared(
    log: &std::sync::Arc<dyn projections::log::EventLog>,
    views: &Views,
) -> rebuild::Compared {
    rebuild::compare(log, views.store(), |_| {}).await.unwrap()
}
