//! Decision records: every file in docs/adr stands in its index.

use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::links::links;
use super::source::Tree;

const FOLDER: &str = "docs/adr";
const INDEX: &str = "docs/adr/README.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let listed: Vec<PathBuf> = tree
        .file(INDEX)
        .into_iter()
        .flat_map(links)
        .map(|(_, path)| path)
        .collect();
    let records = tree
        .files
        .iter()
        .map(|file| &file.path)
        .filter(|path| path.parent() == Some(Path::new(FOLDER)) && *path != Path::new(INDEX));
    records
        .filter(|record| !listed.contains(record))
        .map(|record| Finding {
            file: record.clone(),
            line: 1,
            rule: "unlisted-record",
            what: format!("this record is not listed in {INDEX}"),
            why: "a decision nobody can find is taken again".to_owned(),
            way_out: format!("add a row to {INDEX}: number, decision, state"),
        })
        .collect()
}
