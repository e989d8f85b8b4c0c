//! The event log and every read model folded from it: the only code that talks to a database.

pub mod db;
pub mod halves;
pub mod log;
pub mod moving;
pub mod postgres;
pub mod private;
pub mod rebuild;
pub mod rows;
pub mod runner;
mod sql;
pub mod views;
