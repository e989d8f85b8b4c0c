//! What every part of the connector works with.

use domain::{
    event::SystemPart,
    id::{OrderId, OrderKey},
    time::{Seconds, Time},
};
use projections::private::Attention;

use super::{client::Client, wire::Order};
use crate::{app::App, config::OpenBazaar, error::Problem, execute::By};

/// The longest wait until an order is looked at again that waits for something, in seconds.
const MAX_AGAIN_S: Seconds = 7 * 86_400;
/// What operators are told about the node as a whole.
pub(super) const NODE: &str = "openbazaar";

/// The server, the node, and the moderator's node if there is one.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub app: App,
    pub node: Client,
    pub moderator: Option<Client>,
    /// The codes of the coins that the node has wallets for.
    pub coins: Vec<String>,
}

impl Desk {
    pub fn settings(&self) -> &OpenBazaar {
        &self.app.config.openbazaar
    }

    pub fn by(&self) -> By {
        self.app.by_system(SystemPart::Connector, None)
    }

    /// The ledger's name of an order's payment: the first one has the node's own id.
    pub fn key(&self, order: &str, part: usize) -> Result<OrderKey, Problem> {
        let id = if part == 0 { order.to_owned() } else { format!("{order}.{part}") };
        let id = OrderId::new(id).map_err(|e| Problem::invalid(e.to_string()))?;
        Ok(OrderKey { marketplace: self.settings().marketplace.clone(), id })
    }

    /// When to look at an order again though nothing says so: soon for a young one, ever later for an old one.
    pub fn again(&self, order: &Order, least_s: Seconds) -> Time {
        let now = self.app.clock.time();
        let age = now.since(order.placed().unwrap_or(now));
        now.plus(age.clamp(least_s, MAX_AGAIN_S.max(least_s)))
    }

    /// Puts something on the list of what a human should look at.
    pub async fn call(&self, subject: &str, what: &str, detail: impl Into<String>) -> Result<(), Problem> {
        let (detail, since) = (detail.into(), self.app.clock.time());
        tracing::warn!(subject, what, detail, "a human should look at something");
        let item = Attention { subject: subject.into(), what: what.into(), detail, since };
        Ok(self.app.private.call_attention(&item).await?)
    }

    /// Takes it off again.
    pub async fn end(&self, subject: &str, what: &str) -> Result<(), Problem> {
        Ok(self.app.private.end_attention(subject, what).await?)
    }
}

/// The node's id of the order that a payment belongs to.
pub(super) fn node_id(key: &OrderKey) -> &str {
    let id = key.id.as_str();
    id.split_once('.').map_or(id, |(id, _)| id)
}

/// Why something was not done this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The node.
    #[error(transparent)]
    Node(#[from] super::client::Trouble),
    /// The ledger or the private store.
    #[error(transparent)]
    Ledger(#[from] Problem),
}

impl Failure {
    /// Whether going on with something else is useless too. Trouble with the ledger may be one order's alone.
    pub fn stops_all(&self) -> bool {
        matches!(self, Self::Node(trouble) if trouble.is_down())
    }
}

/// What is converted to [`Problem`] first.
macro_rules! through_problem {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Ledger(error.into())
            }
        }
    )*};
}
through_problem!(
    crate::execute::ExecutorError,
    projections::log::LogError,
    projections::private::PrivateError,
    projections::views::ViewError
);
