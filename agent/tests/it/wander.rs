//! Random walks of the decision table over a model of the record and the volume.
//!
//! The network may repeat anything that was ever signed, in any order; power may fail between the record and the act, and
//! in some walks the record rots. A tombstone is signed only for a lease that ended.

use std::{collections::BTreeSet, sync::LazyLock};

use agent::{
    decide::{Access, Label, Local, Next, Row, State, Step, decide},
    heard::{Heard, Said},
    record::{Held, Kept, Record},
};
use domain::{
    id::{Epoch, GatewayName, Subdomain},
    key::Signature,
    time::Time,
    wire::{Grant, Signed, SignedReceipt},
};
use proptest::prelude::*;

use crate::kit::signer::{DEVICE, Signer};

const EPOCHS: std::ops::RangeInclusive<Epoch> = 1..=4;
const FLOOR: Time = Time::from_unix(1_800_000_000);

/// One thing the network may say, and the tombstones in it.
struct Message {
    heard: Heard,
    tombstones: BTreeSet<Epoch>,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new(3));

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let mut texts: Vec<String> = vec!["stranger".into(), "moved".into(), "vacant 0".into()];
    for epoch in EPOCHS {
        texts.extend(["run", "hold", "end", "vacant"].map(|kind| format!("{kind} {epoch}")));
    }
    let mut carried: Vec<Vec<Epoch>> = vec![vec![]];
    carried.extend(EPOCHS.map(|epoch| vec![epoch]));
    let mut messages = Vec::new();
    for text in &texts {
        for tombstones in &carried {
            let heard = SIGNER.heard(text, Some(FLOOR.plus(60)), tombstones);
            let mut named: BTreeSet<_> = tombstones.iter().copied().collect();
            named.extend(text.strip_prefix("end ").map(|epoch| epoch.parse::<Epoch>().unwrap()));
            messages.push(Message { heard, tombstones: named });
        }
    }
    messages
});

#[derive(Debug, Clone)]
enum Happening {
    /// The network says something it may say; silence when that was never signed.
    Says(prop::sample::Index),
    /// The network says nothing.
    Silence,
    /// The network says something and power fails between the record and the act.
    SaysThenDark(prop::sample::Index),
    /// The server ends a lease and grants the next.
    Ends,
    /// Power fails.
    Dark,
    /// The record rots.
    Rots,
}

fn happenings(rot: bool) -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        12 => any::<prop::sample::Index>().prop_map(Happening::Says),
        2 => Just(Happening::Silence),
        3 => any::<prop::sample::Index>().prop_map(Happening::SaysThenDark),
        3 => Just(Happening::Ends),
        2 => Just(Happening::Dark),
        u32::from(rot) => Just(Happening::Rots),
    ];
    prop::collection::vec(one, 1..120)
}

struct Device {
    record: Record,
    readable: bool,
    label: Label,
    /// Whose data are on the volume.
    data: Option<Epoch>,
    word_stands: bool,
    /// The leases that the server ended; only these have tombstones.
    ended: BTreeSet<Epoch>,
    current: Epoch,
}

impl Device {
    fn new() -> Self {
        let record = Record::fresh("http://127.0.0.1", Some(SIGNER.root()));
        let (label, ended) = (Label::Absent, BTreeSet::new());
        Self { record, readable: true, label, data: None, word_stands: false, ended, current: 1 }
    }

    fn local(&self) -> Local {
        let state = self.record.state().filter(|_| self.readable).unwrap_or(State::Unknown);
        let (label, word_stands) = (self.label, self.word_stands);
        let access = Access::Ready;
        Local {
            state,
            label,
            access,
            impaired: false,
            foreign_config: false,
            word_stands,
            offline_resume: true,
        }
    }

    fn rank(&self) -> (Epoch, u32, u64, Time) {
        (self.record.epoch(), self.record.era, self.record.seq, self.record.floor)
    }

    fn hear(&mut self, heard: &Heard, dark: bool) -> Result<(), TestCaseError> {
        if let (Heard::Word(word), true) = (heard, self.readable) {
            self.record.learn(word);
            self.word_stands =
                matches!(word.said(), Said::Run { epoch, .. } if *epoch == self.record.epoch());
        }
        for _ in 0..8 {
            let (local, before, was) = (self.local(), self.rank(), self.record.clone());
            let decision = decide(&local, heard, FLOOR);
            prop_assert_eq!(&decision, &decide(&local, heard, FLOOR), "S7");
            let durable = decision.next != Next::Same;
            if durable {
                self.record.advance(&decision.next, self.label, || None);
                self.readable = true;
            }
            self.check(&local, heard, &was, durable, decision.row)?;
            if local.state != State::Unknown {
                prop_assert!(
                    self.rank() >= before,
                    "S3: {:?} to {:?} by {}",
                    before,
                    self.rank(),
                    decision.row
                );
            }
            if dark {
                return Ok(());
            }
            match decision.step {
                Step::Again => {}
                Step::Wait | Step::Seal | Step::SendReceipt => return Ok(()),
                Step::Register => {
                    // The server grants the lease of which it holds no end.
                    if let Held::Idle { floor, .. } = self.record.held
                        && self.current > floor
                    {
                        self.record.held = Held::Preparing { grant: grant(self.current) };
                    }
                    return Ok(());
                }
                Step::Prepare(epoch) => {
                    prop_assert!(self.label == Label::Absent || self.label == Label::Epoch(epoch));
                    self.label = Label::Epoch(epoch);
                    self.record.advance(&Next::Leased { epoch, until: None }, self.label, || None);
                }
                Step::Resume(epoch) => {
                    prop_assert_eq!(self.label, Label::Epoch(epoch), "S2");
                    prop_assert!(
                        self.data.is_none_or(|of| of == epoch),
                        "S2: lease {} sees {:?}",
                        epoch,
                        self.data
                    );
                    self.data = Some(epoch);
                    return Ok(());
                }
                Step::Forsake(_) => return Err(TestCaseError::fail("no owner demanded anything")),
                Step::Erase(warrant) => {
                    let epoch = warrant.epoch();
                    prop_assert!(self.ended.contains(&epoch), "S1: lease {} has not ended", epoch);
                    prop_assert!(
                        matches!(self.record.held, Held::Erasing { .. }),
                        "S1: the intention is durable"
                    );
                    if !matches!(self.label, Label::Absent) && self.label != Label::Epoch(epoch) {
                        return Ok(()); // The volume's fence.
                    }
                    prop_assert!(
                        self.data.is_none_or(|of| of == epoch),
                        "S1: {:?} is erased as {}",
                        self.data,
                        epoch
                    );
                    (self.label, self.data) = (Label::Absent, None);
                    self.record.held = Held::Erased { receipt: kept(epoch) };
                }
            }
        }
        Err(TestCaseError::fail("S7: a word leads to changes without end"))
    }

    fn check(
        &self,
        local: &Local,
        heard: &Heard,
        was: &Record,
        durable: bool,
        row: Row,
    ) -> Result<(), TestCaseError> {
        let gave_up = matches!(self.record.held, Held::Quarantined { .. });
        if matches!(heard, Heard::Silence(_)) {
            prop_assert!(!durable || gave_up, "S5: silence changed the record by {}", row);
        }
        if let (State::Erasing { .. }, true) = (&local.state, durable) {
            prop_assert!(gave_up, "S4: from {:?} to {:?}", was.held, self.record.held);
        }
        let held = match local.state {
            State::Leased { epoch, .. } => Some(epoch),
            State::Unknown => {
                if let Label::Epoch(epoch) = local.label {
                    Some(epoch)
                } else {
                    None
                }
            }
            _ => None,
        };
        if let Some(epoch) = held {
            let left =
                !matches!(&self.record.held, Held::Leased { epoch: now, .. } if *now == epoch) && durable;
            prop_assert!(!left || self.ended.contains(&epoch), "S1: lease {} was left by {}", epoch, row);
        }
        Ok(())
    }

    fn dark(&mut self) {
        self.word_stands = false;
        if let Held::Erasing { boots, .. } = &mut self.record.held {
            *boots += 1;
        }
    }

    fn happens(&mut self, happening: &Happening) -> Result<(), TestCaseError> {
        let say = |index: &prop::sample::Index, ended: &BTreeSet<Epoch>| {
            let message = index.get(&MESSAGES);
            let signed = message.tombstones.is_subset(ended);
            if signed { message.heard.clone() } else { SIGNER.heard("silence", None, &[]) }
        };
        match happening {
            Happening::Says(index) => self.hear(&say(index, &self.ended), false)?,
            Happening::Silence => self.hear(&SIGNER.heard("silence", None, &[]), false)?,
            Happening::SaysThenDark(index) => {
                self.hear(&say(index, &self.ended), true)?;
                self.dark();
            }
            Happening::Ends if self.current < *EPOCHS.end() => {
                self.ended.insert(self.current);
                self.current += 1;
            }
            Happening::Ends => {}
            Happening::Dark => self.dark(),
            Happening::Rots => {
                self.record = Record::fresh("http://127.0.0.1", Some(SIGNER.root()));
                self.record.device = Some(DEVICE);
                self.readable = false;
            }
        }
        Ok(())
    }
}

fn grant(epoch: Epoch) -> Grant {
    Grant {
        device: DEVICE,
        server_key: SIGNER.root(),
        epoch,
        gateway: GatewayName::new("local").unwrap(),
        host: "gateway.test".into(),
        port: 1,
        subdomain: Subdomain::of(DEVICE, epoch),
        user: "u".into(),
        password: "p".into(),
    }
}

fn kept(epoch: Epoch) -> Kept {
    let signature = Signature([0; 64]);
    Kept { epoch, receipt: SignedReceipt(Signed { payload: String::new(), signature }) }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_walk_erases_a_running_lease_or_shows_ended_data(steps in happenings(false)) {
        let mut device = Device::new();
        for step in &steps {
            device.happens(step)?;
        }
    }

    #[test]
    fn no_walk_with_a_rotting_record_erases_a_running_lease_or_shows_ended_data(steps in happenings(true)) {
        let mut device = Device::new();
        for step in &steps {
            device.happens(step)?;
        }
    }
}

#[test]
fn an_honest_server_brings_every_lease_to_its_end_and_the_next_to_run() {
    let mut device = Device::new();
    device.happens(&Happening::Silence).unwrap();
    for epoch in EPOCHS {
        let say = |text: &str| SIGNER.heard(text, Some(FLOOR.plus(60)), &[]);
        device.hear(&say(if epoch == 1 { "stranger" } else { "vacant 0" }), false).unwrap();
        device.hear(&say(&format!("run {epoch}")), false).unwrap();
        assert_eq!(device.data, Some(epoch));
        device.ended.insert(epoch);
        device.current = epoch + 1;
        device.hear(&say(&format!("end {epoch}")), false).unwrap();
        assert_eq!((device.data, device.label), (None, Label::Absent));
        device.hear(&say(&format!("vacant {epoch}")), true).unwrap();
    }
}
