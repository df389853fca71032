//! Files a reader can hold in mind: at most so many lines, tests not counted.

use super::finding::Finding;
use super::source::RustFile;

/// Lifts the bound for a file: `// tidy: long because <reason>`.
const LIFTED: &str = "tidy: long because ";

/// Words a reason has at least; less is a password, not a reason.
const SHORTEST_REASON: usize = 3;

pub(crate) fn check(file: &RustFile, longest: usize) -> Option<Finding> {
    let lines = file.lines_without_tests();
    (lines > longest && !is_lifted(file)).then(|| Finding {
        file: file.path.clone(),
        line: longest + 1,
        rule: "long-file",
        what: format!("{lines} lines without tests; {longest} is the bound"),
        why: "a file is one idea, read in one sitting".to_owned(),
        way_out: format!(
            "split it by idea; a table that is one thing says so: `// {LIFTED}<why it is one thing>`"
        ),
    })
}

fn is_lifted(file: &RustFile) -> bool {
    file.tokens
        .iter()
        .filter(|token| token.is_comment())
        .any(|comment| {
            comment
                .text
                .split_once(LIFTED)
                .is_some_and(|(_, reason)| reason.split_whitespace().count() >= SHORTEST_REASON)
        })
}
