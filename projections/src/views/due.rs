//! What must be done at a time, and to what.

use std::{fmt, str::FromStr};

use domain::{
    any::AnyEvent,
    contract::ContractEvent,
    device::DeviceEvent,
    event::Position,
    gateway::GatewayEvent,
    id::{ContractId, DeviceId, Epoch, GatewayName},
    time::{Seconds, Time},
};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use serde::{Deserialize, Serialize};

use super::{
    Envelope, View, ViewError, Views,
    read::{Filter, limit},
};
use crate::db::Kind;
use crate::rows::{BadColumn, Column, Rows, column::word, row};

/// Seconds for which a leased port waits for its lease before it is reclaimed: a registration takes milliseconds, and
/// one that was cut off is repeated by the device within minutes.
pub const PORT_GRACE_S: Seconds = 600;

/// What must be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueKind {
    /// A rental's paid time is over.
    Expiry,
    /// An extension was not paid in time.
    ExtensionLapse,
    /// A lost device did not come back.
    LostGrace,
    /// An ended rental's payout may be issued.
    Payout,
    /// A port was leased but its lease never came.
    PortReclaim,
}
word!(DueKind);

/// What it must be done to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DueSubject {
    /// A contract; of [`DueKind::Expiry`], [`DueKind::ExtensionLapse`] and [`DueKind::Payout`].
    Contract(ContractId),
    /// A device; of [`DueKind::LostGrace`].
    Device(DeviceId),
    /// A port; of [`DueKind::PortReclaim`].
    Port {
        /// Where it is.
        gateway: GatewayName,
        /// The port.
        port: u16,
        /// Who holds it.
        device: DeviceId,
        /// For which lease.
        epoch: Epoch,
    },
}

impl fmt::Display for DueSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(id) => write!(f, "contract/{id}"),
            Self::Device(id) => write!(f, "device/{id}"),
            Self::Port { gateway, port, device, epoch } => {
                write!(f, "port/{gateway}/{port}/{device}/{epoch}")
            }
        }
    }
}

impl FromStr for DueSubject {
    type Err = BadColumn;
    fn from_str(text: &str) -> Result<Self, BadColumn> {
        let parts: Vec<_> = text.split('/').collect();
        match parts[..] {
            ["contract", id] => Ok(Self::Contract(id.parse().map_err(BadColumn::from)?)),
            ["device", id] => Ok(Self::Device(id.parse().map_err(BadColumn::from)?)),
            ["port", gateway, port, device, epoch] => Ok(Self::Port {
                gateway: gateway.parse().map_err(BadColumn::from)?,
                port: port.parse().map_err(BadColumn::from)?,
                device: device.parse().map_err(BadColumn::from)?,
                epoch: epoch.parse().map_err(BadColumn::from)?,
            }),
            _ => Err(BadColumn(format!("{text:?} is nothing that can be due"))),
        }
    }
}

impl Column for DueSubject {
    const KIND: Kind = Kind::Text;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Text(self.to_string()))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        value.as_str().map_err(BadColumn::from)?.parse()
    }
}

row! {
    /// Something to be done.
    DueRow in "due" by (
        /// What.
        kind: DueKind,
        /// To what.
        subject: DueSubject,
    ) {
        /// When.
        due_at: Time,
        /// Of an expiry: seconds from the end of the rental to its payout.
        payout_delay_s: Seconds,
        /// Disputes that must be decided before.
        held: u32,
        /// The last event that changed the row.
        updated: Position,
    }
}

/// The view.
#[derive(Debug)]
pub struct Due;

impl View for Due {
    const VERSION: u32 = 2;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/due.sql");
    type Row = DueRow;

    fn fold(rows: &mut Rows<'_, DueRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        let updated = event.recorded.position;
        let due =
            |kind, subject, due_at| DueRow { kind, subject, due_at, payout_delay_s: 0, held: 0, updated };
        match event.event {
            AnyEvent::Contract(e) => contract(rows, e, event, updated),
            AnyEvent::Device(DeviceEvent::DeviceLost(e)) => {
                rows.put(due(DueKind::LostGrace, DueSubject::Device(event.id()?), e.give_up_at));
                Ok(())
            }
            AnyEvent::Device(DeviceEvent::DeviceRecovered(_) | DeviceEvent::LeaseEnded(_)) => {
                take(rows, DueKind::LostGrace, DueSubject::Device(event.id()?))
            }
            AnyEvent::Device(DeviceEvent::LeaseGranted(e)) => {
                let (gateway, device) = (e.gateway.clone(), event.id()?);
                take(
                    rows,
                    DueKind::PortReclaim,
                    DueSubject::Port { gateway, port: e.port, device, epoch: e.epoch },
                )
            }
            AnyEvent::Gateway(GatewayEvent::PortLeased(e)) => {
                let subject = DueSubject::Port {
                    gateway: event.gateway()?,
                    port: e.port,
                    device: e.device,
                    epoch: e.epoch,
                };
                rows.put(due(DueKind::PortReclaim, subject, event.recorded_at().plus(PORT_GRACE_S)));
                Ok(())
            }
            AnyEvent::Gateway(GatewayEvent::PortReleased(e)) => {
                let subject = DueSubject::Port {
                    gateway: event.gateway()?,
                    port: e.port,
                    device: e.device,
                    epoch: e.epoch,
                };
                take(rows, DueKind::PortReclaim, subject)
            }
            _ => Ok(()),
        }
    }
}

/// Removes a row that may well not exist: a look-up in memory is cheaper than a deletion of nothing.
fn take(rows: &mut Rows<'_, DueRow>, kind: DueKind, subject: DueSubject) -> Result<(), ViewError> {
    let key = (kind, subject);
    if rows.get(&key)?.is_some() {
        rows.remove(&key);
    }
    Ok(())
}

fn contract(
    rows: &mut Rows<'_, DueRow>,
    event: &ContractEvent,
    envelope: &Envelope<'_>,
    updated: Position,
) -> Result<(), ViewError> {
    let subject = match event {
        ContractEvent::OfferClosed(_)
        | ContractEvent::RefundIssued(_)
        | ContractEvent::SegmentClosed(_)
        | ContractEvent::SegmentPayoutIssued(_)
        | ContractEvent::ModerationIssued(_) => return Ok(()),
        _ => DueSubject::Contract(envelope.id()?),
    };
    match event {
        ContractEvent::RentalStarted(e) => rows.insert(DueRow {
            kind: DueKind::Expiry,
            subject,
            due_at: e.segment.end,
            payout_delay_s: e.policy.payout_delay_s,
            held: 0,
            updated,
        }),
        ContractEvent::ExtensionRequested(e) => rows.put(DueRow {
            kind: DueKind::ExtensionLapse,
            subject,
            due_at: e.lapses_at,
            payout_delay_s: 0,
            held: 0,
            updated,
        }),
        ContractEvent::ExtensionLapsed(_) => take(rows, DueKind::ExtensionLapse, subject)?,
        ContractEvent::RentalExtended(e) => {
            take(rows, DueKind::ExtensionLapse, subject.clone())?;
            rows.edit(&(DueKind::Expiry, subject), |row| {
                (row.due_at, row.updated) = (e.segment.end, updated);
            })?;
        }
        ContractEvent::RentalTerminated(e) => end(rows, subject, e.ended_at, updated)?,
        ContractEvent::RentalExpired(e) => end(rows, subject, e.ended_at, updated)?,
        ContractEvent::PayoutIssued(_) => rows.remove(&(DueKind::Payout, subject)),
        ContractEvent::DisputeOpened(_) => hold(rows, subject, updated, |held| held + 1)?,
        ContractEvent::DisputeDecided(_) => hold(rows, subject, updated, |held| held.saturating_sub(1))?,
        _ => {}
    }
    Ok(())
}

/// A payout waits for every dispute; before the end the expiry's row counts for it.
fn hold(
    rows: &mut Rows<'_, DueRow>,
    subject: DueSubject,
    updated: Position,
    change: impl Fn(u32) -> u32,
) -> Result<(), ViewError> {
    for kind in [DueKind::Expiry, DueKind::Payout] {
        let key = (kind, subject.clone());
        if rows.get(&key)?.is_some() {
            rows.edit(&key, |row| (row.held, row.updated) = (change(row.held), updated))?;
        }
    }
    Ok(())
}

/// The rental is over: nothing is left to wait for but its payout.
fn end(
    rows: &mut Rows<'_, DueRow>,
    subject: DueSubject,
    at: Time,
    updated: Position,
) -> Result<(), ViewError> {
    take(rows, DueKind::ExtensionLapse, subject.clone())?;
    let expiry = (DueKind::Expiry, subject);
    let (delay, held) = rows.get(&expiry)?.map_or((0, 0), |row| (row.payout_delay_s, row.held));
    rows.remove(&expiry);
    let (kind, subject) = (DueKind::Payout, expiry.1);
    rows.insert(DueRow { kind, subject, due_at: at.plus(delay), payout_delay_s: 0, held, updated });
    Ok(())
}

impl Views {
    /// What of one kind is due at `now` and not held up by a dispute, the longest due first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn due(&self, kind: DueKind, now: Time, wanted: usize) -> Result<Vec<DueRow>, ViewError> {
        let filter = Filter::by("kind = ?", &kind).and("due_at <= ?", &now);
        // A rental expires whatever is disputed.
        let filter = if kind == DueKind::Payout { filter.plain("held = 0") } else { filter };
        self.ask(move |db| filter.select(db, &format!("order by due_at, subject limit {}", limit(wanted))))
            .await
    }

    /// When the next of a kind is due.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn next_due(&self, kind: DueKind) -> Result<Option<Time>, ViewError> {
        let filter = Filter::by("kind = ?", &kind);
        let next: Option<DueRow> =
            self.ask(move |db| Ok(filter.select(db, "order by due_at, subject limit 1")?.pop())).await?;
        Ok(next.map(|row| row.due_at))
    }
}
