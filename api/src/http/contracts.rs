//! Contracts, for those who are part of them and those who watch.

use axum::{extract::State, http::Uri};
use domain::{
    account::Role,
    contract::{Contract as Ledger, ContractRefusal, Rental},
    event::Position,
    id::{ContractId, DeviceId},
    money::Money,
    policy::EndedBy,
    time::Time,
};
use projections::views::contracts::{
    ContractRow, ContractScope, ContractStatus, PendingExtension, SegmentRow, SegmentVerdict,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::{Caller, ContractReader},
    data::KeyHalf,
    extract::{Path, Query},
    history::split,
    list::{List, list_query},
    schema,
};
use crate::{app::App, error::Problem};

/// Time that one order paid for.
#[derive(Debug, Serialize, ToSchema)]
pub struct Segment {
    /// First second inside.
    #[schema(value_type = String, format = DateTime)]
    pub start: Time,
    /// First second outside.
    #[schema(value_type = String, format = DateTime)]
    pub end: Time,
    /// What was received for it.
    #[schema(value_type = schema::Money)]
    pub paid: Money,
    /// The marketplace that received it.
    pub marketplace: String,
    /// The order there.
    pub order_id: String,
    /// What goes back of it; of one that is disputed, the refund that was issued before.
    #[schema(value_type = schema::Money)]
    pub refunded: Money,
    /// How its money is decided.
    #[schema(value_type = schema::SegmentVerdict)]
    pub verdict: SegmentVerdict,
}

impl From<SegmentRow> for Segment {
    fn from(row: SegmentRow) -> Self {
        let (marketplace, order_id) = (row.order.marketplace.to_string(), row.order.id.to_string());
        let SegmentRow { start, end, paid, refunded, verdict, .. } = row;
        Self { start, end, paid, marketplace, order_id, refunded, verdict }
    }
}

/// A request for more time.
#[derive(Debug, Serialize, ToSchema)]
pub struct Extension {
    /// The request: the order that pays names it.
    pub extension: Uuid,
    /// Seconds wanted.
    pub term_s: i64,
    /// What they cost.
    #[schema(value_type = schema::Money)]
    pub price: Money,
    /// Last moment to pay.
    #[schema(value_type = String, format = DateTime)]
    pub lapses_at: Time,
}

impl From<PendingExtension> for Extension {
    fn from(row: PendingExtension) -> Self {
        Self { extension: row.extension.0, term_s: row.term_s, price: row.price, lapses_at: row.lapses_at }
    }
}

/// Where a rented device is reached, while the rental runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Access {
    /// The gateway's host.
    pub host: String,
    /// The leased port there: the device's SSH.
    pub port: u16,
    /// The name that leads to the device's ports 80 and 443.
    pub name: String,
    /// The address of what the device serves on its port 80, while its gateway is there.
    #[schema(required)]
    pub http: Option<String>,
    /// The same of its port 443.
    #[schema(required)]
    pub https: Option<String>,
    /// The SSH host keys of what runs on the device, as it reports them, in the form of OpenSSH: check them when you
    /// connect.
    pub host_keys: Vec<String>,
    /// Whether the device's tunnel is up.
    pub connected: bool,
}

impl Access {
    async fn of(app: &App, row: &ContractRow) -> Result<Option<Self>, Problem> {
        let lease = app.leases.of(row.device).filter(|lease| lease.epoch == row.epoch);
        let Some(lease) = lease.filter(|_| row.ended_at.is_none()) else { return Ok(None) };
        let (gateway, own) = (Some(&lease.gateway), &app.config.gateway);
        let tunnel = app.gateways.tunnel(row.device, row.epoch);
        let name = format!("{}.{}", lease.subdomain, app.gateways.domain(gateway, own));
        let [http, https] = app.gateways.sites(&lease.gateway, &name);
        Ok(Some(Self {
            host: app.gateways.host(gateway, own),
            port: lease.port,
            http,
            https,
            name,
            host_keys: app.private.host_keys(row.device, row.epoch).await?,
            connected: tunnel.is_some_and(|tunnel| tunnel.heard_s_ago.is_some()),
        }))
    }
}

/// A rental.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contract {
    /// The contract.
    pub contract: Uuid,
    /// The device.
    pub device: Uuid,
    /// Its lease.
    pub epoch: u32,
    /// Who is paid.
    pub owner: Uuid,
    /// Who rents.
    pub renter: Uuid,
    /// How far it is.
    #[schema(value_type = schema::ContractStatus)]
    pub status: ContractStatus,
    /// Who or what ended it.
    #[schema(value_type = Option<schema::EndedBy>, required)]
    pub ended_by: Option<EndedBy>,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: Time,
    /// The end of the paid time.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: Time,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub ended_at: Option<Time>,
    /// Where the device is reached, while the rental runs.
    #[schema(required)]
    pub access: Option<Access>,
    /// What was paid for, in order of time.
    pub segments: Vec<Segment>,
    /// The request for more time that waits to be paid.
    #[schema(required)]
    pub extension: Option<Extension>,
    /// All that was received.
    #[schema(value_type = schema::Money)]
    pub paid: Money,
    /// All that goes back.
    #[schema(value_type = schema::Money)]
    pub refunded: Money,
    /// What the owner gets, or will get when the payout is due; null while the rental runs.
    #[schema(value_type = Option<schema::Money>, required)]
    pub payout: Option<Money>,
    /// What the operator keeps; null while the rental runs.
    #[schema(value_type = Option<schema::Money>, required)]
    pub fee: Option<Money>,
    /// What whoever decided disputes gets.
    #[schema(value_type = schema::Money)]
    pub moderation: Money,
    /// When the payout is due, once it has ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub payout_due_at: Option<Time>,
    /// What was offered; extensions cost the same.
    #[schema(value_type = schema::Offer)]
    pub offer: domain::offer::Offer,
    /// Seconds for which a refund quote stands.
    pub quote_valid_s: i64,
    /// Whether the device may keep the server's half of the volume key, to resume without the server.
    pub offline_resume: bool,
    /// The server's half of the volume key.
    pub key_half: KeyHalf,
    /// When the device proved how it erased the data.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub erased_at: Option<Time>,
}

impl Contract {
    /// The rental of a row, with what the row does not hold.
    ///
    /// # Errors
    /// When the ledger or a store cannot be read.
    pub async fn new(app: &App, row: ContractRow) -> Result<Self, Problem> {
        let decided = row.payout.zip(row.fee);
        let (payout, fee) = if row.ended_at.is_some() && decided.is_none() {
            let state = app.executor.load::<Ledger>(&row.contract).await?.state;
            state.rental().and_then(split).map(|split| (split.owner, split.fee))
        } else {
            decided
        }
        .unzip();
        let key_half = KeyHalf::of(app, &row).await?;
        let access = Access::of(app, &row).await?;
        Ok(Self {
            contract: row.contract.0,
            device: row.device.0,
            epoch: row.epoch,
            owner: row.owner.0,
            renter: row.renter.0,
            status: row.status,
            ended_by: row.ended_by,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            ended_at: row.ended_at,
            payout_due_at: row.payout_due_at(),
            access,
            segments: row.segments.into_iter().map(Into::into).collect(),
            extension: row.extension.map(Into::into),
            paid: row.paid,
            refunded: row.refunded,
            payout,
            fee,
            moderation: row.moderation,
            offer: row.offer,
            quote_valid_s: row.policy.quote_valid_s,
            offline_resume: row.offline_resume,
            key_half,
            erased_at: row.erased_at,
        })
    }
}

/// A rental, by the ledger, and as whom the caller would end it.
///
/// # Errors
/// 404 for whoever is not part of it and no operator.
pub async fn authorise(
    app: &App,
    caller: &Caller,
    contract: ContractId,
) -> Result<(Rental, EndedBy), Problem> {
    let (rental, as_whom) = find(app, caller, contract).await?;
    Ok((rental, as_whom.ok_or(ContractRefusal::Unknown)?))
}

/// As [`authorise`], for auditors too: they see what the renter sees.
///
/// # Errors
/// As [`authorise`].
pub async fn authorise_reader(app: &App, caller: &Caller, contract: ContractId) -> Result<EndedBy, Problem> {
    let (_, as_whom) = find(app, caller, contract).await?;
    let auditor = caller.is(Role::Auditor).then_some(EndedBy::Renter);
    Ok(as_whom.or(auditor).ok_or(ContractRefusal::Unknown)?)
}

/// A rental, by the ledger, and as whom the caller would end it, if it may.
///
/// # Errors
/// 404 when there is none.
pub async fn find(
    app: &App,
    caller: &Caller,
    contract: ContractId,
) -> Result<(Rental, Option<EndedBy>), Problem> {
    let state = app.executor.load::<Ledger>(&contract).await?.state;
    let rental = state.rental().cloned().ok_or(ContractRefusal::Unknown)?;
    let started = &rental.started;
    let as_whom = if caller.is(Role::Renter) && caller.account == started.renter {
        Some(EndedBy::Renter)
    } else if caller.is(Role::Owner) && caller.account == started.owner {
        Some(EndedBy::Owner)
    } else {
        caller.is(Role::Operator).then_some(EndedBy::Operator)
    };
    Ok((rental, as_whom))
}

/// The contract as it is after `position`.
///
/// # Errors
/// When there is none.
pub async fn show(
    app: &App,
    contract: ContractId,
    position: Option<Position>,
) -> Result<Answer<Contract>, Problem> {
    app.catch_up(position).await;
    let row = app.views.contract(contract).await?.ok_or_else(|| Problem::not_found("contract"))?;
    let revision = row.revision;
    Ok(Answer::ok(Contract::new(app, row).await?).at(revision).wrote(position))
}

/// How far a rental is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "documented with the contract")]
pub enum Status {
    Running,
    Expired,
    Terminated,
}

impl From<Status> for ContractStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            Status::Expired => Self::Expired,
            Status::Terminated => Self::Terminated,
        }
    }
}

/// A side of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "two words")]
pub enum Side {
    Renter,
    Owner,
}

list_query! {
    /// Which contracts.
    ContractsQuery {
        /// Only those that are this far.
        #[param(inline)]
        status: Status,
        /// Only those in which you are on this side; the default is renter for renters.
        #[param(inline)]
        side: Side,
        /// For operators and auditors: only those of this device.
        device: Uuid,
    }
}

fn scope(caller: &Caller, query: &ContractsQuery) -> Result<ContractScope, Problem> {
    let everything = caller.is_any(&[Role::Operator, Role::Auditor]);
    match (query.side, query.device) {
        (None, Some(device)) if everything => Ok(ContractScope::Device(DeviceId(device))),
        (_, Some(_)) => {
            Err(Problem::malformed("`device` is for operators and auditors, and goes without `side`"))
        }
        (None, None) if everything => Ok(ContractScope::All),
        (Some(Side::Owner), None) => Ok(ContractScope::Owner(caller.account)),
        (Some(Side::Renter), None) => Ok(ContractScope::Renter(caller.account)),
        (None, None) if caller.is(Role::Renter) => Ok(ContractScope::Renter(caller.account)),
        (None, None) => Ok(ContractScope::Owner(caller.account)),
    }
}

/// Your rentals, the newest first: as renter or as owner; all contracts for operators and auditors.
#[utoipa::path(get, path = "/v1/contracts", tag = "contracts", params(ContractsQuery),
    security(("token" = ["owner", "renter", "operator", "auditor"])),
    responses((status = 200, description = "Contracts", body = List<Contract>)))]
pub async fn list_contracts(
    State(app): State<App>,
    caller: ContractReader,
    uri: Uri,
    Query(query): Query<ContractsQuery>,
) -> Result<Answer<List<Contract>>, Problem> {
    let part = query.part();
    let (scope, status) = (scope(&caller, &query)?, query.status.map(Into::into));
    let rows = app.views.contracts(scope, status, part.newest("contracts")?).await?;
    let mut contracts = Vec::with_capacity(rows.len());
    for row in rows {
        contracts.push((row.position, Contract::new(&app, row).await?));
    }
    part.answer(&uri, "contracts", contracts, |(position, _)| *position, |(_, contract)| contract)
}

/// A contract.
#[utoipa::path(get, path = "/v1/contracts/{contract}", tag = "contracts", params(("contract" = Uuid, Path)),
    security(("token" = ["owner", "renter", "operator", "auditor"])),
    responses((status = 200, description = "The contract", body = Contract)))]
pub async fn get_contract(
    State(app): State<App>,
    caller: ContractReader,
    Path(contract): Path<ContractId>,
) -> Result<Answer<Contract>, Problem> {
    authorise_reader(&app, &caller, contract).await?;
    show(&app, contract, None).await
}
