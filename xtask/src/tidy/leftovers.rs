//! What a stranger would stumble over: unfinished code, debugging aids, tests nobody runs, and
//! paths or numbers that mean something on one machine only.

use std::path::Path;

use super::finding::Finding;
use super::rules::{FILE, Rules};
use super::source::{Kind, RustFile, TextFile, Token};
use crate::nightly;

/// Macros that say "not yet" or "let me see".
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Marks in comments that say the same.
const MARKS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// First folders of absolute paths that exist on one machine only.
const MACHINE_FOLDERS: [&str; 6] = ["home", "root", "Users", "work", "workspace", "builds"];

/// Unfinished code and debugging aids, tests included.
pub(crate) fn check(file: &RustFile) -> Vec<Finding> {
    let code: Vec<&Token> = file.code().collect();
    let macros = code.windows(2).filter(|pair| {
        pair[0].kind == Kind::Name && MACROS.contains(&pair[0].text.as_str()) && pair[1].text == "!"
    });
    let mut findings: Vec<Finding> = macros
        .map(|pair| left_over(file, pair[0].line, &format!("`{}!`", pair[0].text)))
        .collect();
    for comment in file.tokens.iter().filter(|token| token.is_comment()) {
        for (index, line) in comment.text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let marks = words.filter(|word| MARKS.contains(word));
            findings.extend(marks.map(|mark| left_over(file, comment.line + index, mark)));
        }
    }
    findings
}

fn left_over(file: &RustFile, line: usize, what: &str) -> Finding {
    Finding {
        file: file.path.clone(),
        line,
        rule: "left-over",
        what: format!("{what} was left behind"),
        why: "what is on the main branch is finished, or it is not there".to_owned(),
        way_out: "finish it, or take it out and open an issue".to_owned(),
    }
}

/// Tests that `cargo test` leaves out, unless a nightly step runs them.
pub(crate) fn check_ignored(
    file: &RustFile,
    rules: &Rules,
    nightly: &nightly::Steps,
) -> Vec<Finding> {
    let code: Vec<&Token> = file.code().collect();
    let mut findings = Vec::new();
    for (index, three) in code.windows(3).enumerate() {
        if three[0].text != "#" || three[1].text != "[" || three[2].text != "ignore" {
            continue;
        }
        let name = code[index..]
            .windows(2)
            .find(|pair| pair[0].text == "fn")
            .map_or("?", |pair| pair[1].text.as_str());
        let gate = rules
            .ignored_test
            .iter()
            .find(|ignored| ignored.name == name);
        if !gate.is_some_and(|ignored| nightly.has(&ignored.nightly)) {
            findings.push(ignored(
                file,
                three[0].line,
                &format!("the test `{name}` is ignored"),
            ));
        }
    }
    for comment in file
        .tokens
        .iter()
        .filter(|token| token.kind == Kind::DocComment)
    {
        for (index, line) in comment.text.lines().enumerate() {
            let fence = line.trim_start_matches(['/', '!', '*', ' ']);
            let info = fence.strip_prefix("```").unwrap_or_default();
            if info.split(',').any(|word| word.trim() == "ignore") {
                let what = "an example in the documentation is ignored";
                findings.push(ignored(file, comment.line + index, what));
            }
        }
    }
    findings
}

fn ignored(file: &RustFile, line: usize, what: &str) -> Finding {
    Finding {
        file: file.path.clone(),
        line,
        rule: "ignored-test",
        what: what.to_owned(),
        why: "a test that nothing runs proves nothing and rots".to_owned(),
        way_out: format!(
            "let `cargo test` run it (`no_run` compiles an example), or name it in an \
             [[ignored_test]] of {FILE} with the step of {} that runs it",
            nightly::FILE
        ),
    }
}

/// Paths of one machine, and issues by number: the project speaks of itself alone.
pub(crate) fn check_places(file: &TextFile) -> Vec<Finding> {
    if file.path == Path::new("Cargo.lock") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        for folder in MACHINE_FOLDERS {
            if names_folder(line, folder) {
                findings.push(place(
                    file,
                    number,
                    format!("a path below /{folder} exists on one machine only"),
                    "name the file relative to the checkout, or a variable of the environment",
                ));
            }
        }
        if let Some(number_of) = issue_number(line) {
            findings.push(place(
                file,
                number,
                format!("issue {number_of} is named by its number"),
                "say what was decided and why; a number means nothing to who reads only this",
            ));
        }
    }
    findings
}

fn place(file: &TextFile, line: usize, what: String, way_out: &str) -> Finding {
    Finding {
        file: file.path.clone(),
        line,
        rule: "foreign-place",
        what,
        why: "the checkout is read far from where it was written".to_owned(),
        way_out: way_out.to_owned(),
    }
}

/// Whether `line` holds `/folder/` as the beginning of a path, not inside a URL or a longer path.
fn names_folder(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | '}' | '~'))
    })
}

/// The number that follows the word issue, with or without `#`; `owner/repository#12` is somebody
/// else's and is fine.
fn issue_number(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        if !word.eq_ignore_ascii_case("issue") && !word.eq_ignore_ascii_case("issues") {
            continue;
        }
        let next = words
            .clone()
            .next()?
            .trim_matches(|c: char| !c.is_alphanumeric());
        if !next.is_empty() && next.chars().all(|c| c.is_ascii_digit()) {
            return Some(next);
        }
    }
    None
}
