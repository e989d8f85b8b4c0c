//! Offers, hardware, and what devices send.

use utoipa::ToSchema;
use uuid::Uuid;

use super::Money;

/// The time a rate is for: 3,600 s, 86,400 s, 7 days, 30 days.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(missing_docs, reason = "documented above")]
pub enum Unit {
    Hour,
    Day,
    Week,
    Month,
}

/// A price for a unit of time.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The time it buys.
    pub per: Unit,
    /// What that costs; above 0.
    pub price: Money,
}

/// What an owner asks.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Shown on the market; 1 to 120 bytes.
    #[schema(min_length = 1, max_length = 120)]
    pub title: String,
    /// Where the device stands, as the owner says.
    #[schema(min_length = 1, max_length = 120)]
    pub place: Option<String>,
    /// Rates of one asset, each unit at most once. The rate of the largest unit that fits into a term sets its price.
    #[schema(min_items = 1, max_items = 4)]
    pub rates: Vec<Rate>,
    /// The shortest term, in seconds.
    #[schema(minimum = 1)]
    pub min_term_s: i64,
    /// The longest term, in seconds.
    #[schema(maximum = 315_360_000)]
    pub max_term_s: i64,
}

/// What the device says it is.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Storage for the renter in MiB.
    pub disk_mib: u64,
    /// The processor's name.
    pub processor: String,
    /// Processor cores.
    pub cores: u32,
    /// Measured bandwidth in kbit/s, when it was measured.
    pub bandwidth_kbit_s: Option<u64>,
}

/// Why a lease ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum LeaseEnd {
    /// The rental served its term.
    Expired,
    /// The rental ended early.
    Terminated,
    /// The lease ended without a rental.
    Unrented,
}

/// Why the server destroyed its half of a volume key.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum KeyEnd {
    /// The device's erasure receipt arrived.
    Erased,
    /// The time in which the lease's end could be appealed is over.
    AppealOver,
    /// The renter asked for it.
    Asked,
}

/// A message as it was signed with Ed25519.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The exact JSON text that was signed.
    pub payload: String,
    /// Base64url of the signature over the message's context, a zero byte and the payload.
    pub signature: String,
}

/// A message signed by the server's online key, with the root key's word for that key.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerSigned {
    /// The online key, signed by the root key. Context `berth online key v1`.
    pub certificate: Signed,
    /// The message, signed by the online key. Context `berth answer v1`.
    pub message: Signed,
}

/// Where a device stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ReportedState {
    /// No record, no label.
    Blank,
    /// Nothing leased.
    Idle,
    /// A lease is known, its volume is not ready.
    Preparing,
    /// A lease is held.
    Leased,
    /// Erasing.
    Erasing,
    /// Erased, receipt not acknowledged.
    Erased,
    /// The record is unreadable.
    Unknown,
}

/// What a device says about itself.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// Where it stands.
    pub state: ReportedState,
    /// The lease it knows; 0 for none.
    pub epoch: u32,
    /// Whether the workload runs.
    pub running: bool,
    /// A conflict that a human should see.
    pub conflict: Option<String>,
    /// The SSH host keys of the workload in OpenSSH's one-line form without a comment, such as `ssh-ed25519 AAAA…`.
    #[schema(required = false, max_items = 8)]
    pub host_keys: Vec<String>,
}

/// A device asks what to do: signed, or bare.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AnyPoll {
    /// Signed by the device's key; the payload is a poll.
    Signed(Signed),
    /// Not signed.
    Bare(PollRequest),
}

/// A device asks what to do.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PollRequest {
    /// The version of the messages: 1.
    pub v: u32,
    /// 32 random bytes in base64url, answered back.
    pub nonce: String,
    /// The device's own Ed25519 key in base64url.
    pub device_key: String,
    /// Different after every start of the agent.
    pub boot_id: Uuid,
    /// How often the device wrote its record; a copy of a card falls behind. 0 when not told.
    #[schema(required = false)]
    pub saves: u64,
    /// Where it stands.
    pub reported: Reported,
    /// The sequence number of the last answer; with `wait_s`, the server waits for a later one.
    pub seen_seq: u64,
    /// How long the server may wait for news, in seconds; at most 30.
    #[schema(required = false, maximum = 30)]
    pub wait_s: u32,
    /// The device's time floor.
    #[schema(format = DateTime)]
    pub floor: String,
}
