//! What devices are told: the signed answer to a poll, and the tombstone.
//!
//! # Shape
//! An answer is computed from the device's and the contract's streams and signed over the device's nonce. A poll may wait
//! for news; then it looks again when the feed wakes it, and by itself every few seconds.
//!
//! # Correctness
//! `End` is answered only with a tombstone, and a tombstone is signed only for a recorded `LeaseEnded`. The sequence
//! number is made of both streams' lengths, so it never falls while the log only grows. Only a poll that the key which
//! holds the lease has signed, and that was not heard before, is a sign of life, is listened to, and gets the key half,
//! sealed to that key; whoever knows
//! the public key and the enrolment key learns how the lease stands and no more.

use std::time::Duration;

use domain::{
    contract::Contract,
    device::{Device, DeviceEvent, LeaseGranted},
    event::{Events, Revision},
    id::{ContractId, DeviceId, Epoch},
    time::Time,
    wire::{Answer, HoldWhy, PollRequest, ReportedState, ServerSigned, Tombstone, VERSION, Verdict},
};
use projections::log::MAX_PAGE;
use tokio::time::Instant;

use crate::{
    app::App,
    clones::{ADVICE, CLONED, Noted},
    devices::{call_attention, heard_of_as},
    error::Problem,
    execute::{ExecutorError, Loaded},
    halves, host_keys, reports,
};

/// The longest a poll waits for news, in seconds.
pub const MAX_WAIT_S: u32 = 30;
/// How often a waiting poll looks by itself, should a hint be missed; each look is a sign of life.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Bits of the sequence number that count the contract's events.
const CONTRACT_BITS: u32 = 24;

/// How a device stands with the key that asks.
enum Standing {
    /// It does not hold the lease.
    Stranger,
    /// The device has another owner since.
    Moved(u32),
    /// The lease is over and erased.
    Vacant(Epoch),
    /// The lease is over.
    Ended(Epoch),
    /// The lease lives.
    Live(Live),
}

/// A lease that lives.
struct Live {
    lease: LeaseGranted,
    is_let: bool,
    until: Option<Time>,
    ending: bool,
    offline_resume: bool,
}

/// Answers a poll; with `wait_s`, not before there is news or the wait is over. `signed` says whether the key that the
/// request names has signed it.
///
/// # Errors
/// When the log cannot be read.
pub async fn answer(
    app: &App,
    device: DeviceId,
    request: PollRequest,
    signed: bool,
) -> Result<ServerSigned, Problem> {
    let deadline = Instant::now() + Duration::from_secs(request.wait_s.min(MAX_WAIT_S).into());
    let look_again = LOOK_AGAIN.min(Duration::from_secs(app.config.devices.poll_s().into()));
    let was_cloned = app.clones.is_cloned(device);
    let (mut arrived, mut noted) = (false, Noted::New);
    loop {
        let news = app.feed.wait_on(device);
        let mut loaded = app.executor.load::<Device>(&device).await?;
        let lease = loaded.state.lease().filter(|lease| lease.granted.device_key == request.device_key);
        let known = signed && lease.is_some();
        if known && !arrived {
            noted = app.clones.note(&app.private, device, &request).await?;
        }
        if known && !arrived && noted == Noted::Another {
            tracing::error!(%device, boot_id = %request.boot_id, "{CLONED}");
            call_attention(app, device, CLONED, ADVICE).await?;
            app.feed.wake(device);
        }
        let believed = known && noted != Noted::Again;
        if believed && loaded.state.live_lease().is_some() && heard_of_as(app, device, &loaded.state).await? {
            loaded = app.executor.load::<Device>(&device).await?;
        }
        let (standing, seq) = standing(app, device, &loaded, &request).await?;
        if believed && !arrived {
            let is_let = matches!(&standing, Standing::Live(live) if live.is_let);
            reports::take(app, device, &request.reported, is_let).await?;
            if let Standing::Live(live) = &standing {
                host_keys::take(app, device, live.lease.epoch, &request.reported).await?;
            }
        }
        arrived = true;
        let left = deadline.saturating_duration_since(Instant::now());
        let cloned = app.clones.is_cloned(device);
        if seq > request.seen_seq || left.is_zero() || cloned != was_cloned || app.stop.is_cancelled() {
            let tombstones = reported_tombstones(app, device, &loaded.state, &request).await?;
            let verdict = match nothing_to_lose(&standing, &request, believed) {
                Some(floor) => Verdict::Vacant { floor },
                None => verdict(app, device, standing, believed, cloned).await?,
            };
            return Ok(app.keys.sign(&Answer {
                v: VERSION,
                device,
                nonce: request.nonce,
                server_time: app.clock.time(),
                owner_gen: loaded.state.owner_gen(),
                seq,
                next_poll_s: app.config.devices.poll_s(),
                verdict,
                tombstones,
            }));
        }
        tokio::select! {
            () = app.stop.cancelled() => {}
            _ = tokio::time::timeout(left.min(look_again), news.notified()) => {}
        }
    }
}

/// How the device stands, and the sequence number of that.
async fn standing(
    app: &App,
    device: DeviceId,
    loaded: &Loaded<Device>,
    request: &PollRequest,
) -> Result<(Standing, u64), Problem> {
    let count = |revision: Option<Revision>| revision.map_or(0, |r| r + 1);
    let base = count(loaded.revision) << CONTRACT_BITS;
    let Some(lease) = loaded.state.lease().filter(|lease| lease.granted.device_key == request.device_key)
    else {
        return Ok((Standing::Stranger, base));
    };
    let epoch = lease.granted.epoch;
    if let Some(owner_gen) = loaded.state.moved() {
        return Ok((Standing::Moved(owner_gen), base));
    }
    if lease.erased {
        return Ok((Standing::Vacant(epoch), base));
    }
    if lease.ended.is_some() {
        return Ok((Standing::Ended(epoch), base));
    }
    let contract = app.executor.load::<Contract>(&ContractId::of(device, epoch)).await?;
    let (now, rental) = (app.clock.time(), contract.state.rental());
    let until = rental.map(|rental| rental.until());
    let live = Live {
        lease: lease.granted.clone(),
        is_let: rental.is_some_and(|rental| rental.runs(now)),
        until,
        ending: contract.state.lease_end().is_some() || until.is_some_and(|until| until <= now),
        offline_resume: rental.is_some_and(|rental| rental.offline_resume),
    };
    Ok((Standing::Live(live), base | count(contract.revision)))
}

/// The floor for a device that lost everything it knew of a lease that was never rented: it may begin that lease again.
/// Of a rented one a human must hear: the renter's data may have been lost.
fn nothing_to_lose(standing: &Standing, request: &PollRequest, believed: bool) -> Option<Epoch> {
    let Standing::Live(Live { lease, until: None, ending: false, .. }) = standing else { return None };
    let knows_nothing = request.reported.epoch == 0
        && matches!(request.reported.state, ReportedState::Blank | ReportedState::Unknown);
    (believed && knows_nothing).then(|| lease.epoch.saturating_sub(1))
}

async fn verdict(
    app: &App,
    device: DeviceId,
    standing: Standing,
    believed: bool,
    cloned: bool,
) -> Result<Verdict, Problem> {
    let live = match standing {
        Standing::Stranger => return Ok(Verdict::Stranger),
        Standing::Moved(owner_gen) => return Ok(Verdict::Moved { owner_gen }),
        Standing::Vacant(floor) => return Ok(Verdict::Vacant { floor }),
        Standing::Ended(epoch) => {
            let tombstone = tombstone(app, device, epoch).await?;
            let missing = || Problem::internal(&"an ended lease has no end in its stream");
            return Ok(Verdict::End { tombstone: app.keys.sign(&tombstone.ok_or_else(missing)?) });
        }
        Standing::Live(live) => live,
    };
    let epoch = live.lease.epoch;
    if live.ending || cloned {
        let why = if live.ending { HoldWhy::Ending } else { HoldWhy::Cloned };
        return Ok(Verdict::Hold { epoch, why });
    }
    let key_half = match believed {
        true => halves::hand_out(app, device, epoch, &live.lease.device_key).await?,
        false => None,
    };
    let (valid_for_s, offline_resume) = (app.config.devices.valid_for_s, live.offline_resume);
    let gateway = app.gateways.address(&live.lease.gateway);
    Ok(Verdict::Run { epoch, until: live.until, valid_for_s, key_half, offline_resume, gateway })
}

/// The tombstone of an earlier epoch that the device still reports.
async fn reported_tombstones(
    app: &App,
    device: DeviceId,
    state: &Device,
    request: &PollRequest,
) -> Result<Vec<ServerSigned>, Problem> {
    // Most devices report the lease that lives, of which there is none.
    if !state.is_over(request.reported.epoch) {
        return Ok(Vec::new());
    }
    let tombstone = tombstone(app, device, request.reported.epoch).await?;
    Ok(tombstone.iter().map(|tombstone| app.keys.sign(tombstone)).collect())
}

/// The statement that a lease ended, from its recorded end; `None` while it lives.
///
/// # Errors
/// When the log cannot be read.
pub async fn tombstone(
    app: &App,
    device: DeviceId,
    epoch: Epoch,
) -> Result<Option<Tombstone>, ExecutorError> {
    let stream = <Device as domain::aggregate::Aggregate>::stream(&device);
    let mut from = 0;
    loop {
        let page = app.executor.log().read_stream(&stream, from, MAX_PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        from = last.revision + 1;
        for recorded in page.iter().filter(|r| r.event.kind == "LeaseEnded") {
            let event = &recorded.event;
            let decoded = DeviceEvent::decode(&event.kind, event.schema, &event.payload).transpose()?;
            if let Some(DeviceEvent::LeaseEnded(e)) = decoded
                && e.epoch == epoch
            {
                let ended_at = event.effective_at;
                return Ok(Some(Tombstone {
                    v: VERSION,
                    device,
                    epoch,
                    contract: e.contract,
                    ended_at,
                    why: e.why,
                }));
            }
        }
    }
}
