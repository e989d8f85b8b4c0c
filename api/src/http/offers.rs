//! What owners ask.

use axum::extract::State;
use domain::{
    account::Role,
    device::{Device as Ledger, DeviceCommand},
    id::DeviceId,
    offer::Offer,
};

use super::{
    answer::{Answer, IfMatch, execute},
    auth::DeviceKeeper,
    devices::{Device, authorise, show},
    extract::{Json, Path},
    schema,
};
use crate::{app::App, error::Problem};

/// Puts a device on the market, or changes what is asked. Running rentals keep their terms.
#[utoipa::path(put, path = "/v1/devices/{device}/offer", tag = "devices", params(("device" = Uuid, Path)),
    security(("token" = ["owner", "operator"])), request_body = schema::Offer,
    responses((status = 200, description = "The device", body = Device)))]
pub async fn publish_offer(
    State(app): State<App>,
    caller: DeviceKeeper,
    Path(device): Path<DeviceId>,
    condition: IfMatch,
    Json(offer): Json<Offer>,
) -> Result<Answer<Device>, Problem> {
    authorise(&app, &caller, device, &[Role::Operator]).await?;
    let command = DeviceCommand::PublishOffer { offer };
    let done = execute::<Ledger>(&app, &device, command, &caller.by(), condition).await?;
    show(&app, device, done.position).await
}

/// Takes a device off the market. A running rental goes on but cannot be extended.
#[utoipa::path(delete, path = "/v1/devices/{device}/offer", tag = "devices", params(("device" = Uuid, Path)),
    security(("token" = ["owner", "operator"])),
    responses((status = 200, description = "The device", body = Device)))]
pub async fn withdraw_offer(
    State(app): State<App>,
    caller: DeviceKeeper,
    Path(device): Path<DeviceId>,
    condition: IfMatch,
) -> Result<Answer<Device>, Problem> {
    authorise(&app, &caller, device, &[Role::Operator]).await?;
    let done =
        execute::<Ledger>(&app, &device, DeviceCommand::WithdrawOffer, &caller.by(), condition).await?;
    show(&app, device, done.position).await
}
