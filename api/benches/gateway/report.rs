//! Numbers, and how they are printed.

/// The value in the middle.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that so many are not above.
pub fn percentile(values: &[f64], of: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * of).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The median of what one is of the other in the same round.
pub fn ratio(values: &[f64], of: &[f64]) -> f64 {
    let ratios: Vec<_> = values.iter().zip(of).map(|(value, of)| value / of).collect();
    median(&ratios)
}

/// A number and what it should be.
pub fn limit(value: f64, keeps: bool, limit: &str) -> String {
    format!("{value:.2} ({limit}{})", if keeps { "" } else { ", MISSED" })
}
