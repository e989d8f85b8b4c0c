//! What is printed.

use std::time::Duration;

use crate::herd::Told;

fn percentile(sorted: &[Duration], of: f64) -> f64 {
    let at = ((sorted.len() as f64 * of).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1_000.0)
}

fn spread(sorted: &[Duration]) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|of| percentile(sorted, of))
}

/// The columns.
pub fn heading() {
    println!(
        "{:14} | {:>41} | {:>41} | {:>8} | {:>23}",
        "", "first answer, ms after waking up", "long poll, ms later than asked for", "all back", "server"
    );
    println!(
        "{:14} | {:>8} {:>6} {:>8} {:>8} {:>7} | {:>8} {:>6} {:>8} {:>8} {:>7} | {:>8} | {:>5} {:>4} {:>4} {:>6} {:>6}",
        "",
        "answered",
        "failed",
        "p50",
        "p99",
        "max",
        "answered",
        "failed",
        "p50",
        "p99",
        "max",
        "s",
        "conns",
        "MiB",
        "peak",
        "CPU s",
        "later"
    );
}

/// What a herd went through.
pub fn line(name: &str, told: &Told) {
    let group = |sorted: &[Duration], failed: usize| {
        let [p50, p99, max] = spread(sorted);
        format!("{:>8} {failed:>6} {p50:>8.1} {p99:>8.1} {max:>7.0}", sorted.len())
    };
    let [back, end] = told.cost;
    let all_back = told.all_back.map_or_else(|| "never".into(), |at| format!("{:.1}", at.as_secs_f64()));
    println!(
        "{name:14} | {} | {} | {all_back:>8} | {:>5} {:>4} {:>4} {:>6.1} {:>6.1}",
        group(&told.first, told.failed[0]),
        group(&told.late, told.failed[1]),
        end.sockets.saturating_sub(1),
        end.rss_mib,
        end.peak_mib,
        back.cpu_s,
        end.cpu_s - back.cpu_s
    );
    if told.unanswered > 0 {
        println!("{:14} | {} devices never had an answer", "", told.unanswered);
    }
}

/// What Berth takes as a multiple of the least.
pub fn ratio(told: &Told, least: &Told) {
    let [first, late] = [(&told.first, &least.first), (&told.late, &least.late)].map(|(told, least)| {
        let ratios = spread(told).into_iter().zip(spread(least)).map(|(told, least)| told / least);
        ratios.map(|ratio| format!("{ratio:.1}×")).collect::<Vec<_>>()
    });
    let cpu = [0, 1].map(|at| told.cost[at].cpu_s / least.cost[at].cpu_s);
    println!(
        "{:14} | {:>15} {:>8} {:>8} {:>7} | {:>15} {:>8} {:>8} {:>7} | {:>8} | {:>15} {:>5.1}×",
        "  of the floor", "", first[0], first[1], first[2], "", late[0], late[1], late[2], "", "", cpu[1]
    );
}
