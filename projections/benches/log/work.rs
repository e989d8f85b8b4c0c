//! The work that both sides of the comparison do: rent something, extend the rental again and again.
//!
//! Also compiled into the peer, so that both decide, serialise and fold exactly the same.

use serde::{Deserialize, Serialize};

/// The payload of every event: some 380 bytes of JSON, the average of a rental's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    pub asset: String,
    pub contract: String,
    pub device: String,
    pub end: u64,
    pub fee_basis_points: u32,
    pub marketplace: String,
    pub order: String,
    pub paid: String,
    pub rate: String,
    pub renter: String,
    pub segment: u64,
    pub start: u64,
    pub subdomain: String,
    pub term: String,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Extend {
    pub contract: u128,
    pub seconds: u64,
}

/// What the events say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rental {
    pub segments: u64,
    pub end: u64,
    pub paid: u64,
}

/// Why not.
#[derive(Debug, PartialEq, Eq)]
pub struct TermTooShort;

impl std::fmt::Display for TermTooShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the term is too short")
    }
}

impl std::error::Error for TermTooShort {}

fn hex(n: u128) -> String {
    let hex = format!("{n:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl Rental {
    pub fn decide(&self, Extend { contract, seconds }: Extend) -> Result<Extended, TermTooShort> {
        if seconds < 60 {
            return Err(TermTooShort);
        }
        let paid = seconds * 3;
        Ok(Extended {
            asset: "USD".into(),
            contract: hex(contract),
            device: hex(contract ^ 0x5bd1_e995_5bd1_e995_5bd1_e995),
            end: self.end + seconds,
            fee_basis_points: 250,
            marketplace: "openbazaar".into(),
            order: format!("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG-{}", self.segments),
            paid: format!("{}.{:02}", paid / 100, paid % 100),
            rate: "108.00".into(),
            renter: hex(contract.wrapping_mul(3)),
            segment: self.segments,
            start: self.end,
            subdomain: "b0123456789abcde".into(),
            term: "hour".into(),
        })
    }

    pub fn apply(&mut self, event: &Extended) {
        self.segments = event.segment + 1;
        self.end = event.end;
        self.paid += event.end - event.start;
    }
}
