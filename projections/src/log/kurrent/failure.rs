//! What the client's errors mean to an append and to a reader.

use std::time::Duration;

use eventstore::Error;

use crate::log::AppendError;

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The number of gRPC's code for a request that makes no sense, such as one that is too large.
const INVALID_ARGUMENT: i32 = 3;

/// How a failed attempt to append goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It was refused for good, and nothing was stored.
    Final(AppendError),
    /// Nothing was sent: no node could be reached.
    NotSent(String),
    /// It may have been stored.
    Unknown(String),
}

/// What a failed attempt means.
pub fn of_append(error: &Error) -> Failure {
    match error {
        Error::ResourceDeleted => Failure::Final(AppendError::Fatal(
            "the stream was deleted in KurrentDB for ever; see `berth verify`".into(),
        )),
        Error::AccessDenied => Failure::Final(AppendError::Fatal(said(error))),
        Error::Grpc { code, message } if i32::from(*code) == INVALID_ARGUMENT => {
            Failure::Final(AppendError::Fatal(format!("KurrentDB refuses the append: {message}")))
        }
        Error::GrpcConnectionError(_) => Failure::NotSent(said(error)),
        _ => Failure::Unknown(said(error)),
    }
}

/// An error in words that help whoever runs the server.
pub fn said(error: &Error) -> String {
    match error {
        Error::AccessDenied => {
            "the user in its address may not: Berth reads $all and appends, so it needs $admins or $ops, or an access list \
             that allows both"
                .into()
        }
        Error::NotLeaderException(leader) => format!("the leader is {}:{}", leader.host, leader.port),
        Error::GrpcConnectionError(why) => format!("no node can be reached: {why}"),
        other => other.to_string(),
    }
}
