//! Which texts a text cannot contain.

/// Bits of one half; the sign of an integer column stays free.
const HALF: u32 = 63;

/// A text in small letters, each for itself: a part of a text gives a part of the result.
pub fn small(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// A bit for each piece of three bytes, in two halves: whatever contains a text has all of its bits. Of a hundred rows
/// that do not contain a text of eight letters, one or two have them too.
pub fn pieces(text: &str) -> (u64, u64) {
    let (mut a, mut b) = (0, 0);
    for piece in text.as_bytes().windows(3) {
        let number = piece.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        // Multiplying spreads the number over the high bits.
        let bit = (number.wrapping_mul(0x9e37_79b1) >> 8) % (2 * HALF);
        match bit.checked_sub(HALF) {
            None => a |= 1 << bit,
            Some(bit) => b |= 1 << bit,
        }
    }
    (a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_contains_a_text_has_its_pieces_and_most_other_texts_lack_one() {
        let title = |n: u32| format!("board {n:05} of {}\nlima\ncortex-a76", n % 7);
        let mut wrong = 0;
        for n in 0..2_000 {
            let (whole, part) = (title(n), format!("board {n:05}"));
            let ((a, b), (in_a, in_b)) = (pieces(&whole), pieces(&part));
            assert_eq!((a & in_a, b & in_b), (in_a, in_b), "{whole}");
            let (other_a, other_b) = pieces(&title(n + 7_919));
            wrong += u32::from(other_a & in_a == in_a && other_b & in_b == in_b);
        }
        assert!(wrong < 200, "{wrong}");
        assert_eq!(pieces("ab"), (0, 0));
        assert!(small("ΟΔΟΣ 5").contains(&small("οδοσ")) && small("RACK 7") == "rack 7");
    }
}
