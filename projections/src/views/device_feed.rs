//! What a device may know about itself.
//!
//! Not its enrolment, keys or owners: those are between the owner and the server.

use std::borrow::Cow;

use domain::{
    any::AnyEvent,
    contract::ContractEvent,
    device::DeviceEvent,
    event::{Events, Position},
    id::{DeviceId, Epoch},
    time::Time,
};

use super::{
    Envelope, View, ViewError, Views,
    read::{Filter, limit},
};
use crate::rows::{Rows, row};

row! {
    /// An event that concerns a device; its payload is in the log.
    DeviceFeedRow in "device_feed" by (
        /// The device.
        device: DeviceId,
        /// The event.
        position: Position,
    ) {
        /// Its name.
        kind: Cow<'static, str>,
        /// The lease it is about.
        epoch: Option<Epoch>,
        /// When it was written down.
        recorded_at: Time,
    }
}

/// The view.
#[derive(Debug)]
pub struct DeviceFeed;

impl View for DeviceFeed {
    const VERSION: u32 = 1;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/device_feed.sql");
    type Row = DeviceFeedRow;

    fn fold(rows: &mut Rows<'_, DeviceFeedRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        let (device, epoch, kind) = match event.event {
            AnyEvent::Device(e) => match public(e) {
                Some(epoch) => (event.id()?, epoch, e.kind()),
                None => return Ok(()),
            },
            AnyEvent::Contract(e) => match rental(e) {
                Some((device, epoch)) => (device, Some(epoch), e.kind()),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        rows.append(DeviceFeedRow {
            device,
            position: event.recorded.position,
            kind: kind.into(),
            epoch,
            recorded_at: event.recorded_at(),
        });
        Ok(())
    }
}

/// The lease that an event of the device's own is about; `None` when the device is not told.
const fn public(event: &DeviceEvent) -> Option<Option<Epoch>> {
    match event {
        DeviceEvent::DeviceEnrolled(_)
        | DeviceEvent::EnrolmentKeyReplaced(_)
        | DeviceEvent::DeviceTransferred(_) => None,
        DeviceEvent::OfferPublished(_) | DeviceEvent::OfferWithdrawn(_) | DeviceEvent::DeviceRetired(_) => {
            Some(None)
        }
        DeviceEvent::LeaseGranted(e) => Some(Some(e.epoch)),
        DeviceEvent::DeviceLost(e) => Some(Some(e.epoch)),
        DeviceEvent::DeviceRecovered(e) => Some(Some(e.epoch)),
        DeviceEvent::LeaseEnded(e) => Some(Some(e.epoch)),
        DeviceEvent::EpochErased(e) => Some(Some(e.epoch)),
        DeviceEvent::LeaseKeyDestroyed(e) => Some(Some(e.epoch)),
    }
}

/// The lease that a contract's event is about; `None` when the device is not told.
const fn rental(event: &ContractEvent) -> Option<(DeviceId, Epoch)> {
    match event {
        ContractEvent::RentalStarted(e) => Some((e.device, e.epoch)),
        ContractEvent::RentalExtended(e) => Some((e.device, e.epoch)),
        ContractEvent::RentalTerminated(e) => Some((e.device, e.epoch)),
        ContractEvent::RentalExpired(e) => Some((e.device, e.epoch)),
        ContractEvent::OfferClosed(e) => Some((e.device, e.epoch)),
        ContractEvent::OfflineResumeChosen(e) => Some((e.device, e.epoch)),
        ContractEvent::ErasureAsked(e) => Some((e.device, e.epoch)),
        ContractEvent::ExtensionRequested(_)
        | ContractEvent::ExtensionLapsed(_)
        | ContractEvent::SegmentClosed(_)
        | ContractEvent::SegmentPayoutIssued(_)
        | ContractEvent::DisputeOpened(_)
        | ContractEvent::DisputeDecided(_)
        | ContractEvent::ModerationIssued(_)
        | ContractEvent::RefundIssued(_)
        | ContractEvent::PayoutIssued(_) => None,
    }
}

impl Views {
    /// A device's events after a position, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn device_feed(
        &self,
        device: DeviceId,
        after: Option<Position>,
        wanted: usize,
    ) -> Result<Vec<DeviceFeedRow>, ViewError> {
        let filter = Filter::by("device = ?", &device).and_some("position > ?", after.as_ref());
        self.ask(move |db| filter.select(db, &format!("order by position limit {}", limit(wanted)))).await
    }
}
