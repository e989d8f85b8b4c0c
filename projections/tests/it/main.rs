//! Tests of the log and the views together, over real files.

mod views;
