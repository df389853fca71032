//! A reported problem, with the path of evidence that leads to it.

use std::ops::Range;

use serde::Serialize;

use crate::facts::View;
use crate::syntax::NodeId;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth a look; never makes the exit code 1 by itself in tools that tell the two apart.
    Note,
    /// Hurts under load or failure.
    Warning,
    /// Makes an outage worse as soon as there is one.
    Error,
}

impl Level {
    /// The word used in every output format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// A place in a file. Lines and columns count from 1; columns count bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Path as it was given, with `/` between components.
    pub path: String,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// Column behind the last character.
    pub end_column: u32,
    #[serde(skip)]
    pub(crate) bytes: Range<usize>,
}

/// A further place that belongs to the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is seen there.
    pub label: String,
}

/// Replacement of one range of the finding's own file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edit {
    #[serde(skip)]
    pub(crate) bytes: Range<usize>,
    /// First line replaced.
    pub line: u32,
    /// Text put in its place.
    pub replacement: String,
}

/// A change that removes the finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What the change does, in a few words.
    pub title: String,
    /// Whether the program behaves differently afterwards: applied only when asked for.
    pub changes_behaviour: bool,
    /// Non-overlapping replacements.
    pub edits: Vec<Edit>,
}

/// One reported problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `EK101`.
    pub code: &'static str,
    /// `retry-without-jitter`.
    pub name: &'static str,
    /// How bad it is.
    pub level: Level,
    /// One sentence: what, and where the evidence is.
    pub message: String,
    /// The place that is underlined.
    #[serde(flatten)]
    pub place: Place,
    /// What is said at the underline.
    pub label: String,
    /// The rest of the evidence: the loop, the operation, the helper.
    pub related: Vec<Related>,
    /// What to do.
    pub help: String,
    /// Function the finding is in.
    pub function: String,
    /// Further rules that would report the same loop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<&'static str>,
    /// A change that removes it, where one can be made without guessing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// Same for the same defect after unrelated edits: code, path, function and normalised text.
    pub fingerprint: String,
}

impl Finding {
    /// Starts a finding at `node`.
    pub(crate) fn at(view: &View<'_>, node: NodeId, message: String) -> Self {
        let function = view.function_summary(node).map_or_else(String::new, |s| {
            if s.receiver.is_empty() {
                s.name.clone()
            } else {
                format!("{}.{}", s.receiver, s.name)
            }
        });
        let text = view.tree.text_of(node);
        let squeezed: String = text.split_whitespace().collect();
        Finding {
            code: "",
            name: "",
            level: Level::Warning,
            message,
            place: place(view, node),
            label: String::new(),
            related: Vec::new(),
            help: String::new(),
            fingerprint: squeezed,
            function,
            also: Vec::new(),
            fix: None,
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    pub(crate) fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    pub(crate) fn related(
        mut self,
        view: &View<'_>,
        node: NodeId,
        label: impl Into<String>,
    ) -> Self {
        let place = head_place(view, node);
        if place.line != self.place.line {
            self.related.push(Related {
                place,
                label: label.into(),
            });
        }
        self
    }

    /// Seals the fingerprint: what was kept as text becomes a hash over everything that stays the
    /// same when lines move.
    pub(crate) fn seal(&mut self, occurrence: usize) {
        let text = format!(
            "{}|{}|{}|{}|{occurrence}",
            self.code, self.place.path, self.function, self.fingerprint
        );
        self.fingerprint = format!("{:016x}", fnv1a(text.as_bytes()));
    }
}

/// FNV-1a, 64 bits: stable across versions and machines, which the standard hashers do not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The place of a node.
pub(crate) fn place(view: &View<'_>, node: NodeId) -> Place {
    let node = view.tree.get(node);
    bytes_place(view, node.start as usize..node.end as usize)
}

/// The first line of a node: the head of a loop, not its body.
pub(crate) fn head_place(view: &View<'_>, node: NodeId) -> Place {
    let node = view.tree.get(node);
    let text = &view.tree.text[node.start as usize..node.end as usize];
    let head = text.find('\n').unwrap_or(text.len());
    let head = text[..head].trim_end().len();
    bytes_place(view, node.start as usize..node.start as usize + head)
}

pub(crate) fn bytes_place(view: &View<'_>, bytes: Range<usize>) -> Place {
    let (line, column) = view.lines.position(bytes.start as u32);
    let (end_line, end_column) = view.lines.position(bytes.end as u32);
    Place {
        path: view.path.to_owned(),
        line,
        column,
        end_line,
        end_column,
        bytes,
    }
}
