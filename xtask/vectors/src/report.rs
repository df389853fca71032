//! What was found in a file: how many numbers agree, which do not, and what was not looked at.

use core::fmt;

/// Numbers that agree, that differ, and that were not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// One file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    name: String,
    tally: Tally,
    /// What differs, a line each.
    failures: Vec<String>,
    /// The sections that were not looked at, with their number of rows.
    skipped: Vec<(String, usize)>,
}

impl Report {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// A row passes if every number in it agrees: `differences` names those that do not.
    pub(crate) fn row(&mut self, place: impl fmt::Display, differences: &[Option<String>]) {
        let told: Vec<&str> = differences.iter().flatten().map(String::as_str).collect();
        if told.is_empty() {
            self.tally.passed += 1;
        } else {
            self.fail(format!("{place}: {}", told.join("; ")));
        }
    }

    /// A section or a file that cannot be read counts as one failure.
    pub(crate) fn fail(&mut self, what: String) {
        self.tally.failed += 1;
        self.failures.push(what);
    }

    pub(crate) fn skip(&mut self, section: &str, rows: usize) {
        self.tally.skipped += rows;
        self.skipped.push((section.to_owned(), rows));
    }

    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }

    #[cfg(test)]
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.tally)?;
        for failure in &self.failures {
            writeln!(f, "    FAILED {failure}")?;
        }
        if !self.skipped.is_empty() {
            let named = self
                .skipped
                .iter()
                .map(|(name, rows)| format!("{name} ({rows})"));
            let named: Vec<_> = named.collect();
            writeln!(f, "    skipped, for reference only: {}", named.join(", "))?;
        }
        Ok(())
    }
}

pub(crate) fn total(files: &[Report]) -> Tally {
    files.iter().fold(Tally::default(), |sum, file| Tally {
        passed: sum.passed + file.tally.passed,
        failed: sum.failed + file.tally.failed,
        skipped: sum.skipped + file.tally.skipped,
    })
}

/// Numbers are written with nine digits and compared to six.
const PRECISION: f64 = 1e-6;

/// How `what` differs, if it does by more than one part in a million.
pub(crate) fn differs(what: &str, got: f64, expected: f64) -> Option<String> {
    differs_beyond(
        what,
        got,
        expected,
        PRECISION * got.abs().max(expected.abs()) + 1e-9,
    )
}

/// How `what` differs, if it does by more than `tolerance`.
pub(crate) fn differs_beyond(
    what: &str,
    got: f64,
    expected: f64,
    tolerance: f64,
) -> Option<String> {
    // Not a number agrees with nothing.
    let agrees = (got - expected).abs() <= tolerance;
    (!agrees).then(|| format!("{what} is {got}, expected {expected}"))
}

/// How `what` differs, if it does at all.
pub(crate) fn unequal<T: Copy + PartialEq + fmt::Debug>(
    what: &str,
    got: T,
    expected: T,
) -> Option<String> {
    (got != expected).then(|| format!("{what} is {got:?}, expected {expected:?}"))
}
