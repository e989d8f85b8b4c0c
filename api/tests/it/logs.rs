//! What is logged: every request under its id, and never a secret.

use std::{
    io::{self, Write},
    sync::{Mutex, OnceLock},
};

use reqwest::Method;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::{
    app::TestApp,
    mail::Town,
    sink::{Mood, Sink},
};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static STARTED: OnceLock<()> = OnceLock::new();

struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps all that this process logs from now on, as `berth` writes it in JSON.
fn keep() {
    STARTED.get_or_init(|| {
        let lines = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("debug,api=trace,projections=trace,hyper=off,reqwest=off"));
        let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
        lines.with_writer(|| Kept).init();
    });
}

fn lines() -> String {
    String::from_utf8(LINES.lock().unwrap().clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_and_command_is_logged_under_its_id_and_no_secret_ever_is() {
    keep();
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    let lease = test.register(&device).await.ok();
    test.poll(&device).await;
    let idempotent =
        test.call(Method::POST, &format!("/v1/devices/{}/enrolment-key", device.id), &owner.token);
    let replaced = idempotent.header("idempotency-key", "once").send().await;
    test.get(&format!("/v1/devices/{}?secret=query", device.id), &owner.token).await;
    let nobody = json!({"url": "http://127.0.0.1:1/hook?key=query-of-a-webhook", "after": 0});
    let webhook = test.post("/v1/webhooks", &test.operator, &nobody).await;
    test.failures(&webhook.body, 1).await;
    let wrong = test.get("/v1/devices", "berth_wrong-but-secret").await;

    let request = replaced.header("x-request-id").unwrap();
    let all = lines();
    let events: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |message: &str, id: &str| {
        let found = events.iter().find(|event| event["message"] == message && event.to_string().contains(id));
        found.unwrap_or_else(|| panic!("{message} of {id} is not logged")).clone()
    };
    let answered = of("request answered", request);
    assert_eq!(answered["span"]["path"], "/v1/devices/{device}/enrolment-key");
    assert_eq!((&answered["span"]["method"], &answered["span"]["status"]), (&json!("POST"), &json!(201)));
    assert!(answered["span"]["latency_ms"].is_u64());
    let command = of("command carried out", request);
    assert_eq!(
        (&command["correlation_id"], &command["span"]["request_id"]),
        (&json!(request), &json!(request))
    );
    assert_eq!(of("request answered", wrong.header("x-request-id").unwrap())["span"]["status"], 401);

    assert_eq!(of("an event was not delivered", &webhook.id("webhook"))["failures"], 1);

    let password = lease["password"].as_str().unwrap();
    let secrets =
        [&owner.token, &test.operator, &device.key, &replaced.id("key"), password, "berth_wrong-but-secret"];
    let whsec = webhook.id("secret");
    for secret in secrets.into_iter().chain(["secret=query", "query-of-a-webhook", &whsec]) {
        assert!(!all.contains(secret), "a secret is logged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_mail_its_cause_is_logged_and_neither_what_it_says_nor_to_whom() {
    keep();
    let town = Town::new(|_| {}).await;
    let (contract, password) = town.whole_story().await;
    town.ended(&format!("ended-{contract}")).await;
    town.sink.mood(Mood::RefusesTo("550 otto@example.org is not here"));
    let (to, token) = (town.owner.id.parse().unwrap(), "token-of-a-letter".to_owned());
    let (to, letter) = (api::mail::To::Account(to), api::mail::Letter::ResetPassword { token });
    api::mail::queue(&town.test.app, "reset-logged", to, letter).await.unwrap();
    let refused = || lines().contains("\"cause\":\"reset-logged\",\"tries\":1");
    crate::receiver::until(|| "a refusal".into(), async || refused()).await;
    let sink = Sink::new().await;
    sink.mood(Mood::Down);
    let url = sink.url();
    let town = Town::new(|config| config.mail.smtp.0 = url).await;
    town.rent(36_000, "6.00").await;
    crate::receiver::until(|| "a try".into(), async || lines().contains("no mail can be sent")).await;
    let all = lines();
    assert!(
        all.contains(&format!("\"a mail was sent\",\"cause\":\"rental-{contract}\"")),
        "the cause is logged"
    );
    for secret in [&password, "otto@example.org", "rita@example.org", "token-of-a-letter", "ss-of-the-sink"] {
        let line = all.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is logged");
    }
}
