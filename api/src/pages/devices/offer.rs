//! What is asked for a device.

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    device::{Device, DeviceCommand},
    id::DeviceId,
    money::{Asset, Money},
    offer::{MAX_TEXT, Offer},
    time::Seconds,
};
use serde::Deserialize;

use super::{
    super::{
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        show::filters,
        visit::Member,
    },
    fields::{Fields, UNITS, Wrong},
    kept,
    list::unnamed,
    seen,
};
use crate::{app::App, error::Problem, http::extract::Path};

/// The terms whose prices are shown, besides the shortest and the longest.
const SAMPLES_S: [Seconds; 5] = [3_600, 86_400, 604_800, 2_592_000, 31_536_000];

/// The offer of a device.
#[derive(Template)]
#[template(path = "devices/offer.html")]
pub struct OfferPage {
    /// What is around it.
    pub shell: Shell,
    /// The device.
    pub device: DeviceId,
    /// What its owner calls it.
    pub name: String,
    /// What is in the form.
    pub fields: Fields,
    /// What is wrong with it.
    pub wrong: Wrong,
    /// Whether it is on the market.
    pub offered: bool,
    /// What renters pay for some terms, by the offer on the market.
    pub samples: Vec<(Seconds, Money)>,
    /// Whether the visitor may change it.
    pub keeps: bool,
    /// What can be asked.
    pub assets: &'static [Asset],
    /// Units of terms.
    pub units: [(&'static str, Seconds); 6],
    /// The longest title, in bytes.
    pub max_text: usize,
}

/// What renters pay for some terms.
#[must_use]
pub fn samples(offer: &Offer) -> Vec<(Seconds, Money)> {
    let mut terms: Vec<_> = SAMPLES_S.into_iter().chain([offer.min_term_s, offer.max_term_s]).collect();
    terms.sort_unstable();
    terms.dedup();
    terms.into_iter().filter_map(|term| offer.price(term).map(|price| (term, price))).collect()
}

async fn render(
    app: &App,
    member: &Member,
    device: DeviceId,
    again: Option<(Fields, Wrong)>,
) -> Result<Response, Failure> {
    let (loaded, keeps) = seen(app, member, device).await?;
    let offer = loaded.state.offer();
    let name = app.private.device_name(device).await?.unwrap_or_else(|| unnamed(device));
    let (fields, wrong) = match again {
        Some(again) => again,
        None => (offer.map_or_else(Fields::empty, Fields::of), Wrong::default()),
    };
    Ok(page(&OfferPage {
        shell: member.shell(format!("Offer of {name}")),
        device,
        name,
        fields,
        wrong,
        offered: offer.is_some(),
        samples: offer.map(samples).unwrap_or_default(),
        keeps,
        assets: Asset::ALL,
        units: UNITS,
        max_text: MAX_TEXT,
    }))
}

/// Shows the form.
pub(super) async fn show(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
) -> Result<Response, Failure> {
    render(&app, &member, device, None).await
}

/// Puts a device on the market, or changes what is asked.
pub(super) async fn publish(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    Form { fields, id }: Form<Fields>,
) -> Result<Response, Failure> {
    kept(&app, &member, device).await?;
    let (status, wrong) = match fields.read() {
        Ok(offer) => {
            let command = DeviceCommand::PublishOffer { offer };
            match app.executor.execute::<Device>(&device, command, &member.by_form(id)).await {
                Ok(published) => {
                    app.catch_up(published.position).await;
                    return Ok(done(&format!("/devices/{device}/offer"), "offered"));
                }
                Err(refused) => {
                    let problem = Problem::from(refused);
                    let mendable = [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CONFLICT];
                    if !mendable.contains(&problem.status()) {
                        return Err(problem.into());
                    }
                    (problem.status(), Wrong::whole(problem.detail().to_owned()))
                }
            }
        }
        Err(wrong) => (StatusCode::UNPROCESSABLE_ENTITY, *wrong),
    };
    let mut response = render(&app, &member, device, Some((fields, wrong))).await?;
    *response.status_mut() = status;
    Ok(response)
}

/// No fields of its own.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// Takes a device off the market.
pub(super) async fn withdraw(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    Form { id, .. }: Form<Nothing>,
) -> Result<Response, Failure> {
    kept(&app, &member, device).await?;
    let by = member.by_form(id);
    let withdrawn = app.executor.execute::<Device>(&device, DeviceCommand::WithdrawOffer, &by).await?;
    app.catch_up(withdrawn.position).await;
    Ok(done(&format!("/devices/{device}/offer"), "withdrawn"))
}
