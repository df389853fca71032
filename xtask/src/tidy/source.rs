//! The checkout as tidy reads it: every text file, and Rust files as tokens.
//!
//! Rules look for names in code, for words in comments and for neither in the other's place, so a
//! search over plain text will not do. The tokens are rustc's own; what this file adds is the line
//! of each and whether it belongs to a test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ra_ap_rustc_lexer::{FrontmatterAllowed, LiteralKind, TokenKind, tokenize};

/// Folders that hold nothing written by hand.
const SKIPPED_FOLDERS: [&str; 3] = ["target", ".git", "node_modules"];

/// Every text file of the checkout, in the order of their paths.
pub(crate) struct Tree {
    pub(crate) files: Vec<TextFile>,
    pub(crate) rust: Vec<RustFile>,
}

pub(crate) struct TextFile {
    /// Relative to the checkout, with `/` between folders.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

pub(crate) struct RustFile {
    pub(crate) path: PathBuf,
    pub(crate) tokens: Vec<Token>,
    lines: usize,
    /// The whole file is test code: below `tests/`, or a module declared under `#[cfg(test)]`.
    is_test: bool,
}

/// What a token is, as far as any rule cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword.
    Name,
    /// One character of punctuation, a number, a lifetime.
    Sign,
    /// A string or character literal.
    Text,
    Comment,
    DocComment,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Counted from 1: the line on which it begins.
    pub(crate) line: usize,
    pub(crate) in_test: bool,
}

impl Tree {
    /// Reads the checkout below `root`.
    ///
    /// # Errors
    /// When a folder or a file cannot be read. Files that are not UTF-8 are not text and are left out.
    pub(crate) fn read(root: &Path) -> Result<Tree> {
        let mut paths = Vec::new();
        collect(root, root, &mut paths)?;
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            let full = root.join(&path);
            let bytes =
                fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(TextFile { path, text });
            }
        }
        let mut rust: Vec<RustFile> = files
            .iter()
            .filter(|file| {
                file.path
                    .extension()
                    .is_some_and(|extension| extension == "rs")
            })
            .map(RustFile::parse)
            .collect();
        spread_test_modules(&mut rust);
        Ok(Tree { files, rust })
    }

    pub(crate) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == Path::new(path))
    }
}

impl TextFile {
    /// The lines, each with its number counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

impl RustFile {
    fn parse(file: &TextFile) -> RustFile {
        let mut tokens = Vec::new();
        let (mut offset, mut line) = (0, 1);
        for token in tokenize(&file.text, FrontmatterAllowed::No) {
            let end = offset + token.len as usize;
            let text = &file.text[offset..end];
            if let Some(kind) = kind_of(token.kind) {
                tokens.push(Token {
                    kind,
                    text: text.to_owned(),
                    line,
                    in_test: false,
                });
            }
            line += text.matches('\n').count();
            offset = end;
        }
        let is_test = lies_in_tests(&file.path);
        let mut parsed = RustFile {
            path: file.path.clone(),
            tokens,
            lines: file.text.lines().count(),
            is_test,
        };
        parsed.mark_tests();
        parsed
    }

    /// Names, signs and literals: what the compiler sees.
    pub(crate) fn code(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|token| !token.is_comment())
    }

    /// Lines outside tests.
    pub(crate) fn lines_without_tests(&self) -> usize {
        if self.is_test {
            return 0;
        }
        let mut in_tests = 0;
        let mut first: Option<usize> = None;
        let mut last = 0;
        for token in &self.tokens {
            if token.in_test {
                first.get_or_insert(token.line);
                last = token.line + token.text.matches('\n').count();
            } else if let Some(begin) = first.take() {
                in_tests += last + 1 - begin;
            }
        }
        if let Some(begin) = first {
            in_tests += last + 1 - begin;
        }
        self.lines.saturating_sub(in_tests)
    }

    /// Marks every token of an item under `#[cfg(test)]` or `#[test]`, its attributes included.
    fn mark_tests(&mut self) {
        if self.is_test {
            for token in &mut self.tokens {
                token.in_test = true;
            }
            return;
        }
        let code: Vec<usize> = (0..self.tokens.len())
            .filter(|&index| !self.tokens[index].is_comment())
            .collect();
        let mut at = 0;
        while at < code.len() {
            match self.test_attribute(&code, at) {
                Some(after_attribute) => {
                    let end = self.end_of_item(&code, after_attribute);
                    let last = code.get(end).copied().unwrap_or(self.tokens.len() - 1);
                    for token in &mut self.tokens[code[at]..=last] {
                        token.in_test = true;
                    }
                    at = end + 1;
                }
                None => at += 1,
            }
        }
    }

    /// Where the attribute that begins at `at` ends, if it makes its item a test.
    fn test_attribute(&self, code: &[usize], at: usize) -> Option<usize> {
        let text = |index: usize| {
            code.get(index)
                .map(|&token| self.tokens[token].text.as_str())
        };
        if text(at) != Some("#") || text(at + 1) != Some("[") {
            return None;
        }
        let end = self.closing(code, at + 1);
        let inside: Vec<&str> = (at + 2..end).filter_map(text).collect();
        let path = inside.split(|&sign| sign == "(").next().unwrap_or_default();
        let is_test = match inside.as_slice() {
            _ if path.last() == Some(&"test") => true,
            ["cfg", "(", "test", ")"] => true,
            ["cfg", "(", "all", rest @ ..] => rest.contains(&"test") && !rest.contains(&"not"),
            _ => false,
        };
        is_test.then_some(end + 1)
    }

    /// The index in `code` of the last token of the item that begins at `at`.
    fn end_of_item(&self, code: &[usize], at: usize) -> usize {
        let mut index = at;
        while index < code.len() {
            match self.tokens[code[index]].text.as_str() {
                ";" => return index,
                "{" => return self.closing(code, index),
                // The item was the last field or variant of what closes here.
                "}" | ")" | "]" => return index.saturating_sub(1),
                "(" | "[" => index = self.closing(code, index) + 1,
                _ => index += 1,
            }
        }
        index
    }

    /// The index in `code` of the bracket that closes the one at `open`.
    fn closing(&self, code: &[usize], open: usize) -> usize {
        let mut depth = 0_usize;
        for (index, &token) in code.iter().enumerate().skip(open) {
            match self.tokens[token].text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return index;
            }
        }
        code.len()
    }

    /// Modules declared here, under `#[cfg(test)]`, whose text is another file.
    fn outlined_test_modules(&self) -> Vec<&str> {
        let code: Vec<&Token> = self.code().filter(|token| token.in_test).collect();
        code.windows(3)
            .filter(|three| three[0].text == "mod" && three[2].text == ";")
            .map(|three| three[1].text.as_str())
            .collect()
    }
}

impl Token {
    pub(crate) fn is_comment(&self) -> bool {
        matches!(self.kind, Kind::Comment | Kind::DocComment)
    }

    /// The last line the token stands on.
    pub(crate) fn last_line(&self) -> usize {
        self.line + self.text.matches('\n').count()
    }
}

fn collect(root: &Path, folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let path = entry.path();
        let kind = entry
            .file_type()
            .with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            let skipped = SKIPPED_FOLDERS
                .iter()
                .any(|skipped| entry.file_name() == *skipped);
            if !skipped {
                collect(root, &path, paths)?;
            }
        } else if kind.is_file() && entry.file_name() != ".git" {
            paths.push(path.strip_prefix(root).unwrap_or(&path).to_path_buf());
        }
    }
    Ok(())
}

fn kind_of(kind: TokenKind) -> Option<Kind> {
    Some(match kind {
        TokenKind::Whitespace | TokenKind::Eof => return None,
        TokenKind::LineComment { doc_style: None }
        | TokenKind::BlockComment {
            doc_style: None, ..
        } => Kind::Comment,
        TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => Kind::DocComment,
        TokenKind::Ident | TokenKind::RawIdent => Kind::Name,
        TokenKind::Literal { kind, .. } => match kind {
            LiteralKind::Int { .. } | LiteralKind::Float { .. } => Kind::Sign,
            _ => Kind::Text,
        },
        _ => Kind::Sign,
    })
}

fn lies_in_tests(path: &Path) -> bool {
    let folder = path.components().any(|part| {
        ["tests", "benches"]
            .iter()
            .any(|folder| part.as_os_str() == *folder)
    });
    folder || path.file_stem().is_some_and(|stem| stem == "tests")
}

/// A file that another file declares as a test module is test code, and so is all below it.
fn spread_test_modules(files: &mut [RustFile]) {
    let mut roots: Vec<PathBuf> = Vec::new();
    for file in files.iter() {
        let folder = file.path.parent().unwrap_or(Path::new(""));
        let owns_folder = ["lib", "main", "mod"]
            .iter()
            .any(|stem| file.path.file_stem().is_some_and(|found| found == *stem));
        let folder = if owns_folder {
            folder.to_path_buf()
        } else {
            file.path.with_extension("")
        };
        roots.extend(
            file.outlined_test_modules()
                .into_iter()
                .map(|module| folder.join(module)),
        );
    }
    for file in files.iter_mut() {
        let is_below = roots
            .iter()
            .any(|root| file.path == root.with_extension("rs") || file.path.starts_with(root));
        if is_below {
            file.is_test = true;
            file.mark_tests();
        }
    }
}
