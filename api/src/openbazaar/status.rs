//! How the connector is.

use domain::time::Time;
use serde::{Deserialize, Serialize};

/// How the connector is, as of its last look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where the node is.
    pub url: String,
    /// Whether this server works on the node; another one may.
    pub leads: bool,
    /// The coins that the node has wallets for.
    pub coins: Vec<String>,
    /// When it looked last.
    pub looked_at: Time,
    /// When the node last answered.
    pub answered_at: Time,
    /// Listings that are up.
    pub listings: usize,
    /// Orders that something is to be done about, or waited for.
    pub open_orders: usize,
    /// Payments that wait for something.
    pub waiting_payments: usize,
    /// What went wrong at the last look.
    pub error: Option<String>,
}
