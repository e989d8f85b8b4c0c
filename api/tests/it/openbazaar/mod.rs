//! The connector and an OpenBazaar node.

mod bad;
mod kit;
mod money;
mod selling;
