//! Looks up what a letter says, at the moment in which it is sent.
//!
//! # Correctness
//! What is no longer so is not said: no login of a rental that is over, no reminder of an end that has moved.

use anyhow::Context;
use domain::{
    any::AnyEvent,
    contract::{Contract, Rental, Verdict},
    device::{Device, DeviceEvent},
    event::Position,
    id::{ContractId, SettlementId},
    money::Money,
    settlement::{Settlement, SettlementKind, Status},
    wire::Receipt,
};

use super::{
    Letter,
    letters::{
        ConfirmAddress, Credentials, Ended, Erased, Extended, Login, Part, Reminder, ResetPassword, Settled,
        Text,
    },
};
use crate::{app::App, config::mail, contracts, http::history};

/// A letter in words; none when there is nothing to say any more.
pub(super) async fn compose(app: &App, letter: Letter, name: Option<&str>) -> anyhow::Result<Option<Text>> {
    Ok(match letter {
        Letter::Credentials { contract } => credentials(app, contract, name).await?,
        Letter::Reminder { contract, end } => {
            let rental = rental(app, contract).await?;
            let rental = rental.filter(|rental| rental.runs(app.clock.time()) && rental.until() == end);
            rental.map(|rental| {
                Reminder { title: &rental.started.offer.title, end, page: page(app, contract) }.text(name)
            })
        }
        Letter::Extended { contract, extension } => rental(app, contract).await?.and_then(|rental| {
            let segment = rental.segments.iter().find(|segment| segment.extension == Some(extension))?;
            let letter = Extended {
                title: &rental.started.offer.title,
                from: segment.term.start,
                until: segment.term.end,
                paid: segment.paid,
                order: segment.order.to_string(),
                page: page(app, contract),
            };
            Some(letter.text(name))
        }),
        Letter::Ended { contract } => {
            rental(app, contract).await?.and_then(|rental| ended(app, contract, &rental, name))
        }
        Letter::Erased { position } => erased(app, position, name).await?,
        Letter::Settled { settlement } => settled(app, settlement, name).await?,
        Letter::ConfirmAddress { token } => {
            Some(ConfirmAddress { page: link(app, &format!("confirm/{token}")) }.text(name))
        }
        Letter::ResetPassword { token } => {
            Some(ResetPassword { page: link(app, &format!("reset/{token}")) }.text(name))
        }
    })
}

fn link(app: &App, path: &str) -> String {
    format!("{}/{path}", app.base())
}

fn page(app: &App, contract: ContractId) -> String {
    link(app, &format!("rentals/{contract}"))
}

async fn rental(app: &App, contract: ContractId) -> anyhow::Result<Option<Rental>> {
    Ok(app.executor.load::<Contract>(&contract).await?.state.rental().cloned())
}

async fn credentials(app: &App, contract: ContractId, name: Option<&str>) -> anyhow::Result<Option<Text>> {
    let Some(rental) = rental(app, contract).await? else { return Ok(None) };
    let started = &rental.started;
    let device = app.executor.load::<Device>(&started.device).await?.state;
    let lease = device.live_lease().filter(|lease| lease.epoch == started.epoch);
    let Some(lease) = lease.filter(|_| rental.runs(app.clock.time())) else { return Ok(None) };
    let login = match app.config.mail.credentials {
        mail::Credentials::Link => None,
        mail::Credentials::Mail => {
            let Some(login) = contracts::credentials(app, contract).await? else { return Ok(None) };
            let domain = app.gateways.domain(Some(&lease.gateway), &app.config.gateway);
            let contracts::Credentials { host, port, user, password, subdomain } = login;
            Some(Login { host, port, user, password, name: format!("{subdomain}.{domain}") })
        }
    };
    let (until, page) = (rental.until(), page(app, contract));
    let title = &started.offer.title;
    Ok(Some(Credentials { title, contract: contract.to_string(), until, page, login }.text(name)))
}

fn ended(app: &App, contract: ContractId, rental: &Rental, name: Option<&str>) -> Option<Text> {
    let (ended, split) = (rental.ended.as_ref()?, history::split(rental)?);
    let parts = rental.segments.iter().zip(rental.splits(ended)).map(|(segment, split)| Part {
        order: segment.order.to_string(),
        paid: segment.paid,
        back: match segment.verdict {
            Verdict::Disputed { .. } => None,
            _ => Money::from_minor(split.refund, segment.paid.asset()).ok(),
        },
    });
    let paid = rental.segments.iter().map(|segment| segment.paid.minor()).sum();
    let letter = Ended {
        title: &rental.started.offer.title,
        by: ended.by,
        at: ended.at,
        parts: parts.collect(),
        paid: Money::from_minor(paid, rental.started.paid.asset()).ok()?,
        refund: split.refund,
        owner: split.owner,
        fee: split.fee,
        page: page(app, contract),
    };
    Some(letter.text(name))
}

async fn erased(app: &App, position: Position, name: Option<&str>) -> anyhow::Result<Option<Text>> {
    let page_of = app.executor.log().read_all(position, 1).await?;
    let recorded = page_of.first().context("the receipt's event is missing")?;
    let AnyEvent::Device(DeviceEvent::EpochErased(event)) = AnyEvent::of(recorded)? else { return Ok(None) };
    let contract = ContractId::of(recorded.stream.key().parse()?, event.epoch);
    let Some(rental) = rental(app, contract).await? else { return Ok(None) };
    // It was verified before it was recorded.
    let receipt: Receipt = serde_json::from_str(&event.receipt.0.payload).context("the receipt")?;
    let (title, page) = (rental.started.offer.title.as_str(), page(app, contract));
    Ok(Some(Erased { title, receipt: &receipt, page }.text(name)))
}

async fn settled(app: &App, settlement: SettlementId, name: Option<&str>) -> anyhow::Result<Option<Text>> {
    let state = app.executor.load::<Settlement>(&settlement).await?.state;
    let (Some(due), Status::Settled(movement)) = (state.due(), state.status()) else { return Ok(None) };
    let page = match (due.kind, due.contract) {
        (SettlementKind::Refund, Some(contract)) => page(app, contract),
        (SettlementKind::Refund, None) => link(app, ""),
        _ => link(app, "earnings"),
    };
    let letter = Settled {
        kind: due.kind,
        moved: movement.moved,
        due: due.amount,
        network_fee: movement.network_fee,
        reference: movement.reference.clone(),
        order: due.order.to_string(),
        page,
    };
    Ok(Some(letter.text(name)))
}
