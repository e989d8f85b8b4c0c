//! The Berth server: JSON API, pages, scheduler, steward and command line.
//!
//! A request or a due moment becomes a command; [`execute`] loads the aggregate, lets it decide and appends what it
//! decided; the [`steward`] follows the log and issues what follows from each event; the views answer every question;
//! [`webhooks`] tell programs and [`mail`] tells people; the [`openbazaar`] connector sells on a node and pays from it; the
//! [`gateway`] brings visitors to devices while their leases live.

pub mod accounts;
pub mod accruals;
pub mod app;
pub mod attention;
pub mod check_ins;
pub mod cli;
pub mod clock;
pub mod clones;
pub mod cloud_event;
pub mod config;
pub mod contracts;
#[cfg(feature = "demo")]
pub mod demo;
pub mod devices;
pub mod disputes;
pub mod error;
pub mod execute;
pub mod feed;
pub mod gateway;
pub mod gateways;
pub mod halves;
pub mod history;
pub mod host_keys;
pub mod http;
pub mod keys;
pub mod lead;
pub mod leaving;
pub mod listen;
pub mod logins;
pub mod mail;
pub mod nodes;
pub mod openbazaar;
pub mod orders;
pub mod pages;
pub mod passkeys;
pub mod payouts;
pub mod polls;
pub mod remembered;
pub mod reports;
pub mod roles;
pub mod scheduler;
pub mod server;
pub mod settling;
pub mod showcase;
pub mod steward;
pub mod stores;
pub mod telemetry;
pub mod treasury;
pub mod webhooks;
