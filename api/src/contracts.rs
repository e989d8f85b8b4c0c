//! Contracts: quotes, early ends, extensions, credentials, what becomes of the data.
//!
//! # Correctness
//! The outages that shape an amount are looked up in the device's stream and go into the command, so the ending event
//! records them; a quote and the end that follows it use the same code.

use domain::{
    contract::{Contract, ContractCommand, ContractRefusal, Ended, Rental, Segment, Verdict},
    device::Device,
    id::{CommandId, ContractId, DeviceId, Epoch, ExtensionId, OrderKey, Subdomain},
    money::{Asset, Money},
    offer::Offer,
    policy::EndedBy,
    prorate::Split,
    time::{Interval, Seconds, Time},
};

use crate::{
    app::App,
    devices,
    error::Problem,
    execute::{By, Done, ExecuteError},
};

/// One segment's share of a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotedRefund {
    /// The segment, from 0.
    pub segment: u32,
    /// The order that paid it.
    pub order: OrderKey,
    /// What would go back to it.
    pub amount: Money,
}

/// What would become of the money if the rental ended now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The instant it is for.
    pub at: Time,
    /// Until when an end at that instant can be asked for.
    pub stands_until: Time,
    /// What would go back, by segment.
    pub refunds: Vec<QuotedRefund>,
    /// All that would go back.
    pub total: Money,
    /// What the owner would get.
    pub owner: Money,
    /// What the operator would get.
    pub fee: Money,
}

/// How a renter reaches the device.
#[derive(Clone)]
pub struct Credentials {
    /// The gateway's host.
    pub host: String,
    /// The leased port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// The leased subdomain.
    pub subdomain: Subdomain,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

async fn rental(app: &App, contract: ContractId) -> Result<Rental, Problem> {
    let state = app.executor.load::<Contract>(&contract).await?.state;
    state.rental().cloned().ok_or_else(|| ContractRefusal::Unknown.into())
}

/// When the device of a running rental was offline.
///
/// # Errors
/// When the log cannot be used.
pub async fn outages(app: &App, rental: &Rental) -> Result<Vec<Interval>, Problem> {
    let started = &rental.started;
    let device = app.executor.load::<Device>(&started.device).await?.state;
    Ok(device.outages(started.epoch, app.clock.time()))
}

/// What a term costs by an offer: exactly this must be paid.
///
/// # Errors
/// When the term is outside the offer's limits, or dearer than the asset can hold.
pub fn price(offer: &Offer, term_s: Seconds) -> Result<Money, ContractRefusal> {
    offer
        .price(term_s)
        .ok_or(ContractRefusal::TermOutOfRange { min_term_s: offer.min_term_s, max_term_s: offer.max_term_s })
}

/// What would become of the money if the rental ended now.
///
/// # Errors
/// When there is no such rental or it is over.
pub async fn quote(app: &App, contract: ContractId, by: EndedBy) -> Result<Quote, Problem> {
    let rental = rental(app, contract).await?;
    let at = app.clock.time();
    if !rental.runs(at) {
        return Err(ContractRefusal::Over.into());
    }
    let ended = Ended { by, at, offline: outages(app, &rental).await? };
    let splits = rental.splits(&ended);
    let asset = rental.started.paid.asset();
    let sum = |part: fn(&Split) -> i128| money(splits.iter().map(part).sum(), asset);
    // What was decided before goes back, or stays, whatever the end is.
    let back = |(segment, split): (&Segment, &Split)| match segment.verdict {
        Verdict::Pending => split.refund,
        _ => 0,
    };
    let refunds = rental.segments.iter().zip(&splits).zip(0..).map(|((segment, split), i)| {
        let amount = money(back((segment, split)), asset)?;
        Ok(QuotedRefund { segment: i, order: segment.order.clone(), amount })
    });
    Ok(Quote {
        at,
        stands_until: at.plus(rental.started.policy.quote_valid_s),
        refunds: refunds.collect::<Result<_, Problem>>()?,
        total: money(rental.segments.iter().zip(&splits).map(back).sum(), asset)?,
        owner: sum(|s| s.owner)?,
        fee: sum(|s| s.fee)?,
    })
}

fn money(minor: i128, asset: Asset) -> Result<Money, Problem> {
    Money::from_minor(minor, asset).map_err(|e| Problem::internal(&e))
}

/// Ends a rental early, at a quote's instant when one is given.
///
/// # Errors
/// When there is no such rental, it is over, or the quote no longer stands.
pub async fn terminate(
    app: &App,
    contract: ContractId,
    by: EndedBy,
    quoted_at: Option<Time>,
    command: &By,
) -> Result<Done<Contract>, Problem> {
    let offline = outages(app, &rental(app, contract).await?).await?;
    let terminate = ContractCommand::Terminate { by, quoted_at, offline };
    Ok(app.executor.execute(&contract, terminate, command).await?)
}

/// Ends a lease that nobody may rent any more: closes its offer, or terminates the rental that was faster. A rental whose
/// time is over is left to its expiry.
///
/// # Errors
/// When the log cannot be used.
pub async fn close_offer(
    app: &App,
    device: DeviceId,
    epoch: Epoch,
    by: EndedBy,
    command: &By,
) -> Result<(), Problem> {
    let contract = ContractId::of(device, epoch);
    let close = ContractCommand::CloseOffer { device, epoch };
    match app.executor.execute::<Contract>(&contract, close, command).await {
        Err(ExecuteError::Refused(ContractRefusal::Let)) => {}
        other => return Ok(other.map(|_| ())?),
    }
    let offline = outages(app, &rental(app, contract).await?).await?;
    let terminate = ContractCommand::Terminate { by, quoted_at: None, offline };
    match app.executor.execute::<Contract>(&contract, terminate, command).await {
        Err(ExecuteError::Refused(ContractRefusal::Over)) => Ok(()),
        other => Ok(other.map(|_| ())?),
    }
}

/// Ends a rental whose time is over.
///
/// # Errors
/// When there is no such rental or it still runs.
pub async fn expire(app: &App, contract: ContractId, command: &By) -> Result<Done<Contract>, Problem> {
    let offline = outages(app, &rental(app, contract).await?).await?;
    Ok(app.executor.execute(&contract, ContractCommand::Expire { offline }, command).await?)
}

/// Asks for more time; the same command is the same request.
///
/// # Errors
/// When the rental is over, another request waits, the term is out of range or the owner offers it no longer.
pub async fn request_extension(
    app: &App,
    contract: ContractId,
    term_s: Seconds,
    by: &By,
) -> Result<Done<Contract>, Problem> {
    let rental = rental(app, contract).await?;
    let device = app.executor.load::<Device>(&rental.started.device).await?.state;
    let (extension, valid_s) = (ExtensionId::of(contract, by.command), app.config.extension_valid_s);
    let offered = device.offer().is_some();
    let command = ContractCommand::RequestExtension { extension, term_s, valid_s, offered };
    Ok(app.executor.execute(&contract, command, by).await?)
}

/// Lets the device keep the server's half of the volume key, or not.
///
/// # Errors
/// When there is no such rental or it is over.
pub async fn choose_offline_resume(
    app: &App,
    contract: ContractId,
    allowed: bool,
    by: &By,
) -> Result<Done<Contract>, Problem> {
    Ok(app.executor.execute(&contract, ContractCommand::ChooseOfflineResume { allowed }, by).await?)
}

/// Gives up any appeal against the rental's end, so that the data is gone at once. A rental whose time is over need not
/// wait for its expiry.
///
/// # Errors
/// When there is no such rental or it still runs.
pub async fn ask_erasure(app: &App, contract: ContractId, by: &By) -> Result<Done<Contract>, Problem> {
    let rental = rental(app, contract).await?;
    if rental.ended.is_none() && !rental.runs(app.clock.time()) {
        let expiry = By { command: CommandId(app.fresh_id()), ..by.clone() };
        expire(app, contract, &expiry).await?;
    }
    Ok(app.executor.execute(&contract, ContractCommand::AskErasure, by).await?)
}

/// How the renter reaches the device, while the rental runs.
///
/// # Errors
/// When there is no such rental or the private store fails.
pub async fn credentials(app: &App, contract: ContractId) -> Result<Option<Credentials>, Problem> {
    let rental = rental(app, contract).await?;
    let started = &rental.started;
    let device = app.executor.load::<Device>(&started.device).await?.state;
    let lease =
        device.live_lease().filter(|lease| lease.epoch == started.epoch && rental.runs(app.clock.time()));
    let Some(lease) = lease else { return Ok(None) };
    let login = devices::login(app, started.device, started.epoch).await?;
    Ok(login.map(|login| Credentials {
        host: app.gateways.host(Some(&lease.gateway), &app.config.gateway),
        port: lease.port,
        user: login.user,
        password: login.password,
        subdomain: lease.subdomain.clone(),
    }))
}
