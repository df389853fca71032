//! One thing that breaks a rule: where, which rule, why the rule exists, and the way out.

use std::fmt;
use std::path::PathBuf;

/// What a rule found. A finding without a way out is a complaint, so every field is required.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the checkout.
    pub(crate) file: PathBuf,
    /// Counted from 1.
    pub(crate) line: usize,
    /// The rule's name, as ARCHITECTURE.md and CONTRIBUTING.md use it.
    pub(crate) rule: &'static str,
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) way_out: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}:{}: [{}] {}",
            self.file.display(),
            self.line,
            self.rule,
            self.what
        )?;
        writeln!(f, "    why:     {}", self.why)?;
        write!(f, "    way out: {}", self.way_out)
    }
}
