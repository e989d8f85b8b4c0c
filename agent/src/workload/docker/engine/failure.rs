//! What the engine refused or did not do, and what to do about it.

use std::{error::Error as _, io, path::Path, time::Duration};

use bollard::errors::Error;

use crate::workload::WorkloadError;

/// Nothing the engine says is repeated at greater length.
const SAID_BYTES_MAX: usize = 500;

/// What the engine refused or did not do.
#[derive(Debug)]
pub(in super::super) struct Failure {
    status: Option<u16>,
    /// For a human.
    pub(in super::super) said: String,
}

impl Failure {
    pub(in super::super) fn new(said: impl Into<String>) -> Self {
        Self { status: None, said: said.into() }
    }

    /// What was asked about is not there.
    pub(in super::super) fn is_absent(&self) -> bool {
        self.status == Some(404)
    }

    /// What was asked for does not fit to how things are.
    pub(in super::super) fn is_conflict(&self) -> bool {
        self.status == Some(409)
    }
}

impl From<Failure> for WorkloadError {
    fn from(failure: Failure) -> Self {
        Self(failure.said)
    }
}

/// The engine said no, or its connection broke.
pub(in super::super) fn failed(what: &str, error: &Error) -> Failure {
    match error {
        Error::DockerResponseServerError { status_code, message } => Failure {
            status: Some(*status_code),
            said: format!("the container engine cannot {what}: {}", shortened(message)),
        },
        Error::RequestTimeoutError => Failure::new(format!(
            "the container engine does not answer (to {what}); restart it with: systemctl restart docker"
        )),
        other => Failure::new(format!("the container engine could not {what}: {}", shortened(&chain(other)))),
    }
}

/// The engine did not finish in time.
pub(in super::super) fn hung(what: &str, limit: Duration) -> Failure {
    Failure::new(format!(
        "the container engine did not {what} within {} s; if this goes on, restart it with: systemctl restart docker",
        limit.as_secs()
    ))
}

/// There is no engine to talk to.
pub(super) fn unreachable(path: &Path, kind: io::ErrorKind, why: &str) -> Failure {
    let advice = match kind {
        io::ErrorKind::NotFound => {
            "there is no such socket; install an engine with: apt-get install docker.io, start it with: systemctl start docker, or set \"socket\""
        }
        io::ErrorKind::PermissionDenied => {
            "the agent may not use it; run the agent as root, or add its user to the group docker"
        }
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there; start the engine with: systemctl start docker"
        }
        io::ErrorKind::TimedOut => "it does not answer; restart it with: systemctl restart docker",
        _ => "it does not answer as it should; look at: journalctl -u docker",
    };
    Failure::new(format!("no container engine at {}: {advice} ({})", path.display(), shortened(why)))
}

/// The operating system's reason behind an error.
pub(super) fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    if matches!(error, Error::RequestTimeoutError) {
        return Some(io::ErrorKind::TimedOut);
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}

/// An error with its reasons.
pub(super) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// One line of a readable length without control characters: some of it may be written by renters.
pub(in super::super) fn shortened(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().find(|(i, _)| *i >= SAID_BYTES_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
