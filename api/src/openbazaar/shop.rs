//! The shop window: what can be rented is listed, and what cannot is not.
//!
//! # Shape
//! Events mark devices and contracts as changed ([`Shop::follow`]); for each of them the listings that there should be are
//! computed from the ledger and compared with those that were put up ([`Shop::tidy`]). Now and then, and at the start,
//! everything is compared with what the node has ([`Shop::compare`]).
//!
//! # Correctness
//! What should be listed follows from the ledger at the moment of looking, so it does not matter how often, when or in
//! what order something is marked. A call with an unknown outcome leaves its mark, and every call can be repeated: a
//! listing is put up under its own name, so a second one finds the first.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use domain::{
    any::AnyEvent,
    contract::{Contract, ContractEvent},
    device::{Device, DeviceEvent},
    event::{Position, Recorded, canonical_json},
    id::{ContractId, DeviceId},
    key::Digest,
    time::Time,
};
use projections::views::{
    MAX_LIMIT, Page,
    contracts::{ContractScope, ContractStatus},
    market::{MarketFilter, MarketSort},
};
use serde_json::Value;

use super::{
    client::Trouble,
    desk::{Desk, Failure},
    slug::{PREFIX, Slug},
};
use crate::error::Problem;

/// Events read at once.
const PAGE: usize = 500;
/// Calls to the node in one go; orders must not wait for a long list.
const MAX_CALLS: usize = 50;
/// What operators are told of a listing that the node does not take.
const REFUSED: &str = "listing refused";

/// Whose listings may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Marked {
    Device(DeviceId),
    Contract(ContractId),
}

impl Marked {
    /// What the names of its listings begin with.
    fn prefix(self) -> String {
        match self {
            Self::Device(device) => format!("{PREFIX}{}-", device.0.simple()),
            Self::Contract(contract) => format!("{PREFIX}x-{}-", contract.0.simple()),
        }
    }
}

/// What was put up, and what is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Shop {
    /// By name: a digest of what the listing says.
    listed: BTreeMap<String, Digest>,
    marked: BTreeSet<Marked>,
    /// By name: what the node did not take, so that it is not asked again.
    refused: BTreeMap<String, Digest>,
    next: Position,
    compared_at: Option<Time>,
}

impl Shop {
    /// Listings that are up.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Brings the node's listings up to date; whether there is more to do at once.
    pub async fn open(&mut self, desk: &Desk) -> Result<bool, Failure> {
        let now = desk.app.clock.time();
        let compare_at = self.compared_at.map(|at| at.plus(desk.settings().compare_s));
        if compare_at.is_none_or(|at| at <= now) {
            self.compare(desk).await?;
            self.compared_at = Some(now);
        }
        self.follow(desk).await?;
        self.tidy(desk).await
    }

    /// Marks what happened since the last time.
    async fn follow(&mut self, desk: &Desk) -> Result<(), Failure> {
        loop {
            let page = desk.app.executor.log().read_all(self.next, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            self.next = last.position + 1;
            for recorded in &page {
                self.marked.extend(changed(recorded));
            }
        }
    }

    /// Marks everything that is on the node and should not be, or the other way round.
    async fn compare(&mut self, desk: &Desk) -> Result<(), Failure> {
        let head = desk.app.executor.log().head().await?;
        self.next = head.map_or(0, |head| head + 1);
        desk.app.catch_up(head).await;
        self.listed = remembered(desk).await?;
        let there = desk.node.listings().await?.into_iter().map(|listed| listed.slug);
        let there: HashSet<String> = there.filter(|slug| slug.starts_with(PREFIX)).collect();
        let gone: Vec<_> = self.listed.keys().filter(|slug| !there.contains(*slug)).cloned().collect();
        for slug in gone {
            self.forget(desk, &slug).await?;
        }
        for slug in there {
            // What is there and not remembered says something unknown: a digest that nothing has.
            self.listed.entry(slug).or_insert(Digest([0; 32]));
        }
        let strays: Vec<_> = self.listed.keys().filter(|slug| Slug::read(slug).is_none()).cloned().collect();
        for slug in strays {
            desk.node.remove_listing(&slug).await?;
            self.forget(desk, &slug).await?;
        }
        self.marked.extend(self.listed.keys().filter_map(|slug| match Slug::read(slug)? {
            Slug::Rental { device, .. } => Some(Marked::Device(device)),
            Slug::Extension { contract, .. } => Some(Marked::Contract(contract)),
        }));
        let mut cursor = None;
        loop {
            let (filter, sort) = (MarketFilter::default(), MarketSort::Newest);
            let rows = desk.app.views.market(filter, sort, cursor.take(), MAX_LIMIT).await?;
            self.marked.extend(rows.iter().map(|row| Marked::Device(row.device)));
            match rows.last() {
                Some(last) if rows.len() == MAX_LIMIT => cursor = Some(last.cursor(sort)),
                _ => break,
            }
        }
        let mut page = Page::oldest(MAX_LIMIT);
        loop {
            let running = Some(ContractStatus::Running);
            let rows = desk.app.views.contracts(ContractScope::All, running, page).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            page.after = Some(last.position);
            let pending = rows.iter().filter(|row| row.extension.is_some());
            self.marked.extend(pending.map(|row| Marked::Contract(row.contract)));
        }
    }

    /// Does what is marked, as far as [`MAX_CALLS`] goes; whether something is left. What is listed comes first: it may
    /// have to go.
    async fn tidy(&mut self, desk: &Desk) -> Result<bool, Failure> {
        let (listed, new): (Vec<_>, Vec<_>) =
            self.marked.iter().copied().partition(|marked| self.of(*marked).next().is_some());
        let mut calls = 0;
        for marked in listed.into_iter().chain(new) {
            if calls >= MAX_CALLS {
                return Ok(true);
            }
            if self.tidy_one(desk, marked, &mut calls).await? {
                self.marked.remove(&marked);
            }
        }
        Ok(false)
    }

    /// The listings of something that are up.
    fn of(&self, marked: Marked) -> impl Iterator<Item = &String> {
        let prefix = marked.prefix();
        let from = self.listed.range(prefix.clone()..).map(|(slug, _)| slug);
        from.take_while(move |slug| slug.starts_with(&prefix))
    }

    /// Makes the listings of something what they should be; whether they are, as far as anybody can tell.
    async fn tidy_one(&mut self, desk: &Desk, marked: Marked, calls: &mut usize) -> Result<bool, Failure> {
        let wanted: BTreeMap<String, Value> = wanted_of(desk, marked)
            .await?
            .into_iter()
            .map(|(slug, listing)| (slug.to_string(), listing))
            .collect();
        let gone: Vec<_> = self.of(marked).filter(|slug| !wanted.contains_key(*slug)).cloned().collect();
        let mut is_done = true;
        for slug in gone {
            *calls += 1;
            match desk.node.remove_listing(&slug).await {
                Ok(()) => self.forget(desk, &slug).await?,
                Err(trouble) => is_done &= puzzled(&slug, trouble)?,
            }
        }
        for (slug, listing) in wanted {
            let content = Digest::of(&canonical_json(&listing));
            if self.listed.get(&slug) == Some(&content) || self.refused.get(&slug) == Some(&content) {
                continue;
            }
            *calls += 1;
            match self.put_up(desk, &slug, &listing, content).await {
                Err(Failure::Node(trouble)) => is_done &= puzzled(&slug, trouble)?,
                other => other?,
            }
        }
        Ok(is_done)
    }

    async fn put_up(
        &mut self,
        desk: &Desk,
        slug: &str,
        listing: &Value,
        content: Digest,
    ) -> Result<(), Failure> {
        let known = self.listed.contains_key(slug);
        let first = if known {
            desk.node.replace_listing(listing).await
        } else {
            desk.node.add_listing(listing).await
        };
        let done = match first {
            Err(Trouble::Refused { status: 409, .. }) => desk.node.replace_listing(listing).await,
            Err(trouble) if trouble.is_missing() => desk.node.add_listing(listing).await,
            other => other,
        };
        match done {
            Ok(()) => {
                desk.app.private.openbazaar_listed(slug, Some(content)).await?;
                desk.end(slug, REFUSED).await?;
                self.listed.insert(slug.to_owned(), content);
                tracing::info!(slug, "a listing is up");
                Ok(())
            }
            Err(Trouble::Refused { reason, .. }) if reason.contains("validate") => {
                self.refused.insert(slug.to_owned(), content);
                Ok(desk.call(slug, REFUSED, reason).await?)
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    async fn forget(&mut self, desk: &Desk, slug: &str) -> Result<(), Problem> {
        desk.app.private.openbazaar_listed(slug, None).await?;
        self.listed.remove(slug);
        tracing::info!(slug, "a listing is gone");
        Ok(())
    }
}

/// Nobody knows what came of a call: it is made again; unless no call can be made now.
fn puzzled(slug: &str, trouble: Trouble) -> Result<bool, Failure> {
    if trouble.is_down() {
        return Err(trouble.into());
    }
    tracing::warn!(slug, error = %trouble, "a listing is not as it should be; trying again");
    Ok(false)
}

/// What was put up, as it was remembered.
async fn remembered(desk: &Desk) -> Result<BTreeMap<String, Digest>, Problem> {
    let mut all: BTreeMap<String, Digest> = BTreeMap::new();
    loop {
        let after = all.last_key_value().map_or(String::new(), |(slug, _)| slug.clone());
        let page = desk.app.private.openbazaar_listings(&after, 500).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Whose listings an event may change.
fn changed(recorded: &Recorded) -> Option<Marked> {
    let event = AnyEvent::of(recorded).ok()?;
    match event {
        AnyEvent::Device(
            DeviceEvent::OfferPublished(_)
            | DeviceEvent::OfferWithdrawn(_)
            | DeviceEvent::LeaseGranted(_)
            | DeviceEvent::DeviceLost(_)
            | DeviceEvent::DeviceRecovered(_)
            | DeviceEvent::LeaseEnded(_)
            | DeviceEvent::DeviceRetired(_)
            | DeviceEvent::DeviceTransferred(_),
        ) => Some(Marked::Device(recorded.stream.key().parse().ok()?)),
        AnyEvent::Contract(ContractEvent::RentalStarted(e)) => Some(Marked::Device(e.device)),
        AnyEvent::Contract(ContractEvent::OfferClosed(e)) => Some(Marked::Device(e.device)),
        AnyEvent::Contract(
            ContractEvent::ExtensionRequested(_)
            | ContractEvent::ExtensionLapsed(_)
            | ContractEvent::RentalExtended(_)
            | ContractEvent::RentalTerminated(_)
            | ContractEvent::RentalExpired(_),
        ) => Some(Marked::Contract(recorded.stream.key().parse().ok()?)),
        _ => None,
    }
}

/// The listings that there should be now.
async fn wanted_of(desk: &Desk, marked: Marked) -> Result<Vec<(Slug, Value)>, Failure> {
    let (executor, now) = (&desk.app.executor, desk.app.clock.time());
    match marked {
        Marked::Device(device) => {
            let state = executor.load::<Device>(&device).await?.state;
            let Ok(rentable) = state.rentable() else { return Ok(Vec::new()) };
            let contract = executor.load::<Contract>(&ContractId::of(device, rentable.epoch)).await?.state;
            if contract.rental().is_some() || contract.is_closed() {
                return Ok(Vec::new());
            }
            let hardware = state.lease().map(|lease| lease.granted.hardware.clone()).unwrap_or_default();
            Ok(desk.rentals(device, &rentable, &hardware))
        }
        Marked::Contract(contract) => {
            let state = executor.load::<Contract>(&contract).await?.state;
            let Some(rental) = state.rental() else { return Ok(Vec::new()) };
            let here = rental.started.order.marketplace == desk.settings().marketplace && rental.runs(now);
            let Some(pending) = rental.pending.as_ref().filter(|p| here && now < p.lapses_at) else {
                return Ok(Vec::new());
            };
            let slug = Slug::extension(contract, pending.extension);
            let listing = desk.extension(&slug, &rental.started.offer, pending.term_s, pending.price);
            Ok(listing.into_iter().map(|listing| (slug.clone(), listing)).collect())
        }
    }
}
