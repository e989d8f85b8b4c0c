//! The server from outside: over HTTP, with a real log, real views and a clock that stands still until it is moved.

mod app;
mod audit;
mod bad_devices;
mod bad_orders;
mod bad_requests;
mod conditions;
mod crash;
mod document;
mod frame;
mod lists;
mod matrix;
mod people;
mod problems;
mod spec;
mod start;
mod twice;
mod world;
