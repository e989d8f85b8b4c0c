//! The views' promises, on generated marketplaces.

mod earnings;
mod journal;
mod live;
mod market;
mod questions;
mod rebuild;
mod search;
mod server;
mod split;
mod support;
