//! Any event of any aggregate, read from what a log stored.

use crate::{
    account::AccountEvent,
    contract::ContractEvent,
    device::DeviceEvent,
    event::{DecodeError, Events, Recorded},
    gateway::GatewayEvent,
    order::OrderEvent,
    purse::PurseEvent,
    settlement::SettlementEvent,
    treasury::TreasuryEvent,
};

/// An event of any aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyEvent {
    /// Of a contract.
    Contract(ContractEvent),
    /// Of a device.
    Device(DeviceEvent),
    /// Of a settlement.
    Settlement(SettlementEvent),
    /// Of an order.
    Order(OrderEvent),
    /// Of a gateway.
    Gateway(GatewayEvent),
    /// Of a purse.
    Purse(PurseEvent),
    /// Of a treasury.
    Treasury(TreasuryEvent),
    /// Of an account.
    Account(AccountEvent),
}

impl AnyEvent {
    /// Name and newest schema version of every event there is.
    pub fn kinds() -> impl Iterator<Item = (&'static str, u32)> {
        let lists = [
            ContractEvent::KINDS,
            DeviceEvent::KINDS,
            SettlementEvent::KINDS,
            OrderEvent::KINDS,
            GatewayEvent::KINDS,
            PurseEvent::KINDS,
            TreasuryEvent::KINDS,
            AccountEvent::KINDS,
        ];
        lists.into_iter().flatten().copied()
    }

    /// Its name, such as `RentalStarted`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Contract(e) => e.kind(),
            Self::Device(e) => e.kind(),
            Self::Settlement(e) => e.kind(),
            Self::Order(e) => e.kind(),
            Self::Gateway(e) => e.kind(),
            Self::Purse(e) => e.kind(),
            Self::Treasury(e) => e.kind(),
            Self::Account(e) => e.kind(),
        }
    }

    /// Reads a stored payload by its event's name and version.
    ///
    /// # Errors
    /// When the name or version is not known here or the bytes do not fit.
    pub fn decode(kind: &str, schema: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        fn of<E: Events>(
            kind: &str,
            schema: u32,
            payload: &[u8],
            wrap: fn(E) -> AnyEvent,
        ) -> Option<Result<AnyEvent, DecodeError>> {
            E::decode(kind, schema, payload).map(|decoded| decoded.map(wrap))
        }
        of(kind, schema, payload, Self::Contract)
            .or_else(|| of(kind, schema, payload, Self::Device))
            .or_else(|| of(kind, schema, payload, Self::Settlement))
            .or_else(|| of(kind, schema, payload, Self::Order))
            .or_else(|| of(kind, schema, payload, Self::Gateway))
            .or_else(|| of(kind, schema, payload, Self::Purse))
            .or_else(|| of(kind, schema, payload, Self::Treasury))
            .or_else(|| of(kind, schema, payload, Self::Account))
            .unwrap_or_else(|| Err(DecodeError::UnknownKind(kind.chars().take(80).collect())))
    }

    /// Reads a recorded event.
    ///
    /// # Errors
    /// As [`AnyEvent::decode`].
    pub fn of(recorded: &Recorded) -> Result<Self, DecodeError> {
        Self::decode(&recorded.event.kind, recorded.event.schema, &recorded.event.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_events_share_a_name() {
        let mut names: Vec<_> = AnyEvent::kinds().map(|(name, _)| name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn unknown_names_newer_versions_and_damaged_bytes_are_told_apart() {
        assert!(matches!(AnyEvent::decode("Nope", 1, b"{}"), Err(DecodeError::UnknownKind(_))));
        assert!(matches!(AnyEvent::decode("OfferWithdrawn", 9, b"{}"), Err(DecodeError::NewerSchema { .. })));
        assert!(matches!(AnyEvent::decode("PortLeased", 1, b"{"), Err(DecodeError::Damaged { .. })));
    }
}
