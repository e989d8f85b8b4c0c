//! The table in `fixtures/decisions.toml` and the function say the same.

use std::collections::BTreeSet;

use agent::{
    decide::{Access, Label, Local, Next, State, Step, decide},
    record::{Held, Record},
};
use domain::time::Time;
use serde::Deserialize;

use crate::kit::signer::Signer;

const EPOCH: u32 = 5;
const STATES: [&str; 11] = [
    "forsaking",
    "forsaken",
    "blank",
    "idle",
    "preparing",
    "leased",
    "erasing",
    "erased",
    "quarantined",
    "unknown",
    "unlabelled",
];
const VERDICTS: [&str; 15] = [
    "silence", "run 4", "run 5", "run 6", "hold 4", "hold 5", "hold 6", "end 4", "end 5", "end 6",
    "vacant 4", "vacant 5", "vacant 6", "stranger", "moved",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    row: String,
    local: String,
    heard: Vec<String>,
    label: Option<String>,
    #[serde(default = "ready")]
    access: String,
    #[serde(default)]
    tombstones: Vec<u32>,
    #[serde(default = "left")]
    paid: String,
    #[serde(default)]
    boots: u32,
    #[serde(default)]
    word_stands: bool,
    #[serde(default)]
    offline_resume: bool,
    #[serde(default)]
    foreign_config: bool,
    #[serde(default)]
    impaired: bool,
    #[serde(default = "same")]
    next: String,
    step: String,
    #[serde(default)]
    conflict: String,
}

fn left() -> String {
    "left".into()
}

fn ready() -> String {
    "ready".into()
}

fn same() -> String {
    "same".into()
}

fn table() -> Vec<Case> {
    toml::from_str::<Table>(include_str!("../../../fixtures/decisions.toml")).unwrap().row
}

const FLOOR: Time = Time::from_unix(1_800_000_000);

impl Case {
    fn until(&self) -> Option<Time> {
        match self.paid.as_str() {
            "left" => Some(FLOOR.plus(1)),
            "over" => Some(FLOOR),
            "never" => None,
            other => panic!("paid = {other}"),
        }
    }

    fn state(&self, signer: &Signer) -> State {
        match self.local.as_str() {
            "blank" => State::Blank,
            "idle" => State::Idle { floor: EPOCH, receipt: Some(EPOCH) },
            "preparing" => State::Preparing { epoch: EPOCH },
            "leased" => State::Leased { epoch: EPOCH, until: self.until() },
            "erasing" => State::Erasing { warrant: signer.warrant(EPOCH), boots: self.boots },
            "erased" => State::Erased { epoch: EPOCH },
            "quarantined" => State::Quarantined { epoch: EPOCH },
            "forsaking" | "forsaken" => {
                let mut record = Record::fresh("http://127.0.0.1", None);
                let finished = self.local == "forsaken";
                record.held = Held::Forsaken { epoch: EPOCH, volume: None, done: Vec::new(), finished };
                record.state().unwrap()
            }
            "unknown" | "unlabelled" => State::Unknown,
            other => panic!("local = {other}"),
        }
    }

    fn local(&self, signer: &Signer) -> Local {
        let usual = if matches!(self.local.as_str(), "leased" | "unknown") { "5" } else { "absent" };
        let label = match self.label.as_deref().unwrap_or(usual) {
            "absent" => Label::Absent,
            "unreadable" => Label::Unreadable,
            epoch => Label::Epoch(epoch.parse().unwrap()),
        };
        Local {
            state: self.state(signer),
            label,
            access: match self.access.as_str() {
                "ready" => Access::Ready,
                "no key" => Access::NoKey,
                "broken" => Access::Broken,
                other => panic!("access = {other}"),
            },
            impaired: self.impaired,
            foreign_config: self.foreign_config,
            word_stands: self.word_stands,
            offline_resume: self.offline_resume,
        }
    }

    fn is_plain(&self) -> bool {
        let flags = [self.impaired, self.foreign_config, self.word_stands, self.offline_resume];
        !flags.contains(&true)
            && self.access == "ready"
            && self.label.is_none()
            && self.tombstones.is_empty()
            && self.boots == 0
    }
}

/// Writes what becomes durable as the table does; the epoch of an erasure is the one of its step.
fn written(next: &Next) -> String {
    match next {
        Next::Same => "same".into(),
        Next::Idle { floor } => format!("idle {floor}"),
        Next::Leased { epoch: EPOCH, until: Some(_) } => "leased".into(),
        Next::Leased { epoch: EPOCH, until: None } => "leased unpaid".into(),
        Next::Leased { epoch, .. } => panic!("leased {epoch}"),
        Next::Erasing(_) => "erasing".into(),
        Next::Quarantined { epoch: EPOCH } => "quarantined".into(),
        Next::Quarantined { epoch } => panic!("quarantined {epoch}"),
    }
}

#[test]
fn every_row_decides_as_the_table_says() {
    let signer = Signer::new(1);
    for case in table() {
        for heard in &case.heard {
            let shown = format!("{} {} hears {heard} with {:?}", case.row, case.local, case.tombstones);
            let local = case.local(&signer);
            let word = signer.heard(heard, Some(FLOOR.plus(900)), &case.tombstones);
            let decision = decide(&local, &word, FLOOR);
            assert_eq!(decision.row.to_string(), case.row, "{shown}");
            assert_eq!(written(&decision.next), case.next, "{shown}");
            assert_eq!(decision.step.name(), case.step, "{shown}");
            assert_eq!(
                decision.conflict.map(|c| c.to_string()).unwrap_or_default(),
                case.conflict,
                "{shown}"
            );
            if let Step::Erase(warrant) = &decision.step {
                let named = heard.strip_prefix("end ").map_or(EPOCH, |epoch| epoch.parse().unwrap());
                let expected =
                    if matches!(case.local.as_str(), "leased" | "preparing" | "unknown" | "erasing") {
                        EPOCH
                    } else {
                        named
                    };
                assert_eq!(warrant.epoch(), expected, "{shown}");
            }
            assert_eq!(decision, decide(&local, &word, FLOOR), "{shown}: deciding twice is deciding once");
        }
    }
}

#[test]
fn every_state_has_a_row_for_everything_that_can_be_heard() {
    let table = table();
    for state in STATES {
        for verdict in VERDICTS {
            let plain = |case: &&Case| {
                case.is_plain() && case.local == state && case.heard.iter().any(|h| h == verdict)
            };
            assert_eq!(table.iter().filter(plain).count(), 1, "{state} hears {verdict}");
        }
    }
}

#[test]
fn every_row_of_the_function_is_in_the_table() {
    let rows: BTreeSet<_> = table().into_iter().map(|case| case.row).collect();
    let known = "B1 B2 B3 B4 B5 E1 F1 F2 F3 I1 I2 I3 I4 I5 I6 I7 I8 L1 L2 L3 L4 L5 L6 L7 L8 L9 P1 P2 P3 P4 Q1 R1 R2 R3 R4 R5 \
                 U1 U2 U3 U4 X1 X2";
    assert_eq!(rows.iter().map(String::as_str).collect::<Vec<_>>(), known.split(' ').collect::<Vec<_>>());
}

#[test]
fn silence_never_changes_what_is_durable_except_to_give_up_erasing() {
    let signer = Signer::new(1);
    for case in table() {
        let decision = decide(&case.local(&signer), &signer.heard("silence", None, &[]), FLOOR);
        let gives_up = matches!(decision.next, Next::Quarantined { .. }) && case.boots > 16;
        assert!(decision.next == Next::Same || gives_up, "{} {}", case.row, case.local);
        let erases = matches!(decision.step, Step::Erase(_));
        assert!(!erases || case.local == "erasing", "{} {}", case.row, case.local);
    }
}
