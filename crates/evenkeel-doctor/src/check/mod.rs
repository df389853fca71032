//! The failure shapes, one a file.
//!
//! Each file holds what the shape is, on what evidence it is called, what to do, and the page that
//! `evenkeel doctor explain` prints. Rules rest on how the shape works (who survives, what ends, what
//! is tried in vain), never on the names of a service's functions.

mod blocked_executor;
mod blocking_call;
mod contention;
mod deadlock;
mod fan_out;
mod leak;
mod leaked;
mod livelock;
mod retry_storm;
mod retrying;
mod unclosed_body;

use crate::fact::Facts;
use crate::finding::{Finding, Remedies, Verdict};

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Stable code; never reused.
    pub code: &'static str,
    /// Its verdict.
    pub verdict: Verdict,
    /// One line: what it finds.
    pub summary: &'static str,
    /// The manual page.
    pub page: &'static str,
    pub(crate) run: fn(&Facts<'_>) -> Option<Finding>,
}

/// All checks, in the order they are asked.
pub const ALL: &[Check] = &[
    retry_storm::CHECK,
    livelock::CHECK,
    leaked::CHECK,
    blocked_executor::CHECK,
    fan_out::CHECK,
    deadlock::CHECK,
    contention::CHECK,
    blocking_call::CHECK,
    unclosed_body::CHECK,
    leak::CHECK,
];

/// The check with that code, or the first with that verdict's name.
pub fn find(code_or_verdict: &str) -> Option<&'static Check> {
    ALL.iter()
        .find(|check| check.code.eq_ignore_ascii_case(code_or_verdict))
        .or_else(|| {
            ALL.iter()
                .find(|check| check.verdict.name() == code_or_verdict)
        })
}

/// Builds remedies from three lists.
fn remedies(mitigate: &[&str], fix: &[&str], monitor: &[&str]) -> Remedies {
    let owned = |list: &[&str]| list.iter().map(|line| (*line).to_owned()).collect();
    Remedies {
        mitigate: owned(mitigate),
        fix: owned(fix),
        monitor: owned(monitor),
    }
}

/// `1412` as `1,412`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate for a person: `9,638/s`, `0.3/s`.
fn per_second(rate: f64) -> String {
    if rate >= 100.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate of 100 or more, rounded for display; saturates"
        )]
        let whole = rate.round() as u64;
        format!("{}/s", grouped(whole))
    } else {
        format!("{rate:.1}/s")
    }
}

/// "1,412 of 1,530 goroutines wait for a lock at db.go:7; was 210 8 s earlier".
fn crowd(facts: &Facts<'_>, track: &crate::fact::Track) -> String {
    let mut text = format!(
        "{} of {} goroutines {} at {} ({})",
        grouped(track.last()),
        grouped(
            facts
                .capture
                .dumps()
                .next_back()
                .map_or(0, crate::goroutine::Goroutines::total)
        ),
        track.state.words(),
        track.culprit.function,
        track.culprit.location()
    );
    if track.long_waits > 0 {
        text.push_str(&format!(
            ", {} of them for a minute or more, the longest for {} min",
            grouped(track.long_waits),
            track.longest_minutes
        ));
    }
    if let ([first, .., _], [start, .., end]) =
        (track.counts.as_slice(), facts.families.times.as_slice())
    {
        text.push_str(&format!(
            "; was {} {:.0} s earlier",
            grouped(*first),
            end - start
        ));
    }
    text
}

/// "of those at the first moment 100 % are still there".
fn survivors(share: f64) -> String {
    format!(
        "of the goroutines there at the first moment {:.0} % are still there at the last",
        share * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_pages_are_written() {
        for (at, check) in ALL.iter().enumerate() {
            assert!(check.page.len() > 200, "{} has no page", check.code);
            assert!(ALL[..at].iter().all(|earlier| earlier.code != check.code));
        }
    }

    #[test]
    fn a_check_is_found_by_code_and_by_verdict() {
        assert_eq!(
            find("ekd002").map(|check| check.verdict),
            Some(Verdict::Livelock)
        );
        assert_eq!(find("fanout").map(|check| check.code), Some("EKD005"));
        assert!(find("nothing").is_none());
    }

    #[test]
    fn numbers_are_grouped_for_reading() {
        assert_eq!(grouped(1_412), "1,412");
        assert_eq!(grouped(12), "12");
        assert_eq!(per_second(1_094_513.4), "1,094,513/s");
    }
}
