use super::intent::waits_for_a_state;
use super::retries;
use crate::facts::View;
use crate::finding::{Finding, Level, Place, Related};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK109",
    name: "nested-retry",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a retry of something that retries: the attempts multiply",
    page: r#"
A loop tries an operation again that itself tries again.

## Why it hurts
Attempts multiply. Three times four is twelve requests for one failed call, and a third layer makes
it forty: this is how a short fault becomes a retry storm. The inner loop's patience also eats the
outer loop's time.

## Example
```go bad
package store

import "time"

func save(client *Client) error {
	for i := 0; i < 3; i++ {
		if err := sendWithRetry(client); err == nil {
			return nil
		}
		time.Sleep(jitter(i))
	}
	return errFailed
}

func sendWithRetry(client *Client) error {
	for i := 0; i < 4; i++ {
		if err := client.Send(); err == nil {
			return nil
		}
		time.Sleep(jitter(i))
	}
	return errFailed
}
```
```go good
package store

import "time"

func save(client *Client) error {
	return sendWithRetry(client)
}

func sendWithRetry(client *Client) error {
	for i := 0; i < 4; i++ {
		if err := client.Send(); err == nil {
			return nil
		}
		time.Sleep(jitter(i))
	}
	return errFailed
}
```
```rust bad
async fn save(client: &Client) -> Result<(), Error> {
    for attempt in 0..3 {
        if send_with_retry(client).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
async fn send_with_retry(client: &Client) -> Result<(), Error> {
    for attempt in 0..4 {
        if client.send().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```
```rust good
async fn save(client: &Client) -> Result<(), Error> {
    send_with_retry(client).await
}
async fn send_with_retry(client: &Client) -> Result<(), Error> {
    for attempt in 0..4 {
        if client.send().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```

## How it is found
What a retry loop retries is the only function of that name in the package, and that function holds a
retry loop of its own. The product of the attempts is given where both are known. A poll around a
retry is passed over.

## Known false alarms
Layers that retry different failures, one of them never the other's.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for (facts, operation) in retries(view) {
        if waits_for_a_state(view, facts) {
            continue;
        }
        let finding = Finding::at(view, operation.call, format!("retry of `{}`, which retries by itself", operation.path))
            .label("every attempt here is several there")
            .related(view, facts.node, "the outer loop")
            .help("retry in one layer, the one that knows what may be sent again; elsewhere pass the error on");
        let name = operation.name.clone();
        let outer = facts.attempts;
        let from = view
            .function_summary(facts.node)
            .map(|s| (s.name.clone(), s.line));
        let own_path = view.path.to_owned();
        sink.report_if(finding, move |index, package, finding| {
            let all: Vec<_> = index.named(package, &name).collect();
            let [(path, summary)] = all.as_slice() else {
                return false;
            };
            let Some(retried) = &summary.retried else {
                return false;
            };
            if from
                .as_ref()
                .is_some_and(|(n, l)| *n == summary.name && *l == summary.line && *path == own_path)
            {
                return false;
            }
            finding
                .message
                .push_str(&format!(" (`{retried}`, {path}:{})", summary.line));
            if let (Some(outer), Some(inner)) = (outer, summary.attempts) {
                finding.message.push_str(&format!(
                    ": up to {outer} x {inner} = {} attempts",
                    u64::from(outer) * u64::from(inner)
                ));
            }
            finding.related.push(Related {
                place: Place {
                    path: (*path).to_owned(),
                    line: summary.line,
                    column: 1,
                    end_line: summary.line,
                    end_column: 1,
                    bytes: 0..0,
                },
                label: "the function that retries".to_owned(),
            });
            true
        });
    }
}
