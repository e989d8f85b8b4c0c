//! What holds for the whole crate: its place among the others, its recorded events, and its rules under any commands.

mod arrow;
mod predecessor;
mod properties;
mod samples;
