//! Scores the linter against the labels in `tests/field/labels.tsv`.
//!
//! `field DIRECTORY [SET…]`: the repositories lie below the directory as `owner+name`. With `--list
//! RULES PATH…` it prints findings one a line, to be labelled.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for a terminal"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use evenkeel_lint::{Config, Finding, Linter, Spec};

/// A finding and a label are of one site when they are at most this many lines apart: one names the
/// loop, the other the sleep in it.
const NEAR: u32 = 12;

struct Label {
    code: String,
    path: String,
    line: u32,
    is_real: bool,
    set: String,
}

#[derive(Default)]
struct Score {
    real_found: u32,
    real_missed: u32,
    fine_found: u32,
    fine_passed: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments
        .next()
        .ok_or("usage: field DIRECTORY [SET…] | field --list RULES PATH…")?;
    if first == "--list" {
        let rules = arguments
            .next()
            .ok_or("which rules? `default`, or codes with commas")?;
        let select = (rules != "default").then(|| rules.split(',').map(str::to_owned).collect());
        let linter = Linter::new(Config::new(Spec {
            select,
            ..Spec::default()
        })?);
        let report = linter.lint_paths(&arguments.map(PathBuf::from).collect::<Vec<_>>())?;
        for f in &report.findings {
            println!("{}:{} {} {}", f.place.path, f.place.line, f.code, f.message);
        }
        eprintln!(
            "{} findings in {} files, {} lines",
            report.findings.len(),
            report.files,
            report.lines
        );
        return Ok(());
    }
    let sets: Vec<String> = arguments.collect();
    let labels: Vec<Label> = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/field/labels.tsv"
    ))?
    .lines()
    .skip(1)
    .filter_map(label)
    .filter(|l| sets.is_empty() || sets.contains(&l.set))
    .collect();
    let root = PathBuf::from(first).canonicalize()?;
    let mut repositories: Vec<PathBuf> = labels
        .iter()
        .filter_map(|l| l.path.split('/').next())
        .map(|name| root.join(name))
        .collect();
    repositories.sort();
    repositories.dedup();
    let missing = repositories.iter().filter(|r| !r.is_dir()).count();
    repositories.retain(|r| r.is_dir());
    let report = Linter::new(Config::new(Spec::default())?).lint_paths(&repositories)?;
    let prefix = format!("{}/", root.display());
    let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
    let mut labelled = vec![false; report.findings.len()];
    for label in labels.iter().filter(|l| root.join(&l.path).is_file()) {
        let hits: Vec<usize> = report
            .findings
            .iter()
            .enumerate()
            .filter(|(_, f)| {
                f.place.path.strip_prefix(&prefix) == Some(&label.path) && is_near(f, label)
            })
            .map(|(at, _)| at)
            .collect();
        for &hit in &hits {
            labelled[hit] = true;
        }
        let score = scores.entry(&label.code).or_default();
        match (label.is_real, hits.is_empty()) {
            (true, false) => score.real_found += 1,
            (true, true) => score.real_missed += 1,
            (false, false) => score.fine_found += 1,
            (false, true) => score.fine_passed += 1,
        }
    }
    println!(
        "| rule | real, found | real, missed | fine, reported | fine, passed over | precision | recall |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut total = Score::default();
    for (code, score) in &scores {
        row(code, score);
        total.real_found += score.real_found;
        total.real_missed += score.real_missed;
        total.fine_found += score.fine_found;
        total.fine_passed += score.fine_passed;
    }
    row("all", &total);
    let unlabelled = labelled.iter().filter(|l| !**l).count();
    println!(
        "\n{unlabelled} findings have no label; {missing} repositories are not there; {} lines read",
        report.lines
    );
    Ok(())
}

fn row(name: &str, score: &Score) {
    let ratio = |part: u32, rest: u32| {
        if part + rest == 0 {
            "-".to_owned()
        } else {
            format!("{:.2}", f64::from(part) / f64::from(part + rest))
        }
    };
    println!(
        "| {name} | {} | {} | {} | {} | {} | {} |",
        score.real_found,
        score.real_missed,
        score.fine_found,
        score.fine_passed,
        ratio(score.real_found, score.fine_found),
        ratio(score.real_found, score.real_missed)
    );
}

fn is_near(finding: &Finding, label: &Label) -> bool {
    let same = finding.code == label.code || finding.also.iter().any(|c| *c == label.code);
    same && finding.place.line.abs_diff(label.line) <= NEAR
}

fn label(line: &str) -> Option<Label> {
    let mut cells = line.split('\t');
    let code = cells.next()?.to_owned();
    let repository = cells.next()?.replace('/', "+");
    let _commit = cells.next()?;
    let path = format!("{repository}/{}", cells.next()?);
    let line = cells.next()?.parse().ok()?;
    let is_real = cells.next()? == "real";
    Some(Label {
        code,
        path,
        line,
        is_real,
        set: cells.next()?.to_owned(),
    })
}
