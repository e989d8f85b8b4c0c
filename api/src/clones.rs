//! Cloned cards: two machines that answer to one device key.
//!
//! # Shape
//! Every start of an agent has a boot id of its own, and the agent counts how often it wrote its record. Of each key that
//! holds a lease the last boot ids are remembered in the order in which they came.
//!
//! # Correctness
//! A machine has one boot id at a time and never takes up an old one, so a boot id that comes back after another did is a
//! second machine: at its second poll, for one may have been late on its way. Polls are noted when they arrive, once each, so a restart while an old poll still waits for its answer
//! is none. A record never loses count but for the one write that a torn sector may take with it; two machines that never
//! stay up long enough to be seen twice are told apart by a count that falls again and again. After a restart of the
//! server nothing is remembered but what stands on the operators' list: that can only delay an alarm. Memory is bounded:
//! a full one forgets everything but the alarms.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{
    id::DeviceId,
    key::{Nonce, PublicKey},
    wire::PollRequest,
};
use projections::private::{Private, PrivateError};
use uuid::Uuid;

/// What a human is called for.
pub const CLONED: &str = "two machines answer to one device key";
/// What that human can do.
pub const ADVICE: &str = "the card or the data folder of the device was copied: both machines keep their data and wait; \
                          stop one of them for good, then take this off the list, and the other goes on";

/// Devices remembered.
const MAX_DEVICES: usize = 50_000;
/// Superseded boot ids remembered of each.
const MAX_BOOTS: usize = 8;
/// Nonces remembered of each.
const MAX_NONCES: usize = 16;
/// How far a record's count may fall at a restart: one write that was torn.
const TORN: u64 = 1;
/// How often it may fall further before that is no accident.
const MAX_FALLS: u8 = 1;

/// What a poll is, seen beside those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// The next one.
    New,
    /// One of an earlier start that was late on its way.
    Late,
    /// One that was heard before: sent again by whoever recorded it, and no sign of life.
    Again,
    /// The one that gives two machines away.
    Another,
}

/// What is remembered of a key.
#[derive(Debug)]
struct Seen {
    key: PublicKey,
    boot: Uuid,
    saves: u64,
    falls: u8,
    /// How far this start has counted its polls.
    count: u64,
    /// The last nonces: a poll that is sent again is no other, also of an agent that does not count.
    nonces: VecDeque<Nonce>,
    /// A poll of an earlier start came late, as one may on a bad line.
    late: bool,
    /// Earlier starts, and how far they had counted.
    before: VecDeque<(Uuid, u64)>,
}

impl Seen {
    fn new(poll: &PollRequest) -> Self {
        let PollRequest { device_key: key, boot_id: boot, saves, .. } = *poll;
        let (nonces, before) = (VecDeque::new(), VecDeque::new());
        Self { key, boot, saves, falls: 0, count: 0, nonces, late: false, before }
    }

    fn note(&mut self, poll: &PollRequest) -> Noted {
        let told = poll.count > 0;
        let earlier = self.before.iter_mut().find(|(boot, _)| *boot == poll.boot_id);
        let counted = match &earlier {
            Some((_, count)) => *count,
            None if poll.boot_id == self.boot => self.count,
            None => 0,
        };
        if self.nonces.contains(&poll.nonce) || (told && poll.count <= counted) {
            return Noted::Again;
        }
        if self.nonces.len() == MAX_NONCES {
            self.nonces.pop_front();
        }
        self.nonces.push_back(poll.nonce);
        if let Some((_, count)) = earlier {
            *count = poll.count;
            let late = std::mem::replace(&mut self.late, true);
            return if late { Noted::Another } else { Noted::Late };
        }
        if poll.boot_id == self.boot {
            (self.saves, self.count) = (self.saves.max(poll.saves), poll.count);
            return Noted::New;
        }
        let fell = poll.saves > 0 && poll.saves + TORN < self.saves;
        self.falls = self.falls.saturating_add(u8::from(fell));
        self.late = false;
        if self.before.len() == MAX_BOOTS {
            self.before.pop_front();
        }
        self.before.push_back((self.boot, self.count));
        (self.boot, self.count, self.saves) = (poll.boot_id, poll.count, poll.saves);
        if self.falls > MAX_FALLS { Noted::Another } else { Noted::New }
    }
}

#[derive(Debug, Default)]
struct State {
    seen: HashMap<DeviceId, Seen>,
    cloned: HashSet<DeviceId>,
}

/// Device keys and the machines that answer to them.
#[derive(Debug, Default)]
pub struct Clones(Mutex<State>);

impl Clones {
    /// With the alarms that nobody has seen to.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn load(private: &Private) -> Result<Self, PrivateError> {
        let listed = private.attention_to(CLONED).await?;
        let cloned = listed.iter().filter_map(|item| device_of(&item.subject)).collect();
        Ok(Self(Mutex::new(State { seen: HashMap::new(), cloned })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a poll of the key that holds a device's lease.
    pub fn note(&self, device: DeviceId, poll: &PollRequest) -> Noted {
        let mut state = self.lock();
        if state.cloned.contains(&device) {
            return Noted::New;
        }
        if state.seen.len() >= MAX_DEVICES && !state.seen.contains_key(&device) {
            state.seen.clear();
        }
        let seen = state.seen.entry(device).or_insert_with(|| Seen::new(poll));
        if seen.key != poll.device_key {
            *seen = Seen::new(poll);
        }
        let noted = seen.note(poll);
        if noted == Noted::Another {
            state.seen.remove(&device);
            state.cloned.insert(device);
        }
        noted
    }

    /// Whether two machines answer to the device's key, as far as is known.
    #[must_use]
    pub fn is_cloned(&self, device: DeviceId) -> bool {
        self.lock().cloned.contains(&device)
    }

    /// A human saw to it: what was remembered of the device is forgotten.
    pub fn forget(&self, device: DeviceId) {
        let mut state = self.lock();
        state.seen.remove(&device);
        state.cloned.remove(&device);
    }
}

/// The device that a subject on the operators' list names.
#[must_use]
pub fn device_of(subject: &str) -> Option<DeviceId> {
    subject.strip_prefix("device-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use domain::{
        time::Time,
        wire::{Reported, ReportedState, VERSION},
    };

    use super::*;

    const DEVICE: DeviceId = DeviceId(Uuid::from_u128(7));

    /// Polls by (boot, saves), each with a nonce of its own; which of them raised the alarm.
    fn alarm(polls: &[(u128, u64)]) -> Option<usize> {
        let clones = Clones::default();
        polls
            .iter()
            .enumerate()
            .position(|(n, poll)| clones.note(DEVICE, &request(n, *poll)) == Noted::Another)
    }

    fn request(n: usize, (boot, saves): (u128, u64)) -> PollRequest {
        PollRequest {
            v: VERSION,
            nonce: Nonce([u8::try_from(n + 1).unwrap(); 32]),
            device_key: PublicKey([1; 32]),
            boot_id: Uuid::from_u128(boot),
            count: 0,
            saves,
            reported: Reported {
                state: ReportedState::Leased,
                epoch: 1,
                running: true,
                conflict: None,
                host_keys: Vec::new(),
            },
            seen_seq: 0,
            wait_s: 0,
            floor: Time::MIN,
        }
    }

    #[test]
    fn a_boot_id_that_comes_back_is_a_second_machine() {
        assert_eq!(alarm(&[(1, 5), (2, 5), (1, 5), (2, 5), (1, 5)]), Some(4));
        assert_eq!(alarm(&[(1, 0), (1, 0), (2, 0), (3, 0), (2, 0), (2, 0)]), Some(5));
    }

    #[test]
    fn one_poll_that_was_late_on_its_way_is_none() {
        assert_eq!(alarm(&[(1, 5), (2, 5), (1, 5), (2, 5), (3, 5), (2, 5), (3, 5)]), None);
    }

    #[test]
    fn ordinary_restarts_are_none() {
        let restarts: Vec<_> = (1..100).flat_map(|n| [(n, n as u64), (n, n as u64)]).collect();
        assert_eq!(alarm(&restarts), None);
        assert_eq!(alarm(&[(1, 9), (2, 8), (3, 7), (4, 6)]), None, "one torn write at a time");
        assert_eq!(alarm(&[(1, 9), (2, 0), (3, 0), (4, 0)]), None, "an agent that does not say");
        assert_eq!(alarm(&[(1, 90), (2, 1), (2, 2), (3, 3)]), None, "a record that was made anew");
    }

    #[test]
    fn two_machines_that_restart_all_the_time_are_told_apart_by_their_counts() {
        assert_eq!(alarm(&[(1, 100), (2, 50), (3, 101), (4, 51)]), Some(3));
    }

    #[test]
    fn a_question_that_is_asked_again_word_for_word_says_nothing_new() {
        let clones = Clones::default();
        let (first, second) = (request(1, (1, 1)), request(2, (2, 1)));
        assert_eq!([&first, &second].map(|poll| clones.note(DEVICE, poll)), [Noted::New; 2]);
        assert_eq!([&first, &second].map(|poll| clones.note(DEVICE, poll)), [Noted::Again; 2]);
    }

    #[test]
    fn a_recorded_poll_is_worth_nothing_however_old_it_is_and_whatever_start_it_is_of() {
        let clones = Clones::default();
        let poll = |n: usize, boot, count| PollRequest { count, ..request(n, (boot, 1)) };
        let first: Vec<_> = (1..=40).map(|n| poll(n, 1, n as u64)).collect();
        for poll in &first {
            assert_eq!(clones.note(DEVICE, poll), Noted::New);
        }
        assert_eq!(clones.note(DEVICE, &poll(50, 2, 1)), Noted::New);
        for poll in &first {
            assert_eq!(clones.note(DEVICE, poll), Noted::Again);
        }
        assert_eq!(clones.note(DEVICE, &poll(51, 1, 41)), Noted::Late);
        assert_eq!(clones.note(DEVICE, &poll(51, 1, 41)), Noted::Again);
        assert_eq!(clones.note(DEVICE, &poll(52, 1, 42)), Noted::Another);
    }

    #[test]
    fn another_key_is_another_story_and_what_was_seen_to_is_forgotten() {
        let clones = Clones::default();
        let note = |n, poll| clones.note(DEVICE, &request(n, poll)) == Noted::Another;
        assert!(!note(1, (1, 1)));
        let other = PollRequest { device_key: PublicKey([2; 32]), ..request(2, (2, 1)) };
        assert!(clones.note(DEVICE, &other) == Noted::New && !note(3, (1, 1)));
        assert!(!note(4, (2, 1)) && !note(5, (1, 1)) && note(6, (1, 1)) && !note(7, (2, 1)));
        assert!(clones.is_cloned(DEVICE));
        clones.forget(DEVICE);
        assert!(!clones.is_cloned(DEVICE) && !note(8, (2, 1)) && !note(9, (1, 1)) && !note(10, (2, 1)));
        assert!(note(11, (2, 1)));
    }

    #[test]
    fn memory_is_bounded() {
        let clones = Clones::default();
        for n in 0..(MAX_DEVICES as u128 + 10) {
            clones.note(DeviceId(Uuid::from_u128(n)), &request(1, (1, 1)));
        }
        assert!(clones.lock().seen.len() <= MAX_DEVICES);
        let boots: Vec<_> = (1..50).map(|n| (n, 1)).collect();
        boots
            .iter()
            .enumerate()
            .for_each(|(n, poll)| assert_eq!(clones.note(DEVICE, &request(n + 1, *poll)), Noted::New));
        assert!(clones.lock().seen[&DEVICE].before.len() <= MAX_BOOTS);
    }
}
