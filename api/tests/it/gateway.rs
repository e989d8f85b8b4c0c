//! The gateway against stock OpenSSH.

mod forwards;
mod kit;
