//! Bars, drawn on the server.
//!
//! # Shape
//! A chart is rows of numbers and the rectangles that they come to; its template draws it as SVG with a title, and the same
//! numbers stand in a table. Everything is whole numbers: a bar is a share of the largest one, rounded down.

/// The drawing's width.
pub const WIDTH: u32 = 720;
/// The drawing's height.
pub const HEIGHT: u32 = 240;
/// Room for what stands beside the bars.
const LEFT: u32 = 100;
/// Room above the highest bar.
const TOP: u32 = 16;
/// The height of the highest bar.
const HIGH: u32 = 190;

/// Numbers of one time or thing: one for each series, none below 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they are of.
    pub name: String,
    /// The numbers, in minor units.
    pub parts: Vec<i128>,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Which series it is of, from 1.
    pub series: usize,
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// How wide.
    pub width: u32,
    /// How high.
    pub height: u32,
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its place from the left.
    pub x: u32,
    /// Its place from the top.
    pub y: u32,
    /// What it says.
    pub text: String,
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// The rectangles.
    pub bars: Vec<Bar>,
    /// Names below the groups.
    pub names: Vec<Label>,
    /// Lines across, with the amounts that they stand for.
    pub lines: Vec<Label>,
}

/// A share of `size`.
fn share(part: i128, of: i128, size: u32) -> u32 {
    let (part, of) = (part.clamp(0, of.max(0)), of.max(1));
    u32::try_from(domain::money::mul_div(part, size.into(), of)).unwrap_or(size)
}

impl Chart {
    /// Bars that stand beside each other, for each group; `amount` writes what a line across stands for.
    #[must_use]
    pub fn of(groups: &[Group], amount: impl Fn(i128) -> String) -> Self {
        let largest = groups.iter().flat_map(|group| &group.parts).copied().max().unwrap_or(0).max(1);
        let series =
            u32::try_from(groups.iter().map(|group| group.parts.len()).max().unwrap_or(1)).unwrap_or(1);
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX).max(1);
        let step = (WIDTH - LEFT) / count;
        let width = (step * 4 / 5 / series.max(1)).clamp(1, 48);
        let (mut bars, mut names) = (Vec::new(), Vec::new());
        for (i, group) in (0..).zip(groups) {
            let left = LEFT + step * i;
            for (s, part) in (0..).zip(&group.parts).filter(|(_, part)| **part > 0) {
                // What is not nothing is seen.
                let height = share(*part, largest, HIGH).max(1);
                let (x, y) = (left + width * s, TOP + HIGH - height);
                bars.push(Bar { series: usize::try_from(s).unwrap_or(0) + 1, x, y, width, height });
            }
            let x = left + width * series / 2;
            names.push(Label { x, y: TOP + HIGH + 18, text: group.name.clone() });
        }
        let line = |part: i128, y: u32| Label { x: LEFT - 6, y, text: amount(part) };
        let lines = vec![line(largest, TOP), line(largest / 2, TOP + HIGH / 2), line(0, TOP + HIGH)];
        Self { bars, names, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_fills_the_drawing_and_every_bar_stays_inside() {
        for groups in [0, 1, 12, 25] {
            let group =
                |i: usize| Group { name: i.to_string(), parts: vec![0, i128::MAX / 4, i as i128 + 1] };
            let groups: Vec<_> = (0..groups).map(group).collect();
            let chart = Chart::of(&groups, |minor| minor.to_string());
            assert_eq!(chart.bars.len(), groups.len() * 2);
            let inside =
                |bar: &Bar| bar.x + bar.width <= WIDTH && bar.y >= TOP && bar.y + bar.height == TOP + HIGH;
            assert!(chart.bars.iter().all(inside), "{chart:?}");
            let heights =
                |series| chart.bars.iter().filter(move |bar| bar.series == series).map(|bar| bar.height);
            assert!(heights(2).all(|height| height == HIGH));
            assert!(heights(3).all(|height| height == 1));
        }
    }
}
