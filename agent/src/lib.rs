//! The agent that runs on a rented device.
//!
//! ```sh
//! berth-agent check  --config agent.json   # explains what is wrong
//! berth-agent run    --config agent.json   # what the service manager starts
//! berth-agent status --config agent.json --json
//! berth-agent unit   --config agent.json   # prints the systemd unit that runs it
//! berth-agent ssh-key --config agent.json  # the device's key as OpenSSH reads it
//! berth-agent erase  --i-am-the-owner      # breaks a running rental; the agent must be stopped
//! ```
//!
//! # Shape
//! ```text
//! server ── signed answer ──► heard ──► decide (pure) ──► record (durable) ──► volume
//!            anything else = Silence      one row of a table   intention first     then the act
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | reads `agent.json` |
//! | [`heard`] | turns bytes into a verified word or into silence |
//! | [`decide`] | the decision table: one pure function |
//! | [`record`] | the durable record in two slots, and its lock |
//! | [`volume`] | the renter's volume and the label that fences it |
//! | [`keyring`] | the two halves of a locked volume's key |
//! | [`workload`] | what runs for the renter |
//! | [`erase`] | numbered, re-entrant steps that end in a receipt |
//! | [`server`] | the HTTP calls |
//! | [`tunnel`] | visitors' way in, through the gateway |
//! | [`tls`] | whom to trust while the clock is not set |
//! | [`clock`] | the only place that reads clocks |
//! | [`bandwidth`] | measures the way from the server |
//! | [`service`] | what the service manager is told, and its unit |
//! | [`run`] | the loop that ties them together |
//!
//! # Correctness
//! Time can stop a lease's workload; only a tombstone signed by the server and naming the epoch can erase its data. The
//! order is always: verify, make the intention durable, act, make the result durable, tell the server. So the process
//! may be killed at any instruction.
//!
//! # Limits
//! The owner of a device has root and physical access and can read a running lease's data. A luks volume is noise once
//! the server has destroyed its half of the key, unless offline resume kept that half here. A directory volume is erased
//! by removing its files, which gives no physical guarantee on flash. Receipts say what was done and what could not be.

pub mod bandwidth;
pub mod choice;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decide;
mod dice;
pub mod erase;
mod file;
mod hardware;
pub mod heard;
pub mod identity;
pub mod keyring;
pub mod pace;
pub mod record;
pub mod run;
pub mod server;
pub mod service;
pub mod status;
pub mod tls;
pub mod tree;
pub mod tunnel;
pub mod volume;
pub mod workload;

pub use cli::{main_with, main_with_workload};
