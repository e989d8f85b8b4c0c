//! The pages, in a real browser.

mod everything;
mod kit;
mod life;
mod live;
mod passkeys;
mod people;
mod plain;
mod planted;
mod town;
