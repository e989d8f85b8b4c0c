//! The docker workload against an engine of the tests' own.

mod cycle;
mod faults;
mod fence;
mod limits;
mod login;
mod rented;
