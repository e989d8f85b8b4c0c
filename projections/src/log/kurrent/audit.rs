//! Comparing KurrentDB with what was mirrored: whether every event still stands there, byte for byte.
//!
//! # Correctness
//! Both sides are read in their order and walked side by side, a page of each in memory: ids, revisions, names,
//! payloads and everything in the metadata must be equal. What was mirrored but is not there any more (scavenged,
//! truncated, another log) is missing; what stands there between mirrored events and was not mirrored is extra.
//! Events that came after the audit began are left out. Streams whose events somebody lets go away are failures even
//! while they can be read.

use std::fmt;

use domain::event::{Position, Recorded, Revision, StreamName};
use eventstore::{Client, ReadAllOptions, ReadStream, ResolvedEvent};

use super::{
    address::Address,
    codec,
    failure::{self, PATIENCE},
    names::Named,
    open::KurrentError,
    store::Store,
};
use crate::log::{EventLog, MAX_PAGE};

/// Findings that are told one by one; more are counted.
pub const MAX_FINDINGS: usize = 20;

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Mirrored events that were compared.
    pub compared: u64,
    /// The first findings, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many there are.
    pub found: u64,
}

/// Something that is not in KurrentDB as it was mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub stream: StreamName,
    /// Which event; none when it is about the stream.
    pub revision: Option<Revision>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(revision) => write!(f, "stream {}, revision {revision}: {}", self.stream, self.what),
            None => write!(f, "stream {}: {}", self.stream, self.what),
        }
    }
}

impl Audit {
    fn find(&mut self, stream: &StreamName, revision: Option<Revision>, what: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { stream: stream.clone(), revision, what: what.into() });
        }
    }
}

/// The mirrored events, in order, a page at a time.
struct Mirrored<'a> {
    log: &'a dyn EventLog,
    page: std::vec::IntoIter<Recorded>,
    next: Position,
    /// How many there were when the audit began.
    end: Position,
}

impl Mirrored<'_> {
    async fn next(&mut self) -> Result<Option<Recorded>, KurrentError> {
        if self.page.as_slice().is_empty() && self.next < self.end {
            self.page = self.log.read_all(self.next, MAX_PAGE).await?.into_iter();
        }
        let next = self.page.next().filter(|event| event.position < self.end);
        if let Some(event) = &next {
            self.next = event.position + 1;
        }
        Ok(next)
    }
}

/// Berth's events in KurrentDB, in order.
struct There<'a> {
    address: &'a Address,
    all: ReadStream,
}

impl There<'_> {
    async fn next(&mut self) -> Result<Option<(StreamName, ResolvedEvent)>, KurrentError> {
        loop {
            let next = tokio::time::timeout(PATIENCE * 6, self.all.next()).await;
            let next = next.map_err(|_| self.address.failed(&"it does not answer"))?;
            let Some(event) = next.map_err(|e| self.address.failed(&failure::said(&e)))? else {
                return Ok(None);
            };
            let told = event.get_original_event();
            match self.address.names().ours(&told.stream_id) {
                Named::Own(stream) if !told.event_type.starts_with('$') => return Ok(Some((stream, event))),
                _ => {}
            }
        }
    }
}

/// Compares; `progress` hears how many events were compared, and how many there are.
///
/// # Errors
/// When one of the two cannot be read.
pub async fn run(
    address: &Address,
    client: &Client,
    mirror: &dyn EventLog,
    store: &Store,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Audit, KurrentError> {
    let mut audit = Audit::default();
    for (stream, why) in store.withdrawn().await? {
        audit.find(&stream, None, why);
    }
    let (end, upto) = store.end().await?;
    let mut mirrored = Mirrored { log: mirror, page: Vec::new().into_iter(), next: 0, end };
    let options = ReadAllOptions::default().filter(address.names().filter());
    let all = client.read_all(&options).await.map_err(|e| address.failed(&failure::said(&e)))?;
    let mut there = There { address, all };
    let (mut here, mut told) = (mirrored.next().await?, there.next().await?);
    loop {
        told = told.filter(|(_, event)| Some(event.get_original_event().position) <= upto);
        match (&here, &told) {
            (None, None) => break,
            (Some(event), None) => {
                audit.find(&event.stream, Some(event.revision), "it is missing in KurrentDB");
                here = mirrored.next().await?;
            }
            (None, Some((stream, event))) => {
                let revision = event.get_original_event().revision;
                audit.find(stream, Some(revision), "it was not mirrored");
                told = there.next().await?;
            }
            (Some(event), Some((stream, theirs))) => {
                let revision = theirs.get_original_event().revision;
                if (&event.stream, event.revision) == (stream, revision) {
                    if let Some(what) = differs(event, theirs) {
                        audit.find(stream, Some(revision), what);
                    }
                    here = mirrored.next().await?;
                    told = there.next().await?;
                } else if store
                    .known(stream, revision, 1)
                    .await?
                    .there
                    .first()
                    .is_some_and(|(at, _)| *at > event.position)
                {
                    audit.find(&event.stream, Some(event.revision), "it is missing in KurrentDB");
                    here = mirrored.next().await?;
                } else {
                    audit.find(stream, Some(revision), "it was not mirrored in this place");
                    told = there.next().await?;
                }
            }
        }
        audit.compared = mirrored.next - u64::from(here.is_some());
        if audit.compared % 1000 == 0 {
            progress(audit.compared, end);
        }
    }
    audit.compared = end;
    progress(end, end);
    Ok(audit)
}

/// What is not the same.
fn differs(mirrored: &Recorded, there: &ResolvedEvent) -> Option<String> {
    let there = there.get_original_event();
    let event = &mirrored.event;
    if there.id != event.id.0 {
        return Some(format!("its id is {} there, and was {}", there.id, event.id));
    }
    if there.data.as_ref() != event.payload.as_slice() {
        return Some("its payload is another there".into());
    }
    match codec::decode(there) {
        Err(why) => Some(why),
        Ok(read) if read.event != *event => Some("its name or metadata are others there".into()),
        Ok(_) => None,
    }
}
