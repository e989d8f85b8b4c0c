//! The pages, as a browser without script sees them.

mod accounts;
mod audit;
mod audit_looks;
mod authenticator;
mod devices;
mod earnings;
mod guarded;
mod hostile;
pub mod kit;
pub mod letters;
mod market;
mod market_looks;
mod operator;
mod operator_looks;
mod passkeys;
mod rentals;
mod rentals_looks;
mod rentals_may;
mod setting_up;
