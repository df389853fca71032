//! Log lines that tell of trying again.
//!
//! A recovery is believed when the log says so too: lines about retries, conflicts, time-outs and
//! back-off must fall silent, not only the graphs.

use crate::note::{Note, Parsed};

/// How often a log speaks of each kind of trouble, over its length.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LogCounts {
    /// Lines read.
    pub lines: u64,
    /// `(kind, matches in each tenth of the log)`.
    pub kinds: Vec<(String, [u64; 10])>,
}

/// The kinds and the word stems that belong to each.
const KINDS: &[(&str, &[&str])] = &[
    (
        "retry",
        &[
            "retry",
            "retries",
            "retrying",
            "redeliver",
            "requeue",
            "reattempt",
        ],
    ),
    (
        "conflict",
        &[
            "conflict",
            "deadlock found",
            "serialization failure",
            "lock wait",
            "version mismatch",
        ],
    ),
    ("time-out", &["timeout", "timed out", "deadline exceeded"]),
    (
        "back-off",
        &[
            "backoff",
            "back-off",
            "backing off",
            "throttl",
            "rate limit",
            "too many requests",
        ],
    ),
];

impl LogCounts {
    /// Matches of one kind over the whole log.
    pub fn total(&self, kind: &str) -> u64 {
        self.kinds
            .iter()
            .find(|(name, _)| name == kind)
            .map_or(0, |(_, tenths)| tenths.iter().sum())
    }

    /// One line per kind that occurs: total, and whether it rises or fell silent.
    pub fn sentences(&self) -> Vec<String> {
        self.kinds
            .iter()
            .filter(|(_, tenths)| tenths.iter().any(|count| *count > 0))
            .map(|(kind, tenths)| {
                let early: u64 = tenths[..5].iter().sum();
                let late: u64 = tenths[5..].iter().sum();
                let trend = if tenths[9] == 0 && tenths[8] == 0 {
                    "silent in the last fifth of the log"
                } else if late > early.saturating_mul(2) {
                    "rising"
                } else {
                    "still going on at the end"
                };
                format!(
                    "{} of {} log lines speak of {kind}: {trend}",
                    early + late,
                    self.lines
                )
            })
            .collect()
    }
}

/// Counts the lines of a log by kind and tenth.
pub fn read_log(bytes: &[u8]) -> Parsed<LogCounts> {
    let text = String::from_utf8_lossy(bytes);
    let total = text.lines().count();
    let mut counts = LogCounts {
        lines: total as u64,
        kinds: KINDS
            .iter()
            .map(|(kind, _)| ((*kind).to_owned(), [0; 10]))
            .collect(),
    };
    for (index, line) in text.lines().enumerate() {
        let line = line.to_ascii_lowercase();
        let tenth = (index * 10 / total.max(1)).min(9);
        for (slot, (_, stems)) in KINDS.iter().enumerate() {
            if stems.iter().any(|stem| line.contains(stem)) {
                counts.kinds[slot].1[tenth] += 1;
            }
        }
    }
    let notes = if total == 0 {
        vec![Note::new("log", "is empty")]
    } else {
        Vec::new()
    };
    (counts, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_fell_silent_says_so() {
        let mut log = "retrying order 7\n".repeat(50);
        log.push_str(&"order served\n".repeat(50));
        let (counts, _) = read_log(log.as_bytes());
        assert_eq!(counts.total("retry"), 50);
        assert_eq!(
            counts.sentences(),
            ["50 of 100 log lines speak of retry: silent in the last fifth of the log"]
        );
    }

    #[test]
    fn a_log_that_gets_worse_says_so() {
        let mut log = "ok\n".repeat(80);
        log.push_str(&"context deadline exceeded\n".repeat(20));
        let (counts, _) = read_log(log.as_bytes());
        assert!(counts.sentences()[0].ends_with("rising"));
    }
}
