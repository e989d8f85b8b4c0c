//! Runs the system's programs.

use std::{
    io::{self, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

/// How much of what a program complains about is shown, in characters.
const SHOWN: usize = 300;

/// Runs a program with `input` on its standard input; what it prints, or what it complains about.
pub(super) fn run(program: &str, arguments: &[&str], input: &[u8]) -> io::Result<String> {
    let output = output(program, arguments, input)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String =
        said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    let command = arguments.first().copied().unwrap_or_default();
    Err(io::Error::other(format!("`{program} {command}` failed ({}): {said}", output.status)))
}

/// Runs a program; how it ended and what it printed.
pub(super) fn output(program: &str, arguments: &[&str], input: &[u8]) -> io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    if !Path::new("/run/udev/control").exists() {
        // Nobody would ever answer.
        command.env("DM_DISABLE_UDEV", "1");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot run `{program}`: {e}"));
    let mut child = command.spawn().map_err(named)?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(e),
            _ => {}
        }
    }
    child.wait_with_output()
}

/// Whether a program is there.
pub(super) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
