//! Response bodies that nobody closes.

use super::{Check, grouped};
use crate::fact::{Facts, Family, growth, outbound_callers};
use evenkeel_report::Confidence;

use crate::finding::{Finding, Ingredient, Verdict};

pub(super) const CHECK: Check = Check {
    code: "EKD009",
    verdict: Verdict::Leak,
    summary: "outbound HTTP connections pile up without a call under way: bodies are not closed",
    page: "\
Unclosed bodies: each outbound HTTP connection keeps a read loop and a write loop. They wait for the
response body to be read to its end and closed; a caller that looks at the status and returns leaves
both behind, and the connection with them.

Called when these loops grow steadily while there are not nearly as many calls under way: loops with
a call each belong to calls that hang, which is another finding. In an excerpt it is called when
nothing but such loops is shown.

The loops do not show who made the call. The service's line named is the one most often seen making
outbound calls, in the block profile, the processor profile or the dumps.

Do first: restart after a capture. Then: close the body on every path, `defer resp.Body.Close()`, and
read it to the end if the connection shall be reused. Watch open descriptors.",
    run,
};

fn run(facts: &Facts<'_>) -> Option<Finding> {
    let loops: u64 = facts.families.transport.iter().map(Family::last).sum();
    let moments = facts.families.times.len();
    let points: Vec<(f64, f64)> = (0..moments)
        .map(|moment| {
            let at = facts.families.times[moment];
            let sum: u64 = facts
                .families
                .transport
                .iter()
                .map(|family| family.counts[moment])
                .sum();
            (at, sum as f64)
        })
        .collect();
    let calls: u64 = facts
        .families
        .tracks()
        .filter(|(_, track)| crate::fact::is_outbound_call(&track.stack))
        .map(|(_, track)| track.last())
        .sum();
    let climb = growth(&points);
    let excerpt = moments == 1
        && facts.families.own.is_empty()
        && facts
            .capture
            .dumps()
            .all(crate::goroutine::Goroutines::is_excerpt)
        && loops >= 20;
    if (climb.is_none() && !excerpt) || calls * 4 > loops {
        return None;
    }
    let callers = outbound_callers(facts.capture);
    let mut evidence = vec![format!(
        "{} read and write loops of outbound connections, with {} calls under way",
        grouped(loops),
        grouped(calls)
    )];
    if let Some(climb) = climb {
        evidence.push(format!(
            "they grow by {:.1}/s: {:.0} to {:.0} in {:.0} s",
            climb.per_second, climb.first, climb.last, climb.seconds
        ));
    }
    let mut missing = Vec::new();
    let culprit = match callers.first() {
        Some((frame, times)) => {
            evidence.push(format!(
                "{} was seen making outbound calls {} times, more than any other",
                frame.function,
                grouped(*times)
            ));
            Some(frame.clone())
        }
        None => {
            missing.push(
                "a block profile (SetBlockProfileRate), to see who makes the calls".to_owned(),
            );
            facts
                .families
                .transport
                .iter()
                .max_by_key(|family| family.last())
                .and_then(|family| family.main_track())
                .map(|track| track.culprit.clone())
        }
    };
    Some(Finding {
        code: CHECK.code,
        verdict: CHECK.verdict,
        subkind: Some("unclosed-body"),
        confidence: if climb.is_some() {
            Confidence::Certain
        } else {
            Confidence::Possible
        },
        culprit,
        resource: "outbound connections, each held by a body nobody closed".to_owned(),
        remove: Ingredient::Resource,
        evidence,
        missing,
        remedies: super::remedies(
            &["restart after a capture"],
            &["close the response body on every path; read it to the end to reuse the connection"],
            &["alert on open descriptors and on goroutines rising for ten minutes"],
        ),
    })
}
