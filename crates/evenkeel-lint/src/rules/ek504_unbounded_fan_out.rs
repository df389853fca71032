use crate::facts::View;
use crate::facts::words::{Remote, has_any, remote};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::{Language, Setting};
use crate::syntax::{Kind, NodeId};

pub(super) const RULE: Rule = Rule {
    code: "EK504",
    name: "unbounded-fan-out",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "one task per element of a collection, however long it is",
    page: r#"
A loop over data starts a task with a remote call for every element, and nothing caps how many run.

## Why it hurts
The collection is ten long in the test and ten thousand in production. All calls leave at once: the
dependency sees a burst, connections run out, and the slowest of ten thousand decides the latency.

## Example
```go bad
package store

import "sync"

func (s *Store) warm(ids []string) {
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s.client.Fetch(id)
		}()
	}
	wg.Wait()
}
```
```go good
package store

import "golang.org/x/sync/errgroup"

func (s *Store) warm(ids []string) error {
	var group errgroup.Group
	group.SetLimit(16)
	for _, id := range ids {
		group.Go(func() error { return s.client.Fetch(id) })
	}
	return group.Wait()
}
```
```rust bad
async fn warm(&self, ids: Vec<String>) {
    for id in ids {
        let client = self.client.clone();
        tokio::spawn(async move { client.fetch(id).await });
    }
}
```
```rust good
async fn warm(&self, ids: Vec<String>) {
    stream::iter(ids).for_each_concurrent(16, |id| self.client.fetch(id)).await;
}
```

## How it is found
`go`, `tokio::spawn` or a join set's `spawn` in a loop over a collection, around a call that leaves the
machine, in a function in which no semaphore, limit, permit or worker count is seen.

## Known false alarms
Collections that are short by nature: replicas, shards, brokers.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if view.setting != Setting::Service {
        return;
    }
    for id in 0..tree.len() {
        let starts = match tree.kind(id) {
            Kind::Spawn => true,
            Kind::Call => {
                tree.language == Language::Rust
                    && tree.callee_name(id) == "spawn"
                    && has_any(&view.called(id), &["tokio", "set", "tasks", "task::"])
            }
            _ => false,
        };
        if !starts || view.is_test(id) {
            continue;
        }
        let Some(loop_node) = enclosing_data_loop(view, id) else {
            continue;
        };
        let over = over(view, loop_node);
        if has_any(
            &over,
            &[
                "replica",
                "shard",
                "worker",
                "broker",
                "node",
                "peer",
                "range n",
                "0..",
                "cpu",
                "listener",
                "server",
                "addr",
                "endpoint",
                "member",
                "disk",
                "channel",
                "chan",
                "thread",
                "partition",
                "zone",
                "cluster",
                "host",
                "provider",
                "handler",
                "plugin",
                "component",
                "service",
                "ch",
            ],
        ) {
            continue;
        }
        let scope = tree.text_of(view.scope(id));
        if has_any(
            scope,
            &[
                "semaphore",
                "sem ",
                "sem<-",
                "sem <-",
                "setlimit",
                "acquire",
                "permit",
                "limit",
                "concurren",
                "parallel",
                "workers",
                "throttle",
                "buffer_unordered",
                "buffered",
                "pool",
                "struct{}{}",
            ],
        ) {
            continue;
        }
        let call = tree.subtree(id).find(|&n| {
            n != id
                && tree.kind(n) == Kind::Call
                && tree
                    .callee(n)
                    .is_some_and(|c| remote(tree.text_of(c)) == Remote::Yes)
        });
        let Some(call) = call else { continue };
        sink.report(
            Finding::at(
                view,
                id,
                format!("one task per element of `{over}`, all at once"),
            )
            .label("nothing caps how many run")
            .related(view, loop_node, "the loop over data")
            .related(view, call, "leaves the machine")
            .help(match tree.language {
                Language::Go => {
                    "use `errgroup.Group` with `SetLimit`, or a fixed number of workers"
                }
                Language::Rust => "use `for_each_concurrent`, `buffer_unordered` or a semaphore",
            }),
        );
    }
}

fn enclosing_data_loop(view: &View<'_>, id: NodeId) -> Option<NodeId> {
    let found = view.tree.enclosing_loop(id)?;
    (!over(view, found).is_empty()).then_some(found)
}

fn over(view: &View<'_>, loop_node: NodeId) -> String {
    use crate::syntax::Role;
    let tree = view.tree;
    let node = match tree.language {
        Language::Go => tree
            .children(loop_node)
            .find(|&c| tree.kind(c) == Kind::Range)
            .and_then(|r| tree.child(r, Role::Right)),
        Language::Rust => tree.child(loop_node, Role::Value),
    };
    node.map_or_else(String::new, |n| crate::facts::brief(tree.text_of(n)))
}
