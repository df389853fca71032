//! Links between documents lead somewhere.

use std::path::{Component, Path, PathBuf};

use super::finding::Finding;
use super::source::{TextFile, Tree};

/// Checks every relative link of every document.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let documents = tree.files.iter().filter(|file| {
        file.path
            .extension()
            .is_some_and(|extension| extension == "md")
    });
    documents.flat_map(|file| dead(file, tree)).collect()
}

fn dead(file: &TextFile, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, target) in links(file) {
        if !tree
            .files
            .iter()
            .any(|found| found.path.starts_with(&target))
        {
            findings.push(Finding {
                file: file.path.clone(),
                line: number,
                rule: "dead-link",
                what: format!("{} does not exist", target.display()),
                why: "a reader who follows it learns only that nobody looks after this".to_owned(),
                way_out: "correct the link, or add what it promises".to_owned(),
            });
        }
    }
    findings
}

/// The relative links of a document, each with its line and as a path from the checkout's root.
pub(crate) fn links(file: &TextFile) -> impl Iterator<Item = (usize, PathBuf)> {
    let folder = file.path.parent().unwrap_or(Path::new(""));
    file.lines().flat_map(move |(number, line)| {
        line.split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#', ' ']).next())
            .filter(|target| !target.is_empty() && !target.contains(':'))
            .map(move |target| (number, normal(&folder.join(target))))
    })
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::Normal(name) => normal.push(name),
            _ => {}
        }
    }
    normal
}
