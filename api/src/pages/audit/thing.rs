//! What can be audited: where its page is, and which events are about it.

use domain::{
    account::Account,
    aggregate::Aggregate,
    contract::Contract,
    device::Device,
    event::{Position, StreamName},
    id::{AccountId, ContractId, DeviceId, OrderKey, SettlementId},
    order::Order,
    settlement::Settlement,
};
use projections::views::{ViewError, timeline::Subject};
use uuid::Uuid;

use crate::{app::App, error::Problem};

/// The longest text that is looked for, in bytes.
const MAX_WANTED: usize = 300;

/// Something that events are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A rental, with its orders and settlements.
    Contract(ContractId),
    /// A device.
    Device(DeviceId),
    /// An order.
    Order(OrderKey),
    /// An account.
    Account(AccountId),
    /// A refund, a payout, or what a moderator gets.
    Settlement(SettlementId),
}

impl Thing {
    /// What kind of thing it is, in a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Contract(_) => "Contract",
            Self::Device(_) => "Device",
            Self::Order(_) => "Order",
            Self::Account(_) => "Account",
            Self::Settlement(_) => "Settlement",
        }
    }

    /// Its id, as people write it.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Contract(id) => id.to_string(),
            Self::Device(id) => id.to_string(),
            Self::Order(key) => format!("{}/{}", key.marketplace, key.id),
            Self::Account(id) => id.to_string(),
            Self::Settlement(id) => id.to_string(),
        }
    }

    /// Its page.
    #[must_use]
    pub fn path(&self) -> String {
        let area = match self {
            Self::Contract(_) => "contracts",
            Self::Device(_) => "devices",
            Self::Order(_) => "orders",
            Self::Account(_) => "accounts",
            Self::Settlement(_) => "settlements",
        };
        format!("/audit/{area}/{}", self.id())
    }

    /// Its own stream.
    #[must_use]
    pub fn stream(&self) -> StreamName {
        match self {
            Self::Contract(id) => Contract::stream(id),
            Self::Device(id) => Device::stream(id),
            Self::Order(key) => StreamName::new(Order::CATEGORY, &key.stream_key()),
            Self::Account(id) => Account::stream(id),
            Self::Settlement(id) => Settlement::stream(id),
        }
    }

    /// The thing that a stream is of; none for a gateway's, a purse's or a treasury's.
    #[must_use]
    pub fn of_stream(stream: &StreamName) -> Option<Self> {
        let key = stream.key();
        match stream.category() {
            Contract::CATEGORY => key.parse().ok().map(Self::Contract),
            Device::CATEGORY => key.parse().ok().map(Self::Device),
            Order::CATEGORY => key.parse().ok().map(Self::Order),
            Account::CATEGORY => key.parse().ok().map(Self::Account),
            Settlement::CATEGORY => key.parse().ok().map(Self::Settlement),
            _ => None,
        }
    }

    /// The positions of the events about it, the oldest first.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn positions(
        &self,
        app: &App,
        after: Option<Position>,
        wanted: usize,
    ) -> Result<Vec<Position>, ViewError> {
        match self {
            Self::Contract(id) => app.views.history_of(*id, after, wanted).await,
            Self::Device(id) => app.views.timeline((*id).into(), after, wanted).await,
            Self::Order(key) => app.views.timeline(Subject::from(key), after, wanted).await,
            Self::Account(id) => app.views.timeline((*id).into(), after, wanted).await,
            Self::Settlement(id) => app.views.timeline((*id).into(), after, wanted).await,
        }
    }

    async fn exists(&self, app: &App) -> Result<bool, Problem> {
        Ok(!self.positions(app, None, 1).await?.is_empty())
    }
}

/// Where to find what somebody typed: an id of anything, an order, a position, or a stream.
///
/// # Errors
/// When the log or the views cannot be read.
pub async fn find(app: &App, what: &str) -> Result<Option<String>, Problem> {
    let what = what.trim();
    if what.is_empty() || what.len() > MAX_WANTED {
        return Ok(None);
    }
    if let Ok(position) = what.trim_start_matches('#').parse::<Position>() {
        let found = app.executor.log().read_all(position.min(1 << 62), 1).await?;
        return Ok(found.first().map(|found| format!("/audit/events/{}", found.position)));
    }
    if let Ok(id) = Uuid::try_parse(what) {
        return Ok(by_id(app, id).await?.map(|thing| thing.path()));
    }
    let stream = StreamName::stored(what);
    let order = what.split_once('/').map_or(what.to_owned(), |(shop, id)| format!("{shop}-{id}"));
    let things = [Thing::of_stream(&stream), order.parse().ok().map(Thing::Order)];
    for thing in things.into_iter().flatten() {
        if thing.exists(app).await? {
            return Ok(Some(thing.path()));
        }
    }
    let first = app.executor.log().read_stream(&stream, 0, 1).await?;
    Ok(first.first().map(|first| format!("/audit/events/{}", first.position)))
}

async fn by_id(app: &App, id: Uuid) -> Result<Option<Thing>, Problem> {
    let contract = Thing::Contract(ContractId(id));
    if app.views.contract(ContractId(id)).await?.is_some() {
        return Ok(Some(contract));
    }
    if app.views.device(DeviceId(id)).await?.is_some() {
        return Ok(Some(Thing::Device(DeviceId(id))));
    }
    if app.views.settlement(SettlementId(id)).await?.is_some() {
        return Ok(Some(Thing::Settlement(SettlementId(id))));
    }
    let account = app.executor.load::<Account>(&AccountId(id)).await?;
    if account.state.exists() {
        return Ok(Some(Thing::Account(AccountId(id))));
    }
    // A lease that nobody rents has a contract's id too.
    Ok(if contract.exists(app).await? { Some(contract) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_leads_to_its_thing_and_back() {
        let id = "7f0a1b2c-0000-4000-8000-000000000001";
        for name in [
            format!("contract-{id}"),
            format!("device-{id}"),
            "order-ob-Qm-1.x".to_owned(),
            format!("account-{id}"),
            format!("settlement-{id}"),
        ] {
            let thing = Thing::of_stream(&StreamName::stored(name.as_str())).unwrap();
            assert_eq!(thing.stream().as_str(), name);
        }
        assert_eq!(Thing::of_stream(&StreamName::stored("gateway-up")), None);
        assert_eq!(Thing::of_stream(&StreamName::stored("order-..-..")), None);
    }
}
