//! All that a device and a server say to each other, signing included.
//!
//! # Shape
//! A message travels as a [`Signed`] envelope: the exact bytes that were signed, who signed them and the signature. The
//! server signs with an *online* key, which the *root* key pinned by the device certifies ([`OnlineKey`]); a device
//! signs with its own key.
//!
//! # Correctness
//! [`Verified`] has no public constructor: a value inside one passed every check of its `verify` function. Whoever acts
//! on data that is not `Verified` does not compile. Signatures cover a context string, so a signature made for one kind
//! of message is worth nothing for another.

mod answer;
mod envelope;
mod half;
mod receipt;
mod request;
mod tunnel;

pub use answer::{Answer, Expect, HoldWhy, Tombstone, Verdict};
pub use envelope::{Message, OnlineKey, ServerSigned, Signed, Verified, WireError, sign};
pub use half::KeyHalf;
pub use receipt::{EraseStep, MAX_RECEIPT, MAX_STEP_TEXT, MAX_STEPS, Receipt, SignedReceipt, StepResult};
pub use request::{
    CheckIn, Grant, GrantProof, PollRequest, ProvenGrant, Registration, Reported, ReportedState,
    SignedCheckIn, SignedPoll, SignedRegistration,
};
pub use tunnel::{GatewayAddress, MAX_HOST_KEY, MAX_HOST_KEYS, is_host_key};

/// The version of every message here.
pub const VERSION: u32 = 1;
/// The largest message a device reads, in bytes.
pub const MAX_MESSAGE: usize = 65_536;
/// The furthest an answer may run ahead of the epoch a device knows.
pub const MAX_EPOCH_JUMP: u32 = 1_000;

#[cfg(test)]
mod tests;
