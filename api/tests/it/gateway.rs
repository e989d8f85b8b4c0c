//! The gateway against stock OpenSSH.

mod apart;
mod bulk;
mod device;
mod endings;
mod faults;
mod flow;
mod forwards;
mod kit;
mod many;
mod noise;
mod restarts;
mod strangers;
mod visit;
