use crate::facts::loops::{Bound, LoopKind};
use crate::facts::words::{RANDOM, has_any};
use crate::facts::{Traits, View};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

/// Growth is harmless while so few turns are made: 2^10 times the first delay.
const HARMLESS_ATTEMPTS: u32 = 10;

pub(super) const RULE: Rule = Rule {
    code: "EK104",
    name: "backoff-without-cap",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a delay doubles without end: hours after an outage the client still sleeps",
    page: r#"
A delay grows by multiplication or shift, and nothing holds it down.

## Why it hurts
Doubling from 100 ms passes an hour after 15 failures and overflows after 60: a client that lived
through an outage then sleeps through the recovery, or, once the number wraps, hammers without any
pause.

## Example
```go bad
package store

import "time"

func (s *Store) reconnect() {
	delay := time.Second
	for !s.closed() {
		if err := s.conn.Dial(); err == nil {
			return
		}
		time.Sleep(delay + jitter(delay))
		delay *= 2
	}
}
```
```go good
package store

import "time"

func (s *Store) reconnect() {
	delay := time.Second
	for !s.closed() {
		if err := s.conn.Dial(); err == nil {
			return
		}
		time.Sleep(delay + jitter(delay))
		delay = min(2*delay, time.Minute)
	}
}
```
```rust bad
async fn reconnect(&self) {
    let mut delay = Duration::from_secs(1);
    while !self.is_closed() {
        if self.connection.connect().await.is_ok() {
            return;
        }
        tokio::time::sleep(jittered(delay)).await;
        delay *= 2;
    }
}
```
```rust good
async fn reconnect(&self) {
    let mut delay = Duration::from_secs(1);
    while !self.is_closed() {
        if self.connection.connect().await.is_ok() {
            return;
        }
        tokio::time::sleep(jittered(delay)).await;
        delay = (delay * 2).min(Duration::from_secs(60));
    }
}
```

## How it is found
A definition of the delay inside the loop multiplies, shifts or raises it, no `min`, `clamp` or
comparison of the delay is seen in the function or in a function of the package that computes it, and
the number of turns is not limited, or known to be more than ten.

## Known false alarms
A cap inside a type of another package.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for facts in &view.loops {
        let Some((site, delay)) = &facts.delay else {
            continue;
        };
        let Some(growth) = delay.grows else { continue };
        if delay.is_capped || facts.attempts.is_some_and(|n| n <= HARMLESS_ATTEMPTS) {
            continue;
        }
        // A count that is configured, or a clock, ends the growth somewhere else.
        let ends_elsewhere =
            matches!(facts.bound, Bound::Counted | Bound::Compared) && facts.attempts.is_none();
        if !matches!(facts.kind, LoopKind::Retry | LoopKind::Reconnect) || ends_elsewhere {
            continue;
        }
        let turns = facts
            .attempts
            .map_or_else(|| "any number of".to_owned(), |n| n.to_string());
        let finding = Finding::at(
            view,
            growth,
            format!(
                "the delay `{}` grows over {turns} turns and nothing caps it",
                delay.text
            ),
        )
        .label("grows here")
        .related(view, site.call, "is waited here")
        .related(view, facts.node, "the loop")
        .help("cap the delay: `min(2*delay, maximum)`");
        // Randomising a delay does not cap it.
        let callees: Vec<String> = delay
            .callees
            .iter()
            .filter(|c| !has_any(c, RANDOM))
            .cloned()
            .collect();
        sink.report_if(finding, move |index, package, _| {
            callees
                .iter()
                .all(|callee| index.has(package, callee, Traits::CLAMPS) == Some(false))
        });
    }
}
