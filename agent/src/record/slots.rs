//! Two slots that hold the record, and what a power cut leaves of them.
//!
//! # Shape
//! ```text
//! slot n % 2:  magic (8) | version (4) | length (4) | n (8) | SHA-256 (32) over version, length, n and payload | payload
//! ```
//! All numbers are little-endian. Save `n` overwrites the slot of save `n - 2` where it lies.
//!
//! # Correctness
//! The space is taken when the file is made, so a full disk cannot stop a save. A save that was cut off spoils one slot,
//! and the other is exactly one step older; a slot counts only when every byte is as written.

use std::io;

use domain::key::Digest;

/// The length of one slot, in bytes.
pub const SLOT: usize = 65_536;
const HEAD: usize = 56;
const MAGIC: &[u8; 8] = b"berthrec";
const VERSION: u32 = 2;

/// Where the slots lie. Nothing is durable before [`Medium::sync`].
///
/// # Errors
/// Every call fails as the operating system says.
pub trait Medium: Send {
    /// Reads a slot from the medium itself: a cached copy proves nothing.
    fn read(&mut self, slot: usize) -> io::Result<Vec<u8>>;

    /// Overwrites the first bytes of a slot.
    fn write(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Empty,
    Spoilt,
    Whole { n: u64, payload: Vec<u8> },
}

/// What both hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever saved.
    Nothing,
    /// Something was, and it cannot be believed.
    Spoilt,
    /// The last save that is whole, and its number.
    Saved { n: u64, payload: Vec<u8> },
}

/// Reads both slots.
pub(super) fn load(medium: &mut dyn Medium) -> io::Result<Found> {
    let slots = [open(&medium.read(0)?, 0), open(&medium.read(1)?, 1)];
    let last = slots.iter().filter_map(|slot| match slot {
        Slot::Whole { n, payload } => Some((*n, payload)),
        Slot::Empty | Slot::Spoilt => None,
    });
    Ok(match last.max() {
        Some((n, payload)) => Found::Saved { n, payload: payload.clone() },
        None if slots.contains(&Slot::Spoilt) => Found::Spoilt,
        None => Found::Nothing,
    })
}

/// Saves `payload` as number `n` and proves that it is there.
pub(super) fn save(medium: &mut dyn Medium, n: u64, payload: &[u8]) -> io::Result<()> {
    let slot = usize::from(n % 2 == 1);
    if payload.len() > SLOT - HEAD {
        return Err(io::Error::other("the record is too long for its slot"));
    }
    let mut bytes = [&head(n, payload), payload].concat();
    // What a longer record left there may hold credentials.
    let left = medium.read(slot)?.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    bytes.resize(bytes.len().max(left), 0);
    medium.write(slot, &bytes)?;
    medium.sync()?;
    match open(&medium.read(slot)?, slot) {
        Slot::Whole { n: read, payload: bytes } if read == n && bytes == payload => Ok(()),
        Slot::Whole { .. } | Slot::Empty | Slot::Spoilt => {
            Err(io::Error::other("what was written does not read back"))
        }
    }
}

fn head(n: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let numbers = [VERSION.to_le_bytes().as_slice(), &length.to_le_bytes(), &n.to_le_bytes()].concat();
    let sum = Digest::of(&[numbers.as_slice(), payload].concat());
    [MAGIC.as_slice(), &numbers, &sum.0].concat()
}

fn open(bytes: &[u8], slot: usize) -> Slot {
    if bytes.iter().all(|b| *b == 0) {
        return Slot::Empty;
    }
    let number = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let length = number(12).and_then(|n| usize::try_from(n & u64::from(u32::MAX)).ok());
    let (Some(length), Some(n)) = (length, number(16)) else { return Slot::Spoilt };
    let payload = HEAD.checked_add(length).and_then(|end| bytes.get(HEAD..end));
    match payload {
        Some(payload) if bytes[..HEAD] == head(n, payload) && usize::from(n % 2 == 1) == slot => {
            Slot::Whole { n, payload: payload.to_vec() }
        }
        Some(_) | None => Slot::Spoilt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Memory([Vec<u8>; 2]);

    impl Medium for Memory {
        fn read(&mut self, slot: usize) -> io::Result<Vec<u8>> {
            Ok(self.0[slot].clone())
        }
        fn write(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
            self.0[slot][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        }
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn memory() -> Memory {
        Memory([vec![0; SLOT], vec![0; SLOT]])
    }

    fn saved(n: u64, payload: &[u8]) -> Found {
        Found::Saved { n, payload: payload.to_vec() }
    }

    #[test]
    fn the_last_whole_save_is_found() {
        let mut memory = memory();
        assert_eq!(load(&mut memory).unwrap(), Found::Nothing);
        for (n, payload) in [(1, "a long first record"), (2, "second"), (3, "third")] {
            save(&mut memory, n, payload.as_bytes()).unwrap();
            assert_eq!(load(&mut memory).unwrap(), saved(n, payload.as_bytes()));
        }
    }

    #[test]
    fn nothing_of_a_longer_record_is_left_in_its_slot() {
        let mut memory = memory();
        save(&mut memory, 1, b"a long record with a password").unwrap();
        save(&mut memory, 3, b"short").unwrap();
        assert!(memory.0[1][HEAD + 5..].iter().all(|b| *b == 0));
    }

    #[test]
    fn damage_to_any_byte_of_a_slot_leaves_the_step_before() {
        let mut whole = memory();
        save(&mut whole, 1, b"older").unwrap();
        save(&mut whole, 2, b"newer").unwrap();
        for at in 0..HEAD + 5 {
            for bit in 0..8 {
                let mut damaged = Memory(whole.0.clone());
                damaged.0[0][at] ^= 1 << bit;
                assert_eq!(load(&mut damaged).unwrap(), saved(1, b"older"), "byte {at}");
            }
        }
    }

    #[test]
    fn two_spoilt_slots_are_not_an_empty_record() {
        let mut memory = memory();
        save(&mut memory, 1, b"only").unwrap();
        memory.0[1][HEAD] ^= 1;
        assert_eq!(load(&mut memory).unwrap(), Found::Spoilt);
    }

    #[test]
    fn a_slot_that_is_in_the_wrong_place_does_not_count() {
        let mut memory = memory();
        save(&mut memory, 1, b"one").unwrap();
        memory.0.swap(0, 1);
        assert_eq!(load(&mut memory).unwrap(), Found::Spoilt);
    }

    #[test]
    fn a_record_that_does_not_fit_is_refused_before_anything_is_written() {
        let mut memory = memory();
        save(&mut memory, 1, b"one").unwrap();
        assert!(save(&mut memory, 2, &vec![b'x'; SLOT]).is_err());
        assert_eq!(load(&mut memory).unwrap(), saved(1, b"one"));
    }
}
