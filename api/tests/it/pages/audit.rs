//! What auditors see.

use domain::{
    device::{Device as Ledger, DeviceCommand},
    event::SystemPart,
    id::DeviceId,
    key::Digest,
    time::Time,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::kit::{Browser, Page, between};
use crate::{app::TestApp, world::Who};

/// A rental that was extended, ended early by its renter, and refunded.
struct Story {
    app: TestApp,
    auditor: Who,
    contract: String,
    device: String,
    renter: Who,
}

async fn story() -> Story {
    let app = TestApp::new().await;
    let (owner, renter) = (app.account(&["owner"], None).await, app.account(&["renter"], None).await);
    let shop = app.account(&["marketplace"], Some("shop")).await;
    let auditor = app.account(&["auditor"], None).await;
    let device = app.offered(&owner).await;
    let contract = app.rental(&shop, &renter, &device).await;
    app.advance(18_000);
    app.post(&format!("/v1/contracts/{contract}/termination"), &renter.token, &json!({})).await.ok();
    app.settle().await;
    Story { app, auditor, contract, device: device.id, renter }
}

impl Story {
    async fn auditor(&self) -> Browser<'_> {
        Browser::with_token(&self.app, &self.auditor.token).await
    }
}

/// The positions of the events on a timeline.
fn positions(page: &Page) -> Vec<u64> {
    page.html.split("<li").filter_map(|item| between(item, "id=\"e", "\"")?.parse().ok()).collect()
}

#[tokio::test]
async fn a_contract_is_told_as_events_with_who_when_why_and_what_came_of_it() {
    let story = story().await;
    let browser = story.auditor().await;
    let page = browser.get(&format!("/audit/contracts/{}", story.contract)).await.ok();
    page.says("Order received").says("Rental started").says("Rental terminated").says("Refund issued");
    page.says("by renter (").says("by the steward").says("because of").says("command");
    page.says("paid 6.00 USD").says("refunded 3.00 USD").says("Assets:Escrow:Cash:Shop 6.00 USD");
    page.says("held in escrow 6.00 USD").says("As it is");
    assert!(page.html.len() < 50_000, "{} bytes", page.html.len());
    let told = positions(&page);
    assert!(told.is_sorted() && told.len() > 5, "{told:?}");
}

#[tokio::test]
async fn the_slider_shows_a_contract_as_it_was() {
    let story = story().await;
    let browser = story.auditor().await;
    let path = format!("/audit/contracts/{}", story.contract);
    let now = browser.get(&path).await.ok();
    now.says("state ended");
    let all = positions(&now);
    let started = all
        .iter()
        .position(|position| now.html.contains(&format!("#{position}</a> Rental started")))
        .map(|at| (at + 1, all[at]))
        .unwrap();
    for query in [format!("event={}", started.0), format!("as_of={}", started.1)] {
        let then = browser.get(&format!("{path}?{query}")).await.ok();
        then.says("As it was").says("state running").says("refunded 0.00 USD").says("later");
        then.does_not_say("Owner payable");
        assert_eq!(positions(&then), all);
    }
    let early = browser.get(&format!("{path}?as_of=2020-01-01T00:00:00Z")).await.ok();
    early.says("Nothing had happened to it by then");
    let by_time = browser.get(&format!("{path}?as_of=2026-11-22T09:00:00Z")).await.ok();
    by_time.says("state running");
    let wrong = browser.get(&format!("{path}?as_of=yesterday")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_the_page_says_as_of_a_position_is_what_the_api_says() {
    let story = story().await;
    let browser = story.auditor().await;
    let path = format!("/audit/contracts/{}", story.contract);
    for position in positions(&browser.get(&path).await.ok()) {
        let page = browser.get(&format!("{path}?as_of={position}")).await.ok();
        let api = format!("/v1/contracts/{}/history?as_of={position}", story.contract);
        let api = story.app.get(&api, &story.auditor.token).await;
        let Some(ends_at) = api.body["state"]["ends_at"].as_str() else {
            page.does_not_say("end of the paid time");
            continue;
        };
        let ends_at: Time = ends_at.parse().unwrap();
        page.says(&format!("end of the paid time {}", api::pages::show::when(ends_at)));
        if let Some(owner) = api.body["state"]["split"]["owner"]["amount"].as_str() {
            page.says(&format!("to the owner {owner} USD"));
        }
    }
}

#[tokio::test]
async fn the_whole_history_is_downloaded_line_by_line() {
    let story = story().await;
    let browser = story.auditor().await;
    for (path, subject) in [
        (format!("/audit/contracts/{}", story.contract), story.contract.clone()),
        (format!("/audit/devices/{}", story.device), story.device.clone()),
        (format!("/audit/accounts/{}", story.renter.id), story.renter.id.clone()),
    ] {
        let file = browser.raw(Method::GET, &format!("{path}/history.jsonl"), None, &[]).await;
        let named = file.headers["content-disposition"].to_str().unwrap();
        assert!(named.starts_with("attachment; filename=\"") && named.contains(&subject), "{named}");
        let lines: Vec<Value> = file.html.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let feed = format!("/v1/timeline/{subject}?limit=200");
        let feed = story.app.get(&feed, &story.auditor.token).await.ok();
        assert_eq!(Value::from(lines), feed["items"], "{path}");
    }
}

#[tokio::test]
async fn whatever_is_typed_leads_to_its_page() {
    let story = story().await;
    let browser = story.auditor().await;
    let find = async |what: &str| {
        let what = serde_urlencoded::to_string([("what", what)]).unwrap();
        browser.raw(Method::GET, &format!("/audit/find?{what}"), None, &[]).await
    };
    let event = story.app.get("/v1/events?limit=1", &story.auditor.token).await.ok();
    let order = story.app.get("/v1/orders", &story.app.operator).await.ok();
    let order = order["items"][0]["order_id"].as_str().unwrap().to_owned();
    for (what, path) in [
        (story.contract.clone(), format!("/audit/contracts/{}", story.contract)),
        (format!(" {} ", story.device), format!("/audit/devices/{}", story.device)),
        (story.renter.id.clone(), format!("/audit/accounts/{}", story.renter.id)),
        (format!("contract-{}", story.contract), format!("/audit/contracts/{}", story.contract)),
        (format!("shop/{order}"), format!("/audit/orders/shop/{order}")),
        (format!("order-shop-{order}"), format!("/audit/orders/shop/{order}")),
        ("0".to_owned(), "/audit/events/0".to_owned()),
        ("#3".to_owned(), "/audit/events/3".to_owned()),
        (event["items"][0]["id"].as_str().unwrap().to_owned(), "/audit/events/0".to_owned()),
    ] {
        let answer = find(&what).await;
        assert_eq!(answer.headers.get("location").map(|to| to.to_str().unwrap()), Some(&*path), "{what}");
    }
    let stream = find("gateway-main").await;
    assert!(stream.status == StatusCode::SEE_OTHER || stream.status == StatusCode::NOT_FOUND);
    for nothing in ["", "nothing", "99999999", "<script>alert(1)</script>", "ob/../..", &"x".repeat(2_000)] {
        let answer = find(nothing).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nothing}");
        answer.does_not_say("<script>alert");
    }
}

#[tokio::test]
async fn every_event_is_shown_in_full_with_its_neighbours_and_what_it_caused() {
    let story = story().await;
    let browser = story.auditor().await;
    let events = story.app.get("/v1/events?limit=200", &story.auditor.token).await.ok();
    let events = events["items"].as_array().unwrap();
    for event in events {
        let page = browser.get(&format!("/audit/events/{}", event["position"])).await.ok();
        page.says(event["type"].as_str().unwrap()).says(event["id"].as_str().unwrap());
        page.says(event["command_id"].as_str().unwrap()).says("Exactly as it was stored");
    }
    let caused = events.iter().find(|event| event["causation_id"].is_string()).unwrap();
    let cause = events.iter().find(|event| event["id"] == caused["causation_id"]).unwrap();
    let page = browser.get(&format!("/audit/events/{}", cause["position"])).await.ok();
    page.says("What it caused").says(&format!("(#{})", caused["position"]));
    assert_eq!(browser.get("/audit/events/99999999").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/audit/events/-1").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_latest_events_are_paged_back_to_the_first_and_the_books_balance() {
    let story = story().await;
    let browser = story.auditor().await;
    let mut page = browser.get("/audit").await.ok();
    page.says("Balances Debits = credits").says("Cash in escrow");
    let mut seen = Vec::new();
    loop {
        let here =
            page.html.split("/audit/events/").skip(1).filter_map(|at| at.split('"').next()?.parse().ok());
        seen.extend(here.collect::<Vec<u64>>());
        let Some(next) = between(&page.html, "rel=\"next\" href=\"", "\"") else { break };
        let next = next.to_owned();
        page = browser.get(&next).await.ok();
    }
    let head = story.app.get("/v1/status", &story.auditor.token).await.ok()["head"].as_u64().unwrap();
    assert_eq!(seen, (0..=head).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn an_order_a_settlement_an_account_and_a_device_have_timelines_and_long_ones_are_paged() {
    let story = story().await;
    let browser = story.auditor().await;
    let settlements = story.app.get("/v1/settlements", &story.app.operator).await.ok();
    let refund = settlements["items"][0]["settlement"].as_str().unwrap();
    let page = browser.get(&format!("/audit/settlements/{refund}")).await.ok();
    page.says("status due").says("due 3.00 USD");
    let device = browser.get(&format!("/audit/devices/{}", story.device)).await.ok();
    device.says("epoch 1").says("lease ended").says("on the market");
    let account = browser.get(&format!("/audit/accounts/{}", story.renter.id)).await.ok();
    account.says("roles renter").says("Account opened");
    for _ in 0..40 {
        let path = format!("/v1/devices/{}/enrolment-key", story.device);
        story.app.post(&path, &story.app.operator, &json!({})).await.ok();
    }
    story.app.settle().await;
    let path = format!("/audit/devices/{}", story.device);
    let mut page = browser.get(&path).await.ok();
    let mut seen = positions(&page);
    while let Some(next) =
        page.html.rsplit("rel=\"next\" href=\"").next().filter(|_| page.html.contains("Next events"))
    {
        let next = next.split('"').next().unwrap().split('#').next().unwrap().replace("&#38;", "&");
        page = browser.get(&next).await.ok();
        seen.extend(positions(&page));
    }
    let feed =
        story.app.get(&format!("/v1/timeline/{}?limit=200", story.device), &story.auditor.token).await.ok();
    let all: Vec<_> =
        feed["items"].as_array().unwrap().iter().map(|e| e["position"].as_u64().unwrap()).collect();
    assert_eq!(seen, all);
    let last = browser.get(&format!("{path}?as_of={}", all[all.len() - 2])).await.ok();
    assert!(positions(&last).contains(all.last().unwrap()), "the page of the moment is shown");
}

#[tokio::test]
async fn a_moment_beyond_the_slider_is_shown_too() {
    let story = story().await;
    let device: DeviceId = story.device.parse().unwrap();
    let mut last = None;
    for n in 0..520_u32 {
        let enrolment_key = Digest::of(&n.to_be_bytes());
        let by = story.app.app.by_system(SystemPart::Cli, None);
        let command = DeviceCommand::ReplaceEnrolmentKey { enrolment_key };
        last = story.app.app.executor.execute::<Ledger>(&device, command, &by).await.unwrap().position;
    }
    story.app.settle().await;
    let browser = story.auditor().await;
    let path = format!("/audit/devices/{}", story.device);
    browser.get(&path).await.ok().says("As of now, after more than 500 events");
    let before = last.unwrap() - 1;
    let page = browser.get(&format!("{path}?as_of={before}")).await.ok();
    page.says("beyond the first 500 events").says("From the beginning");
    assert_eq!(positions(&page), [before, before + 1]);
    let first = browser.get(&format!("{path}?first=yes&as_of={before}")).await.ok();
    assert!(positions(&first)[0] < 20);
    let file = browser.raw(Method::GET, &format!("{path}/history.jsonl"), None, &[]).await;
    assert!(file.html.lines().count() > 520);
    browser.get(&format!("{path}?event=500")).await.ok().says("As of event 500 of the first 500");
}

#[tokio::test]
async fn an_account_that_was_erased_keeps_its_number_and_loses_its_name() {
    let story = story().await;
    let browser = story.auditor().await;
    let ada = story.app.account(&["renter"], None).await;
    let path = format!("/audit/accounts/{}", ada.id);
    story.app.call(Method::DELETE, &format!("/v1/accounts/{}", ada.id), &ada.token).open().await;
    story.app.settle().await;
    let page = browser.get(&path).await.ok();
    page.says("roles none").says(&format!("account {}", ada.id)).says("Account erased");
    page.does_not_say(&format!("renter ({}", ada.id));
}

#[tokio::test]
async fn only_auditors_and_operators_see_the_audit_and_nothing_there_can_be_sent() {
    let story = story().await;
    let order = story.app.get("/v1/orders", &story.app.operator).await.ok();
    let order = order["items"][0]["order_id"].as_str().unwrap().to_owned();
    let settlements = story.app.get("/v1/settlements", &story.app.operator).await.ok();
    let refund = settlements["items"][0]["settlement"].as_str().unwrap().to_owned();
    let things = [
        format!("/audit/contracts/{}", story.contract),
        format!("/audit/devices/{}", story.device),
        format!("/audit/accounts/{}", story.renter.id),
        format!("/audit/settlements/{refund}"),
        format!("/audit/orders/shop/{order}"),
    ];
    let mut paths = vec!["/audit".to_owned(), "/audit/find?what=nothing".into(), "/audit/events/0".into()];
    for thing in things {
        paths.extend([format!("{thing}/history.jsonl"), thing]);
    }
    let (auditor, operator) =
        (story.auditor().await, Browser::with_token(&story.app, &story.app.operator).await);
    for path in &paths {
        let expected = if path.contains("find") { StatusCode::NOT_FOUND } else { StatusCode::OK };
        for allowed in [&auditor, &operator] {
            assert_eq!(allowed.raw(Method::GET, path, None, &[]).await.status, expected, "{path}");
        }
        let nobody = Browser::new(&story.app).raw(Method::GET, path, None, &[]).await;
        assert_eq!(nobody.status, StatusCode::SEE_OTHER, "{path}");
    }
    for role in ["owner", "renter"] {
        let who = story.app.account(&[role], None).await;
        let browser = Browser::with_token(&story.app, &who.token).await;
        for path in &paths {
            let answer = browser.raw(Method::GET, path, None, &[]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role} {path}");
        }
    }
    for path in &paths {
        let page = auditor.get(path).await;
        let main = between(&page.html, "<main", "</main>").unwrap_or_default();
        assert!(!main.contains("method=\"post\""), "{path}");
    }
}
