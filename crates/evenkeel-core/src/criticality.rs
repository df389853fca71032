//! How important a request is.
//!
//! When not everything can be done, what is done should be what matters: a checkout before a
//! recommendation, a person who waits before a report that runs at night. Five classes are as many as
//! people can agree on; finer orders within a class are drawn, not claimed.

use core::fmt;

/// The importance of a request, the least first: what is shed first compares as smaller.
///
/// ```
/// use evenkeel_core::criticality::Criticality;
///
/// assert!(Criticality::Batch < Criticality::default());
/// assert_eq!(Criticality::parse("high"), Some(Criticality::High));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Criticality {
    /// Nobody waits for it: it can be done tonight.
    Batch,
    /// Nice to have: the page is complete without it.
    Low,
    /// What nothing else was said about.
    #[default]
    Normal,
    /// A person waits for it.
    High,
    /// The service is down without it.
    Critical,
}

impl Criticality {
    /// All classes, the least first.
    pub const ALL: [Self; 5] = [
        Self::Batch,
        Self::Low,
        Self::Normal,
        Self::High,
        Self::Critical,
    ];

    /// The class in one lower-case word, as it stands in fields and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The class that `word` names, in any case; none if it names none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|class| word.eq_ignore_ascii_case(class.as_str()))
    }
}

impl fmt::Display for Criticality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_read_as_it_is_written() {
        for class in Criticality::ALL {
            assert_eq!(Criticality::parse(class.as_str()), Some(class));
        }
        assert_eq!(Criticality::parse("urgent"), None);
    }
}
