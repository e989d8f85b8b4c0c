//! Every kind of problem, explained.

use serde::Serialize;
use utoipa::ToSchema;

use super::{answer::Answer, extract::Path, list::List};
use crate::error::Problem;

/// Kind, HTTP status, and what it means. A kind, once here, keeps its meaning.
pub const KINDS: &[(&str, u16, &str)] = &[
    (
        "account-erased",
        410,
        "The person behind the account was forgotten; the account can do nothing any more.",
    ),
    (
        "account-in-use",
        409,
        "The account has devices in service, running rentals, or money that waits or is on its way; its person cannot be forgotten yet.",
    ),
    ("address-taken", 409, "Another account signs in with this mail address."),
    ("already-enrolled", 409, "The device is in the books already, with another owner or key."),
    ("already-let", 409, "Somebody else rents the device under this lease."),
    ("bad-message", 422, "A device's message has a wrong form or version, or its signature does not fit."),
    (
        "bad-receipt",
        422,
        "The erasure receipt is not signed by the key that held the lease, or names another tombstone.",
    ),
    ("contract-unknown", 409, "The order is for a contract that does not exist; it is refunded in full."),
    ("dead-challenge", 410, "The challenge for the passkey was answered, is too old, or is another's."),
    ("dead-link", 410, "The link of a letter was used, is too old, or is not whole."),
    ("device-let", 409, "A rental runs on the device."),
    ("device-lost", 409, "The device has not been heard of for too long; the order is refunded in full."),
    ("device-retired", 409, "The owner took the device out of service for good."),
    ("device-unknown", 409, "The order is for a device that does not exist; it is refunded in full."),
    ("disputed", 409, "The segment is disputed: its money waits for a decision."),
    ("enrolment-key-unknown", 401, "No device has this enrolment key, or its owner has replaced it."),
    (
        "epoch-not-erased",
        409,
        "The device must erase its last lease's data and send the receipt before it gets another.",
    ),
    ("extension-lapsed", 409, "The request for more time was not paid in time."),
    ("extension-paid", 409, "The request for more time was paid already."),
    ("extension-pending", 409, "Another request for more time waits to be paid."),
    ("extension-unknown", 409, "Nobody asked for this extension."),
    ("forbidden", 403, "The token is known, but it lacks a role that this needs."),
    ("foreign-form", 403, "Another site made the browser send this; only the pages' own forms are taken."),
    ("gateway-name-taken", 409, "Another gateway of this name is there, with another SSH key."),
    ("gateway-ports-taken", 409, "Another gateway leases some of the same ports of the same host."),
    ("idempotency-in-flight", 409, "The same request under the same Idempotency-Key is being worked on."),
    ("idempotency-key-reused", 422, "The Idempotency-Key was used for another request before."),
    ("internal", 500, "The server failed. Its logs say why, under the request's id. Nothing is half-done."),
    ("invalid-offer", 422, "The offer breaks a limit: its texts, rates or terms."),
    ("invalid-request", 422, "The request can be read, but a value is missing, unknown or out of range."),
    ("invalid-weights", 422, "The weights of a decision divide nothing, or leave a moderator unnamed."),
    ("last-operator", 409, "It is the last operator: nobody else could run the server."),
    ("lease-ended", 409, "The device's lease ended before the order came."),
    ("lease-held", 409, "The device's lease is held by another device key or configuration."),
    ("lease-running", 409, "The lease has not ended."),
    (
        "listing-unknown",
        409,
        "The marketplace sells nothing under this listing; the order is refunded in full.",
    ),
    ("malformed-request", 400, "The request cannot be read: not JSON, or a wrong path, query or header."),
    ("marketplace-taken", 409, "Another account has this marketplace name."),
    ("message-replayed", 409, "A device's message counts once, and this one was counted before."),
    (
        "moderator-refused",
        409,
        "The buyer chose a moderator whom the offer does not name; the order is refunded in full.",
    ),
    ("moderator-unknown", 422, "The moderator of a decision has no account; nothing was decided."),
    ("no-gateway", 503, "No gateway is there that could give the device a port."),
    ("no-such-method", 405, "The path exists, but not with this method."),
    ("no-such-path", 404, "There is nothing at this path."),
    ("not-disputed", 409, "Nobody disputes the segment."),
    ("not-earned", 409, "More was taken out of escrow than the operator's fees there."),
    ("not-found", 404, "It does not exist, or it is not yours to see."),
    ("not-lapsed-yet", 409, "The request for more time can still be paid."),
    ("not-leased", 409, "The device holds no lease: it is not connected to a gateway."),
    ("not-offered", 409, "The owner does not offer the device."),
    ("not-ready", 503, "The server is starting, stopping or far behind."),
    ("not-the-renter", 409, "Only the renter can extend a rental; the order is refunded in full."),
    ("not-yet", 404, "It did not exist at the moment that was asked about."),
    ("nothing-paid", 422, "An order, a sweep or a movement must be of more than nothing."),
    ("order-decided", 409, "The order was decided the other way."),
    ("order-differs", 409, "The order id was received with other contents before."),
    ("order-disputed", 409, "The order was disputed before it could be served; it is refunded in full."),
    ("overloaded", 503, "The server has too much to do right now."),
    ("paid-at-end", 409, "The rental is not long enough to be paid out by segments."),
    ("passkey-refused", 409, "The passkey is in use already, or the account has as many as it can have."),
    ("payout-not-due", 409, "The payout waits until its delay is over."),
    ("policy-invalid", 422, "The server's policy has a number out of range; an operator must correct it."),
    ("ports-exhausted", 503, "Every port of the gateway is leased."),
    ("price-out-of-range", 422, "The price of this term is beyond what the asset can hold."),
    ("quote-expired", 409, "The refund quote is too old, or of a time outside the rental."),
    ("rental-over", 409, "The rental is over."),
    ("renter-unknown", 422, "The renter has no account with the role renter; nothing was recorded."),
    ("segment-decided", 409, "The segment's money is decided."),
    ("segment-not-served", 409, "The segment's time is not over."),
    ("settlement-differs", 409, "The settlement is due already, with other contents."),
    ("settlement-state", 409, "The settlement is in a state that does not take this step."),
    ("settlement-under-way", 409, "An attempt is under way; report how it went first."),
    ("sign-in-again", 403, "This needs a session that was opened just now."),
    ("stale", 412, "If-Match named another state than there is now."),
    ("stale-form", 403, "The form belongs to an earlier session; the page must be loaded again."),
    ("still-running", 409, "The rental's paid time is not over."),
    ("storage-away", 503, "What the server keeps its data in does not answer right now."),
    ("subdomain-taken", 503, "Another lease has this subdomain."),
    ("surplus", 409, "More was paid than the order costs; what is beyond is refunded."),
    ("sweep-differs", 409, "The reference stands for a sweep of another amount."),
    ("term-out-of-range", 422, "The term is shorter or longer than the offer allows."),
    ("timed-out", 503, "The request took too long; what it asked for may still happen."),
    ("too-large", 413, "The body is larger than any request needs."),
    ("too-many-segments", 409, "The rental was extended as often as it can be."),
    ("too-many-tries", 429, "Signing in, or a letter, was tried too often; the answer says when to go on."),
    ("too-many-webhooks", 409, "There are as many webhooks as there can be; one must be removed first."),
    ("unauthenticated", 401, "There is no token, or it is unknown, expired or revoked."),
    ("underpaid", 409, "The order was not paid in full; what was paid is refunded."),
    ("unsupported-media-type", 415, "The body's Content-Type is not application/json."),
    ("wrong-amount", 422, "The amount paid is not the price."),
    ("wrong-asset", 422, "The amount is in another asset than is due."),
    ("wrong-attempt", 409, "The report is about another attempt than the current one."),
    ("wrong-epoch", 409, "The message is about another lease than the device's current one."),
    ("wrong-marketplace", 409, "The rental is paid for at another marketplace, which holds its money."),
    ("wrong-passkey", 401, "The passkey is unknown here, or its answer is wrong."),
    ("wrong-password", 401, "The mail address and the password do not belong together."),
    ("wrong-setup-code", 403, "The set-up code is wrong or was used."),
];

/// A kind of problem.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemKind {
    /// The `type` of such problems.
    #[schema(example = "/problems/not-found")]
    r#type: String,
    /// Their HTTP status.
    status: u16,
    /// What it means.
    meaning: &'static str,
}

fn kind(&(kind, status, meaning): &(&str, u16, &'static str)) -> ProblemKind {
    ProblemKind { r#type: format!("/problems/{kind}"), status, meaning }
}

/// Every kind of problem.
#[utoipa::path(get, path = "/problems", tag = "problems",
    responses((status = 200, description = "The kinds", body = List<ProblemKind>)))]
pub async fn list_problems() -> Answer<List<ProblemKind>> {
    Answer::ok(List { items: KINDS.iter().map(kind).collect(), next: None })
}

/// What a kind of problem means.
#[utoipa::path(get, path = "/problems/{kind}", tag = "problems", params(("kind" = String, Path)),
    responses((status = 200, description = "The kind", body = ProblemKind)))]
pub async fn explain_problem(Path(wanted): Path<String>) -> Result<Answer<ProblemKind>, Problem> {
    let found = KINDS.iter().find(|(kind, ..)| *kind == wanted);
    found.map(|found| Answer::ok(kind(found))).ok_or_else(|| Problem::not_found("kind of problem"))
}
