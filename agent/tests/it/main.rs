//! The agent against a small server of its own.

mod cuts;
mod decisions;
mod docker;
mod kit;
mod life;
mod luks;
mod power;
mod service;
mod silence;
mod tls;
mod tunnel;
mod wander;
mod wire;
