//! A document that is not a policy file and is read with the same strictness.
//!
//! Other files of evenkeel contain policies, scenarios above all, and their authors deserve the errors
//! that a policy's author gets: all at once, each with its line and the way out. A [`Document`] is such a
//! file on its way in: parsed, perhaps changed at a few paths, then decoded into its written form.

use serde::de::DeserializeOwned;

use crate::Policy;
use crate::decode::decode;
use crate::finding::{Error, Invalid, LoadError, Problem};
use crate::path::{Path, Step};
use crate::resolve;
use crate::resolve::scope::Notes;
use crate::source::Source;
use crate::spec;
use crate::tree::{Entry, Map, Node, Value};
use crate::yaml;

/// A parsed file, before anything is known about its shape.
#[derive(Debug, Clone)]
pub struct Document {
    source: Source,
    tree: Node,
}

/// What is wrong at one place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting, as [`Document::set`] takes it.
    pub path: String,
    /// What is so, in one line.
    pub what: String,
    /// Why that matters.
    pub why: String,
    /// The way out.
    pub help: String,
}

impl Document {
    /// Reads a document from its text; `name` stands for it in messages.
    ///
    /// # Errors
    /// The text is not YAML, is too large, or writes a key twice.
    pub fn parse(name: &str, text: &str) -> Result<Self, LoadError> {
        let source = Source::new(name, text);
        match yaml::read(&source) {
            Ok((tree, repeated)) if repeated.is_empty() => Ok(Self { source, tree }),
            Ok((_, repeated)) => {
                let errors = repeated
                    .into_iter()
                    .map(|one| Error::new(one.at(&source)))
                    .collect();
                Err(Self::invalid(source, errors))
            }
            Err(refusal) => {
                let errors = vec![Error::new(refusal.at(&source))];
                Err(Self::invalid(source, errors))
            }
        }
    }

    /// Takes the section at the top that is called `key` out of the document; none: it is not written.
    pub fn take(&mut self, key: &str) -> Option<Section> {
        let node = self.tree.entry(key)?.node.clone();
        let path = Path::root().key(key);
        change(&mut self.tree, path.steps(), None);
        Some(Section { node })
    }

    /// Puts a value, written as YAML, at a path such as `clients.web.count` or `faults[0].from`; what
    /// is not there is made.
    ///
    /// # Errors
    /// The path or the value cannot be read, or the path leads through something that has no keys.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), String> {
        let source = Source::new("value", value);
        let (node, _) = yaml::read(&source)
            .map_err(|refusal| format!("{value:?} is no YAML: {}", refusal.problem.why))?;
        // Its bytes are not the file's: what is wrong with it is shown at the document's beginning.
        self.put(path, Some(&relocated(node)))
    }

    /// Makes the changes of a section: a mapping from paths to values, null removing what is there.
    ///
    /// # Errors
    /// As [`Document::set`].
    pub fn apply(&mut self, changes: &Section) -> Result<(), String> {
        for (path, value) in changes.entries() {
            let removes = matches!(value.node.value, Value::Null);
            self.put(path, (!removes).then_some(&value.node))?;
        }
        Ok(())
    }

    fn put(&mut self, path: &str, value: Option<&Node>) -> Result<(), String> {
        let parsed = parse_path(path)?;
        if change(&mut self.tree, parsed.steps(), value) {
            return Ok(());
        }
        Err(format!(
            "`{path}` leads through something that has no such part"
        ))
    }

    /// The document in its written form.
    ///
    /// # Errors
    /// It has another shape: everything that is wrong, at once.
    pub fn decode<T: DeserializeOwned + Default>(&self) -> Result<T, LoadError> {
        let mut tree = self.tree.clone();
        let (decoded, wrong) = decode::<T>(&mut tree, &self.source);
        if wrong.is_empty() {
            return Ok(decoded);
        }
        let errors = wrong.into_iter().map(Error::new).collect();
        Err(Self::invalid(self.source.clone(), errors))
    }

    /// The policy that is written at `key`, in the syntax of the policy file.
    ///
    /// # Errors
    /// As for a policy file, with the lines of this one.
    pub fn policy(&self, key: &str, written: &spec::Policy) -> Result<Policy, LoadError> {
        let notes = Notes::new(&self.source, &self.tree);
        let policy = resolve::policy(&notes.root().at(key), written);
        let (errors, warnings, _) = notes.into_parts();
        match policy {
            Some(policy) if errors.is_empty() => Ok(policy),
            _ => Err(LoadError::Invalid(Invalid {
                source: self.source.clone(),
                errors,
                warnings,
            })),
        }
    }

    /// The error that says what is wrong where.
    #[must_use]
    pub fn refuse(&self, faults: Vec<Fault>) -> LoadError {
        let error = |fault: Fault| {
            let path = parse_path(&fault.path).unwrap_or_default();
            let span = self.tree.span_of(&path);
            Error::new(Problem::new(fault.what, fault.why, fault.help).at(&self.source, span, path))
        };
        Self::invalid(self.source.clone(), faults.into_iter().map(error).collect())
    }

    fn invalid(source: Source, mut errors: Vec<Error>) -> LoadError {
        errors.sort_by(|a, b| a.finding().order().cmp(&b.finding().order()));
        errors.dedup_by(|a, b| a.finding().order() == b.finding().order());
        LoadError::Invalid(Invalid {
            source,
            errors,
            warnings: Vec::new(),
        })
    }
}

/// A part of a document whose keys are its author's choice.
#[derive(Debug, Clone)]
pub struct Section {
    node: Node,
}

impl Section {
    /// Its entries, in the order written; none if it is not a mapping.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Self)> {
        let entries = match &self.node.value {
            Value::Map(map) => map.entries(),
            _ => &[],
        };
        entries.iter().map(|entry| {
            (
                entry.key.as_str(),
                Self {
                    node: entry.node.clone(),
                },
            )
        })
    }

    /// Its items, in the order written; none if it is not a list.
    pub fn items(&self) -> impl Iterator<Item = Self> {
        let items = match &self.node.value {
            Value::List(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(|node| Self { node: node.clone() })
    }

    /// The part called `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        self.node.entry(key).map(|entry| Self {
            node: entry.node.clone(),
        })
    }

    /// The number it is.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self.node.value {
            Value::Unsigned(number) => Some(number as f64),
            Value::Signed(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        }
    }

    /// The text it is, numbers included.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            _ => self.number().map(|number| number.to_string()),
        }
    }
}

fn parse_path(text: &str) -> Result<Path, String> {
    let mut path = Path::root();
    for part in text.split('.') {
        let (key, indices) = part.split_once('[').unwrap_or((part, ""));
        if key.is_empty() {
            return Err(format!(
                "{text:?} is not a path: write it like `clients.web.count`"
            ));
        }
        path = path.key(key);
        for index in indices.split('[').filter(|index| !index.is_empty()) {
            let number = index
                .strip_suffix(']')
                .and_then(|number| number.parse().ok());
            path = path.index(number.ok_or_else(|| {
                format!("{text:?} is not a path: a place in a list is written `[0]`")
            })?);
        }
    }
    Ok(path)
}

/// Puts `value` at the end of `steps`, or removes what is there; false if there is no way there.
fn change(node: &mut Node, steps: &[Step], value: Option<&Node>) -> bool {
    let Some((first, rest)) = steps.split_first() else {
        if let Some(value) = value {
            *node = value.clone();
        }
        return true;
    };
    match (first, &mut node.value) {
        (Step::Index(index), Value::List(items)) => match items.get_mut(*index) {
            Some(item) => change(item, rest, value),
            None => false,
        },
        (Step::Key(key), Value::Map(map)) => {
            let mut entries = map.entries().to_vec();
            let place = entries.iter().position(|entry| entry.key == *key);
            let done = match (place, value) {
                (Some(place), None) if rest.is_empty() => {
                    entries.remove(place);
                    true
                }
                (Some(place), _) => change(&mut entries[place].node, rest, value),
                (None, None) => true,
                (None, Some(value)) => {
                    let span = node.span.clone();
                    let empty = Value::Map(Map::new(Vec::new()));
                    let mut made = Node {
                        value: empty,
                        span: span.clone(),
                        struck: false,
                    };
                    let done = change(&mut made, rest, Some(value));
                    let key_span = span.start..span.start;
                    entries.push(Entry {
                        key: key.clone(),
                        key_span,
                        node: made,
                    });
                    done
                }
            };
            *map = Map::new(entries);
            done
        }
        _ => false,
    }
}

/// The same value, with its bytes at the beginning of whatever document it is put into.
fn relocated(mut node: Node) -> Node {
    node.span = 0..0;
    node.value = match node.value {
        Value::List(items) => Value::List(items.into_iter().map(relocated).collect()),
        Value::Map(map) => {
            let moved = map.entries().iter().map(|entry| Entry {
                key: entry.key.clone(),
                key_span: 0..0,
                node: relocated(entry.node.clone()),
            });
            Value::Map(Map::new(moved.collect()))
        }
        scalar => scalar,
    };
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(document: &Document) -> String {
        let wrong = document.decode::<Vec<u8>>().unwrap_err().to_string();
        wrong.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_value_is_put_where_its_path_leads() {
        let mut document = Document::parse("x", "a: { b: [1, 2] }\nc: 3\n").unwrap();
        document.set("a.b[1]", "9").unwrap();
        document.set("d.e", "{ f: 1 }").unwrap();
        let section = |document: &Document, key: &str| document.clone().take(key).unwrap();
        let numbers: Vec<_> = section(&document, "a")
            .get("b")
            .unwrap()
            .items()
            .filter_map(|item| item.number())
            .collect();
        assert_eq!(numbers, [1.0, 9.0]);
        assert!(section(&document, "d").get("e").unwrap().get("f").is_some());
        assert!(
            document
                .set("c.x", "1")
                .unwrap_err()
                .contains("no such part")
        );
        assert!(document.set("a.b[7]", "1").is_err());
        assert!(
            document
                .set("a..b", "1")
                .unwrap_err()
                .contains("not a path")
        );
    }

    #[test]
    fn what_a_null_stands_for_is_removed() {
        let mut document =
            Document::parse("x", "a: { b: 1, c: 2 }\nchanges: { a.b: ~ }\n").unwrap();
        let changes = document.take("changes").unwrap();
        document.apply(&changes).unwrap();
        let left = document.clone().take("a").unwrap();
        assert!(left.get("b").is_none() && left.get("c").is_some());
        assert!(document.take("changes").is_none());
        assert!(!written(&document).is_empty());
    }
}
