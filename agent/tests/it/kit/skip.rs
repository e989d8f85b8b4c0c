//! Tests that cannot run here say so.

use std::io::Write;

/// Says that a test is skipped, also when the output of passing tests is not shown; `.ci/test` counts these lines.
pub fn skip(name: &str, reason: &str) {
    // Not the print macros: those are captured. A line of its own, whatever was printed before.
    let reason = reason.replace('\n', " ");
    std::io::stderr().write_all(format!("\nskipped: {name}: {reason}\n").as_bytes()).ok();
}
