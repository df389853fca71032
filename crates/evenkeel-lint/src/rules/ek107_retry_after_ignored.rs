use crate::facts::words::has_any;
use crate::facts::{Traits, View};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK107",
    name: "retry-after-ignored",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a retry of 429 or 503 does not read the Retry-After header",
    page: r#"
A loop tries again after 429 or 503 and nothing reads `Retry-After`.

## Why it hurts
The server says when to come back, and it knows. Coming back earlier is another refused request for
it and, with many services, a longer ban for the client.

## Example
```go bad
package store

import ("net/http"; "time")

func fetch(client *http.Client, req *http.Request) (*http.Response, error) {
	for i := 0; i < 5; i++ {
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusTooManyRequests {
			return resp, nil
		}
		time.Sleep(jitter(i))
	}
	return nil, errFailed
}
```
```go good
package store

import ("net/http"; "time")

func fetch(client *http.Client, req *http.Request) (*http.Response, error) {
	for i := 0; i < 5; i++ {
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusTooManyRequests {
			return resp, nil
		}
		time.Sleep(max(parse(resp.Header.Get("Retry-After")), jitter(i)))
	}
	return nil, errFailed
}
```
```rust bad
use reqwest::{Client, StatusCode};
async fn fetch(client: &Client, url: &str) -> Result<Response, Error> {
    for attempt in 0..5 {
        let response = client.get(url).send().await?;
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            return Ok(response);
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```
```rust good
use reqwest::{Client, StatusCode, header::RETRY_AFTER};
async fn fetch(client: &Client, url: &str) -> Result<Response, Error> {
    for attempt in 0..5 {
        let response = client.get(url).send().await?;
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            return Ok(response);
        }
        let floor = seconds(response.headers().get(RETRY_AFTER));
        tokio::time::sleep(floor.max(jittered(attempt))).await;
    }
    Err(Error::GaveUp)
}
```

## How it is found
A retry loop names 429 or 503, and neither the loop nor a function of the package that it calls reads
the header.

## Known false alarms
A service that is known never to send the header.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    for facts in &view.loops {
        if facts.kind == crate::facts::LoopKind::Periodic {
            continue;
        }
        let text = tree.text_of(facts.node);
        let throttled = has_any(
            text,
            &[
                "statustoomanyrequests",
                "too_many_requests",
                "statusserviceunavailable",
                "service_unavailable",
            ],
        ) || has_number(text, "429")
            || has_number(text, "503");
        let about_http = view.imports_any("net/http")
            || view.imports_any("reqwest")
            || view.imports_any("hyper")
            || view.imports_any("http");
        if !throttled
            || !about_http
            || facts
                .delay
                .as_ref()
                .is_none_or(|(_, d)| d.is_random && has_any(&d.text, &["after"]))
        {
            continue;
        }
        if has_any(tree.text, &["retry-after", "retry_after", "retryafter"]) {
            continue;
        }
        let Some((site, _)) = &facts.delay else {
            continue;
        };
        let operation = facts
            .operation
            .as_ref()
            .map_or("the request", |op| op.path.as_str());
        let finding = Finding::at(view, site.call, format!("retry of `{operation}` after 429 or 503 does not read `Retry-After`"))
            .label("waits its own time instead of the server's")
            .related(view, facts.node, "the loop that tries again")
            .help("take `Retry-After` (seconds or a date) as the floor of the delay, and jitter upwards only");
        let called: Vec<String> = tree
            .subtree(facts.node)
            .filter(|&id| tree.kind(id) == crate::syntax::Kind::Call)
            .map(|id| tree.callee_name(id).to_owned())
            .collect();
        sink.report_if(finding, move |index, package, _| {
            !called
                .iter()
                .any(|name| index.has(package, name, Traits::RETRY_AFTER) == Some(true))
        });
    }
}

/// Whether `number` stands in `text` as a number of its own.
fn has_number(text: &str, number: &str) -> bool {
    text.match_indices(number).any(|(at, _)| {
        let before = text[..at].bytes().next_back();
        let after = text[at + number.len()..].bytes().next();
        let is_part = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        !is_part(before) && !is_part(after)
    })
}
