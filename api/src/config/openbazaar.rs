//! The `[openbazaar]` section.

use anyhow::ensure;
use domain::{id::MarketplaceName, time::Seconds};
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// The OpenBazaar node that rentals are sold on; without a URL nothing is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenBazaar {
    /// Where the node's API is, such as `http://127.0.0.1:4002`; empty for no node.
    pub url: String,
    /// The user of the node's `JSON-API` section; empty when the node uses its cookie.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// The content of the node's `.cookie` file, when it uses that.
    pub cookie: Secret,
    /// The name that its orders have in the ledger; never change it while rentals run.
    pub marketplace: MarketplaceName,
    /// The node's peer id: pages link to its listings with it; empty for no links.
    pub peer: String,
    /// Peer ids of moderators that buyers may choose, separated by commas; none: moderated orders are refunded.
    pub moderators: String,
    /// A moderator of your own, who carries out pro-rated refunds from escrow.
    pub moderator: Moderator,
    /// The picture of listings: the node's hash of an image that was uploaded to it.
    pub image: String,
    /// Orders for listings that are not Berth's.
    pub other_listings: OtherListings,
    /// What the wallet pays miners: `PRIORITY`, `NORMAL`, `ECONOMIC` or `SUPER_ECONOMIC`.
    pub fee_level: String,
    /// Confirmations that a payment needs before it buys something.
    pub confirmations: u32,
    /// Seconds between two looks at the node; events make it look at once.
    pub poll_s: Seconds,
    /// Seconds after which listings are compared with the node's as a whole.
    pub compare_s: Seconds,
    /// Seconds that a call may take; orders wait for the network.
    pub timeout_s: Seconds,
    /// Seconds after which an order that was not paid in full goes back.
    pub unpaid_after_s: Seconds,
    /// Seconds after which a payment that nobody can find is left to an operator.
    pub unknown_after_s: Seconds,
    /// Seconds for which one server has the node to itself; another takes over after that.
    pub lease_s: Seconds,
}

/// A moderator of your own; without a URL, moderators decide by themselves.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moderator {
    /// Where the moderator's node has its API.
    pub url: String,
    /// Its user.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Its cookie.
    pub cookie: Secret,
    /// What the moderator takes of what it divides, in basis points: as its profile says.
    pub fee_bps: u32,
}

/// What becomes of orders for listings that are not Berth's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherListings {
    /// They go back in full.
    Refund,
    /// They are left to whoever sells something else on the node; operators are told of each.
    Leave,
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Whether a setting is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    name.starts_with("openbazaar.") && (name.ends_with(".password") || name.ends_with(".cookie"))
}

impl Default for OpenBazaar {
    fn default() -> Self {
        let marketplace = MarketplaceName::new("openbazaar")
            .unwrap_or_else(|_| unreachable!("the name is in the alphabet"));
        Self {
            url: String::new(),
            username: String::new(),
            password: Secret::default(),
            cookie: Secret::default(),
            marketplace,
            peer: String::new(),
            moderators: String::new(),
            moderator: Moderator::default(),
            image: "QmfVj3x4D6Jkq9SEoi5n2NmoUomLwoeiwnYz2KQa15wRw6".into(),
            other_listings: OtherListings::Refund,
            fee_level: "NORMAL".into(),
            confirmations: 0,
            poll_s: 15,
            compare_s: 3_600,
            timeout_s: 90,
            unpaid_after_s: 86_400,
            unknown_after_s: 600,
            lease_s: 30,
        }
    }
}

impl OpenBazaar {
    /// Whether there is a node.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        !self.url.is_empty()
    }

    /// The moderators that buyers may choose.
    pub fn moderators(&self) -> impl Iterator<Item = &str> {
        self.moderators.split(',').map(str::trim).filter(|peer| !peer.is_empty())
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (name, url) in [("url", &self.url), ("moderator.url", &self.moderator.url)] {
            let is_plain = |url: Url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.query().is_none()
            };
            let ok = url.is_empty() || Url::parse(url).is_ok_and(is_plain);
            ensure!(ok, "openbazaar.{name} must be like http://127.0.0.1:4002, without a user");
        }
        let knows = |url: &str, username: &str, password: &Secret, cookie: &Secret| {
            url.is_empty() || (!username.is_empty() && !password.0.is_empty()) || !cookie.0.is_empty()
        };
        let (own, other) = (self, &self.moderator);
        ensure!(
            knows(&own.url, &own.username, &own.password, &own.cookie)
                && knows(&other.url, &other.username, &other.password, &other.cookie),
            "a node needs openbazaar.username and openbazaar.password, or openbazaar.cookie; a moderator's its own"
        );
        ensure!(
            other.url.is_empty() || own.moderators().next().is_some(),
            "openbazaar.moderators must name the moderator of openbazaar.moderator.url"
        );
        let seconds = [
            ("poll_s", self.poll_s),
            ("compare_s", self.compare_s),
            ("timeout_s", self.timeout_s),
            ("unpaid_after_s", self.unpaid_after_s),
            ("unknown_after_s", self.unknown_after_s),
            ("lease_s", self.lease_s),
        ];
        for (name, value) in seconds {
            ensure!((1..=31_536_000).contains(&value), "openbazaar.{name} must be 1 second to a year");
        }
        ensure!(
            self.unknown_after_s > self.timeout_s,
            "openbazaar.unknown_after_s must be more than openbazaar.timeout_s: a call may still have its effect"
        );
        let levels = ["PRIORITY", "NORMAL", "ECONOMIC", "SUPER_ECONOMIC"];
        ensure!(levels.contains(&self.fee_level.as_str()), "openbazaar.fee_level must be one of {levels:?}");
        let word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
        ensure!(!self.image.is_empty() && word(&self.image), "openbazaar.image must be a hash of the node");
        ensure!(word(&self.peer), "openbazaar.peer must be the node's peer id");
        ensure!(self.moderators().all(word), "openbazaar.moderators must be peer ids, separated by commas");
        ensure!(self.moderator.fee_bps < 10_000, "openbazaar.moderator.fee_bps must be 0 to 9999");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn passwords_are_never_shown() {
        let env = [
            ("BERTH_OPENBAZAAR_USERNAME", "berth"),
            ("BERTH_OPENBAZAAR_PASSWORD", "hunter2"),
            ("BERTH_OPENBAZAAR_MODERATOR_COOKIE", "hunter3"),
            ("BERTH_OPENBAZAAR_URL", "http://127.0.0.1:4002"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let loaded = crate::config::load(None, env.into_iter(), &[]).unwrap();
        assert_eq!(loaded.config.openbazaar.password.0, "hunter2");
        let shown = format!("{:?} {:?}", loaded.config, loaded.values);
        assert!(!shown.contains("hunter") && shown.contains("(hidden)"), "{shown}");
    }

    #[test]
    fn a_wrong_setting_says_which() {
        let fails = |name: &str, value: &str| {
            let env = [(name.to_owned(), value.to_owned())];
            format!("{:#}", crate::config::load(None, env.into_iter(), &[]).unwrap_err())
        };
        assert!(fails("BERTH_OPENBAZAAR_URL", "127.0.0.1:4002").contains("openbazaar.url"));
        assert!(fails("BERTH_OPENBAZAAR_URL", "http://u:p@127.0.0.1:4002").contains("openbazaar.url"));
        assert!(fails("BERTH_OPENBAZAAR_URL", "http://127.0.0.1:4002?password=x").contains("openbazaar.url"));
        assert!(fails("BERTH_OPENBAZAAR_URL", "http://127.0.0.1:4002").contains("openbazaar.password"));
        assert!(fails("BERTH_OPENBAZAAR_POLL_S", "0").contains("openbazaar.poll_s"));
        assert!(fails("BERTH_OPENBAZAAR_UNKNOWN_AFTER_S", "90").contains("openbazaar.timeout_s"));
        assert!(fails("BERTH_OPENBAZAAR_MODERATORS", "Qm1;Qm2").contains("openbazaar.moderators"));
        assert!(fails("BERTH_OPENBAZAAR_FEE_LEVEL", "FAST").contains("openbazaar.fee_level"));
    }
}
