//! Decision records: every file in docs/adr stands in its index, and the index names no other.

use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::source::Tree;

const FOLDER: &str = "docs/adr";
const INDEX: &str = "docs/adr/README.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let records: Vec<&Path> = tree
        .files
        .iter()
        .map(|file| file.path.as_path())
        .filter(|path| path.parent() == Some(Path::new(FOLDER)) && *path != Path::new(INDEX))
        .collect();
    let index = tree.file(INDEX);
    let listed: Vec<(usize, PathBuf)> = index
        .map(|file| {
            file.lines()
                .flat_map(|(number, line)| links(number, line))
                .collect()
        })
        .unwrap_or_default();
    let mut findings = Vec::new();
    for record in &records {
        if !listed.iter().any(|(_, path)| path == record) {
            findings.push(finding(
                record,
                1,
                format!("this record is not listed in {INDEX}"),
                format!("add a row to {INDEX}: number, decision, state"),
            ));
        }
    }
    for (number, path) in &listed {
        if !records.contains(&path.as_path()) {
            findings.push(finding(
                Path::new(INDEX),
                *number,
                format!("{} does not exist", path.display()),
                "correct the link, or add the record".to_owned(),
            ));
        }
    }
    findings
}

/// Links of a line to records: `(0001-name.md)`.
fn links(number: usize, line: &str) -> Vec<(usize, PathBuf)> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| target.ends_with(".md") && !target.contains('/'))
        .map(|target| (number, Path::new(FOLDER).join(target)))
        .collect()
}

fn finding(file: &Path, line: usize, what: String, way_out: String) -> Finding {
    Finding {
        file: file.to_path_buf(),
        line,
        rule: "unlisted-record",
        what,
        why: "a decision nobody can find is taken again".to_owned(),
        way_out,
    }
}
