//! Orders: payments that a marketplace received.

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use domain::{
    account::Role,
    id::{AccountId, MarketplaceName, OrderId, OrderKey, SettlementId},
    money::Money,
    order::{Fate, OrderItem, RejectReason},
    time::{Interval, Time},
};
use projections::views::orders::{OrderRow, OrderScope, OrderStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::{Caller, Marketplace, OrderReader},
    extract::{Json, Path, Query},
    list::{List, Part},
    schema,
};
use crate::{app::App, error::Problem, orders};

/// A payment received.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// Your own id of it: 1 to 128 of `A-Z a-z 0-9 . _ -`, at least one a letter or a digit. It can be received once.
    #[schema(value_type = String, max_length = 128, pattern = "^[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*$")]
    order_id: OrderId,
    /// What was bought.
    #[schema(value_type = schema::OrderItem)]
    item: OrderItem,
    /// Who bought: an account with the role renter.
    renter: Uuid,
    /// What was received.
    #[schema(value_type = schema::Money)]
    paid: Money,
}

/// Money that goes back.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderRefund {
    /// The settlement that moves it.
    settlement: Uuid,
    /// How much: all that was received.
    #[schema(value_type = schema::Money)]
    amount: Money,
}

/// An order and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Order {
    /// The marketplace's id of it.
    order_id: String,
    /// The marketplace.
    marketplace: String,
    /// How far it is.
    #[schema(value_type = schema::OrderStatus)]
    status: OrderStatus,
    /// What was bought.
    #[schema(value_type = schema::OrderItem)]
    item: OrderItem,
    /// Who bought.
    renter: Uuid,
    /// What was received.
    #[schema(value_type = schema::Money)]
    paid: Money,
    /// When it was received.
    #[schema(value_type = String, format = DateTime)]
    received_at: Time,
    /// The contract it pays for, once accepted.
    #[schema(required)]
    contract: Option<Uuid>,
    /// The time it bought, once accepted.
    #[schema(value_type = Option<schema::Interval>, required)]
    segment: Option<Interval>,
    /// Why it was rejected.
    #[schema(value_type = Option<schema::RejectReason>, required)]
    reason: Option<RejectReason>,
    /// Its refund, once rejected.
    #[schema(required)]
    refund: Option<OrderRefund>,
}

fn refund(settlement: SettlementId, amount: Money) -> OrderRefund {
    OrderRefund { settlement: settlement.0, amount }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        Self {
            order_id: row.order_key.id.to_string(),
            marketplace: row.marketplace.to_string(),
            status: row.status,
            item: row.item,
            renter: row.renter.0,
            paid: row.paid,
            received_at: row.received_at,
            contract: row.contract.map(|contract| contract.0),
            segment: row.segment,
            reason: row.reason,
            refund: row.settlement.map(|settlement| refund(settlement, row.paid)),
        }
    }
}

/// The marketplace that an account brings orders from.
///
/// # Errors
/// 403 when the account has no marketplace name.
pub async fn marketplace(app: &App, caller: &Caller) -> Result<MarketplaceName, Problem> {
    let person = app.private.person(caller.account).await?;
    let missing = || Problem::forbidden("this account has no marketplace name");
    person.and_then(|person| person.marketplace).ok_or_else(missing)
}

/// The marketplace whose orders and money a caller may see; `None` for all.
///
/// # Errors
/// When a marketplace account has no marketplace name.
pub async fn visible_marketplace(app: &App, caller: &Caller) -> Result<Option<MarketplaceName>, Problem> {
    let everything = caller.is_any(&[Role::Operator, Role::Auditor]);
    if everything { Ok(None) } else { marketplace(app, caller).await.map(Some) }
}

/// Brings a payment. It is accepted (201, and 200 when brought again), or rejected with a full refund: then the answer
/// is a problem with the members `order`, `received_at`, `reason` and `refund`. When that is not decided within seconds: 202.
#[utoipa::path(post, path = "/v1/orders", tag = "marketplace", security(("token" = ["marketplace"])),
    request_body = NewOrder,
    responses(
        (status = 201, description = "Accepted", body = Order),
        (status = 200, description = "Accepted before", body = Order),
        (status = 202, description = "Received, not decided yet: ask for the order again", body = Order)))]
pub async fn receive_order(
    State(app): State<App>,
    caller: Marketplace,
    Json(new): Json<NewOrder>,
) -> Result<Response, Problem> {
    let key = OrderKey { marketplace: marketplace(&app, &caller).await?, id: new.order_id };
    let renter = AccountId(new.renter);
    let received = orders::receive(&app, key.clone(), new.item, renter, new.paid, &caller.by()).await?;
    // The decision and the contract were written before this; then the views show them too.
    let position = app.executor.log().head().await?;
    app.catch_up(position).await;
    let row = app.views.order(key.clone()).await?.ok_or_else(Problem::overloaded)?;
    if let Some(Fate::Rejected(e)) = &received.fate {
        let problem = Problem::from(&e.reason).with("order", &key.id).with("received_at", row.received_at);
        let problem = problem.with("reason", &e.reason).with("refund", refund(e.settlement, e.refund));
        return Ok(problem.into_response());
    }
    let (revision, location) = (row.revision, format!("/v1/orders/{}", row.order_key.id));
    let status = match (received.fate, received.new) {
        (None, _) => StatusCode::ACCEPTED,
        (Some(_), true) => StatusCode::CREATED,
        (Some(_), false) => return Ok(Answer::ok(Order::from(row)).at(revision).into_response()),
    };
    Ok(Answer::created(Order::from(row), &location)
        .status(status)
        .at(revision)
        .wrote(position)
        .into_response())
}

/// Whose order it is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrderQuery {
    /// For operators and auditors: the marketplace that received it.
    #[param(value_type = Option<String>)]
    marketplace: Option<MarketplaceName>,
}

/// An order and what became of it.
#[utoipa::path(get, path = "/v1/orders/{order_id}", tag = "marketplace",
    params(("order_id" = String, Path), OrderQuery), security(("token" = ["marketplace", "operator", "auditor"])),
    responses((status = 200, description = "The order", body = Order)))]
pub async fn get_order(
    State(app): State<App>,
    caller: OrderReader,
    Path(id): Path<OrderId>,
    Query(query): Query<OrderQuery>,
) -> Result<Answer<Order>, Problem> {
    let marketplace = match visible_marketplace(&app, &caller).await? {
        Some(own) if query.marketplace.as_ref().is_none_or(|wanted| *wanted == own) => own,
        Some(_) => return Err(Problem::not_found("order")),
        None => query
            .marketplace
            .ok_or_else(|| Problem::malformed("say which marketplace received it: ?marketplace="))?,
    };
    let row =
        app.views.order(OrderKey { marketplace, id }).await?.ok_or_else(|| Problem::not_found("order"))?;
    let revision = row.revision;
    Ok(Answer::ok(Order::from(row)).at(revision))
}

/// Your marketplace's orders, the newest first; all orders for operators and auditors.
#[utoipa::path(get, path = "/v1/orders", tag = "marketplace", params(Part),
    security(("token" = ["marketplace", "operator", "auditor"])),
    responses((status = 200, description = "Orders", body = List<Order>)))]
pub async fn list_orders(
    State(app): State<App>,
    caller: OrderReader,
    uri: Uri,
    Query(part): Query<Part>,
) -> Result<Answer<List<Order>>, Problem> {
    let scope = visible_marketplace(&app, &caller).await?.map_or(OrderScope::All, OrderScope::Marketplace);
    let rows = app.views.orders(scope, part.newest("orders")?).await?;
    part.answer(&uri, "orders", rows, |row| row.position, Order::from)
}
