//! Who holds which port of which gateway now.

use domain::{
    any::AnyEvent,
    event::Position,
    gateway::GatewayEvent,
    id::{DeviceId, Epoch, GatewayName, Subdomain},
    time::Time,
};

use super::{
    Envelope, View, ViewError, Views,
    read::{Filter, limit},
};
use crate::rows::{Rows, row};

row! {
    /// A port that is leased.
    PortLeaseRow in "port_leases" by (
        /// Where the port is.
        gateway: GatewayName,
        /// The port.
        port: u16,
    ) {
        /// Its subdomain.
        subdomain: Subdomain,
        /// Who holds it.
        device: DeviceId,
        /// For which lease.
        epoch: Epoch,
        /// Since when.
        leased_at: Time,
        /// The last event that changed the row.
        updated: Position,
    }
}

/// The view.
#[derive(Debug)]
pub struct PortLeases;

impl View for PortLeases {
    const VERSION: u32 = 1;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/port_leases.sql");
    type Row = PortLeaseRow;

    fn fold(rows: &mut Rows<'_, PortLeaseRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        let AnyEvent::Gateway(happened) = event.event else { return Ok(()) };
        let gateway = event.gateway()?;
        match happened {
            GatewayEvent::PortLeased(e) => rows.put(PortLeaseRow {
                gateway,
                port: e.port,
                subdomain: e.subdomain.clone(),
                device: e.device,
                epoch: e.epoch,
                leased_at: event.recorded_at(),
                updated: event.recorded.position,
            }),
            GatewayEvent::PortReleased(e) => {
                let key = (gateway, e.port);
                if rows.get(&key)?.is_some_and(|held| held.device == e.device && held.epoch == e.epoch) {
                    rows.remove(&key);
                }
            }
        }
        Ok(())
    }
}

impl Views {
    /// The leased ports of a gateway after a port, in order of ports.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn leases(
        &self,
        gateway: GatewayName,
        after: Option<u16>,
        wanted: usize,
    ) -> Result<Vec<PortLeaseRow>, ViewError> {
        let filter = Filter::by("gateway = ?", &gateway).and_some("port > ?", after.as_ref());
        self.ask(move |db| filter.select(db, &format!("order by port limit {}", limit(wanted)))).await
    }

    /// Who holds a subdomain.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn lease_of_subdomain(&self, subdomain: Subdomain) -> Result<Option<PortLeaseRow>, ViewError> {
        self.one(Filter::by("subdomain = ?", &subdomain)).await
    }
}
