//! The pages, as a browser without script sees them.

mod accounts;
mod devices;
mod earnings;
mod hostile;
pub mod kit;
mod letters;
mod setting_up;
