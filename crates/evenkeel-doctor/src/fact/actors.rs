//! Which function holds the loop.
//!
//! A stack shows where a goroutine is, not where it will be again. The loop of a retry is in the
//! function that all actors have in common, and that itself calls a primitive of trying again;
//! where no such call was caught, it is the first *named* function below the goroutine's entry: the
//! operation it performs over and over.

use std::collections::BTreeMap;

use crate::capture::Capture;
use crate::stack::{Frame, Owner, Stack};

/// Share of the actors a function must be on to be theirs.
const COMMON: f64 = 0.8;
/// Share of the actors that must be caught in a primitive for it to name the loop.
const CAUGHT: f64 = 0.1;

/// Calls by which code tries again or makes room for others.
fn tries_again(function: &str) -> bool {
    function.contains(".TryLock")
        || function.contains(".TryRLock")
        || function.contains("CompareAndSwap")
        || function.contains("compare_exchange")
        || function.contains("try_lock")
        || matches!(
            function,
            "time.Sleep" | "runtime.Gosched" | "time.After" | "std::thread::yield_now"
        )
}

/// The frame that holds the loop of these actors.
pub(crate) fn loop_holder(actors: &[(&Stack, u64)]) -> Option<Frame> {
    let total: u64 = actors.iter().map(|(_, weight)| weight).sum();
    if total == 0 {
        return None;
    }
    // Weight of each function, and of each that was caught calling a primitive.
    let mut on: BTreeMap<&str, u64> = BTreeMap::new();
    let mut caught: BTreeMap<&str, u64> = BTreeMap::new();
    for (stack, weight) in actors {
        let mut seen: Vec<&str> = Vec::new();
        for (at, frame) in stack.0.iter().enumerate() {
            if frame.owner() != Owner::Service {
                continue;
            }
            let name = frame.function.as_str();
            if !seen.contains(&name) {
                seen.push(name);
                *on.entry(name).or_default() += weight;
            }
            let callee = at
                .checked_sub(1)
                .map(|inner| stack.0[inner].function.as_str());
            if callee.is_some_and(tries_again) {
                *caught.entry(name).or_default() += weight;
            }
        }
    }
    let heaviest = actors.iter().max_by_key(|(_, weight)| *weight)?.0;
    let common = |frame: &&Frame| {
        on.get(frame.function.as_str())
            .is_some_and(|weight| *weight as f64 >= COMMON * total as f64)
    };
    let shared: Vec<&Frame> = heaviest.service_frames().rev().filter(common).collect();
    let by_primitive = shared.iter().rev().find(|frame| {
        caught
            .get(frame.function.as_str())
            .is_some_and(|weight| *weight as f64 >= CAUGHT * total as f64)
    });
    let named = || {
        shared
            .iter()
            .find(|frame| !frame.is_closure() && frame.local_name() != "main" && !is_entry(frame))
    };
    let chosen = by_primitive.or_else(named).or(shared.last())?;
    Some(at_usual_line(chosen, actors))
}

/// Names that frameworks call, not operations of the service.
fn is_entry(frame: &Frame) -> bool {
    frame.function.ends_with(".ServeHTTP")
        || frame.function.ends_with("::main")
        || frame.function.contains("{{closure}}")
}

/// The function at the line it was most often seen at.
fn at_usual_line(frame: &Frame, actors: &[(&Stack, u64)]) -> Frame {
    let mut lines: BTreeMap<u32, u64> = BTreeMap::new();
    for (stack, weight) in actors {
        if let Some(seen) = stack.0.iter().find(|seen| seen.function == frame.function) {
            *lines.entry(seen.line).or_default() += weight;
        }
    }
    let line = lines
        .into_iter()
        .max_by_key(|(_, weight)| *weight)
        .map_or(frame.line, |(line, _)| line);
    Frame {
        line,
        ..frame.clone()
    }
}

/// The service's functions that open outbound HTTP connections, the most frequent first, from the
/// waits the block profile saw end and from calls under way in the dumps.
pub(crate) fn outbound_callers(capture: &Capture) -> Vec<(Frame, u64)> {
    let mut callers: BTreeMap<Frame, u64> = BTreeMap::new();
    let mut add = |stack: &Stack, weight: u64| {
        if super::role::is_outbound_call(stack)
            && let Some(frame) = stack.service_frames().next()
        {
            *callers.entry(frame.clone()).or_default() += weight;
        }
    };
    for profile in [&capture.block, &capture.cpu].into_iter().flatten() {
        for sample in &profile.samples {
            let weight = sample.values.first().copied().unwrap_or(0);
            add(&sample.stack, u64::try_from(weight).unwrap_or(0));
        }
    }
    for dump in capture.dumps() {
        for group in &dump.groups {
            add(&group.stack, group.count);
        }
    }
    let mut callers: Vec<_> = callers.into_iter().collect();
    callers.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    callers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &[(&str, u32)]) -> Stack {
        Stack(
            functions
                .iter()
                .map(|(function, line)| Frame {
                    function: (*function).into(),
                    file: "a.go".into(),
                    line: *line,
                })
                .collect(),
        )
    }

    #[test]
    fn the_operation_below_the_entry_holds_the_loop_when_its_callees_vary() {
        let one = stack(&[
            ("encoding/json.Marshal", 1),
            ("shop/inv.clone", 12),
            ("shop/inv.(*Store).Adjust", 22),
            ("shop/inv.Start.func1", 37),
        ]);
        let two = stack(&[
            ("shop/inv.clone", 14),
            ("shop/inv.(*Store).Adjust", 22),
            ("shop/inv.Start.func1", 37),
        ]);
        let holder = loop_holder(&[(&one, 5), (&two, 4)]).unwrap();
        assert_eq!(
            (holder.function.as_str(), holder.line),
            ("shop/inv.(*Store).Adjust", 22)
        );
    }

    #[test]
    fn a_primitive_names_the_loop_however_deep_it_is() {
        let deep = stack(&[
            ("time.Sleep", 1),
            ("shop/db.(*Tx).retry", 9),
            ("shop/api.Order", 4),
            ("shop/api.Start.func1", 2),
        ]);
        assert_eq!(
            loop_holder(&[(&deep, 3)]).unwrap().function,
            "shop/db.(*Tx).retry"
        );
    }
}
