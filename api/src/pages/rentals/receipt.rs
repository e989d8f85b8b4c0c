//! How the data of a rental was erased: the device's own words, from the ledger.

use domain::{
    any::AnyEvent,
    device::DeviceEvent,
    event::Position,
    id::{ContractId, Epoch},
    time::Time,
    wire::{EraseStep, Receipt, StepResult},
};
use projections::views::{MAX_LIMIT, timeline::Subject};

use crate::{app::App, error::Problem};

/// The most parts of a rental's timeline that are looked at for its end.
const MAX_PARTS: usize = 20;
/// The most of its last events that are looked at.
const MAX_EVENTS: usize = 50;

/// An erasure receipt.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// When it arrived.
    pub at: Time,
    /// Its place in the ledger.
    pub position: Position,
    /// The kind of volume.
    pub volume: String,
    /// What was done.
    pub steps: Vec<EraseStep>,
    /// SHA-256 of the tombstone it acted on.
    pub tombstone: String,
    /// The device's signature.
    pub signature: String,
}

impl Erasure {
    /// The receipt of a rental's lease, if it came.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn of(app: &App, contract: ContractId, epoch: Epoch) -> Result<Option<Self>, Problem> {
        let mut last: Vec<Position> = Vec::new();
        for _ in 0..MAX_PARTS {
            let part = app.views.timeline(Subject::from(contract), last.last().copied(), MAX_LIMIT).await?;
            let whole = part.len() == MAX_LIMIT;
            last.extend(part);
            last.drain(..last.len().saturating_sub(MAX_EVENTS));
            if !whole {
                break;
            }
        }
        // The receipt comes after the end: it is among the last.
        for position in last.into_iter().rev() {
            let found = app.executor.log().read_all(position, 1).await?;
            let Some(recorded) = found.first() else { continue };
            let Ok(AnyEvent::Device(DeviceEvent::EpochErased(erased))) = AnyEvent::of(recorded) else {
                continue;
            };
            if erased.epoch != epoch {
                continue;
            }
            let signed = erased.receipt.0;
            let receipt: Receipt =
                serde_json::from_str(&signed.payload).map_err(|e| Problem::internal(&e))?;
            return Ok(Some(Self {
                at: Time::from_unix(recorded.event.recorded_at.timestamp()),
                position,
                volume: receipt.volume,
                steps: receipt.steps,
                tombstone: receipt.tombstone.to_string(),
                signature: signed.signature.to_string(),
            }));
        }
        Ok(None)
    }
}

/// How a step went, in words.
#[must_use]
pub const fn result(result: StepResult) -> &'static str {
    match result {
        StepResult::Done => "done and verified",
        StepResult::NothingThere => "nothing was there",
        StepResult::Unsupported => "the hardware cannot do it",
    }
}
