//! The ledger as auditors see it: pages, waiting, the live stream, history and timelines.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    world::{Who, usd},
};

async fn auditor(test: &TestApp) -> Who {
    test.account(&["auditor"], None).await
}

fn positions(page: &Value) -> Vec<u64> {
    page["items"].as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()).collect()
}

/// Server-sent events as they arrive.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(test: &TestApp, path: &str, token: &str, last: Option<u64>) -> Self {
        let call = test.call(Method::GET, path, token);
        let call = last.into_iter().fold(call, |call, last| call.header("last-event-id", last.to_string()));
        let response = call.open().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event as (id, event, data); `None` at the end.
    async fn next(&mut self) -> Option<(u64, String, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (Some(id), Some(kind), Some(data)) = (field("id: "), field("event: "), field("data: "))
                else {
                    continue;
                };
                return Some((id.parse().unwrap(), kind, serde_json::from_str(&data).unwrap()));
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk())
                .await
                .expect("nothing came");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_there_once_in_order_and_says_who_and_why() {
    let test = TestApp::new().await;
    let (owner, auditor) = (test.account(&["owner"], None).await, auditor(&test).await);
    let device = test.offered(&owner).await;
    test.settle().await;
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = test.get(&format!("/v1/events?limit=3{after}"), &auditor.token).await.ok();
        if positions(&page).is_empty() {
            break;
        }
        after = format!("&after={}", page["after"]);
        all.extend(page["items"].as_array().unwrap().clone());
    }
    let places: Vec<_> = all.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert_eq!(places, (0..all.len() as u64).collect::<Vec<_>>());
    let find = |kind: &str| all.iter().find(|event| event["type"] == kind).unwrap();
    assert_eq!(find("OfferPublished")["actor"], format!("account:{}", owner.id));
    assert_eq!(find("LeaseGranted")["actor"], format!("device:{}", device.id));
    assert_eq!(find("LeaseGranted")["correlation_id"], find("PortLeased")["correlation_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_filtered_by_type_and_stream() {
    let test = TestApp::new().await;
    let (owner, auditor) = (test.account(&["owner"], None).await, auditor(&test).await);
    let (one, two) = (test.offered(&owner).await, test.offered(&owner).await);
    let ask = async |query: String| test.get(&format!("/v1/events?{query}"), &auditor.token).await.ok();
    let offers = ask("type=OfferPublished".into()).await;
    assert_eq!(positions(&offers).len(), 2);
    let stream = format!("stream=device-{}", two.id);
    let all = ask(stream.clone()).await;
    let kinds: Vec<_> = all["items"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["DeviceEnrolled", "LeaseGranted", "OfferPublished"]);
    for (i, after) in positions(&all).iter().enumerate() {
        let rest = ask(format!("{stream}&after={after}")).await;
        assert_eq!(positions(&rest), positions(&all)[i + 1..], "after {after}");
        let before = ask(format!("{stream}&after={}&limit=1", after - 1)).await;
        assert_eq!(positions(&before), [*after]);
    }
    assert_eq!(positions(&ask(format!("stream=device-{}&type=LeaseGranted", one.id)).await).len(), 1);
    assert_eq!(ask("stream=device-nothing".into()).await, json!({"items": [], "after": null}));
    assert_eq!(ask("after=99999".into()).await, json!({"items": [], "after": 99999}));
    for beyond in [format!("after={}", u64::MAX), format!("{stream}&after={}", u64::MAX)] {
        assert!(positions(&ask(beyond).await).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_reader_is_told_at_once_and_not_before() {
    let test = TestApp::new().await;
    let (owner, auditor) = (test.account(&["owner"], None).await, auditor(&test).await);
    let head = test.get("/v1/status", &auditor.token).await.ok()["head"].as_u64().unwrap();
    let begun = Instant::now();
    let path = format!("/v1/events?after={head}&wait=30&type=DeviceEnrolled");
    let (news, ()) = tokio::join!(test.get(&path, &auditor.token), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        test.enrol(&owner).await;
    });
    assert_eq!(news.ok()["items"][0]["type"], "DeviceEnrolled");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
    let nothing = test.get(&format!("/v1/events?after={}&wait=1", head + 99), &auditor.token).await.ok();
    assert_eq!(nothing["items"], json!([]));
    assert!(begun.elapsed() > took + Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_after_the_last_event_that_arrived() {
    let test = TestApp::new().await;
    let (owner, auditor) = (test.account(&["owner"], None).await, auditor(&test).await);
    let path = "/v1/events/stream?type=DeviceEnrolled";
    test.enrol(&owner).await;
    let mut stream = Stream::open(&test, path, &auditor.token, None).await;
    let (first, kind, data) = stream.next().await.unwrap();
    assert_eq!((kind.as_str(), data["position"].as_u64()), ("DeviceEnrolled", Some(first)));
    let live = test.enrol(&owner).await;
    let (second, _, data) = stream.next().await.unwrap();
    assert_eq!(data["stream"], format!("device-{}", live.id));
    drop(stream);
    let (missed, also) = (test.enrol(&owner).await, test.enrol(&owner).await);
    let mut resumed = Stream::open(&test, path, &auditor.token, Some(second)).await;
    for device in [missed, also] {
        let (position, _, data) = resumed.next().await.unwrap();
        assert!(position > second && first < second);
        assert_eq!(data["stream"], format!("device-{}", device.id), "nothing missed, nothing twice");
    }
    let bad = test.call(Method::GET, path, &auditor.token).header("last-event-id", "x").send().await;
    assert_eq!(bad.problem(), (400, "malformed-request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_server_stops() {
    let mut test = TestApp::new().await;
    let auditor = auditor(&test).await;
    let mut stream = Stream::open(&test, "/v1/events/stream", &auditor.token, None).await;
    assert_eq!(stream.next().await.unwrap().0, 0);
    let begun = Instant::now();
    test.restart().await;
    while stream.next().await.is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(8), "the server need not wait for streams");
    let mut again = Stream::open(&test, "/v1/events/stream", &auditor.token, Some(0)).await;
    assert_eq!(again.next().await.unwrap().0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_reader_may_no_longer_read() {
    let test = TestApp::new().await;
    let (owner, auditor) = (test.account(&["owner"], None).await, auditor(&test).await);
    let path = "/v1/events/stream?type=DeviceEnrolled";
    let mut stream = Stream::open(&test, path, &auditor.token, None).await;
    test.enrol(&owner).await;
    assert!(stream.next().await.is_some());
    test.delete(&format!("/v1/accounts/{}/roles/auditor", auditor.id), &test.operator).await.ok();
    test.enrol(&owner).await;
    assert!(stream.next().await.is_none(), "what happens later is not for them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contracts_history_says_how_it_stood_at_any_moment() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let (shop, auditor) = (test.account(&["marketplace"], Some("shop")).await, auditor(&test).await);
    let device = test.offered(&owner).await;
    let contract = test.rental(&shop, &renter, &device).await;
    test.advance(18_000);
    test.post(&format!("/v1/contracts/{contract}/termination"), &renter.token, &json!({})).await.ok();
    test.run_due().await;
    let ask = async |as_of: &str| {
        let path = format!("/v1/contracts/{contract}/history{as_of}");
        test.get(&path, &auditor.token).await
    };
    let now = ask("").await.ok();
    let events = now["events"].as_array().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["RentalStarted", "RentalTerminated", "RefundIssued", "PayoutIssued"]);
    let split = json!({"refund": usd("3.00"), "owner": usd("2.70"), "fee": usd("0.30")});
    assert_eq!((&now["state"]["split"], &now["state"]["paid_out"]), (&split, &json!(true)));

    let started = events[0]["position"].as_u64().unwrap();
    for as_of in [format!("?as_of={started}"), "?as_of=2026-11-22T13:59:59Z".into()] {
        let then = ask(&as_of).await.ok();
        assert_eq!(
            (then["events"].as_array().unwrap().len(), &then["state"]["split"]),
            (1, &json!(null)),
            "{as_of}"
        );
    }
    let then = ask("?as_of=2026-11-22T14:00:00Z").await.ok();
    assert_eq!(then["state"]["ended_by"], "renter");
    for before in [format!("?as_of={}", started - 1), "?as_of=2026-11-22T08:59:59Z".into()] {
        let early = ask(&before).await;
        assert_eq!(early.problem(), (404, "not-yet"), "{before}");
        let said = format!("began at position {started}, at 2026-11-22T09:00:00Z");
        assert!(early.body["detail"].as_str().unwrap().contains(&said), "{}", early.body);
    }
    let none = format!("/v1/contracts/{}/history?as_of=0", uuid::Uuid::nil());
    assert_eq!(test.get(&none, &auditor.token).await.problem(), (404, "not-found"));
    for bad in ["yesterday", "-1", "2026-11-22", "2026-11-22T14:00:00%2B01:00"] {
        assert_eq!(ask(&format!("?as_of={bad}")).await.problem(), (400, "malformed-request"), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_gathers_what_happened_to_a_thing_across_streams() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let (shop, auditor) = (test.account(&["marketplace"], Some("shop")).await, auditor(&test).await);
    let device = test.offered(&owner).await;
    let contract = test.rental(&shop, &renter, &device).await;
    let kinds = async |subject: &str| {
        let page = test.get(&format!("/v1/timeline/{subject}"), &auditor.token).await.ok();
        let items = page["items"].as_array().unwrap().clone();
        assert_eq!(page["after"], items.last().map_or(json!(null), |event| event["position"].clone()));
        items.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["PortLeased", "LeaseGranted", "OrderReceived", "RentalStarted", "OrderAccepted"];
    assert_eq!(kinds(&contract).await, all);
    assert_eq!(kinds("shop-order-0").await, ["OrderReceived", "RentalStarted", "OrderAccepted"]);
    assert!(kinds(&device.id).await.contains(&"OrderReceived".to_owned()));
    assert!(kinds(&renter.id).await.contains(&"RoleGranted".to_owned()));
    assert!(kinds(&uuid::Uuid::nil().to_string()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_reads_what_concerns_it_and_no_secrets() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let all = test.get("/v1/device/events", &device.key).await.ok();
    let kinds: Vec<_> = all["items"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["LeaseGranted", "OfferPublished"]);
    let first = positions(&all)[0];
    let rest = test.get(&format!("/v1/device/events?after={first}"), &device.key).await.ok();
    assert_eq!(positions(&rest), positions(&all)[1..]);
    let none = test.get(&format!("/v1/device/events?after={}", all["after"]), &device.key).await.ok();
    assert_eq!((positions(&none).len(), &none["after"]), (0, &all["after"]));
}
