//! Lists: every item once, page by page, in a stable order.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    world::{Device, Who, offer, usd},
};

/// All items of a list, followed by `next`, and the number of pages.
async fn walk(test: &TestApp, path: &str, token: &str) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut at) = (Vec::new(), 0, path.to_owned());
    loop {
        let page = test.get(&at, token).await;
        items.extend(page.body["items"].as_array().unwrap_or_else(|| panic!("{}", page.body)).clone());
        pages += 1;
        let link = page.header("link").map(ToOwned::to_owned);
        let Some(next) = page.ok()["next"].as_str().map(ToOwned::to_owned) else {
            assert_eq!(link, None, "the last page leads nowhere");
            return (items, pages);
        };
        let link = link.unwrap();
        let target =
            link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap().to_owned();
        assert!(target.ends_with(&format!("cursor={next}")), "{target}");
        at = target;
    }
}

async fn shopping(test: &TestApp) -> (Who, Who, Who) {
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    (owner, renter, test.account(&["marketplace"], Some("shop")).await)
}

fn distinct(items: &[Value], member: &str) -> usize {
    let ids: std::collections::BTreeSet<_> = items.iter().map(|item| item[member].to_string()).collect();
    ids.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_can_be_walked_page_by_page() {
    let test = TestApp::new().await;
    let (owner, renter, shop) = shopping(&test).await;
    for _ in 0..7 {
        let device = test.offered(&owner).await;
        test.rental(&shop, &renter, &device).await;
        assert_eq!(test.order(&shop, &renter, &device, 60, usd("0.01")).await.status, 409);
        let webhook = json!({"url": "https://example.org/hook", "types": ["DeviceLost"]});
        test.post("/v1/webhooks", &test.operator, &webhook).await.ok();
    }
    test.settle().await;
    for (path, token, member, count) in [
        ("/v1/devices", &owner.token, "device", 7),
        ("/v1/contracts", &renter.token, "contract", 7),
        ("/v1/contracts", &owner.token, "contract", 7),
        ("/v1/contracts?status=running", &test.operator, "contract", 7),
        ("/v1/orders", &shop.token, "order_id", 14),
        ("/v1/refunds?status=due", &shop.token, "settlement", 7),
        ("/v1/refunds", &renter.token, "settlement", 7),
        ("/v1/settlements", &renter.token, "settlement", 7),
        ("/v1/settlements?kind=refund&status=due", &shop.token, "settlement", 7),
        // Of each rental: what was received, and the rental; what was received again, and its refund.
        ("/v1/journal", &test.operator, "position", 28),
        // What is in escrow, seven segments, and the renter's refunds.
        ("/v1/balances", &test.operator, "account", 9),
        ("/v1/owed", &renter.token, "account", 1),
        ("/v1/accounts", &test.operator, "account", 4),
        ("/v1/webhooks", &test.operator, "webhook", 7),
    ] {
        let and = if path.contains('?') { '&' } else { '?' };
        for (limit, pages) in [(3, count / 3 + usize::from(count % 3 > 0)), (count, 1), (200, 1)] {
            let (items, walked) = walk(&test, &format!("{path}{and}limit={limit}"), token).await;
            assert_eq!((items.len(), distinct(&items, member)), (count, count), "{path} by {limit}");
            assert_eq!(walked, pages, "{path} by {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_that_wait_are_walked_by_purse_and_what_came_to_nothing_is_no_balance() {
    let mut config = api::config::Config::default();
    config.payouts.minimum.insert("USD".parse().unwrap(), "10.00".into());
    let test = TestApp::with(config).await;
    let (_, renter, shop) = shopping(&test).await;
    for _ in 0..5 {
        let owner = test.account(&["owner"], None).await;
        let device = test.offered(&owner).await;
        test.rental(&shop, &renter, &device).await;
    }
    test.advance(36_000);
    test.run_due().await;
    let (purses, pages) = walk(&test, "/v1/payouts/held?limit=2", &test.operator).await;
    assert_eq!((purses.len(), distinct(&purses, "owner"), pages), (5, 5, 3));
    // Left are escrow cash, fee income, and what the owners are owed; orders, segments and accruals came to 0.
    let (balances, pages) = walk(&test, "/v1/balances?limit=3", &test.operator).await;
    assert_eq!((balances.len(), distinct(&balances, "account"), pages), (7, 7, 3));
    let foreign = test.get("/v1/balances?limit=3", &test.operator).await.ok();
    let foreign = format!("/v1/journal?cursor={}", foreign["next"].as_str().unwrap());
    assert_eq!(test.get(&foreign, &test.operator).await.problem(), (400, "malformed-request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_on_where_it_was_although_the_list_has_grown() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let mut enrolled = Vec::new();
    for _ in 0..4 {
        enrolled.push(test.enrol(&owner).await.id);
    }
    let first = test.get("/v1/devices?limit=2", &owner.token).await.ok();
    test.enrol(&owner).await;
    let rest = format!("/v1/devices?limit=2&cursor={}", first["next"].as_str().unwrap());
    let rest = test.get(&rest, &owner.token).await.ok();
    let ids = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|d| d["device"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), [json!(enrolled[3]), json!(enrolled[2])], "the newest first");
    assert_eq!(ids(&rest), [json!(enrolled[1]), json!(enrolled[0])]);
    let foreign = format!("/v1/contracts?cursor={}", first["next"].as_str().unwrap());
    assert_eq!(
        test.get(&foreign, &owner.token).await.problem(),
        (400, "malformed-request"),
        "another list's cursor"
    );
}

async fn offered_at(test: &TestApp, owner: &Who, price: &str, place: &str) -> Device {
    let device = test.offered(owner).await;
    let mut offer = offer();
    (offer["rates"][0]["price"], offer["place"]) = (usd(price), json!(place));
    test.put(&format!("/v1/devices/{}/offer", device.id), &owner.token, &offer).await.ok();
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn the_market_shows_what_is_free_filtered_and_sorted() {
    let test = TestApp::new().await;
    let (owner, renter, shop) = shopping(&test).await;
    let mut devices = Vec::new();
    for (price, place) in [("0.60", "Hamburg"), ("0.30", "Porto"), ("9.00", "Porto"), ("0.30", "Oslo")] {
        devices.push(offered_at(&test, &owner, price, place).await);
    }
    let ask = async |query: &str| {
        let (items, _) = walk(&test, &format!("/v1/market?limit=1{query}"), "").await;
        items
            .iter()
            .map(|item| item["price_per_hour"]["amount"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ask("").await, ["0.30", "0.30", "0.60", "9.00"]);
    assert_eq!(ask("&max_price_per_hour=0.60&asset=USD").await, ["0.30", "0.30", "0.60"]);
    assert_eq!(ask("&max_price_per_hour=0.59&asset=USD&place=Porto").await, ["0.30"]);
    for (none, some) in [
        ("&asset=EUR", "&asset=USD"),
        ("&min_memory_mib=4097", "&min_memory_mib=4096"),
        ("&min_disk_mib=65537", "&min_disk_mib=65536"),
        ("&min_cores=5", "&min_cores=4"),
    ] {
        assert!(ask(none).await.is_empty(), "{none}");
        assert_eq!(ask(some).await.len(), 4, "{some}");
    }
    for sort in ["memory", "disk", "uptime"] {
        assert_eq!(ask(&format!("&sort={sort}&min_uptime_percent=100")).await.len(), 4, "{sort}");
    }
    test.order(&shop, &renter, &devices[1], 3_600, usd("0.30")).await.ok();
    test.settle().await;
    test.delete(&format!("/v1/devices/{}/offer", devices[2].id), &owner.token).await.ok();
    assert_eq!(ask("").await, ["0.30", "0.60"], "what is let or withdrawn is not shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_has_one_price_and_exactly_that_is_taken() {
    let test = TestApp::new().await;
    let (owner, renter, shop) = shopping(&test).await;
    let device = test.offered(&owner).await;
    let price = async |term_s: i64| {
        let path = format!("/v1/market/{}/price?term_s={term_s}", device.id);
        test.call(Method::GET, &path, "").send().await
    };
    assert_eq!(price(3_601).await.ok()["price"], usd("0.61"), "rounded up");
    for term_s in [59, 31_536_001, 0, -1] {
        assert_eq!(price(term_s).await.problem(), (422, "term-out-of-range"), "{term_s}");
    }
    let paid = price(3_601).await.ok()["price"].clone();
    assert_eq!(test.order(&shop, &renter, &device, 3_601, paid).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_are_listed_by_side_device_and_status() {
    let test = TestApp::new().await;
    let (both, shop) =
        (test.account(&["owner", "renter"], None).await, test.account(&["marketplace"], Some("shop")).await);
    let other = test.account(&["owner", "renter"], None).await;
    let (mine, theirs) = (test.offered(&both).await, test.offered(&other).await);
    let (let_out, rented) =
        (test.rental(&shop, &other, &mine).await, test.rental(&shop, &both, &theirs).await);
    test.post(&format!("/v1/contracts/{rented}/termination"), &both.token, &json!({})).await.ok();
    let ask = async |query: &str, token: &str| {
        let (items, _) = walk(&test, &format!("/v1/contracts{query}"), token).await;
        items.iter().map(|item| item["contract"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ask("", &both.token).await, [rented.as_str()]);
    assert_eq!(ask("?side=renter", &both.token).await, [rented.as_str()]);
    assert_eq!(ask("?side=owner", &both.token).await, [let_out.as_str()]);
    assert!(ask("?side=renter&status=running", &both.token).await.is_empty());
    assert_eq!(ask("?status=terminated", &test.operator).await, [rented.as_str()]);
    assert_eq!(ask(&format!("?device={}", mine.id), &test.operator).await, [let_out.as_str()]);
    let foreign = test.get(&format!("/v1/contracts?device={}", theirs.id), &both.token).await;
    assert_eq!(foreign.problem(), (400, "malformed-request"));
}
