//! The demo's server and its people.

use std::time::Duration;

use anyhow::Context;
use domain::{
    account::Role,
    event::SystemPart,
    id::{AccountId, DeviceId},
};
use projections::private::Person;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    agents::Machine,
    client::{Client, until},
};
use crate::{
    accounts,
    app::{App, DataDir},
    clock::Clock,
    config::Config,
    server::Server,
};

/// How long an agent may take to do what it was told.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody with an account.
pub struct Somebody {
    /// The account.
    pub id: AccountId,
    /// The token.
    pub token: String,
    /// Their way to the API.
    pub api: Client,
}

/// A running demo marketplace.
pub struct Market {
    /// The server's insides.
    pub app: App,
    /// The server.
    pub server: Server,
    /// Its address.
    pub base: String,
    /// Owns devices.
    pub ada: Somebody,
    /// Rents.
    pub rita: Somebody,
    /// Rents.
    pub ron: Somebody,
    /// Brings orders and moves money.
    pub shop: Somebody,
    /// Looks.
    pub auditor: Somebody,
    /// Runs it.
    pub operator: Somebody,
    data: DataDir,
}

impl Market {
    /// Opens a marketplace in an empty data folder.
    pub async fn open(
        data: &DataDir,
        config: Config,
        clock: Clock,
        listen: &str,
        scheduled: bool,
    ) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let base = format!("http://{}", listener.local_addr()?);
        let app = App::open(data, config, clock, |_| {}).await?;
        let server = Server::start(app.clone(), listener, scheduled).await?;
        let somebody =
            async |name: &str, roles: Vec<Role>, marketplace: Option<&str>| -> anyhow::Result<Somebody> {
                let by = app.by_system(SystemPart::Cli, None);
                let marketplace = marketplace.map(str::parse).transpose()?;
                let person = Person { name: name.into(), marketplace, ..Person::default() };
                let id = accounts::open(&app, person, roles.clone(), &by).await?;
                let token = accounts::issue_token(&app, id, "demo", roles, None).await?.token;
                let api = Client::new(&base, &token)?;
                Ok(Somebody { id, token, api })
            };
        Ok(Self {
            ada: somebody("Ada", vec![Role::Owner], None).await?,
            rita: somebody("Rita", vec![Role::Renter], None).await?,
            ron: somebody("Ron", vec![Role::Renter], None).await?,
            shop: somebody("Demo shop", vec![Role::Marketplace], Some("demoshop")).await?,
            auditor: somebody("Auditor", vec![Role::Auditor], None).await?,
            operator: somebody("Operator", vec![Role::Operator], None).await?,
            app: app.clone(),
            server,
            base,
            data: data.clone(),
        })
    }

    /// Ada enrols a device and switches it on.
    pub async fn enrol(&self, name: &str) -> anyhow::Result<(DeviceId, Machine)> {
        let enrolled = self.ada.api.post("/v1/devices", json!({ "name": name })).await?;
        let text =
            |field: &str| enrolled[field].as_str().with_context(|| format!("an enrolment has a {field}"));
        let folder = self.data.path().join("devices").join(name);
        let mut machine = Machine::new(&folder, &self.base, text("key")?, text("server_key")?)?;
        machine.start()?;
        Ok((text("device")?.parse()?, machine))
    }

    /// Waits until a device holds this lease.
    pub async fn leased(&self, device: DeviceId, epoch: u32) -> anyhow::Result<Value> {
        until(&format!("the device holds lease {epoch}"), PATIENCE, || async {
            let device = self.ada.api.get(&format!("/v1/devices/{device}")).await?;
            let lease = &device["lease"];
            Ok((lease["epoch"] == epoch && lease["ended_at"].is_null()).then(|| lease.clone()))
        })
        .await
    }

    /// Ada offers a device by the hour.
    pub async fn offer(
        &self,
        device: DeviceId,
        title: &str,
        per_hour: &str,
        min_term_s: i64,
    ) -> anyhow::Result<()> {
        let offer = json!({
            "title": title,
            "place": "Lisbon",
            "rates": [{ "per": "hour", "price": { "amount": per_hour, "asset": "USD" } }],
            "min_term_s": min_term_s,
            "max_term_s": 2_592_000,
        });
        self.ada.api.put(&format!("/v1/devices/{device}/offer"), offer).await?;
        Ok(())
    }

    /// An order of the shop for time on a device.
    pub fn order(&self, id: &str, renter: &Somebody, device: DeviceId, term_s: i64, usd: &str) -> Value {
        json!({
            "order_id": id,
            "renter": renter.id,
            "item": { "kind": "rental", "device": device, "term_s": term_s },
            "paid": { "amount": usd, "asset": "USD" },
        })
    }

    /// Waits until the views and the steward hold everything written so far.
    pub async fn settle_down(&self) -> anyhow::Result<()> {
        until("the steward has caught up", PATIENCE, || async {
            let head = self.app.executor.log().head().await?.map_or(0, |head| head + 1);
            let steward = *self.app.steward.borrow();
            let views = self.app.views.checkpoint().await?;
            Ok((steward >= head && views >= head).then_some(()))
        })
        .await
    }
}
