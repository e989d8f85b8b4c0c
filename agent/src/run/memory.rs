//! The record, and what is known of this start.

use std::{sync::Arc, time::Duration};

use domain::{
    id::Epoch,
    key::PublicKey,
    time::Time,
    wire::{GatewayAddress, KeyHalf, Reported, ReportedState},
};
use ed25519_dalek::SigningKey;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::Parts;
use crate::{
    clock::Boot,
    config::Config,
    decide::{Access, Conflict, Label, Local, Next, Row, State},
    heard::{Demand, Said, Word},
    identity,
    keyring::Keyring,
    record::{Held, Loaded, Record, Store},
    server::{Silent, Uplink},
    tunnel::Tunnel,
    volume::{Owner, Volume, shared::Shared},
    workload::{Services, Workload},
};

/// The time floor is written at least this often while it moves.
const FLOOR_STALE_S: i64 = 900;
/// The longest that one word stands.
const WORD_S_MAX: u64 = 86_400;
/// How long a workload that was found running goes on before the server must have spoken.
const ADOPTED: Duration = Duration::from_secs(120);

/// One agent: its parts, its record, and what is known of this start.
pub struct Agent {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) record: Record,
    /// The record as it is on the medium; none while it is unreadable or was never written.
    written: Option<Record>,
    /// Whether the record tells what is held; otherwise only the label does.
    readable: bool,
    /// There is an unreadable record that a human may want to see.
    unreadable: bool,
    pub(super) key: SigningKey,
    pub(super) keyring: Keyring,
    pub(super) volume: Shared,
    pub(super) workload: Box<dyn Workload>,
    pub(super) uplink: Arc<dyn Uplink>,
    boot_id: Uuid,
    pub(super) tunnel: Tunnel,
    /// What the running workload offers to visitors.
    pub(super) services: Services,
    /// The gateway of the last word, if that was to run this lease.
    pub(super) gateway: Option<(Epoch, GatewayAddress)>,
    /// Questions of this start.
    pub(super) asked: u64,
    pub(super) impaired: bool,
    /// The last `Run`: for which lease, and until when it stands.
    word: Option<(Epoch, Boot)>,
    pub(super) running: Option<Epoch>,
    /// Something of the lease may run: it must be stopped in time, whether or not it works.
    pub(super) started: bool,
    /// The volume did not open on this word.
    pub(super) broken: bool,
    pub(super) last_row: Option<Row>,
    pub(super) conflict: Option<Conflict>,
    /// What does not work although it was decided.
    pub(super) trouble: Option<Conflict>,
    floor_seen: Boot,
}

impl Agent {
    /// An agent of these parts, which finds out what is held.
    pub async fn assemble(parts: Parts) -> Self {
        let Parts { config, mut store, key, keyring, volume, workload, uplink, boot_id, tunnel } = parts;
        let loaded = store.load();
        let (record, readable) = look(&config, &loaded, &*volume);
        let written = if let Loaded::Record(record) = &loaded { Some((**record).clone()) } else { None };
        let mut agent = Self {
            config,
            store,
            record,
            written,
            readable,
            unreadable: matches!(loaded, Loaded::Unreadable(_)),
            key,
            keyring,
            volume: Shared::new(volume),
            workload,
            uplink,
            boot_id,
            tunnel,
            services: Services::default(),
            gateway: None,
            asked: 0,
            impaired: false,
            word: None,
            running: None,
            started: false,
            broken: false,
            last_row: None,
            conflict: None,
            trouble: None,
            floor_seen: Boot::now(),
        };
        if let Loaded::Unreadable(why) = &loaded {
            error!(why, label = ?agent.label(), "the record is unreadable; going by the volume's label");
        }
        if let Held::Erasing { boots, .. } = &mut agent.record.held {
            *boots = boots.saturating_add(1);
            agent.save();
        }
        agent.adopt().await;
        agent
    }

    /// Takes over a workload that an earlier start of the agent left running, long enough to ask the server.
    async fn adopt(&mut self) {
        let (Held::Leased { epoch, .. }, Some(device)) = (&self.record.held, self.record.device) else {
            return;
        };
        let epoch = *epoch;
        if self.volume.look(|volume| volume.is_open()) && self.workload.running(device).await == Some(epoch) {
            info!(%device, epoch, "the workload runs already");
            (self.running, self.started) = (Some(epoch), true);
            self.word = Some((epoch, Boot::now() + ADOPTED));
        }
    }

    /// The label on the volume; that of another device or another server is not one's own.
    pub(super) fn label(&self) -> Label {
        let (label, owner) = self.volume.look(|volume| (volume.label(), volume.owner()));
        let own = |owner: &Owner| {
            self.record.device.is_none_or(|device| device == owner.device)
                && self.record.root.is_none_or(|root| root == owner.root)
        };
        match owner {
            Ok(Some(owner)) if !own(&owner) => Label::Unreadable,
            Ok(_) | Err(_) => label,
        }
    }

    fn access(&self) -> Access {
        let (needs_key, open) = self.volume.look(|volume| (volume.needs_key(), volume.is_open()));
        match needs_key {
            _ if self.broken => Access::Broken,
            true if !open && !self.keyring.has_server_half(self.epoch()) => Access::NoKey,
            _ => Access::Ready,
        }
    }

    /// What the decision table looks at.
    pub(super) fn local(&self) -> Local {
        let state = self.record.state().filter(|_| self.readable).unwrap_or(State::Unknown);
        Local {
            state,
            label: self.label(),
            access: self.access(),
            impaired: self.impaired,
            foreign_config: self.is_foreign(),
            word_stands: self.word_stands(),
            offline_resume: self.offline_resume(),
        }
    }

    /// Whether the last word was to run this lease, and has not lapsed.
    pub(super) fn word_stands(&self) -> bool {
        self.word.is_some_and(|(epoch, until)| epoch == self.epoch() && Boot::now() < until)
    }

    /// Whether the owner or the renter wants it.
    pub(super) const fn offline_resume(&self) -> bool {
        self.config.offline_resume || self.record.offline_resume
    }

    /// Makes a decision's change durable; on failure nothing has changed.
    pub(super) fn advance(&mut self, next: &Next) -> bool {
        if *next == Next::Same {
            return true;
        }
        let before = self.record.clone();
        let readable = std::mem::replace(&mut self.readable, true);
        let (label, volume) = (self.label(), self.volume.clone());
        self.record.advance(next, label, || volume.look(|volume| volume.evidence()));
        if self.save() {
            return true;
        }
        (self.record, self.readable) = (before, readable);
        false
    }

    /// Makes the owner's demand durable.
    pub(super) fn forsaken(&mut self, demand: Demand) -> bool {
        let (label, volume) = (self.label(), self.volume.clone());
        self.record.forsake(demand, label, || volume.look(|volume| volume.evidence()));
        self.readable = true;
        self.save()
    }

    /// Writes the record; a failure is remembered as impairment.
    pub(super) fn save(&mut self) -> bool {
        self.record.floor = self.now();
        self.floor_seen = Boot::now();
        if std::mem::take(&mut self.unreadable)
            && let Err(error) = self.store.set_aside()
        {
            warn!(%error, "the unreadable record could not be put aside");
        }
        match self.store.save(&self.record) {
            Ok(()) => {
                self.impaired = false;
                self.written = Some(self.record.clone());
                true
            }
            Err(error) => {
                error!(%error, "the record cannot be written: nothing is registered or erased until it can");
                self.impaired = true;
                false
            }
        }
    }

    /// Finds out whether the record can be written again; an unreadable one is not replaced for that.
    pub(super) fn recover(&mut self) {
        if self.impaired && self.readable && self.save() {
            info!("the record can be written again");
        }
        self.impaired &= self.readable;
    }

    /// Keeps what a verified word says about order and time, and how long it stands.
    pub(super) fn learn(&mut self, word: &Word, sent: Boot) {
        let now = self.now();
        self.record.learn(word);
        self.record.floor = self.record.floor.max(now);
        self.floor_seen = Boot::now();
        if let Said::Run { epoch, key_half: Some(sealed), .. } = word.said() {
            match KeyHalf::open(sealed, &self.key, word.device(), *epoch) {
                Some(half) => self.keyring.hear(*epoch, half),
                None => error!(epoch, "the server's half of the key is not sealed to this device"),
            }
        }
        self.word = match word.said() {
            Said::Run { epoch, valid_for_s, .. } => {
                let seconds = u64::try_from(*valid_for_s).unwrap_or(0).min(WORD_S_MAX);
                Some((*epoch, sent + Duration::from_secs(seconds)))
            }
            Said::Hold { .. } | Said::End(_) | Said::Vacant { .. } | Said::Stranger | Said::Moved => None,
        };
        self.gateway = match word.said() {
            Said::Run { epoch, gateway: Some(gateway), .. } => Some((*epoch, gateway.clone())),
            // A server that has just started may not have heard of its gateways yet.
            Said::Run { epoch, gateway: None, .. } => self.gateway.take().filter(|(of, _)| of == epoch),
            _ => None,
        };
        self.clear_way();
        let stale = self.written.as_ref().is_none_or(|written| {
            let same = |r: &Record| (r.era, r.seq, r.owner_gen, r.device, r.offline_resume);
            same(written) != same(&self.record) || self.record.floor.since(written.floor) >= FLOOR_STALE_S
        });
        if self.readable && stale {
            self.save();
        }
    }

    /// The pinned root key; the first one seen is pinned when `agent.json` names none, and a device that holds nothing
    /// follows its configuration to another server.
    pub(super) async fn pinned(&mut self) -> Result<PublicKey, Silent> {
        let bound = if self.readable { self.record.is_bound() } else { self.label() != Label::Absent };
        if let Some(root) = self.record.root.filter(|_| bound || !self.is_foreign()) {
            return Ok(root);
        }
        let root = match self.config.server_key {
            Some(root) => root,
            None => {
                let root = self.uplink.root_key(&self.config.server).await?;
                warn!(server = %self.config.server, server_key = %root, "trusting the server's key on first use");
                root
            }
        };
        if self.record.root == Some(root) {
            self.record.server.clone_from(&self.config.server);
        } else {
            info!(server = %self.config.server, server_key = %root, "pinned the server's key");
            self.record = Record::fresh(&self.config.server, Some(root));
        }
        if self.readable {
            self.save();
        }
        Ok(root)
    }

    fn is_foreign(&self) -> bool {
        let other_root = |root| self.config.server_key.is_some_and(|named| named != root);
        self.record.server != self.config.server || self.record.root.is_some_and(other_root)
    }

    /// A time that is certainly reached.
    pub(super) fn now(&self) -> Time {
        let elapsed = i64::try_from(self.floor_seen.elapsed().as_secs()).unwrap_or(i64::MAX);
        self.record.floor.plus(elapsed)
    }

    /// When the workload must stop unless the server speaks again; none while nothing runs.
    pub(super) fn lapse(&self) -> Option<Boot> {
        if !self.started {
            return None;
        }
        let paid = match &self.record.held {
            Held::Leased { until: Some(until), .. } => {
                let left = u64::try_from(until.since(self.record.floor)).unwrap_or(0);
                Some(self.floor_seen + Duration::from_secs(left))
            }
            _ => None,
        };
        let word = self.word.map(|(_, until)| until);
        paid.into_iter().chain(word).min()
    }

    pub(super) fn forget_word(&mut self) {
        self.word = None;
        self.clear_way();
    }

    pub(super) const fn order(&self) -> (u32, u64) {
        (self.record.era, self.record.seq)
    }

    pub(super) fn epoch(&self) -> Epoch {
        match (self.readable, self.label()) {
            (false, Label::Epoch(epoch)) => epoch,
            _ => self.record.epoch(),
        }
    }

    pub(super) const fn record(&self) -> &Record {
        &self.record
    }

    pub(super) const fn boot_id(&self) -> Uuid {
        self.boot_id
    }

    pub(super) fn public_key(&self) -> PublicKey {
        identity::public(&self.key)
    }

    pub(super) fn shown_device(&self) -> String {
        self.record.device.map_or_else(|| "unknown".into(), |device| device.to_string())
    }

    /// What the server is told.
    pub(super) fn reported(&self) -> Reported {
        let state = match &self.record.held {
            _ if !self.readable => ReportedState::Unknown,
            Held::Blank => ReportedState::Blank,
            Held::Idle { .. } => ReportedState::Idle,
            Held::Preparing { .. } => ReportedState::Preparing,
            Held::Leased { .. } => ReportedState::Leased,
            Held::Erasing { .. } | Held::Quarantined { .. } | Held::Forsaken { .. } => ReportedState::Erasing,
            Held::Erased { .. } => ReportedState::Erased,
        };
        let conflict = self.conflict.or(self.trouble).map(|conflict| conflict.to_string());
        Reported {
            state,
            epoch: self.epoch(),
            running: self.running.is_some(),
            conflict,
            host_keys: self.tunnel.host_keys(),
        }
    }
}

/// What the record and the label together say is held; `false` when only the label can be relied on.
fn look(config: &Config, loaded: &Loaded, volume: &dyn Volume) -> (Record, bool) {
    let owner = volume.owner();
    match (loaded, owner) {
        (Loaded::Record(record), owner) if record.held != Held::Blank || matches!(owner, Ok(None)) => {
            ((**record).clone(), true)
        }
        (Loaded::Record(_) | Loaded::Missing | Loaded::Unreadable(_), Ok(Some(owner))) => {
            let mut record = Record::fresh(&owner.server, Some(owner.root));
            record.device = Some(owner.device);
            (record, false)
        }
        (Loaded::Record(_) | Loaded::Missing | Loaded::Unreadable(_), owner) => {
            let missing = *loaded == Loaded::Missing && owner.is_ok();
            (Record::fresh(&config.server, config.server_key), missing)
        }
    }
}
