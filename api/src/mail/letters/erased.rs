//! A device has proved how it erased a rental's data.

use domain::wire::{Receipt, StepResult};

use super::{Text, letter, one_line};

/// A device has erased a rental's data.
pub(in crate::mail) struct Erased<'a> {
    /// What was rented.
    pub title: &'a str,
    /// What the device says.
    pub receipt: &'a Receipt,
    /// The page of the rental.
    pub page: String,
}

const fn went(result: StepResult) -> &'static str {
    match result {
        StepResult::Done => "done",
        StepResult::NothingThere => "there was nothing",
        StepResult::Unsupported => "the hardware cannot do it",
    }
}

impl Erased<'_> {
    /// In words.
    pub fn text(&self, name: Option<&str>) -> Text {
        let (title, page, receipt) = (one_line(self.title), &self.page, self.receipt);
        let steps = receipt.steps.iter().map(|step| {
            let (what, result, seen) = (one_line(&step.step), went(step.result), one_line(&step.detail));
            let seen = if seen.is_empty() { seen } else { format!(" ({seen})") };
            format!("  {what}: {result}{seen}\n")
        });
        let (steps, volume) = (steps.collect::<String>(), one_line(&receipt.volume));
        letter(
            name,
            format!("What you left on {title} is erased"),
            &format!(
                "the device has erased what you left on \"{title}\". It has signed this receipt:\n\n  \
                 kind of volume: {volume}\n{steps}\n\
                 The signed receipt is part of the record of your rental:\n\n  {page}"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use domain::{id::DeviceId, key::Digest, wire::EraseStep};

    use super::{
        super::samples::{at, shown},
        *,
    };

    #[test]
    fn it_lists_what_the_device_did_and_what_it_could_not_do() {
        let step =
            |step: &str, result, detail: &str| EraseStep { step: step.into(), result, detail: detail.into() };
        let receipt = Receipt {
            v: 1,
            device: DeviceId(uuid::Uuid::nil()),
            epoch: 1,
            tombstone: Digest::of(b""),
            volume: "directory".into(),
            steps: vec![
                step("remove files", StepResult::Done, "3 files"),
                step("destroy key", StepResult::NothingThere, ""),
                step("blkdiscard --secure\n\nThe mail goes on", StepResult::Unsupported, "no\nTRIM"),
            ],
            not_before: at(0),
        };
        let page = "https://berth.example/rentals/0190-1".into();
        let letter = Erased { title: "A small computer", receipt: &receipt, page };
        insta::assert_snapshot!(shown(&letter.text(Some("Rita"))), @r#"
        Subject: What you left on A small computer is erased

        Hello Rita,

        the device has erased what you left on "A small computer". It has signed this receipt:

          kind of volume: directory
          remove files: done (3 files)
          destroy key: there was nothing
          blkdiscard --secure  The mail goes on: the hardware cannot do it (no TRIM)

        The signed receipt is part of the record of your rental:

          https://berth.example/rentals/0190-1
        "#);
    }
}
