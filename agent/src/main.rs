//! The agent of a rented device; see the library for how it works.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::main_with(std::env::args_os())
}
