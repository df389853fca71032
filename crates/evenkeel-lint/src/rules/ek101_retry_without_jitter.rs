use super::intent::{is_command, stays_on_this_machine, waits_for_a_state, woken_by_events};
use super::{is_remote, retries};
use crate::facts::delay::{DelayFacts, Wait};
use crate::facts::loops::Bound;
use crate::facts::words::has_word;
use crate::facts::{Traits, View};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::syntax::{Kind, NodeId, Role};

/// Shorter waits are for something on the same machine.
pub(super) const HERD_MS: u64 = 100;
/// A loop that is over within this time is over before a herd could form.
const OVER_MS: u64 = 1_000;
/// Names that count turns.
const COUNTERS: &[&str] = &["attempt", "attempts", "retries", "tries", "i"];
/// Longer ones are a schedule.
pub(super) const SCHEDULE_MS: u64 = 300_000;

pub(super) const RULE: Rule = Rule {
    code: "EK101",
    name: "retry-without-jitter",
    level: Level::Warning,
    standing: Standing::Default,
    summary: "a retry of a remote operation waits the same time in every client",
    page: r#"
A loop tries a remote operation again after a delay that nothing randomises.

## Why it hurts
Clients that failed together come back together. After an outage of the dependency all of them wait
the same time and arrive in the same instant, again and again; the dependency recovers into a wall
of load and falls over again. A little randomness spreads them out: with full jitter the same number
of clients cause a tenth of the peak.

## Example
```go bad
package store

import ("context"; "net/http"; "time")

func fetch(ctx context.Context, client *http.Client, req *http.Request) (*http.Response, error) {
	for attempt := 0; attempt < 5; attempt++ {
		resp, err := client.Do(req)
		if err == nil {
			return resp, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second << attempt):
		}
	}
	return nil, errFailed
}
```
```go good
package store

import ("context"; "math/rand/v2"; "net/http"; "time")

func fetch(ctx context.Context, client *http.Client, req *http.Request) (*http.Response, error) {
	for attempt := 0; attempt < 5; attempt++ {
		resp, err := client.Do(req)
		if err == nil {
			return resp, nil
		}
		delay := rand.N(min(30*time.Second, time.Second<<attempt))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(delay):
		}
	}
	return nil, errFailed
}
```
```rust bad
async fn fetch(client: &Client) -> Result<Page, Error> {
    let mut delay = Duration::from_millis(100);
    for _ in 0..5 {
        match client.request(&page).await {
            Ok(page) => return Ok(page),
            Err(error) => warn!(%error, "trying again"),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(Duration::from_secs(10));
    }
    Err(Error::GaveUp)
}
```
```rust good
async fn fetch(client: &Client) -> Result<Page, Error> {
    let mut delay = Duration::from_millis(100);
    for _ in 0..5 {
        match client.request(&page).await {
            Ok(page) => return Ok(page),
            Err(error) => warn!(%error, "trying again"),
        }
        tokio::time::sleep(rand::random_range(Duration::ZERO..delay)).await;
        delay = (delay * 2).min(Duration::from_secs(10));
    }
    Err(Error::GaveUp)
}
```

## How it is found
The loop's paths are followed: failure of one operation leads to the next turn, success leads out.
The operation leaves the machine (its receiver, its name, or the package's function of that name says
so). The delay is followed to its definitions, two steps and one function of the same package deep,
and nothing on the way is random. A delay that comes from a function of unknown behaviour is passed
over, and so are fixed delays below 100 ms (something on the same machine) and above 5 min (a schedule).

## Known false alarms
A loop that only one process in the world runs. A delay that a caller has already randomised.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for (facts, operation) in retries(view) {
        let Some((site, delay)) = &facts.delay else {
            continue;
        };
        if matches!(site.wait, Wait::Tick | Wait::Helper)
            || delay.is_random
            || site.duration.is_none()
        {
            continue;
        }
        if delay
            .callees
            .iter()
            .any(|callee| sink.spec.jitter_fns.contains(callee))
        {
            continue;
        }
        if waits_for_a_state(view, facts)
            || stays_on_this_machine(view, facts.node)
            || is_command(view, facts.node)
            || woken_by_events(view, site.call)
        {
            continue;
        }
        if facts.attempts.is_some_and(|n| n <= 2)
            || over_at_once(facts.attempts, delay)
            || !varies(view, facts.node, delay, site.duration)
            || delay
                .constant_ms
                .is_some_and(|ms| !(HERD_MS..SCHEDULE_MS).contains(&ms))
        {
            continue;
        }
        let waits = match (delay.constant_ms, delay.grows) {
            (_, Some(_)) => format!(
                "waits `{}`, which grows the same way in every client",
                delay.text
            ),
            (Some(ms), None) => format!("sleeps a fixed {}", duration(ms)),
            (None, None) => format!("sleeps `{}`", delay.text),
        };
        let level = if view.is_program || facts.bound == Bound::Counted && delay.grows.is_none() {
            Level::Warning
        } else {
            Level::Error
        };
        let finding = Finding::at(
            view,
            site.call,
            format!("retry of `{}` {waits}; no randomness found", operation.path),
        )
        .level(level)
        .label("every client waits exactly this long")
        .related(view, facts.node, "the loop that tries again")
        .related(view, operation.call, "what it retries")
        .help(
            "randomise the delay: full jitter draws it from zero to the back-off's current length",
        );
        let callees = delay.callees.clone();
        let is_foreign = delay.has_foreign_callee;
        let (remote, name) = (operation.remote, operation.name.clone());
        sink.report_if(finding, move |index, package, finding| {
            if !is_remote(remote, &name, index, package) {
                return false;
            }
            for callee in &callees {
                match index.has(package, callee, Traits::RANDOM) {
                    Some(true) => return false,
                    Some(false) => {
                        if let Some((path, summary)) = index.named(package, callee).next() {
                            finding
                                .message
                                .push_str(&format!(" in `{callee}` ({path}:{})", summary.line));
                        }
                    }
                    None if is_foreign || !callees.is_empty() => return false,
                    None => {}
                }
            }
            true
        });
    }
}

/// Whether the delay is more than one fixed length: it grows, is computed, or changes within the loop.
/// A fixed one is EK105's: half of those that were read waited for something on purpose.
fn varies(view: &View<'_>, node: NodeId, delay: &DelayFacts, duration: Option<NodeId>) -> bool {
    let tree = view.tree;
    if delay.grows.is_some() {
        return true;
    }
    if delay.is_constant {
        return false;
    }
    let changes = |name: &str| {
        tree.subtree(node).any(|id| {
            tree.kind(id) == Kind::Increment && tree.children(id).any(|c| tree.text_of(c) == name)
                || tree.kind(id) == Kind::Assign
                    && tree
                        .child(id, Role::Left)
                        .is_some_and(|left| tree.text_of(left) == name)
        })
    };
    !delay.callees.is_empty()
        || duration.is_some_and(|d| {
            tree.subtree(d).any(|id| {
                tree.kind(id) == Kind::Name && {
                    let name = tree.text_of(id);
                    has_word(name, COUNTERS) && tree.kind(d) != Kind::Name
                        || changes(name)
                        || view.definitions(node, name).iter().any(|&v| {
                            tree.subtree(v).any(|n| {
                                tree.kind(n) == Kind::Name
                                    && has_word(
                                        tree.text_of(n),
                                        &["attempt", "attempts", "retries", "tries", "i"],
                                    )
                            })
                        })
                }
            })
        })
}

/// Whether all waits of a loop together are shorter than a second.
pub(super) fn over_at_once(attempts: Option<u32>, delay: &DelayFacts) -> bool {
    match (attempts, delay.constant_ms, delay.grows) {
        (Some(attempts), Some(ms), None) => u64::from(attempts).saturating_mul(ms) <= OVER_MS,
        _ => false,
    }
}

/// Milliseconds as people write them.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0 => "time below a millisecond".to_owned(),
        ms if ms % 60_000 == 0 => format!("{}min", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}
