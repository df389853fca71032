//! What the rules need to know of a file, taken in one pass.
//!
//! A [`View`] is one parsed file with its names resolved as far as imports allow, its test code
//! marked, and its loops judged ([`loops`]). A [`Summary`] is what a caller needs to know of a
//! function: it outlives the file's tree, so that a helper in another file of the package can be
//! looked through, one level deep.

mod bound;
pub(crate) mod context;
pub(crate) mod delay;
pub(crate) mod flow;
pub(crate) mod library;
pub(crate) mod loops;
pub(crate) mod summary;
mod wait;
pub(crate) mod words;

use std::ops::Range;

use rustc_hash::FxHashMap;

use self::words::has_word;
use crate::source::{Language, Lines, Setting, setting};
use crate::syntax::{Kind, NodeId, Role, Tree};

pub(crate) use loops::{LoopFacts, LoopKind};
pub(crate) use summary::{Summary, Traits};

/// A parsed file, ready for the rules.
pub(crate) struct View<'t> {
    pub(crate) tree: &'t Tree<'t>,
    pub(crate) path: &'t str,
    pub(crate) setting: Setting,
    pub(crate) lines: Lines,
    /// Go: name in this file -> import path. Rust: name -> full path.
    imports: FxHashMap<String, String>,
    /// Node ranges under `#[cfg(test)]` and `#[test]`.
    tests: Vec<Range<NodeId>>,
    /// Names bound once at file level: constants.
    constants: FxHashMap<&'t str, NodeId>,
    /// Summaries of this file's functions, in order.
    pub(crate) summaries: Vec<Summary>,
    pub(crate) loops: Vec<LoopFacts>,
    /// `package main` or a Rust binary's root.
    pub(crate) is_program: bool,
}

impl<'t> View<'t> {
    pub(crate) fn new(tree: &'t Tree<'t>, path: &'t str) -> Self {
        let mut view = View {
            tree,
            path,
            setting: setting(path),
            lines: Lines::new(tree.text),
            imports: FxHashMap::default(),
            tests: Vec::new(),
            constants: FxHashMap::default(),
            summaries: Vec::new(),
            loops: Vec::new(),
            is_program: tree.language == Language::Go
                && tree
                    .text
                    .lines()
                    .any(|line| line.trim_end() == "package main"),
        };
        view.resolve_names();
        if tree.language == Language::Go && view.import("testing") == Some("testing") {
            view.setting = Setting::Test;
        }
        view.summaries = summary::summarise(&view);
        view.loops = loops::judge(&view);
        summary::note_loops(&mut view);
        view
    }

    fn resolve_names(&mut self) {
        let tree = self.tree;
        for id in 0..tree.len() {
            match tree.kind(id) {
                Kind::Import if tree.language == Language::Go => {
                    let text = tree.text_of(id);
                    let Some(quote) = text.find(['"', '`']) else {
                        continue;
                    };
                    let import = text[quote..].trim_matches(['"', '`']);
                    let alias = text[..quote].trim();
                    let name = if alias.is_empty() {
                        go_package_name(import)
                    } else {
                        alias
                    };
                    self.imports.insert(name.to_owned(), import.to_owned());
                }
                Kind::Import => use_names(
                    tree.text_of(id)
                        .trim_start_matches("pub ")
                        .trim_start_matches("use ")
                        .trim_end_matches(';'),
                    "",
                    &mut self.imports,
                ),
                Kind::Constant => {
                    if let (Some(name), Some(value)) =
                        (tree.child(id, Role::Name), tree.child(id, Role::Value))
                    {
                        self.constants.insert(tree.text_of(name), value);
                    }
                }
                Kind::Attribute => {
                    let text = tree.text_of(id);
                    if text.contains("cfg(")
                        && has_word(text, &["test"])
                        && !text.contains("not(test")
                        || is_test_attribute(text)
                    {
                        let item = tree.end(id);
                        let item = (item..tree.len())
                            .take_while(|&n| tree.parent(n) == tree.parent(id) || n == item)
                            .find(|&n| tree.kind(n) != Kind::Attribute);
                        if let Some(item) = item {
                            self.tests.push(tree.subtree(item));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether this node is test code.
    pub(crate) fn is_test(&self, id: NodeId) -> bool {
        self.setting == Setting::Test || self.tests.iter().any(|range| range.contains(&id))
    }

    /// What a name stands for by the file's imports: `http` -> `net/http`, `sleep` ->
    /// `tokio::time::sleep`.
    pub(crate) fn import(&self, name: &str) -> Option<&str> {
        self.imports.get(name).map(String::as_str)
    }

    /// Whether any import starts with `prefix`.
    pub(crate) fn imports_any(&self, prefix: &str) -> bool {
        self.imports.values().any(|path| path.starts_with(prefix))
    }

    /// The value of a file-level constant.
    pub(crate) fn constant(&self, name: &str) -> Option<NodeId> {
        self.constants.get(name).copied()
    }

    /// The path a call calls, imports resolved: `net/http.Get`, `tokio::time::sleep`. Calls on
    /// values keep the value's text: `s.client.Do`.
    pub(crate) fn called(&self, call: NodeId) -> String {
        self.tree
            .callee(call)
            .map_or_else(String::new, |callee| self.path_of(callee))
    }

    /// The path of an expression, imports resolved and white space taken out.
    pub(crate) fn path_of(&self, id: NodeId) -> String {
        let text = compact(self.tree.text_of(id));
        let end = text
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(text.len());
        let (first, rest) = text.split_at(end);
        // A value and an import may share a name; a value is bound in the function.
        match self.import(first) {
            Some(path) => format!("{path}{rest}"),
            None => text,
        }
    }

    /// The summary of the named function around a node.
    pub(crate) fn function_summary(&self, id: NodeId) -> Option<&Summary> {
        let function = if self.tree.is(id, Kind::Function) {
            id
        } else {
            self.tree.enclosing_function(id)?
        };
        let at = self
            .summaries
            .binary_search_by_key(&function, |s| s.node)
            .ok()?;
        self.summaries.get(at)
    }

    /// Summaries of this file's functions called `name`.
    pub(crate) fn local(&self, name: &str) -> impl Iterator<Item = &Summary> {
        self.summaries.iter().filter(move |s| s.name == name)
    }

    /// Right-hand sides bound or assigned to `name` within `scope`.
    pub(crate) fn definitions(&self, scope: NodeId, name: &str) -> Vec<NodeId> {
        let tree = self.tree;
        let mut values = Vec::new();
        for id in tree.subtree(scope) {
            // Rust's `for` binds like a `let`, Go's range clause too.
            let binds = matches!(
                tree.kind(id),
                Kind::Let | Kind::Assign | Kind::KeyValue | Kind::Range
            ) || tree.kind(id) == Kind::Loop && tree.language == Language::Rust;
            if !binds {
                continue;
            }
            let targets: Vec<NodeId> = targets(tree, id).collect();
            let rights: Vec<NodeId> = values_of(tree, id).collect();
            for (at, &target) in targets.iter().enumerate() {
                let target_text = tree.text_of(target);
                let target_text = target_text
                    .trim_start_matches("mut ")
                    .trim_start_matches('*');
                if target_text == name
                    && let Some(&value) = rights.get(at).or(rights.first())
                {
                    values.push(value);
                }
            }
        }
        values
    }

    /// The function around `id`, or the whole file.
    pub(crate) fn scope(&self, id: NodeId) -> NodeId {
        self.tree.enclosing_function(id).unwrap_or(0)
    }
}

/// What a `let`, `:=` or `=` binds.
pub(crate) fn targets<'a>(tree: &'a Tree<'_>, id: NodeId) -> impl Iterator<Item = NodeId> + 'a {
    tree.children(id).filter(|&c| {
        matches!(
            tree.get(c).role,
            Role::Left | Role::Pattern | Role::Name | Role::Key
        )
    })
}

/// What a `let`, `:=` or `=` evaluates.
pub(crate) fn values_of<'a>(tree: &'a Tree<'_>, id: NodeId) -> impl Iterator<Item = NodeId> + 'a {
    tree.children(id)
        .filter(|&c| matches!(tree.get(c).role, Role::Right | Role::Value))
}

/// White space taken out.
pub(crate) fn compact(text: &str) -> String {
    if text.contains(char::is_whitespace) {
        text.split_whitespace().collect()
    } else {
        text.to_owned()
    }
}

/// Shortens an expression for a message.
pub(crate) fn brief(text: &str) -> String {
    let text = compact(text);
    if text.chars().count() <= 48 {
        text
    } else {
        text.chars().take(45).chain("...".chars()).collect()
    }
}

fn is_test_attribute(text: &str) -> bool {
    let text = text.trim_start_matches("#[").trim_end_matches(']');
    let name = text.split(['(', ' ']).next().unwrap_or(text);
    name == "test" || name.ends_with("::test") || name == "rstest" || name.ends_with("_test")
}

/// The name a Go package is known by when its import has no alias.
fn go_package_name(import: &str) -> &str {
    let mut parts = import.rsplit('/');
    let last = parts.next().unwrap_or(import);
    let is_version = last
        .strip_prefix('v')
        .is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()));
    let name = if is_version {
        parts.next().unwrap_or(last)
    } else {
        last
    };
    let name = name.strip_prefix("go-").unwrap_or(name);
    let name = name.strip_suffix("-go").unwrap_or(name);
    name.split(".v").next().unwrap_or(name)
}

/// Reads a `use` tree into name -> path.
fn use_names(text: &str, prefix: &str, names: &mut FxHashMap<String, String>) {
    let text = text.trim();
    if let Some(open) = text.find('{') {
        let head = text[..open].trim();
        let prefix = format!("{prefix}{head}");
        let inner = text[open + 1..].trim_end().trim_end_matches('}');
        let (mut depth, mut start) = (0usize, 0usize);
        for (at, byte) in inner.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => {
                    use_names(&inner[start..at], &prefix, names);
                    start = at + 1;
                }
                _ => {}
            }
        }
        // Only the last segment lacks its comma; its own closing brace was trimmed with ours.
        use_names(&inner[start..], &prefix, names);
        return;
    }
    let (path, alias) = match text.split_once(" as ") {
        Some((path, alias)) => (path.trim(), Some(alias.trim())),
        None => (text, None),
    };
    if path.is_empty() || path.ends_with('*') {
        return;
    }
    let full = if path == "self" {
        prefix.trim_end_matches(':').to_owned()
    } else {
        format!("{prefix}{path}")
    };
    let name = match (alias, path) {
        (Some(alias), _) => alias,
        // `a::b::{self}` brings `b` into scope.
        (None, "self") => full.rsplit(':').next().unwrap_or(&full),
        (None, path) => path.rsplit(':').next().unwrap_or(path),
    };
    if full != name {
        names.insert(name.to_owned(), full.clone());
    }
}
