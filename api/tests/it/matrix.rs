//! Who may do what: every operation of the description, asked by everybody.
//!
//! Things belong to the owner, the renter and the marketplace; "other" people are strangers to them. Whoever lacks the
//! role is told so (403); whoever has the role but not the thing cannot tell it from what does not exist (404). "Both" is
//! an owner and renter whose account is asked about, "half" is a token of theirs for one of these roles. Changes are
//! asked for under an If-Match that never holds, so whoever is let in is told 412 and nothing changes.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    spec::{Operation, operations},
    world::{Device, Who, offer, rental_order, usd},
};

const ALL: [&str; 13] = [
    "anonymous",
    "device",
    "owner",
    "other_owner",
    "renter",
    "other_renter",
    "marketplace",
    "other_marketplace",
    "auditor",
    "operator",
    "both",
    "half",
    "gateway",
];
const OWNERS: &[&str] = &["owner", "other_owner", "both"];
const DEVICE_READERS: &[&str] = &["owner", "other_owner", "both", "auditor", "operator"];
const SHOPS: &[&str] = &["marketplace", "other_marketplace"];
const ORDER_READERS: &[&str] = &["marketplace", "other_marketplace", "auditor", "operator"];
const CONTRACT_READERS: &[&str] =
    &["owner", "other_owner", "renter", "other_renter", "both", "half", "auditor", "operator"];
const MONEY_READERS: &[&str] = &[
    "owner",
    "other_owner",
    "renter",
    "other_renter",
    "both",
    "half",
    "marketplace",
    "other_marketplace",
    "auditor",
    "operator",
];
/// What needs a token with all roles of the account.
const FULL: &[&str] = &["change_account", "erase_account", "issue_token", "revoke_token"];
const KEEPERS: &[&str] = &["owner", "operator"];
const WATCHERS: &[&str] = &["auditor", "operator"];

/// Operation, what those who are let in are told, and who they are.
const TABLE: &[(&str, u16, &[&str])] = &[
    ("search_market", 200, &ALL),
    ("price_term", 200, &ALL),
    ("server_key", 200, &ALL),
    ("is_alive", 200, &ALL),
    ("is_ready", 200, &ALL),
    ("list_problems", 200, &ALL),
    ("explain_problem", 200, &ALL),
    // 403 is the answer to a wrong code.
    ("set_up", 403, &ALL),
    ("register", 200, &["device"]),
    ("poll", 200, &["device"]),
    ("check_in", 204, &["device"]),
    // The lease has not ended.
    ("send_receipt", 409, &["device"]),
    ("device_events", 200, &["device"]),
    ("send_bytes", 200, &["device"]),
    ("enrol_device", 201, OWNERS),
    ("list_devices", 200, DEVICE_READERS),
    ("get_device", 200, &["owner", "auditor", "operator"]),
    ("rename_device", 412, KEEPERS),
    ("retire_device", 412, KEEPERS),
    ("publish_offer", 412, KEEPERS),
    ("withdraw_offer", 412, KEEPERS),
    ("replace_enrolment_key", 412, KEEPERS),
    ("transfer_device", 412, KEEPERS),
    ("list_payouts", 200, MONEY_READERS),
    ("list_refunds", 200, MONEY_READERS),
    ("list_settlements", 200, MONEY_READERS),
    ("list_owed", 200, MONEY_READERS),
    ("list_held_payouts", 200, DEVICE_READERS),
    ("release_payouts", 200, &["owner", "other_owner", "both", "operator"]),
    ("get_settlement", 200, &["renter", "marketplace", "auditor", "operator"]),
    ("start_settlement", 412, &["marketplace", "operator"]),
    ("report_settled", 412, &["marketplace", "operator"]),
    ("settle_by_hand", 412, &["marketplace", "operator"]),
    ("report_failed", 412, &["marketplace", "operator"]),
    ("report_quarantined", 412, &["marketplace", "operator"]),
    ("resolve_settlement", 412, &["operator"]),
    // The device is let.
    ("receive_order", 409, SHOPS),
    ("list_orders", 200, ORDER_READERS),
    ("get_order", 200, &["marketplace", "auditor", "operator"]),
    ("list_contracts", 200, CONTRACT_READERS),
    ("get_contract", 200, &["owner", "renter", "auditor", "operator"]),
    ("quote_refund", 200, &["owner", "renter", "auditor", "operator"]),
    ("request_extension", 412, &["renter"]),
    ("terminate_rental", 412, &["owner", "renter", "operator"]),
    ("get_credentials", 200, &["renter"]),
    ("choose_offline_resume", 412, &["renter"]),
    ("ask_erasure", 412, &["renter"]),
    ("open_dispute", 412, &["owner", "renter", "marketplace", "operator"]),
    ("decide_dispute", 412, &["marketplace", "operator"]),
    // Nothing was earned.
    ("record_sweep", 409, &["operator"]),
    ("list_journal", 200, WATCHERS),
    ("list_balances", 200, WATCHERS),
    ("list_events", 200, WATCHERS),
    ("stream_events", 200, WATCHERS),
    ("contract_history", 200, WATCHERS),
    ("subject_timeline", 200, WATCHERS),
    ("open_account", 201, &["operator", "marketplace", "other_marketplace"]),
    ("list_accounts", 200, &["operator"]),
    ("get_account", 200, &["both", "half", "operator"]),
    ("change_account", 412, &["both", "operator"]),
    ("erase_account", 412, &["both", "operator"]),
    ("grant_role", 412, &["operator"]),
    ("revoke_role", 412, &["operator"]),
    ("issue_token", 201, &["both", "operator"]),
    ("list_tokens", 200, &["both", "half", "operator"]),
    ("revoke_token", 204, &["both", "operator"]),
    ("add_webhook", 201, &["operator"]),
    ("list_webhooks", 200, &["operator"]),
    ("get_webhook", 200, &["operator"]),
    ("remove_webhook", 412, &["operator"]),
    ("rotate_webhook_secret", 412, &["operator"]),
    ("enable_webhook", 412, &["operator"]),
    ("list_attention", 200, WATCHERS),
    ("end_attention", 204, &["operator"]),
    // There is no node.
    ("connector_status", 404, WATCHERS),
    ("server_status", 200, WATCHERS),
    ("metrics", 200, WATCHERS),
    ("list_gateways", 200, WATCHERS),
    ("lease_news", 200, &["gateway"]),
    ("report_gateway", 204, &["gateway"]),
];

struct World {
    test: TestApp,
    people: Vec<(&'static str, Who)>,
    device: Device,
    contract: String,
    order: String,
    settlement: String,
    webhook: String,
    gateway: String,
}

impl World {
    async fn new() -> Self {
        let test = TestApp::new().await;
        let mut people = Vec::new();
        for name in &ALL[2..10] {
            let (role, shop) =
                (name.trim_start_matches("other_"), name.replace("marketplace", "shop").replace('_', ""));
            let shop = (role == "marketplace").then_some(shop.as_str());
            people.push((*name, test.account(&[role], shop).await));
        }
        let both = test.account(&["owner", "renter"], None).await;
        let half = Who { token: test.token(&both.id, &["renter"]).await, ..both.clone() };
        people.extend([("both", both), ("half", half)]);
        let who = |name: &str| people.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        let (owner, renter, shop) = (who("owner"), who("renter"), who("marketplace"));
        let device = test.offered(&owner).await;
        let contract = test.rental(&shop, &renter, &device).await;
        let rejected = test.order(&shop, &renter, &device, 3_600, usd("0.60")).await;
        let (order, settlement) =
            (rejected.id("order"), rejected.body["refund"]["settlement"].as_str().unwrap().into());
        let webhook = test.post("/v1/webhooks", &test.operator, &webhook()).await.id("webhook");
        test.settle().await;
        let gateway = std::fs::read_to_string(test.data().gateway().join("token")).unwrap().trim().to_owned();
        Self { test, people, device, contract, order, settlement, webhook, gateway }
    }

    fn who(&self, name: &str) -> &Who {
        &self.people.iter().find(|(n, _)| *n == name).unwrap().1
    }

    fn token(&self, actor: &str) -> &str {
        match actor {
            "anonymous" => "",
            "device" => &self.device.key,
            "gateway" => &self.gateway,
            name => &self.who(name).token,
        }
    }

    /// A token of the account that can be revoked.
    async fn spare_token(&self) -> String {
        let (path, new) = (
            format!("/v1/accounts/{}/tokens", self.who("both").id),
            json!({"label": "spare", "roles": ["renter"]}),
        );
        self.test.post(&path, &self.test.operator, &new).await.id("id")
    }

    async fn path(&self, operation: &Operation) -> String {
        let (spare, both) = (self.spare_token().await, self.who("both").id.clone());
        let path = operation.path.replace("{device}", &self.device.id).replace("{contract}", &self.contract);
        let path = path.replace("{settlement}", &self.settlement).replace("{order_id}", &self.order);
        let path = path.replace("{account}", &both).replace("{role}", "renter").replace("{token}", &spare);
        let path = path
            .replace("{subject}", &self.contract)
            .replace("{kind}", "stale")
            .replace("{segment}", "0")
            .replace("{webhook}", &self.webhook)
            .replace("{gateway}", "local");
        match operation.name.as_str() {
            "get_order" => format!("{path}?marketplace=shop"),
            "price_term" => format!("{path}?term_s=3600"),
            "send_bytes" => format!("{path}?bytes=10"),
            _ => path,
        }
    }

    fn body(&self, operation: &str, actor: &str) -> Option<Value> {
        let renter = self.who("renter");
        Some(match operation {
            "set_up" => json!({"code": "wrong", "name": "Mallory"}),
            "register" => self.device.registration(),
            "poll" => self.device.question(0),
            "check_in" => self.device.check_in(1),
            "choose_offline_resume" => json!({"allowed": true}),
            "send_receipt" => json!({"receipt": self.device.receipt("{}")}),
            "enrol_device" | "rename_device" => json!({"name": "renamed"}),
            "publish_offer" => offer(),
            "transfer_device" => json!({"to": self.who("other_owner").id}),
            "start_settlement" => json!({"method": "manual"}),
            "report_settled" => json!({"attempt": 1, "reference": "tx", "moved": usd("0.60")}),
            "report_failed" | "report_quarantined" => json!({"attempt": 1, "reason": "timeout"}),
            "resolve_settlement" => json!({"resolution": {"outcome": "not_moved"}, "note": "I looked"}),
            "receive_order" => {
                rental_order(&format!("again-{actor}"), renter, &self.device.id, 3_600, usd("0.60"))
            }
            "request_extension" => json!({"term_s": 3_600}),
            "open_dispute" => json!({"segment": 0}),
            "decide_dispute" => json!({"weights": {"renter": 1, "owner": 1}}),
            "settle_by_hand" => json!({"reference": "tx"}),
            "release_payouts" if actor == "operator" => {
                json!({"marketplace": "shop", "asset": "USD", "owner": self.who("owner").id})
            }
            "release_payouts" => json!({"marketplace": "shop", "asset": "USD"}),
            "record_sweep" => json!({"marketplace": "shop", "amount": usd("0.01"), "reference": "tx"}),
            "open_account" => json!({"name": "Rita", "roles": ["renter"]}),
            "change_account" => json!({"email": "r@example.org"}),
            "grant_role" => json!({"role": "owner"}),
            "add_webhook" => webhook(),
            "end_attention" => json!({"subject": "openbazaar", "what": "node away"}),
            "report_gateway" => crate::gateways::report(20_000, &[]),
            "issue_token" => json!({"label": "mine", "roles": ["renter"]}),
            _ => return None,
        })
    }

    async fn ask(&self, operation: &Operation, actor: &str) -> u16 {
        let method = Method::from_bytes(operation.method.to_uppercase().as_bytes()).unwrap();
        let mut call = self.test.call(method, &self.path(operation).await, self.token(actor));
        if operation.value["parameters"].to_string().contains("If-Match") {
            call = call.header("if-match", "\"r999999\"");
        }
        if let Some(body) = self.body(&operation.name, actor) {
            call = call.json(&body);
        }
        if ["stream_events", "send_bytes", "metrics"].contains(&operation.name.as_str()) {
            call.open().await.status().as_u16()
        } else {
            call.send().await.status.as_u16()
        }
    }
}

/// A webhook that is told nothing.
fn webhook() -> Value {
    json!({"url": "https://example.org/hook", "types": ["DeviceLost"]})
}

/// What an actor must be told.
fn expected(operation: &Operation, actor: &str, told: u16, allowed: &[&str]) -> u16 {
    let roles = match actor.trim_start_matches("other_") {
        "both" => vec!["owner", "renter"],
        "half" => vec!["renter"],
        role => vec![role],
    };
    match operation.scopes() {
        _ if allowed.contains(&actor) => told,
        None => 401,
        Some(_) if matches!(actor, "anonymous" | "device" | "gateway") => 401,
        Some(_) if actor == "half" && FULL.contains(&operation.name.as_str()) => 403,
        Some(scopes) if scopes.is_empty() || scopes.iter().any(|scope| roles.contains(&scope.as_str())) => {
            404
        }
        Some(_) => 403,
    }
}

#[test]
fn the_matrix_covers_every_operation_once() {
    let described: BTreeSet<_> = operations().map(|operation| operation.name).collect();
    let covered: BTreeSet<_> = TABLE.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(described, covered);
    assert_eq!(covered.len(), TABLE.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_do_what_the_matrix_says_and_nothing_else() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for operation in operations() {
        let (name, told, allowed) = TABLE.iter().find(|(name, ..)| *name == operation.name).unwrap();
        for actor in ALL {
            let (got, want) =
                (world.ask(&operation, actor).await, expected(&operation, actor, *told, allowed));
            if got != want {
                wrong.push(format!("{name} by {actor}: {got}, not {want}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_nothing_that_belongs_to_strangers() {
    let world = World::new().await;
    for (list, mine, strangers) in [
        ("devices", "owner", "other_owner"),
        ("contracts", "owner", "other_owner"),
        ("contracts", "renter", "other_renter"),
        ("refunds", "renter", "other_renter"),
        ("refunds", "marketplace", "other_marketplace"),
        ("settlements", "renter", "other_renter"),
        ("settlements", "marketplace", "other_marketplace"),
        ("orders", "marketplace", "other_marketplace"),
    ] {
        let items = async |who: &str| {
            let listed = world.test.get(&format!("/v1/{list}"), world.token(who)).await.ok();
            listed["items"].as_array().unwrap().len()
        };
        assert!(items(mine).await > 0, "{list} of {mine}");
        assert_eq!(items(strangers).await, 0, "{list} of {strangers}");
        let watched = world.test.get(&format!("/v1/{list}"), world.token("auditor")).await;
        assert!(
            watched.ok()["items"].as_array().is_some_and(|items| !items.is_empty()),
            "{list} of the auditor"
        );
    }
}
