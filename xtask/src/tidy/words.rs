//! One word per idea: what docs/glossary.md refuses stands nowhere.
//!
//! The glossary's last column lists the words and phrases that can only be a slip here. They are
//! looked for in identifiers (`retry_quota` and `RetryQuota` are "retry quota"), in comments, in
//! literals and in the prose of the documents.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::finding::Finding;
use super::rules::{Rules, any_matches};
use super::source::{Kind, Tree};

/// Where the words stand, relative to the checkout.
const GLOSSARY: &str = "docs/glossary.md";

/// How the glossary's table begins.
const HEADER: [&str; 4] = ["word", "means", "not", "refused"];

/// A phrase that tidy refuses, and the word to use.
#[derive(Debug)]
struct Refused {
    phrase: String,
    words: Vec<String>,
    instead: String,
    means: String,
}

/// A word of a line of text.
struct Word {
    text: String,
    start: usize,
    end: usize,
}

/// Looks for refused words in the whole checkout.
///
/// # Errors
/// When the glossary is missing or has no table with the four columns.
pub(crate) fn check(tree: &Tree, rules: &Rules) -> Result<Vec<Finding>> {
    let refused = refused(tree)?;
    let mut findings = Vec::new();
    for file in &tree.rust {
        for token in file.tokens.iter().filter(|token| token.kind != Kind::Sign) {
            for (index, line) in token.text.lines().enumerate() {
                findings.extend(in_line(
                    &file.path,
                    token.line + index,
                    line,
                    &refused,
                    rules,
                ));
            }
        }
    }
    for file in &tree.files {
        let is_prose = file
            .path
            .extension()
            .is_some_and(|extension| extension == "md");
        if is_prose && file.path != Path::new(GLOSSARY) {
            for (number, line) in file.lines() {
                findings.extend(in_line(&file.path, number, line, &refused, rules));
            }
        }
    }
    Ok(findings)
}

fn refused(tree: &Tree) -> Result<Vec<Refused>> {
    let glossary = tree
        .file(GLOSSARY)
        .with_context(|| format!("{GLOSSARY} is missing"))?;
    let rows = glossary.lines().filter_map(|(_, line)| row(line));
    let mut rows = rows.skip_while(|cells| cells != &HEADER);
    ensure!(
        rows.next().is_some(),
        "{GLOSSARY} has no table with the columns {}",
        HEADER.join(" | ")
    );
    let mut refused = Vec::new();
    for cells in rows {
        let [word, means, _, phrases] = cells.as_slice() else {
            continue;
        };
        for phrase in phrases
            .split(',')
            .map(str::trim)
            .filter(|phrase| !phrase.is_empty())
        {
            let words: Vec<String> = split(phrase).into_iter().map(|word| word.text).collect();
            if !words.is_empty() {
                refused.push(Refused {
                    phrase: phrase.to_owned(),
                    words,
                    instead: (*word).to_owned(),
                    means: (*means).to_owned(),
                });
            }
        }
    }
    Ok(refused)
}

/// The cells of a table's row; none for a rule or for prose.
fn row(line: &str) -> Option<Vec<&str>> {
    let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(str::trim).collect())
}

fn in_line(
    file: &Path,
    number: usize,
    line: &str,
    refused: &[Refused],
    rules: &Rules,
) -> Vec<Finding> {
    let words = split(line);
    let mut findings = Vec::new();
    for entry in refused {
        let found = words.windows(entry.words.len()).any(|window| {
            let joined = window.windows(2).all(|pair| {
                line[pair[0].end..pair[1].start]
                    .chars()
                    .all(|c| matches!(c, ' ' | '-' | '_'))
            });
            joined
                && window
                    .iter()
                    .zip(&entry.words)
                    .all(|(found, word)| same(&found.text, word))
        });
        let allowed = rules
            .word_allowed
            .iter()
            .any(|allowance| allowance.word == entry.phrase && any_matches(&allowance.files, file));
        if found && !allowed {
            findings.push(Finding {
                file: file.to_path_buf(),
                line: number,
                rule: "refused-word",
                what: format!(
                    "\"{}\": the word here is \"{}\"",
                    entry.phrase, entry.instead
                ),
                why: format!(
                    "one word per idea; {} means: {}",
                    entry.instead, entry.means
                ),
                way_out: format!(
                    "say \"{}\"; where it truly is another idea, add a [[word_allowed]] entry \
                     with its reason to {}",
                    entry.instead,
                    super::rules::FILE
                ),
            });
        }
    }
    findings
}

/// The same word, in the singular or the plural.
fn same(found: &str, word: &str) -> bool {
    found
        .strip_prefix(word)
        .is_some_and(|rest| rest.is_empty() || rest == "s" || rest == "es")
}

/// The words of a line in lower case; `snake_case` and `CamelCase` are several.
fn split(line: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut before = ' ';
    for (start, character) in line.char_indices() {
        if character.is_alphanumeric() {
            let end = start + character.len_utf8();
            let begins =
                !before.is_alphanumeric() || (before.is_lowercase() && character.is_uppercase());
            match words.last_mut() {
                Some(word) if !begins => {
                    word.text.extend(character.to_lowercase());
                    word.end = end;
                }
                _ => words.push(Word {
                    text: character.to_lowercase().collect(),
                    start,
                    end,
                }),
            }
        }
        before = character;
    }
    words
}
