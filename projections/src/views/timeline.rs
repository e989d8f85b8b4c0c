//! Which events are about a thing: a contract, device, order, account or settlement.
//!
//! An event is about everything that it names, about whose stream it is in, and about the account that acted. What an
//! event does not name is found by [`Views::history_of`]: a contract's orders and settlements have events of their own.

use domain::{
    account::AccountEvent,
    any::AnyEvent,
    contract::ContractEvent,
    device::DeviceEvent,
    event::{Actor, Position},
    gateway::GatewayEvent,
    id::{AccountId, ContractId, DeviceId, OrderKey, SettlementId},
    order::{OrderEvent, OrderItem},
    purse::{PurseEvent, PurseId},
    settlement::SettlementEvent,
};
use rusqlite::types::{ToSqlOutput, ValueRef};
use uuid::Uuid;

use super::{
    Envelope, View, ViewError, Views,
    contracts::SegmentVerdict,
    read::{Filter, limit},
};
use crate::db::Kind;
use crate::rows::{BadColumn, Column, Rows, row};

/// A thing that events are about: a contract, device, account or settlement by its id, an order by a UUID of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Uuid);

macro_rules! subjects {
    ($($ty:ty),*) => {$(
        impl From<$ty> for Subject {
            fn from(id: $ty) -> Self {
                Self(id.0)
            }
        }
    )*};
}
subjects!(ContractId, DeviceId, AccountId, SettlementId);

impl From<&OrderKey> for Subject {
    fn from(key: &OrderKey) -> Self {
        Self(Uuid::new_v5(&Uuid::NAMESPACE_URL, key.stream_key().as_bytes()))
    }
}

impl Column for Subject {
    const KIND: Kind = Kind::Blob;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes()))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        let bytes = value.as_blob().map_err(BadColumn::from)?;
        Uuid::from_slice(bytes).map(Self).map_err(BadColumn::from)
    }
}

/// Things that belong to one contract, at most.
const MAX_SUBJECTS: usize = 10_000;

/// Positions in one chunk.
const CHUNK: Position = 1 << 16;

row! {
    /// Events about a thing, those of one chunk of the log.
    TimelineRow in "timeline" by (
        /// The thing.
        subject: Subject,
        /// Counts chunks of 65,536 positions.
        chunk: u64,
    ) {
        /// The events' places in the chunk.
        offsets: Offsets,
    }
}

/// Places in a chunk, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offsets(Vec<u8>);

impl Offsets {
    /// Most things have a dozen events.
    fn new() -> Self {
        Self(Vec::with_capacity(32))
    }

    fn push(&mut self, position: Position) {
        let [.., high, low] = position.to_be_bytes();
        self.0.extend([high, low]);
    }
}

impl TimelineRow {
    /// The events, the oldest first.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        let first = self.chunk * CHUNK;
        self.offsets.0.chunks_exact(2).map(move |pair| first + (u64::from(pair[0]) << 8 | u64::from(pair[1])))
    }
}

impl Column for Offsets {
    const KIND: Kind = Kind::Blob;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Blob(&self.0))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        let bytes = value.as_blob().map_err(BadColumn::from)?;
        if bytes.len() % 2 == 0 { Ok(Self(bytes.to_vec())) } else { Err(BadColumn("half an offset".into())) }
    }
}

/// The view.
#[derive(Debug)]
pub struct Timeline;

impl View for Timeline {
    const VERSION: u32 = 1;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/timeline.sql");
    /// It has a hand in every event.
    const WEIGHT: u32 = 40;
    /// A row takes some hundred bytes, and one for each thing that still has events to come is wanted.
    const CACHED: usize = 131_072;
    type Row = TimelineRow;

    fn fold(rows: &mut Rows<'_, TimelineRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        let mut about = About { subjects: Vec::with_capacity(6) };
        about.event(event)?;
        let meta = &event.recorded.event.meta;
        if let Actor::Account(account) = meta.actor {
            about.add(account);
        }
        if let Some(account) = meta.on_behalf_of {
            about.add(account);
        }
        let position = event.recorded.position;
        for subject in about.subjects {
            let key = (subject, position / CHUNK);
            let new = || TimelineRow { subject, chunk: key.1, offsets: Offsets::new() };
            rows.edit_or(&key, new, |row| row.offsets.push(position))?;
        }
        Ok(())
    }
}

/// The things that one event is about, each once.
struct About {
    subjects: Vec<Subject>,
}

impl About {
    fn add(&mut self, subject: impl Into<Subject>) {
        let subject = subject.into();
        if !self.subjects.contains(&subject) {
            self.subjects.push(subject);
        }
    }

    fn event(&mut self, event: &Envelope<'_>) -> Result<(), ViewError> {
        match event.event {
            AnyEvent::Contract(e) => self.contract(event.id()?, e),
            AnyEvent::Device(e) => self.device(event.id()?, e),
            AnyEvent::Settlement(e) => {
                self.add(event.id::<SettlementId>()?);
                if let SettlementEvent::SettlementDue(e) = e {
                    e.contract.into_iter().for_each(|contract| self.add(contract));
                    self.add(&e.order);
                    self.add(e.to);
                }
            }
            AnyEvent::Order(e) => self.order(e),
            AnyEvent::Gateway(GatewayEvent::PortLeased(e)) => self.lease(e.device, e.epoch),
            AnyEvent::Gateway(GatewayEvent::PortReleased(e)) => self.lease(e.device, e.epoch),
            AnyEvent::Purse(e) => self.purse(event, e)?,
            // A marketplace is no subject.
            AnyEvent::Treasury(_) => {}
            AnyEvent::Account(
                AccountEvent::AccountOpened(_)
                | AccountEvent::RoleGranted(_)
                | AccountEvent::RoleRevoked(_)
                | AccountEvent::AccountErased(_),
            ) => self.add(event.id::<AccountId>()?),
        }
        Ok(())
    }

    fn purse(&mut self, event: &Envelope<'_>, happened: &PurseEvent) -> Result<(), ViewError> {
        let purse: PurseId =
            event.recorded.stream.key().parse().map_err(|e| ViewError::event(event.recorded, e))?;
        self.add(purse.owner);
        match happened {
            PurseEvent::PayoutHeld(e) => {
                self.add(e.payout);
                self.add(e.contract);
            }
            PurseEvent::PayoutsReleased(e) => {
                self.add(e.settlement);
                e.payouts.iter().for_each(|payout| self.add(*payout));
            }
        }
        Ok(())
    }

    fn lease(&mut self, device: DeviceId, epoch: u32) {
        self.add(device);
        self.add(ContractId::of(device, epoch));
    }

    fn contract(&mut self, contract: ContractId, event: &ContractEvent) {
        self.add(contract);
        match event {
            ContractEvent::RentalStarted(e) => {
                self.add(e.device);
                self.add(e.owner);
                self.add(e.renter);
                self.add(&e.order);
            }
            ContractEvent::RentalExtended(e) => {
                self.add(e.device);
                self.add(&e.order);
            }
            ContractEvent::RentalTerminated(e) => self.add(e.device),
            ContractEvent::RentalExpired(e) => self.add(e.device),
            ContractEvent::OfferClosed(e) => self.add(e.device),
            ContractEvent::OfflineResumeChosen(e) => self.add(e.device),
            ContractEvent::ErasureAsked(e) => self.add(e.device),
            ContractEvent::RefundIssued(e) => {
                self.add(e.settlement);
                self.add(&e.order);
                self.add(e.renter);
            }
            ContractEvent::PayoutIssued(e) => {
                self.add(e.settlement);
                self.add(e.owner);
            }
            ContractEvent::SegmentPayoutIssued(e) => {
                self.add(e.settlement);
                self.add(&e.order);
                self.add(e.owner);
            }
            ContractEvent::DisputeOpened(e) => self.add(&e.order),
            ContractEvent::DisputeDecided(e) => self.add(&e.order),
            ContractEvent::ModerationIssued(e) => {
                self.add(e.settlement);
                self.add(&e.order);
                self.add(e.moderator);
            }
            ContractEvent::SegmentClosed(e) => self.add(e.device),
            ContractEvent::ExtensionRequested(_) | ContractEvent::ExtensionLapsed(_) => {}
        }
    }

    fn device(&mut self, device: DeviceId, event: &DeviceEvent) {
        self.add(device);
        match event {
            DeviceEvent::DeviceEnrolled(e) => self.add(e.owner),
            DeviceEvent::DeviceTransferred(e) => self.add(e.to),
            DeviceEvent::LeaseGranted(e) => self.lease(device, e.epoch),
            DeviceEvent::DeviceLost(e) => self.lease(device, e.epoch),
            DeviceEvent::DeviceRecovered(e) => self.lease(device, e.epoch),
            DeviceEvent::LeaseEnded(e) => self.add(e.contract),
            DeviceEvent::EpochErased(e) => self.lease(device, e.epoch),
            DeviceEvent::LeaseKeyDestroyed(e) => self.lease(device, e.epoch),
            DeviceEvent::EnrolmentKeyReplaced(_)
            | DeviceEvent::OfferPublished(_)
            | DeviceEvent::OfferWithdrawn(_)
            | DeviceEvent::DeviceRetired(_) => {}
        }
    }

    fn order(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::OrderReceived(e) => {
                self.add(&e.order);
                self.add(e.renter);
                match e.item {
                    OrderItem::Rental { device, .. } => self.add(device),
                    OrderItem::Extension { contract, .. } => self.add(contract),
                    OrderItem::Unsellable { .. } => {}
                }
            }
            OrderEvent::OrderCollected(e) => self.add(&e.order),
            OrderEvent::OrderAccepted(e) => {
                self.add(&e.order);
                self.add(e.contract);
            }
            OrderEvent::OrderRejected(e) => {
                self.add(&e.order);
                self.add(e.settlement);
                self.add(e.renter);
            }
        }
    }
}

impl Views {
    /// The positions of the events about a thing, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn timeline(
        &self,
        subject: Subject,
        after: Option<Position>,
        wanted: usize,
    ) -> Result<Vec<Position>, ViewError> {
        let wanted = limit(wanted);
        let from = after.map_or(0, |after| after + 1);
        let filter = Filter::by("subject = ?", &subject).and("chunk >= ?", &(from / CHUNK));
        // Only the first chunk may hold nothing that is wanted.
        let rows: Vec<TimelineRow> =
            self.ask(move |db| filter.select(db, &format!("order by chunk limit {}", wanted + 1))).await?;
        let positions = rows.iter().flat_map(TimelineRow::positions);
        Ok(positions.filter(|position| *position >= from).take(wanted).collect())
    }

    /// Whether something has happened to one of these things after a position.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn has_news(&self, of: Vec<Subject>, after: Option<Position>) -> Result<bool, ViewError> {
        let from = after.map_or(0, |after| after + 1);
        self.ask(move |db| {
            for subject in of {
                let filter = Filter::by("subject = ?", &subject).and("chunk >= ?", &(from / CHUNK));
                // Only the first chunk may hold nothing that is new.
                let rows: Vec<TimelineRow> = filter.select(db, "order by chunk limit 2")?;
                if rows.iter().flat_map(TimelineRow::positions).any(|position| position >= from) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// As [`Views::timeline`] for a contract with the orders that paid it and the settlements that it led to.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn history_of(
        &self,
        contract: ContractId,
        after: Option<Position>,
        wanted: usize,
    ) -> Result<Vec<Position>, ViewError> {
        let mut subjects = vec![Subject::from(contract)];
        if let Some(row) = self.contract(contract).await? {
            subjects.extend(row.segments.iter().map(|segment| Subject::from(&segment.order)));
            for (i, segment) in row.segments.iter().enumerate() {
                subjects.push(SettlementId::refund(contract, i).into());
                match segment.verdict {
                    SegmentVerdict::Closed => {
                        subjects.push(SettlementId::segment_payout(contract, i).into());
                    }
                    SegmentVerdict::Decided => {
                        subjects.push(SettlementId::dispute_refund(contract, i).into());
                        subjects.push(SettlementId::moderation(contract, i).into());
                    }
                    SegmentVerdict::Pending | SegmentVerdict::Disputed => {}
                }
            }
            subjects.push(SettlementId::payout(contract).into());
            // What moved only in part is owed again.
            let mut at = 0;
            while let Some(Subject(id)) = subjects.get(at).copied() {
                let rest = SettlementId::rest_of(SettlementId(id));
                if subjects.len() < MAX_SUBJECTS && self.settlement(rest).await?.is_some() {
                    subjects.push(rest.into());
                }
                at += 1;
            }
        }
        let mut found = Vec::new();
        for subject in subjects {
            found.extend(self.timeline(subject, after, wanted).await?);
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(limit(wanted));
        Ok(found)
    }
}
