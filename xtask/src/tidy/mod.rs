//! House rules as a program: who imports whom, how long, in which words.
//!
//! A rule that lives in a reviewer's head is kept on good days. These are kept every day, and each
//! finding says where, why the rule exists and what to do about it. Rules that are data stand in
//! `architecture.toml` and `docs/glossary.md`; this module holds only how they are read.

mod finding;
mod graph;
mod leftovers;
mod length;
mod links;
mod manifest;
mod names;
mod orderings;
mod records;
mod rules;
mod source;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

use anyhow::{Context, Result};

use self::finding::Finding;
use self::graph::Graph;
use self::rules::Rules;
use self::source::Tree;
use crate::Verdict;
use crate::nightly;

/// Prints what breaks a rule.
///
/// # Errors
/// When the rules, the checkout or cargo's graph cannot be read.
pub(crate) fn run(root: &Path) -> Result<Verdict> {
    let root = root
        .canonicalize()
        .with_context(|| format!("cannot find {}", root.display()))?;
    let tree = Tree::read(&root)?;
    let findings = check(&root, &tree)?;
    for finding in &findings {
        println!("{finding}\n");
    }
    let read = tree.files.len();
    if findings.is_empty() {
        println!("tidy: {read} files, no findings");
        return Ok(Verdict::Holds);
    }
    println!("tidy: {read} files, {} findings", findings.len());
    Ok(Verdict::Broken)
}

fn check(root: &Path, tree: &Tree) -> Result<Vec<Finding>> {
    let rules = Rules::read(tree)?;
    let nightly = nightly::Steps::read(root)?;
    let graph = Graph::read(root)?;
    let mut findings = graph::check(tree, &graph, &rules, root);
    for file in &tree.rust {
        findings.extend(names::check(file, &rules.never_names));
        findings.extend(length::check(file, rules.longest_file));
        findings.extend(leftovers::check(file));
        findings.extend(leftovers::check_ignored(file, &rules, &nightly));
        findings.extend(orderings::check(file, &rules));
    }
    for file in &tree.files {
        findings.extend(leftovers::check_places(file));
    }
    findings.extend(words::check(tree, &rules)?);
    findings.extend(records::check(tree));
    findings.extend(links::check(tree));
    findings.sort();
    findings.dedup();
    Ok(findings)
}
