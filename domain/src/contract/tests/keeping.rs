use super::*;

fn choose(allowed: bool) -> ContractCommand {
    ContractCommand::ChooseOfflineResume { allowed }
}

fn chosen(allowed: bool) -> ContractEvent {
    OfflineResumeChosen { device: DEVICE, epoch: 1, allowed }.into()
}

#[test]
fn a_device_keeps_no_key_half_unless_the_renter_lets_it() {
    rented().when(choose(false), at(1)).then_already_done();
    let allowed = rented().when(choose(true), at(1)).then([chosen(true)]);
    allowed.when(choose(true), at(2)).then_already_done();
    allowed.when(choose(false), at(2)).then([chosen(false)]);
}

#[test]
fn the_choice_can_be_made_while_the_rental_runs_only() {
    rented().when(choose(true), at(1_000)).then_refused(ContractRefusal::Over);
    let over = rented()
        .when(terminate(EndedBy::Renter), at(400))
        .then([terminated(EndedBy::Renter, 400, &[]), refund(0, 600)]);
    over.when(choose(true), at(401)).then_refused(ContractRefusal::Over);
    given::<Contract>([closed()]).when(choose(true), at(1)).then_refused(ContractRefusal::Unknown);
}

#[test]
fn erasing_at_once_can_be_asked_for_after_the_end_and_once() {
    let ask = || ContractCommand::AskErasure;
    rented().when(ask(), at(1)).then_refused(ContractRefusal::StillRunning { until: at(1_000) });
    let over = rented().when(expire(&[]), at(1_000)).then([expired(1_000, &[])]);
    let asked = over.when(ask(), at(1_001)).then([ErasureAsked { device: DEVICE, epoch: 1 }.into()]);
    asked.when(ask(), at(1_002)).then_already_done();
    given::<Contract>([]).when(ask(), at(1)).then_refused(ContractRefusal::Unknown);
}
