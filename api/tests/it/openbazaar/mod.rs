//! The connector and an OpenBazaar node.

mod bad;
mod faults;
mod kit;
mod late;
mod money;
mod predecessor;
mod random;
mod selling;
mod serve;
