//! What a renter decides about the data: whether the device may resume without the server, and erasing at once.

use axum::extract::State;
use domain::{contract::Contract as Ledger, device::KeyEnd, id::ContractId, time::Time};
use projections::views::contracts::ContractRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    answer::{Answer, IfMatch},
    auth::Renter,
    contracts::{Contract, show},
    extract::{Json, Path},
    rentals::authorise_renter,
    schema,
};
use crate::{app::App, contracts, error::Problem};

/// Where the server's half of a volume key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// The server holds it.
    Held,
    /// It is destroyed: what is left of the data is noise.
    Destroyed,
    /// The lease never had one, or it was lost with the server's disk.
    None,
}

/// The server's half of the key that the data is encrypted with. An encrypted volume cannot be opened without it.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyHalf {
    /// Where it is.
    pub state: KeyState,
    /// Tells it from any other half, without giving it away.
    #[schema(required)]
    pub commitment: Option<String>,
    /// When its destruction was recorded.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub destroyed_at: Option<Time>,
    /// Why it was destroyed.
    #[schema(value_type = Option<schema::KeyEnd>, required)]
    pub why: Option<KeyEnd>,
}

impl KeyHalf {
    /// The half of a contract's lease: what the ledger says, or else what is kept.
    ///
    /// # Errors
    /// When the halves cannot be read.
    pub(super) async fn of(app: &App, row: &ContractRow) -> Result<Self, Problem> {
        if let Some(commitment) = row.key_commitment {
            let (commitment, destroyed_at) = (Some(commitment.to_string()), row.key_destroyed_at);
            return Ok(Self { state: KeyState::Destroyed, commitment, destroyed_at, why: row.key_end });
        }
        let half = app.halves.half(row.device, row.epoch).await?;
        let why = half.and_then(|half| half.destroyed);
        let state = match half {
            None => KeyState::None,
            Some(_) if why.is_some() => KeyState::Destroyed,
            Some(_) => KeyState::Held,
        };
        let commitment = half.map(|half| half.commitment.to_string());
        Ok(Self { state, commitment, destroyed_at: None, why })
    }
}

/// A choice.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfflineResume {
    /// Whether the device may keep the server's half of the key.
    allowed: bool,
}

/// Lets the device keep the server's half of the volume key, so that your rental resumes after a power cut even while the
/// server cannot be reached; the price is that erasing the data afterwards is best effort. Off until you allow it. What a
/// device has kept by then it keeps.
#[utoipa::path(put, path = "/v1/contracts/{contract}/offline-resume", tag = "contracts",
    params(("contract" = Uuid, Path)), security(("token" = ["renter"])), request_body = OfflineResume,
    responses((status = 200, description = "The contract", body = Contract)))]
pub async fn choose_offline_resume(
    State(app): State<App>,
    caller: Renter,
    Path(contract): Path<ContractId>,
    condition: IfMatch,
    Json(OfflineResume { allowed }): Json<OfflineResume>,
) -> Result<Answer<Contract>, Problem> {
    authorise_renter(&app, &caller, contract).await?;
    condition.check(app.executor.load::<Ledger>(&contract).await?.revision)?;
    let done = contracts::choose_offline_resume(&app, contract, allowed, &caller.by()).await?;
    show(&app, contract, done.position).await
}

/// Asks for the data of your ended rental to be gone at once: the server destroys its half of the volume key without
/// waiting for the device or for the appeal window. You cannot appeal against the end any more.
#[utoipa::path(post, path = "/v1/contracts/{contract}/erasure", tag = "contracts",
    params(("contract" = Uuid, Path)), security(("token" = ["renter"])),
    responses((status = 200, description = "The contract", body = Contract)))]
pub async fn ask_erasure(
    State(app): State<App>,
    caller: Renter,
    Path(contract): Path<ContractId>,
    condition: IfMatch,
) -> Result<Answer<Contract>, Problem> {
    authorise_renter(&app, &caller, contract).await?;
    condition.check(app.executor.load::<Ledger>(&contract).await?.revision)?;
    let done = contracts::ask_erasure(&app, contract, &caller.by()).await?;
    // Whoever asks for it wants to see it done.
    app.follow_up(done.position).await;
    show(&app, contract, done.position).await
}
