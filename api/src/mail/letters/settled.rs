//! Money moved.

use domain::{money::Money, settlement::SettlementKind};

use super::{Text, letter, table};

/// Money moved.
pub(in crate::mail) struct Settled {
    /// What kind of money it was.
    pub kind: SettlementKind,
    /// What moved.
    pub moved: Money,
    /// What was due.
    pub due: Money,
    /// What the network took on top.
    pub network_fee: Option<Money>,
    /// The transaction's id or the operator's reference.
    pub reference: String,
    /// The order that had paid.
    pub order: String,
    /// Where more is shown.
    pub page: String,
}

impl Settled {
    /// In words.
    pub fn text(&self, name: Option<&str>) -> Text {
        let (moved, page) = (self.moved, &self.page);
        let (subject, text) = match self.kind {
            SettlementKind::Refund => ("Your refund", "were paid back to you"),
            SettlementKind::Payout => ("Your payout", "were paid out to you for what you let"),
            SettlementKind::Moderation => ("Your payout", "were paid out to you for deciding a dispute"),
        };
        let mut rows = vec![("moved", moved.to_string())];
        if moved != self.due {
            rows.push(("of", format!("{} that were due", self.due)));
        }
        rows.extend(self.network_fee.map(|fee| ("network fee", fee.to_string())));
        rows.extend([("reference", self.reference.clone()), ("order", self.order.clone())]);
        let rows = table(&rows);
        letter(
            name,
            format!("{subject} of {moved}"),
            &format!("{moved} {text}.\n\n{rows}\nMore is shown at\n\n  {page}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{shown, usd},
        *,
    };

    fn sample(kind: SettlementKind, due: &str, fee: Option<&str>) -> String {
        let letter = Settled {
            kind,
            moved: usd("3.00"),
            due: usd(due),
            network_fee: fee.map(usd),
            reference: "tx-1".into(),
            order: "shop-1".into(),
            page: "https://berth.example/earnings".into(),
        };
        shown(&letter.text(Some("Otto")))
    }

    #[test]
    fn a_refund_says_how_much_moved_and_by_which_transaction() {
        insta::assert_snapshot!(sample(SettlementKind::Refund, "3.00", None), @r"
        Subject: Your refund of 3.00 USD

        Hello Otto,

        3.00 USD were paid back to you.

          moved      3.00 USD
          reference  tx-1
          order      shop-1

        More is shown at

          https://berth.example/earnings
        ");
    }

    #[test]
    fn a_payout_says_too_what_the_network_took_and_what_was_due() {
        insta::assert_snapshot!(sample(SettlementKind::Payout, "3.10", Some("0.02")), @r"
        Subject: Your payout of 3.00 USD

        Hello Otto,

        3.00 USD were paid out to you for what you let.

          moved        3.00 USD
          of           3.10 USD that were due
          network fee  0.02 USD
          reference    tx-1
          order        shop-1

        More is shown at

          https://berth.example/earnings
        ");
        assert!(sample(SettlementKind::Moderation, "3.00", None).contains("dispute"));
    }
}
