//! Signs of life between polls, each of which counts once.
//!
//! # Correctness
//! A check-in carries the boot id of its agent and a count that only rises; one that was seen before, or is of an earlier
//! start, is nobody's sign of life, whichever server hears it ([`Remembered`]). A server that has the store for itself
//! remembers in bounded memory, which is lost with a restart: an old check-in can then count once more, which makes a
//! device that went silent be found lost a little later.

use std::collections::VecDeque;

use domain::{id::DeviceId, wire::CheckIn};
use projections::private::Private;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{error::Problem, remembered::Remembered};

/// Earlier starts remembered of each device.
const MAX_BOOTS: usize = 8;

/// The last check-in of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Last {
    boot: Uuid,
    count: u64,
    before: VecDeque<Uuid>,
}

/// The check-ins that were counted.
#[derive(Debug)]
pub struct CheckIns(Remembered<Last>);

impl Default for CheckIns {
    fn default() -> Self {
        Self(Remembered::new("check-ins"))
    }
}

impl CheckIns {
    /// Whether a check-in is new; then it is counted.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn count(
        &self,
        private: &Private,
        device: DeviceId,
        check_in: &CheckIn,
    ) -> Result<bool, Problem> {
        self.0.change(private, device, |last| count(last, check_in)).await
    }
}

fn count(last: &mut Option<Last>, check_in: &CheckIn) -> bool {
    let CheckIn { boot_id: boot, count, .. } = *check_in;
    let Some(last) = last else {
        *last = Some(Last { boot, count, before: VecDeque::new() });
        return true;
    };
    if last.boot == boot {
        let new = count > last.count;
        last.count = last.count.max(count);
        return new;
    }
    if last.before.contains(&boot) {
        return false;
    }
    if last.before.len() == MAX_BOOTS {
        last.before.pop_front();
    }
    last.before.push_back(std::mem::replace(&mut last.boot, boot));
    last.count = count;
    true
}

#[cfg(test)]
mod tests {
    use domain::{key::PublicKey, wire::VERSION};

    use super::*;

    #[test]
    fn a_check_in_counts_once_and_only_forwards() {
        let mut last = None;
        let mut count = |boot: u128, rises| {
            let boot_id = Uuid::from_u128(boot);
            let check_in = CheckIn { v: VERSION, device_key: PublicKey([1; 32]), boot_id, count: rises };
            count(&mut last, &check_in)
        };
        assert!(count(1, 1) && count(1, 2) && count(1, 5));
        assert!(!count(1, 5) && !count(1, 3));
        assert!(count(2, 1), "another start counts anew");
        assert!(!count(1, 6), "and the one before does not come back");
        assert!(count(2, 2));
    }
}
