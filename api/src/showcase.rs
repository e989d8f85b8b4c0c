//! What a demo lends to whoever looks around: its people, and worthless coins to pay with.

use domain::{
    account::Role,
    id::{AccountId, ContractId, DeviceId},
    time::Seconds,
};
use tokio::sync::{mpsc, oneshot};

use crate::error::Problem;

/// Somebody whose place a visitor may take.
#[derive(Debug, Clone)]
pub struct Somebody {
    /// The account.
    pub account: AccountId,
    /// The name.
    pub name: String,
    /// What there is to see as this person.
    pub sees: &'static str,
    /// Which of the roles it stands for.
    pub role: Role,
}

/// Something that is paid with the demo's coins.
#[derive(Debug, Clone, Copy)]
pub enum Purchase {
    /// Time on a device.
    Rental {
        /// The device.
        device: DeviceId,
        /// Seconds wanted.
        term_s: Seconds,
    },
    /// The extension that was asked for.
    Extension {
        /// The rental.
        contract: ContractId,
    },
}

/// A purchase, for whom, and where its outcome is told.
#[derive(Debug)]
pub struct Payment {
    /// The renter.
    pub renter: AccountId,
    /// What is bought.
    pub what: Purchase,
    /// Told once it is ordered and paid.
    pub done: oneshot::Sender<Result<(), Problem>>,
}

/// A demo's people and its till.
#[derive(Debug)]
pub struct Showcase {
    /// Whose place a visitor may take.
    pub people: Vec<Somebody>,
    /// Takes purchases.
    pub till: mpsc::Sender<Payment>,
}

impl Showcase {
    /// Orders and pays something for a renter.
    ///
    /// # Errors
    /// When it cannot be bought.
    pub async fn buy(&self, renter: AccountId, what: Purchase) -> Result<(), Problem> {
        let (done, answer) = oneshot::channel();
        let closed = || Problem::internal(&"the demo takes no payments any more");
        self.till.send(Payment { renter, what, done }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}
