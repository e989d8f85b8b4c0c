//! The names of listings: each says by itself what it sells.
//!
//! | slug | sells |
//! |---|---|
//! | `berth-<device>-<seconds>` | that time on a device |
//! | `berth-x-<contract>-<extension>` | an extension that was asked for; the last part is the beginning of its id |
//!
//! Ids are written as 32 hexadecimal digits. Titles play no part, and the longest slug is well within the 65 characters at
//! which the node begins to cut.

use std::fmt;

use domain::{
    id::{ContractId, DeviceId, ExtensionId},
    offer::MAX_TERM_S,
    time::Seconds,
};
use uuid::Uuid;

/// What all names of Berth's listings begin with.
pub const PREFIX: &str = "berth-";
/// Digits of an extension's id in a name.
const SHORT: usize = 16;

/// What a listing sells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slug {
    /// Time on a device.
    Rental {
        /// The device.
        device: DeviceId,
        /// Seconds in one piece.
        term_s: Seconds,
    },
    /// An extension that was asked for.
    Extension {
        /// The contract.
        contract: ContractId,
        /// The beginning of the request's id.
        extension: String,
    },
}

impl Slug {
    /// The name of an extension's listing.
    #[must_use]
    pub fn extension(contract: ContractId, extension: ExtensionId) -> Self {
        let mut extension = extension.0.simple().to_string();
        extension.truncate(SHORT);
        Self::Extension { contract, extension }
    }

    /// Whether an extension is the one that is sold.
    #[must_use]
    pub fn sells(&self, wanted: ExtensionId) -> bool {
        let Self::Extension { extension, .. } = self else { return false };
        wanted.0.simple().to_string().starts_with(extension.as_str())
    }

    /// Reads a name; `None` when it is none of Berth's.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let slug = match rest.strip_prefix("x-") {
            Some(rest) => {
                let (contract, extension) = rest.split_once('-')?;
                let extension = extension.to_owned();
                Self::Extension { contract: ContractId(Uuid::try_parse(contract).ok()?), extension }
            }
            None => {
                let (device, term_s) = rest.split_once('-')?;
                let term_s = term_s.parse().ok().filter(|term_s| (1..=MAX_TERM_S).contains(term_s))?;
                Self::Rental { device: DeviceId(Uuid::try_parse(device).ok()?), term_s }
            }
        };
        // There is one way to write it: what reads as the same but is written otherwise is somebody else's.
        (slug.to_string() == text && slug.is_whole()).then_some(slug)
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Rental { .. } => true,
            Self::Extension { extension, .. } => {
                extension.len() == SHORT && extension.bytes().all(|b| b.is_ascii_hexdigit())
            }
        }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rental { device, term_s } => write!(f, "{PREFIX}{}-{term_s}", device.0.simple()),
            Self::Extension { contract, extension } => {
                write!(f, "{PREFIX}x-{}-{extension}", contract.0.simple())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_sold_and_is_never_cut() {
        let device = DeviceId(Uuid::from_u128(u128::MAX));
        let (contract, extension) = (ContractId::of(device, 1), ExtensionId(Uuid::from_u128(7 << 90)));
        for slug in [Slug::Rental { device, term_s: MAX_TERM_S }, Slug::extension(contract, extension)] {
            assert_eq!(Slug::read(&slug.to_string()), Some(slug.clone()));
            assert!(slug.to_string().len() <= 65, "{slug}");
        }
        assert!(Slug::extension(contract, extension).sells(extension));
        assert!(!Slug::extension(contract, extension).sells(ExtensionId(Uuid::from_u128(9 << 90))));
    }

    #[test]
    fn what_is_not_written_like_ours_is_not_ours() {
        let device = "0".repeat(32);
        for other in [
            "p2pvps-1".into(),
            format!("berth-{device}-0"),
            format!("berth-{device}-060"),
            format!("berth-{device}-60-1"),
            format!("berth-{device}1-60"),
            format!("berth-x-{device}-short"),
            format!("BERTH-{device}-60"),
            format!("berth-{}-60", Uuid::nil()),
        ] {
            assert_eq!(Slug::read(&other), None, "{other}");
        }
    }
}
