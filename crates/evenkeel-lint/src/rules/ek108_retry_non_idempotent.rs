use super::retries;
use crate::facts::words::has_any;
use crate::facts::{Traits, View};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::syntax::{Kind, NodeId};

pub(super) const RULE: Rule = Rule {
    code: "EK108",
    name: "retry-non-idempotent",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a POST or PATCH is sent again after a failure that may have come too late",
    page: r#"
A loop sends a POST or PATCH again after a timeout or a status, without an idempotency key.

## Why it hurts
A request that timed out may have been carried out. Sending it again pays the invoice twice. RFC 9110
(9.2.2) forbids the automatic retry of such a method unless the client knows that it is idempotent.

## Example
```go bad
package billing

import ("bytes"; "net/http"; "time")

func charge(client *http.Client, body []byte) error {
	for i := 0; i < 3; i++ {
		resp, err := client.Post(url, "application/json", bytes.NewReader(body))
		if err == nil && resp.StatusCode < 500 {
			return nil
		}
		time.Sleep(jitter(i))
	}
	return errFailed
}
```
```go good
package billing

import ("bytes"; "net/http"; "time")

func charge(client *http.Client, body []byte, key string) error {
	for i := 0; i < 3; i++ {
		req, _ := http.NewRequest("POST", url, bytes.NewReader(body))
		req.Header.Set("Idempotency-Key", key)
		resp, err := client.Do(req)
		if err == nil && resp.StatusCode < 500 {
			return nil
		}
		time.Sleep(jitter(i))
	}
	return errFailed
}
```
```rust bad
use reqwest::Client;
async fn charge(client: &Client, url: &str, body: &Invoice) -> Result<(), Error> {
    for attempt in 0..3 {
        match client.post(url).json(body).send().await {
            Ok(_) => return Ok(()),
            Err(error) => warn!(%error, "trying again"),
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```
```rust good
use reqwest::Client;
async fn charge(client: &Client, url: &str, body: &Invoice, key: &str) -> Result<(), Error> {
    for attempt in 0..3 {
        match client.post(url).header("Idempotency-Key", key).json(body).send().await {
            Ok(_) => return Ok(()),
            Err(error) => warn!(%error, "trying again"),
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```

## How it is found
The retried call is a POST or PATCH by its literal method, in the loop or one function of the package
below, and no idempotency key, no test for idempotence and no test for a connect failure is seen.

## Known false alarms
POST used for reading, as many query interfaces do.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    for (facts, operation) in retries(view) {
        let text = tree.text_of(view.scope(facts.node));
        if has_any(
            text,
            &[
                "idempoten",
                "is_safe",
                "issafe",
                "is_connect",
                "econnrefused",
                "connectionrefused",
                "dedup",
                "request_id",
                "requestid",
            ],
        ) {
            continue;
        }
        if has_any(
            &operation.path,
            &[
                "query", "search", "read", "list", "fetch", "graphql", "login", "token", "auth",
                "refresh",
            ],
        ) {
            continue;
        }
        let finding = Finding::at(
            view,
            operation.call,
            format!(
                "`{}` sends a POST or PATCH again without an idempotency key",
                operation.path
            ),
        )
        .label("may have been carried out already")
        .related(view, facts.node, "the loop that tries again")
        .help("send one `Idempotency-Key` with every attempt, or retry only what was never sent");
        if posts_within(view, operation.call) {
            sink.report(finding);
            continue;
        }
        let name = operation.name.clone();
        sink.report_if(finding, move |index, package, finding| {
            let mut found = false;
            for (path, summary) in index.named(package, &name) {
                if !summary.traits.has(Traits::POST)
                    || !summary.traits.has(Traits::HTTP)
                    || summary.traits.has(Traits::IDEMPOTENCY_KEY)
                {
                    return false;
                }
                finding
                    .message
                    .push_str(&format!(" (in `{name}`, {path}:{})", summary.line));
                found = true;
            }
            found
        });
    }
}

/// Whether the call itself, or the builder it ends, names the method.
fn posts_within(view: &View<'_>, call: NodeId) -> bool {
    let tree = view.tree;
    tree.subtree(call).any(|id| match tree.kind(id) {
        Kind::Call => {
            let name = tree.callee_name(id);
            matches!(name, "Post" | "PostForm") && view.called(id).contains("net/http")
                || matches!(name, "post" | "patch")
                    && tree.receiver(id).is_some()
                    && view.imports_any("reqwest")
                || name == "Post" && has_any(&view.called(id), &["client", "http"])
        }
        Kind::Field => {
            matches!(tree.last_segment(id), "MethodPost" | "MethodPatch")
                || tree.text_of(id).ends_with("Method::POST")
        }
        _ => false,
    })
}
