//! The steps that erase a LUKS volume.
//!
//! # Shape
//! ```text
//! close volume → erase key slots → discard blocks → overwrite ends → verify erased
//! ```
//!
//! # Correctness
//! Before anything is destroyed the medium must show the label or a canary of the lease; after that, one without a header
//! must be as empty as it was left. So neither another lease's medium nor somebody else's that took its place is harmed,
//! and none that is not the lease's is called erased. Each step may be repeated, also the one before the last recorded.

use std::io;

use domain::{
    key::Digest,
    wire::StepResult::{self, Done, NothingThere, Unsupported},
};

use super::{CANARY, CHUNK, Luks, header::Header};
use crate::volume::{Job, VolumeError};

/// How much of each end is overwritten, in bytes; holds the header.
pub(super) const ENDS: u64 = 32 << 20;
pub(super) const STEPS: [&str; 5] =
    ["close volume", "erase key slots", "discard blocks", "overwrite ends", "verify erased"];

impl Luks {
    /// Performs one of [`STEPS`].
    pub(super) fn erase_step(
        &mut self,
        step: usize,
        job: &Job<'_>,
    ) -> Result<(StepResult, String), VolumeError> {
        let there = self.blocks.size().map_err(|e| self.io(e))?;
        let header = self.header().map_err(|e| self.io(e))?;
        let size = match there {
            None if job.evidence.is_some() => return Err(VolumeError::Missing(job.epoch)),
            // What lies there, if anything, was never this lease's.
            None => return Ok((NothingThere, "no volume was prepared for this lease".into())),
            Some(_) if job.evidence.is_none() && header == Header::Absent => {
                return Ok((NothingThere, "no volume was prepared for this lease".into()));
            }
            Some(size) => size,
        };
        self.recognise(step, job, &header)?;
        if step + 1 == STEPS.len()
            && let Some(left) = self.left(job).map_err(|e| self.io(e))?
        {
            return Err(VolumeError::NotErased { epoch: job.epoch, left });
        }
        self.step(step, job, size).map_err(|e| self.io(e))
    }

    fn overwrite(&mut self, size: u64) -> io::Result<()> {
        let zeros = vec![0; CHUNK];
        let ends = [0..ENDS.min(size), size.saturating_sub(ENDS)..size];
        for end in ends {
            for at in end.clone().step_by(CHUNK) {
                let length = usize::try_from((end.end - at).min(CHUNK as u64)).unwrap_or(CHUNK);
                self.blocks.write(at, &zeros[..length])?;
            }
        }
        self.blocks.sync()
    }

    fn discard(&mut self) -> io::Result<(StepResult, String)> {
        if self.blocks.discard(true)? {
            return Ok((Done, "the medium was told to erase every block, stale copies too".into()));
        }
        let plain = self.blocks.discard(false)?;
        Ok(if plain {
            (Done, "every block was discarded; the medium cannot erase stale copies".into())
        } else {
            (Unsupported, "the medium takes no discard: flash may keep ciphertext".into())
        })
    }

    /// Refuses a medium that is not the one that was prepared. Nothing is destroyed before the first step is recorded, so
    /// the label or a canary must be there then; later, a medium without a header must be as empty as it was left.
    fn recognise(&self, step: usize, job: &Job<'_>, header: &Header) -> Result<(), VolumeError> {
        let missing = Err(VolumeError::Missing(job.epoch));
        match (header, job.evidence) {
            (Header::Lease { epoch, .. }, _) if *epoch != job.epoch => Err(self.fenced(job.epoch)),
            (Header::Lease { owner: Some(owner), .. }, _) if owner.device != job.device => {
                Err(self.fenced(job.epoch))
            }
            (Header::Lease { uuid, .. }, Some(evidence)) if *uuid != evidence.identity => missing,
            (Header::Lease { .. } | Header::Torn, _) => Ok(()),
            (Header::Unreadable(_), None) => Err(self.fenced(job.epoch)),
            // A header that this erasure half destroyed: no other lease is granted before this one is erased.
            (Header::Unreadable(_), Some(_)) if step > 0 => Ok(()),
            (Header::Absent, _) if step > 0 => match self.blocks.foreign().map_err(|e| self.io(e))? {
                Some(_) => missing,
                None => Ok(()),
            },
            (Header::Unreadable(_) | Header::Absent, Some(evidence)) => {
                let known = |(at, digest): &(u64, Digest)| {
                    self.blocks.read(*at, CANARY).is_ok_and(|bytes| Digest::of(&bytes) == *digest)
                };
                if evidence.canaries.iter().any(known) { Ok(()) } else { missing }
            }
            (Header::Absent, None) => Ok(()),
        }
    }

    /// What contradicts that it is erased.
    fn left(&mut self, job: &Job<'_>) -> io::Result<Option<String>> {
        if self.blocks.is_mapped() {
            return Ok(Some("the volume is still open".into()));
        }
        if self.header()? != Header::Absent {
            return Ok(Some("there is still a header".into()));
        }
        if let Some(key) = job.key
            && self.blocks.fits(key)?
        {
            return Ok(Some("its key still opens it".into()));
        }
        for (at, digest) in job.evidence.map_or(&[][..], |evidence| &evidence.canaries) {
            if Digest::of(&self.blocks.read(*at, CANARY)?) == *digest {
                return Ok(Some(format!("the data at byte {at} are still there")));
            }
        }
        Ok(None)
    }

    fn step(&mut self, step: usize, job: &Job<'_>, size: u64) -> io::Result<(StepResult, String)> {
        let labelled = matches!(self.header()?, Header::Lease { .. });
        Ok(match step {
            0 if self.shut()? => (Done, "unmounted and closed".into()),
            0 => (NothingThere, "it was not open".into()),
            1 if labelled => match self.blocks.destroy_slots() {
                Ok(()) => (Done, "every key slot of the header is destroyed".into()),
                // The steps after this one destroy them too.
                Err(error) => (Unsupported, error.to_string()),
            },
            1 => (NothingThere, "there was no header".into()),
            2 => self.discard()?,
            3 => {
                self.overwrite(size)?;
                (Done, format!("overwrote the first and last {} MiB, header and label included", ENDS >> 20))
            }
            _ => {
                let canaries = job.evidence.map_or(0, |evidence| evidence.canaries.len());
                let key = if job.key.is_some() { "its key opens nothing" } else { "its key was not at hand" };
                (Done, format!("closed, no header, {canaries} known blocks changed, {key}"))
            }
        })
    }
}
