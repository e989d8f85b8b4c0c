//! A server to ask: real in everything but its clock, which stands still until it is moved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{
    accounts,
    app::{App, DataDir},
    clock::Clock,
    config::{Config, Secret},
    roles::{Part, Roles},
    scheduler,
    server::Server,
};
use domain::time::Seconds;
use fixtures::postgres::Database;
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::spec;

/// When the clock stands at first: a Sunday morning.
pub const START: &str = "2026-11-22T09:00:00Z";

/// A running server.
pub struct TestApp {
    /// Its insides.
    pub app: App,
    /// Its clock.
    pub clock: Clock,
    /// A token of its first operator.
    pub operator: String,
    server: Option<Server>,
    http: reqwest::Client,
    base: String,
    dir: tempfile::TempDir,
    config: Config,
    next: AtomicU64,
    database: Option<Arc<Database>>,
}

/// Whether the tests are run on PostgreSQL: `API_TEST_STORE=postgres`.
pub fn on_a_server() -> bool {
    std::env::var("API_TEST_STORE").is_ok_and(|store| store == "postgres")
}

/// An answer, held against the description already.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The answer of a request that must succeed.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// The kind of problem and its status.
    #[track_caller]
    pub fn problem(&self) -> (u16, &str) {
        let kind = self.body["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/"));
        let kind = kind.unwrap_or_else(|| panic!("no problem: {} {}", self.status, self.body));
        for member in ["title", "detail", "action"] {
            assert!(
                self.body[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member}: {}",
                self.body
            );
        }
        assert_eq!(self.body["status"], self.status.as_u16(), "{}", self.body);
        (self.status.as_u16(), kind)
    }

    #[track_caller]
    pub fn id(&self, member: &str) -> String {
        self.body[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.body)).to_owned()
    }
}

/// A request about to be sent.
pub struct Call {
    method: Method,
    path: String,
    request: reqwest::RequestBuilder,
}

impl Call {
    pub fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.request = self.request.header(HeaderName::from_static(name), value);
        self
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    pub fn raw(mut self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.header("content-type", content_type).body(body);
        self
    }

    /// Sends it and answers with the whole response, unread.
    pub async fn open(self) -> reqwest::Response {
        self.request.send().await.unwrap()
    }

    #[track_caller]
    pub fn send(self) -> impl Future<Output = Reply> {
        let Self { method, path, request } = self;
        async move {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status(), response.headers().clone());
            let bytes = response.bytes().await.unwrap();
            let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
            let reply = Reply { status, headers, body };
            judge(&method, &path, &reply);
            reply
        }
    }
}

/// Every answer has the form that the description promises, and the headers that every answer has.
fn judge(method: &Method, path: &str, reply: &Reply) {
    let text = |name: &str| reply.header(name).unwrap_or_default();
    assert!(uuid::Uuid::parse_str(text("x-request-id")).is_ok(), "{method} {path} has no request id");
    assert_eq!(text("x-content-type-options"), "nosniff");
    if reply.status == StatusCode::NOT_MODIFIED {
        assert_eq!(reply.body, Value::Null);
    } else if let Some(operation) = spec::operation(method.as_str(), path) {
        let verdict = spec::judge(&operation, reply.status.as_u16(), text("content-type"), &reply.body);
        verdict.unwrap_or_else(|why| panic!("{why}"));
    } else {
        assert!(reply.status.is_client_error(), "{method} {path} is not described");
    }
}

impl TestApp {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::with_clock(config, Clock::manual(START.parse().unwrap())).await
    }

    /// A server that keeps everything in its folder, whatever the tests are run on: for tests of those files.
    pub async fn in_folder(config: Config, clock: Clock) -> Self {
        Self::start(config, clock, None).await
    }

    /// A manual clock at the start.
    pub fn clock_at_start() -> Clock {
        Clock::manual(START.parse().unwrap())
    }

    pub async fn with_clock(config: Config, clock: Clock) -> Self {
        let database = on_a_server().then(|| Arc::new(fixtures::postgres::server().fresh()));
        Self::start(config, clock, database).await
    }

    /// A server on a database that others can join, whatever the tests are run on.
    pub async fn on_database(config: Config) -> Self {
        let database = Some(Arc::new(fixtures::postgres::server().fresh()));
        Self::start(config, Clock::manual(START.parse().unwrap()), database).await
    }

    /// Another node on the same database, with a folder and a clock of its own.
    pub async fn join(&self, clock: Clock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("data/keys");
        std::fs::create_dir_all(&keys).unwrap();
        for file in std::fs::read_dir(self.data().keys()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), keys.join(file.file_name())).unwrap();
        }
        let (app, server) = start(&dir, &self.config, &clock).await;
        Self {
            app,
            clock,
            operator: self.operator.clone(),
            base: format!("http://{}", server.address),
            server: Some(server),
            http: self.http.clone(),
            dir,
            config: self.config.clone(),
            next: AtomicU64::new(1_000_000),
            database: self.database.clone(),
        }
    }

    /// The database, when there is one.
    pub fn database(&self) -> &Database {
        self.database.as_deref().expect("the server has a database")
    }

    async fn start(mut config: Config, clock: Clock, database: Option<Arc<Database>>) -> Self {
        if let Some(database) = &database {
            config.database = Secret(database.url());
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(40))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (app, server) = start(&dir, &config, &clock).await;
        let base = format!("http://{}", server.address);
        let code = accounts::offer_set_up(&app).await.unwrap().unwrap();
        let (operator, next) = (String::new(), AtomicU64::new(0));
        let mut test =
            Self { app, clock, operator, server: Some(server), http, base, dir, config, next, database };
        let set_up = test.post("/v1/setup", "", &json!({"code": code, "name": "Olga"})).await;
        test.operator = set_up.id("token");
        test
    }

    /// A number that was not used before.
    pub fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts a request with a token or key; an empty one stands for none.
    pub fn call(&self, method: Method, path: &str, token: &str) -> Call {
        let request = self.http.request(method.clone(), format!("{}{path}", self.base));
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        Call { method, path: path.to_owned(), request }
    }

    pub async fn get(&self, path: &str, token: &str) -> Reply {
        self.call(Method::GET, path, token).send().await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Reply {
        self.call(Method::DELETE, path, token).send().await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Reply {
        self.call(Method::POST, path, token).json(body).send().await
    }

    pub async fn put(&self, path: &str, token: &str, body: &Value) -> Reply {
        self.call(Method::PUT, path, token).json(body).send().await
    }

    pub async fn patch(&self, path: &str, token: &str, body: &Value) -> Reply {
        self.call(Method::PATCH, path, token).json(body).send().await
    }

    /// Where browsers find it: by name, for passkeys and cookies are bound to names.
    pub fn site(&self) -> String {
        self.base.replace("127.0.0.1", "localhost")
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its data folder.
    pub fn data(&self) -> DataDir {
        DataDir::open(&self.dir.path().join("data")).unwrap()
    }

    /// Lets time pass; nothing happens because of it before [`TestApp::run_due`].
    pub fn advance(&self, seconds: Seconds) {
        self.clock.advance(seconds);
    }

    /// Does what is due, and waits until all that follows has happened.
    pub async fn run_due(&self) {
        self.settle().await;
        scheduler::run_all(&self.app).await;
        self.settle().await;
    }

    /// Waits until the steward and the views have nothing left to do.
    pub async fn settle(&self) {
        let done = async {
            loop {
                let next = self.app.executor.log().head().await.unwrap().map_or(0, |head| head + 1);
                let steward = self.app.private.follower("steward").await.unwrap();
                let views = self.app.views.checkpoint().await.unwrap();
                let after = self.app.executor.log().head().await.unwrap().map_or(0, |head| head + 1);
                if steward >= next && views >= next && after == next {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), done)
            .await
            .expect("the steward or the views are stuck");
    }

    /// Stops the server.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await.unwrap();
        }
    }

    /// Stops the server and starts it again on the same data.
    pub async fn restart(&mut self) {
        self.stop().await;
        let (app, server) = start(&self.dir, &self.config, &self.clock).await;
        self.base = format!("http://{}", server.address);
        (self.app, self.server) = (app, Some(server));
    }
}

async fn start(dir: &tempfile::TempDir, config: &Config, clock: &Clock) -> (App, Server) {
    let data = DataDir::open(&dir.path().join("data")).unwrap();
    let app = App::open(&data, config.clone(), clock.clone(), |_| {}).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(app.clone(), listener, &Roles::of(&[Part::Api, Part::Steward])).await.unwrap();
    (app, server)
}
