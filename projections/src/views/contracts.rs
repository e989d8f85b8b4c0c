//! Rentals, each with its paid segments, running or over.

use domain::{
    any::AnyEvent,
    contract::{ContractEvent, RentalStarted},
    device::{DeviceEvent, KeyEnd},
    event::{Position, Revision},
    id::{AccountId, ContractId, DeviceId, Epoch, ExtensionId, OrderKey},
    key::Digest,
    money::Money,
    offer::Offer,
    policy::{EndedBy, Policy},
    time::{Interval, Seconds, Time},
};
use serde::{Deserialize, Serialize};

use super::{
    Envelope, Page, View, ViewError, Views,
    read::{Filter, limit},
};
use crate::rows::{
    Rows,
    column::{json, word},
    row,
};

/// How far a rental is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContractStatus {
    /// It has not ended.
    Running,
    /// It served its term.
    Expired,
    /// It ended early.
    Terminated,
}
word!(ContractStatus);
word!(KeyEnd);

/// Time that one order paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRow {
    /// First second inside.
    pub start: Time,
    /// First second outside.
    pub end: Time,
    /// What was received for it.
    pub paid: Money,
    /// The order.
    pub order: OrderKey,
    /// What goes back of it.
    pub refunded: Money,
    /// How its money is decided.
    pub verdict: SegmentVerdict,
    /// What the owner gets for it, if it was closed before the rental's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payout: Option<Money>,
    /// The operator's share of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Money>,
}

/// How a segment's money is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentVerdict {
    /// By the rental's end.
    Pending,
    /// It is paid out.
    Closed,
    /// It is disputed and waits for a decision.
    Disputed,
    /// A dispute was decided.
    Decided,
}

impl SegmentRow {
    fn new(term: Interval, paid: Money, order: &OrderKey) -> Self {
        Self {
            start: term.start,
            end: term.end,
            paid,
            order: order.clone(),
            refunded: Money::zero(paid.asset()),
            verdict: SegmentVerdict::Pending,
            payout: None,
            fee: None,
        }
    }
}

/// A request for more time that waits to be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingExtension {
    /// The request.
    pub extension: ExtensionId,
    /// Seconds wanted.
    pub term_s: Seconds,
    /// What they cost.
    pub price: Money,
    /// Last moment to pay.
    pub lapses_at: Time,
}
json!(Vec<SegmentRow>, PendingExtension);

row! {
    /// A rental.
    ContractRow in "contracts" by (
        /// Which.
        contract: ContractId,
    ) {
        /// The event that started it; lists are in this order.
        position: Position,
        /// The contract stream's last revision: its ETag.
        revision: Revision,
        /// The last event that changed the row.
        updated: Position,
        /// The device.
        device: DeviceId,
        /// Its lease.
        epoch: Epoch,
        /// Who is paid.
        owner: AccountId,
        /// Who rents.
        renter: AccountId,
        /// How far it is.
        status: ContractStatus,
        /// Who or what ended it.
        ended_by: Option<EndedBy>,
        /// What was paid for, in order of time.
        segments: Vec<SegmentRow>,
        /// When it started.
        starts_at: Time,
        /// The end of the paid time.
        ends_at: Time,
        /// When it ended.
        ended_at: Option<Time>,
        /// All that was received.
        paid: Money,
        /// All that goes back.
        refunded: Money,
        /// What the owner gets, once that is decided.
        payout: Option<Money>,
        /// What the operator keeps, once that is decided.
        fee: Option<Money>,
        /// What whoever decided disputes gets.
        moderation: Money,
        /// When the money of a served segment may be decided, while a long rental runs.
        segment_due_at: Option<Time>,
        /// The request that waits to be paid.
        extension: Option<PendingExtension>,
        /// The order that started it.
        started_by: OrderKey,
        /// What was offered.
        offer: Offer,
        /// The rules in force.
        policy: Policy,
        /// Whether the device may keep the server's half of the volume key.
        offline_resume: bool,
        /// When the device's erasure receipt arrived.
        erased_at: Option<Time>,
        /// When the server's half of the volume key was destroyed.
        key_destroyed_at: Option<Time>,
        /// Why it was.
        key_end: Option<KeyEnd>,
        /// What it was.
        key_commitment: Option<Digest>,
    }
}

/// The sum of two amounts of one contract; they share an asset and stay in range, because each part was received.
fn sum(a: Money, b: Money) -> Money {
    a.plus(b).unwrap_or(a)
}

impl ContractRow {
    /// When the owner's payout may be issued, once it has ended.
    #[must_use]
    pub fn payout_due_at(&self) -> Option<Time> {
        self.ended_at.map(|at| at.plus(self.policy.payout_delay_s))
    }

    fn new(contract: ContractId, e: &RentalStarted, event: &Envelope<'_>) -> Self {
        let Interval { start, end } = e.segment;
        Self {
            contract,
            position: event.recorded.position,
            revision: event.recorded.revision,
            updated: event.recorded.position,
            device: e.device,
            epoch: e.epoch,
            owner: e.owner,
            renter: e.renter,
            status: ContractStatus::Running,
            ended_by: None,
            segments: vec![SegmentRow::new(e.segment, e.paid, &e.order)],
            starts_at: start,
            ends_at: end,
            ended_at: None,
            paid: e.paid,
            refunded: Money::zero(e.paid.asset()),
            payout: None,
            fee: None,
            moderation: Money::zero(e.paid.asset()),
            segment_due_at: None,
            extension: None,
            started_by: e.order.clone(),
            offer: e.offer.clone(),
            policy: e.policy.clone(),
            offline_resume: false,
            erased_at: None,
            key_destroyed_at: None,
            key_end: None,
            key_commitment: None,
        }
    }

    fn apply(&mut self, event: &ContractEvent) {
        match event {
            ContractEvent::RentalStarted(_)
            | ContractEvent::OfferClosed(_)
            | ContractEvent::ErasureAsked(_) => {}
            ContractEvent::OfflineResumeChosen(e) => self.offline_resume = e.allowed,
            ContractEvent::ExtensionRequested(e) => {
                self.extension = Some(PendingExtension {
                    extension: e.extension,
                    term_s: e.term_s,
                    price: e.price,
                    lapses_at: e.lapses_at,
                });
            }
            ContractEvent::ExtensionLapsed(_) => self.extension = None,
            ContractEvent::RentalExtended(e) => {
                self.segments.push(SegmentRow::new(e.segment, e.paid, &e.order));
                self.ends_at = e.segment.end;
                self.paid = sum(self.paid, e.paid);
                self.extension = None;
            }
            ContractEvent::RentalTerminated(e) => self.end(ContractStatus::Terminated, e.by, e.ended_at),
            ContractEvent::RentalExpired(e) => self.end(ContractStatus::Expired, EndedBy::Term, e.ended_at),
            ContractEvent::RefundIssued(e) => {
                self.segment(e.segment, |segment| segment.refunded = sum(segment.refunded, e.amount));
            }
            ContractEvent::SegmentClosed(e) => {
                self.segment(e.segment, |segment| segment.verdict = SegmentVerdict::Closed);
            }
            ContractEvent::SegmentPayoutIssued(e) => self.segment(e.segment, |segment| {
                (segment.payout, segment.fee) = (Some(e.amount), Some(e.fee));
            }),
            ContractEvent::DisputeOpened(e) => {
                self.segment(e.segment, |segment| segment.verdict = SegmentVerdict::Disputed);
            }
            ContractEvent::DisputeDecided(e) => self.segment(e.segment, |segment| {
                segment.verdict = SegmentVerdict::Decided;
                // Of a refund that was issued before, what is not divided has left.
                let gone = segment.paid.minor() - e.amount.minor();
                segment.refunded = Money::from_minor(gone, segment.paid.asset()).unwrap_or(segment.refunded);
            }),
            ContractEvent::ModerationIssued(e) => self.moderation = sum(self.moderation, e.amount),
            ContractEvent::PayoutIssued(e) => {
                let closed = |part: fn(&SegmentRow) -> Option<Money>, last| {
                    self.segments.iter().filter_map(part).fold(last, sum)
                };
                let payout = closed(|segment| segment.payout, e.amount);
                let fee = closed(|segment| segment.fee, e.fee);
                (self.payout, self.fee) = (Some(payout), Some(fee));
                for segment in self.segments.iter_mut().filter(|s| s.verdict == SegmentVerdict::Pending) {
                    segment.verdict = SegmentVerdict::Closed;
                }
            }
        }
        self.segment_due_at = self.next_segment();
    }

    fn segment(&mut self, number: u32, change: impl FnOnce(&mut SegmentRow)) {
        let found = usize::try_from(number).ok().and_then(|i| self.segments.get_mut(i));
        if let Some(segment) = found {
            change(segment);
        }
        let zero = Money::zero(self.paid.asset());
        self.refunded = self.segments.iter().fold(zero, |all, segment| sum(all, segment.refunded));
    }

    /// When the first served segment may be closed; the last one ends with the rental.
    fn next_segment(&self) -> Option<Time> {
        let long = self.ends_at.since(self.starts_at) > self.policy.segment_payout_after_s;
        let running = self.status == ContractStatus::Running;
        let waits = |s: &&SegmentRow| s.verdict == SegmentVerdict::Pending && s.end < self.ends_at;
        let first = self.segments.iter().find(waits).filter(|_| long && running)?;
        Some(first.end.plus(self.policy.close_delay_s()))
    }

    /// The first served segment whose money is not decided, from 0, with its end.
    #[must_use]
    pub fn waiting_segment(&self) -> Option<(u32, Time)> {
        let waits =
            |(_, s): &(u32, &SegmentRow)| s.verdict == SegmentVerdict::Pending && s.end < self.ends_at;
        (0..).zip(&self.segments).find(waits).map(|(i, segment)| (i, segment.end))
    }

    fn end(&mut self, status: ContractStatus, by: EndedBy, at: Time) {
        self.status = status;
        self.ended_by = Some(by);
        self.ended_at = Some(at);
        self.extension = None;
    }
}

/// The view.
#[derive(Debug)]
pub struct Contracts;

impl View for Contracts {
    const VERSION: u32 = 4;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/contracts.sql");
    const WEIGHT: u32 = 30;
    const IN_ORDER: bool = true;
    type Row = ContractRow;

    fn fold(rows: &mut Rows<'_, ContractRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        match event.event {
            AnyEvent::Contract(ContractEvent::RentalStarted(e)) => {
                rows.insert(ContractRow::new(event.id()?, e, event));
                Ok(())
            }
            AnyEvent::Contract(ContractEvent::OfferClosed(_)) => Ok(()),
            AnyEvent::Contract(e) => rows.edit(&(event.id()?,), |row| {
                row.apply(e);
                row.revision = event.recorded.revision;
                row.updated = event.recorded.position;
            }),
            AnyEvent::Device(DeviceEvent::EpochErased(e)) => of_lease(rows, event, e.epoch, |row| {
                row.erased_at = Some(event.recorded_at());
            }),
            AnyEvent::Device(DeviceEvent::LeaseKeyDestroyed(e)) => of_lease(rows, event, e.epoch, |row| {
                row.key_destroyed_at = Some(event.recorded_at());
                (row.key_end, row.key_commitment) = (Some(e.why), Some(e.commitment));
            }),
            _ => Ok(()),
        }
    }
}

/// Changes the rental of a device's lease, if there was one.
fn of_lease(
    rows: &mut Rows<'_, ContractRow>,
    event: &Envelope<'_>,
    epoch: Epoch,
    change: impl FnOnce(&mut ContractRow),
) -> Result<(), ViewError> {
    let contract = ContractId::of(event.id()?, epoch);
    rows.edit(&(contract,), |row| {
        change(row);
        row.updated = event.recorded.position;
    })
}

/// Whose contracts are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContractScope {
    /// Those of a renter.
    Renter(AccountId),
    /// Those of an owner.
    Owner(AccountId),
    /// Those of a device.
    Device(DeviceId),
    /// All.
    All,
}

impl Views {
    /// One contract.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn contract(&self, contract: ContractId) -> Result<Option<ContractRow>, ViewError> {
        self.one(Filter::by("contract = ?", &contract)).await
    }

    /// Running contracts with a served segment whose money may be decided at `now`, the longest due first; from after one
    /// of them on, by its `segment_due_at` and position.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn contracts_to_close(
        &self,
        now: Time,
        after: (Time, Position),
        wanted: usize,
    ) -> Result<Vec<ContractRow>, ViewError> {
        let filter = Filter::by("segment_due_at <= ?", &now);
        let filter = filter.pair("(segment_due_at, position) > (?, ?)", &after.0, &after.1);
        let order = format!("order by segment_due_at, position limit {}", limit(wanted));
        self.ask(move |db| filter.select(db, &order)).await
    }

    /// Contracts of somebody, of one status if given.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn contracts(
        &self,
        scope: ContractScope,
        status: Option<ContractStatus>,
        page: Page,
    ) -> Result<Vec<ContractRow>, ViewError> {
        let filter = match scope {
            ContractScope::Renter(account) => Filter::by("renter = ?", &account),
            ContractScope::Owner(account) => Filter::by("owner = ?", &account),
            ContractScope::Device(device) => Filter::by("device = ?", &device),
            ContractScope::All => Filter::default(),
        };
        self.list(filter.and_some("status = ?", status.as_ref()), page).await
    }
}
