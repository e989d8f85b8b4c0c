//! The pages, in a real browser.

mod kit;
mod planted;
