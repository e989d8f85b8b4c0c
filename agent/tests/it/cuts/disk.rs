//! A machine whose power can be cut at any operation of its disk or its network.
//!
//! # Shape
//! Every operation counts; at the chosen one the power fails, and every later one fails too. What was not synced by then
//! survives in part: [`Machine::outcomes`] enumerates what a reboot may find.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use agent::record::{Medium, SLOT};
use domain::key::Digest;

use super::{blocks::BlockModel, tree::TreeModel};

/// Bytes that a medium writes at once.
const SECTOR: usize = 512;
/// So many unsynced parts are tried in every combination.
const EVERY_SUBSET: usize = 6;

/// What is on the disk and what is on its way there.
#[derive(Clone)]
pub struct State {
    count: usize,
    cut_at: Option<usize>,
    /// Counts what makes a difference to a reboot.
    pub changes: usize,
    pub record: RecordModel,
    pub tree: TreeModel,
    pub blocks: BlockModel,
}

/// The machine.
#[derive(Clone)]
pub struct Machine(Arc<Mutex<State>>);

impl Machine {
    pub fn new() -> Self {
        let record = RecordModel { durable: vec![0; 2 * SLOT], pending: Vec::new() };
        let state = State {
            count: 0,
            cut_at: None,
            changes: 0,
            record,
            tree: TreeModel::default(),
            blocks: BlockModel::default(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Cuts the power at the `n`th operation from now, counted from 1.
    pub fn cut_at(&self, n: Option<usize>) {
        let mut state = self.state();
        (state.count, state.cut_at) = (0, n);
    }

    pub fn count(&self) -> usize {
        self.state().count
    }

    pub fn is_cut(&self) -> bool {
        let state = self.state();
        state.cut_at.is_some_and(|at| state.count >= at)
    }

    /// What a reboot may find, each on a machine of its own.
    pub fn outcomes(&self) -> Vec<Self> {
        let state = self.state().clone();
        let mut outcomes = Vec::new();
        for record in state.record.outcomes() {
            for tree in state.tree.outcomes() {
                for blocks in state.blocks.outcomes() {
                    let record = record.clone();
                    let found =
                        State { count: 0, cut_at: None, changes: 0, record, tree: tree.clone(), blocks };
                    outcomes.push(Self(Arc::new(Mutex::new(found))));
                }
            }
        }
        outcomes
    }

    /// The same with one slot of the record spoilt.
    pub fn with_rot(&self, slot: usize) -> Self {
        let mut state = self.state().clone();
        state.record.durable[slot * SLOT + 60] ^= 0x55;
        Self(Arc::new(Mutex::new(state)))
    }

    /// Does something with the state unless the power is cut; the operation at which it fails is begun.
    pub fn op<T>(&self, begin: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        state.count += 1;
        let off = |state: &State| state.cut_at.is_some_and(|at| state.count > at);
        if off(&state) {
            return Err(io::Error::other("the power is off"));
        }
        let done = begin(&mut state)?;
        if state.cut_at == Some(state.count) {
            return Err(io::Error::other("the power fails"));
        }
        Ok(done)
    }

    /// Looks at the state unless the power is cut: what is only read may fail where the next change does, and need not
    /// be tried by itself.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> io::Result<T> {
        let state = self.state();
        match state.cut_at {
            Some(at) if state.count >= at => Err(io::Error::other("the power is off")),
            Some(_) | None => Ok(look(&state)),
        }
    }

    /// Makes something durable; the power may fail before.
    pub fn sync(&self, sync: impl FnOnce(&mut State)) -> io::Result<()> {
        self.op(|_| Ok(()))?;
        let mut state = self.state();
        let pending =
            |state: &State| (state.record.pending.len(), state.tree.pending(), state.blocks.pending());
        let before = pending(&state);
        sync(&mut state);
        state.changes += usize::from(pending(&state) != before);
        Ok(())
    }
}

/// Every combination of few parts; of many the telling ones: none, all, every prefix, all but one, one alone.
pub fn subsets(parts: usize) -> Vec<Vec<bool>> {
    if parts <= EVERY_SUBSET {
        return (0..1u32 << parts).map(|bits| (0..parts).map(|n| bits >> n & 1 == 1).collect()).collect();
    }
    let prefixes = (0..=parts).map(|end| (0..parts).map(|n| n < end).collect());
    let one = |alone: bool| (0..parts).map(move |at| (0..parts).map(|n| (n == at) == alone).collect());
    prefixes.chain(one(true)).chain(one(false)).collect()
}

/// The two slots, sector by sector.
#[derive(Clone)]
pub struct RecordModel {
    pub durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

impl RecordModel {
    fn now(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.pending.iter().for_each(|(at, sector)| bytes[*at..*at + sector.len()].copy_from_slice(sector));
        bytes
    }

    fn outcomes(&self) -> Vec<Self> {
        let found = |pending: Vec<(usize, Vec<u8>)>| {
            let durable = Self { durable: self.durable.clone(), pending }.now();
            Self { durable, pending: Vec::new() }
        };
        let survived = |kept: &Vec<bool>| {
            found(self.pending.iter().zip(kept).filter(|(_, kept)| **kept).map(|(p, _)| p.clone()).collect())
        };
        let torn = |torn: usize| {
            let mut pending = self.pending.clone();
            pending[torn].1.truncate(SECTOR / 3);
            found(pending)
        };
        let outcomes = subsets(self.pending.len()).into_iter().map(|kept| survived(&kept));
        let outcomes = outcomes.chain((0..self.pending.len()).map(torn));
        let mut seen = std::collections::HashSet::new();
        outcomes
            .filter(|outcome| {
                let slots = outcome.durable.chunks(SLOT).map(|slot| content(slot).map(<[u8]>::to_vec));
                seen.insert(slots.collect::<Vec<_>>())
            })
            .collect()
    }
}

/// What a slot says: all spoilt ones say the same.
fn content(slot: &[u8]) -> Option<&[u8]> {
    if slot.iter().all(|b| *b == 0) {
        return Some(&[]);
    }
    let length = u32::from_le_bytes(slot[12..16].try_into().unwrap());
    let payload = slot.get(56..56 + usize::try_from(length).unwrap())?;
    let sum = Digest::of(&[&slot[8..24], payload].concat());
    (sum.0 == slot[24..56]).then_some(payload)
}

/// The record's place on the machine.
pub struct Slots(pub Machine);

impl Medium for Slots {
    fn read(&mut self, slot: usize) -> io::Result<Vec<u8>> {
        self.0.look(|state| state.record.now()[slot * SLOT..][..SLOT].to_vec())
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        self.0.op(|state| {
            state.changes += 1;
            let sectors = bytes.chunks(SECTOR).enumerate();
            state.record.pending.extend(sectors.map(|(n, s)| (slot * SLOT + n * SECTOR, s.to_vec())));
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync(|state| {
            state.record.durable = state.record.now();
            state.record.pending.clear();
        })
    }
}
