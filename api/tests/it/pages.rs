//! The pages, as a browser without script sees them.

mod accounts;
mod audit;
mod audit_looks;
mod devices;
mod earnings;
mod hostile;
pub mod kit;
mod letters;
mod operator;
mod operator_looks;
mod setting_up;
