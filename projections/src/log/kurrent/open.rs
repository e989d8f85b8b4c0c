//! Whether a database may mirror a KurrentDB.
//!
//! # Correctness
//! A mirror belongs to one KurrentDB, known by its events and not by its address: the first and the last event
//! mirrored, and some between, are looked up there. One that is found with its id proves that it is the same. If
//! another stands in its place, or all are missing, it is another; if the last is missing though nobody took it away,
//! it was brought back from an older backup. Then nothing is touched.

use domain::event::{Position, Recorded};
use eventstore::{Client, Error, ReadAllOptions, ReadStreamOptions, StreamPosition};

use super::{
    address::Address,
    failure::{self, PATIENCE},
    names::Names,
    store::Store,
};
use crate::{
    log::{EventLog, LogError},
    postgres::PostgresError,
};

/// Events that are looked up to know a KurrentDB again.
const SAMPLES: u64 = 8;

/// A log in KurrentDB cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KurrentError {
    /// The address is none.
    #[error(
        "KurrentDB's address cannot be used: {0}; write it like esdb://user:password@host:2113?tls=true, or \
         esdb+discover://user:password@cluster:2113"
    )]
    Address(&'static str),
    /// The server cannot be reached, or refuses.
    #[error("{shown} cannot be used: {why}")]
    Unreachable {
        /// The address without its password.
        shown: String,
        /// What was said.
        why: String,
    },
    /// The database keeps a log of its own.
    #[error(
        "the database {database} holds a log of its own; give KurrentDB's mirror an empty one, and bring the events there \
         with `berth copy`"
    )]
    OwnLog {
        /// Which database.
        database: String,
    },
    /// The database mirrors other streams.
    #[error(
        "the database {database} mirrors streams that begin with {there:?}, not {asked:?}; check streamPrefix in the address"
    )]
    OtherPrefix {
        /// Which database.
        database: String,
        /// What it mirrors.
        there: String,
        /// What was asked for.
        asked: String,
    },
    /// The database mirrors another KurrentDB.
    #[error(
        "{shown} is not the KurrentDB that the database mirrors: {why}; give the right address, or an empty database to \
         mirror this one into"
    )]
    OtherLog {
        /// The address without its password.
        shown: String,
        /// What shows it.
        why: String,
    },
    /// The database mirrors nothing.
    #[error("the database {database} mirrors no KurrentDB")]
    NoMirror {
        /// Which database.
        database: String,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] PostgresError),
    /// The log is damaged, or cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Makes sure that a KurrentDB is the one that is mirrored.
///
/// # Errors
/// When it is not, or does not answer.
pub async fn same(
    address: &Address,
    client: &Client,
    mirror: &dyn EventLog,
    store: &Store,
) -> Result<(), KurrentError> {
    let Some(head) = mirror.head().await? else { return Ok(()) };
    let other = |event: &Recorded, why: &str| {
        let why = format!("revision {} of stream {} {why}", event.revision, event.stream);
        KurrentError::OtherLog { shown: address.shown().to_owned(), why }
    };
    let mut missing = None;
    for position in samples(head) {
        let Some(event) = mirror.read_all(position, 1).await?.pop() else { continue };
        match look_up(address, client, &event).await? {
            Found::Same => return Ok(()),
            Found::Other => return Err(other(&event, "is another event there")),
            // Nothing would be mirrored until it is as long again.
            Found::Missing
                if position == head && store.known(&event.stream, 0, 0).await?.withdrawn.is_none() =>
            {
                return Err(other(&event, "is not there any more: it may come from an older backup"));
            }
            Found::Missing => missing = Some(event),
        }
    }
    missing.map_or(Ok(()), |event| Err(other(&event, "is not there")))
}

/// The last position, the first, and some between.
fn samples(head: Position) -> impl Iterator<Item = Position> {
    (0..=SAMPLES)
        .rev()
        .map(move |n| u128::from(head) * u128::from(n) / u128::from(SAMPLES))
        .map(|n| n as Position)
}

enum Found {
    Same,
    Other,
    Missing,
}

async fn look_up(address: &Address, client: &Client, event: &Recorded) -> Result<Found, KurrentError> {
    let Some(stream) = address.names().theirs(&event.stream) else { return Ok(Found::Missing) };
    let options =
        ReadStreamOptions::default().position(StreamPosition::Position(event.revision)).max_count(1);
    let reading = async {
        let mut stream = client.read_stream(stream, &options).await?;
        stream.next().await
    };
    let found =
        tokio::time::timeout(PATIENCE, reading).await.map_err(|_| address.failed(&"it does not answer"))?;
    match found {
        Ok(Some(found)) => {
            let found = found.get_original_event();
            if found.revision != event.revision {
                return Ok(Found::Missing);
            }
            Ok(if found.id == event.event.id.0 { Found::Same } else { Found::Other })
        }
        Ok(None) | Err(Error::ResourceNotFound | Error::ResourceDeleted) => Ok(Found::Missing),
        Err(error) => Err(address.failed(&failure::said(&error))),
    }
}

/// Where the last of Berth's events stands in KurrentDB.
///
/// # Errors
/// When it does not answer, or the user may not read `$all`.
pub async fn end(address: &Address, client: &Client) -> Result<Option<eventstore::Position>, KurrentError> {
    let names: &Names = address.names();
    let options = ReadAllOptions::default().position(StreamPosition::End).max_count(1).filter(names.filter());
    let reading = async {
        let mut all = client.read_all(&options).await?;
        all.next().await
    };
    let last = reading.await.map_err(|error| address.failed(&failure::said(&error)))?;
    Ok(last.map(|event| event.get_original_event().position))
}
