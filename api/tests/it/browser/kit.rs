//! Chromium, driven as people drive it: by what things are called, with real clicks and keys.
//!
//! ```text
//! let chrome = Chrome::start().await;
//! let owner = chrome.tab("http://localhost:8080").await;
//! owner.open("/sign-in").await;
//! owner.fill("Name", "Ann").await;
//! owner.press("Sign in").await;
//! owner.see("Your devices").await;
//! owner.sound().await;
//! ```
//!
//! Everything that looks for something waits for it, for [`PATIENCE`], and says what the page shows when it never comes.
//! Names are those that the browser gives to assistive technology: a field without a label cannot be filled in.
//!
//! Pages are opened at `localhost`: passkeys work at names, not at addresses. No other host is reachable.

mod chrome;
mod faults;
mod form;
mod keyboard;
mod passkeys;
mod tab;
mod wire;

use std::time::Duration;

pub use chrome::Chrome;
pub use fantoccini::key::Key;
pub use faults::LOOKS;
pub use tab::Tab;

/// How long a page may take to show what a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A window's room, and a small phone's, in pixels.
pub const WIDE: (u32, u32) = (1280, 900);
pub const PHONE: (u32, u32) = (360, 740);
