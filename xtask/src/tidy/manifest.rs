//! What a crate's Cargo.toml says of itself: it inherits the lints, leaves versions to the root, and
//! asks for nothing it does not use.

use std::path::Path;

use toml::{Table, Value};

use super::finding::Finding;
use super::source::{Kind, Tree};

/// The tables of a manifest that list imports, at its top or under a target.
const IMPORTS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// A member's Cargo.toml.
pub(crate) struct Manifest<'t> {
    pub(crate) path: &'t Path,
    text: &'t str,
    table: Table,
}

impl<'t> Manifest<'t> {
    /// The manifest at `path`; cargo has read it before, so one that does not parse is not there.
    pub(crate) fn of(tree: &'t Tree, path: &Path) -> Option<Manifest<'t>> {
        let file = tree.files.iter().find(|file| file.path == path)?;
        let table = file.text.parse().ok()?;
        Some(Manifest {
            path: &file.path,
            text: &file.text,
            table,
        })
    }

    /// The line that sets `key`, or the first.
    pub(crate) fn line_of(&self, key: &str) -> usize {
        let sets = |line: &str| {
            line.strip_prefix(key)
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        self.text
            .lines()
            .position(sets)
            .map_or(1, |index| index + 1)
    }

    pub(crate) fn check(&self, tree: &Tree) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.inherits_lints().into_iter().collect();
        for (name, import) in self.imports() {
            findings.extend(self.leaves_version_to_root(name, import));
            findings.extend(self.is_used(name, tree));
        }
        findings
    }

    fn inherits_lints(&self) -> Option<Finding> {
        let inherited = self
            .table
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        (inherited.and_then(Value::as_bool) != Some(true)).then(|| Finding {
            file: self.path.to_path_buf(),
            line: 1,
            rule: "lints-not-inherited",
            what: "the workspace's lints do not apply to this crate".to_owned(),
            why: "`unsafe` is forbidden and unwraps are refused in every crate alike".to_owned(),
            way_out: "add `[lints]` with `workspace = true`".to_owned(),
        })
    }

    fn leaves_version_to_root(&self, name: &str, import: &Value) -> Option<Finding> {
        let has_version = import.as_str().is_some() || import.get("version").is_some();
        has_version.then(|| Finding {
            file: self.path.to_path_buf(),
            line: self.line_of(name),
            rule: "version-outside-root",
            what: format!("{name} has a version of its own here"),
            why: "two versions of a crate are two copies of it, and types that do not fit"
                .to_owned(),
            way_out: format!(
                "put the version into [workspace.dependencies] of the root, and write \
                 `{name} = {{ workspace = true }}`"
            ),
        })
    }

    fn is_used(&self, name: &str, tree: &Tree) -> Option<Finding> {
        let folder = self.path.parent()?;
        let in_code = name.replace('-', "_");
        let used = tree
            .rust
            .iter()
            .filter(|file| file.path.starts_with(folder))
            .any(|file| {
                file.code()
                    .any(|token| token.kind == Kind::Name && token.text == in_code)
            });
        (!used).then(|| Finding {
            file: self.path.to_path_buf(),
            line: self.line_of(name),
            rule: "unused-import",
            what: format!("nothing in this crate names {in_code}"),
            why: "what is imported is built, audited and updated, used or not".to_owned(),
            way_out: "take it out of the manifest".to_owned(),
        })
    }

    /// For the root: versions that no crate of the workspace asks for.
    pub(crate) fn versions_nobody_asks_for(&self, members: &[Manifest<'_>]) -> Vec<Finding> {
        let workspace = self
            .table
            .get("workspace")
            .and_then(|table| table.get("dependencies"));
        let versions = workspace
            .and_then(Value::as_table)
            .into_iter()
            .flat_map(Table::keys);
        let asked_for = |name: &&String| {
            members
                .iter()
                .any(|member| member.imports().any(|(import, _)| import == *name))
        };
        versions
            .filter(|name| !asked_for(name))
            .map(|name| Finding {
                file: self.path.to_path_buf(),
                line: self.line_of(name),
                rule: "unused-import",
                what: format!("no crate of the workspace asks for {name}"),
                why: "a version nobody uses is a version nobody tests".to_owned(),
                way_out: "take it out of [workspace.dependencies]".to_owned(),
            })
            .collect()
    }

    fn imports(&self) -> impl Iterator<Item = (&str, &Value)> {
        let under_targets = self.table.get("target").and_then(Value::as_table);
        let targets = under_targets
            .into_iter()
            .flat_map(Table::values)
            .filter_map(Value::as_table);
        std::iter::once(&self.table)
            .chain(targets)
            .flat_map(|table| IMPORTS.iter().filter_map(|key| table.get(*key)?.as_table()))
            .flat_map(|imports| imports.iter().map(|(name, import)| (name.as_str(), import)))
    }
}
