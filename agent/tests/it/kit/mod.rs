//! What several tests need: a signer, a server and a real agent process.

pub mod agent;
pub mod engine;
pub mod gateway;
pub mod images;
pub mod machine;
pub mod server;
pub mod signer;
pub mod skip;
pub mod sshd;
