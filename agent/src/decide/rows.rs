//! The rows.

use domain::{id::Epoch, time::Time};

use super::{Access, Conflict, Decision, ERASE_BOOTS_MAX, Label, Local, Next, Row, State, Step, epoch_of};
use crate::heard::{Demand, Heard, Said, Warrant, Word};

pub(super) fn apply(local: &Local, heard: &Heard, floor: Time) -> Decision {
    let word = match heard {
        Heard::Silence(_) => None,
        Heard::Word(word) => Some(word),
    };
    match &local.state {
        State::Blank => blank(local, word),
        State::Idle { floor: over, receipt } => idle(local, *over, *receipt, word),
        State::Preparing { epoch } => preparing(local, *epoch, word),
        State::Leased { epoch, until } => match word {
            Some(word) => leased(local, *epoch, *until, word),
            None => unanswered(local, *epoch, *until, floor),
        },
        State::Erasing { warrant, boots } if *boots > ERASE_BOOTS_MAX => {
            let epoch = warrant.epoch();
            seal(Row::E1).next(Next::Quarantined { epoch }).conflict(Conflict::EraseFailed(epoch))
        }
        State::Erasing { warrant, .. } => Decision::of(Row::E1, Step::Erase(warrant.clone())),
        State::Erased { epoch } => erased(*epoch, word),
        State::Quarantined { epoch } => seal(Row::Q1).conflict(Conflict::EraseFailed(*epoch)),
        State::Forsaken { demand, finished } => forsaken(*demand, *finished, word),
        State::Unknown => match local.label {
            Label::Epoch(epoch) => unknown(local, epoch, word),
            Label::Unreadable => seal(Row::U3).conflict(Conflict::Label),
            Label::Absent => Decision { row: Row::U4, ..blank(local, word) },
        },
    }
}

fn wait(row: Row) -> Decision {
    Decision::of(row, Step::Wait)
}

fn seal(row: Row) -> Decision {
    Decision::of(row, Step::Seal)
}

/// B: nothing was ever held. The first registration is preceded by a durable `Idle`, so that a grant whose answer is
/// lost is asked for again instead of being taken for lost data.
fn blank(local: &Local, word: Option<&Word>) -> Decision {
    let Some(word) = word else { return wait(Row::B1) };
    match word.said() {
        Said::Stranger | Said::Moved | Said::Vacant { .. } if local.foreign_config => config_wait(),
        Said::Stranger | Said::Moved => Decision::of(Row::B2, Step::Register).next(Next::Idle { floor: 0 }),
        Said::Vacant { floor } => Decision::of(Row::B2, Step::Register).next(Next::Idle { floor: *floor }),
        Said::Run { epoch, .. } => wait(Row::B3).conflict(Conflict::DataLost(*epoch)),
        Said::End(warrant) => Decision::erase(Row::B4, warrant),
        Said::Hold { .. } => wait(Row::B5),
    }
}

/// I: nothing is held up to `over`.
fn idle(local: &Local, over: Epoch, receipt: Option<Epoch>, word: Option<&Word>) -> Decision {
    let Some(word) = word else { return wait(Row::I1) };
    let register = |row| match local.label {
        _ if local.foreign_config => config_wait(),
        Label::Absent => Decision::of(row, Step::Register),
        Label::Epoch(_) | Label::Unreadable => wait(Row::I8).conflict(Conflict::Label),
    };
    match word.said() {
        Said::Vacant { floor } if *floor > over => register(Row::I2).next(Next::Idle { floor: *floor }),
        Said::Vacant { .. } | Said::Moved | Said::Stranger => register(Row::I2),
        Said::Run { epoch, .. } if *epoch > over => register(Row::I3),
        Said::Run { .. } => wait(Row::I4).conflict(Conflict::Verdict),
        Said::End(warrant) if warrant.epoch() > over => Decision::erase(Row::I5, warrant),
        Said::End(warrant) if receipt == Some(warrant.epoch()) => Decision::of(Row::I6, Step::SendReceipt),
        Said::End(_) => wait(Row::I6).conflict(Conflict::Verdict),
        Said::Hold { .. } => wait(Row::I7),
    }
}

/// P: granted, not started.
fn preparing(local: &Local, epoch: Epoch, word: Option<&Word>) -> Decision {
    let Some(word) = word else { return wait(Row::P1) };
    match word.said() {
        Said::Run { epoch: run, .. } if *run == epoch => match local.label {
            _ if local.foreign_config => config_wait(),
            Label::Absent if local.access == Access::NoKey => wait(Row::P4).conflict(Conflict::NoKey(epoch)),
            Label::Absent => Decision::of(Row::P2, Step::Prepare(epoch)),
            Label::Epoch(label) if label == epoch && local.access == Access::NoKey => {
                wait(Row::P4).conflict(Conflict::NoKey(epoch))
            }
            Label::Epoch(label) if label == epoch => Decision::of(Row::P2, Step::Prepare(epoch)),
            Label::Epoch(_) | Label::Unreadable => wait(Row::P4).conflict(Conflict::Label),
        },
        Said::Hold { epoch: held, .. } if *held == epoch => wait(Row::P4),
        Said::Run { .. }
        | Said::Hold { .. }
        | Said::End(_)
        | Said::Vacant { .. }
        | Said::Stranger
        | Said::Moved => match word.tombstone(epoch) {
            Some(warrant) => Decision::erase(Row::P3, warrant),
            None => wait(Row::P4).conflict(Conflict::Verdict),
        },
    }
}

/// L: the server spoke while a lease is held.
fn leased(local: &Local, epoch: Epoch, known_until: Option<Time>, word: &Word) -> Decision {
    let here = epoch_of(word.said()) == Some(epoch);
    match (word.said(), word.tombstone(epoch)) {
        (Said::End(_), Some(warrant)) if here => Decision::erase(Row::L3, warrant),
        (Said::Run { .. }, None) if here && local.foreign_config => config_seal(),
        (Said::Run { .. }, None) if here && local.label != Label::Epoch(epoch) => unreadable(epoch),
        (Said::Run { .. }, None) if here && local.access == Access::Broken => unreadable(epoch),
        (Said::Run { .. }, None) if here && local.access == Access::NoKey => {
            seal(Row::L9).conflict(Conflict::NoKey(epoch))
        }
        (Said::Run { until, .. }, None) if here => {
            let next = leased_until(epoch, known_until, *until);
            Decision::of(Row::L1, Step::Resume(epoch)).next(next)
        }
        (Said::Hold { .. }, _) if here => seal(Row::L2).next(leased_until(epoch, known_until, None)),
        (
            Said::Run { .. }
            | Said::Hold { .. }
            | Said::End(_)
            | Said::Vacant { .. }
            | Said::Stranger
            | Said::Moved,
            Some(warrant),
        ) if !here => Decision::erase(Row::L8, warrant),
        (
            Said::Run { .. }
            | Said::Hold { .. }
            | Said::End(_)
            | Said::Vacant { .. }
            | Said::Stranger
            | Said::Moved,
            Some(_) | None,
        ) => seal(Row::L7).next(leased_until(epoch, known_until, None)).conflict(Conflict::Verdict),
    }
}

fn leased_until(epoch: Epoch, known: Option<Time>, until: Option<Time>) -> Next {
    if known == until { Next::Same } else { Next::Leased { epoch, until } }
}

/// L: silence while a lease is held.
fn unanswered(local: &Local, epoch: Epoch, until: Option<Time>, floor: Time) -> Decision {
    if local.foreign_config {
        return config_seal();
    }
    if local.label != Label::Epoch(epoch) || local.access == Access::Broken {
        return unreadable(epoch);
    }
    match until {
        Some(until) if floor >= until => seal(Row::L6),
        Some(_) | None if local.access == Access::NoKey => seal(Row::L5),
        Some(_) if local.offline_resume => Decision::of(Row::L4, Step::Resume(epoch)),
        Some(_) | None if local.word_stands => Decision::of(Row::L5, Step::Resume(epoch)),
        Some(_) | None => seal(Row::L5),
    }
}

/// R: erased; only the server's own word shows that the receipt arrived.
fn erased(epoch: Epoch, word: Option<&Word>) -> Decision {
    let send = |row| Decision::of(row, Step::SendReceipt);
    let rest = |floor| Decision::of(Row::R2, Step::Again).next(Next::Idle { floor });
    let Some(word) = word else { return send(Row::R1) };
    match word.said() {
        Said::Vacant { floor } if *floor >= epoch => rest(*floor),
        Said::Run { epoch: run, .. } if *run > epoch => rest(epoch),
        Said::Stranger | Said::Moved => rest(epoch),
        Said::End(warrant) if warrant.epoch() > epoch => Decision::erase(Row::R3, warrant),
        Said::End(warrant) if warrant.epoch() == epoch => send(Row::R5),
        Said::Hold { .. } => send(Row::R5),
        Said::Run { .. } | Said::Vacant { .. } | Said::End(_) => send(Row::R4).conflict(Conflict::Verdict),
    }
}

/// U: no record, but the volume says whose it is.
fn unknown(local: &Local, epoch: Epoch, word: Option<&Word>) -> Decision {
    let Some(word) = word else { return seal(Row::U3) };
    let ended: Option<&Warrant> = word.tombstone(epoch);
    match word.said() {
        Said::Run { epoch: run, .. } if *run == epoch && local.foreign_config => config_seal(),
        Said::Run { epoch: run, .. } if *run == epoch && ended.is_none() && local.access != Access::Ready => {
            let conflict = match local.access {
                Access::NoKey => Conflict::NoKey(epoch),
                Access::Ready | Access::Broken => Conflict::DataUnreadable(epoch),
            };
            seal(Row::U3).conflict(conflict)
        }
        Said::Run { epoch: run, until, .. } if *run == epoch && ended.is_none() => {
            Decision::of(Row::U1, Step::Resume(epoch)).next(Next::Leased { epoch, until: *until })
        }
        Said::Run { epoch: here, .. } | Said::Hold { epoch: here, .. } if *here == epoch => seal(Row::U3),
        Said::Run { .. }
        | Said::Hold { .. }
        | Said::End(_)
        | Said::Vacant { .. }
        | Said::Stranger
        | Said::Moved => match ended {
            Some(warrant) => Decision::erase(Row::U2, warrant),
            None => seal(Row::U3).conflict(Conflict::Verdict),
        },
    }
}

/// F: the owner erased a running lease; a receipt must wait for the tombstone.
fn forsaken(demand: Demand, finished: bool, word: Option<&Word>) -> Decision {
    let conflict = Conflict::Forsaken(demand.epoch());
    match word.and_then(|word| word.tombstone(demand.epoch())) {
        None if finished => wait(Row::F3).conflict(conflict),
        None => Decision::of(Row::F1, Step::Forsake(demand)).conflict(conflict),
        Some(warrant) => Decision::erase(Row::F2, warrant),
    }
}

fn unreadable(epoch: Epoch) -> Decision {
    seal(Row::L9).conflict(Conflict::DataUnreadable(epoch))
}

fn config_seal() -> Decision {
    seal(Row::X2).conflict(Conflict::Config)
}

fn config_wait() -> Decision {
    wait(Row::X2).conflict(Conflict::Config)
}
