//! Names that must not stand in some files: who may print, exit or read the environment, and what
//! the load generator must not know.
//!
//! Clippy refuses the same at the level of resolved paths where it can; this scan also holds for
//! macros, for single modules of a crate, and for crates that do not compile yet.

use ra_ap_rustc_lexer::{FrontmatterAllowed, TokenKind, tokenize};

use super::finding::Finding;
use super::rules::{NameRule, any_matches};
use super::source::{Kind, RustFile, Token};

/// Checks one file against every rule that covers it.
pub(crate) fn check(file: &RustFile, rules: &[NameRule]) -> Vec<Finding> {
    let covers = |rule: &&NameRule| {
        any_matches(&rule.files, &file.path) && !any_matches(&rule.except, &file.path)
    };
    rules
        .iter()
        .filter(covers)
        .flat_map(|rule| broken(file, rule))
        .collect()
}

fn broken(file: &RustFile, rule: &NameRule) -> Vec<Finding> {
    let code: Vec<&Token> = file
        .code()
        .filter(|token| rule.tests_too || !token.in_test)
        .collect();
    let mut findings = Vec::new();
    for name in &rule.names {
        let wanted = signs(name);
        let found = code.windows(wanted.len()).filter(|window| {
            window.iter().zip(&wanted).all(|(token, text)| {
                token.kind != Kind::Text && token.text.trim_start_matches("r#") == text
            })
        });
        findings.extend(found.map(|window| Finding {
            file: file.path.clone(),
            line: window[0].line,
            rule: "forbidden-name",
            what: format!("`{name}` is named here"),
            why: rule.why.clone(),
            way_out: rule.way_out.clone(),
        }));
    }
    findings
}

/// `env::var` as the tokens `env`, `:`, `:`, `var`.
fn signs(name: &str) -> Vec<String> {
    let mut offset = 0;
    let mut signs = Vec::new();
    for token in tokenize(name, FrontmatterAllowed::No) {
        let end = offset + token.len as usize;
        if !matches!(token.kind, TokenKind::Whitespace | TokenKind::Eof) {
            signs.push(name[offset..end].to_owned());
        }
        offset = end;
    }
    signs
}
