//! An owner's devices: the list, enrolling, one device, and what is asked for it.
//!
//! # Correctness
//! The list holds one's own devices only. A single device is open to its owner, to operators, and for reading to auditors;
//! for everybody else there is none.

pub mod change;
pub mod device;
pub mod enrol;
pub mod fields;
pub mod list;
pub mod offer;
pub mod state;

use axum::{
    Router,
    routing::{get, post},
};
use domain::{account::Role, device::Device, event::Revision, id::DeviceId};

use super::visit::Member;
use crate::{
    app::App,
    error::Problem,
    execute::Loaded,
    http::{auth::DeviceReader, devices::authorise},
};

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/devices", get(list::show))
        .route("/devices/new", get(enrol::show).post(enrol::enrol))
        .route("/devices/{device}", get(device::show))
        .route("/devices/{device}/name", post(change::rename))
        .route("/devices/{device}/enrolment-key", post(enrol::replace_key))
        .route("/devices/{device}/agent.json", post(enrol::download))
        .route("/devices/{device}/retirement", post(change::retire))
        .route("/devices/{device}/transfer", post(change::transfer))
        .route("/devices/{device}/offer", get(offer::show).post(offer::publish))
        .route("/devices/{device}/offer/withdrawal", post(offer::withdraw))
}

/// What everybody needs who looks at devices or earnings.
///
/// # Errors
/// 403 for all others.
pub fn require_reader(member: &Member) -> Result<(), Problem> {
    let allowed = DeviceReader::lets_in(&member.roles);
    if allowed { Ok(()) } else { Err(Problem::forbidden("this needs the role owner, operator or auditor")) }
}

/// A device that the member may change.
///
/// # Errors
/// 403 and 404 for all others.
async fn kept(app: &App, member: &Member, device: DeviceId) -> Result<Option<Revision>, Problem> {
    require_reader(member)?;
    let revision = authorise(app, member, device, &[Role::Operator, Role::Auditor]).await?;
    member.require(&[Role::Owner, Role::Operator])?;
    authorise(app, member, device, &[Role::Operator]).await.map(|_| revision)
}

/// A device that the member may see, as the ledger has it, and whether he may change it.
///
/// # Errors
/// 403 and 404 for all others.
async fn seen(app: &App, member: &Member, device: DeviceId) -> Result<(Loaded<Device>, bool), Problem> {
    require_reader(member)?;
    authorise(app, member, device, &[Role::Operator, Role::Auditor]).await?;
    let loaded = app.executor.load::<Device>(&device).await?;
    let owns = member.is(Role::Owner) && loaded.state.owner() == Some(member.account());
    Ok((loaded, owns || member.is(Role::Operator)))
}
