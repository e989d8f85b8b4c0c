//! Reads LUKS2 headers: the label and the token in which a lease says whose it is.
//!
//! Format: LUKS2 On-Disk Format Specification 1.1.1, section 3. Two copies lie at the start of the medium, each a binary
//! part of 4,096 bytes and a JSON text, with a checksum over both; the valid one with the higher sequence number counts.

use std::io;

use domain::id::Epoch;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::volume::Owner;

const PRIMARY: &[u8; 6] = b"LUKS\xba\xbe";
const SECONDARY: &[u8; 6] = b"SKUL\xba\xbe";
const BINARY: usize = 4_096;
/// Where a second copy may start, which is also the length of the first: section 3.1 of the specification.
const LENGTHS: [usize; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
const CHECKSUM: std::ops::Range<usize> = 448..512;
const LABEL: &str = "berth-lease-";
/// The type of the token that holds the owner.
pub const TOKEN: &str = "berth-lease";

/// What the start of a medium shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// No copy.
    Absent,
    /// Only the torn first copy of a lease's: it was never finished, and nothing was ever kept under it.
    Torn,
    /// A copy whose checksum does not fit, or a label that is not a lease's.
    Unreadable(String),
    /// A lease's.
    Lease {
        /// The lease.
        epoch: Epoch,
        /// What tells this volume from any other: its UUID.
        uuid: String,
        /// The owner; none while it is being prepared.
        owner: Option<Owner>,
    },
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    tokens: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Token {
    r#type: String,
    owner: Owner,
}

#[derive(Default)]
struct Copy {
    sequence: u64,
    label: Vec<u8>,
    uuid: Vec<u8>,
    json: Vec<u8>,
}

/// The label of a lease's volume.
#[must_use]
pub fn label(epoch: Epoch) -> String {
    format!("{LABEL}{epoch}")
}

/// Reads the header of a medium; `read` gives the bytes at an offset, fewer at its end.
///
/// # Errors
/// When the medium cannot be read.
pub fn read(read: impl Fn(usize, usize) -> io::Result<Vec<u8>>) -> io::Result<Header> {
    let mut first = copy(&read, 0, PRIMARY)?;
    let mut copies = Vec::new();
    if let Seen::Whole(copy) = &mut first {
        copies.push(std::mem::take(copy));
    }
    let mut broken_second = false;
    for at in LENGTHS {
        match copy(&read, at, SECONDARY)? {
            Seen::Nothing => {}
            Seen::Broken { .. } => broken_second = true,
            Seen::Whole(copy) => copies.push(copy),
        }
    }
    let last = copies.into_iter().max_by_key(|copy| copy.sequence);
    Ok(match (last, first) {
        (Some(copy), _) => lease(&copy),
        // The first copy is durable before the second is begun.
        (None, Seen::Broken { ours: true }) if !broken_second => Header::Torn,
        (None, Seen::Nothing | Seen::Whole(_)) if !broken_second => Header::Absent,
        (None, _) => Header::Unreadable("no copy of it is whole".into()),
    })
}

fn lease(copy: &Copy) -> Header {
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let label = text(&copy.label);
    let Some(epoch) = label.strip_prefix(LABEL).and_then(|epoch| epoch.parse().ok()) else {
        return Header::Unreadable(format!("its label is {label:?}, not a lease's"));
    };
    let metadata: Metadata = match serde_json::from_str(&text(&copy.json)) {
        Ok(metadata) => metadata,
        Err(e) => return Header::Unreadable(format!("its metadata cannot be read: {e}")),
    };
    let tokens = metadata.tokens.into_values().filter_map(|token| serde_json::from_value(token).ok());
    let owner = tokens.into_iter().find(|token: &Token| token.r#type == TOKEN).map(|token| token.owner);
    match owner {
        Some(owner) if owner.epoch != epoch => {
            Header::Unreadable("its label and its token name two leases".into())
        }
        owner => Header::Lease { epoch, uuid: text(&copy.uuid), owner },
    }
}

enum Seen {
    Nothing,
    /// Its checksum does not fit; `ours` when its label is a lease's.
    Broken {
        ours: bool,
    },
    Whole(Copy),
}

fn copy(read: &impl Fn(usize, usize) -> io::Result<Vec<u8>>, at: usize, magic: &[u8; 6]) -> io::Result<Seen> {
    let binary = read(at, BINARY)?;
    if binary.len() < BINARY || &binary[..6] != magic {
        return Ok(Seen::Nothing);
    }
    let number = |at: usize| binary[at..at + 8].iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    let size =
        usize::try_from(number(8)).ok().filter(|size| LENGTHS.contains(size) && (at == 0 || at == *size));
    let ours = binary[6..8] == [0, 2] && binary[24..].starts_with(LABEL.as_bytes());
    let Some(size) = size else { return Ok(Seen::Broken { ours }) };
    let bytes = read(at, size)?;
    if bytes.len() < size || binary[6..8] != [0, 2] || !binary[72..104].starts_with(b"sha256\0") {
        return Ok(Seen::Broken { ours });
    }
    let mut sum = Sha256::new();
    sum.update(&bytes[..CHECKSUM.start]);
    sum.update([0; 64]);
    sum.update(&bytes[CHECKSUM.end..]);
    if sum.finalize().as_slice() != &binary[CHECKSUM.start..CHECKSUM.start + 32] {
        return Ok(Seen::Broken { ours });
    }
    let (label, uuid, json) = (binary[24..72].to_vec(), binary[168..208].to_vec(), bytes[BINARY..].to_vec());
    Ok(Seen::Whole(Copy { sequence: number(16), label, uuid, json }))
}
