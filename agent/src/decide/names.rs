//! What rows and conflicts are called.

use std::fmt;

use domain::id::Epoch;

/// Rows of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "the rows are described where they are decided and in fixtures/decisions.toml"
)]
pub enum Row {
    B1,
    B2,
    B3,
    B4,
    B5,
    I1,
    I2,
    I3,
    I4,
    I5,
    I6,
    I7,
    I8,
    P1,
    P2,
    P3,
    P4,
    L1,
    L2,
    L3,
    L4,
    L5,
    L6,
    L7,
    L8,
    L9,
    E1,
    R1,
    R2,
    R3,
    R4,
    R5,
    Q1,
    F1,
    F2,
    F3,
    U1,
    U2,
    U3,
    U4,
    X1,
    X2,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a human should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The server speaks of a lease of which nothing is left here.
    #[error("the server runs lease {0}, of which this device has no data")]
    DataLost(Epoch),
    /// The lease's volume is not there or does not carry its label.
    #[error("the volume of lease {0} cannot be opened")]
    DataUnreadable(Epoch),
    /// The server keeps its half of the volume's key back.
    #[error("there is no key for the volume of lease {0}")]
    NoKey(Epoch),
    /// The workload does not run.
    #[error("the workload of lease {0} does not run")]
    Workload(Epoch),
    /// The volume belongs to something else.
    #[error("the volume carries a label that does not fit")]
    Label,
    /// The server's word does not fit what is held.
    #[error("the server's word does not fit the lease held here")]
    Verdict,
    /// The configuration changed under a lease.
    #[error("agent.json names another server than the one this device is leased by")]
    Config,
    /// Erasing does not finish.
    #[error("lease {0} could not be erased")]
    EraseFailed(Epoch),
    /// The owner erased a running lease.
    #[error("the owner erased lease {0} at the device before it ended")]
    Forsaken(Epoch),
    /// The record cannot be written.
    #[error("the record cannot be written")]
    Impaired,
}
