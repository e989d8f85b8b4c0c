//! A page and what it shows.

use std::{path::Path, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use fantoccini::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::PATIENCE;

/// How wide a window still counts as a phone's.
const PHONE_PX: u32 = 600;

/// Somebody's browser, with one page open.
pub struct Tab {
    /// For what the kit has no words for.
    pub client: Client,
    /// How long the page may take to show what is waited for.
    pub patience: Duration,
    base: String,
}

impl Tab {
    pub(super) fn new(client: Client, base: &str) -> Self {
        Self { client, patience: PATIENCE, base: base.trim_end_matches('/').to_owned() }
    }

    /// Goes to a page.
    pub async fn open(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.client.goto(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// The path and query of the page.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// What can be read, with one space between words.
    pub async fn text(&self) -> String {
        self.try_text().await.unwrap_or_else(|error| panic!("the page cannot be read: {error}"))
    }

    async fn try_text(&self) -> Result<String, String> {
        let text = self.script("return document.body ? document.body.innerText : ''", vec![]).await?;
        Ok(one_line(text.as_str().unwrap_or_default()))
    }

    /// Waits until the page shows a text.
    pub async fn see(&self, text: &str) {
        let wanted = one_line(text);
        let shown = async || self.try_text().await?.contains(&wanted).then_some(()).ok_or_else(String::new);
        self.wait(&format!("the page does not show {wanted:?}"), shown).await;
    }

    /// Waits until the page does not show a text any more.
    pub async fn see_no(&self, text: &str) {
        let unwanted = one_line(text);
        let gone =
            async || (!self.try_text().await?.contains(&unwanted)).then_some(()).ok_or_else(String::new);
        self.wait(&format!("the page shows {unwanted:?}"), gone).await;
    }

    /// Writes a picture of the whole page, as PNG.
    pub async fn screenshot(&self, path: impl AsRef<Path>) {
        let mut whole = self.devtools("Page.getLayoutMetrics", json!({})).await["cssContentSize"].take();
        whole["scale"] = json!(1);
        let picture = json!({"format": "png", "captureBeyondViewport": true, "clip": whole});
        let answer = self.devtools("Page.captureScreenshot", picture).await;
        let picture = BASE64_STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
        std::fs::write(path, picture).unwrap();
    }

    /// The page gets this much room; a narrow one is a phone's.
    pub async fn size(&self, width: u32, height: u32) {
        let phone = width < PHONE_PX;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        self.devtools("Emulation.setTouchEmulationEnabled", json!({"enabled": phone})).await;
        self.script("document.resized = performance.now()", vec![]).await.unwrap();
    }

    /// A wish of the reader that style sheets hear of, such as `prefers-color-scheme` and `dark`.
    pub async fn prefers(&self, feature: &str, value: &str) {
        let features = json!({"features": [{"name": feature, "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Runs a script in the page, whatever its policy.
    pub async fn script(&self, script: &str, arguments: Vec<Value>) -> Result<Value, String> {
        self.client.execute(script, arguments).await.map_err(|error| error.to_string())
    }

    /// Runs the body of an async function in the page; only where pages run scripts.
    pub async fn script_async(&self, body: &str, arguments: Vec<Value>) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; \
             (async (...given) => {{ {body} }})(...arguments)\
             .then(value => done({{value}}), error => done({{error: String(error)}}))"
        );
        let answer =
            self.client.execute_async(&script, arguments).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(answer["error"].is_null(), "{}", answer["error"]);
        answer["value"].clone()
    }

    /// Tries until it succeeds; a page on the move makes attempts fail.
    pub(super) async fn wait<T>(
        &self,
        otherwise: &str,
        mut attempt: impl AsyncFnMut() -> Result<T, String>,
    ) -> T {
        let until = Instant::now() + self.patience;
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(why) if Instant::now() > until => self.give_up(otherwise, &why).await,
                Err(_) => sleep(Duration::from_millis(30)).await,
            }
        }
    }

    async fn give_up(&self, what: &str, why: &str) -> ! {
        let text = self.try_text().await.unwrap_or_else(|error| error);
        let url = self.client.current_url().await.map_or_else(|error| error.to_string(), String::from);
        let console = self.console().await.join("\n  ");
        panic!("{what}\n{why}\n{url} shows: {text}\nits console says: {console}")
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
