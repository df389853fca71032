//! What livelock and retry storm have in common: far more is tried than succeeds.
//!
//! A ratio alone misleads. A flusher that skips when busy tries twelve times per success and is
//! healthy: nobody is in a hurry. So the ratio must come with heat, with a rate no patient loop has,
//! or with no success at all; and attempts that are *first* attempts, each by a newcomer who then
//! stays, are no retries but a pile-up.

use crate::exectrace::TraceSummary;
use crate::fact::{Facts, Family, Pair, loop_holder};
use crate::profile::Profile;
use crate::stack::{Frame, Stack};

/// Fewer attempts a second than this cannot hurt anybody.
const LEAST_ATTEMPTS: f64 = 20.0;
/// Attempts per success from which a hot loop is in vain.
const HOT_RATIO: f64 = 5.0;
/// Attempts per success from which even a cool loop over the network is in vain.
const NETWORK_RATIO: f64 = 4.0;
/// Attempts per success from which even counters that may not belong together tell.
const LOOSE_RATIO: f64 = 50.0;
/// Attempts a second from which having no success at all is in vain, however cool.
const INSISTENT: f64 = 100.0;
/// Attempts a second no loop with a sensible pause reaches.
const HURRIED: f64 = 1_000.0;

/// Less processor time than this (twenty samples of Go's profiler) is no profile to judge by.
const LEAST_CPU_NANOS: i64 = 200_000_000;

/// A loop that tries in vain.
#[derive(Debug)]
pub(super) struct Retrying<'a> {
    pub(super) pair: Option<&'a Pair>,
    /// The function that holds the loop.
    pub(super) culprit: Option<Frame>,
    /// Number of actors at the last moment; 0 when unknown.
    pub(super) actors: u64,
    /// Whether the loop talks to somebody outside.
    pub(super) network: bool,
}

/// Finds the loop, if there is one.
pub(super) fn retrying<'a>(facts: &'a Facts<'_>) -> Option<Retrying<'a>> {
    let pair = facts.counters.worst_pair();
    let family = busiest_family(facts);
    let network = family.is_some_and(Family::on_network) || profile_on_network(facts);
    match pair {
        Some(pair) if in_vain(facts, pair, network) => Some(Retrying {
            pair: Some(pair),
            culprit: culprit(facts, family),
            actors: family.map_or(0, Family::last),
            network,
        }),
        // Counters that show success are the better witness.
        Some(_) => None,
        None => spinning(facts, family?, network),
    }
}

fn in_vain(facts: &Facts<'_>, pair: &Pair, network: bool) -> bool {
    if pair.attempts < LEAST_ATTEMPTS {
        return false;
    }
    // Every attempt brings a newcomer who stays: that is a pile-up, told by other checks.
    let newcomers = facts
        .tasks
        .as_ref()
        .and_then(|tasks| tasks.alive)
        .or_else(|| crate::fact::growth(&facts.population));
    if newcomers.is_some_and(|growth| growth.per_second >= 0.3 * (pair.attempts - pair.successes)) {
        return false;
    }
    let none_succeeds = pair.successes * facts.counters.span < 2.0;
    let ratio = pair.ratio();
    if pair.loose {
        return ratio >= LOOSE_RATIO && (facts.heat.hot() || pair.attempts >= HURRIED);
    }
    (none_succeeds && pair.attempts >= INSISTENT)
        || (ratio >= HOT_RATIO && (facts.heat.hot() || pair.attempts >= HURRIED))
        || (ratio >= NETWORK_RATIO && network)
}

/// Without counters: the same family awake at every moment and nothing finished, while it wants more
/// processors than there are and is caught in a primitive of trying again, or dials in vain.
fn spinning<'a>(facts: &Facts<'_>, family: &Family, network: bool) -> Option<Retrying<'a>> {
    let every_moment = family.counts.iter().all(|count| *count >= 4) && facts.dumps() >= 2;
    let finishes = facts
        .counters
        .completions_late
        .is_some_and(|rate| rate >= 1.0);
    if !every_moment || finishes {
        return None;
    }
    let cpu = facts.capture.cpu.as_ref()?;
    let of_family = |stack: &Stack| {
        stack
            .service_frames()
            .next_back()
            .is_some_and(|root| family.roots.contains(&root.function))
    };
    let primitive = |stack: &Stack| {
        stack.any(|function| {
            function.contains(".TryLock")
                || function.contains(".TryRLock")
                || function.contains("CompareAndSwap")
                || function == "runtime.Gosched"
        })
    };
    let burns = cpu.share(of_family);
    let caught = cpu.share(|stack| of_family(stack) && primitive(stack));
    let in_vain = facts.heat.hot() && burns >= 0.6 && caught >= 0.05;
    (in_vain || dials_in_vain(cpu, &of_family)).then(|| Retrying {
        pair: None,
        culprit: culprit(facts, Some(family)),
        actors: family.last(),
        network,
    })
}

/// Most of the processor time goes into opening connections, and next to none into using them: what
/// is dialled does not answer.
fn dials_in_vain(cpu: &Profile, of_family: &impl Fn(&Stack) -> bool) -> bool {
    let dials = cpu.share(|stack| {
        of_family(stack) && stack.any(|function| function.starts_with("net.(*sysDialer)."))
    });
    let uses = cpu.share(|stack| {
        stack.any(|function| {
            matches!(
                function,
                "net.(*conn).Read"
                    | "net.(*conn).Write"
                    | "net.(*netFD).Read"
                    | "net.(*netFD).Write"
            )
        })
    });
    cpu.total() >= LEAST_CPU_NANOS && dials >= 0.5 && uses < 0.05
}

/// The family that is awake the most and burns the most.
fn busiest_family<'a>(facts: &'a Facts<'_>) -> Option<&'a Family> {
    let families = &facts.families.own;
    let awake: u64 = families.iter().map(Family::restless).sum();
    let score = |family: &Family| {
        let share = family.restless() as f64 / awake.max(1) as f64;
        let burnt = facts.capture.cpu.as_ref().map_or(0.0, |cpu| {
            cpu.share(|stack| {
                stack
                    .service_frames()
                    .next_back()
                    .is_some_and(|root| family.roots.contains(&root.function))
            })
        });
        share + burnt
    };
    families
        .iter()
        .filter(|family| family.restless() > 0)
        .max_by(|a, b| score(a).total_cmp(&score(b)))
}

/// Whether a quarter of the processor time goes into reaching somebody outside.
fn profile_on_network(facts: &Facts<'_>) -> bool {
    facts.capture.cpu.as_ref().is_some_and(|cpu| {
        cpu.share(|stack| {
            crate::fact::is_outbound_call(stack)
                || stack.any(|function| {
                    function.contains("TcpStream")
                        || function.contains("net::tcp")
                        || function.contains("std::net::")
                        || function == "connect"
                        || function == "__connect"
                })
        }) >= 0.25
    })
}

fn culprit(facts: &Facts<'_>, family: Option<&Family>) -> Option<Frame> {
    if let Some(family) = family {
        let actors: Vec<(&Stack, u64)> = family
            .stacks
            .iter()
            .map(|(stack, _, count)| (stack, *count))
            .collect();
        if let Some(holder) = loop_holder(&actors) {
            return Some(holder);
        }
    }
    let cpu = facts.capture.cpu.as_ref()?;
    let actors: Vec<(&Stack, u64)> = cpu
        .samples
        .iter()
        .filter(|sample| sample.stack.service_frames().next().is_some())
        .map(|sample| {
            let weight = sample.values.last().copied().unwrap_or(0);
            (&sample.stack, u64::try_from(weight).unwrap_or(0))
        })
        .collect();
    loop_holder(&actors)
}

/// The sentences both verdicts share.
pub(super) fn evidence(facts: &Facts<'_>, retrying: &Retrying<'_>) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(pair) = retrying.pair {
        let each = if pair.successes < 0.1 {
            "next to none succeeds".to_owned()
        } else {
            format!("{:.0} attempts for each success", pair.ratio())
        };
        said.push(format!(
            "{} {} against {} {}: {each}",
            super::per_second(pair.attempts),
            pair.attempts_name,
            super::per_second(pair.successes),
            pair.successes_name,
        ));
    }
    if retrying.actors > 0 {
        said.push(format!(
            "{} goroutines do it",
            super::grouped(retrying.actors)
        ));
    }
    if facts.heat.hot() {
        said.extend(facts.heat.sentence());
    }
    said.extend(facts.capture.trace.as_ref().and_then(tiny_slices));
    said
}

/// A sentence about run slices, when they are many and tiny.
fn tiny_slices(trace: &TraceSummary) -> Option<String> {
    let tiny = trace.short_slices as f64 / trace.slices.max(1) as f64;
    (trace.slices >= 100 && tiny >= 0.5).then(|| {
        format!(
            "{:.0} run slices a second, {:.0} % of them under 100 us: much scheduling, little work",
            trace.slices_per_second(),
            tiny * 100.0
        )
    })
}
