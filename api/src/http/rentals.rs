//! What can be done with a running rental: extend it, end it, log in.

use axum::extract::State;
use domain::{
    contract::{Contract as Ledger, ContractRefusal},
    id::{ContractId, ExtensionId},
    money::Money,
    time::Time,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    answer::{Answer, IfMatch},
    auth::{ContractEnder, ContractReader, Renter},
    contracts::{Contract, Extension, authorise, authorise_reader, show},
    extract::{Json, OptionalJson, Path},
    schema,
};
use crate::{app::App, contracts, error::Problem};

/// One segment's share of a quote.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotedRefund {
    /// The segment, from 0.
    segment: u32,
    /// The marketplace that holds the money.
    marketplace: String,
    /// The order that paid it.
    order_id: String,
    /// What would go back.
    #[schema(value_type = schema::Money)]
    amount: Money,
}

/// What would become of the money if you ended the rental now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Quote {
    /// The instant it is for: send it as `quoted_at` to end the rental at that instant.
    #[schema(value_type = String, format = DateTime)]
    at: Time,
    /// Until when that is taken.
    #[schema(value_type = String, format = DateTime)]
    stands_until: Time,
    /// What would go back, by segment.
    refunds: Vec<QuotedRefund>,
    /// All that would go back.
    #[schema(value_type = schema::Money)]
    total: Money,
    /// What the owner would get.
    #[schema(value_type = schema::Money)]
    owner: Money,
    /// What the operator would get.
    #[schema(value_type = schema::Money)]
    fee: Money,
}

impl From<contracts::Quote> for Quote {
    fn from(quote: contracts::Quote) -> Self {
        let contracts::Quote { at, stands_until, total, owner, fee, .. } = quote;
        let refund = |r: contracts::QuotedRefund| QuotedRefund {
            segment: r.segment,
            marketplace: r.order.marketplace.to_string(),
            order_id: r.order.id.to_string(),
            amount: r.amount,
        };
        Self { at, stands_until, refunds: quote.refunds.into_iter().map(refund).collect(), total, owner, fee }
    }
}

/// What would become of the money if you ended the rental now; auditors see it as the renter would.
#[utoipa::path(get, path = "/v1/contracts/{contract}/refund-quote", tag = "contracts", params(("contract" = Uuid, Path)),
    security(("token" = ["owner", "renter", "operator", "auditor"])),
    responses((status = 200, description = "The quote", body = Quote)))]
pub async fn quote_refund(
    State(app): State<App>,
    caller: ContractReader,
    Path(contract): Path<ContractId>,
) -> Result<Answer<Quote>, Problem> {
    let as_whom = authorise_reader(&app, &caller, contract).await?;
    let quote = contracts::quote(&app, contract, as_whom).await?;
    Ok(Answer::ok(quote.into()))
}

/// More time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoreTime {
    /// Seconds wanted.
    #[schema(minimum = 1)]
    term_s: i64,
}

/// Asks for more time. It is yours once an order pays for the request.
#[utoipa::path(post, path = "/v1/contracts/{contract}/extensions", tag = "contracts", params(("contract" = Uuid, Path)),
    security(("token" = ["renter"])), request_body = MoreTime,
    responses((status = 201, description = "What it costs and until when", body = Extension)))]
pub async fn request_extension(
    State(app): State<App>,
    caller: Renter,
    Path(contract): Path<ContractId>,
    condition: IfMatch,
    Json(MoreTime { term_s }): Json<MoreTime>,
) -> Result<Answer<Extension>, Problem> {
    authorise_renter(&app, &caller, contract).await?;
    condition.check(app.executor.load::<Ledger>(&contract).await?.revision)?;
    let done = contracts::request_extension(&app, contract, term_s, &caller.by()).await?;
    app.catch_up(done.position).await;
    let wanted = ExtensionId::of(contract, caller.command);
    let pending =
        done.state.rental().and_then(|rental| rental.pending.clone()).filter(|p| p.extension == wanted);
    let pending = pending.ok_or(ContractRefusal::ExtensionPaid)?;
    let shown = Extension {
        extension: pending.extension.0,
        term_s: pending.term_s,
        price: pending.price,
        lapses_at: pending.lapses_at,
    };
    Ok(Answer::created(shown, &format!("/v1/contracts/{contract}")).wrote(done.position))
}

pub(super) async fn authorise_renter(
    app: &App,
    caller: &Renter,
    contract: ContractId,
) -> Result<(), Problem> {
    let (rental, _) = authorise(app, caller, contract).await?;
    if rental.started.renter == caller.account { Ok(()) } else { Err(ContractRefusal::Unknown.into()) }
}

/// An early end.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Termination {
    /// `at` of a refund quote that still stands; now when left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    quoted_at: Option<Time>,
}

/// Ends a rental before its term, as the renter, the owner or the operator that you are. What was not used goes back.
#[utoipa::path(post, path = "/v1/contracts/{contract}/termination", tag = "contracts",
    params(("contract" = Uuid, Path)), security(("token" = ["owner", "renter", "operator"])),
    request_body(content = Option<Termination>),
    responses((status = 200, description = "The contract", body = Contract)))]
pub async fn terminate_rental(
    State(app): State<App>,
    caller: ContractEnder,
    Path(contract): Path<ContractId>,
    condition: IfMatch,
    OptionalJson(Termination { quoted_at }): OptionalJson<Termination>,
) -> Result<Answer<Contract>, Problem> {
    let (_, as_whom) = authorise(&app, &caller, contract).await?;
    condition.check(app.executor.load::<Ledger>(&contract).await?.revision)?;
    let done = contracts::terminate(&app, contract, as_whom, quoted_at, &caller.by()).await?;
    // Whoever ends it asks for the refund next.
    app.follow_up(done.position).await;
    show(&app, contract, done.position).await
}

/// How to reach the device.
#[derive(Serialize, ToSchema)]
pub struct Credentials {
    /// The gateway's host.
    host: String,
    /// The leased port there.
    port: u16,
    /// The user on the device.
    user: String,
    /// The password.
    password: String,
    /// The leased subdomain.
    subdomain: String,
}

/// How you reach the device you rent, while the rental runs.
#[utoipa::path(get, path = "/v1/contracts/{contract}/credentials", tag = "contracts", params(("contract" = Uuid, Path)),
    security(("token" = ["renter"])),
    responses((status = 200, description = "The credentials", body = Credentials)))]
pub async fn get_credentials(
    State(app): State<App>,
    caller: Renter,
    Path(contract): Path<ContractId>,
) -> Result<Answer<Credentials>, Problem> {
    authorise_renter(&app, &caller, contract).await?;
    let found = contracts::credentials(&app, contract).await?;
    let contracts::Credentials { host, port, user, password, subdomain } =
        found.ok_or(ContractRefusal::Over)?;
    Ok(Answer::ok(Credentials { host, port, user, password, subdomain: subdomain.to_string() }))
}
