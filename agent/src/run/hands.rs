//! Performs what was decided.

use domain::{
    id::Epoch,
    wire::{self, Grant, Registration, SignedRegistration},
};
use tracing::{debug, error, info, warn};

use super::{Agent, Turn};
use crate::{
    clock::{self, Boot},
    decide::{Conflict, Decision, Next, Step, decide},
    dice,
    erase::{EraseError, Site},
    hardware,
    heard::{Demand, Heard, Warrant, Why},
    record::Held,
    server::Silent,
    volume::{Owner, VolumeError},
    workload::{Tenancy, WorkloadError},
};

/// Waits for a moment; for ever when there is none.
async fn until(moment: Option<Boot>) {
    match moment {
        Some(moment) => clock::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// No word leads to more changes in a row than this.
const CHANGES_MAX: usize = 8;

impl Agent {
    /// Decides and performs until there is nothing left to do on what was heard.
    pub(super) async fn act(&mut self, heard: &Heard) -> Turn {
        self.recover();
        self.broken = false;
        for _ in 0..CHANGES_MAX {
            let decision = decide(&self.local(), heard, self.now());
            self.tell(&decision);
            if !self.advance(&decision.next) {
                continue;
            }
            let turn = match decision.step {
                Step::Again => continue,
                Step::Wait => Turn::Settled,
                Step::Seal => self.seal().await,
                Step::Register => self.register().await,
                Step::Prepare(epoch) if self.prepare(epoch).await => continue,
                Step::Prepare(_) => Turn::Failed(None),
                Step::Resume(epoch) => match self.resume(epoch, heard).await {
                    Some(turn) => turn,
                    None => continue,
                },
                Step::Erase(warrant) if self.erase(&warrant).await => continue,
                Step::Erase(_) => Turn::Failed(None),
                Step::Forsake(demand) if self.forsake(demand).await => continue,
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
            hardware: hardware::report(
                self.volume.look(|volume| volume.size_mib()),
                self.uplink.bandwidth(&self.record.server).await,
            ),
        };
        let request = SignedRegistration(wire::sign(&registration, &self.key));
        let unfit = |why: &str| Err(Silent::from(Why::Unfit(why.to_owned())));
        let Some(root) = self.record.root else { return unfit("no server key is pinned") };
        let grant = self.uplink.register(&self.record.server, root, &request).await?;
        if Some(grant.server_key) != self.record.root {
            return unfit("the lease is granted by another server key than the pinned one");
        }
        if self.record.device.is_some_and(|device| device != grant.device) {
            return unfit("the lease is granted to another device");
        }
        match &self.record.held {
            Held::Idle { floor, .. } if grant.epoch > floor.saturating_add(wire::MAX_EPOCH_JUMP) => {
                unfit("an epoch too far ahead")
            }
            Held::Idle { floor, .. } if grant.epoch <= *floor => unfit("the granted lease is already over"),
            Held::Leased { epoch, .. } if grant.epoch != *epoch => unfit("another lease than the held one"),
            _ => Ok(grant),
        }
    }

    /// Makes the volume ready for the lease, its key first, then holds the lease.
    async fn prepare(&mut self, epoch: Epoch) -> bool {
        let (Some(device), Some(root)) = (self.record.device, self.record.root) else { return false };
        let owner = Owner { device, epoch, server: self.record.server.clone(), root };
        if self.volume.look(|volume| volume.needs_key())
            && let Err(error) = self.keyring.make(epoch, dice::bytes())
        {
            error!(%device, epoch, %error, "the device's half of the key cannot be kept");
            self.trouble = Some(Conflict::DataUnreadable(epoch));
            return false;
        }
        let key = self.keyring.key(device, epoch);
        match self.volume.work(move |volume| volume.prepare(&owner, key.as_ref())).await {
            Ok(()) => {
                self.trouble = None;
                self.workload.kind().clone_into(&mut self.record.workload);
                self.advance(&Next::Leased { epoch, until: None })
            }
            Err(error) => {
                error!(%device, epoch, %error, "the volume cannot be prepared");
                self.trouble = Some(Conflict::DataUnreadable(epoch));
                false
            }
        }
    }

    /// Opens the volume and runs the workload; `None` when the table must be asked again.
    async fn resume(&mut self, epoch: Epoch, heard: &Heard) -> Option<Turn> {
        let device = self.record.device?;
        let key = self.keyring.key(device, epoch);
        if let Err(error) = self.volume.work(move |volume| volume.open(device, epoch, key.as_ref())).await {
            error!(device = %self.shown_device(), epoch, %error, "the volume cannot be opened");
            self.broken = true;
            return None;
        }
        if let Err(error) = self.keyring.keep(epoch, self.offline_resume()) {
            warn!(epoch, %error, "whether to resume without the server could not be kept");
        }
        if let Err(Silent { why, retry_after }) = self.fetch_login(heard).await {
            warn!(device = %self.shown_device(), epoch, %why, "the lease's credentials are missing");
            return Some(Turn::Failed(retry_after));
        }
        let Held::Leased { grant: Some(grant), .. } = &self.record.held else { return Some(Turn::Settled) };
        let (device, data) = (grant.device, self.volume.look(|volume| volume.data()));
        self.started = true;
        let lapse = self.lapse();
        let (user, password) = (grant.user.as_str(), grant.password.as_str());
        let tenancy = Tenancy { device, epoch, user, password, data: &data };
        let mut offered = None;
        let workload = &mut self.workload;
        let ran = async {
            workload.run(&tenancy).await?;
            offered = Some(workload.services(device).await);
            Ok::<_, WorkloadError>(())
        };
        let ran = tokio::select! {
            ran = ran => ran.map_err(|error| error.to_string()),
            // Fetching an image may take long; the server must be heard meanwhile.
            () = until(lapse) => Err("it took longer than the last answer stands".into()),
        };
        if let Err(error) = ran {
            error!(%device, epoch, error, "the workload does not run");
            (self.trouble, self.running) = (Some(Conflict::Workload(epoch)), None);
            self.block_way();
            return Some(Turn::Failed(None));
        }
        self.trouble = None;
        if self.running.replace(epoch) != Some(epoch) {
            info!(%device, epoch, data = %data.display(), "running");
        }
        match offered {
            Some(Ok(services)) => self.services = services,
            Some(Err(error)) => debug!(%device, epoch, %error, "what the workload offers cannot be told"),
            None => {}
        }
        self.clear_way();
        Some(Turn::Settled)
    }

    /// A lease rebuilt from its label gets its credentials again.
    async fn fetch_login(&mut self, heard: &Heard) -> Result<(), Silent> {
        let bare = matches!(self.record.held, Held::Leased { grant: None, .. });
        if !bare || matches!(heard, Heard::Silence(_)) || self.impaired {
            return Ok(());
        }
        let granted = self.granted().await?;
        if let Held::Leased { grant, .. } = &mut self.record.held {
            *grant = Some(granted);
        }
        self.save();
        Ok(())
    }

    /// Stops the workload and closes the volume; the data are kept.
    async fn seal(&mut self) -> Turn {
        self.block_way();
        if let Some(device) = self.record.device
            && let Err(error) = self.workload.stop(device).await
        {
            error!(%device, %error, "the workload cannot be stopped");
            return Turn::Failed(None);
        }
        if let Err(error) = self.volume.work(|volume| volume.close()).await {
            error!(device = %self.shown_device(), %error, "the volume cannot be closed");
            return Turn::Failed(None);
        }
        (self.trouble, self.started) = (None, false);
        if let Some(epoch) = self.running.take() {
            warn!(device = %self.shown_device(), epoch, "sealed: the workload is stopped, the data are kept");
        }
        Turn::Settled
    }

    /// Goes on erasing; the record is `Erasing` already.
    async fn erase(&mut self, warrant: &Warrant) -> bool {
        self.block_way();
        self.running = None;
        let (epoch, floor, key) = (warrant.epoch(), self.now(), self.key.clone());
        let mut record = self.record.clone();
        let erased = self.site().erase(&mut record, warrant, &key, floor).await;
        self.record = record;
        match erased {
            Ok(()) => {
                info!(device = %self.shown_device(), epoch, "erased");
                (self.trouble, self.started) = (None, false);
                self.save()
            }
            Err(error) => {
                self.not_erased(epoch, &error);
                matches!(error, EraseError::Volume(VolumeError::NotErased { .. }))
                    && self.advance(&Next::Quarantined { epoch })
            }
        }
    }

    async fn forsake(&mut self, demand: Demand) -> bool {
        match self.forsake_all(demand).await {
            Ok(()) => {
                (self.trouble, self.started) = (None, false);
                self.save()
            }
            Err(error) => {
                self.not_erased(demand.epoch(), &error);
                false
            }
        }
    }

    pub(super) async fn forsake_all(&mut self, demand: Demand) -> Result<(), EraseError> {
        self.block_way();
        self.running = None;
        let mut record = self.record.clone();
        let forsaken = self.site().forsake(&mut record, demand).await;
        self.record = record;
        forsaken
    }

    fn site(&mut self) -> Site<'_> {
        let Self { store, volume, workload, keyring, .. } = self;
        Site { store, volume, workload: &mut **workload, keyring }
    }

    fn not_erased(&mut self, epoch: Epoch, error: &EraseError) {
        error!(device = %self.shown_device(), epoch, %error, "not erased");
        self.trouble = Some(Conflict::EraseFailed(epoch));
        self.impaired |= matches!(error, EraseError::Record(_));
    }

    /// Sends the kept receipt; what follows from it is learnt from the next word.
    async fn send_receipt(&mut self) -> Turn {
        let kept = match &self.record.held {
            Held::Erased { receipt } | Held::Idle { receipt: Some(receipt), .. } => receipt.clone(),
            _ => return Turn::Settled,
        };
        match self.uplink.erased(&self.record.server, &kept.receipt).await {
            Ok(()) => Turn::AskSoon,
            Err(Silent { why, retry_after }) => {
                warn!(device = %self.shown_device(), epoch = kept.epoch, %why, "the receipt was not taken");
                Turn::Failed(retry_after)
            }
        }
    }
}
