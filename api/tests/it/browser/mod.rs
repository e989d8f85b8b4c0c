//! The pages, in a real browser.

mod kit;
mod passkeys;
mod planted;
