//! What the pages ask of the views.

use domain::{
    money::{Asset, Money},
    offer::Unit,
};
use projections::views::{
    Page, ViewError, Views,
    contracts::{ContractScope, ContractStatus},
    earnings::Month,
    market::{MarketFilter, MarketSort},
    orders::OrderScope,
    settlements::{SettlementFilter, SettlementStatus},
    timeline::Subject,
};

use crate::{
    marketplace::People,
    report::{heading, line},
};

/// Rows of a page.
const ROWS: usize = 50;

/// The market: every order, every filter, and filters that hardly anything or nothing passes.
pub async fn market(views: &Views, usd: Asset) {
    heading("market, first page", "rows");
    let all = MarketFilter::default();
    for sort in MarketSort::ALL {
        line(&format!("{sort:?}"), || search(views, &all, sort)).await;
    }
    let of = |change: &dyn Fn(&mut MarketFilter)| {
        let mut filter = MarketFilter::default();
        change(&mut filter);
        filter
    };
    let cent = Money::from_minor(1, usd).ok();
    let day = cent.map(|price| (Unit::Day, price));
    let filters = [
        ("in USD", of(&|f| f.asset = Some(usd))),
        (
            "16 GiB or more in Lima",
            of(&|f| (f.min_memory_mib, f.place) = (Some(16_384), Some("Lima".into()))),
        ),
        ("text of many", of(&|f| f.text = Some("board 7".into()))),
        ("text of few", of(&|f| f.text = Some("board 31415".into()))),
        ("text of none", of(&|f| f.text = Some("board 9x9".into()))),
        ("three letters of none", of(&|f| f.text = Some("xyz".into()))),
        ("two letters of none", of(&|f| f.text = Some("9x".into()))),
        ("processor in no processor", of(&|f| f.processor = Some("board".into()))),
        ("processor of all", of(&|f| f.processor = Some("cortex".into()))),
        ("processor of none", of(&|f| f.processor = Some("ryzen".into()))),
        ("memory of none", of(&|f| f.min_memory_mib = Some(1 << 30))),
        ("bandwidth of few", of(&|f| f.min_bandwidth_kbit_s = Some(99_990))),
        (
            "uptime and bandwidth of none",
            of(&|f| (f.min_uptime_ppm, f.min_bandwidth_kbit_s) = (Some(900_000), Some(1 << 30))),
        ),
        ("rate of none", of(&|f| f.max_price_per_hour = cent)),
        ("price of a day of none", of(&|f| f.max_price = day)),
        ("place of none", of(&|f| f.place = Some("Atlantis".into()))),
    ];
    for (name, filter) in &filters {
        for sort in
            [MarketSort::Price, MarketSort::PriceFor(Unit::Day), MarketSort::Uptime, MarketSort::Newest]
        {
            line(&format!("{name}; {sort:?}"), || search(views, filter, sort)).await;
        }
    }
    line("places", async || Ok::<_, ViewError>(views.places(ROWS).await?.len())).await;
}

async fn search(views: &Views, filter: &MarketFilter, sort: MarketSort) -> Result<usize, ViewError> {
    Ok(views.market(filter.clone(), sort, None, ROWS + 1).await?.len())
}

/// An owner's devices, rentals and money.
pub async fn owner(views: &Views, people: &People) {
    let (owner, device) = (people.owner, people.device);
    heading("owner", "rows");
    let first = Page::newest(ROWS);
    line("devices", async || Ok::<_, ViewError>(views.devices_of(owner, first).await?.len())).await;
    let scope = ContractScope::Owner(owner);
    line("contracts", async || Ok::<_, ViewError>(views.contracts(scope, None, first).await?.len())).await;
    for status in [ContractStatus::Running, ContractStatus::Expired, ContractStatus::Terminated] {
        let ask = async || Ok::<_, ViewError>(views.contracts(scope, Some(status), first).await?.len());
        line(&format!("contracts {status:?}"), ask).await;
    }
    let since = Month::of(people.now()).plus(-11);
    line("earnings of a year", async || Ok::<_, ViewError>(views.earnings(owner, since, 500).await?.len()))
        .await;
    line("earnings in all", async || Ok::<_, ViewError>(views.earnings_in_all(owner).await?.len())).await;
    line("earnings of a device", async || {
        Ok::<_, ViewError>(views.earnings_of_device(owner, device, Month::ALL, 500).await?.len())
    })
    .await;
    let best = (Asset::ALL[0], Month::ALL);
    line("best devices", async || {
        Ok::<_, ViewError>(views.best_devices(owner, best, None, ROWS).await?.len())
    })
    .await;
    line("accrued", async || Ok::<_, ViewError>(views.accrued_to(owner).await?.len())).await;
    line("payable", async || Ok::<_, ViewError>(views.payable_to(owner).await?.len())).await;
    line("purses", async || Ok::<_, ViewError>(views.purses(Some(owner), first).await?.len())).await;
    let paid = SettlementFilter { recipient: Some(owner), ..SettlementFilter::default() };
    line("payouts", async || Ok::<_, ViewError>(views.settlements(paid.clone(), first).await?.len())).await;
    let scope = ContractScope::Device(device);
    line("device", async || Ok::<_, ViewError>(usize::from(views.device(device).await?.is_some()))).await;
    line("device, contracts", async || Ok::<_, ViewError>(views.contracts(scope, None, first).await?.len()))
        .await;
}

/// A renter's rentals, and one of them.
pub async fn renter(views: &Views, people: &People) {
    heading("renter and auditor", "rows");
    let first = Page::newest(ROWS);
    let scope = ContractScope::Renter(people.renter);
    line("contracts", async || Ok::<_, ViewError>(views.contracts(scope, None, first).await?.len())).await;
    for status in [ContractStatus::Running, ContractStatus::Terminated] {
        let ask = async || Ok::<_, ViewError>(views.contracts(scope, Some(status), first).await?.len());
        line(&format!("contracts {status:?}"), ask).await;
    }
    let orders = OrderScope::Renter(people.renter);
    line("orders", async || Ok::<_, ViewError>(views.orders(orders.clone(), first).await?.len())).await;
    let contract = people.contract;
    line("contract", async || Ok::<_, ViewError>(usize::from(views.contract(contract).await?.is_some())))
        .await;
    line("contract, history", async || {
        Ok::<_, ViewError>(views.history_of(contract, None, 200).await?.len())
    })
    .await;
    let of = SettlementFilter { contract: Some(contract), ..SettlementFilter::default() };
    line("contract, settlements", async || {
        Ok::<_, ViewError>(views.settlements(of.clone(), first).await?.len())
    })
    .await;
    line("order", async || {
        Ok::<_, ViewError>(usize::from(views.order(people.order.clone()).await?.is_some()))
    })
    .await;
    let subject = Subject::from(people.device);
    line("device, timeline", async || Ok::<_, ViewError>(views.timeline(subject, None, 200).await?.len()))
        .await;
}

/// What an operator looks after.
pub async fn operator(views: &Views) {
    heading("operator", "rows");
    let first = Page::newest(ROWS);
    line("overview", async || views.overview().await.map(|_| 1)).await;
    line("lost devices", async || Ok::<_, ViewError>(views.lost_devices(first).await?.len())).await;
    line("unerased devices", async || Ok::<_, ViewError>(views.unerased_devices(first).await?.len())).await;
    line("rejected orders", async || {
        Ok::<_, ViewError>(views.orders(OrderScope::Rejected, first).await?.len())
    })
    .await;
    for status in [SettlementStatus::Quarantined, SettlementStatus::Failed, SettlementStatus::Due] {
        let of = SettlementFilter { status: Some(status), ..SettlementFilter::default() };
        let ask = async || Ok::<_, ViewError>(views.settlements(of.clone(), first).await?.len());
        line(&format!("settlements {status:?}"), ask).await;
    }
    line("devices", async || Ok::<_, ViewError>(views.devices(first).await?.len())).await;
    line("contracts", async || {
        Ok::<_, ViewError>(views.contracts(ContractScope::All, None, first).await?.len())
    })
    .await;
}
