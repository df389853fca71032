//! A memory ordering other than `Relaxed` names its partner.
//!
//! An acquire without the release it reads from orders nothing. Whoever writes one knows the other
//! half at that moment and nobody does a year later, so it stands in a comment: what this pairs
//! with, within a few lines above.

use super::finding::Finding;
use super::rules::{Rules, any_matches};
use super::source::{Kind, RustFile};

const STRONG: [&str; 4] = ["Acquire", "Release", "AcqRel", "SeqCst"];

/// How a comment names the partner.
const PARTNER: &str = "pairs with";

/// A comment this many lines above still counts as beside it.
const NEAR: usize = 6;

pub(crate) fn check(file: &RustFile, rules: &Rules) -> Vec<Finding> {
    if !any_matches(&rules.ordering_files, &file.path) {
        return Vec::new();
    }
    let partners: Vec<usize> = comment_blocks(file)
        .into_iter()
        .filter(|(_, text)| text.contains(PARTNER))
        .map(|(last_line, _)| last_line)
        .collect();
    let mut findings = Vec::new();
    let mut in_import = false;
    for token in file.code() {
        match token.text.as_str() {
            "use" if token.kind == Kind::Name => in_import = true,
            ";" => in_import = false,
            _ => {}
        }
        let is_strong = token.kind == Kind::Name && STRONG.contains(&token.text.as_str());
        if !is_strong || in_import || token.in_test {
            continue;
        }
        let is_near = |&line: &usize| line <= token.line && token.line - line <= NEAR;
        if !partners.iter().any(is_near) {
            findings.push(Finding {
                file: file.path.clone(),
                line: token.line,
                rule: "ordering-without-partner",
                what: format!("`{}` does not say what it pairs with", token.text),
                why: "an ordering is one half of a pair; alone it orders nothing".to_owned(),
                way_out: format!(
                    "write `// {PARTNER} the ... in ...` above it, or use Relaxed if the word \
                     publishes nothing else"
                ),
            });
        }
    }
    findings
}

/// Comments on successive lines as one text, with the last line of each.
fn comment_blocks(file: &RustFile) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    for comment in file.tokens.iter().filter(|token| token.is_comment()) {
        let words = comment.text.trim_start_matches(['/', '!', '*']).trim();
        match blocks.last_mut() {
            Some((last_line, text)) if *last_line + 1 == comment.line => {
                *last_line = comment.last_line();
                text.push(' ');
                text.push_str(words);
            }
            _ => blocks.push((comment.last_line(), words.to_owned())),
        }
    }
    blocks
}
