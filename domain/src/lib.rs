//! The rules of renting: pure and synchronous, without I/O, clock or dice.
//!
//! | word | meaning |
//! |---|---|
//! | [`device`] | a machine enrolled by its owner, and its numbered leases |
//! | [`gateway`] | a pool of ports, each held by one lease at most |
//! | [`order`] | one payment received by a marketplace |
//! | [`contract`] | the rental of one lease by one renter: a list of paid segments |
//! | [`settlement`] | the execution of one refund or payout |
//! | [`purse`] | payouts of one owner that wait until they are worth sending |
//! | [`treasury`] | what the operator has taken out of escrow as its fees |
//! | [`audit`] | whether every event about money follows from those before |
//! | [`journal`] | double entry: what each event does to each account |
//! | [`account`] | somebody who acts in roles |
//! | [`prorate`] | who gets what of a segment that ends at an instant |
//! | [`wire`] | what devices and the server say to each other, signed |
//!
//! Every aggregate is a pair of pure functions: `decide(&state, command, now)` answers with new events, "already done"
//! or a refusal; `apply(&mut state, &event)` folds an event in.

pub mod account;
pub mod aggregate;
pub mod any;
pub mod audit;
pub mod contract;
pub mod device;
pub mod event;
pub mod gateway;
pub mod id;
pub mod journal;
pub mod key;
pub mod money;
pub mod offer;
pub mod order;
pub mod policy;
pub mod prorate;
pub mod purse;
pub mod settlement;
pub mod testing;
pub mod time;
pub mod treasury;
pub mod wire;
