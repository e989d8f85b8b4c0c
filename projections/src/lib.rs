//! The event log and every read model folded from it: the only code that talks to a database.

pub mod log;
