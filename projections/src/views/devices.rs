//! Every device ever enrolled, with its latest lease.

use domain::{
    any::AnyEvent,
    contract::ContractEvent,
    device::{DeviceEvent, LeaseEnd, LeaseGranted},
    event::{Position, Revision},
    id::{AccountId, ContractId, DeviceId, Epoch, GatewayName, Subdomain},
    key::{Digest, PublicKey},
    offer::{Hardware, Offer},
    time::{Seconds, Time},
};

use super::{Envelope, Page, View, ViewError, Views, read::Filter};
use crate::rows::{Rows, row};

row! {
    /// A device.
    DeviceRow in "devices" by (
        /// Which.
        device: DeviceId,
    ) {
        /// The event that enrolled it; lists are in this order.
        position: Position,
        /// The device stream's last revision: its ETag.
        revision: Revision,
        /// The last event that changed the row.
        updated: Position,
        /// Whose it is.
        owner: AccountId,
        /// Counts owners, from 0.
        owner_gen: u32,
        /// Since when it is known.
        enrolled_at: Time,
        /// SHA-256 of the enrolment key in force; none after a transfer until the new owner sets one.
        enrolment_key: Option<Digest>,
        /// When it was taken out of service.
        retired_at: Option<Time>,
        /// What is asked, while it is on the market.
        offer: Option<Offer>,
        /// The latest lease, ended or not; 0 before the first.
        epoch: Epoch,
        /// Where its port is.
        gateway: Option<GatewayName>,
        /// Its port.
        port: Option<u16>,
        /// Its subdomain.
        subdomain: Option<Subdomain>,
        /// The key it signs with.
        device_key: Option<PublicKey>,
        /// SHA-256 of its configuration.
        config_hash: Option<Digest>,
        /// What it says it is.
        hardware: Option<Hardware>,
        /// When the latest lease was granted.
        granted_at: Option<Time>,
        /// When it ended.
        lease_ended_at: Option<Time>,
        /// Why it ended.
        lease_end: Option<LeaseEnd>,
        /// When its data was proved to be erased.
        erased_at: Option<Time>,
        /// The rental of the latest lease, running or over.
        contract: Option<ContractId>,
        /// Whether that rental runs.
        is_let: bool,
        /// When it was last heard of, while it is lost.
        lost_since: Option<Time>,
        /// When its rental or lease ends unless it comes back.
        give_up_at: Option<Time>,
        /// When it was first leased.
        first_leased_at: Option<Time>,
        /// Seconds it was lost while leased.
        lost_total_s: Seconds,
    }
}

impl DeviceRow {
    /// Whether it holds a port now.
    #[must_use]
    pub const fn is_leased(&self) -> bool {
        self.granted_at.is_some() && self.lease_ended_at.is_none()
    }

    /// The share of the time since the first lease in which it was not lost, in millionths.
    #[must_use]
    pub fn uptime_ppm(&self, now: Time) -> Option<u32> {
        let lost = self.lost_total_s + self.lost_since.map_or(0, |since| now.since(since).max(0));
        self.first_leased_at.map(|first| uptime_ppm(first, lost, now))
    }

    fn new(device: DeviceId, owner: AccountId, enrolment_key: Digest, event: &Envelope<'_>) -> Self {
        Self {
            device,
            position: event.recorded.position,
            revision: event.recorded.revision,
            updated: event.recorded.position,
            owner,
            owner_gen: 0,
            enrolled_at: event.recorded_at(),
            enrolment_key: Some(enrolment_key),
            retired_at: None,
            offer: None,
            epoch: 0,
            gateway: None,
            port: None,
            subdomain: None,
            device_key: None,
            config_hash: None,
            hardware: None,
            granted_at: None,
            lease_ended_at: None,
            lease_end: None,
            erased_at: None,
            contract: None,
            is_let: false,
            lost_since: None,
            give_up_at: None,
            first_leased_at: None,
            lost_total_s: 0,
        }
    }

    fn grant(&mut self, lease: &LeaseGranted, at: Time) {
        self.epoch = lease.epoch;
        self.gateway = Some(lease.gateway.clone());
        self.port = Some(lease.port);
        self.subdomain = Some(lease.subdomain.clone());
        self.device_key = Some(lease.device_key);
        self.config_hash = Some(lease.config_hash);
        self.hardware = Some(lease.hardware.clone());
        self.granted_at = Some(at);
        (self.lease_ended_at, self.lease_end, self.erased_at) = (None, None, None);
        (self.contract, self.is_let) = (None, false);
        self.first_leased_at = self.first_leased_at.or(Some(at));
        (self.lost_since, self.give_up_at) = (None, None);
    }

    /// The loss that went on is over, by a sign of life or by the lease's end.
    fn found(&mut self, at: Time) {
        if let Some(since) = self.lost_since.take() {
            self.lost_total_s += at.since(since).max(0);
        }
        self.give_up_at = None;
    }

    fn apply(&mut self, event: &DeviceEvent, at: Time) {
        match event {
            DeviceEvent::DeviceEnrolled(_) => {}
            DeviceEvent::EnrolmentKeyReplaced(e) => self.enrolment_key = Some(e.enrolment_key),
            DeviceEvent::OfferPublished(e) => self.offer = Some(e.offer.clone()),
            DeviceEvent::OfferWithdrawn(_) => self.offer = None,
            DeviceEvent::LeaseGranted(e) => self.grant(e, at),
            DeviceEvent::DeviceLost(e) => {
                self.lost_since = Some(e.last_seen);
                self.give_up_at = Some(e.give_up_at);
            }
            DeviceEvent::DeviceRecovered(e) => self.found(e.seen_at),
            DeviceEvent::LeaseEnded(e) => {
                self.found(at);
                self.lease_ended_at = Some(at);
                self.lease_end = Some(e.why);
            }
            DeviceEvent::EpochErased(_) => self.erased_at = Some(at),
            DeviceEvent::LeaseKeyDestroyed(_) => {}
            DeviceEvent::DeviceRetired(_) => {
                self.retired_at = Some(at);
                self.offer = None;
            }
            DeviceEvent::DeviceTransferred(e) => {
                self.owner = e.to;
                self.owner_gen = e.owner_gen;
                (self.offer, self.enrolment_key) = (None, None);
            }
        }
    }
}

/// The share of the time from `first` to `now` that was not lost, in millionths.
#[must_use]
pub fn uptime_ppm(first: Time, lost_s: Seconds, now: Time) -> u32 {
    const WHOLE: i64 = 1_000_000;
    let all = now.since(first).max(1);
    let up = i128::from((all - lost_s).clamp(0, all)) * i128::from(WHOLE) / i128::from(all);
    u32::try_from(up).unwrap_or_default()
}

/// As the indexes have it, or they would not be chosen.
pub(super) const LOST: &str = "lost_since is not null";
pub(super) const UNERASED: &str = "lease_ended_at is not null and erased_at is null";

/// The view.
#[derive(Debug)]
pub struct Devices;

impl View for Devices {
    const VERSION: u32 = 3;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/devices.sql");
    type Row = DeviceRow;

    fn fold(rows: &mut Rows<'_, DeviceRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        let position = event.recorded.position;
        match event.event {
            AnyEvent::Device(DeviceEvent::DeviceEnrolled(e)) => {
                rows.insert(DeviceRow::new(event.id()?, e.owner, e.enrolment_key, event));
                Ok(())
            }
            AnyEvent::Device(e) => rows.edit(&(event.id()?,), |row| {
                row.apply(e, event.recorded_at());
                row.revision = event.recorded.revision;
                row.updated = position;
            }),
            AnyEvent::Contract(e) => {
                let Some((device, epoch, is_let)) = let_state(e) else { return Ok(()) };
                rows.edit(&(device,), |row| {
                    if row.epoch == epoch {
                        row.contract = Some(ContractId::of(device, epoch));
                        row.is_let = is_let;
                        row.updated = position;
                    }
                })
            }
            _ => Ok(()),
        }
    }
}

/// Which lease a contract's event lets or frees.
pub(super) const fn let_state(event: &ContractEvent) -> Option<(DeviceId, Epoch, bool)> {
    match event {
        ContractEvent::RentalStarted(e) => Some((e.device, e.epoch, true)),
        ContractEvent::RentalTerminated(e) => Some((e.device, e.epoch, false)),
        ContractEvent::RentalExpired(e) => Some((e.device, e.epoch, false)),
        _ => None,
    }
}

impl Views {
    /// One device.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn device(&self, device: DeviceId) -> Result<Option<DeviceRow>, ViewError> {
        self.one(Filter::by("device = ?", &device)).await
    }

    /// The device whose enrolment key has this digest.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn device_by_key(&self, enrolment_key: Digest) -> Result<Option<DeviceRow>, ViewError> {
        self.one(Filter::by("enrolment_key = ?", &enrolment_key)).await
    }

    /// An owner's devices.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn devices_of(&self, owner: AccountId, page: Page) -> Result<Vec<DeviceRow>, ViewError> {
        self.list(Filter::by("owner = ?", &owner), page).await
    }

    /// Devices that are lost.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn lost_devices(&self, page: Page) -> Result<Vec<DeviceRow>, ViewError> {
        self.list(Filter::default().plain(LOST), page).await
    }

    /// Devices whose latest lease has ended and whose data is not proved to be erased.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn unerased_devices(&self, page: Page) -> Result<Vec<DeviceRow>, ViewError> {
        self.list(Filter::default().plain(UNERASED), page).await
    }

    /// All devices.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn devices(&self, page: Page) -> Result<Vec<DeviceRow>, ViewError> {
        self.list(Filter::default(), page).await
    }
}
