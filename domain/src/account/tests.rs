use super::*;
use crate::testing::given;

const NOW: Time = Time::from_unix(0);

fn opened() -> Vec<AccountEvent> {
    vec![AccountOpened {}.into(), RoleGranted { role: Role::Owner }.into()]
}

#[test]
fn opening_grants_each_role_once_and_opening_again_does_nothing() {
    given::<Account>([])
        .when(AccountCommand::Open { roles: vec![Role::Owner, Role::Owner] }, NOW)
        .then(opened())
        .when(AccountCommand::Open { roles: vec![Role::Operator] }, NOW)
        .then_already_done();
}

#[test]
fn a_role_can_be_given_and_taken_away_and_twice_is_once() {
    let role = Role::Renter;
    let granted = given::<Account>(opened())
        .when(AccountCommand::Grant { role }, NOW)
        .then([RoleGranted { role }.into()]);
    granted.when(AccountCommand::Grant { role }, NOW).then_already_done();
    granted
        .when(AccountCommand::Revoke { role }, NOW)
        .then([RoleRevoked { role }.into()])
        .when(AccountCommand::Revoke { role }, NOW)
        .then_already_done();
}

#[test]
fn an_erased_account_may_do_nothing_and_gets_no_role() {
    let erased = given::<Account>(opened()).when(AccountCommand::Erase, NOW).then([AccountErased {}.into()]);
    erased.when(AccountCommand::Erase, NOW).then_already_done();
    erased.when(AccountCommand::Grant { role: Role::Operator }, NOW).then_refused(AccountRefusal::Erased);
    let state: Account = crate::aggregate::replay(&[opened(), vec![AccountErased {}.into()]].concat());
    assert!(state.roles().is_empty());
}

#[test]
fn an_unknown_account_is_refused() {
    given::<Account>([]).when(AccountCommand::Erase, NOW).then_refused(AccountRefusal::Unknown);
}
