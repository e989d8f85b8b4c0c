//! Commands of chromedriver that fantoccini has no method for.

use fantoccini::wd::WebDriverCompatibleCommand;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::Tab;

#[derive(Debug)]
struct Command {
    method: Method,
    path: String,
    body: Value,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = (self.method != Method::GET).then(|| self.body.to_string());
        (self.method.clone(), body)
    }
}

impl Tab {
    pub(super) async fn get(&self, path: String) -> Result<Value, String> {
        self.ask(Method::GET, path, Value::Null).await
    }

    pub(super) async fn post(&self, path: impl Into<String>, body: Value) -> Result<Value, String> {
        self.ask(Method::POST, path.into(), body).await
    }

    async fn ask(&self, method: Method, path: String, body: Value) -> Result<Value, String> {
        self.client.issue_cmd(Command { method, path, body }).await.map_err(|error| error.to_string())
    }

    /// A command of the DevTools protocol.
    pub(super) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.post("goog/cdp/execute", body).await.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}
