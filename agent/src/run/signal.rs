//! Signs of life while a turn takes long: preparing or erasing a large volume, or fetching an image.

use std::{future::Future, sync::Arc, time::Duration};

use domain::wire::{self, CheckIn, SignedCheckIn};
use ed25519_dalek::SigningKey;
use tracing::debug;
use uuid::Uuid;

use super::Agent;
use crate::{identity, server::Uplink};

/// A turn that asks and does nothing else is over sooner.
const EVERY: Duration = Duration::from_secs(60);

/// Tells the server that the device is there.
pub(super) struct Signal {
    uplink: Arc<dyn Uplink>,
    key: SigningKey,
    boot_id: Uuid,
    count: u64,
}

impl Signal {
    pub(super) fn of(agent: &Agent) -> Self {
        Self { uplink: agent.uplink.clone(), key: agent.key.clone(), boot_id: agent.boot_id(), count: 0 }
    }

    /// Waits for something that is done for `server`, and gives signs of life meanwhile.
    pub(super) async fn during<T>(&mut self, server: String, done: impl Future<Output = T>) -> T {
        tokio::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return done,
                () = tokio::time::sleep(EVERY) => {}
            }
            tokio::select! {
                done = &mut done => return done,
                () = self.give(&server) => {}
            }
        }
    }

    async fn give(&mut self, server: &str) {
        self.count += 1;
        let (device_key, boot_id, count) = (identity::public(&self.key), self.boot_id, self.count);
        let check_in = CheckIn { v: wire::VERSION, device_key, boot_id, count };
        let check_in = SignedCheckIn(wire::sign(&check_in, &self.key));
        if let Err(silent) = self.uplink.check_in(server, &check_in).await {
            debug!(why = %silent.why, "a sign of life was not taken");
        }
    }
}
