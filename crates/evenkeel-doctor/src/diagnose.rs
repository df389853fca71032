//! From facts to one story.
//!
//! Checks are asked in the order of how sharply their evidence separates, not of how bad the shape
//! is. The first that answers names the verdict. The others' answers are kept only where they tell
//! something the first does not: a leak of goroutines behind a livelock is news, a contended lock
//! behind its own deadlock is the same story told twice.

use crate::capture::Capture;
use crate::check;
use crate::fact::Facts;
use crate::finding::{Diagnosis, Finding, Verdict};

/// Names what is wrong with the process a capture was taken of, or finds it healthy.
pub fn diagnose(capture: &Capture) -> Diagnosis {
    let facts = Facts::of(capture);
    let mut findings: Vec<Finding> = Vec::new();
    for check in check::ALL {
        if let Some(finding) = (check.run)(&facts)
            && findings.iter().all(|known| is_news(known, &finding))
        {
            findings.push(finding);
        }
    }
    Diagnosis {
        origin: capture.origin.clone(),
        verdict: findings
            .first()
            .map_or(Verdict::Healthy, |finding| finding.verdict),
        findings,
        looked_at: looked_at(capture, &facts),
        missing: missing(capture),
        notes: capture.notes.clone(),
    }
}

/// Whether a later finding tells something an earlier one does not.
fn is_news(known: &Finding, later: &Finding) -> bool {
    let same_place = match (&known.culprit, &later.culprit) {
        (Some(a), Some(b)) => a.package() == b.package(),
        _ => true,
    };
    known.verdict != later.verdict && !same_place
}

fn looked_at(capture: &Capture, facts: &Facts<'_>) -> Vec<String> {
    let mut seen = Vec::new();
    let dumps: Vec<String> = capture
        .dumps()
        .map(|dump| dump.total().to_string())
        .collect();
    if !dumps.is_empty() {
        seen.push(format!(
            "{} goroutine {}: {} goroutines, {} of them at the service's own work",
            dumps.len(),
            if dumps.len() == 1 { "dump" } else { "dumps" },
            dumps.join(", then "),
            facts.families.at_work()
        ));
    }
    if let Some(metrics) = &capture.metrics {
        seen.push(format!(
            "{} metrics over {:.0} s",
            metrics.series.len(),
            metrics.span()
        ));
    }
    if let Some(trace) = &capture.schedtrace {
        seen.push(format!("{} lines of the scheduler", trace.lines.len()));
    }
    if let Some(sentence) = facts.heat.sentence() {
        seen.push(sentence);
    }
    for (profile, name) in [
        (&capture.cpu, "processor"),
        (&capture.mutex, "mutex"),
        (&capture.block, "block"),
    ] {
        if let Some(profile) = profile {
            seen.push(format!(
                "{name} profile of {} stacks",
                profile.samples.len()
            ));
        }
    }
    if let Some(leaked) = &capture.leaked {
        seen.push(format!("goroutine leak profile: {} leaked", leaked.total()));
    }
    if let Some(trace) = &capture.trace {
        seen.push(format!(
            "execution trace: {:.0} run slices a second, {:.0} us each",
            trace.slices_per_second(),
            trace.mean_slice_us()
        ));
    }
    if let Some((_, process)) = capture.processes().next_back() {
        seen.push(format!("{} threads in /proc", process.threads.len()));
    }
    if let Some(logs) = &capture.logs {
        seen.extend(logs.sentences());
    }
    seen
}

fn missing(capture: &Capture) -> Vec<String> {
    let mut absent = Vec::new();
    let go = capture.dumps().next().is_some();
    if go && capture.dumps().count() < 2 {
        absent.push("a second goroutine dump some seconds later".to_owned());
    }
    if capture.metrics.is_none() {
        absent.push("metrics over time: attempts, successes, goroutines".to_owned());
    }
    if go && capture.schedtrace.is_none() && capture.processes().next().is_none() {
        absent.push("the scheduler's lines or /proc: how badly processors are wanted".to_owned());
    }
    if go && capture.leaked.is_none() {
        absent.push("the goroutineleak profile (Go 1.26 and later)".to_owned());
    }
    if capture
        .block
        .as_ref()
        .is_some_and(|profile| profile.samples.is_empty())
    {
        absent.push("block profile: its rate is 0, so no wait that ended was seen".to_owned());
    }
    absent
}
