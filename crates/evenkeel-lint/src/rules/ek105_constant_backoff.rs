use super::ek101_retry_without_jitter::{HERD_MS, SCHEDULE_MS, over_at_once};
use super::intent::{is_command, stays_on_this_machine, waits_for_a_state, woken_by_events};
use super::{is_remote, retries};
use crate::facts::View;
use crate::facts::delay::Wait;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK105",
    name: "constant-backoff",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a retry of a remote operation waits the same time after the first and the hundredth failure",
    page: r#"
A loop tries a remote operation again after a delay that is a literal or a constant.

## Why it hurts
A dependency that is down for minutes is asked as often as one that hiccuped once. The load of all
clients together stays at its highest exactly while the dependency tries to come back.

## Example
```go bad
package store

import ("context"; "math/rand/v2"; "time")

const pause = 500 * time.Millisecond

func load(ctx context.Context, client *Client) error {
	for attempt := 0; attempt < 20; attempt++ {
		if err := client.Call(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return errFailed
}
```
```go good
package store

import ("context"; "math/rand/v2"; "time")

func load(ctx context.Context, client *Client) error {
	for attempt := 0; attempt < 20; attempt++ {
		if err := client.Call(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(min(10*time.Second, 100*time.Millisecond<<attempt))):
		}
	}
	return errFailed
}
```
```rust bad
async fn load(client: &Client) -> Result<(), Error> {
    for _ in 0..20 {
        if client.call().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(Error::GaveUp)
}
```
```rust good
async fn load(client: &Client, backoff: &mut Backoff) -> Result<(), Error> {
    for _ in 0..20 {
        if client.call().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
    Err(Error::GaveUp)
}
```

## How it is found
As EK101, with a delay that is written as a literal or a constant of the file, and more than two
attempts. Where EK101 reports the same loop, the two are one finding.

## Known false alarms
A dependency on the same machine behind a remote-looking name.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for (facts, operation) in retries(view) {
        let Some((site, delay)) = &facts.delay else {
            continue;
        };
        if matches!(site.wait, Wait::Tick | Wait::Helper)
            || !delay.is_constant
            || delay.grows.is_some()
            || delay.is_random
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
            || delay
                .constant_ms
                .is_some_and(|ms| !(HERD_MS..SCHEDULE_MS).contains(&ms))
        {
            continue;
        }
        let finding = Finding::at(
            view,
            site.call,
            format!(
                "retry of `{}` waits a constant `{}` however often it failed",
                operation.path, delay.text
            ),
        )
        .label("the same after every failure")
        .related(view, facts.node, "the loop that tries again")
        .related(view, operation.call, "what it retries")
        .help("let the delay grow up to a cap, and randomise it");
        let (remote, name) = (operation.remote, operation.name.clone());
        sink.report_if(finding, move |index, package, _| {
            is_remote(remote, &name, index, package)
        });
    }
}
