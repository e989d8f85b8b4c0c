//! What is done to one device: a name, a new owner, the end of its service.

use axum::{extract::State, response::Response};
use domain::{
    account::Role,
    id::{AccountId, DeviceId},
};
use serde::Deserialize;

use super::{
    super::{failure::Failure, form::Form, page::done, visit::Member},
    device::{Again, again},
    kept,
};
use crate::{
    app::App,
    devices,
    error::Problem,
    http::{answer::changing, extract::Path},
};

/// A name.
#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    name: String,
}

/// Renames a device.
pub(super) async fn rename(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    Form { fields: Named { name }, .. }: Form<Named>,
) -> Result<Response, Failure> {
    kept(&app, &member, device).await?;
    let renamed = {
        let _alone = changing(&app).await?;
        devices::rename(&app, device, name.trim()).await
    };
    match renamed {
        Ok(()) => Ok(done(&format!("/devices/{device}"), "renamed")),
        Err(problem) => {
            again(&app, &member, device, problem, |wrong| Again {
                name: Some((name, wrong)),
                ..Again::default()
            })
            .await
        }
    }
}

/// Whether somebody is sure.
#[derive(Deserialize)]
pub(super) struct Sure {
    #[serde(default)]
    sure: String,
}

/// Takes a device out of service.
pub(super) async fn retire(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    Form { fields: Sure { sure }, id }: Form<Sure>,
) -> Result<Response, Failure> {
    kept(&app, &member, device).await?;
    let retired = match sure.as_str() {
        "yes" => devices::retire(&app, device, None, &member.by_form(id)).await,
        _ => Err(Problem::invalid("tick the box that says you are sure")),
    };
    match retired {
        Ok(retired) => {
            app.follow_up(retired.position).await;
            Ok(done(&format!("/devices/{device}"), "retired"))
        }
        Err(problem) => {
            again(&app, &member, device, problem, |wrong| Again { retire: Some(wrong), ..Again::default() })
                .await
        }
    }
}

/// An account's number.
#[derive(Deserialize)]
pub(super) struct Whose {
    #[serde(default)]
    to: String,
}

/// Gives a device to another owner.
pub(super) async fn transfer(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    Form { fields: Whose { to }, id }: Form<Whose>,
) -> Result<Response, Failure> {
    kept(&app, &member, device).await?;
    let transferred = match to.trim().parse::<AccountId>() {
        Ok(account) => devices::transfer(&app, device, account, None, &member.by_form(id)).await,
        Err(_) => {
            Err(Problem::invalid("this is no account's number: it stands on the new owner's account page"))
        }
    };
    match transferred {
        Ok(transferred) => {
            app.catch_up(transferred.position).await;
            let still_seen = member.is_any(&[Role::Operator, Role::Auditor]);
            let to = if still_seen { format!("/devices/{device}") } else { "/devices".into() };
            Ok(done(&to, "transferred"))
        }
        Err(problem) => {
            again(&app, &member, device, problem, |wrong| Again { to: Some((to, wrong)), ..Again::default() })
                .await
        }
    }
}
