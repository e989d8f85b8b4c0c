//! No question sorts, and none looks at rows that it does not need for its order.

use std::sync::Arc;

use domain::{
    id::{AccountId, ContractId, DeviceId, GatewayName, MarketplaceName, SettlementId, Subdomain},
    journal::Account,
    key::Digest,
    money::{Asset, Money},
    offer::Unit,
    settlement::SettlementKind,
    time::Time,
};
use uuid::Uuid;

use super::*;
use crate::{
    log::{EventLog, memory::MemoryLog},
    rebuild,
    views::{
        contracts::{ContractScope, ContractStatus},
        devices::{LOST, UNERASED},
        due::DueKind,
        earnings::{Month, Sum},
        journal::Accounts,
        market::{MarketFilter, MarketSort},
        orders::OrderScope,
        overview::MAX_COUNT,
        settlements::{SettlementFilter, SettlementStatus},
        timeline::Subject,
    },
};

const ID: Uuid = Uuid::from_u128(7);

/// Every question of the tests in this crate comes by here.
pub fn assert_indexed(db: &Db, sql: &str) {
    let Db::Sqlite(db) = db else { return };
    let mut statement = db.prepare(&format!("explain query plan {sql}")).unwrap();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().unwrap() {
        let step: String = row.get(3).unwrap();
        assert!(!step.contains("TEMP B-TREE"), "{sql} sorts: {step}");
        let by_index = step.contains("USING INDEX") || step.contains("USING COVERING INDEX");
        let in_order = by_index || sql.contains("order by position");
        // The market is searched, and things are counted, without a look at the rows.
        let searched = sql.starts_with("select device from market");
        let counted = sql.ends_with(&format!("limit {MAX_COUNT}"));
        let narrow = step.contains("COVERING") || !(searched || counted);
        assert!(narrow, "{sql} looks at rows: {step}");
        assert!(!step.starts_with("SCAN") || in_order, "{sql} reads everything: {step}");
    }
}

/// The steps in which the database answers.
fn plan(db: &Db, sql: &str) -> String {
    let Db::Sqlite(db) = db else { return String::new() };
    let mut statement = db.prepare(&format!("explain query plan {sql}")).unwrap();
    let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
    steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
}

async fn views() -> (tempfile::TempDir, Views) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.db");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    rebuild::prepare(&log, &path, |_| {}).await.unwrap();
    let views = Views::open(&path).unwrap();
    (folder, views)
}

fn pages() -> [Page; 4] {
    let after = Some(5);
    [Page::oldest(9), Page::newest(9), Page { after, ..Page::oldest(9) }, Page { after, ..Page::newest(9) }]
}

#[tokio::test]
async fn every_list_is_read_in_the_order_of_an_index() {
    let (_folder, views) = views().await;
    let account = AccountId(ID);
    let marketplace = MarketplaceName::new("openbazaar").unwrap();
    for page in pages() {
        views.devices(page).await.unwrap();
        views.devices_of(account, page).await.unwrap();
        views.lost_devices(page).await.unwrap();
        views.unerased_devices(page).await.unwrap();
        views.purses(None, page).await.unwrap();
        views.purses(Some(account), page).await.unwrap();
        for scope in [
            ContractScope::All,
            ContractScope::Renter(account),
            ContractScope::Owner(account),
            ContractScope::Device(DeviceId(ID)),
        ] {
            views.contracts(scope, None, page).await.unwrap();
            views.contracts(scope, Some(ContractStatus::Running), page).await.unwrap();
        }
        for scope in [
            OrderScope::All,
            OrderScope::Undecided,
            OrderScope::Rejected,
            OrderScope::Renter(account),
            OrderScope::Contract(ContractId(ID)),
            OrderScope::Marketplace(marketplace.clone()),
        ] {
            views.orders(scope, page).await.unwrap();
        }
        for choice in 0..32 {
            let filter = SettlementFilter {
                kind: (choice & 1 > 0).then_some(SettlementKind::Refund),
                status: (choice & 2 > 0).then_some(SettlementStatus::Due),
                marketplace: (choice & 4 > 0).then(|| marketplace.clone()),
                recipient: (choice & 8 > 0).then_some(account),
                contract: (choice & 16 > 0).then_some(ContractId(ID)),
            };
            views.settlements(filter, page).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_market_is_read_in_the_order_of_an_index_whatever_is_filtered() {
    let (_folder, views) = views().await;
    let usd: Asset = "USD".parse().unwrap();
    let all = MarketFilter {
        max_price_per_hour: Some(Money::zero(usd)),
        asset: Some(usd),
        min_memory_mib: Some(1),
        min_disk_mib: Some(1),
        min_cores: Some(1),
        min_uptime_ppm: Some(1),
        place: Some("Lima".into()),
        max_price: Some((Unit::Day, Money::zero(usd))),
        min_bandwidth_kbit_s: Some(1),
        processor: Some("cortex".into()),
        text: Some("board".into()),
    };
    let one = MarketFilter { asset: Some(usd), ..MarketFilter::default() };
    views.places(9).await.unwrap();
    for sort in MarketSort::ALL {
        for filter in [MarketFilter::default(), one.clone(), all.clone()] {
            let cursor = format!("12.{ID}").parse().unwrap();
            views.market(filter.clone(), sort, None, 9).await.unwrap();
            views.market(filter, sort, Some(cursor), 9).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_rare_has_an_index_of_its_own() {
    let (_folder, views) = views().await;
    let db = views.store().reader().unwrap();
    for (table, condition, index) in [
        ("devices", LOST, "devices_1_by_lost"),
        ("devices", UNERASED, "devices_1_by_unerased"),
        ("orders", "status = 'received'", "orders_1_by_received"),
        ("orders", "status = 'rejected'", "orders_1_by_rejected"),
        ("contracts", "renter = ?1 and status = ?2", "contracts_1_by_renter_status"),
        ("contracts", "owner = ?1 and status = ?2", "contracts_1_by_owner_status"),
        ("contracts", "device = ?1 and status = ?2", "contracts_1_by_device_status"),
        ("contracts", "status = ?2", "contracts_1_by_status"),
    ] {
        for (beyond, order) in
            [("true", "desc"), ("true", "asc"), ("position > 7", "asc"), ("position < 7", "desc")]
        {
            let sql = format!(
                "select * from {table} where {condition} and {beyond} order by position {order} limit 9"
            );
            let plan = plan(&db, &sql);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}

#[tokio::test]
async fn single_things_and_feeds_are_found_by_an_index() {
    let (_folder, views) = views().await;
    views.overview().await.unwrap();
    views.device(DeviceId(ID)).await.unwrap();
    views.device_by_key(Digest([1; 32])).await.unwrap();
    views.contract(ContractId(ID)).await.unwrap();
    views.order("openbazaar-1".parse().unwrap()).await.unwrap();
    views.settlement(SettlementId(ID)).await.unwrap();
    views.leases(GatewayName::new("gw").unwrap(), Some(1), 9).await.unwrap();
    views.lease_of_subdomain(Subdomain::new("b1").unwrap()).await.unwrap();
    views.due(DueKind::Expiry, Time::from_unix(0), 9).await.unwrap();
    views.due(DueKind::Payout, Time::from_unix(0), 9).await.unwrap();
    views.next_due(DueKind::Payout).await.unwrap();
    views.contracts_to_close(Time::from_unix(0), (Time::MIN, 0), 9).await.unwrap();
    views.entries_of(&[3, 7]).await.unwrap();
    views.journal(Page::oldest(9)).await.unwrap();
    views.balances(Accounts::All, None, 9).await.unwrap();
    views.balances(Accounts::NotEmpty, None, 9).await.unwrap();
    views.owed_to(AccountId(ID)).await.unwrap();
    views.payable_to(AccountId(ID)).await.unwrap();
    views.accrued_to(AccountId(ID)).await.unwrap();
    views.earnings(AccountId(ID), Month::ALL, 9).await.unwrap();
    views.earnings_of_device(AccountId(ID), DeviceId(ID), Month::ALL.plus(1), 9).await.unwrap();
    views.earnings_in_all(AccountId(ID)).await.unwrap();
    let of = ("USD".parse().unwrap(), Month::ALL);
    views.best_devices(AccountId(ID), of, None, 9).await.unwrap();
    views.best_devices(AccountId(ID), of, Some((Sum(1), DeviceId(ID))), 9).await.unwrap();
    views.balance(&Account::Disputed(ContractId(ID)), "USD".parse().unwrap()).await.unwrap();
    views.device_feed(DeviceId(ID), Some(1), 9).await.unwrap();
    views.timeline(Subject::from(DeviceId(ID)), Some(1), 9).await.unwrap();
    views.history_of(ContractId(ID), None, 9).await.unwrap();
}
