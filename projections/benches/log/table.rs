//! Printing.

/// Pairs of measurements, one for each round.
#[derive(Default)]
pub struct Rounds(Vec<(f64, f64)>);

impl Rounds {
    pub fn add(&mut self, ours: f64, reference: f64) {
        self.0.push((ours, reference));
    }

    /// The median of the reference.
    pub fn reference(&self) -> f64 {
        self.median(|pair| pair.1)
    }

    /// Prints the medians; the ratio is the median of the rounds' ratios.
    pub fn print(&self, what: &str, target: Option<f64>) {
        let (ours, reference) = (self.median(|pair| pair.0), self.reference());
        let ratio = self.median(|pair| pair.0 / pair.1);
        let target = match target {
            Some(target) if ratio < target => format!("{target:>8.2}  missed"),
            Some(target) => format!("{target:>8.2}"),
            None => String::new(),
        };
        println!("{what:<44} {ours:>10.0} {reference:>10.0} {ratio:>8.2} {target}");
    }

    fn median(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

pub fn title() {
    println!("{:<44} {:>10} {:>10} {:>8} {:>8}", "per second", "Berth", "reference", "ratio", "target");
}
