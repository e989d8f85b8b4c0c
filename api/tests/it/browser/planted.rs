//! The kit finds what was planted, and nothing in a page that is as it should be.

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::{
    Router,
    extract::RawQuery,
    http::HeaderMap,
    response::{Html, IntoResponse},
    routing::get,
};
use futures_util::FutureExt;
use tokio::net::TcpListener;

use super::kit::{Chrome, Key, PHONE};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const GOOD: &str = r#"<h1>Devices</h1>
<nav aria-label="Main"><a href="/good">Devices</a> <a href="/sent">Orders</a></nav>
<form action="/sent">
  <label>Name <input name="name" value="old"></label>
  <label for="until">Until</label> <input id="until" name="until" type="date">
  <label>Asset <select name="asset"><option>BTC<option>LTC</select></label>
  <label><input name="public" type="checkbox"> On the market</label>
  <button>Save</button>
</form>
<ul><li>first <button type="button">End</button> <a href="/sent?first">More</a></li>
<li>second <button type="button" id="end">End</button> <a href="/sent?second">More</a></li></ul>
<p id="said"></p><noscript><p>without script</p></noscript>"#;

const BAD: &str = r#"<h1>Devices</h1><p class="pale">hard to read</p><input name="name"><p class="wide">too wide</p>
<p class="bare" tabindex="0">no focus</p><button>End</button><button>End</button>
<script>document.title = 'inline'</script><img src="http://elsewhere.localhost/dot.png" alt="dot">"#;

const STYLE: &str =
    "body { color: #111; background: #fff } .pale { color: #eee } .wide { width: 500px; height: 1px }
.bare { outline: none } .late { height: 400px }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #111 } a { color: #8cf } }";

const SCRIPT: &str = "const end = document.getElementById('end');
if (end) end.onclick = () => setTimeout(() => document.getElementById('said').textContent = 'ended second', 50);
if (location.pathname === '/bad') {
    console.error('planted');
    setTimeout(() => document.querySelector('main').insertAdjacentHTML('afterbegin', '<p class=late>late</p>'), 300);
}";

fn page(body: &str) -> impl IntoResponse + use<> {
    let head = "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>Berth</title>\
                <link rel=icon href='data:,'><link rel=stylesheet href=/style.css><script src=/script.js defer></script>";
    ([("content-security-policy", POLICY)], Html(format!("{head}<body><main>{body}</main>")))
}

async fn sent(RawQuery(query): RawQuery) -> impl IntoResponse {
    page(&format!("<h1>Sent</h1><p>{}", query.unwrap_or_default().replace('&', " ")))
}

/// Loads from an address, which is another origin than the name.
async fn open(headers: HeaderMap) -> impl IntoResponse {
    let elsewhere = headers["host"].to_str().unwrap().replace("localhost", "127.0.0.1");
    Html(format!("<img src='http://{elsewhere}/style.css' alt=''><img src='/style.css' alt=''>"))
}

async fn serve() -> String {
    let file = |kind: &'static str, text: &'static str| get(([("content-type", kind)], text));
    let pages = Router::new()
        .route("/good", get(async || page(GOOD)))
        .route("/bad", get(async || page(BAD)))
        .route("/sent", get(sent))
        .route("/open", get(open))
        .route("/style.css", file("text/css", STYLE))
        .route("/script.js", file("text/javascript", SCRIPT));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async { axum::serve(listener, pages).await });
    base
}

/// What something panics with.
async fn complaint<T>(of: impl Future<Output = T>) -> String {
    let Err(panic) = AssertUnwindSafe(of).catch_unwind().await else { panic!("it does not complain") };
    panic.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_as_it_should_be_is_sound_and_can_be_used() {
    let chrome = Chrome::start().await;
    let tab = chrome.tab(&serve().await).await;
    tab.open("/good").await;
    tab.sound_everywhere().await;

    tab.script("document.body.style.paddingBottom = '1500px'", vec![]).await.unwrap();
    let picture = tempfile::NamedTempFile::new().unwrap();
    tab.screenshot(picture.path()).await;
    let picture = std::fs::read(picture.path()).unwrap();
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    assert!(picture.starts_with(b"\x89PNG") && number(16) == PHONE.0 && number(20) > 2 * PHONE.1);

    tab.fill("Name", "new").await;
    tab.fill("Until", "2026-11-30").await;
    tab.choose("Asset", "LTC").await;
    tab.tick("On the market").await;
    assert_eq!((tab.value("Name").await, tab.value("Asset").await), ("new".into(), "LTC".into()));
    tab.press_in("second", "End").await;
    tab.see("ended second").await;
    tab.press("Save").await;
    tab.see("name=new until=2026-11-30 asset=LTC public=on").await;
    tab.see_no("Devices").await;
    tab.open("/good").await;
    tab.follow("Orders").await;
    tab.see("Sent").await;
    tab.open("/good").await;
    tab.follow_in("second", "More").await;
    tab.see("Sent second").await;
    assert_eq!(tab.path().await, "/sent?second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_be_used_without_a_mouse() {
    let chrome = Chrome::start().await;
    let tab = chrome.tab(&serve().await).await;
    tab.open("/good").await;
    assert_eq!(tab.focused().await, "");
    tab.key(Key::Tab, 2).await;
    assert_eq!(tab.focused().await, "Orders");
    tab.key(Key::Enter, 1).await;
    tab.see("Sent").await;

    tab.open("/good").await;
    let names = tab.walk().await;
    assert_eq!(names[..3], ["Devices", "Orders", "Name"], "{names:?}");
    assert_eq!(names[names.len() - 5..], ["Save", "End", "More", "End", "More"], "{names:?}");
    tab.open("/bad").await;
    let complaint = complaint(tab.walk()).await;
    assert!(complaint.ends_with("does not show that it has the focus"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planted_is_found() {
    let chrome = Chrome::start().await;
    let mut tab = chrome.tab(&serve().await).await;
    tab.open("/bad").await;
    tab.see("late").await;
    let rules: Vec<_> = tab.axe().await.into_iter().map(|violation| violation.rule).collect();
    assert_eq!(rules, ["color-contrast", "label"]);
    let shift = tab.layout_shift().await;
    assert!(shift > 0.1, "{shift}");

    tab.size(PHONE.0, PHONE.1).await;
    assert_eq!(tab.layout_shift().await, shift);
    let faults = tab.faults().await.join("\n");
    for fault in [
        "color-contrast (serious): Elements must meet minimum color contrast ratio thresholds\n    <p class=\"pale\">",
        "wider than the page: <p class=\"wide\">",
        "console: SEVERE",
        "\"planted\"",
        "inline script violates the following Content Security Policy directive",
        "'http://elsewhere.localhost/dot.png' violates the following Content Security Policy directive",
        "while it loads",
    ] {
        assert!(faults.contains(fault), "{fault} is not in\n{faults}");
    }
    assert_eq!(tab.console_errors().await, Vec::<String>::new());
    tab.open("/open").await;
    let foreign = tab.foreign_requests().await;
    assert!(foreign.len() == 1 && foreign[0].starts_with("http://127.0.0.1:"), "{foreign:?}");

    tab.open("/bad").await;
    tab.see("late").await;
    assert!(tab.layout_shift().await > 0.1);
    tab.patience = Duration::from_millis(300);
    for (complaint, says) in [
        (complaint(tab.see("something else")).await, "does not show \"something else\""),
        (complaint(tab.see("something else")).await, "shows: late Devices hard to read"),
        (complaint(tab.see_no("Devices")).await, "the page shows \"Devices\""),
        (complaint(tab.fill("Name", "new")).await, "\"Name\" cannot be filled in\nthere are: [\"\"]"),
        (complaint(tab.press("End")).await, "nobody can press \"End\"\n2 have this name"),
        (complaint(tab.follow("End")).await, "nobody can follow \"End\"\nthere are: []"),
        (complaint(tab.sound()).await, "/bad is not sound"),
    ] {
        assert!(complaint.contains(says), "{says} is not in\n{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_be_used_without_script() {
    let chrome = Chrome::start().await;
    let tab = chrome.tab_without_script(&serve().await).await;
    tab.open("/good").await;
    tab.see("without script").await;
    tab.fill("Name", "new").await;
    tab.press("Save").await;
    tab.see("name=new").await;
    assert!(tab.text().await.starts_with("Sent name=new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_made_and_used() {
    let chrome = Chrome::start().await;
    let tab = chrome.tab(&serve().await).await;
    tab.open("/good").await;
    let authenticator = tab.authenticator().await;
    let make = "
        const bytes = new Uint8Array(16);
        const key = await navigator.credentials.create({publicKey: {
            challenge: bytes, rp: {name: 'Berth'}, user: {id: bytes, name: 'ann', displayName: 'Ann'},
            pubKeyCredParams: [{type: 'public-key', alg: -7}],
            authenticatorSelection: {residentKey: 'required', userVerification: 'required'},
        }});
        return key.id";
    let made = tab.script_async(make, vec![]).await;
    let kept = tab.passkeys(&authenticator).await;
    assert_eq!((kept.len(), &kept[0]["rpId"]), (1, &"localhost".into()));
    let claim = "
        const ask = {challenge: new Uint8Array(16), userVerification: 'required', timeout: 500};
        return await navigator.credentials.get({publicKey: ask}).then(key => key.id, error => error.name)";
    assert_eq!(tab.script_async(claim, vec![]).await, made);
    tab.verifies(&authenticator, false).await;
    assert_eq!(tab.script_async(claim, vec![]).await, "NotAllowedError");
}
