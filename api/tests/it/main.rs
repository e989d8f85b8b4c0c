//! The server from outside: over HTTP, with a real log, real views and a clock that stands still until it is moved.

mod app;
mod audit;
mod bad_devices;
mod bad_orders;
mod bad_requests;
mod bare;
mod conditions;
mod crash;
mod document;
mod frame;
mod leaving;
mod lists;
mod logs;
mod matrix;
mod people;
mod problems;
mod ready;
mod receiver;
mod shape;
mod spec;
mod start;
mod story;
mod story_money;
mod twice;
mod webhooks;
mod world;
