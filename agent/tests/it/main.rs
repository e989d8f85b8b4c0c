//! The agent against a small server of its own.

mod decisions;
mod kit;
mod life;
mod power;
mod service;
mod silence;
mod tls;
mod wander;
mod wire;
