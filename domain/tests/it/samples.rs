//! What a log wrote once is read for ever: one recorded sample for every version of every event.
//!
//! `fixtures/events/<Kind>.v<schema>.json` holds kind, schema and the exact payload. To record a new event or version,
//! add it to [`written::all`] and run this test with `BERTH_RECORD=1`; a file that exists is never written again.

mod written;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Once,
};

use domain::{any::AnyEvent, event::MAX_PAYLOAD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One recorded event; the payload's bytes are kept as they are.
#[derive(Serialize, Deserialize)]
struct Sample {
    kind: String,
    schema: u32,
    payload: Box<RawValue>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/events")
}

fn file(kind: &str, schema: u32) -> String {
    format!("{kind}.v{schema}.json")
}

/// Writes the samples that are missing, once, when asked to.
fn record() {
    static RECORDED: Once = Once::new();
    RECORDED.call_once(|| {
        if std::env::var_os("BERTH_RECORD").is_none() {
            return;
        }
        fs::create_dir_all(folder()).unwrap();
        for event in written::all() {
            let path = folder().join(file(event.kind, event.schema));
            let payload = RawValue::from_string(String::from_utf8(event.payload).unwrap()).unwrap();
            let sample = Sample { kind: event.kind.into(), schema: event.schema, payload };
            if !path.exists() {
                fs::write(path, serde_json::to_string(&sample).unwrap() + "\n").unwrap();
            }
        }
    });
}

fn read(kind: &str, schema: u32) -> Sample {
    let path = folder().join(file(kind, schema));
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; record it with BERTH_RECORD=1", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every version of every event there ever was.
fn versions() -> impl Iterator<Item = (&'static str, u32, bool)> {
    AnyEvent::kinds().flat_map(|(kind, newest)| (1..=newest).map(move |v| (kind, v, v == newest)))
}

#[test]
fn every_version_of_every_event_is_recorded_and_still_read() {
    record();
    for (kind, schema, newest) in versions() {
        let sample = read(kind, schema);
        assert_eq!((sample.kind.as_str(), sample.schema), (kind, schema));
        let bytes = sample.payload.get().as_bytes();
        assert!(bytes.len() <= MAX_PAYLOAD);
        let event = AnyEvent::decode(kind, schema, bytes)
            .unwrap_or_else(|e| panic!("{kind} v{schema} can no longer be read: {e}"));
        if newest {
            let again = String::from_utf8(written::payload(&event)).unwrap();
            assert_eq!(
                again,
                sample.payload.get(),
                "{kind} is written differently now: give it a new version"
            );
        }
    }
}

#[test]
fn every_recorded_sample_is_of_a_known_event() {
    record();
    let known: BTreeSet<_> = versions().map(|(kind, schema, _)| file(kind, schema)).collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "{name} is a sample of no event");
    }
}

#[test]
fn the_events_written_here_are_exactly_the_newest_versions() {
    let written: BTreeSet<_> = written::all().into_iter().map(|e| (e.kind, e.schema)).collect();
    assert_eq!(written, AnyEvent::kinds().collect());
}
