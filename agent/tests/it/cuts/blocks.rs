//! A block device with LUKS on it, as `cryptsetup` writes it: headers first copy first, each synced.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use agent::{
    keyring::VolumeKey,
    volume::{
        Owner,
        luks::{Blocks, header},
    },
};
use domain::key::Digest;
use sha2::{Digest as _, Sha256};

use super::disk::{Machine, subsets};

const PAGE: usize = 4_096;
const SIZE: u64 = 160 << 20;
const OFFSET: u64 = 16 << 20;
const COPY: usize = 0x4000;
const SLOTS: u64 = 0x8000;
const HEADER_PAGES: u64 = 9;
/// Where the renter's letter lies.
pub const LETTER: u64 = 40 << 20;

/// A page and its digest.
type Page = Arc<(Digest, Vec<u8>)>;
type Pages = BTreeMap<u64, Page>;

/// Pages that survive together; none for one that is zeroed.
type Part = Vec<(u64, Option<Page>)>;

/// Pages that are not zero, durable and on their way, and what a reboot forgets.
#[derive(Clone, Default)]
pub struct BlockModel {
    durable: Pages,
    now: Pages,
    /// Parts that survive as a whole or not at all.
    pending: Vec<Part>,
    mapped: Option<Digest>,
    mounted: bool,
    /// Whether the medium takes no discard.
    pub plain: bool,
}

fn write(pages: &mut Pages, part: &Part) {
    for (n, page) in part {
        match page {
            Some(page) => pages.insert(*n, page.clone()),
            None => pages.remove(n),
        };
    }
}

fn tag(key: &VolumeKey) -> Digest {
    Digest::of(key.reveal())
}

/// What the mapping's cipher makes of a text.
fn sealed(key: Digest, text: &str) -> Vec<u8> {
    let mut page = Digest::of(&[&key.0, text.as_bytes()].concat()).0.to_vec();
    page.resize(PAGE, 1);
    page
}

impl BlockModel {
    fn begin(&mut self, part: Part) {
        write(&mut self.now, &part);
        self.pending.push(part);
    }

    pub fn outcomes(&self) -> Vec<Self> {
        let outcome = |kept: Vec<bool>| {
            let mut durable = self.durable.clone();
            self.pending
                .iter()
                .zip(kept)
                .filter(|(_, kept)| *kept)
                .for_each(|(part, _)| write(&mut durable, part));
            Self { now: durable.clone(), durable, plain: self.plain, ..Self::default() }
        };
        subsets(self.pending.len()).into_iter().map(outcome).collect()
    }

    fn flush(&mut self) {
        self.durable = self.now.clone();
        self.pending.clear();
    }

    fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let end = (at + length as u64).min(SIZE);
        let mut bytes = Vec::new();
        let mut at = at;
        while at < end {
            let (page, skip) = (at / PAGE as u64, usize::try_from(at).unwrap() % PAGE);
            let take = (PAGE - skip).min(usize::try_from(end - at).unwrap());
            match self.now.get(&page) {
                Some(page) => bytes.extend(&page.1[skip..skip + take]),
                None => bytes.resize(bytes.len() + take, 0),
            }
            at += take as u64;
        }
        bytes
    }

    fn header(&self) -> header::Header {
        header::read(|at, length| Ok(self.read(at as u64, length))).unwrap()
    }

    fn fits(&self, key: Digest) -> bool {
        matches!(self.header(), header::Header::Lease { .. }) && self.read(SLOTS, 32) == key.0
    }

    /// Everything on it, for comparing.
    pub fn all(&self) -> Digest {
        let digests = self.now.iter().flat_map(|(n, page)| [&n.to_be_bytes(), page.0.0.as_slice()].concat());
        Digest::of(&digests.collect::<Vec<_>>())
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    pub fn is_open(&self) -> bool {
        self.mounted
    }

    /// Whether whoever has the volume open reads the renter's letter.
    pub fn shows(&self, text: &str) -> bool {
        let Some(key) = self.mapped.filter(|_| self.mounted) else { return false };
        self.read(LETTER, PAGE) == sealed(key, text)
    }

    /// The renter writes the letter, durably.
    pub fn put(&mut self, text: &str) {
        let key = self.mapped.filter(|_| self.mounted).expect("the volume is open");
        self.begin(pages(LETTER, &sealed(key, text)));
        self.flush();
    }
}

fn pages(at: u64, bytes: &[u8]) -> Part {
    let page = |(n, chunk): (usize, &[u8])| {
        let full = || {
            let mut page = chunk.to_vec();
            page.resize(PAGE, 0);
            Arc::new((Digest::of(&page), page))
        };
        (at / PAGE as u64 + n as u64, (*chunk != [0; PAGE][..chunk.len()]).then(full))
    };
    bytes.chunks(PAGE).enumerate().map(page).collect()
}

/// One copy of a header, as the specification says.
pub fn copy(second: bool, sequence: u64, label: &str, owner: Option<&Owner>) -> Vec<u8> {
    let mut bytes = vec![0; COPY];
    bytes[..6].copy_from_slice(if second { b"SKUL\xba\xbe" } else { b"LUKS\xba\xbe" });
    bytes[7] = 2;
    bytes[8..16].copy_from_slice(&(COPY as u64).to_be_bytes());
    bytes[16..24].copy_from_slice(&sequence.to_be_bytes());
    bytes[24..24 + label.len()].copy_from_slice(label.as_bytes());
    bytes[72..78].copy_from_slice(b"sha256");
    let mut metadata = serde_json::json!({ "keyslots": {}, "tokens": {}, "segments": {} });
    if let Some(owner) = owner {
        metadata["tokens"] =
            serde_json::json!({ "0": { "type": header::TOKEN, "keyslots": [], "owner": owner } });
    }
    let json = metadata.to_string();
    bytes[PAGE..PAGE + json.len()].copy_from_slice(json.as_bytes());
    let sum = Sha256::digest(&bytes);
    bytes[448..480].copy_from_slice(&sum);
    bytes
}

/// The device on the machine.
pub struct Device(pub Machine);

impl Device {
    fn put(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        // Every page may survive alone where headers and key slots lie; the rest in larger parts.
        let zero = bytes == vec![0; bytes.len()];
        self.0.op(|state| {
            let all: Part = if zero {
                let end = (at + bytes.len() as u64).div_ceil(PAGE as u64);
                state.blocks.now.range(at / PAGE as u64..end).map(|(page, _)| (*page, None)).collect()
            } else {
                pages(at, bytes)
            };
            let (alone, rest): (Part, Part) = all.into_iter().partition(|(page, _)| *page < HEADER_PAGES);
            let mut parts: Vec<Part> = alone.into_iter().map(|page| vec![page]).collect();
            parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
            state.changes += parts.len();
            parts.into_iter().for_each(|part| state.blocks.begin(part));
            Ok(())
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.0.sync(|state| state.blocks.flush())
    }

    fn header(&self, sequence: u64, label: &str, owner: Option<&Owner>) -> io::Result<()> {
        for second in [false, true] {
            self.put(if second { COPY as u64 } else { 0 }, &copy(second, sequence, label, owner))?;
            self.flush()?;
        }
        Ok(())
    }
}

impl Blocks for Device {
    fn size(&self) -> io::Result<Option<u64>> {
        self.0.look(|_| Some(SIZE))
    }

    fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.look(|state| state.blocks.read(at, length))
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.put(at, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn discard(&mut self, secure: bool) -> io::Result<bool> {
        if secure || self.0.state().blocks.plain {
            return Ok(false);
        }
        self.0.op(|state| {
            let all: Vec<_> = state.blocks.now.keys().copied().collect();
            let (alone, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|page| *page < HEADER_PAGES);
            let parts = alone.chunks(1).chain(rest.chunks(128));
            state.changes += parts.clone().count();
            parts.for_each(|part| state.blocks.begin(part.iter().map(|page| (*page, None)).collect()));
            Ok(())
        })?;
        self.flush()?;
        Ok(true)
    }

    fn foreign(&self) -> io::Result<Option<String>> {
        let signed = self.0.look(|state| state.blocks.now.contains_key(&0))?;
        Ok(signed.then(|| "something".to_owned()))
    }

    fn format(&mut self, label: &str, key: &VolumeKey) -> io::Result<()> {
        self.put(0, &vec![0; 2 * COPY])?;
        self.put(SLOTS, &[0; PAGE])?;
        self.flush()?;
        self.header(1, label, None)?;
        self.put(SLOTS, &tag(key).0)?;
        self.flush()?;
        self.header(2, label, None)
    }

    fn add_token(&mut self, json: &str) -> io::Result<()> {
        let token: serde_json::Value = serde_json::from_str(json).unwrap();
        let owner: Owner = serde_json::from_value(token["owner"].clone()).unwrap();
        self.header(3, &header::label(owner.epoch), Some(&owner))
    }

    fn fits(&mut self, key: &VolumeKey) -> io::Result<bool> {
        self.0.look(|state| state.blocks.fits(tag(key)))
    }

    fn destroy_slots(&mut self) -> io::Result<()> {
        self.put(SLOTS, &[0; PAGE])?;
        self.flush()
    }

    fn is_mapped(&self) -> bool {
        self.0.state().blocks.mapped.is_some()
    }

    fn map(&mut self, key: &VolumeKey) -> io::Result<()> {
        self.0.op(|state| {
            if !state.blocks.fits(tag(key)) {
                return Err(io::Error::other("no key slot opens"));
            }
            state.blocks.mapped = Some(tag(key));
            Ok(())
        })
    }

    fn unmap(&mut self) -> io::Result<()> {
        self.0.op(|state| {
            assert!(!state.blocks.mounted, "busy");
            state.blocks.mapped = None;
            Ok(())
        })
    }

    fn mapped_size(&self) -> io::Result<u64> {
        Ok(SIZE - OFFSET)
    }

    fn write_mapped(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.put(OFFSET + at, bytes)?;
        self.flush()
    }

    fn make_file_system(&mut self, _: u64) -> io::Result<()> {
        let key = self.0.state().blocks.mapped.expect("it is mapped");
        self.put(LETTER, &[0; PAGE])?;
        self.put(OFFSET, &sealed(key, "file system"))?;
        self.flush()
    }

    fn is_mounted(&self, _: &Path) -> bool {
        self.0.state().blocks.mounted
    }

    fn mount(&mut self, _: &Path) -> io::Result<()> {
        self.0.op(|state| {
            let key = state.blocks.mapped.expect("it is mapped");
            if state.blocks.read(OFFSET, PAGE) != sealed(key, "file system") {
                return Err(io::Error::other("there is no file system"));
            }
            state.blocks.mounted = true;
            Ok(())
        })
    }

    fn unmount(&mut self, _: &Path) -> io::Result<()> {
        self.0.op(|state| {
            state.blocks.mounted = false;
            Ok(())
        })
    }

    fn make_directory(&mut self, _: &Path) -> io::Result<()> {
        self.0.op(|_| Ok(()))
    }

    fn problems(&self) -> Vec<String> {
        Vec::new()
    }
}
