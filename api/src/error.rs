//! Problems: every "no" as RFC 9457 problem+json with a stable type, what was wrong, and what to do.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    account::AccountRefusal, contract::ContractRefusal, device::DeviceRefusal, event::Revision,
    gateway::GatewayRefusal, order::OrderRefusal, order::RejectReason, purse::PurseRefusal,
    settlement::SettlementRefusal, treasury::TreasuryRefusal,
};
use projections::{
    halves::HalvesError,
    log::{AppendError, LogError},
    private::PrivateError,
    views::ViewError,
};
use serde_json::{Map, Value, json};

use crate::execute::{ExecuteError, ExecutorError, where_it_is};

/// A "no" to a request.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    action: &'static str,
    more: Map<String, Value>,
    retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem of a stable kind (its `type` is `/problems/<kind>`), what was wrong, and what to do about it.
    #[must_use]
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        detail: impl Into<String>,
        action: &'static str,
    ) -> Self {
        Self { status, kind, detail: detail.into(), action, more: Map::new(), retry_after_s: None }
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl serde::Serialize) -> Self {
        self.more.insert(name.into(), json!(value));
        self
    }

    /// Says when to try again, in seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What was wrong.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do about it.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.action
    }

    /// Seconds after which to try again, if that helps.
    #[must_use]
    pub const fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// Its HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Its stable kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// 404: the thing does not exist or is not the caller's to see.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        let detail = format!("there is no such {what}, or it is not yours to see");
        Self::new(StatusCode::NOT_FOUND, "not-found", detail, "check the id and the account that asks")
    }

    /// 422: the request can be read but not meant.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-request",
            detail,
            "correct the request and send it again",
        )
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", detail, "send what /openapi.json describes")
    }

    /// 401: nobody known.
    #[must_use]
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        let action = "send `Authorization: Bearer <token>` with a token that works";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail, action)
    }

    /// 403: known, but not allowed.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        let action = "use a token of an account that has the role";
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail, action)
    }

    /// 412: the caller saw an older state than there is.
    #[must_use]
    pub fn stale(actual: Option<Revision>) -> Self {
        Self::changed(&where_it_is(actual))
    }

    /// 412: the caller saw what is another by now.
    #[must_use]
    pub fn changed(now: &str) -> Self {
        let action = "read it again and send If-Match with the new ETag";
        let detail = format!("it is not what If-Match names: {now}");
        Self::new(StatusCode::PRECONDITION_FAILED, "stale", detail, action)
    }

    /// 500: our fault; the cause is in the logs under the request id, not in the answer.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "request failed inside");
        let detail = "the server could not do this; nothing is half-done";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            detail,
            "try again; report the request id if it stays",
        )
    }

    /// 503: what the server keeps its data in does not answer, or cannot be written. The cause goes to the log only.
    #[must_use]
    pub fn away(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "a request could not be answered: the storage failed");
        let detail = "the server's storage does not answer right now";
        let action = "send the same request again in a moment; with an Idempotency-Key nothing happens twice";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage-away", detail, action).retry_after(5)
    }

    /// 503: too busy right now.
    #[must_use]
    pub fn overloaded() -> Self {
        let action = "send the same request again after Retry-After";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "the server has too much to do", action)
            .retry_after(1)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Pages show it as a page.
        let kept = self.clone();
        let mut body = self.more;
        body.insert("type".into(), json!(format!("/problems/{}", self.kind)));
        body.insert("title".into(), json!(self.kind.replace('-', " ")));
        body.insert("status".into(), json!(self.status.as_u16()));
        body.insert("detail".into(), json!(self.detail));
        body.insert("action".into(), json!(self.action));
        let mut response = (self.status, Json(Value::Object(body))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"berth\""));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(kept);
        response
    }
}

impl From<ExecutorError> for Problem {
    fn from(error: ExecutorError) -> Self {
        match error {
            ExecutorError::Append(AppendError::Overloaded) => Self::overloaded(),
            ExecutorError::Append(e @ AppendError::TooLarge { .. }) => Self::invalid(e.to_string()),
            ExecutorError::Append(e @ (AppendError::Fatal(_) | AppendError::OutcomeUnknown)) => {
                Self::away(&e)
            }
            other => Self::internal(&other),
        }
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        if error.may_pass() { Self::away(&error) } else { Self::internal(&error) }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Storage(_) => Self::away(&error),
            LogError::Damaged { .. } => Self::internal(&error),
        }
    }
}

impl From<HalvesError> for Problem {
    fn from(error: HalvesError) -> Self {
        Self::internal(&error)
    }
}

impl From<PrivateError> for Problem {
    fn from(error: PrivateError) -> Self {
        match error {
            PrivateError::MarketplaceTaken(_) => {
                let action = "choose another marketplace name";
                Self::new(StatusCode::CONFLICT, "marketplace-taken", error.to_string(), action)
            }
            PrivateError::Storage(_) => Self::away(&error),
            other => Self::internal(&other),
        }
    }
}

impl<R: std::error::Error> From<ExecuteError<R>> for Problem
where
    Self: From<R>,
{
    fn from(error: ExecuteError<R>) -> Self {
        match error {
            ExecuteError::Refused(refusal) => refusal.into(),
            ExecuteError::Stale { actual } => Self::stale(actual),
            ExecuteError::Log(e) => e.into(),
        }
    }
}

const CONFLICT: StatusCode = StatusCode::CONFLICT;
const INVALID: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

impl From<AccountRefusal> for Problem {
    fn from(refusal: AccountRefusal) -> Self {
        match refusal {
            AccountRefusal::Unknown => Self::not_found("account"),
            AccountRefusal::Erased => {
                Self::new(StatusCode::GONE, "account-erased", refusal.to_string(), "open a new account")
            }
        }
    }
}

impl From<DeviceRefusal> for Problem {
    fn from(refusal: DeviceRefusal) -> Self {
        let (status, kind, action) = match &refusal {
            DeviceRefusal::Unknown => return Self::not_found("device"),
            DeviceRefusal::AlreadyEnrolled => (CONFLICT, "already-enrolled", "enrol it under another id"),
            DeviceRefusal::Retired => (CONFLICT, "device-retired", "enrol the machine as a new device"),
            DeviceRefusal::Offer(_) => (INVALID, "invalid-offer", "correct the offer and publish it again"),
            DeviceRefusal::NotLeased => (CONFLICT, "not-leased", "let the device register first"),
            DeviceRefusal::LeaseHeld => (
                CONFLICT,
                "lease-held",
                "start the agent with its old data folder and configuration, or retire the device and enrol it anew",
            ),
            DeviceRefusal::NotErased { .. } => {
                (CONFLICT, "epoch-not-erased", "poll for the tombstone, erase, and send the erasure receipt")
            }
            DeviceRefusal::WrongEpoch { .. } => (CONFLICT, "wrong-epoch", "poll for the current epoch"),
            DeviceRefusal::LeaseRunning => (CONFLICT, "lease-running", "wait until the lease has ended"),
            DeviceRefusal::BadReceipt(_) => {
                (INVALID, "bad-receipt", "sign the receipt with the device key that registered")
            }
            DeviceRefusal::Let => (CONFLICT, "device-let", "terminate the rental first, or wait for its end"),
        };
        Self::new(status, kind, refusal.to_string(), action)
    }
}

impl From<GatewayRefusal> for Problem {
    fn from(refusal: GatewayRefusal) -> Self {
        let kind = match refusal {
            GatewayRefusal::PoolExhausted(_) => "ports-exhausted",
            GatewayRefusal::SubdomainTaken(_) => "subdomain-taken",
        };
        let action = "try again later; an operator can widen the gateway's port range";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, refusal.to_string(), action).retry_after(60)
    }
}

impl From<OrderRefusal> for Problem {
    fn from(refusal: OrderRefusal) -> Self {
        let (status, kind, action) = match refusal {
            OrderRefusal::Unknown => return Self::not_found("order"),
            OrderRefusal::Different => (
                CONFLICT,
                "order-differs",
                "an order id stands for one payment: send the first contents, or another id",
            ),
            OrderRefusal::NothingPaid => (INVALID, "nothing-paid", "send the amount that was received"),
            OrderRefusal::Decided => (CONFLICT, "order-decided", "read the order to see what became of it"),
            OrderRefusal::Listing | OrderRefusal::Cost | OrderRefusal::Reference => {
                (INVALID, "invalid-request", "correct the value")
            }
        };
        Self::new(status, kind, refusal.to_string(), action)
    }
}

impl From<ContractRefusal> for Problem {
    fn from(refusal: ContractRefusal) -> Self {
        let again = "read the contract to see where it stands";
        let (status, kind, action) = match &refusal {
            ContractRefusal::Unknown => return Self::not_found("contract"),
            ContractRefusal::AlreadyLet | ContractRefusal::Let => {
                (CONFLICT, "already-let", "choose another device")
            }
            ContractRefusal::LeaseEnded => (CONFLICT, "lease-ended", "choose another device"),
            ContractRefusal::Over => (CONFLICT, "rental-over", "rent the device again"),
            ContractRefusal::StillRunning { .. } => (CONFLICT, "still-running", again),
            ContractRefusal::TermOutOfRange { .. } => {
                (INVALID, "term-out-of-range", "ask for a term within the limits")
            }
            ContractRefusal::WrongAmount { .. } => (INVALID, "wrong-amount", "pay the price"),
            ContractRefusal::WrongAsset { .. } => (INVALID, "wrong-asset", "pay in the offer's asset"),
            ContractRefusal::PriceOutOfRange => (INVALID, "price-out-of-range", "ask for a shorter term"),
            ContractRefusal::PolicyInvalid => {
                (INVALID, "policy-invalid", "an operator must correct the configuration")
            }
            ContractRefusal::ExtensionPending(_) => {
                (CONFLICT, "extension-pending", "pay the pending extension or wait until it lapses")
            }
            ContractRefusal::ExtensionUnknown => {
                (CONFLICT, "extension-unknown", "request an extension first")
            }
            ContractRefusal::ExtensionLapsed => (CONFLICT, "extension-lapsed", "request another extension"),
            ContractRefusal::ExtensionPaid => (CONFLICT, "extension-paid", again),
            ContractRefusal::WrongMarketplace { .. } => {
                (CONFLICT, "wrong-marketplace", "pay where the rental was bought")
            }
            ContractRefusal::NotLapsedYet { .. } => (CONFLICT, "not-lapsed-yet", again),
            ContractRefusal::NotOffered => {
                (CONFLICT, "not-offered", "ask the owner to offer the device again")
            }
            ContractRefusal::QuoteExpired => (CONFLICT, "quote-expired", "ask for a new refund quote"),
            ContractRefusal::PayoutNotDue { .. } => (CONFLICT, "payout-not-due", again),
            ContractRefusal::SegmentUnknown(_) => return Self::not_found("segment"),
            ContractRefusal::SegmentDecided(_) => (CONFLICT, "segment-decided", again),
            ContractRefusal::NotServedYet { .. } => (CONFLICT, "segment-not-served", again),
            ContractRefusal::PaidAtEnd => (CONFLICT, "paid-at-end", again),
            ContractRefusal::Disputed(_) => (CONFLICT, "disputed", "let the dispute be decided first"),
            ContractRefusal::NotDisputed(_) => (CONFLICT, "not-disputed", "open a dispute first"),
            ContractRefusal::WeightsInvalid => (
                INVALID,
                "invalid-weights",
                "give at least one party a weight above 0, and name the moderator if it has one",
            ),
            ContractRefusal::TooManySegments => {
                (CONFLICT, "too-many-segments", "rent the device again when it is over")
            }
        };
        Self::new(status, kind, refusal.to_string(), action)
    }
}

impl From<PurseRefusal> for Problem {
    fn from(refusal: PurseRefusal) -> Self {
        Self::internal(&refusal)
    }
}

impl From<TreasuryRefusal> for Problem {
    fn from(refusal: TreasuryRefusal) -> Self {
        let (status, kind, action) = match &refusal {
            TreasuryRefusal::NotEarned { .. } => (CONFLICT, "not-earned", "take out what is left at most"),
            TreasuryRefusal::Nothing => (INVALID, "nothing-paid", "send the amount that was taken out"),
            TreasuryRefusal::Different(_) => {
                (CONFLICT, "sweep-differs", "a reference stands for one sweep: use another for another")
            }
            TreasuryRefusal::Reference => (INVALID, "invalid-request", "correct the reference"),
        };
        Self::new(status, kind, refusal.to_string(), action)
    }
}

impl From<&RejectReason> for Problem {
    fn from(reason: &RejectReason) -> Self {
        let refunded = "nothing: the order is recorded and refunded in full; order again under a new id";
        let (status, kind) = match reason {
            RejectReason::DeviceUnknown => (CONFLICT, "device-unknown"),
            RejectReason::DeviceRetired => (CONFLICT, "device-retired"),
            RejectReason::DeviceNotLeased => (CONFLICT, "not-leased"),
            RejectReason::DeviceLost => (CONFLICT, "device-lost"),
            RejectReason::NotOffered => (CONFLICT, "not-offered"),
            RejectReason::AlreadyLet => (CONFLICT, "already-let"),
            RejectReason::LeaseEnded => (CONFLICT, "lease-ended"),
            RejectReason::WrongAmount { .. } => (INVALID, "wrong-amount"),
            RejectReason::WrongAsset { .. } => (INVALID, "wrong-asset"),
            RejectReason::TermOutOfRange { .. } => (INVALID, "term-out-of-range"),
            RejectReason::ContractUnknown => (CONFLICT, "contract-unknown"),
            RejectReason::RentalOver => (CONFLICT, "rental-over"),
            RejectReason::ExtensionUnknown => (CONFLICT, "extension-unknown"),
            RejectReason::ExtensionLapsed => (CONFLICT, "extension-lapsed"),
            RejectReason::ExtensionPaid => (CONFLICT, "extension-paid"),
            RejectReason::WrongMarketplace { .. } => (CONFLICT, "wrong-marketplace"),
            RejectReason::ListingUnknown => (CONFLICT, "listing-unknown"),
            RejectReason::ModeratorRefused => (CONFLICT, "moderator-refused"),
            RejectReason::NotTheRenter => (CONFLICT, "not-the-renter"),
            RejectReason::Surplus => (CONFLICT, "surplus"),
            RejectReason::Disputed => (CONFLICT, "order-disputed"),
            RejectReason::Underpaid => (CONFLICT, "underpaid"),
        };
        Self::new(status, kind, format!("the order is rejected: {reason}"), refunded)
    }
}

impl From<SettlementRefusal> for Problem {
    fn from(refusal: SettlementRefusal) -> Self {
        let read = "read the settlement to see where it stands";
        let (status, kind, action) = match &refusal {
            SettlementRefusal::Unknown => return Self::not_found("settlement"),
            SettlementRefusal::Different => (CONFLICT, "settlement-differs", read),
            SettlementRefusal::UnderWay(_) => {
                (CONFLICT, "settlement-under-way", "report how the attempt went first")
            }
            SettlementRefusal::WrongAttempt(_) => (CONFLICT, "wrong-attempt", read),
            SettlementRefusal::NotNow(_) => (CONFLICT, "settlement-state", read),
            SettlementRefusal::Text(_) => (INVALID, "invalid-request", "correct the text"),
            SettlementRefusal::NothingMoved => {
                (INVALID, "nothing-paid", "report the attempt as failed, or what arrived")
            }
            SettlementRefusal::WrongAsset => {
                (INVALID, "wrong-asset", "report the movement in the asset that is due")
            }
        };
        Self::new(status, kind, refusal.to_string(), action)
    }
}
