//! Who asks, and what they may.
//!
//! # Correctness
//! A token gives no more than its account has at this moment: the roles are read from the ledger at every request, so a
//! role that was revoked is gone at once. A device's key is looked up in a view and believed only if the ledger agrees.
//! What belongs to somebody else is answered like what does not exist.

use std::ops::Deref;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use domain::{
    account::{Account, Role},
    device::Device,
    event::Actor,
    id::{AccountId, CommandId, CorrelationId, DeviceId},
    key::Digest,
};

use super::frame::RequestId;
use crate::{app::App, error::Problem, execute::By};

/// The longest token or key, in bytes.
const MAX_SECRET: usize = 200;

/// An account that was recognised by its token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// What it may do with this token now.
    pub roles: Vec<Role>,
    /// The id of the command that this request is.
    pub command: CommandId,
    /// The request's id.
    pub request: CorrelationId,
}

/// The command id that a request's Idempotency-Key stands for.
#[derive(Debug, Clone, Copy)]
pub struct ClaimedCommand(pub CommandId);

impl Caller {
    /// Whether it may act in a role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether it may act in one of these roles.
    #[must_use]
    pub fn is_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.is(*role))
    }

    /// Lets only these roles through.
    ///
    /// # Errors
    /// 403 for all others.
    pub fn require(&self, roles: &[Role]) -> Result<(), Problem> {
        let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        let missing = || Problem::forbidden(format!("this needs the role {}", names.join(" or ")));
        if self.is_any(roles) { Ok(()) } else { Err(missing()) }
    }

    /// Lets through whoever something belongs to, and these roles.
    ///
    /// # Errors
    /// 404 for all others: they cannot tell it from what does not exist.
    pub fn owns_or(&self, owner: AccountId, roles: &[Role], what: &str) -> Result<(), Problem> {
        let ok = self.account == owner || self.is_any(roles);
        if ok { Ok(()) } else { Err(Problem::not_found(what)) }
    }

    /// As whom its commands are carried out.
    #[must_use]
    pub fn by(&self) -> By {
        By {
            actor: Actor::Account(self.account),
            on_behalf_of: None,
            command: self.command,
            causation: None,
            correlation: self.request,
        }
    }
}

/// Recognises the account behind a token and what it may do with it now.
///
/// # Errors
/// 401 when there is none or it does not work.
pub async fn recognise(app: &App, headers: &HeaderMap) -> Result<(AccountId, Vec<Role>), Problem> {
    let hash = bearer(headers)?;
    let holder = app.private.token_holder(hash, app.clock.time()).await?;
    let unknown = || Problem::unauthenticated("the token is unknown, expired or revoked");
    let holder = holder.ok_or_else(unknown)?;
    let account = app.executor.load::<Account>(&holder.account).await?.state;
    let roles = account.roles().into_iter().filter(|role| holder.roles.contains(role)).collect();
    Ok((holder.account, roles))
}

/// SHA-256 of the bearer secret.
fn bearer(headers: &HeaderMap) -> Result<Digest, Problem> {
    let value = headers.get(header::AUTHORIZATION);
    let value = value.ok_or_else(|| Problem::unauthenticated("there is no Authorization header"))?;
    let secret = value.to_str().ok().and_then(|value| value.split_once(' '));
    let secret =
        secret.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, secret)| secret.trim());
    let known_form = secret.filter(|secret| (1..=MAX_SECRET).contains(&secret.len()));
    let secret = known_form
        .ok_or_else(|| Problem::unauthenticated("the Authorization header is not `Bearer <token>`"))?;
    Ok(Digest::of(secret.as_bytes()))
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (account, roles) = recognise(app, &parts.headers).await?;
        let claimed = parts.extensions.get::<ClaimedCommand>().map(|claimed| claimed.0);
        let command = claimed.unwrap_or_else(|| CommandId(app.fresh_id()));
        Ok(Self { account, roles, command, request: request_id(parts, app) })
    }
}

fn request_id(parts: &Parts, app: &App) -> CorrelationId {
    parts.extensions.get::<RequestId>().map_or_else(|| CorrelationId(app.fresh_id()), |id| id.0)
}

/// Declares callers that are let in by role before the rest of a request is read.
macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident = $($role:ident)|+;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub Caller);

        impl $name {
            /// Whether one of these roles is let in.
            #[must_use]
            pub fn lets_in(roles: &[Role]) -> bool {
                [$(Role::$role),+].iter().any(|role| roles.contains(role))
            }
        }

        impl Deref for $name {
            type Target = Caller;
            fn deref(&self) -> &Caller {
                &self.0
            }
        }

        impl FromRequestParts<App> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
                let caller = Caller::from_request_parts(parts, app).await?;
                caller.require(&[$(Role::$role),+])?;
                Ok(Self(caller))
            }
        }
    )*};
}

callers! {
    /// An owner.
    Owner = Owner;
    /// Whoever may change devices.
    DeviceKeeper = Owner | Operator;
    /// Whoever may see devices.
    DeviceReader = Owner | Operator | Auditor;
    /// A renter.
    Renter = Renter;
    /// Whoever may see contracts.
    ContractReader = Owner | Renter | Operator | Auditor;
    /// Whoever may end contracts.
    ContractEnder = Owner | Renter | Operator;
    /// An integration that brings orders.
    Marketplace = Marketplace;
    /// Whoever may see orders.
    OrderReader = Marketplace | Operator | Auditor;
    /// Whoever may see money leave escrow.
    MoneyReader = Owner | Renter | Marketplace | Operator | Auditor;
    /// Whoever may report that money left escrow.
    MoneyMover = Marketplace | Operator;
    /// Whoever may let a segment's money wait for a decision.
    Disputant = Owner | Renter | Marketplace | Operator;
    /// Whoever may decide a dispute.
    Arbiter = Marketplace | Operator;
    /// Whoever may see payouts that wait.
    PurseReader = Owner | Operator | Auditor;
    /// Whoever may release payouts that wait.
    PurseKeeper = Owner | Operator;
    /// Whoever may open accounts.
    Opener = Marketplace | Operator;
    /// Whoever may see everything.
    Auditor = Operator | Auditor;
    /// An operator.
    Operator = Operator;
}

/// A device that was recognised by its enrolment key.
#[derive(Debug, Clone, Copy)]
pub struct DeviceCaller {
    /// The device.
    pub device: DeviceId,
    /// The request's id.
    pub request: CorrelationId,
    /// The id of the command that this request is.
    pub command: CommandId,
}

impl DeviceCaller {
    /// As whom its commands are carried out.
    #[must_use]
    pub const fn by(&self) -> By {
        By {
            actor: Actor::Device(self.device),
            on_behalf_of: None,
            command: self.command,
            causation: None,
            correlation: self.request,
        }
    }
}

fn unknown_key() -> Problem {
    let detail = "the enrolment key is unknown or was replaced";
    let action = "copy the key that the owner was shown last into agent.json, or ask the owner for a new one";
    Problem::new(StatusCode::UNAUTHORIZED, "enrolment-key-unknown", detail, action)
}

/// The device whose enrolment key this is, by the ledger.
async fn device_by_key(app: &App, key: Digest) -> Result<Option<DeviceId>, Problem> {
    let has = async |device: DeviceId| {
        let state = app.executor.load::<Device>(&device).await?.state;
        Ok::<_, Problem>(state.enrolment_key() == Some(key))
    };
    if let Some(known) = app.known_device(key)
        && has(known).await?
    {
        return Ok(Some(known));
    }
    let Some(row) = app.views.device_by_key(key).await? else { return Ok(None) };
    if !has(row.device).await? {
        return Ok(None);
    }
    app.remember_device(key, row.device);
    Ok(Some(row.device))
}

impl FromRequestParts<App> for DeviceCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let key = bearer(&parts.headers)?;
        let device = device_by_key(app, key).await?.ok_or_else(unknown_key)?;
        let command = CommandId(app.fresh_id());
        Ok(Self { device, request: request_id(parts, app), command })
    }
}

/// A gateway in a process of its own, recognised by the token of the data folder.
#[derive(Debug, Clone, Copy)]
pub struct GatewayCaller;

impl FromRequestParts<App> for GatewayCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let unknown = || Problem::unauthenticated("this is not the token of this server's gateways");
        // Digests are compared: how long that takes says nothing about the token.
        if bearer(&parts.headers)? == app.gateway_token { Ok(Self) } else { Err(unknown()) }
    }
}
