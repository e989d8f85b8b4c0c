//! How the postings of an entry stand in one column.
//!
//! For each posting: the asset's code (one byte of length, then the code), the account (a tag, then its ids, names and
//! numbers), the amount in minor units (zigzag, then seven bits a byte, the lowest first). A million entries of names in
//! full would be four times as large.

use domain::{
    id::{AccountId, ContractId, MarketplaceName},
    journal::{Account, Posting, Stage},
    money::Asset,
    settlement::SettlementKind,
};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use uuid::Uuid;

use crate::db::Kind;
use crate::rows::{BadColumn, Column};

const KINDS: [SettlementKind; 3] =
    [SettlementKind::Refund, SettlementKind::Payout, SettlementKind::Moderation];
const STAGES: [Stage; 3] = [Stage::Due, Stage::InFlight, Stage::Quarantined];

impl Column for Vec<Posting> {
    const KIND: Kind = Kind::Blob;

    fn write(&self) -> ToSqlOutput<'_> {
        let mut out = Vec::with_capacity(self.len() * 48);
        for Posting { account, minor, asset } in self {
            put_text(asset.code(), &mut out);
            put_account(account, &mut out);
            put_number((minor << 1 ^ minor >> 127).cast_unsigned(), &mut out);
        }
        ToSqlOutput::Owned(Value::Blob(out))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        let mut bytes = Bytes(value.as_blob().map_err(BadColumn::from)?);
        let mut postings = Self::new();
        while !bytes.0.is_empty() {
            let posting =
                bytes.posting().ok_or_else(|| BadColumn("an entry's postings are damaged".into()))?;
            postings.push(posting);
        }
        Ok(postings)
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    // Codes have a handful of letters, names at most 32.
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend(text.as_bytes());
}

fn put_number(mut number: u128, out: &mut Vec<u8>) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn put_account(account: &Account, out: &mut Vec<u8>) {
    let mut shop = |tag, name: &MarketplaceName| {
        out.push(tag);
        put_text(name.as_str(), out);
    };
    match account {
        Account::EscrowCash(name) => shop(0, name),
        Account::PlatformCash(name) => shop(1, name),
        Account::Orders(name) => shop(2, name),
        Account::FeeIncome(name) => shop(3, name),
        Account::NetworkFees(name) => shop(4, name),
        Account::Overpaid(name) => shop(5, name),
        Account::Segment(contract, segment) => {
            out.push(6);
            out.extend(contract.0.as_bytes());
            put_number((*segment).into(), out);
        }
        Account::Accrued(owner, contract) => {
            out.push(7);
            out.extend(owner.0.as_bytes());
            out.extend(contract.0.as_bytes());
        }
        Account::FeesAccrued(contract) => {
            out.push(8);
            out.extend(contract.0.as_bytes());
        }
        Account::Disputed(contract) => {
            out.push(9);
            out.extend(contract.0.as_bytes());
        }
        Account::Claim(kind, account, stage) => {
            let kind = KINDS.iter().position(|k| k == kind).unwrap_or(0);
            let stage = STAGES.iter().position(|s| s == stage).unwrap_or(0);
            out.extend([10 + (kind * STAGES.len() + stage) as u8]);
            out.extend(account.0.as_bytes());
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn text(&mut self) -> Option<&str> {
        let length = self.byte()?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    fn number(&mut self) -> Option<u128> {
        let mut number = 0;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn id<T: From<Uuid>>(&mut self) -> Option<T> {
        Uuid::from_slice(self.take(16)?).ok().map(T::from)
    }

    fn shop(&mut self) -> Option<MarketplaceName> {
        MarketplaceName::new(self.text()?).ok()
    }

    fn account(&mut self) -> Option<Account> {
        Some(match self.byte()? {
            0 => Account::EscrowCash(self.shop()?),
            1 => Account::PlatformCash(self.shop()?),
            2 => Account::Orders(self.shop()?),
            3 => Account::FeeIncome(self.shop()?),
            4 => Account::NetworkFees(self.shop()?),
            5 => Account::Overpaid(self.shop()?),
            6 => Account::Segment(self.id::<ContractId>()?, self.number()?.try_into().ok()?),
            7 => Account::Accrued(self.id::<AccountId>()?, self.id::<ContractId>()?),
            8 => Account::FeesAccrued(self.id()?),
            9 => Account::Disputed(self.id()?),
            tag => {
                let which = usize::from(tag.checked_sub(10)?);
                let (kind, stage) = (which / STAGES.len(), which % STAGES.len());
                Account::Claim(*KINDS.get(kind)?, self.id()?, STAGES[stage])
            }
        })
    }

    fn posting(&mut self) -> Option<Posting> {
        let asset: Asset = self.text()?.parse().ok()?;
        let account = self.account()?;
        let zigzag = self.number()?;
        let minor = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        Some(Posting { account, minor, asset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postings_read_back_as_they_were_written() {
        let (a, c) = (AccountId(Uuid::from_u128(7)), ContractId(Uuid::from_u128(9)));
        let mut accounts = vec![
            Account::Segment(c, 0),
            Account::Segment(c, 499),
            Account::Accrued(a, c),
            Account::FeesAccrued(c),
            Account::Disputed(c),
        ];
        let shop: MarketplaceName = "shop".parse().unwrap();
        accounts.extend([
            Account::EscrowCash(shop.clone()),
            Account::PlatformCash(shop.clone()),
            Account::Orders(shop.clone()),
            Account::FeeIncome(shop.clone()),
            Account::NetworkFees(shop.clone()),
            Account::Overpaid(shop),
        ]);
        accounts.extend(KINDS.iter().flat_map(|k| STAGES.map(|s| Account::Claim(*k, a, s))));
        let minors = [0, 1, -1, 127, -128, 10i128.pow(27), -(10i128.pow(27)), i128::MAX, i128::MIN];
        let all: Vec<_> = accounts
            .iter()
            .zip(Asset::ALL.iter().cycle())
            .flat_map(|(account, asset)| {
                minors.map(|minor| Posting { account: account.clone(), minor, asset: *asset })
            })
            .collect();
        let ToSqlOutput::Owned(Value::Blob(stored)) = all.write() else { panic!("not a blob") };
        assert_eq!(Vec::<Posting>::read(ValueRef::Blob(&stored)), Ok(all));
        // The last posting is 40 bytes long.
        for cut in 1..40 {
            assert!(Vec::<Posting>::read(ValueRef::Blob(&stored[..stored.len() - cut])).is_err(), "{cut}");
        }
        assert!(Vec::<Posting>::read(ValueRef::Blob(&[3, b'U', b'S', b'D', 99])).is_err());
    }
}
