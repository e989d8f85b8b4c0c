//! One rental, for those who are part of it and those who watch.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{
    contract::Rental,
    id::{ContractId, ExtensionId},
    policy::EndedBy,
    settlement::SettlementKind,
    time::{Interval, Time},
};
use projections::views::{
    Page,
    contracts::{ContractStatus, SegmentVerdict},
    settlements::{SettlementFilter, SettlementRow, SettlementStatus},
};

use super::{
    receipt::{Erasure, result},
    seen,
};
use crate::{
    app::App,
    contracts,
    error::Problem,
    http::{contracts::Contract, data::KeyState, extract::Path},
    openbazaar::Slug,
    pages::{
        failure::Failure,
        page::{Shell, page},
        show::filters,
        visit::{Member, Visit},
    },
};

/// Settlements that are shown.
const MAX_SETTLEMENTS: usize = 25;
/// Outages that are shown, the latest.
const MAX_OUTAGES: usize = 20;

/// A rental.
#[derive(Template)]
#[template(path = "rentals/show.html")]
pub struct RentalPage {
    /// What is around it.
    pub shell: Shell,
    /// The rental, as the API shows it.
    pub contract: Contract,
    /// As whom the visitor is part of it; auditors are not.
    pub as_whom: Option<EndedBy>,
    /// Now.
    pub now: Time,
    /// Where more time is paid, when it waits for that.
    pub pay: Option<Pay>,
    /// When the device was offline, the latest last; at most the latest 20.
    pub outages: Vec<Interval>,
    /// Seconds that it was offline in all.
    pub offline_s: i64,
    /// Money on its way out of escrow, the newest first.
    pub settlements: Vec<SettlementRow>,
    /// How the data was erased.
    pub erasure: Option<Erasure>,
    /// Whether the renter asked for the data to be gone at once.
    pub erasure_asked: bool,
}

/// Where more time is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pay {
    /// The marketplace that sold the rental: more time is paid there.
    pub marketplace: String,
    /// The name of the listing in the OpenBazaar store, if that is where.
    pub slug: Option<String>,
    /// Whether a demo's coins pay.
    pub till: bool,
}

impl Pay {
    fn of(app: &App, contract: &Contract, rental: &Rental, visit: &Visit) -> Option<Self> {
        let extension = contract.extension.as_ref().filter(|extension| visit.now < extension.lapses_at)?;
        let (own, marketplace) = (&app.config.openbazaar, &rental.started.order.marketplace);
        let sold_there = own.is_set() && *marketplace == own.marketplace;
        let slug = || Slug::extension(ContractId(contract.contract), ExtensionId(extension.extension));
        let slug = sold_there.then(|| slug().to_string());
        Some(Self { marketplace: marketplace.to_string(), slug, till: visit.showcase })
    }
}

impl RentalPage {
    /// Whether the visitor is the renter.
    #[must_use]
    pub fn is_renter(&self) -> bool {
        self.as_whom == Some(EndedBy::Renter)
    }

    /// Whether it runs: not ended, and its paid time not over.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.contract.status == ContractStatus::Running && self.now < self.contract.ends_at
    }

    /// Who or what ended it, in words.
    #[must_use]
    pub fn end(&self) -> &'static str {
        match (self.contract.ended_by, self.is_renter()) {
            (None, _) if self.runs() => "it runs",
            (None, _) => "its time is over",
            (Some(EndedBy::Term), _) => "its time was over",
            (Some(EndedBy::Renter), true) => "you ended it",
            (Some(EndedBy::Renter), false) => "the renter ended it",
            (Some(EndedBy::Owner), _) => "the owner ended it",
            (Some(EndedBy::Operator), _) => "the operator ended it",
            (Some(EndedBy::DeviceLost), _) => "the device was lost",
        }
    }

    /// Whether the server still holds its half of the volume key.
    #[must_use]
    pub fn may_ask_erasure(&self) -> bool {
        let open = self.contract.key_half.state == KeyState::Held && self.contract.erased_at.is_none();
        self.is_renter() && self.contract.ended_at.is_some() && open && !self.erasure_asked
    }
}

/// How a segment's money is decided, in words.
#[must_use]
pub const fn verdict(verdict: SegmentVerdict) -> &'static str {
    match verdict {
        SegmentVerdict::Pending => "not divided yet",
        SegmentVerdict::Closed => "paid out",
        SegmentVerdict::Disputed => "disputed",
        SegmentVerdict::Decided => "decided by the moderator",
    }
}

/// What a settlement is, in words.
#[must_use]
pub const fn kind(kind: SettlementKind) -> &'static str {
    match kind {
        SettlementKind::Refund => "refund",
        SettlementKind::Payout => "payout",
        SettlementKind::Moderation => "moderation",
    }
}

/// How far a settlement is, in words.
#[must_use]
pub const fn status(status: SettlementStatus) -> &'static str {
    match status {
        SettlementStatus::Due => "due",
        SettlementStatus::Started => "on its way",
        SettlementStatus::Settled => "arrived",
        SettlementStatus::Failed => "failed; it is tried again",
        SettlementStatus::Quarantined => "in doubt; an operator looks into it",
        SettlementStatus::Withdrawn => "withheld: it is disputed",
    }
}

/// When the device was offline during the rental.
async fn outages(app: &App, rental: &Rental) -> Result<Vec<Interval>, Problem> {
    let all = match &rental.ended {
        Some(ended) => ended.offline.clone(),
        None => contracts::outages(app, rental).await?,
    };
    let (start, end) = (rental.started.segment.start, rental.until());
    let inside = |outage: Interval| Interval::new(outage.start.max(start), outage.end.min(end));
    Ok(all.into_iter().map(inside).filter(|outage| !outage.is_empty()).collect())
}

/// Shows a rental.
///
/// # Errors
/// 404 for everybody who is neither part of it nor may see everything.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Path(id): Path<ContractId>,
) -> Result<Response, Failure> {
    let (rental, as_whom) = seen(&app, &member, id).await?;
    let row = app.views.contract(id).await?.ok_or_else(|| Problem::not_found("contract"))?;
    let (device, epoch) = (row.device, row.epoch);
    let contract = Contract::new(&app, row).await?;
    // Who is part of it sees what is theirs, who watches sees all.
    let is_part = matches!(as_whom, Some(EndedBy::Renter | EndedBy::Owner));
    let recipient = is_part.then(|| member.account());
    let of = SettlementFilter { recipient, contract: Some(id), ..SettlementFilter::default() };
    let settlements = app.views.settlements(of, Page::newest(MAX_SETTLEMENTS)).await?;
    let mut outages = outages(&app, &rental).await?;
    let offline_s = outages.iter().map(|outage| outage.len()).sum();
    outages.drain(..outages.len().saturating_sub(MAX_OUTAGES));
    let erased = contract.erased_at.is_some();
    let erasure = if erased { Erasure::of(&app, id, epoch).await? } else { None };
    let title = rental.started.offer.title.clone();
    let subjects = [id.to_string(), device.to_string()];
    let subjects = subjects.into_iter().chain(settlements.iter().map(|row| row.settlement.to_string()));
    Ok(page(&RentalPage {
        shell: member.shell(title).live(subjects),
        as_whom,
        now: member.visit.now,
        pay: Pay::of(&app, &contract, &rental, &member.visit),
        contract,
        outages,
        offline_s,
        settlements,
        erasure,
        erasure_asked: rental.erasure_asked,
    }))
}
