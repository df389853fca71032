//! The document as it was written: values, and where each of them stands.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::path::{Path, Step};

/// One value of the document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Its bytes in the text. For a block mapping or sequence: the place of its first entry, empty.
    pub(crate) span: Range<usize>,
    /// Found wrong and reported: whoever reads the document is not shown it.
    pub(crate) struck: bool,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// A mapping, in the order written.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    entries: Vec<Entry>,
    /// Where in `entries` a key stands: a file may have thousands of them under one key.
    by_key: BTreeMap<String, usize>,
}

impl Map {
    /// The entries, of which no two have the same key.
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        let keys = entries.iter().map(|entry| entry.key.clone());
        let by_key = keys.enumerate().map(|(at, key)| (key, at)).collect();
        Self { entries, by_key }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// One line of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(map) => map.entries.get(*map.by_key.get(key)?),
            _ => None,
        }
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match (step, &self.value) {
            (Step::Key(key), _) => self.entry(key).map(|entry| &entry.node),
            (Step::Index(index), Value::List(items)) => items.get(*index),
            (Step::Index(_), _) => None,
        }
    }

    /// The value that `path` leads to, struck or not.
    pub(crate) fn at(&self, path: &Path) -> Option<&Self> {
        path.steps().iter().try_fold(self, Self::step)
    }

    /// Hides the value that `path` leads to. An item of a list takes its list with it, so that the
    /// positions of the others do not shift.
    pub(crate) fn strike(&mut self, path: &Path) {
        let mut steps = path.steps();
        while let Some((Step::Index(_), rest)) = steps.split_last() {
            steps = rest;
        }
        let mut node = self;
        for step in steps {
            let next = match (step, &mut node.value) {
                (Step::Key(key), Value::Map(map)) => {
                    let at = map.by_key.get(key);
                    at.and_then(|at| map.entries.get_mut(*at))
                        .map(|entry| &mut entry.node)
                }
                (Step::Index(index), Value::List(items)) => items.get_mut(*index),
                _ => None,
            };
            let Some(next) = next else { return };
            node = next;
        }
        node.struck = true;
    }

    /// The bytes to show for `path`: the scalar itself; for a mapping or list, the key it stands under;
    /// for what is not written, the nearest thing around it that is.
    pub(crate) fn span_of(&self, path: &Path) -> Range<usize> {
        let mut shown = self.span.clone();
        let mut node = self;
        for step in path.steps() {
            let (next, key_span) = match step {
                Step::Key(key) => match node.entry(key) {
                    Some(entry) => (&entry.node, Some(entry.key_span.clone())),
                    None => return shown,
                },
                Step::Index(_) => match node.step(step) {
                    Some(item) => (item, None),
                    None => return shown,
                },
            };
            shown = match (&next.value, key_span) {
                (Value::Map(_) | Value::List(_) | Value::Null, Some(key_span)) => key_span,
                _ => next.span.clone(),
            };
            node = next;
        }
        shown
    }

    /// The bytes of the key at the end of `path`, where it ends with one that is written.
    pub(crate) fn key_span_of(&self, path: &Path) -> Option<Range<usize>> {
        let parent = self.at(&path.parent()?)?;
        match path.steps().last()? {
            Step::Key(key) => parent.entry(key).map(|entry| entry.key_span.clone()),
            Step::Index(_) => None,
        }
    }
}
