//! The API's description: what every operation has in common is added here.

use serde_json::{Value, json};
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        self, Components,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use uuid::Uuid;

use super::{answer::IF_MATCH, idempotency::IDEMPOTENCY_KEY, schema};

/// A "no": what was wrong and what to do, as RFC 9457 has it. Some kinds have further members.
#[derive(ToSchema)]
pub struct Problem {
    /// The stable kind; `GET` it for an explanation.
    #[schema(example = "/problems/not-found")]
    pub r#type: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong.
    pub detail: String,
    /// What to do about it.
    pub action: String,
    /// Of an account in use: its devices in service, at most 20 of them.
    pub devices: Option<Vec<Uuid>>,
    /// Of an account in use: its rentals that run, are disputed or wait for their payout, at most 20 of them.
    pub contracts: Option<Vec<Uuid>>,
    /// Of an account in use: the refunds and payouts on their way to it, at most 20 of them.
    pub settlements: Option<Vec<Uuid>>,
    /// Of an account in use: its purses with payouts in them, `<owner>-<marketplace>-<asset>`, at most 20 of them.
    pub purses: Option<Vec<String>>,
    /// Of a rejected order: the order.
    pub order: Option<String>,
    /// Of a rejected order: when it was received.
    #[schema(format = DateTime)]
    pub received_at: Option<String>,
    /// Of a rejected order: why.
    pub reason: Option<schema::RejectReason>,
    /// Of a rejected order: its refund.
    pub refund: Option<super::orders::OrderRefund>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Berth",
        description = "Rent devices to each other: offers, orders, contracts, money, and the ledger of all that happened.\n\n\
            Every \"no\" is `application/problem+json` with a stable `type`. Every answer carries `x-request-id`; what a \
            request wrote carries it as correlation id. Changes take an `Idempotency-Key`, and `If-Match` with the ETag of \
            what they change. A change answers with `Berth-Position`, and whoever reads after that answer reads it.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem)),
    tags(
        (name = "market", description = "What anyone may ask."),
        (name = "devices", description = "For owners."),
        (name = "contracts", description = "For renters and owners."),
        (name = "marketplace", description = "For integrations that bring orders."),
        (name = "money", description = "Refunds and payouts on their way out of escrow, disputes, and what is owed."),
        (name = "device", description = "For devices."),
        (name = "gateways", description = "For gateways, and for those who run them."),
        (name = "audit", description = "For auditors: the ledger itself."),
        (name = "webhooks", description = "Where events are delivered."),
        (name = "accounts", description = "Accounts, roles and tokens."),
        (name = "server", description = "The server itself."),
        (name = "problems", description = "What the problems mean."),
    ),
    modifiers(&Security),
)]
struct Base;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let bearer = |what: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what));
            SecurityScheme::Http(scheme.build())
        };
        let components = document.components.get_or_insert_with(Components::new);
        let token = "A token of an account. The listed scopes are roles, one of which is needed.";
        components.add_security_scheme("token", bearer(token));
        components.add_security_scheme("device_key", bearer("A device's enrolment key."));
        let gateway = "What gateways in processes of their own prove themselves with: `gateway/token` of the data folder.";
        components.add_security_scheme("gateway_token", bearer(gateway));
    }
}

/// The description of these routes, with what every operation has in common.
///
/// # Panics
/// Never: a description is always JSON.
#[must_use]
pub fn finish(routes: openapi::OpenApi) -> Value {
    let mut base = Base::openapi();
    base.merge(routes);
    let mut document = serde_json::to_value(base).expect("a description is always JSON");
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            complete(operation, path.contains('{'), method == "get");
        }
    }
    document
}

fn complete(operation: &mut Value, names_something: bool, reads: bool) {
    let uses = |operation: &Value, scheme: &str| {
        operation["security"].as_array().is_some_and(|all| all.iter().any(|one| one.get(scheme).is_some()))
    };
    let by_token = uses(operation, "token");
    let by_key = uses(operation, "device_key") || uses(operation, "gateway_token");
    let answers = &mut operation["responses"];
    for answer in answers.as_object_mut().into_iter().flatten().map(|(_, answer)| answer) {
        let id = json!({"description": "The request's id", "schema": {"type": "string", "format": "uuid"}});
        answer["headers"]["x-request-id"] = id;
        if by_token && !reads {
            let what = "The last position written, when something was";
            answer["headers"]["berth-position"] = json!({"description": what, "schema": {"type": "integer"}});
        }
    }
    if by_token || by_key {
        answers["401"] = problem("Nobody known");
    }
    if by_token {
        answers["403"] = problem("The role is missing");
    }
    if names_something {
        answers["404"] = problem("There is none, or it is not yours to see");
    }
    answers["default"] = problem("A problem; its `type` says which");
    if by_token && !reads {
        let once = "1 to 255 visible characters; the same request under the same key is done once and answered again";
        let parameters = &mut operation["parameters"];
        if parameters.is_null() {
            *parameters = json!([]);
        }
        let parameters = parameters.as_array_mut();
        let matching = "The ETag of what is changed; 412 when it is another by now";
        let headers = [header("Idempotency-Key", once, IDEMPOTENCY_KEY)]
            .into_iter()
            .chain(names_something.then(|| header("If-Match", matching, IF_MATCH)));
        parameters.into_iter().for_each(|all| all.extend(headers.clone()));
    }
}

fn header(name: &str, what: &str, pattern: &str) -> Value {
    let schema = json!({"type": "string", "pattern": pattern});
    json!({"name": name, "in": "header", "required": false, "description": what, "schema": schema})
}

fn problem(what: &str) -> Value {
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    json!({"description": what, "content": {"application/problem+json": {"schema": schema}}})
}
