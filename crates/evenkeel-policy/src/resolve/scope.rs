//! A place in the file, and everything that is noted about it.

use std::cell::RefCell;
use std::fmt::Display;
use std::time;

use crate::explain::{Origin, Setting};
use crate::finding::{Error, Finding, Problem, Warning};
use crate::path::Path;
use crate::source::Source;
use crate::spec::{Duration, Ratio};
use crate::tree::{Node, Value};

/// What comes to light while a policy is resolved.
pub(crate) struct Notes<'t> {
    source: &'t Source,
    tree: &'t Node,
    errors: RefCell<Vec<Error>>,
    warnings: RefCell<Vec<Warning>>,
    settings: RefCell<Vec<Setting>>,
}

impl<'t> Notes<'t> {
    pub(crate) fn new(source: &'t Source, tree: &'t Node) -> Self {
        Self {
            source,
            tree,
            errors: RefCell::default(),
            warnings: RefCell::default(),
            settings: RefCell::default(),
        }
    }

    pub(crate) fn root(&'t self) -> Scope<'t> {
        Scope {
            notes: self,
            path: Path::root(),
        }
    }

    pub(crate) fn into_parts(self) -> (Vec<Error>, Vec<Warning>, Vec<Setting>) {
        (
            self.errors.into_inner(),
            self.warnings.into_inner(),
            self.settings.into_inner(),
        )
    }
}

/// A place in the file.
#[derive(Clone)]
pub(crate) struct Scope<'t> {
    notes: &'t Notes<'t>,
    path: Path,
}

impl<'t> Scope<'t> {
    pub(crate) fn at(&self, key: &str) -> Self {
        Self {
            notes: self.notes,
            path: self.path.key(key),
        }
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        Self {
            notes: self.notes,
            path: self.path.index(index),
        }
    }

    /// Whether anything is written here, right or wrong.
    pub(crate) fn is_written(&self) -> bool {
        self.notes.tree.at(&self.path).is_some()
    }

    /// Whether an empty mapping or list is written here, or nothing at all. What was found wrong before is
    /// not empty.
    pub(crate) fn is_empty(&self) -> bool {
        match self.notes.tree.at(&self.path).map(|node| &node.value) {
            _ if self.is_struck() => false,
            Some(Value::Map(map)) => map.entries().is_empty(),
            Some(Value::List(items)) => items.is_empty(),
            Some(_) => false,
            None => true,
        }
    }

    /// Whether a list is written here.
    pub(crate) fn is_list(&self) -> bool {
        matches!(
            self.notes.tree.at(&self.path).map(|node| &node.value),
            Some(Value::List(_))
        )
    }

    /// Whether what is written here was found wrong before.
    pub(crate) fn is_struck(&self) -> bool {
        self.notes
            .tree
            .at(&self.path)
            .is_some_and(|node| node.struck)
    }

    /// The document.
    pub(crate) fn root(&self) -> Self {
        self.notes.root()
    }

    /// The name of the setting at this place.
    pub(crate) fn name(&self) -> &str {
        self.path.name().unwrap_or_default()
    }

    /// The line of what is written here or, where nothing is, of what is around it.
    pub(crate) fn line(&self) -> usize {
        let span = self.notes.tree.span_of(&self.path);
        self.notes.source.line_of(span.start)
    }

    fn finding(&self, problem: Problem) -> Finding {
        let span = self.notes.tree.span_of(&self.path);
        problem.at(self.notes.source, span, self.path.clone())
    }

    pub(crate) fn error(&self, problem: Problem) {
        self.notes
            .errors
            .borrow_mut()
            .push(Error::new(self.finding(problem)));
    }

    /// An error about the key that stands here, not its value.
    pub(crate) fn key_error(&self, problem: Problem) {
        let tree = self.notes.tree;
        let span = tree
            .key_span_of(&self.path)
            .unwrap_or_else(|| tree.span_of(&self.path));
        let finding = problem.at(self.notes.source, span, self.path.clone());
        self.notes.errors.borrow_mut().push(Error::new(finding));
    }

    pub(crate) fn warning(&self, problem: Problem) {
        self.notes
            .warnings
            .borrow_mut()
            .push(Warning::new(self.finding(problem)));
    }

    /// Notes the value that holds here, for `--explain`.
    pub(crate) fn note(&self, value: impl Display, origin: Origin) {
        let setting = Setting {
            path: self.path.clone(),
            value: value.to_string(),
            origin,
        };
        self.notes.settings.borrow_mut().push(setting);
    }

    /// Notes that the section here is absent, and so off.
    pub(crate) fn note_off(&self) {
        if !self.is_written() {
            self.note("off", Origin::Default(None));
        }
    }

    /// The value at `key`: as written, or else `default`.
    pub(crate) fn read<T: Display>(
        &self,
        key: &str,
        written: Option<T>,
        default: T,
    ) -> Read<'t, T> {
        self.read_or(key, written, default, Origin::Default(None))
    }

    /// The value at `key`: as written, or else `default`, which comes from `origin`.
    pub(crate) fn read_or<T: Display>(
        &self,
        key: &str,
        written: Option<T>,
        default: T,
        origin: Origin,
    ) -> Read<'t, T> {
        let scope = self.at(key);
        let is_written = scope.is_written();
        // Written, and yet not here: it was found wrong before, and was reported then.
        let sound = written.is_some() || !is_written;
        let value = written.unwrap_or(default);
        let origin = if is_written {
            Origin::Written { line: scope.line() }
        } else {
            origin
        };
        scope.note(&value, origin);
        Read {
            value,
            scope,
            written: is_written,
            sound,
        }
    }

    /// The value at `key`, which has no default.
    pub(crate) fn required<T: Display>(
        &self,
        key: &str,
        written: Option<T>,
        why: &str,
        help: &str,
    ) -> Option<T> {
        let scope = self.at(key);
        match &written {
            Some(value) => scope.note(value, Origin::Written { line: scope.line() }),
            None if scope.is_written() => {}
            None => scope.error(Problem::new(format!("`{key}` is missing"), why, help)),
        }
        written
    }
}

/// A value that was read, with its place.
pub(crate) struct Read<'t, T> {
    pub(crate) value: T,
    pub(crate) scope: Scope<'t>,
    /// It stands in the file; else it is a default.
    pub(crate) written: bool,
    /// Nothing is known to be wrong with it, so that it may be compared with others.
    pub(crate) sound: bool,
}

impl<T> Read<'_, T> {
    /// Holds the value to a rule. A value that breaks it is reported once and then compared with nothing.
    pub(crate) fn check(
        mut self,
        holds: impl FnOnce(&T) -> bool,
        problem: impl FnOnce(&T) -> Problem,
    ) -> Self {
        if self.sound && !holds(&self.value) {
            self.scope.error(problem(&self.value));
            self.sound = false;
        }
        self
    }
}

impl Read<'_, Duration> {
    pub(crate) const fn get(&self) -> time::Duration {
        self.value.0
    }

    /// More than nothing.
    pub(crate) fn positive(self, why: &str) -> Self {
        let name = self.scope.name().to_owned();
        self.check(
            |value| !value.0.is_zero(),
            |_| {
                Problem::new(
                    format!("`{name}` must be more than zero"),
                    why,
                    "write at least `1ms`",
                )
            },
        )
    }

    /// A window that is kept in ten slices, none shorter than a millisecond.
    pub(crate) fn window(self) -> Self {
        const SHORTEST: time::Duration = time::Duration::from_millis(10);
        let name = self.scope.name().to_owned();
        self.check(
            |value| value.0 >= SHORTEST,
            |value| {
                Problem::new(
                    format!("`{name}` is too short"),
                    format!("it is kept in ten slices, and a tenth of {value} is under 1ms"),
                    "write at least `10ms`; seconds are usual",
                )
            },
        )
    }
}

impl Read<'_, Ratio> {
    pub(crate) const fn get(&self) -> evenkeel_core::ratio::Ratio {
        self.value.0
    }

    /// A share of a whole.
    pub(crate) fn share(self) -> Self {
        let name = self.scope.name().to_owned();
        self.check(
            |value| value.0 <= evenkeel_core::ratio::Ratio::ONE,
            |value| {
                Problem::new(
                    format!("`{name}` is a share, and {value} is more than the whole"),
                    "shares are from 0 to 1",
                    "write a number such as `0.2`, which is 20 %",
                )
            },
        )
    }
}

impl Read<'_, crate::spec::Count> {
    pub(crate) const fn get(&self) -> u32 {
        self.value.0
    }

    /// A number of things of which there is at least one.
    pub(crate) fn at_least_one(self, why: &str) -> Self {
        let name = self.scope.name().to_owned();
        self.check(
            |value| value.0 >= 1,
            |_| {
                Problem::new(
                    format!("`{name}` must be at least 1"),
                    why,
                    "write 1 or more",
                )
            },
        )
    }

    /// A number within bounds.
    pub(crate) fn within(self, least: u32, most: u32, why: &str) -> Self {
        let name = self.scope.name().to_owned();
        self.check(
            |value| (least..=most).contains(&value.0),
            |value| {
                Problem::new(
                    format!("`{name}` is {value}, and must be from {least} to {most}"),
                    why,
                    format!("write a number from {least} to {most}"),
                )
            },
        )
    }

    /// The number as a byte; numbers that do not fit were refused by [`Self::within`].
    pub(crate) fn byte(&self) -> u8 {
        u8::try_from(self.value.0).unwrap_or(u8::MAX)
    }
}
