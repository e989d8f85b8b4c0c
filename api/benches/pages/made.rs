//! Every page, as the server makes it.

use anyhow::{Context as _, ensure};
use api::{accounts, app::App, execute::By, http};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, header},
};
use domain::{
    account::Role,
    event::SystemPart,
    id::{AccountId, CommandId},
    key::Digest,
};
use projections::private::Person;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    marketplace::People,
    report::{heading, line},
};

/// The heaviest page that is read, in bytes.
const MAX_PAGE: usize = 1 << 20;

/// A visitor's way to the pages.
struct Visitor {
    router: Router,
    cookie: String,
}

impl Visitor {
    /// Somebody signed in to an account; nobody without one.
    async fn new(app: &App, router: &Router, account: Option<AccountId>) -> anyhow::Result<Self> {
        let cookie = account.map(|account| format!("session_{account}")).unwrap_or_default();
        if let Some(account) = account {
            let (hash, now) = (Digest::of(cookie.as_bytes()), app.clock.time());
            app.private.end_session(hash).await?;
            app.private.open_session(hash, account, None, now, now.plus(86_400)).await?;
        }
        Ok(Self { router: router.clone(), cookie })
    }

    /// Opens a page; how many KB it has.
    async fn open(&self, path: &str) -> anyhow::Result<usize> {
        let request = Request::get(path).header(header::ACCEPT, "text/html");
        let request = request.header(header::COOKIE, format!("berth={}", self.cookie)).body(Body::empty())?;
        let answer = self.router.clone().oneshot(request).await?;
        let status = answer.status();
        let page = to_bytes(answer.into_body(), MAX_PAGE).await?;
        ensure!(status.is_success(), "{status}");
        Ok(page.len().div_ceil(1_000))
    }

    async fn time(&self, paths: &[&str]) {
        for path in paths {
            line(path, || self.open(path)).await;
        }
    }
}

/// Somebody who sees what others may not.
async fn staff(app: &App, role: Role) -> anyhow::Result<AccountId> {
    let command = CommandId(Uuid::new_v5(&Uuid::NAMESPACE_OID, role.as_str().as_bytes()));
    let by = By { command, ..app.by_system(SystemPart::Cli, None) };
    let person = Person { name: role.as_str().into(), ..Person::default() };
    accounts::open(app, person, vec![role], &by).await.map_err(|no| anyhow::anyhow!("{}", no.detail()))
}

/// Every page of the heavy owner, the heavy renter, an auditor and an operator.
pub async fn pages(app: &App, people: &People) -> anyhow::Result<()> {
    let router = http::router(app.clone());
    let People { device, contract, order, running, owner, renter, .. } = people;
    let anybody = Visitor::new(app, &router, None).await?;
    let open = app.views.market(Default::default(), Default::default(), None, 1).await?;
    let open = open.first().context("nothing is on the market")?.device;
    heading("pages: the market", "KB");
    anybody.time(&["/", "/?sort=memory", "/?asset=USD&sort=uptime", "/?place=Lima&min_memory=16"]).await;
    anybody.time(&["/?text=board+9x9", "/?text=x", "/?text=board&sort=newest", "/?processor=ryzen"]).await;
    anybody.time(&[&format!("/market/{open}"), "/sign-in", "/sign-up"]).await;

    heading("pages: the owner", "KB");
    let owner = Visitor::new(app, &router, Some(*owner)).await?;
    let (its, offer) = (format!("/devices/{device}"), format!("/devices/{device}/offer"));
    owner.time(&["/devices", "/devices/new", &its, &offer, "/earnings", "/account"]).await;
    owner.time(&[&format!("/rentals/{contract}"), "/account/tokens"]).await;

    heading("pages: the renter", "KB");
    let renter = Visitor::new(app, &router, Some(*renter)).await?;
    let rental = format!("/rentals/{running}");
    renter.time(&["/rentals", &rental, &format!("{rental}/extension"), &format!("{rental}/end")]).await;

    heading("pages: the auditor", "KB");
    let auditor = Visitor::new(app, &router, Some(staff(app, Role::Auditor).await?)).await?;
    let of_contract = format!("/audit/contracts/{contract}");
    let as_of = format!("{of_contract}?as_of={}", people.events / 2);
    let of_device = format!("/audit/devices/{device}");
    let of_order = format!("/audit/orders/{}/{}", order.marketplace, order.id);
    let accounts =
        [people.owner, people.renter, people.marketplace].map(|id| format!("/audit/accounts/{id}"));
    auditor.time(&["/audit", &of_contract, &as_of, &of_device, &of_order]).await;
    auditor.time(&[&accounts[0], &accounts[1], &accounts[2]]).await;
    auditor.time(&[&format!("/audit/events/{}", people.events / 2)]).await;

    heading("pages: the operator", "KB");
    let operator = Visitor::new(app, &router, Some(staff(app, Role::Operator).await?)).await?;
    operator.time(&["/operator", "/operator/attention", "/operator/settlements"]).await;
    operator
        .time(&["/operator/settlements?status=quarantined", "/operator/devices", "/operator/erasures"])
        .await;
    operator.time(&["/operator/orders", "/operator/accounts"]).await;
    operator.time(&[&format!("/operator/accounts/{}", people.owner)]).await;
    Ok(())
}
