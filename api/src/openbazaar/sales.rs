//! Reading the list of sales while it comes.
//!
//! # Shape
//! The node answers with all rows at once, however many there are. A thread parses the answer as it arrives and hands the
//! rows over in batches; a full channel makes it, and so the node, wait.
//!
//! # Correctness
//! Memory holds a few batches, whatever the answer's length. A list that was cut off is an error after the rows that came:
//! they are true by themselves, and what is missing comes with the next list.

use std::io::{BufReader, Read};

use futures_util::TryStreamExt;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{client::Trouble, wire::Sale};

/// Rows in a batch.
pub const BATCH: usize = 500;
/// Batches that wait to be handled.
const WAITING: usize = 2;

/// What a list comes in.
pub type Batches = mpsc::Receiver<Result<Vec<Sale>, Trouble>>;

/// Reads a list of sales.
#[must_use]
pub fn read(answer: reqwest::Response) -> Batches {
    let (sender, batches) = mpsc::channel(WAITING);
    let stream = Box::pin(answer.bytes_stream().map_err(std::io::Error::other));
    let bridge = SyncIoBridge::new(StreamReader::new(stream));
    tokio::task::spawn_blocking(move || {
        let mut rows = Rows { batch: Vec::with_capacity(BATCH), sender };
        if let Err(why) = parse(bridge, &mut rows) {
            // Nobody wants the rows any more: then nobody wants to know why they end.
            let _ = rows.sender.blocking_send(Err(Trouble::Unknown(format!("the list of sales: {why}"))));
        }
    });
    batches
}

fn parse(from: impl Read, rows: &mut Rows) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(64 << 10, from));
    (&mut json).deserialize_map(List(rows)).map_err(|e| e.to_string())?;
    rows.flush()
}

struct Rows {
    batch: Vec<Sale>,
    sender: mpsc::Sender<Result<Vec<Sale>, Trouble>>,
}

impl Rows {
    fn push(&mut self, sale: Sale) -> Result<(), String> {
        self.batch.push(sale);
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.sender.blocking_send(Ok(batch)).map_err(|_| "nobody reads on".into())
    }
}

/// `{"queryCount": 2, "sales": [ … ]}`; without `sales` when there are none.
struct List<'a>(&'a mut Rows);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of sales")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "sales" {
                map.next_value_seed(Sales(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Sales<'a>(&'a mut Rows);

impl<'de> DeserializeSeed<'de> for Sales<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Sales<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sales")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(row) = seq.next_element::<Box<RawValue>>()? {
            match serde_json::from_str(row.get()) {
                Ok(sale) => self.0.push(sale).map_err(serde::de::Error::custom)?,
                Err(e) => {
                    tracing::warn!(error = %e, "a row of the list of sales cannot be read; it is left out")
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (usize, Result<(), String>) {
        let (sender, mut batches) = mpsc::channel(100);
        let mut rows = Rows { batch: Vec::new(), sender };
        let parsed = parse(text.as_bytes(), &mut rows);
        drop(rows);
        let mut count = 0;
        while let Ok(Ok(batch)) = batches.try_recv() {
            count += batch.len();
        }
        (count, parsed)
    }

    #[test]
    fn a_list_comes_in_batches_and_may_be_missing() {
        let row = r#"{"orderId":"Qm1","state":"PENDING","more":[{"x":1}]}"#;
        let many = vec![row; BATCH + 1].join(",");
        let list = format!(r#"{{"queryCount":501,"sales":[{many}],"other":null}}"#);
        assert_eq!(rows(&list), (BATCH + 1, Ok(())));
        assert_eq!(rows(r#"{"queryCount":0}"#), (0, Ok(())));
        let odd = list.replacen(r#""state":"PENDING""#, r#""state":null"#, 1);
        assert_eq!(rows(&odd), (BATCH, Ok(())), "an odd row is left out");
        assert!(rows(&list[..list.len() - 30]).1.is_err());
        assert!(rows("").1.is_err());
    }
}
