//! The OpenBazaar connector: sells, hands over, extends, refunds and pays on one node.
//!
//! # Shape
//! An anti-corruption layer: what the node says ([`wire`]) becomes commands of the ledger, and what the ledger decided
//! becomes calls to the node ([`client`]). Each [`Connector::cycle`] lists what can be rented ([`shop`]), looks at orders
//! that changed ([`orders`]), and pays what is due ([`payments`]). Notifications and the websocket ([`hints`]) only make
//! it look sooner: the node loses them, and repeats them.
//!
//! # Correctness
//! Everything starts from what the node and the ledger say now, so a cycle that was cut off anywhere is simply run again.
//! Orders are recognised by the node's id, listings by names that say what they sell, buyers by their peer. The only
//! thing that must not be done twice, paying, is locked by the ledger itself; see [`payments`]. One server at a time
//! works on a node ([`lease`]), for the node's sake.

mod client;
mod desk;
mod disputes;
mod escrow;
mod found;
mod hints;
mod lease;
mod listing;
mod make;
mod note;
mod orders;
mod payments;
mod people;
mod plan;
mod report;
mod sales;
mod shop;
mod slug;
mod sources;
mod status;
mod wallet;
mod wanted;
mod wire;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use domain::time::Time;
use tokio_util::sync::CancellationToken;

pub use listing::{terms, words};
pub use slug::Slug;
pub use status::Status;
pub use wire::asset_of;

use self::{
    client::Client,
    desk::{Desk, Failure, NODE},
    hints::Hints,
    lease::Lease,
    payments::Payments,
    sales::BATCH,
    shop::Shop,
    wire::{Sale, State, is_id},
};
use crate::{app::App, error::Problem};

/// Failures of a part after which operators are told.
const MAX_FAILURES: u32 = 5;
/// Orders looked at in one cycle, at most; the others come in the next.
const MAX_LOOKS: usize = 2_000;
/// Notifications read at once.
const MAX_NOTIFICATIONS: usize = 50;
/// What operators are told while the node does not answer.
const AWAY: &str = "node away";
/// Seconds without an answer after which they are.
const AWAY_S: i64 = 60;
/// How long events of the ledger are gathered before the connector looks at what follows from them.
const GATHER: Duration = Duration::from_millis(200);

/// What a cycle consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Hints,
    Notifications,
    Sales,
    Shop,
    Payments,
    Watch,
}

impl Part {
    const ALL: [Self; 6] =
        [Self::Hints, Self::Notifications, Self::Sales, Self::Shop, Self::Payments, Self::Watch];

    /// What operators are told when it fails again and again.
    const fn failing(self) -> &'static str {
        match self {
            Self::Hints => "orders cannot be looked at",
            Self::Notifications => "notifications cannot be read",
            Self::Sales => "sales cannot be listed",
            Self::Shop => "listings cannot be kept",
            Self::Payments => "payments cannot be made",
            Self::Watch => "payments cannot be watched",
        }
    }
}

/// Works on one node.
#[derive(Debug)]
pub struct Connector {
    desk: Desk,
    lease: Lease,
    shop: Shop,
    payments: Payments,
    hints: Hints,
    /// Orders that something is to be done about, and the list they were last in.
    open: HashMap<String, u64>,
    list: u64,
    /// The newest notification that was read.
    notified: Option<String>,
    /// Orders that notifications were about; those that the list has are looked at in its order.
    mentioned: Vec<String>,
    listed_at: Option<Time>,
    /// When payments that were sent are looked at again.
    watch_at: Time,
    answered_at: Time,
    is_ready: bool,
    /// How often each part has failed since it last did not.
    failed: HashMap<Part, u32>,
}

impl Connector {
    /// A connector to the node of the configuration; `None` when there is none.
    ///
    /// # Errors
    /// When there are no certificates to trust.
    pub fn new(app: &App) -> anyhow::Result<Option<Self>> {
        let settings = &app.config.openbazaar;
        if !settings.is_set() {
            return Ok(None);
        }
        let node = Client::new(settings, app.stop.clone())?;
        let moderator = Client::moderator(settings, app.stop.clone())?;
        let desk = Desk { app: app.clone(), node, moderator, coins: Vec::new() };
        Ok(Some(Self {
            lease: Lease::new(app),
            shop: Shop::default(),
            payments: Payments::default(),
            hints: Hints::default(),
            open: HashMap::new(),
            list: 0,
            notified: None,
            mentioned: Vec::new(),
            listed_at: None,
            watch_at: Time::MIN,
            answered_at: app.clock.time(),
            is_ready: false,
            failed: HashMap::new(),
            desk,
        }))
    }

    /// Does everything that there is to do now, if this server leads; whether there is more.
    ///
    /// # Errors
    /// When the ledger or the private store failed, or the node does not answer: then it is tried again.
    pub async fn cycle(&mut self) -> anyhow::Result<bool> {
        self.listed_at = None;
        self.work().await
    }

    /// As [`Connector::cycle`]; the list of sales is read when it is time to.
    async fn work(&mut self) -> anyhow::Result<bool> {
        let leads = self.lease.take(&self.desk.app).await?;
        if !leads && self.is_ready {
            // Another server changes what is remembered here.
            (self.shop, self.payments, self.is_ready) = (Shop::default(), Payments::default(), false);
        }
        let done = if leads { self.lead().await } else { Ok(false) };
        let now = self.desk.app.clock.time();
        let answered = match &done {
            Err(Failure::Node(trouble)) => !trouble.is_down(),
            _ => true,
        };
        if answered && leads {
            if self.answered_at.plus(AWAY_S) <= now {
                self.desk.end(NODE, AWAY).await?;
            }
            self.answered_at = now;
        } else if leads && self.answered_at.plus(AWAY_S) <= now {
            let why = done.as_ref().err().map(ToString::to_string).unwrap_or_default();
            self.desk.call(NODE, AWAY, why).await?;
        }
        let error = done.as_ref().err().map(ToString::to_string);
        let status = Status {
            url: self.desk.node.url().to_owned(),
            leads,
            coins: self.desk.coins.clone(),
            looked_at: now,
            answered_at: self.answered_at,
            listings: self.shop.len(),
            open_orders: self.open.len(),
            waiting_payments: self.payments.len(),
            error,
        };
        self.desk.app.openbazaar.send_modify(|known| match known {
            // Whoever leads tells how it is.
            Some(known) if !leads => known.leads = false,
            _ => *known = Some(status),
        });
        Ok(done?)
    }

    async fn lead(&mut self) -> Result<bool, Failure> {
        if !self.is_ready {
            self.prepare().await?;
        }
        let now = self.desk.app.clock.time();
        // One that fails holds up no other, unless nothing can be done at all.
        let mut first = None;
        let mut more = false;
        for part in Part::ALL {
            let is_time = match part {
                Part::Notifications | Part::Sales => {
                    self.listed_at.is_none_or(|at| at.plus(self.desk.settings().poll_s) <= now)
                }
                Part::Watch => self.watch_at <= now,
                Part::Hints | Part::Shop | Part::Payments => true,
            };
            if !is_time {
                continue;
            }
            let done = self.do_part(part).await;
            self.tell(part, &done).await?;
            match done {
                Ok(left) => {
                    more |= left;
                    if matches!(part, Part::Sales) && !left {
                        self.listed_at = Some(now);
                    }
                }
                Err(failure) if failure.stops_all() => return Err(failure),
                Err(failure) => {
                    first.get_or_insert(failure);
                }
            }
        }
        first.map_or(Ok(more), Err)
    }

    /// Tells operators of a part that fails again and again, and when it does no longer.
    async fn tell(&mut self, part: Part, done: &Result<bool, Failure>) -> Result<(), Failure> {
        let (what, failed) = (part.failing(), self.failed.entry(part).or_default());
        match done {
            Ok(_) if *failed >= MAX_FAILURES => self.desk.end(NODE, what).await?,
            Ok(_) => {}
            Err(failure) => {
                *failed = failed.saturating_add(1);
                tracing::warn!(?part, error = %failure, "a part of the OpenBazaar connector failed; trying again");
                if *failed == MAX_FAILURES {
                    self.desk.call(NODE, what, failure.to_string()).await?;
                }
                return Ok(());
            }
        }
        *failed = 0;
        Ok(())
    }

    async fn do_part(&mut self, part: Part) -> Result<bool, Failure> {
        match part {
            Part::Hints => self.hinted().await.map(|()| false),
            Part::Notifications => self.notifications().await.map(|()| false),
            Part::Sales => self.sales().await,
            Part::Shop => self.shop.open(&self.desk).await,
            Part::Payments => self.payments.settle(&self.desk, &mut self.lease).await.map(|()| false),
            Part::Watch => {
                self.payments.watch(&self.desk).await?;
                self.watch_at = self.desk.app.clock.time().plus(self.desk.settings().compare_s);
                Ok(false)
            }
        }
    }

    /// What must be known before anything is done.
    async fn prepare(&mut self) -> Result<(), Failure> {
        people::shop(&self.desk.app).await?;
        // Those that still hold are told again.
        self.desk.app.private.end_attention_to(payments::WAITS).await?;
        self.desk.app.private.openbazaar_since(self.desk.app.clock.time()).await?;
        self.desk.coins = self.desk.node.coins().await?;
        self.open.clear();
        let mut after = String::new();
        loop {
            let page = self.desk.app.private.openbazaar_open(&after, 500).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(last);
            self.open.extend(page.into_iter().map(|id| (id, 0)));
        }
        self.is_ready = true;
        self.desk.end(NODE, AWAY).await?;
        tracing::info!(
            url = self.desk.node.url(),
            coins = self.desk.coins.join(","),
            "the OpenBazaar node answers"
        );
        Ok(())
    }

    async fn look(&mut self, order: &str) -> Result<(), Failure> {
        if !self.lease.keep(&self.desk.app).await.map_err(|e| Problem::internal(&e))? {
            return Ok(());
        }
        self.payments.wake(order);
        orders::look(&self.desk, order).await
    }

    /// Notes which orders notifications are about: their state in the list may be the one that is known.
    async fn notifications(&mut self) -> Result<(), Failure> {
        let all = self.desk.node.notifications(MAX_NOTIFICATIONS).await?.notifications;
        let all = all.into_iter().map(|row| row.notification);
        let Some(known) = self.notified.take() else {
            // Whatever they say is in the list of sales too.
            self.notified = Some(all.map(|n| n.notification_id).next().unwrap_or_default());
            return Ok(());
        };
        let fresh: Vec<_> = all.take_while(|n| n.notification_id != known).collect();
        self.notified = Some(fresh.first().map_or(known, |newest| newest.notification_id.clone()));
        let orders = fresh.into_iter().rev().map(|n| n.order_id + &n.purchase_order_id);
        self.mentioned.extend(orders.filter(|order| is_id(order)));
        self.mentioned.truncate(MAX_LOOKS);
        Ok(())
    }

    /// Looks at what the node said by itself. Only the list of sales is believed to name sales: the node also speaks of
    /// its own purchases. So what is not known yet makes it read the list.
    async fn hinted(&mut self) -> Result<(), Failure> {
        let said = self.hints.take();
        let known = self.desk.app.private.openbazaar_states(&said).await?;
        if said.iter().any(|order| !known.contains_key(order)) {
            self.listed_at = None;
        }
        self.look_at(said.into_iter().filter(|order| known.contains_key(order)).collect()).await
    }

    /// Looks at orders, each once, in this order: who came first is served first.
    async fn look_at(&mut self, orders: Vec<String>) -> Result<(), Failure> {
        let mut looked = HashSet::new();
        for order in orders {
            if looked.insert(order.clone()) {
                self.look(&order).await?;
            }
        }
        Ok(())
    }

    /// Reads the list of sales and looks at those that changed, and at those whose time has come; whether some are left.
    async fn sales(&mut self) -> Result<bool, Failure> {
        self.list += 1;
        let answer = self.desk.node.sales(&State::open_numbers()).await?;
        let mut batches = sales::read(answer);
        let (mut changed, mut more) = (Vec::new(), false);
        let mut broken = None;
        while let Some(batch) = batches.recv().await {
            match batch {
                Ok(batch) => {
                    let fresh = self.compare(batch).await?;
                    more |= changed.len() + fresh.len() > MAX_LOOKS;
                    changed.extend(fresh.into_iter().take(MAX_LOOKS.saturating_sub(changed.len())));
                }
                Err(trouble) => broken = Some(trouble),
            }
        }
        let list = self.list;
        if broken.is_none() {
            changed.extend(self.open.extract_if(|_, seen| *seen != list).map(|(id, _)| id));
        }
        let due = self.desk.app.private.openbazaar_due(self.desk.app.clock.time(), BATCH as u32).await?;
        more |= due.len() == BATCH;
        changed.extend(due);
        let mentioned = std::mem::take(&mut self.mentioned);
        let known = self.desk.app.private.openbazaar_states(&mentioned).await?;
        changed.extend(mentioned.into_iter().filter(|order| known.contains_key(order)));
        self.look_at(changed).await?;
        broken.map_or(Ok(more), |trouble| Err(trouble.into()))
    }

    /// Those of a batch that are not as they were.
    async fn compare(&mut self, batch: Vec<Sale>) -> Result<Vec<String>, Failure> {
        let ids: Vec<_> = batch.iter().map(|sale| sale.order_id.clone()).collect();
        let known = self.desk.app.private.openbazaar_states(&ids).await?;
        let now = self.desk.app.clock.time();
        let mut changed = Vec::new();
        for Sale { order_id, state } in batch.into_iter().filter(|sale| is_id(&sale.order_id)) {
            let is_known = known
                .get(&order_id)
                .is_some_and(|(known, not_before)| *known == state || not_before.is_some_and(|at| at > now));
            if !is_known {
                changed.push(order_id.clone());
            }
            self.open.insert(order_id, self.list);
        }
        Ok(changed)
    }

    /// Gives the node to another server.
    pub async fn leave(&self) {
        self.lease.end(&self.desk.app).await;
    }
}

/// Works on the node until stopped.
pub async fn run(app: App, stop: CancellationToken) {
    let mut connector = match Connector::new(&app) {
        Ok(Some(connector)) => connector,
        Ok(None) => return,
        Err(e) => return tracing::error!(error = %e, "the OpenBazaar connector cannot start"),
    };
    let listening = tokio::spawn(connector.hints.clone().listen(connector.desk.node.clone(), stop.clone()));
    let mut log = app.executor.log().follow();
    let poll = Duration::from_secs(app.config.openbazaar.poll_s.unsigned_abs());
    loop {
        log.mark_unchanged();
        let more = connector.work().await;
        if let Err(e) = &more {
            tracing::warn!(error = %e, "the OpenBazaar connector did not get through; trying again");
        }
        let wait = match more {
            Ok(true) => Duration::ZERO,
            Ok(false) => poll,
            Err(_) => poll.min(Duration::from_secs(5)),
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
            () = connector.hints.wait() => {}
            _ = log.changed() => tokio::time::sleep(GATHER).await,
        }
    }
    connector.leave().await;
    let _ = listening.await;
}
