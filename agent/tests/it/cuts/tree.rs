//! A journalling file system: names survive a power cut in the order in which they were changed, up to some point not
//! before the last sync of a directory that was changed; the bytes of a file survive only if the file was synced, and
//! else as before, as written, or torn.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use agent::tree::{Entry, Tree};

use super::disk::Machine;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Put(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

type Names = BTreeMap<PathBuf, Node>;

/// Names and bytes, durable and on their way.
#[derive(Clone, Default)]
pub struct TreeModel {
    names: Names,
    journal: Vec<Change>,
    durable: Vec<Vec<u8>>,
    pending: BTreeMap<usize, Vec<u8>>,
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Put(path, node) => drop(names.insert(path.clone(), node.clone())),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                let moved: Vec<_> = names.keys().filter(|path| path.starts_with(from)).cloned().collect();
                names.remove(to);
                for path in moved {
                    let node = names.remove(&path).unwrap();
                    let rest = path.strip_prefix(from).unwrap();
                    let to = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    names.insert(to, node);
                }
            }
        }
    }

    fn touches(&self, directory: &Path) -> bool {
        let within = |path: &PathBuf| path.parent() == Some(directory);
        match self {
            Self::Put(path, _) | Self::Remove(path) => within(path),
            Self::Rename(from, to) => within(from) || within(to),
        }
    }
}

impl TreeModel {
    fn now(&self) -> Names {
        let mut names = self.names.clone();
        self.journal.iter().for_each(|change| change.apply(&mut names));
        names
    }

    fn bytes(&self, file: usize) -> &Vec<u8> {
        self.pending.get(&file).unwrap_or(&self.durable[file])
    }

    pub fn outcomes(&self) -> Vec<Self> {
        let mut outcomes = Vec::new();
        for end in 0..=self.journal.len() {
            let mut names = self.names.clone();
            self.journal[..end].iter().for_each(|change| change.apply(&mut names));
            let tails = self.pending.iter().fold(vec![self.durable.clone()], |tails, (file, written)| {
                let with = |durable: &Vec<Vec<u8>>, bytes: &[u8]| {
                    let mut durable = durable.clone();
                    durable[*file] = bytes.to_vec();
                    durable
                };
                let torn = &written[..written.len() / 2];
                tails.iter().flat_map(|d| [d.clone(), with(d, written), with(d, torn)]).collect()
            });
            for durable in tails {
                let (names, journal, pending) = (names.clone(), Vec::new(), BTreeMap::new());
                outcomes.push(Self { names, journal, durable, pending });
            }
        }
        outcomes
    }

    pub fn pending(&self) -> usize {
        self.journal.len() + self.pending.len()
    }

    /// The bytes of a file as they are seen now.
    pub fn file(&self, path: &Path) -> Option<Vec<u8>> {
        match self.now().get(path)? {
            Node::File(file) => Some(self.bytes(*file).clone()),
            Node::Directory => None,
        }
    }

    /// Everything that can be reached by a name now.
    pub fn all(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let reach = |(path, node): (PathBuf, Node)| match node {
            Node::File(file) => (path, self.bytes(file).clone()),
            Node::Directory => (path, Vec::new()),
        };
        self.now().into_iter().map(reach).collect()
    }

    /// Puts a file there for good, as a renter does.
    pub fn put(&mut self, path: &Path, bytes: &[u8]) {
        self.durable.push(bytes.to_vec());
        let put = Change::Put(path.to_owned(), Node::File(self.durable.len() - 1));
        self.journal.push(put);
        self.names = self.now();
        self.journal.clear();
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Machine {
    fn file_at(&self, path: &Path) -> Option<usize> {
        match self.state().tree.now().get(path) {
            Some(Node::File(file)) => Some(*file),
            Some(Node::Directory) | None => None,
        }
    }
}

impl Tree for Machine {
    fn read(&self, path: &Path, _: u64) -> io::Result<Option<Vec<u8>>> {
        self.look(|state| state.tree.file(path))
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.op(|state| {
            let names = state.tree.now();
            if names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.tree.durable.push(Vec::new());
            let file = state.tree.durable.len() - 1;
            state.changes += 1;
            state.tree.pending.insert(file, bytes.to_vec());
            state.tree.journal.push(Change::Put(path.to_owned(), Node::File(file)));
            Ok(())
        })
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = self.file_at(path).ok_or_else(missing)?;
        self.op(|state| {
            state.changes += 1;
            state.tree.pending.insert(file, bytes.to_vec());
            Ok(())
        })
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let file = self.file_at(path).ok_or_else(missing)?;
        Self::sync(self, |state| {
            if let Some(bytes) = state.tree.pending.remove(&file) {
                state.tree.durable[file] = bytes;
            }
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        Self::sync(self, |state| {
            let tree = &mut state.tree;
            let end = tree.journal.iter().rposition(|change| change.touches(path)).map_or(0, |last| last + 1);
            for change in tree.journal.drain(..end).collect::<Vec<_>>() {
                change.apply(&mut tree.names);
            }
        })
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<_> = {
            let names = self.state().tree.now();
            path.ancestors()
                .filter(|p| p.parent().is_some() && !names.contains_key(*p))
                .map(Path::to_owned)
                .collect()
        };
        for path in missing.into_iter().rev() {
            self.op(|state| {
                state.changes += 1;
                state.tree.journal.push(Change::Put(path, Node::Directory));
                Ok(())
            })?;
        }
        Ok(())
    }

    fn list(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<Entry>>> {
        self.look(|state| {
            let names = state.tree.now();
            if !names.contains_key(path) {
                return None;
            }
            let within = names.iter().filter(|(name, _)| name.parent() == Some(path)).take(limit);
            let entry = |(name, node): (&PathBuf, &Node)| Entry {
                path: name.clone(),
                is_directory: *node == Node::Directory,
                bytes: if let Node::File(file) = node { state.tree.bytes(*file).len() as u64 } else { 0 },
            };
            Some(within.map(entry).collect())
        })
    }

    fn unlock(&self, _: &Path) -> io::Result<()> {
        self.op(|_| Ok(()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.op(|state| {
            if !state.tree.now().contains_key(from) {
                return Err(missing());
            }
            state.changes += 1;
            state.tree.journal.push(Change::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<bool> {
        self.op(|state| {
            let there = state.tree.now().contains_key(path);
            if there {
                state.changes += 1;
                state.tree.journal.push(Change::Remove(path.to_owned()));
            }
            Ok(there)
        })
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.op(|state| {
            let names = state.tree.now();
            assert!(!names.keys().any(|name| name.parent() == Some(path)), "{} is not empty", path.display());
            state.changes += 1;
            state.tree.journal.push(Change::Remove(path.to_owned()));
            Ok(())
        })
    }
}
