//! What is printed: one line for each question, with its median.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// Times that a question is asked.
const ROUNDS: usize = 21;

/// The columns; what an answer counts is `what`.
pub fn heading(title: &str, what: &str) {
    println!("\n{title:54} | {what:>5} | {:>9} | {:>9}", "median ms", "worst ms");
}

/// Asks a question again and again, the first time not counted, and prints how long it takes.
pub async fn line<E: Display>(name: &str, mut ask: impl AsyncFnMut() -> Result<usize, E>) {
    let mut times = Vec::with_capacity(ROUNDS);
    let mut rows = 0;
    for round in 0..=ROUNDS {
        let start = Instant::now();
        rows = match ask().await {
            Ok(rows) => rows,
            Err(error) => return println!("{name:54} | failed: {error}"),
        };
        if round > 0 {
            times.push(start.elapsed());
        }
    }
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0);
    println!("{name:54} | {rows:>5} | {:>9.2} | {:>9.2}", ms(times.get(ROUNDS / 2)), ms(times.last()));
}
