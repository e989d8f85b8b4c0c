//! The agent against a small server of its own.

mod cuts;
mod decisions;
mod docker;
mod kit;
mod life;
mod power;
mod silence;
mod wander;
mod wire;
