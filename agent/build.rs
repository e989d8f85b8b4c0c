//! Tells the agent when it was built: a time that every device has certainly reached.

use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "the one place where the build reads the clock")]
fn main() {
    // Named inputs only: a date of an earlier build is a lower bound too, and nothing is rebuilt for a newer one.
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let built = given.map_or_else(
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        |text| text.parse().expect("SOURCE_DATE_EPOCH must be seconds since 1970"),
    );
    println!("cargo:rustc-env=BERTH_AGENT_BUILT={built}");
}
