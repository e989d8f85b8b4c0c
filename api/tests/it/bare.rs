//! The API without what usually runs beside it: nobody decides orders, the server stops, a handler panics.

use std::time::{Duration, Instant};

use api::{
    app::{App, DataDir},
    clock::Clock,
    config::Config,
    http,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
    middleware,
    routing::get,
};
use domain::{
    account::{Account, AccountCommand, Role},
    event::SystemPart,
    id::AccountId,
};
use projections::{private::Person, runner::Runner};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    app::START,
    world::{Who, rental_order, usd},
};

struct Bare {
    app: App,
    _runner: Runner,
    _dir: tempfile::TempDir,
}

impl Bare {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let clock = Clock::manual(START.parse().unwrap());
        let app = App::open(&data, Config::default(), clock, |_| {}).await.unwrap();
        let runner = Runner::start(app.executor.log().clone(), app.views.clone()).await.unwrap();
        Self { app, _runner: runner, _dir: dir }
    }

    async fn account(&self, role: Role) -> Who {
        let (id, by) = (AccountId(self.app.fresh_id()), self.app.by_system(SystemPart::Cli, None));
        let marketplace = (role == Role::Marketplace).then(|| "shop".parse().unwrap());
        let person = Person { name: "x".into(), marketplace, ..Person::default() };
        self.app.private.add_person(id, &person, self.app.clock.time()).await.unwrap();
        let open = AccountCommand::Open { roles: vec![role] };
        self.app.executor.execute::<Account>(&id, open, &by).await.unwrap();
        let issued = api::accounts::issue_token(&self.app, id, "test", vec![role], None).await.unwrap();
        Who { id: id.to_string(), token: issued.token }
    }

    async fn ask(
        &self,
        router: Router,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = router.oneshot(request.body(body).unwrap()).await.unwrap();
        assert!(response.headers().contains_key("x-request-id"));
        let status = response.status();
        (status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_decided_in_time_is_received_and_nothing_more() {
    let bare = Bare::new().await;
    let (shop, renter) = (bare.account(Role::Marketplace).await, bare.account(Role::Renter).await);
    let order = rental_order("o1", &renter, &uuid::Uuid::nil().to_string(), 3_600, usd("0.60"));
    let (status, body) =
        bare.ask(http::router(bare.app.clone()), "POST", "/v1/orders", &shop.token, Some(order)).await;
    assert_eq!((status, &body["status"]), (StatusCode::ACCEPTED, &json!("received")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_is_not_ready_and_lets_nobody_wait() {
    let bare = Bare::new().await;
    let auditor = bare.account(Role::Auditor).await;
    let router = http::router(bare.app.clone());
    let ready = async || bare.ask(router.clone(), "GET", "/readyz", "", None).await;
    assert_eq!(ready().await.0, StatusCode::OK);
    let begun = Instant::now();
    let ((status, news), ()) = tokio::join!(
        bare.ask(router.clone(), "GET", "/v1/events?after=99&wait=30", &auditor.token, None),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            bare.app.stop.cancel();
        }
    );
    assert_eq!((status, &news["items"]), (StatusCode::OK, &json!([])));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let (status, body) = ready().await;
    assert_eq!((status, &body["type"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("/problems/not-ready")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_answer_that_tells_nothing_of_its_cause() {
    let bare = Bare::new().await;
    let panics = Router::new().route("/", get(async || -> () { panic!("a secret cause") }));
    let framed = panics.layer(middleware::from_fn_with_state(bare.app.clone(), http::frame::frame));
    let (status, body) = bare.ask(framed, "GET", "/", "", None).await;
    assert_eq!((status, &body["type"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("/problems/internal")));
    assert!(!body.to_string().contains("secret"));
}
