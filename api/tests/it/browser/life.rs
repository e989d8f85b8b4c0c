//! A rental's whole life, as everybody who has to do with it sees it on the pages.

use serde_json::{Value, json};

use super::{
    kit::{Chrome, Tab},
    people::{sign_in, sign_up},
};
use crate::{
    app::TestApp,
    pages::letters::mailed,
    world::{Device, Who, offer, usd},
};

/// An amount as pages show it.
fn shown(amount: &Value) -> String {
    format!("{} {}", amount["amount"].as_str().unwrap(), amount["asset"].as_str().unwrap())
}

/// Makes an API token on the page for it; answers with the account's number, too.
async fn token_of(tab: &Tab) -> Who {
    tab.open("/account").await;
    let text = tab.text().await;
    let (_, id) = text.split_once("In the ledger you are ").unwrap();
    let id = id.split_once('.').unwrap().0.to_owned();
    tab.follow("API tokens").await;
    tab.fill("Label", "laptop").await;
    tab.press("Make the token").await;
    tab.see("it is not shown again").await;
    Who { id, token: tab.read("code.secret", "textContent").await }
}

/// Enrols a device, lets it register, and offers it.
async fn offer_a_device(test: &TestApp, owner: &Tab) -> Device {
    owner.open("/devices").await;
    owner.follow("Enrol a device").await;
    owner.fill("What you call it", "pi").await;
    owner.press("Enrol it").await;
    owner.see("it is not shown again").await;
    let key = owner.read("code.secret", "textContent").await;
    let path = owner.read("main .row a:last-child", "pathname").await;
    let id = path.strip_prefix("/devices/").unwrap().to_owned();
    let signing = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let device = Device { id, key, signing };
    test.register(&device).await.ok();
    owner.follow("Say what it costs").await;
    owner.fill("Title", "A small computer").await;
    owner.fill("Where it stands; may be empty", "Hamburg").await;
    owner.choose("Paid in", "USD").await;
    owner.fill("An hour", "0.60").await;
    owner.press("Put it on the market").await;
    owner.see("The offer is on the market.").await;
    device
}

/// Finds the device on the market, among others.
async fn find(test: &TestApp, renter: &Tab) {
    let other = test.account(&["owner"], None).await;
    for (title, place, price) in [("A large computer", "Hamburg", "2.00"), ("A cheap one", "Berlin", "0.10")]
    {
        let device = test.enrol(&other).await;
        test.register(&device).await.ok();
        let mut offer = offer();
        (offer["title"], offer["place"]) = (json!(title), json!(place));
        offer["rates"][0]["price"] = usd(price);
        test.put(&format!("/v1/devices/{}/offer", device.id), &other.token, &offer).await.ok();
    }
    test.settle().await;
    renter.open("/").await;
    renter.press("More filters").await;
    renter.choose("In which order", "Cheapest hour").await;
    renter.choose("Paid in", "USD").await;
    renter.fill("Price at most", "1").await;
    renter.press("Search").await;
    renter.see_no("A large computer").await;
    let text = renter.text().await;
    assert!(text.find("A cheap one") < text.find("A small computer"), "{text}");
    renter.fill("Place", "Hamburg").await;
    renter.press("Search").await;
    renter.see_no("A cheap one").await;
    renter.follow("A small computer").await;
    renter.fill("How long", "10").await;
    renter.choose("Of what", "hours").await;
    renter.press("Show the price").await;
    renter.see("10 hours cost 6.00 USD, exactly.").await;
    renter.see("Orders come from shop").await;
}

/// Logs in and buys more time.
async fn use_and_extend(test: &TestApp, shop: &Who, renter: &Tab, rita: &Who, contract: &str) {
    renter.press("Show how to log in").await;
    renter.see("How to log in").await;
    let path = format!("/v1/contracts/{contract}");
    let login = test.get(&format!("{path}/credentials"), &rita.token).await.ok();
    renter.see(&format!("Password {}", login["password"].as_str().unwrap())).await;
    renter.follow("Back to the rental").await;
    renter.follow("More time").await;
    renter.fill("How much more", "1").await;
    renter.choose("Of what", "hours").await;
    renter.press("Ask for it").await;
    renter.see("More time waits to be paid").await;
    renter.see("1 hour for 0.60 USD").await;
    renter.mark().await;
    let asked = test.get(&path, &rita.token).await.ok();
    let extension = asked["extension"]["extension"].as_str().unwrap();
    renter.see(&format!("name the extension {extension}")).await;
    let item = json!({"kind": "extension", "contract": contract, "extension": extension});
    let order = json!({"order_id": "more", "item": item, "renter": rita.id, "paid": usd("0.60")});
    test.post("/v1/orders", &shop.token, &order).await.ok();
    renter.see_no("More time waits to be paid").await;
    renter.see("Rented 2026-11-22 09:00:00 UTC to 2026-11-22 20:00:00 UTC").await;
    assert!(renter.is_the_same().await);
}

/// Ends it for the refund that was said first.
async fn end(test: &TestApp, renter: &Tab, rita: &Who, contract: &str) {
    test.advance(18_007);
    renter.open(&format!("/rentals/{contract}")).await;
    renter.follow("End it early").await;
    let quote = test.get(&format!("/v1/contracts/{contract}/refund-quote"), &rita.token).await.ok();
    let total = shown(&quote["total"]);
    renter.see(&format!("What was not used goes back: {total} ")).await;
    renter.see(&format!("The owner gets {}", shown(&quote["owner"]))).await;
    renter.see(&format!("The operator gets {}", shown(&quote["fee"]))).await;
    for refund in quote["refunds"].as_array().unwrap() {
        let (order, amount) = (refund["order_id"].as_str().unwrap(), shown(&refund["amount"]));
        renter.see(&format!("shop {order} {amount}")).await;
    }
    renter.press(&format!("End it, and {total} go back")).await;
    renter.see("The rental is over. What was not used goes back.").await;
    renter.see(&format!("Goes back {total}")).await;
    let ended = test.get(&format!("/v1/contracts/{contract}"), &rita.token).await.ok();
    assert_eq!((&ended["refunded"], &ended["payout"]), (&quote["total"], &quote["owner"]));
}

/// Moves all the money that is due; answers with what went to the owner.
async fn pay_out(test: &TestApp, shop: &Who) -> String {
    test.run_due().await;
    let due = test.get("/v1/settlements?status=due", &shop.token).await.ok();
    let mut payout = None;
    for settlement in due["items"].as_array().unwrap() {
        let path = format!("/v1/settlements/{}", settlement["settlement"].as_str().unwrap());
        test.post(&format!("{path}/start"), &shop.token, &json!({"method": "wallet"})).await.ok();
        let moved = json!({"attempt": 1, "reference": "tx-1", "moved": settlement["amount"]});
        test.post(&format!("{path}/settled"), &shop.token, &moved).await.ok();
        if settlement["kind"] == "payout" {
            payout = Some(shown(&settlement["amount"]));
        }
    }
    payout.unwrap()
}

/// The positions of a timeline, from all its pages.
async fn listed(auditor: &Tab) -> Vec<u64> {
    let links =
        "return [...document.querySelectorAll('.timeline h3 a')].map(a => Number(a.textContent.slice(1)))";
    let here = auditor.path().await;
    let mut all: Vec<u64> = Vec::new();
    loop {
        let found = auditor.script(links, vec![]).await.unwrap();
        all.extend(serde_json::from_value::<Vec<u64>>(found).unwrap());
        let next = "return document.querySelector('[rel=next][href*=after]')?.getAttribute('href')";
        match auditor.script(next, vec![]).await.unwrap().as_str() {
            Some(next) => auditor.open(next).await,
            None => break,
        }
    }
    auditor.open(&here).await;
    all
}

/// Looks at the contract as it was, and takes its history along.
async fn audit(test: &TestApp, auditor: &Tab, contract: &str) {
    auditor.open("/audit").await;
    auditor.fill("Find by any id, order (marketplace/id), position or stream", contract).await;
    auditor.press("Find").await;
    auditor.see("As it is").await;
    auditor.see("state ended, payout issued").await;
    let positions = listed(auditor).await;
    let count = positions.len();
    let label = |at: usize| format!("As of event {at} of {count} (#{})", positions[at - 1]);
    let now = auditor.read("label[for=slider]", "textContent").await;
    auditor.fill(&now, "6").await;
    auditor.see(&label(6)).await;
    for shown in ["As it was", "state running", "extension that waits to be paid"] {
        auditor.see(shown).await;
    }
    auditor.see_no("payout issued").await;
    auditor.follow("One event on").await;
    auditor.see(&label(7)).await;

    let read = "return await (await fetch(document.querySelector('a[download]').href)).text()";
    let history = auditor.script_async(read, vec![]).await;
    let lines = history.as_str().unwrap().lines();
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = test.get("/v1/events?limit=200", &test.operator).await.ok();
    let of_it = |event: &&Value| positions.contains(&event["position"].as_u64().unwrap());
    let wanted: Vec<Value> = events["items"].as_array().unwrap().iter().filter(of_it).cloned().collect();
    assert_eq!(lines, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rentals_whole_life() {
    let test = TestApp::new().await;
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let chrome = Chrome::start().await;
    let owner = chrome.tab(&test.site()).await;
    sign_up(&owner, "Ann", "ann@example.org").await;
    owner.see("Your mail address is not proved yet").await;
    owner.open(&mailed(&test, "/confirm/", 1).await[0]).await;
    owner.press("Prove the address").await;
    owner.see("Your address is proved.").await;
    let device = offer_a_device(&test, &owner).await;
    owner.open("/earnings").await;
    owner.see("Your devices have earned nothing yet.").await;
    owner.mark().await;

    let renter = chrome.tab(&test.site()).await;
    sign_up(&renter, "Rita", "rita@example.org").await;
    let rita = token_of(&renter).await;
    find(&test, &renter).await;
    renter.open("/rentals").await;
    renter.see("You rent nothing yet.").await;
    renter.mark().await;
    let contract = test.rental(&shop, &rita, &device).await;
    renter.see(" left").await;
    assert!(renter.is_the_same().await);
    renter.follow("A small computer").await;
    renter.see("Running 9 h 59 min left").await;
    use_and_extend(&test, &shop, &renter, &rita, &contract).await;
    end(&test, &renter, &rita, &contract).await;
    renter.see("Not proved to be erased yet").await;
    renter.mark().await;
    assert_eq!(test.erase(&device).await.status, 204);
    renter.see("Erased The device proved it").await;
    renter.see("remove files").await;

    owner.see("Payable").await;
    let payout = pay_out(&test, &shop).await;
    owner.see(&format!("Paid {payout}")).await;
    renter.see("tx-1").await;
    assert!(owner.is_the_same().await && renter.is_the_same().await);

    let auditor = chrome.tab(&test.site()).await;
    sign_in(&auditor, &test.account(&["auditor"], None).await.token).await;
    audit(&test, &auditor, &contract).await;
    let operator = chrome.tab(&test.site()).await;
    sign_in(&operator, &test.operator).await;
    operator.open("/operator").await;
    for shown in ["Projections up to date", "Steward up to date", "Scheduler"] {
        operator.see(shown).await;
    }
}
