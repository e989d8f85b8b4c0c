//! Read models: tables folded from the log, each a pure function of the events up to its checkpoint.
//!
//! # Shape
//! A [`View`] names its table and folds one event at a time into its rows. All views live in one SQLite file beside the
//! log, or in a schema of a PostgreSQL database ([`Store`]); the [`Runner`](crate::runner::Runner) keeps them up to date, [`rebuild`](crate::rebuild)
//! makes them anew, and [`Views`] answers questions.
//!
//! # Correctness
//! Nothing in the file is truth: any view can be dropped and folded again from the log. A fold sees only its own rows
//! and the event, never the clock, another view or the outside; so the rows at a position do not depend on how the log
//! was cut into batches, on restarts, or on whether they were folded live or later.

pub mod contracts;
pub mod device_feed;
pub mod devices;
pub mod due;
pub mod earnings;
mod engine;
mod error;
pub mod file;
mod folder;
pub mod journal;
pub mod market;
pub mod orders;
pub mod overview;
pub mod port_leases;
pub mod purses;
mod read;
pub mod settlements;
mod store;
pub(crate) mod tables;
pub mod timeline;

use domain::{any::AnyEvent, event::Recorded, id::GatewayName, time::Time};
use uuid::Uuid;

pub use self::{
    engine::{Applied, Engine, decode},
    error::ViewError,
    folder::Folder,
    read::{MAX_LIMIT, Page, Views},
    store::Store,
};
pub(crate) use engine::fold;

use crate::rows::{Row, Rows};

/// An event with its decoded payload.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// As the log holds it.
    pub recorded: &'a Recorded,
    /// What it says.
    pub event: &'a AnyEvent,
    /// The id in its stream's name, if there is one: most folds ask for it.
    id: Option<Uuid>,
}

impl<'a> Envelope<'a> {
    /// Puts an event and its payload together.
    #[must_use]
    pub fn new(recorded: &'a Recorded, event: &'a AnyEvent) -> Self {
        Self { recorded, event, id: Uuid::try_parse(recorded.stream.key()).ok() }
    }

    /// When it was written down, in whole seconds.
    #[must_use]
    pub fn recorded_at(&self) -> Time {
        Time::from_unix(self.recorded.event.recorded_at.timestamp())
    }

    /// The id that its stream is named by.
    ///
    /// # Errors
    /// When the stream's name holds none: then the log is not what this program wrote.
    pub fn id<T: From<Uuid>>(&self) -> Result<T, ViewError> {
        self.id.map(T::from).ok_or_else(|| ViewError::event(self.recorded, "its stream is named by no id"))
    }

    /// The gateway that its stream is named by.
    ///
    /// # Errors
    /// When the stream's name holds none.
    pub fn gateway(&self) -> Result<GatewayName, ViewError> {
        self.recorded.stream.key().parse().map_err(|e| ViewError::event(self.recorded, e))
    }
}

/// A read model: one table and how events change it.
pub trait View: 'static {
    /// Raised when the fold changes: a view of another version is rebuilt before it is used.
    const VERSION: u32;
    /// The table and its indexes, each index named `<table>_by_<what>`.
    const DDL: &'static str;
    /// What folding it costs, compared with others.
    const WEIGHT: u32 = 10;
    /// Whether the table lies in the order of `position`, the event that made a row, and not in that of the key.
    const IN_ORDER: bool = false;
    /// Rows in memory.
    const CACHED: usize = 16_384;
    /// The table's rows; the view bears the table's name.
    type Row: Row;

    /// Folds one event in.
    ///
    /// # Errors
    /// When rows cannot be loaded, or the event belongs to a stream that cannot be.
    fn fold(rows: &mut Rows<'_, Self::Row>, event: &Envelope<'_>) -> Result<(), ViewError>;
}

/// Every view there is, folding into the tables that are served, or into empty ones that are being built.
#[must_use]
pub fn all(build: bool) -> Vec<Box<dyn Folder>> {
    vec![
        folder::of::<port_leases::PortLeases>(build),
        folder::of::<devices::Devices>(build),
        folder::of::<market::Market>(build),
        folder::of::<contracts::Contracts>(build),
        folder::of::<orders::Orders>(build),
        folder::of::<settlements::Settlements>(build),
        folder::of::<purses::Purses>(build),
        folder::of::<due::Due>(build),
        folder::of::<device_feed::DeviceFeed>(build),
        journal::Journal::folder(build),
        earnings::Earnings::folder(build),
        folder::of::<timeline::Timeline>(build),
    ]
}

/// The tables of all views, each with its view.
#[must_use]
pub fn tables() -> Vec<(&'static str, &'static str)> {
    let views = all(false);
    views.iter().flat_map(|view| view.tables().iter().map(|table| (view.name(), *table))).collect()
}

/// The names of all views.
pub fn names() -> Vec<&'static str> {
    all(false).iter().map(|view| view.name()).collect()
}
