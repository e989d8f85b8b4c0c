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
//! stay up long enough to be seen twice are told apart by a count that falls again and again. Servers on one store remember
//! together ([`Remembered`]), so two machines that ask two servers are seen beside each other, and each server reads
//! every few seconds which alarms stand on the operators' list. A server that has the store for itself remembers nothing
//! after a restart but those: that can only delay an alarm. Memory is bounded: a full one forgets everything but the alarms.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    id::DeviceId,
    key::{Nonce, PublicKey},
    wire::PollRequest,
};
use projections::private::{Private, PrivateError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{error::Problem, remembered::Remembered};

/// What a human is called for.
pub const CLONED: &str = "two machines answer to one device key";
/// What that human can do.
pub const ADVICE: &str = "the card or the data folder of the device was copied: both machines keep their data and wait; \
                          stop one of them for good, then take this off the list, and the other goes on";

/// An alarm that was raised here is on the operators' list within this time.
const LISTED_WITHIN: Duration = Duration::from_secs(10);
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// Device keys and the machines that answer to them.
#[derive(Debug)]
pub struct Clones {
    seen: Remembered<Seen>,
    /// The alarms, and when those were raised that this server has not seen on the list.
    cloned: Mutex<HashMap<DeviceId, Option<Instant>>>,
}

impl Default for Clones {
    fn default() -> Self {
        Self { seen: Remembered::new("polls"), cloned: Mutex::default() }
    }
}

impl Clones {
    /// With the alarms that nobody has seen to.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn load(private: &Private) -> Result<Self, PrivateError> {
        let clones = Self::default();
        clones.look(private).await?;
        Ok(clones)
    }

    fn cloned(&self) -> MutexGuard<'_, HashMap<DeviceId, Option<Instant>>> {
        self.cloned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks which alarms stand on the operators' list; answers for which devices that is news.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn look(&self, private: &Private) -> Result<Vec<DeviceId>, PrivateError> {
        let listed = private.attention_to(CLONED).await?;
        let listed = listed.iter().filter_map(|item| Some((device_of(&item.subject)?, None)));
        let mut listed: HashMap<_, _> = listed.collect();
        let mut cloned = self.cloned();
        for (device, raised) in cloned.iter() {
            if raised.is_some_and(|raised| raised.elapsed() < LISTED_WITHIN) {
                listed.entry(*device).or_insert(*raised);
            }
        }
        let changed = listed.keys().filter(|device| !cloned.contains_key(device));
        let changed: Vec<_> =
            changed.chain(cloned.keys().filter(|device| !listed.contains_key(device))).copied().collect();
        *cloned = listed;
        Ok(changed)
    }

    /// Notes a poll of the key that holds a device's lease.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn note(
        &self,
        private: &Private,
        device: DeviceId,
        poll: &PollRequest,
    ) -> Result<Noted, Problem> {
        if self.is_cloned(device) {
            return Ok(Noted::New);
        }
        let noted = self.seen.change(private, device, |seen| note(seen, poll)).await?;
        self.raise(device, noted);
        Ok(noted)
    }

    /// As [`Clones::note`], in memory.
    #[cfg(test)]
    fn note_here(&self, device: DeviceId, poll: &PollRequest) -> Noted {
        if self.is_cloned(device) {
            return Noted::New;
        }
        let noted = self.seen.here(device, |seen| note(seen, poll));
        self.raise(device, noted);
        noted
    }

    fn raise(&self, device: DeviceId, noted: Noted) {
        if noted == Noted::Another {
            self.cloned().insert(device, Some(Instant::now()));
        }
    }

    /// Whether two machines answer to the device's key, as far as is known.
    #[must_use]
    pub fn is_cloned(&self, device: DeviceId) -> bool {
        self.cloned().contains_key(&device)
    }

    /// A human saw to it: what was remembered of the device is forgotten.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn forget(&self, private: &Private, device: DeviceId) -> Result<(), Problem> {
        self.cloned().remove(&device);
        self.seen.forget(private, device).await
    }

    /// As [`Clones::forget`], in memory.
    #[cfg(test)]
    fn forget_here(&self, device: DeviceId) {
        self.cloned().remove(&device);
        self.seen.here(device, |seen| *seen = None);
    }
}

fn note(seen: &mut Option<Seen>, poll: &PollRequest) -> Noted {
    if seen.as_ref().is_none_or(|seen| seen.key != poll.device_key) {
        *seen = Some(Seen::new(poll));
    }
    let noted = seen.as_mut().map_or(Noted::New, |seen| seen.note(poll));
    if noted == Noted::Another {
        *seen = None;
    }
    noted
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
    use projections::private::Attention;

    use crate::remembered::{MAX_DEVICES, testing::two_servers};

    const DEVICE: DeviceId = DeviceId(Uuid::from_u128(7));

    /// Polls by (boot, saves), each with a nonce of its own; which of them raised the alarm.
    fn alarm(polls: &[(u128, u64)]) -> Option<usize> {
        let clones = Clones::default();
        polls
            .iter()
            .enumerate()
            .position(|(n, poll)| clones.note_here(DEVICE, &request(n, *poll)) == Noted::Another)
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
        assert_eq!([&first, &second].map(|poll| clones.note_here(DEVICE, poll)), [Noted::New; 2]);
        assert_eq!([&first, &second].map(|poll| clones.note_here(DEVICE, poll)), [Noted::Again; 2]);
    }

    #[test]
    fn a_recorded_poll_is_worth_nothing_however_old_it_is_and_whatever_start_it_is_of() {
        let clones = Clones::default();
        let poll = |n: usize, boot, count| PollRequest { count, ..request(n, (boot, 1)) };
        let first: Vec<_> = (1..=40).map(|n| poll(n, 1, n as u64)).collect();
        for poll in &first {
            assert_eq!(clones.note_here(DEVICE, poll), Noted::New);
        }
        assert_eq!(clones.note_here(DEVICE, &poll(50, 2, 1)), Noted::New);
        for poll in &first {
            assert_eq!(clones.note_here(DEVICE, poll), Noted::Again);
        }
        assert_eq!(clones.note_here(DEVICE, &poll(51, 1, 41)), Noted::Late);
        assert_eq!(clones.note_here(DEVICE, &poll(51, 1, 41)), Noted::Again);
        assert_eq!(clones.note_here(DEVICE, &poll(52, 1, 42)), Noted::Another);
    }

    #[test]
    fn another_key_is_another_story_and_what_was_seen_to_is_forgotten() {
        let clones = Clones::default();
        let note = |n, poll| clones.note_here(DEVICE, &request(n, poll)) == Noted::Another;
        assert!(!note(1, (1, 1)));
        let other = PollRequest { device_key: PublicKey([2; 32]), ..request(2, (2, 1)) };
        assert!(clones.note_here(DEVICE, &other) == Noted::New && !note(3, (1, 1)));
        assert!(!note(4, (2, 1)) && !note(5, (1, 1)) && note(6, (1, 1)) && !note(7, (2, 1)));
        assert!(clones.is_cloned(DEVICE));
        clones.forget_here(DEVICE);
        assert!(!clones.is_cloned(DEVICE) && !note(8, (2, 1)) && !note(9, (1, 1)) && !note(10, (2, 1)));
        assert!(note(11, (2, 1)));
    }

    #[test]
    fn memory_is_bounded() {
        let clones = Clones::default();
        for n in 0..(MAX_DEVICES as u128 + 10) {
            clones.note_here(DeviceId(Uuid::from_u128(n)), &request(1, (1, 1)));
        }
        assert!(clones.seen.count() <= MAX_DEVICES);
        let boots: Vec<_> = (1..50).map(|n| (n, 1)).collect();
        boots
            .iter()
            .enumerate()
            .for_each(|(n, poll)| assert_eq!(clones.note_here(DEVICE, &request(n + 1, *poll)), Noted::New));
        clones.seen.here(DEVICE, |seen| assert!(seen.as_ref().unwrap().before.len() <= MAX_BOOTS));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_machines_that_ask_two_servers_are_seen_beside_each_other() {
        let ([on_a, on_b], _database) = two_servers().await;
        let (a, b) = (Clones::default(), Clones::default());
        let at_a = async |n, poll| a.note(&on_a, DEVICE, &request(n, poll)).await.unwrap();
        let at_b = async |n, poll| b.note(&on_b, DEVICE, &request(n, poll)).await.unwrap();
        assert_eq!((at_a(1, (1, 5)).await, at_b(2, (2, 5)).await), (Noted::New, Noted::New));
        assert_eq!((at_b(1, (1, 5)).await, at_a(2, (2, 5)).await), (Noted::Again, Noted::Again));
        assert_eq!((at_a(3, (1, 5)).await, at_b(4, (2, 5)).await), (Noted::Late, Noted::New));
        assert_eq!(at_a(5, (1, 5)).await, Noted::Another);
        // The other hears of it by the list, and of its end.
        assert!(a.is_cloned(DEVICE) && !b.is_cloned(DEVICE));
        let (subject, what) = (format!("device-{DEVICE}"), CLONED.to_owned());
        let item = Attention { subject, what, detail: ADVICE.into(), since: Time::MIN };
        on_a.call_attention(&item).await.unwrap();
        assert_eq!(b.look(&on_b).await.unwrap(), [DEVICE]);
        assert!(b.is_cloned(DEVICE) && a.look(&on_a).await.unwrap().is_empty());
        on_b.end_attention(&item.subject, CLONED).await.unwrap();
        b.forget(&on_b, DEVICE).await.unwrap();
        assert_eq!(a.look(&on_a).await.unwrap(), [DEVICE]);
        assert!(!a.is_cloned(DEVICE));
        assert_eq!((at_a(6, (1, 5)).await, at_b(7, (2, 5)).await), (Noted::New, Noted::New));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_machines_whose_polls_arrive_at_once_are_found_out_after_a_few() {
        let ([on_a, on_b], _database) = two_servers().await;
        let (a, b) = (Clones::default(), Clones::default());
        for n in 0..5 {
            let (first, second) = (request(2 * n + 1, (1, 5)), request(2 * n + 2, (2, 5)));
            let (at_a, at_b) = tokio::join!(a.note(&on_a, DEVICE, &first), b.note(&on_b, DEVICE, &second));
            if [at_a.unwrap(), at_b.unwrap()].contains(&Noted::Another) {
                return;
            }
        }
        panic!("nobody was found out");
    }
}
