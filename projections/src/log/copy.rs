//! Copying a log to another place: same positions, ids and bytes.
//!
//! # Shape
//! [`copy`] reads the one page by page and appends to the other what it lacks; [`compare`] then reads both, event by event.
//! What is on its way at once are appends to different streams that follow each other.
//!
//! # Correctness
//! - An append names the revision that the source has, and its answer must be the source's position, where it is known at
//!   once: whatever else writes to the target meanwhile is noticed, and nothing is written after it. The comparison judges.
//! - A copy that was cut off goes on after the last event that the target holds, if it is the source's there. Appends that
//!   were on their way are found again by their ids.
//! - Memory is bounded by two pages.

use std::{collections::HashSet, sync::Arc};

use domain::event::{Position, Recorded, StreamName};
use futures_util::future::join_all;

use super::{Append, AppendError, Appended, EventLog, Expected, LogError, MAX_PAGE, check, pages::Pages};

/// Events on their way at once, at most.
const MAX_WAVE_EVENTS: usize = 2_000;
/// Payload bytes, and events, after which no more is joined into an append: what describes events takes room too.
const MAX_JOINED_BYTES: usize = 256 << 10;
const MAX_JOINED: usize = 256;
/// Times that an append with an unknown outcome, or one that was turned away for load, is repeated.
const REPEATS: u32 = 30;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// A log cannot be copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The target holds something else.
    #[error("event {position} is not the same in both logs: {why}; copy into an empty one")]
    Differs {
        /// Where they part.
        position: Position,
        /// How.
        why: String,
    },
    /// Something else writes to the target.
    #[error(
        "event {expected} was stored as event {found}: something else writes to the target, or it failed in the middle; begin again \
             with an empty one"
    )]
    NotAlone {
        /// The source's position.
        expected: Position,
        /// The target's.
        found: Position,
    },
    /// The target refused.
    #[error("event {position} was not stored: {why}")]
    Refused {
        /// Which.
        position: Position,
        /// Why.
        why: AppendError,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Appends to `to` what it lacks of `from`, up to where that ends now; answers how many events both have then. At most
/// `together` appends are on their way at once; 1 keeps the order in a log that does not promise any.
///
/// # Errors
/// When the target holds something else, something else writes to it, or a log cannot be used. What was copied stays.
pub async fn copy(
    from: &Arc<dyn EventLog>,
    to: &dyn EventLog,
    together: usize,
    report: impl Fn(u64, u64) + Send,
) -> Result<u64, CopyError> {
    let total = from.head().await?.map_or(0, |head| head + 1);
    let mut next = 0;
    if let Some(head) = to.head().await? {
        let (ours, theirs) = (from.read_all(head, 1).await?, to.read_all(head, 1).await?);
        same(head, ours.first(), theirs.first())?;
        next = head + 1;
    }
    let mut pages = Pages::new(from.clone(), next, MAX_PAGE);
    while next < total {
        report(next, total);
        let page = pages.next().await?;
        let Some(last) = page.last() else { break };
        let end = last.position + 1;
        for wave in waves(page, together) {
            let stored = join_all(wave.into_iter().map(|(position, append)| store(to, position, append)));
            stored.await.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        next = end;
    }
    to.settled().await?;
    report(next, total.max(next));
    Ok(next)
}

/// Reads both logs and holds them against each other, up to the position `end`.
///
/// # Errors
/// The first difference, or when a log cannot be read.
pub async fn compare(
    from: &Arc<dyn EventLog>,
    to: &Arc<dyn EventLog>,
    end: Position,
    report: impl Fn(u64, u64) + Send,
) -> Result<(), CopyError> {
    let (mut ours, mut theirs) = (Pages::new(from.clone(), 0, MAX_PAGE), Pages::new(to.clone(), 0, MAX_PAGE));
    let (mut our_page, mut their_page) = (Vec::new().into_iter(), Vec::new().into_iter());
    for position in 0..end {
        if our_page.len() == 0 {
            our_page = ours.next().await?.into_iter();
        }
        if their_page.len() == 0 {
            their_page = theirs.next().await?.into_iter();
            report(position, end);
        }
        same(position, our_page.next().as_ref(), their_page.next().as_ref())?;
    }
    report(end, end);
    match to.head().await? {
        Some(head) if head >= end => Err(CopyError::Differs {
            position: end,
            why: format!("the target has {} events more", head + 1 - end),
        }),
        _ => Ok(()),
    }
}

fn same(position: Position, ours: Option<&Recorded>, theirs: Option<&Recorded>) -> Result<(), CopyError> {
    let differs = |why: String| Err(CopyError::Differs { position, why });
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours == theirs => Ok(()),
        (None, _) => differs("the source has none".into()),
        (_, None) => differs("the target has none".into()),
        (Some(ours), Some(theirs)) => {
            let told =
                |r: &Recorded| format!("{} {} of {} {}", r.event.kind, r.event.id.0, r.stream, r.revision);
            differs(format!("the source has {}, the target {}", told(ours), told(theirs)))
        }
    }
}

/// A page as appends, in parts that may be on their way together: in each, every stream comes once.
fn waves(page: Vec<Recorded>, together: usize) -> Vec<Vec<(Position, Append)>> {
    let mut waves: Vec<Vec<(Position, Append)>> = Vec::new();
    let (mut streams, mut events) = (HashSet::<StreamName>::new(), 0);
    for Recorded { position, stream, revision, event } in page {
        events += 1;
        // What follows in the same stream was mostly appended with it, and stands behind it either way.
        if let Some((_, append)) = waves.last_mut().and_then(|wave| wave.last_mut())
            && append.stream == stream
        {
            let bytes: usize = append.events.iter().map(|event| event.payload.len()).sum();
            append.events.push(event);
            if bytes < MAX_JOINED_BYTES && append.events.len() <= MAX_JOINED && check(append).is_ok() {
                continue;
            }
            let Some(event) = append.events.pop() else { continue };
            let expected = Expected::from(revision.checked_sub(1));
            waves.push(vec![(position, Append { stream: stream.clone(), expected, events: vec![event] })]);
            (streams, events) = (HashSet::from([stream]), 1);
            continue;
        }
        let expected = Expected::from(revision.checked_sub(1));
        let append = (position, Append { stream: stream.clone(), expected, events: vec![event] });
        let full = waves.last().is_none_or(|wave| wave.len() >= together.max(1)) || events > MAX_WAVE_EVENTS;
        if full || streams.contains(&stream) {
            (streams, events) = (HashSet::new(), 1);
            waves.push(Vec::new());
        }
        streams.insert(stream);
        if let Some(wave) = waves.last_mut() {
            wave.push(append);
        }
    }
    waves
}

async fn store(to: &dyn EventLog, position: Position, append: Append) -> Result<(), CopyError> {
    for attempt in 0.. {
        match to.bring(append.clone()).await {
            Ok(Some(Appended { first, .. })) if first != position => {
                return Err(CopyError::NotAlone { expected: position, found: first });
            }
            Ok(_) => return Ok(()),
            Err(AppendError::OutcomeUnknown | AppendError::Overloaded) if attempt < REPEATS => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(why) => return Err(CopyError::Refused { position, why }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{
        contract::{append, read_to_end},
        memory::MemoryLog,
    };

    /// Streams that meet in every way, with appends of one to five events.
    async fn source(appends: u64) -> Arc<dyn EventLog> {
        let log = MemoryLog::new();
        let mut revisions = std::collections::HashMap::new();
        for n in 0..appends {
            let key = (n * n / 3) % 7;
            let many = 1 + n % 5;
            let last: &mut Option<u64> = revisions.entry(key).or_default();
            let ns = n * 10..n * 10 + many;
            let appended = log.append(append(&key.to_string(), Expected::from(*last), ns)).await.unwrap();
            *last = Some(appended.revision);
        }
        Arc::new(log)
    }

    #[tokio::test]
    async fn a_copy_is_the_same_event_by_event_however_much_is_on_its_way() {
        let from = source(900).await;
        for together in [1, 3, 500] {
            let to: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
            let end = copy(&from, &*to, together, |_, _| {}).await.unwrap();
            assert_eq!(read_to_end(&*to, 500).await, read_to_end(&*from, 500).await);
            compare(&from, &to, end, |_, _| {}).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_copy_that_was_cut_off_goes_on_and_one_into_something_else_does_not() {
        let (short, from) = (source(333).await, source(900).await);
        let to: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        copy(&short, &*to, 100, |_, _| {}).await.unwrap();
        let end = copy(&from, &*to, 100, |_, _| {}).await.unwrap();
        compare(&from, &to, end, |_, _| {}).await.unwrap();
        assert_eq!(copy(&from, &*to, 100, |_, _| {}).await, Ok(end), "twice is a legal answer");

        to.append(append("other", Expected::NoStream, [7])).await.unwrap();
        assert!(
            matches!(compare(&from, &to, end, |_, _| {}).await, Err(CopyError::Differs { position, .. }) if position == end)
        );
        assert!(matches!(copy(&from, &*to, 100, |_, _| {}).await, Err(CopyError::Differs { .. })));
        let other: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        other.append(append("other", Expected::NoStream, [7])).await.unwrap();
        assert!(matches!(
            copy(&from, &*other, 100, |_, _| {}).await,
            Err(CopyError::Differs { position: 0, .. })
        ));
    }
}
