//! Money, times and roles.

use utoipa::ToSchema;

/// A currency or coin.
#[derive(ToSchema)]
#[expect(missing_docs, reason = "the codes are their own documentation")]
pub enum Asset {
    BCH,
    BTC,
    CHF,
    ETH,
    EUR,
    GBP,
    JPY,
    LTC,
    USD,
    ZEC,
}

/// An amount of one asset; never a float.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// A decimal number at the asset's scale.
    #[schema(example = "12.30", pattern = "^[0-9]+(\\.[0-9]+)?$")]
    pub amount: String,
    /// The asset.
    pub asset: Asset,
}

/// `[start, end)`, in UTC seconds.
#[derive(ToSchema)]
pub struct Interval {
    /// First second inside.
    #[schema(format = DateTime)]
    pub start: String,
    /// First second outside.
    #[schema(format = DateTime)]
    pub end: String,
}

/// What an account may do.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Role {
    /// Enrols devices and is paid.
    Owner,
    /// Rents.
    Renter,
    /// Runs the server.
    Operator,
    /// Reads everything, changes nothing.
    Auditor,
    /// An integration that brings orders and moves money.
    Marketplace,
}

/// Who or what ended a rental.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EndedBy {
    /// The paid term was over.
    Term,
    /// The renter.
    Renter,
    /// The owner.
    Owner,
    /// The operator.
    Operator,
    /// The device was lost past its grace.
    DeviceLost,
}

/// Back to a renter, to an owner, or to a moderator.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum SettlementKind {
    /// Back to a renter.
    Refund,
    /// To an owner.
    Payout,
    /// To whoever decided a dispute.
    Moderation,
}

/// How far a settlement is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum SettlementStatus {
    /// It waits to be tried.
    Due,
    /// It is being tried and may have moved.
    Started,
    /// It moved.
    Settled,
    /// It certainly did not move; it may be tried again.
    Failed,
    /// Nobody knows whether it moved.
    Quarantined,
    /// It will not move: it is disputed.
    Withdrawn,
}

/// What really moved.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Movement {
    /// The transaction's id or the operator's reference; 1 to 500 bytes.
    #[schema(min_length = 1, max_length = 500)]
    pub reference: String,
    /// What arrived.
    pub moved: Money,
    /// What the network took on top.
    pub network_fee: Option<Money>,
}

/// What an operator found out about a quarantined settlement.
#[derive(ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Resolution {
    /// The money had moved.
    Moved {
        /// How.
        movement: Movement,
    },
    /// The money had not moved; it is due again.
    NotMoved,
}

/// How a decision divides disputed money: in proportion to these weights, to the last unit.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Goes back to the renter.
    pub renter: u32,
    /// Was earned: the owner's, less the operator's share.
    pub owner: u32,
    /// Is kept by the moderator; 0 when left out.
    #[schema(required = false)]
    pub moderator: u32,
}
