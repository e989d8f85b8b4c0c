//! The contract, and what only a log in KurrentDB promises.
//!
//! The contract runs against the server that `KURRENTDB_URL` names, such as
//! `esdb://admin:changeit@localhost:2113?tls=false`; each test keeps its streams behind a prefix of its own. Without
//! the variable it runs against the tests' own nodes: nothing is left out, there is one target less. What needs a
//! server that misbehaves always runs against those.

mod appends;
mod audit;
mod cluster;
mod kit;
mod mirror;

use super::KurrentLog;
use crate::log::contract;

contract::tests!(kit::fresh);
