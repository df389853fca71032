//! Faults seen in peers, each of which has its test here.
//!
//! `docs/peer-faults.toml` lists what other libraries get wrong. A row that is due needs a test
//! named `peer_fault_NN_...` which would fail with that behaviour. This gate finds the names among
//! the tests that really are compiled and run, so that neither a comment nor a test under a
//! condition that never holds can stand in for one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{Verdict, command};

/// The table of faults, relative to the checkout.
const FILE: &str = "docs/peer-faults.toml";

/// How the name of such a test begins; two digits and `_` follow.
const PREFIX: &str = "peer_fault_";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    fault: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    row: u8,
    what: String,
    seen_in: String,
    due: Due,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Due {
    /// Its test exists, or this gate fails.
    Now,
    /// The policy it is about does not exist yet.
    Later,
}

/// Prints every row with its tests.
///
/// # Errors
/// When the table does not parse or the tests do not compile.
pub(crate) fn run(root: &Path) -> Result<Verdict> {
    let path = root.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
    let table: Table = toml::from_str(&text).with_context(|| format!("{FILE} is not valid"))?;
    let tests = by_row(&listed_tests(root)?);
    let gaps = table.gaps(&tests);
    for fault in &table.fault {
        println!(
            "{}",
            fault.line(tests.get(&fault.row).map_or(&[], Vec::as_slice))
        );
    }
    for gap in &gaps {
        println!("gap: {gap}");
    }
    let due = table
        .fault
        .iter()
        .filter(|fault| fault.due == Due::Now)
        .count();
    println!(
        "faults: {due} due, {} gaps, {} later",
        gaps.len(),
        table.fault.len() - due
    );
    Ok(if gaps.is_empty() {
        Verdict::Holds
    } else {
        Verdict::Broken
    })
}

impl Table {
    /// What is missing, one sentence each.
    fn gaps(&self, tests: &BTreeMap<u8, Vec<String>>) -> Vec<String> {
        let mut gaps = Vec::new();
        for fault in self.fault.iter().filter(|fault| fault.due == Due::Now) {
            if !tests.contains_key(&fault.row) {
                gaps.push(format!(
                    "row {} has no test: write `fn {PREFIX}{:02}_...` that fails when \"{}\"",
                    fault.row, fault.row, fault.what
                ));
            }
        }
        for (row, names) in tests {
            if !self.fault.iter().any(|fault| fault.row == *row) {
                gaps.push(format!(
                    "{} names row {row}, which {FILE} does not have",
                    names.join(", ")
                ));
            }
        }
        for pair in self.fault.windows(2) {
            if pair[1].row <= pair[0].row {
                gaps.push(format!(
                    "row {} stands after row {}",
                    pair[1].row, pair[0].row
                ));
            }
        }
        gaps
    }
}

impl Fault {
    fn line(&self, tests: &[String]) -> String {
        let kept = match (self.due, tests) {
            (Due::Now, []) => "MISSING".to_owned(),
            (Due::Later, []) => "later".to_owned(),
            (_, tests) => tests.join(", "),
        };
        format!(
            "{:>3}  {}\n     seen in {}\n     {kept}",
            self.row, self.what, self.seen_in
        )
    }
}

/// The names of every test that `cargo test --workspace` runs.
fn listed_tests(root: &Path) -> Result<Vec<String>> {
    let mut list = command::cargo(root);
    list.args([
        "test",
        "--quiet",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--",
    ]);
    list.arg("--list");
    let output = command::capture_stdout(&mut list)?;
    ensure!(output.status.success(), "`{}` failed", command::line(&list));
    Ok(names(&String::from_utf8_lossy(&output.stdout)))
}

/// The tests in what `--list` prints: `module::name: test`.
fn names(list: &str) -> Vec<String> {
    list.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

fn by_row(tests: &[String]) -> BTreeMap<u8, Vec<String>> {
    let mut rows: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    for test in tests {
        let name = test.rsplit("::").next().unwrap_or(test);
        let row = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .filter(|(digits, _)| digits.len() == 2)
            .and_then(|(digits, _)| digits.parse().ok());
        if let Some(row) = row {
            rows.entry(row).or_default().push(test.clone());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(u8, Due)]) -> Table {
        let fault = |&(row, due): &(u8, Due)| Fault {
            row,
            what: format!("fault {row}"),
            seen_in: "a peer".to_owned(),
            due,
        };
        Table {
            fault: rows.iter().map(fault).collect(),
        }
    }

    fn tests(list: &str) -> BTreeMap<u8, Vec<String>> {
        by_row(&names(list))
    }

    #[test]
    fn a_due_row_without_a_test_is_a_gap() {
        let gaps = table(&[(1, Due::Now), (2, Due::Now)]).gaps(&tests(
            "breaker::tests::peer_fault_01_window_slides: test\n",
        ));
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(gaps[0].starts_with("row 2 has no test"), "{gaps:?}");
    }

    #[test]
    fn a_later_row_without_a_test_is_no_gap() {
        assert!(table(&[(7, Due::Later)]).gaps(&tests("")).is_empty());
    }

    #[test]
    fn a_benchmark_or_a_comment_is_no_test() {
        let listed = tests("peer_fault_01_as_a_bench: benchmark\n// peer_fault_01_as_a_comment\n");
        assert_eq!(table(&[(1, Due::Now)]).gaps(&listed).len(), 1);
    }

    #[test]
    fn a_test_for_a_row_that_does_not_exist_is_a_gap() {
        let gaps = table(&[(1, Due::Later)]).gaps(&tests("peer_fault_34_new: test\n"));
        assert!(gaps[0].contains("names row 34"), "{gaps:?}");
    }

    #[test]
    fn the_committed_table_parses_and_is_in_order() {
        let root = crate::workspace_root();
        let text = fs::read_to_string(root.join(FILE)).expect("the table is committed");
        let table: Table = toml::from_str(&text).expect("the table is valid");
        let all_kept: BTreeMap<u8, Vec<String>> = table
            .fault
            .iter()
            .map(|fault| (fault.row, vec![String::new()]))
            .collect();
        assert_eq!(table.gaps(&all_kept), Vec::<String>::new());
    }
}
