//! What several tests need: a signer, a server and a real agent process.

pub mod agent;
pub mod server;
pub mod signer;
