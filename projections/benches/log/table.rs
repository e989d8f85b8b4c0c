//! Printing.

/// Pairs of measurements, one for each round.
#[derive(Default)]
pub struct Rounds(Vec<(f64, f64)>);

impl Rounds {
    pub fn add(&mut self, ours: f64, reference: f64) {
        self.0.push((ours, reference));
    }

    /// Prints the medians; the ratio is the median of the rounds' ratios.
    pub fn print(&self, what: &str, target: f64) {
        let median = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = self.0.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (ours, reference) = (median(&|pair| pair.0), median(&|pair| pair.1));
        let ratio = median(&|pair| pair.0 / pair.1);
        let verdict = if ratio >= target { "" } else { "  missed" };
        println!("{what:<42} {ours:>10.0} {reference:>10.0} {ratio:>8.2} {target:>8.2}{verdict}");
    }
}

pub fn title() {
    println!("{:<42} {:>10} {:>10} {:>8} {:>8}", "per second", "Berth", "reference", "ratio", "target");
}
