//! Two answers in the same order, compared row by row as they come in.
//!
//! # Shape
//! Each side is asked on a thread of its own and sends its rows in packets; memory is bounded by a few packets. The two may
//! be different databases: what is compared are values.

use std::{cmp::Ordering, sync::mpsc, thread::JoinHandle};

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::{
    db::{Db, Kind},
    rows::{BadColumn, Column},
    views::ViewError,
};

/// Rows in a packet.
const PACKET: usize = 256;
/// Packets that wait.
const AHEAD: usize = 4;

type Row = Vec<Value>;

/// A value of any kind.
struct Any(Value);

impl Column for Any {
    const KIND: Kind = Kind::Blob;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(self.0.clone())
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        Value::try_from(value).map(Self).map_err(BadColumn::from)
    }
}

/// One of the two.
pub struct Side {
    packets: mpsc::Receiver<Vec<Row>>,
    packet: std::vec::IntoIter<Row>,
    asking: JoinHandle<Result<Db, ViewError>>,
}

impl Side {
    /// Asks for rows of `width` columns.
    pub fn start(db: Db, sql: String, width: usize) -> Self {
        let (sender, packets) = mpsc::sync_channel(AHEAD);
        let asking = std::thread::spawn(move || {
            let mut packet = Vec::with_capacity(PACKET);
            let send = |packet| sender.send(packet).map_err(|e| ViewError::Storage(e.to_string()));
            db.scan::<ViewError>(&sql, |row| {
                let bad = |e: BadColumn| ViewError::Storage(format!("{sql}: {e}"));
                let values = (0..width).map(|_| row.take().map(|Any(value)| value).map_err(bad));
                packet.push(values.collect::<Result<Row, _>>()?);
                if packet.len() == PACKET {
                    send(std::mem::take(&mut packet))?;
                }
                Ok(true)
            })?;
            send(packet)?;
            drop(sender);
            Ok(db)
        });
        Self { packets, packet: Vec::new().into_iter(), asking }
    }

    fn next(&mut self) -> Option<Row> {
        loop {
            if let Some(row) = self.packet.next() {
                return Some(row);
            }
            self.packet = self.packets.recv().ok()?.into_iter();
        }
    }

    /// Gives the connection back when all rows were taken.
    pub fn end(self) -> Result<Db, ViewError> {
        drop(self.packets);
        self.asking.join().map_err(|_| ViewError::Storage("a comparison was cut off".into()))?
    }
}

/// How many rows only one side has; a row of which both have another form counts for both. The first `keys` columns are
/// the order.
pub fn compare(ours: &mut Side, theirs: &mut Side, keys: usize) -> (u64, u64) {
    let (mut extra, mut missing) = (0, 0);
    let (mut our, mut their) = (ours.next(), theirs.next());
    loop {
        let order = match (&our, &their) {
            (None, None) => return (extra, missing),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(our), Some(their)) => {
                let order = our.iter().zip(their).take(keys).map(|(a, b)| by_value(a, b));
                let order = order.fold(Ordering::Equal, Ordering::then);
                if order == Ordering::Equal && our != their {
                    extra += 1;
                    missing += 1;
                }
                order
            }
        };
        if order == Ordering::Equal {
            (our, their) = (ours.next(), theirs.next());
        } else if order == Ordering::Less {
            extra += 1;
            our = ours.next();
        } else {
            missing += 1;
            their = theirs.next();
        }
    }
}

fn by_value(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}
