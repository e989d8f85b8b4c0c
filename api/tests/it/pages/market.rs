//! The market and how to rent there.

use api::{
    config::Config,
    error::Problem,
    showcase::{Payment, Purchase, Showcase},
};
use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::mpsc;

use super::kit::{Browser, between};
use crate::{
    app::TestApp,
    world::{Who, offer},
};

async fn owner(app: &TestApp) -> Who {
    app.account(&["owner"], None).await
}

#[tokio::test]
async fn a_visitor_searches_the_market_and_sees_what_a_term_costs() {
    let app = TestApp::new().await;
    let browser = Browser::new(&app);
    browser.get("/").await.ok().says("Nothing is on the market at the moment");
    let device = app.offered(&owner(&app).await).await;
    app.settle().await;
    let market = browser.get("/").await.ok();
    market.says("A small computer").says("0.60 USD per hour").says("Memory 4 GiB").says("Hamburg");
    let found = "/?text=SMALL&asset=USD&max_price=15&per=day&min_memory=4&min_cores=4&place=Hamburg&sort=day";
    browser.get(found).await.ok().says("A small computer");
    browser.get("/?min_memory=64").await.ok().says("Nothing fits").does_not_say("A small computer");
    let page = browser.get(&format!("/market/{}", device.id)).await.ok();
    page.says("You rent for 1 minute to 365 days")
        .says("1 day 14.40 USD")
        .says("No marketplace brings orders");
    let asked = browser.get(&format!("/market/{}?term=3&unit=hour", device.id)).await.ok();
    asked.says("3 hours cost 1.80 USD , exactly");
    for (query, said) in [
        ("term=-1&unit=hour", "type a whole number from 1"),
        ("term=1&unit=second", "it goes from 1 minute to 365 days"),
        ("term=1&unit=fortnight", "choose seconds, minutes"),
    ] {
        browser.get(&format!("/market/{}?{query}", device.id)).await.ok().says(said);
    }
}

#[tokio::test]
async fn a_search_that_cannot_be_read_is_said_to_be_and_left_out() {
    let app = TestApp::new().await;
    app.offered(&owner(&app).await).await;
    app.settle().await;
    let browser = Browser::new(&app);
    for query in [
        "min_memory=lots",
        "max_price=5",
        "sort=luck&after=x",
        "asset=%22%3E%3Cscript%3E",
        "min_uptime=-1&min_disk=99999999999999999999",
        "per=%ff%00",
    ] {
        let page = browser.get(&format!("/?{query}")).await.ok();
        page.says("Some of what you asked cannot be read")
            .says("A small computer")
            .does_not_say("\"><script>");
    }
    let long = format!("/?text={}&text=b&%ff=%ff&&=", "x".repeat(5_000));
    browser.get(&long).await.ok().says("Nothing fits");
}

#[tokio::test]
async fn what_strangers_call_their_devices_is_never_markup() {
    let app = TestApp::new().await;
    let owner = owner(&app).await;
    let device = app.offered(&owner).await;
    let mut hostile = offer();
    (hostile["title"], hostile["place"]) = (json!("<script>alert(1)</script>"), json!("\"><img src=x>"));
    app.put(&format!("/v1/devices/{}/offer", device.id), &owner.token, &hostile).await.ok();
    app.settle().await;
    let browser = Browser::new(&app);
    for path in ["/".to_owned(), format!("/market/{}", device.id)] {
        let page = browser.get(&path).await.ok();
        page.does_not_say("<script>alert").does_not_say("<img").says("<script>alert(1)</script>");
    }
}

#[tokio::test]
async fn a_long_market_is_shown_in_parts() {
    let app = TestApp::new().await;
    let owner = owner(&app).await;
    for _ in 0..25 {
        app.offered(&owner).await;
    }
    app.settle().await;
    let browser = Browser::new(&app);
    let cards = |page: &super::kit::Page| page.html.matches("class=\"card\"").count();
    let first = browser.get("/?text=small&sort=memory").await.ok();
    assert_eq!(cards(&first), 24);
    let next = between(&first.html, "rel=\"next\" href=\"", "\"").unwrap().replace("&#38;", "&");
    assert!(next.contains("text=small") && next.contains("sort=memory"), "{next}");
    let rest = browser.get(&next).await.ok();
    assert_eq!(cards(&rest), 1);
    assert!(!rest.html.contains("rel=\"next\""));
}

#[tokio::test]
async fn a_device_that_is_let_is_gone_from_the_market() {
    let app = TestApp::new().await;
    let (shop, renter) =
        (app.account(&["marketplace"], Some("shop")).await, app.account(&["renter"], None).await);
    let device = app.offered(&owner(&app).await).await;
    let browser = Browser::new(&app);
    browser.get(&format!("/market/{}", device.id)).await.ok().says("Orders come from shop");
    app.rental(&shop, &renter, &device).await;
    let gone = browser.get(&format!("/market/{}", device.id)).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    gone.says("let at the moment, or off the market");
    browser.get("/").await.ok().does_not_say(&device.id);
    for odd in ["/market/x", "/market/00000000-0000-0000-0000-000000000000", "/market/%ff"] {
        assert!(browser.get(odd).await.status.is_client_error(), "{odd}");
    }
}

#[tokio::test]
async fn with_an_openbazaar_node_a_device_names_its_listings() {
    let mut config = Config::default();
    config.openbazaar.url = "http://127.0.0.1:1".into();
    let app = TestApp::with(config).await;
    let device = app.offered(&owner(&app).await).await;
    let page = Browser::new(&app).get(&format!("/market/{}", device.id)).await.ok();
    let slug = format!("berth-{}-3600", device.id.replace('-', ""));
    page.says("Buy it on OpenBazaar").says(&slug).says("A small computer, 1 hour");
}

#[tokio::test]
async fn in_a_demo_a_renter_pays_with_its_coins() {
    let app = TestApp::new().await;
    let device = app.offered(&owner(&app).await).await;
    let renter = app.account(&["renter"], None).await;
    let (till, mut payments) = mpsc::channel::<Payment>(1);
    app.app.showcase.set(Showcase { people: Vec::new(), till }).unwrap();
    let taken = tokio::spawn(async move {
        let first = payments.recv().await.unwrap();
        first.done.send(Err(Problem::invalid("the coins have run out"))).unwrap();
        let second = payments.recv().await.unwrap();
        second.done.send(Ok(())).unwrap();
        [first.what, second.what]
    });
    let visitor = Browser::new(&app);
    visitor.get("/").await.ok().says("Look around");
    let browser = Browser::with_token(&app, &renter.token).await;
    let path = format!("/market/{}", device.id);
    let action = format!("{path}/rental");
    let page = browser.get(&path).await.ok();
    let wrong = browser.send(&page, &action, &[("term", "0"), ("unit", "hour")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    wrong.says("type a whole number from 1");
    let broke = browser.send(&page, &action, &[("term", "2"), ("unit", "hour")]).await;
    assert_eq!(broke.status, StatusCode::UNPROCESSABLE_ENTITY);
    broke.says("the coins have run out").says("2 hours cost 1.20 USD");
    let rented = browser.send(&broke, &action, &[("unit", "hour")]).await.ok();
    rented.says("The order is placed and paid");
    for what in taken.await.unwrap() {
        let Purchase::Rental { device: bought, term_s } = what else { panic!("{what:?}") };
        assert_eq!((bought.to_string(), term_s), (device.id.clone(), 7_200));
    }
}
