//! What happens to a gateway's port pool.

use crate::{
    events,
    id::{DeviceId, Epoch, Subdomain},
};

events! {
    /// The events of a gateway.
    GatewayEvent {
        /// A port and a subdomain were given to one lease.
        PortLeased = 1 {
            /// The port.
            port: u16,
            /// The subdomain.
            subdomain: Subdomain,
            /// The device.
            device: DeviceId,
            /// The device's lease.
            epoch: Epoch,
        }
        /// The port and its subdomain are free again.
        PortReleased = 1 {
            /// The port.
            port: u16,
            /// The subdomain.
            subdomain: Subdomain,
            /// The device that held it.
            device: DeviceId,
            /// The lease that held it.
            epoch: Epoch,
        }
    }
}
