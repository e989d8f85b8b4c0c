//! The demo's server, its OpenBazaar node and its people.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use domain::{
    account::Role,
    event::SystemPart,
    id::{AccountId, ContractId, DeviceId},
    time::Seconds,
};
use projections::private::Person;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    agents::Machine,
    bazaar::{Bazaar, Renter},
    client::{Client, until},
};
use crate::{
    accounts,
    app::{App, DataDir},
    clock::Clock,
    config::{self, Config},
    gateway,
    roles::{Part, Roles},
    server::Server,
};

/// Where Ada is paid.
pub const ADA: &str = "n1WkwTtAqdKiTVsaeF7Dytg2mNGBHzN9xh";
/// Ports that a demo needs.
const BLOCK: u16 = 20;
/// How long an agent may take to do what it was told.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody with an account of their own.
pub struct Somebody {
    /// The account.
    pub account: AccountId,
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
    /// Where devices are reached by name.
    pub http: SocketAddr,
    /// The node that it sells on.
    pub bazaar: Bazaar,
    /// Owns devices.
    pub ada: Somebody,
    /// Looks.
    pub auditor: Somebody,
    /// Runs it.
    pub operator: Somebody,
    /// Rents.
    pub rita: Renter,
    /// Rents.
    pub ron: Renter,
    /// Rents, and lends her place to whoever looks around.
    pub rosa: Renter,
    data: DataDir,
}

/// What a fulfilled order handed over.
pub struct Rental {
    /// Who rents.
    pub renter: Renter,
    /// The contract.
    pub contract: ContractId,
    /// The gateway's host.
    pub host: String,
    /// The leased port there.
    pub port: u16,
    /// The user on the device.
    pub user: String,
    /// The password.
    pub password: String,
    /// The token that came with it.
    pub token: String,
    /// What it opens.
    pub api: Client,
}

impl Rental {
    /// How to log in.
    pub fn ssh(&self) -> String {
        format!("ssh -p {} {}@{}", self.port, self.user, self.host)
    }
}

/// Where the demo's ports begin: another server may run on this machine.
async fn free_ports(gateway: &config::Gateway) -> anyhow::Result<u16> {
    let all = gateway.first_port..=gateway.last_port.saturating_sub(BLOCK);
    for first in all.step_by(usize::from(BLOCK)) {
        let mut free = true;
        for port in first..first + BLOCK {
            free &= TcpListener::bind((gateway.ports_on()?, port)).await.is_ok();
        }
        if free {
            return Ok(first);
        }
    }
    bail!("no ports from {} to {} are free for the demo", gateway.first_port, gateway.last_port)
}

impl Market {
    /// Opens a marketplace in an empty data folder. When `scheduled`, everything that is due happens by itself.
    pub async fn open(
        data: &DataDir,
        mut config: Config,
        clock: Clock,
        listen: &str,
        scheduled: bool,
    ) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let base = format!("http://{}", listener.local_addr()?);
        let bazaar = Bazaar::open(clock.clone()).await?;
        config.openbazaar = bazaar.settings();
        config.gateway.first_port = free_ports(&config.gateway).await?;
        let app = App::open(data, config, clock, |_| {}).await?;
        let roles = if scheduled { Roles::default() } else { Roles::of(&[Part::Api, Part::Steward]) };
        let gateway = gateway::open(&app.config.gateway, &data.gateway(), Clock::System).await?;
        let mut server = Server::start(app.clone(), listener, &roles).await?;
        let http = gateway.http.context("the demo's gateway takes visitors by name")?;
        server.run_gateway(gateway);
        let somebody = async |name: &str, role: Role, payout_address: Option<&str>| {
            let by = app.by_system(SystemPart::Cli, None);
            let payout_address = payout_address.map(str::to_string);
            let person = Person { name: name.into(), payout_address, ..Person::default() };
            let id = accounts::open(&app, person, vec![role], &by).await?;
            let token = accounts::issue_token(&app, id, "demo", vec![role], None).await?.token;
            let api = Client::new(&base, &token)?;
            anyhow::Ok(Somebody { account: id, token, api })
        };
        Ok(Self {
            ada: somebody("Ada", Role::Owner, Some(ADA)).await?,
            auditor: somebody("Audrey", Role::Auditor, None).await?,
            operator: somebody("Oscar", Role::Operator, None).await?,
            rita: Renter { name: "Rita", buyer: bazaar.node.buyer() },
            ron: Renter { name: "Ron", buyer: bazaar.node.buyer() },
            rosa: Renter { name: "Rosa", buyer: bazaar.node.buyer() },
            app: app.clone(),
            server,
            base,
            http,
            bazaar,
            data: data.clone(),
        })
    }

    /// The name of whoever an account belongs to: renters are known by their nodes.
    pub async fn name(&self, account: AccountId) -> anyhow::Result<String> {
        let person = self.app.private.person(account).await?.context("nobody was forgotten")?;
        let is_whose = |renter: &Renter| person.name.ends_with(&self.bazaar.node.peer(renter.buyer));
        let renter = [self.rita, self.ron, self.rosa].into_iter().find(is_whose);
        Ok(renter.map_or(person.name.clone(), |renter| renter.name.to_string()))
    }

    /// What a renter's order handed over.
    pub fn handed_over(&self, renter: Renter, order: &str) -> anyhow::Result<Rental> {
        let note = self.bazaar.note(order)?;
        let get = |name: &str| note.get(name).with_context(|| format!("the order {order} says no {name}"));
        let token = get("token")?.clone();
        Ok(Rental {
            renter,
            contract: get("contract")?.parse()?,
            host: get("host")?.clone(),
            port: get("port")?.parse()?,
            user: get("user")?.clone(),
            password: get("password")?.clone(),
            api: Client::new(&self.base, &token)?,
            token,
        })
    }

    /// The address of what a renter's device serves, as their contract names it.
    pub async fn site(&self, rental: &Rental) -> anyhow::Result<String> {
        let contract = rental.api.get(&format!("/v1/contracts/{}", rental.contract)).await?;
        Ok(contract["access"]["http"].as_str().context("a rental that runs has an address")?.to_owned())
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
        btc_per_hour: &str,
        terms_s: [Seconds; 2],
    ) -> anyhow::Result<()> {
        let offer = json!({
            "title": title,
            "place": "Lisbon",
            "rates": [{ "per": "hour", "price": { "amount": btc_per_hour, "asset": "BTC" } }],
            "min_term_s": terms_s[0],
            "max_term_s": terms_s[1],
        });
        self.ada.api.put(&format!("/v1/devices/{device}/offer"), offer).await?;
        Ok(())
    }

    /// Waits until the views and the steward hold everything written so far, and what they wrote because of it.
    pub async fn settle_down(&self) -> anyhow::Result<()> {
        until("the steward has caught up", PATIENCE, || async {
            let head = self.app.executor.log().head().await?;
            let next = head.map_or(0, |head| head + 1);
            let steward = *self.app.steward.borrow();
            let views = self.app.views.checkpoint().await?;
            let is_last = self.app.executor.log().head().await? == head;
            Ok((steward >= next && views >= next && is_last).then_some(()))
        })
        .await
    }
}
