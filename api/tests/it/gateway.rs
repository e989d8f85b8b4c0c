//! The gateway against stock OpenSSH.

mod device;
mod endings;
mod faults;
mod bulk;
mod forwards;
mod kit;
mod many;
mod noise;
mod restarts;
mod strangers;
mod visit;
