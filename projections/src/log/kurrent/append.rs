//! Appending: asked of KurrentDB, answered by the mirror.
//!
//! # Correctness
//! - What KurrentDB answers is not trusted. An append is answered when the mirror holds its stream up to its last
//!   event, by the ids that stand there: so the positions are those that everybody reads, a repeated append is
//!   recognised however the server took it, and whoever reads after an answer, on any node, sees it.
//! - When the outcome of an attempt is not known it is made again with the same ids at the same revision, a bounded
//!   number of times. If it had been stored, the server acknowledges it once more or says that the stream has moved,
//!   and the ids decide.
//! - A conflict is told when the mirror has what the stream moved by, so that whoever loads it again sees it.
//! - An append below the mirror's last revision does not get to the server: KurrentDB would take one to a deleted
//!   stream.

use std::time::Duration;

use domain::event::{Revision, StreamName};
use eventstore::{AppendToStreamOptions, CurrentRevision, Error, EventData, ExpectedRevision};
use tokio::time::Instant;

use super::{
    Inner, codec,
    failure::{self, Failure, PATIENCE},
    store::Known,
};
use crate::log::{Append, AppendError, Appended, Expected};

/// Attempts at one append; a cluster may take seconds to find a new leader.
const ATTEMPTS: u32 = 16;

/// The pause after the first failed attempt, and the longest; each is twice as long as the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long attempts go on.
const ATTEMPTING: Duration = Duration::from_secs(20);

/// How long the mirror may take to hold what was appended.
const MIRRORING: Duration = Duration::from_secs(15);

/// After so long without it the mirror subscribes again.
const NUDGE: Duration = Duration::from_secs(3);

/// How often the mirror is looked at, in case another node wrote what this one's subscription does not tell.
const POLL: Duration = Duration::from_millis(250);

/// What the attempts came to.
enum Attempted {
    /// Acknowledged; the stream's last revision, as the server says.
    Stored(Revision),
    /// The stream is elsewhere.
    Moved(Option<Revision>),
}

/// Where an append's events are.
enum Stored {
    /// In the mirror.
    Here(Appended),
    /// Acknowledged by KurrentDB.
    There,
}

/// Appends; goes on when nobody waits for the answer.
pub async fn append(inner: &Inner, append: &Append) -> Result<Appended, AppendError> {
    let last = last(append);
    // Asked for before it is sent, so that no wake-up is missed.
    let mirrored = inner.waiting.until(&append.stream, last);
    match store(inner, append).await? {
        Stored::Here(appended) => Ok(appended),
        Stored::There => {
            until(inner, &append.stream, last, Some(mirrored)).await?;
            let known = look(inner, append).await.map_err(|_| AppendError::OutcomeUnknown)?;
            decided(append, &known).unwrap_or(Err(AppendError::OutcomeUnknown))
        }
    }
}

/// Appends without waiting for the mirror.
pub async fn send(inner: &Inner, append: &Append) -> Result<(), AppendError> {
    store(inner, append).await.map(drop)
}

/// The last revision that an append makes.
fn last(append: &Append) -> Revision {
    append.expected.next() + append.events.len() as u64 - 1
}

async fn store(inner: &Inner, append: &Append) -> Result<Stored, AppendError> {
    let Append { stream, expected, events } = append;
    let Some(theirs) = inner.address.names().theirs(stream) else {
        return Err(AppendError::Invalid(
            "the stream is none of Berth's, so KurrentDB's events would not be followed",
        ));
    };
    let (sent, bytes) = codec::encode(events).map_err(AppendError::Fatal)?;
    if bytes > codec::MAX_SENT_BYTES {
        let (what, max) = ("the append with its metadata, in bytes,", codec::MAX_SENT_BYTES);
        return Err(AppendError::TooLarge { what, max, got: bytes });
    }
    let known = look(inner, append).await?;
    if let Some(answer) = decided(append, &known) {
        return answer.map(Stored::Here);
    }
    let last = last(append);
    match attempt(inner, &theirs, *expected, sent).await? {
        Attempted::Stored(revision) if revision != last => {
            let why = format!(
                "KurrentDB's stream {theirs} went on at revision {revision} instead of {last}: it was deleted there and \
                 has come back; see `berth verify`"
            );
            Err(AppendError::Fatal(why))
        }
        Attempted::Stored(_) => Ok(Stored::There),
        Attempted::Moved(there) if known.last > there => Err(behind(&theirs, known.last, there)),
        Attempted::Moved(None) => Err(AppendError::Conflict { actual: None }),
        Attempted::Moved(Some(revision)) => {
            until(inner, stream, revision, None).await?;
            let known = look(inner, append).await.map_err(|_| AppendError::OutcomeUnknown)?;
            let conflict = Err(AppendError::Conflict { actual: known.last });
            decided(append, &known).unwrap_or(conflict).map(Stored::Here)
        }
    }
}

fn behind(stream: &str, mirrored: Option<Revision>, there: Option<Revision>) -> AppendError {
    let shown = |last: Option<Revision>| last.map_or("nothing".to_owned(), |last| format!("revision {last}"));
    AppendError::Fatal(format!(
        "KurrentDB's stream {stream} ends with {}, and was mirrored up to {}: events are gone there; see `berth verify`",
        shown(there),
        shown(mirrored)
    ))
}

async fn look(inner: &Inner, append: &Append) -> Result<Known, AppendError> {
    let known = inner.store.known(&append.stream, append.expected.next(), append.events.len()).await;
    known.map_err(|e| AppendError::Fatal(e.to_string()))
}

/// What the mirror alone can answer: that the append is there, or that its stream has moved on or is withdrawn.
fn decided(append: &Append, known: &Known) -> Option<Result<Appended, AppendError>> {
    let Append { expected, events, .. } = append;
    let same = known.there.len() == events.len()
        && known.there.iter().zip(events).all(|((_, id), event)| *id == event.id);
    if let (true, Some((first, _)), Some((last, _))) = (same, known.there.first(), known.there.last()) {
        return Some(Ok(Appended { first: *first, last: *last, revision: self::last(append) }));
    }
    if known.last.is_some_and(|last| last >= expected.next()) {
        return Some(Err(AppendError::Conflict { actual: known.last }));
    }
    match &known.withdrawn {
        Some((why, true)) => Some(Err(AppendError::Fatal(format!(
            "the stream cannot be appended to: in KurrentDB {why}; see `berth verify`"
        )))),
        _ => None,
    }
}

/// Sends an append until the server has said something certain.
async fn attempt(
    inner: &Inner,
    stream: &str,
    expected: Expected,
    events: Vec<EventData>,
) -> Result<Attempted, AppendError> {
    let revision = expected.last().map_or(ExpectedRevision::NoStream, ExpectedRevision::Exact);
    let options = AppendToStreamOptions::default().expected_revision(revision).requires_leader(true);
    let give_up = Instant::now() + ATTEMPTING;
    let (mut pause, mut sent) = (PAUSES.0, None);
    for _ in 0..ATTEMPTS {
        let appending = inner.client.append_to_stream(stream, &options, events.clone());
        match tokio::time::timeout(PATIENCE, appending).await {
            Ok(Ok(result)) => return Ok(Attempted::Stored(result.next_expected_version)),
            Ok(Err(Error::WrongExpectedVersion { current, .. })) => {
                return Ok(Attempted::Moved(match current {
                    CurrentRevision::Current(revision) => Some(revision),
                    CurrentRevision::NoStream => None,
                }));
            }
            Ok(Err(error)) => match failure::of_append(&error) {
                // An attempt before may have been stored all the same.
                Failure::Final(error) if sent.is_none() => return Err(error),
                Failure::Final(_) => return Err(AppendError::OutcomeUnknown),
                Failure::NotSent(why) => tracing::debug!("an append was not sent: {why}"),
                Failure::Unknown(why) => sent = Some(why),
            },
            Err(_) => sent = Some("it does not answer".into()),
        }
        if Instant::now() + pause > give_up {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = PAUSES.1.min(pause * 2);
    }
    match sent {
        Some(why) => {
            tracing::warn!(log = inner.address.shown(), "an append's outcome is not known: {why}");
            Err(AppendError::OutcomeUnknown)
        }
        None => Err(AppendError::Fatal(format!(
            "{} cannot be reached; nothing was stored",
            inner.address.shown()
        ))),
    }
}

/// Waits until the mirror holds a stream up to a revision.
async fn until(
    inner: &Inner,
    stream: &StreamName,
    revision: Revision,
    told: Option<tokio::sync::oneshot::Receiver<()>>,
) -> Result<(), AppendError> {
    let began = Instant::now();
    let mut stopped = inner.stopped.subscribe();
    let looks = told.is_none();
    let mut told = told.unwrap_or_else(|| inner.waiting.until(stream, revision));
    let mut nudged = false;
    if looks && holds(inner, stream, revision).await {
        return Ok(());
    }
    loop {
        tokio::select! {
            Ok(()) = &mut told => return Ok(()),
            // It may have been stored.
            Ok(_) = stopped.wait_for(Option::is_some) => return Err(AppendError::OutcomeUnknown),
            () = tokio::time::sleep(POLL) => {}
        }
        if holds(inner, stream, revision).await {
            return Ok(());
        }
        if began.elapsed() > NUDGE && !nudged {
            nudged = true;
            inner.nudge.notify_one();
        }
        if began.elapsed() > MIRRORING {
            tracing::warn!(%stream, revision, "what was appended is not mirrored in time");
            return Err(AppendError::OutcomeUnknown);
        }
    }
}

async fn holds(inner: &Inner, stream: &StreamName, revision: Revision) -> bool {
    inner.store.known(stream, revision, 1).await.is_ok_and(|known| known.last >= Some(revision))
}
