use crate::facts::{View, compact};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK503",
    name: "unclosed-channel",
    level: Level::Warning,
    standing: Standing::OptIn,
    summary: "a loop ranges over a channel that nobody closes",
    page: r#"
A goroutine ranges over a channel made in this function, and nothing in the package closes it.

## Why it hurts
The range ends when the channel is closed. When nobody closes it, the goroutine is parked for ever: a
leak that grows by one with every call.

## Example
```go bad
package store

func collect(items []Item) {
	results := make(chan Item)
	go func() {
		for item := range results {
			keep(item)
		}
	}()
	for _, item := range items {
		results <- item
	}
}
```
```go good
package store

func collect(items []Item) {
	results := make(chan Item)
	go func() {
		for item := range results {
			keep(item)
		}
	}()
	for _, item := range items {
		results <- item
	}
	close(results)
}
```

## How it is found
The channel is made by `make` in the same function, is ranged over in it, and is neither closed in the
package nor handed to anything else. Channels of the signal and time packages, parameters and returned
channels are passed over.

## Known false alarms
A channel that lives as long as the process.
"#,
    check,
};

/// Names on which `close` is called.
pub(super) fn closed(view: &View<'_>) -> Vec<String> {
    let tree = view.tree;
    if tree.language != Language::Go {
        return Vec::new();
    }
    (0..tree.len())
        .filter(|&id| tree.kind(id) == Kind::Call && tree.callee_name(id) == "close")
        .filter_map(|id| tree.arguments(id).next())
        .map(|a| compact(tree.text_of(a)))
        .collect()
}

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Go {
        return;
    }
    for node in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Loop && !view.is_test(id)) {
        let Some(over) = tree
            .children(node)
            .find(|&c| tree.kind(c) == Kind::Range)
            .and_then(|r| tree.child(r, Role::Right))
        else {
            continue;
        };
        if tree.kind(over) != Kind::Name {
            continue;
        }
        let name = tree.text_of(over);
        let scope = view.scope(node);
        let Some(made) = view.definitions(scope, name).into_iter().find(|&v| {
            tree.kind(v) == Kind::Call
                && tree.callee_name(v) == "make"
                && tree
                    .arguments(v)
                    .next()
                    .is_some_and(|a| tree.text_of(a).starts_with("chan "))
        }) else {
            continue;
        };
        if tree.text_of(made).contains("os.Signal")
            || tree.text_of(made).contains("time.Time")
            || escapes(view, scope, name)
        {
            continue;
        }
        let name = name.to_owned();
        let finding = Finding::at(
            view,
            over,
            format!("nobody closes `{name}`: this loop never ends"),
        )
        .label("ranges over it here")
        .related(view, made, "made here")
        .help(format!("`close({name})` when the last value was sent"));
        sink.report_if(finding, move |index, package, _| {
            !index.files_of(package).any(|f| f.closed.contains(&name))
        });
    }
}

/// Whether the channel is passed, returned or stored: somebody else may close it.
fn escapes(view: &View<'_>, scope: NodeId, name: &str) -> bool {
    let tree = view.tree;
    tree.subtree(scope).any(|id| {
        tree.kind(id) == Kind::Name && tree.text_of(id) == name && {
            let parent = tree.parent(id);
            match tree.kind(parent) {
                Kind::Call => {
                    tree.get(id).role == Role::Argument
                        && !matches!(tree.callee_name(parent), "len" | "cap")
                }
                Kind::Return | Kind::KeyValue | Kind::Composite => true,
                Kind::Assign => tree.get(id).role == Role::Right,
                _ => false,
            }
        }
    })
}
