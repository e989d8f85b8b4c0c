//! Performs what was decided.

use domain::{
    id::Epoch,
    wire::{self, Grant, Registration, SignedRegistration},
};
use tracing::{debug, error, info, warn};

use super::{Agent, Turn};
use crate::{
    decide::{Decision, Next, Step, decide},
    erase::{self, EraseError},
    hardware,
    heard::{Demand, Heard, Warrant, Why},
    record::Held,
    server::Silent,
    volume::Owner,
};

/// No word leads to more changes in a row than this.
const CHANGES_MAX: usize = 8;

impl Agent {
    /// Decides and performs until there is nothing left to do on what was heard.
    pub(super) async fn act(&mut self, heard: &Heard) -> Turn {
        self.recover();
        for _ in 0..CHANGES_MAX {
            let decision = decide(&self.local(), heard, self.now());
            self.tell(&decision);
            if !self.advance(&decision.next) {
                continue;
            }
            let turn = match decision.step {
                Step::Again => continue,
                Step::Wait => Turn::Settled,
                Step::Seal => {
                    self.stop("sealed: the workload is stopped, the data are kept");
                    Turn::Settled
                }
                Step::Register => self.register().await,
                Step::Prepare(epoch) if self.prepare(epoch) => continue,
                Step::Prepare(_) => Turn::Failed(None),
                Step::Resume(epoch) => self.resume(epoch, heard).await,
                Step::Erase(warrant) if self.erase(&warrant) => continue,
                Step::Erase(_) => Turn::Failed(None),
                Step::Forsake(demand) if self.forsake(demand) => continue,
                Step::Forsake(_) => Turn::Failed(None),
                Step::SendReceipt => self.send_receipt().await,
            };
            return turn;
        }
        Turn::Failed(None)
    }

    fn tell(&mut self, decision: &Decision) {
        let Decision { row, conflict, .. } = decision;
        let (device, epoch) = (self.shown_device(), self.epoch());
        let news = self.last_row != Some(*row) || self.conflict != *conflict;
        (self.last_row, self.conflict) = (Some(*row), *conflict);
        match conflict {
            Some(conflict) if news => warn!(device, epoch, %row, %conflict, "decided, with a conflict"),
            None if news => info!(device, epoch, %row, step = decision.step.name(), "decided"),
            Some(_) | None => debug!(device, epoch, %row, step = decision.step.name(), "decided"),
        }
    }

    /// Asks for a lease; the intention is durable already.
    async fn register(&mut self) -> Turn {
        match self.granted().await {
            Ok(grant) => {
                info!(device = %grant.device, epoch = grant.epoch, host = grant.host, port = grant.port, "granted");
                self.record.device = Some(grant.device);
                self.record.config_hash = Some(self.config.hash());
                self.record.held = Held::Preparing { grant };
                // An unwritten grant is asked for again; the server gives the same one.
                if self.save() { Turn::AskNow } else { Turn::Failed(None) }
            }
            Err(Silent { why, retry_after }) => {
                warn!(device = %self.shown_device(), %why, "not registered");
                Turn::Failed(retry_after)
            }
        }
    }

    async fn granted(&self) -> Result<Grant, Silent> {
        let registration = Registration {
            v: wire::VERSION,
            device_key: self.public_key(),
            config_hash: self.config.hash(),
            hardware: hardware::report(&self.volume.data(), self.server.bandwidth(&self.record.server).await),
        };
        let request = SignedRegistration(wire::sign(&registration, &self.key));
        let grant = self.server.register(&self.record.server, &request).await?;
        let unfit = |why: &str| Err(Silent::from(Why::Unfit(why.to_owned())));
        if Some(grant.server_key) != self.record.root {
            return unfit("the lease is granted by another server key than the pinned one");
        }
        if self.record.device.is_some_and(|device| device != grant.device) {
            return unfit("the lease is granted to another device");
        }
        match &self.record.held {
            Held::Idle { floor, .. } if grant.epoch <= *floor => unfit("the granted lease is already over"),
            Held::Leased { epoch, .. } if grant.epoch != *epoch => unfit("another lease than the held one"),
            _ => Ok(grant),
        }
    }

    /// Labels and readies the volume, then holds the lease.
    fn prepare(&mut self, epoch: Epoch) -> bool {
        let (Some(device), Some(root)) = (self.record.device, self.record.root) else { return false };
        let owner = Owner { device, epoch, server: self.record.server.clone(), root };
        match self.volume.prepare(&owner) {
            Ok(()) => self.advance(&Next::Leased { epoch, until: None }),
            Err(error) => {
                error!(device = %device, epoch, %error, "the volume cannot be prepared");
                false
            }
        }
    }

    /// Runs the workload; a lease rebuilt from its label gets its credentials again.
    async fn resume(&mut self, epoch: Epoch, heard: &Heard) -> Turn {
        if self.running.replace(epoch) != Some(epoch) {
            info!(device = %self.shown_device(), epoch, data = %self.volume.data().display(), "running");
        }
        let bare = matches!(self.record.held, Held::Leased { grant: None, .. });
        if !bare || matches!(heard, Heard::Silence(_)) || self.impaired {
            return Turn::Settled;
        }
        match self.granted().await {
            Ok(granted) => {
                if let Held::Leased { grant, .. } = &mut self.record.held {
                    *grant = Some(granted);
                }
                if self.save() { Turn::Settled } else { Turn::Failed(None) }
            }
            Err(Silent { why, retry_after }) => {
                warn!(device = %self.shown_device(), epoch, %why, "the lease's credentials are missing");
                Turn::Failed(retry_after)
            }
        }
    }

    fn stop(&mut self, why: &str) {
        if let Some(epoch) = self.running.take() {
            warn!(device = %self.shown_device(), epoch, "{why}");
        }
    }

    /// Goes on erasing; the record is `Erasing` already.
    fn erase(&mut self, warrant: &Warrant) -> bool {
        self.stop("the workload is stopped to be erased");
        let (epoch, floor) = (warrant.epoch(), self.now());
        let (store, volume, key) = (&self.store, &self.volume, &self.key);
        let erased = erase::run(&mut self.record, warrant, volume, key, floor, |record| store.save(record));
        match erased {
            Ok(()) => {
                info!(device = %self.shown_device(), epoch, "erased");
                self.save()
            }
            Err(error) => {
                error!(device = %self.shown_device(), epoch, %error, "not erased");
                match error {
                    EraseError::NotEmpty(_) => self.advance(&Next::Quarantined { epoch }),
                    EraseError::Record(_) => {
                        self.impaired = true;
                        false
                    }
                    EraseError::Volume(_) | EraseError::Missing(_) | EraseError::NotIntended(_) => false,
                }
            }
        }
    }

    fn forsake(&mut self, demand: Demand) -> bool {
        self.stop("the workload is stopped to be erased");
        let (epoch, store, volume) = (demand.epoch(), &self.store, &self.volume);
        match erase::forsake(&mut self.record, demand, volume, |record| store.save(record)) {
            Ok(()) => self.save(),
            Err(error) => {
                error!(device = %self.shown_device(), epoch, %error, "not erased");
                self.impaired |= matches!(error, EraseError::Record(_));
                false
            }
        }
    }

    /// Sends the kept receipt; what follows from it is learnt from the next word.
    async fn send_receipt(&mut self) -> Turn {
        let kept = match &self.record.held {
            Held::Erased { receipt } | Held::Idle { receipt: Some(receipt), .. } => receipt.clone(),
            _ => return Turn::Settled,
        };
        match self.server.erased(&self.record.server, &kept.receipt).await {
            Ok(()) => Turn::AskSoon,
            Err(Silent { why, retry_after }) => {
                warn!(device = %self.shown_device(), epoch = kept.epoch, %why, "the receipt was not taken");
                Turn::Failed(retry_after)
            }
        }
    }
}
