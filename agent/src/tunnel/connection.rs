//! One connection to a gateway, from its first byte to its last.

use std::{io, sync::Arc, time::Duration};

use domain::key::PublicKey;
use ed25519_dalek::SigningKey;
use russh::{
    client,
    keys::{
        PrivateKey, PrivateKeyWithHashAlg,
        ssh_key::private::{Ed25519Keypair, KeypairData},
    },
};
use tokio::{
    net::{TcpStream, ToSocketAddrs},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Forward, Plan, algorithms, client::Client, sever::Severable};

/// How long it may take to reach the gateway.
const REACH: Duration = Duration::from_secs(10);
/// How long the gateway may take for the handshake, and for each answer after it.
const ANSWER: Duration = Duration::from_secs(20);
/// What the gateway refused to forward is asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Down {
    #[error("the gateway cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("the gateway's host key is not {0}, which the server named: it is not believed")]
    WrongKey(PublicKey),
    #[error("the gateway does not let this device in")]
    NotLetIn,
    #[error("the gateway forwards nothing to this device")]
    NothingForwarded,
    #[error("the gateway does not answer")]
    Silent,
    #[error("the gateway closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Failed(russh::Error),
}

impl Down {
    fn of(error: russh::Error, plan: &Plan) -> Self {
        match error {
            russh::Error::UnknownKey => Self::WrongKey(plan.gateway.host_key),
            russh::Error::Disconnect | russh::Error::HUP => Self::Closed,
            russh::Error::KeepaliveTimeout => Self::Silent,
            error => Self::Failed(error),
        }
    }
}

/// Holds one connection until it ends, or this future is dropped; `up` is told what the gateway does not forward.
pub(super) async fn hold(plan: &Plan, key: &SigningKey, mut up: impl FnMut(&[Forward])) -> Down {
    let cut = CancellationToken::new();
    // However this ends, the session and every visitor's connection end with it.
    let _cut_at_the_end = cut.clone().drop_guard();
    match try_hold(plan, key, &cut, &mut up).await {
        Ok(never) => match never {},
        Err(down) => down,
    }
}

async fn try_hold(
    plan: &Plan,
    key: &SigningKey,
    cut: &CancellationToken,
    up: &mut impl FnMut(&[Forward]),
) -> Result<std::convert::Infallible, Down> {
    let failed = |error| Down::of(error, plan);
    let gateway = &plan.gateway;
    let stream = reach(plan.address()).await.map_err(Down::Unreachable)?;
    let forwards: Arc<[Forward]> = plan.forwards().into();
    let client = Client::new(gateway.host_key, forwards.clone(), plan.proxy, cut.clone());
    let stream = Severable::new(stream, cut.clone());
    let mut session =
        answered(client::connect_stream(algorithms::to_gateway(), stream, client)).await?.map_err(failed)?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(private(key).map_err(failed)?), None);
    let user = plan.subdomain.to_string();
    let let_in = answered(session.authenticate_publickey(user, key)).await?.map_err(failed)?;
    if !let_in.success() {
        return Err(Down::NotLetIn);
    }
    let mut missing = forwards.to_vec();
    loop {
        missing = ask(&session, missing).await?.map_err(failed)?;
        if missing.len() == forwards.len() {
            return Err(Down::NothingForwarded);
        }
        up(&missing);
        tokio::select! {
            ended = &mut session => return Err(ended.err().map_or(Down::Closed, failed)),
            () = sleep(ASK_AGAIN), if !missing.is_empty() => {}
        }
    }
}

/// A connection to a gateway, nothing said yet.
pub(super) async fn reach(gateway: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = timeout(REACH, TcpStream::connect(gateway)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for forwards; gives back those that are refused.
async fn ask(
    session: &client::Handle<Client>,
    forwards: Vec<Forward>,
) -> Result<Result<Vec<Forward>, russh::Error>, Down> {
    let mut refused = Vec::new();
    for forward in forwards {
        let asked = session.tcpip_forward(forward.address.as_str(), u32::from(forward.port));
        match answered(asked).await? {
            Ok(_) => {}
            Err(russh::Error::RequestDenied) => refused.push(forward),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(refused))
}

async fn answered<T>(answer: impl Future<Output = T>) -> Result<T, Down> {
    timeout(ANSWER, answer).await.map_err(|_| Down::Silent)
}

/// The device key as SSH knows it.
fn private(key: &SigningKey) -> Result<PrivateKey, russh::Error> {
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(key.as_bytes()));
    Ok(PrivateKey::new(pair, "").map_err(russh::keys::Error::from)?)
}
