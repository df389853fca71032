//! The functions of each package, by name: how a rule looks one step through a helper.

use rustc_hash::FxHashMap;

use crate::facts::summary::{Callers, call_key};
use crate::facts::{Summary, Traits};
use crate::rules::LockPair;

/// What outlives a file's tree.
#[derive(Debug, Default)]
pub(crate) struct FileFacts {
    pub(crate) path: String,
    pub(crate) package: String,
    pub(crate) summaries: Vec<Summary>,
    pub(crate) lock_pairs: Vec<LockPair>,
    /// Fields and variables that a `close` is called on.
    pub(crate) closed: Vec<String>,
    pub(crate) callers: Callers,
}

/// All functions of all packages looked at.
#[derive(Debug, Default)]
pub(crate) struct Index {
    files: Vec<FileFacts>,
    by_name: FxHashMap<(String, String), Vec<(u32, u32)>>,
}

impl Index {
    pub(crate) fn new(files: Vec<FileFacts>) -> Self {
        let mut by_name: FxHashMap<(String, String), Vec<(u32, u32)>> = FxHashMap::default();
        for (file, facts) in files.iter().enumerate() {
            for (at, summary) in facts.summaries.iter().enumerate() {
                by_name
                    .entry((facts.package.clone(), summary.name.clone()))
                    .or_default()
                    .push((file as u32, at as u32));
            }
        }
        Index { files, by_name }
    }

    /// Functions of `package` called `name`, with the path of their file.
    pub(crate) fn named<'a>(
        &'a self,
        package: &str,
        name: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Summary)> + use<'a> {
        let found = self.by_name.get(&(package.to_owned(), name.to_owned()));
        found.into_iter().flatten().filter_map(|&(file, at)| {
            let file = self.files.get(file as usize)?;
            Some((file.path.as_str(), file.summaries.get(at as usize)?))
        })
    }

    /// Whether a function of this name has one of `traits`: `None` when there is no such function.
    pub(crate) fn has(&self, package: &str, name: &str, traits: Traits) -> Option<bool> {
        let mut known = None;
        for (_, summary) in self.named(package, name) {
            if summary.traits.has(traits) {
                return Some(true);
            }
            known = Some(false);
        }
        known
    }

    /// Whether some caller in the package drops the future of a function of this name when
    /// something else is done first.
    pub(crate) fn is_raced(&self, package: &str, name: &str) -> bool {
        let key = call_key(name);
        self.files_of(package)
            .any(|f| f.callers.raced.binary_search(&key).is_ok())
    }

    /// Whether some caller in the package starts a function of this name as a goroutine.
    pub(crate) fn is_spawned(&self, package: &str, name: &str) -> bool {
        let key = call_key(name);
        self.files_of(package)
            .any(|f| f.callers.spawned.binary_search(&key).is_ok())
    }

    pub(crate) fn files_of<'a>(&'a self, package: &'a str) -> impl Iterator<Item = &'a FileFacts> {
        self.files.iter().filter(move |f| f.package == package)
    }
}

/// The package a file belongs to: its directory for Go, its crate for Rust.
pub(crate) fn package_of(path: &str) -> String {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    if path.ends_with(".rs") {
        if let Some(at) = format!("/{path}").rfind("/src/") {
            return format!("{}#rust", &path[..at.min(path.len())]);
        }
        return format!("{directory}#rust");
    }
    directory.to_owned()
}
