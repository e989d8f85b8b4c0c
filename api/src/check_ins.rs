//! Signs of life between polls, each of which counts once.
//!
//! # Correctness
//! A check-in carries the boot id of its agent and a count that only rises; one that was seen before, or is of an earlier
//! start, is nobody's sign of life. What is remembered is bounded and lost with a restart of the server: an old check-in
//! can then count once more, which makes a device that went silent be found lost a little later.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use domain::{id::DeviceId, wire::CheckIn};
use uuid::Uuid;

/// Devices remembered.
const MAX_DEVICES: usize = 50_000;
/// Earlier starts remembered of each.
const MAX_BOOTS: usize = 8;

/// The last check-in of a device.
#[derive(Debug)]
struct Last {
    boot: Uuid,
    count: u64,
    before: VecDeque<Uuid>,
}

/// The check-ins that were counted.
#[derive(Debug, Default)]
pub struct CheckIns(Mutex<HashMap<DeviceId, Last>>);

impl CheckIns {
    /// Whether a check-in is new; then it is counted.
    pub fn count(&self, device: DeviceId, check_in: &CheckIn) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let CheckIn { boot_id: boot, count, .. } = *check_in;
        let Some(last) = all.get_mut(&device) else {
            if all.len() >= MAX_DEVICES {
                all.clear();
            }
            all.insert(device, Last { boot, count, before: VecDeque::new() });
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
}

#[cfg(test)]
mod tests {
    use domain::{key::PublicKey, wire::VERSION};

    use super::*;

    #[test]
    fn a_check_in_counts_once_and_only_forwards() {
        let all = CheckIns::default();
        let count = |boot: u128, count| {
            let boot_id = Uuid::from_u128(boot);
            let check_in = CheckIn { v: VERSION, device_key: PublicKey([1; 32]), boot_id, count };
            all.count(DeviceId(Uuid::from_u128(7)), &check_in)
        };
        assert!(count(1, 1) && count(1, 2) && count(1, 5));
        assert!(!count(1, 5) && !count(1, 3));
        assert!(count(2, 1), "another start counts anew");
        assert!(!count(1, 6), "and the one before does not come back");
        assert!(count(2, 2));
    }
}
