//! The views' promises, on generated marketplaces.

mod earnings;
mod journal;
mod live;
mod market;
mod rebuild;
mod search;
mod split;
mod support;
