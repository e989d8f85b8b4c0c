//! The demo's stand-in for an OpenBazaar node, and what renters do on it.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use domain::{
    id::{ContractId, DeviceId},
    money::{Asset, Signed},
    time::Seconds,
};
use fixtures::openbazaar::{Buyer, Config, Method, Node, OrderView, Purchase};

use super::client::Client;
use crate::{
    clock::Clock,
    config::{OpenBazaar, Secret},
};

/// The user of the node's API.
pub const USER: &str = "berth";
/// Its password.
pub const PASSWORD: &str = "demo";
/// The node's coin; it stands for bitcoin.
pub const COIN: &str = "TBTC";
/// What miners are paid with, in satoshi.
pub const FUNDS: i128 = 50_000_000;

/// A vendor's node.
pub struct Bazaar {
    /// The node.
    pub node: Node,
    api: Client,
}

/// Somebody who rents on OpenBazaar.
#[derive(Clone, Copy)]
pub struct Renter {
    /// The name.
    pub name: &'static str,
    /// The node.
    pub buyer: Buyer,
}

/// Something that is for sale.
pub struct Listing {
    /// The name that orders give.
    pub slug: String,
    /// What people read.
    pub title: String,
}

/// The name under which time on a device is listed.
pub fn rental(device: DeviceId, term_s: Seconds) -> String {
    format!("berth-{}-{term_s}", device.0.simple())
}

/// An amount as people write it.
pub fn btc(satoshi: i128) -> anyhow::Result<String> {
    let asset: Asset = "BTC".parse()?;
    let amount = Signed { minor: satoshi, asset }.to_string();
    Ok(format!("{} BTC", amount.trim_end_matches('0').trim_end_matches('.')))
}

impl Bazaar {
    /// A node whose wallet holds something to pay miners with.
    pub async fn open(clock: Clock) -> anyhow::Result<Self> {
        let config = Config::new(USER, PASSWORD, Arc::new(move || clock.now()));
        let node = Node::start(config).await.context("the OpenBazaar node does not start")?;
        node.fund(COIN, FUNDS);
        node.mine(1);
        let api = Client::basic(&node.url(), USER, PASSWORD)?;
        Ok(Self { node, api })
    }

    /// What the server must know of the node.
    pub fn settings(&self) -> OpenBazaar {
        OpenBazaar {
            url: self.node.url(),
            username: USER.into(),
            password: Secret(PASSWORD.into()),
            poll_s: 1,
            ..OpenBazaar::default()
        }
    }

    /// What is for sale.
    pub async fn listings(&self) -> anyhow::Result<Vec<Listing>> {
        let all = self.api.get("/ob/listings").await?;
        let text = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap_or_default().to_string();
        let rows = all.as_array().context("a list of listings")?;
        Ok(rows.iter().map(|row| Listing { slug: text(row, "slug"), title: text(row, "title") }).collect())
    }

    /// The listing of the extension that was asked for.
    pub async fn extension(&self, contract: ContractId) -> anyhow::Result<Option<Listing>> {
        let prefix = format!("berth-x-{}-", contract.0.simple());
        Ok(self.listings().await?.into_iter().find(|listing| listing.slug.starts_with(&prefix)))
    }

    /// A renter orders and pays; answers with the order's id.
    pub fn buy(&self, renter: Renter, slug: &str, quantity: u32) -> anyhow::Result<String> {
        let wanted = Purchase { quantity, ..Purchase::of(slug, Method::AddressRequest) };
        Ok(self.node.buy(renter.buyer, wanted)?)
    }

    /// An order.
    pub fn order(&self, id: &str) -> anyhow::Result<OrderView> {
        self.node.order(id).with_context(|| format!("there is no order {id}"))
    }

    /// The pairs of what a fulfilled order says.
    pub fn note(&self, order: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let note = self.order(order)?.note.with_context(|| format!("the order {order} is not fulfilled"))?;
        let pairs = note.split("; ").filter_map(|pair| pair.split_once(": "));
        Ok(pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    /// What came into the node since the demo began and did not leave: in the wallet, or in the escrow of orders.
    pub fn holds(&self) -> i128 {
        let orders = self.node.order_ids().into_iter().filter_map(|id| self.node.order(&id));
        let escrow: i128 = orders.filter(|o| o.method != Method::AddressRequest).map(|o| o.held).sum();
        self.node.wallet_total(COIN) - FUNDS + escrow
    }
}
