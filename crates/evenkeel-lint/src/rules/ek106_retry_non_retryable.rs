use super::intent::waits_for_a_state;
use super::retries;
use crate::facts::summary::is_http;
use crate::facts::words::has_any;
use crate::facts::{Traits, View};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK106",
    name: "retry-non-retryable",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "an HTTP retry treats 400, 401 and 404 like a passing failure",
    page: r#"
A loop tries an HTTP request again whenever its status is not a success, whatever the status is.

## Why it hurts
A request that is wrong stays wrong. Retrying 400, 401 or 404 multiplies the load of every mistake,
delays the error that the caller could act on, and locks accounts out after a wrong password.

## Example
```go bad
package store

import ("net/http"; "time")

func fetch(client *http.Client, req *http.Request) (*http.Response, error) {
	for i := 0; i < 5; i++ {
		resp, err := client.Do(req)
		if err == nil && resp.StatusCode == http.StatusOK {
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
		if err == nil && resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		if err == nil && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			return resp, errRefused
		}
		time.Sleep(jitter(i))
	}
	return nil, errFailed
}
```
```rust bad
use reqwest::Client;
async fn fetch(client: &Client, url: &str) -> Result<String, Error> {
    for attempt in 0..5 {
        let response = client.get(url).send().await?;
        if response.status().is_success() {
            return Ok(response.text().await?);
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```
```rust good
use reqwest::Client;
async fn fetch(client: &Client, url: &str) -> Result<String, Error> {
    for attempt in 0..5 {
        let response = client.get(url).send().await?;
        if response.status().is_success() {
            return Ok(response.text().await?);
        }
        if response.status().is_client_error() {
            return Err(Error::Refused);
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```

## How it is found
The retried operation sends an HTTP request, in the loop or one function of the package below; the
status is compared with success, and between the failure and the next turn no other status, error
class or classifying function is looked at.

## Known false alarms
A not-found that the caller expects to pass, as when it waits for a resource to appear.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for (facts, operation) in retries(view) {
        if facts.classified
            || has_any(
                &operation.name,
                &["ready", "health", "alive", "check", "wait", "ping"],
            )
        {
            continue;
        }
        if waits_for_a_state(view, facts) {
            continue;
        }
        let text = view.tree.text_of(facts.node);
        let path = view.called(operation.call);
        let direct = is_http(view, operation.call, &path) || http_in_loop(view, facts.node);
        let tells_apart = has_any(
            text,
            &[
                "errors.is",
                "errors.as",
                "retryable",
                "retriable",
                "isretry",
                "is_retry",
                "should_retry",
                "shouldretry",
                "transient",
                "is_client_error",
                "is_server_error",
                "temporary",
                "permanent",
                "toomanyrequests",
                "too_many_requests",
                "statusunauthorized",
                "notfound",
                "not_found",
                "bad_request",
                "badrequest",
                "429",
                ">= 500",
                ">=500",
                "503",
                "== 404",
                "is_timeout",
                "is_connect",
                "status.code(",
            ],
        );
        if tells_apart {
            continue;
        }
        let finding = Finding::at(
            view,
            operation.call,
            format!("retry of `{}` tries again on every status that is not a success, 400, 401 and 404 included", operation.path),
        )
        .label("what is retried")
        .related(view, facts.node, "the loop that tries again")
        .help("leave at once on a status that will not change: 4xx except 408 and 429");
        if direct {
            if facts.retries_any_status || has_any(text, &["error_for_status"]) {
                sink.report(finding);
            }
            continue;
        }
        let name = operation.name.clone();
        sink.report_if(finding, move |index, package, finding| {
            let mut found = false;
            for (path, summary) in index.named(package, &name) {
                let traits = summary.traits;
                if !traits.has(Traits::HTTP)
                    || !traits.has(Traits::STATUS)
                    || traits.has(Traits::CLASSIFIES) && !traits.has(Traits::STATUS)
                {
                    return false;
                }
                found = true;
                finding.message.push_str(&format!(
                    " (`{name}` makes an error of the status, {path}:{})",
                    summary.line
                ));
            }
            found
        });
    }
}

fn http_in_loop(view: &View<'_>, node: crate::syntax::NodeId) -> bool {
    use crate::syntax::Kind;
    view.tree
        .subtree(node)
        .any(|id| view.tree.kind(id) == Kind::Call && is_http(view, id, &view.called(id)))
}
