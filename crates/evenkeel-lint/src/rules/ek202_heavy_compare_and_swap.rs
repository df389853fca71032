use super::compare_and_swap::{self, Swap};
use crate::facts::View;
use crate::facts::words::has_any;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK202",
    name: "heavy-compare-and-swap",
    level: Level::Warning,
    standing: Standing::OptIn,
    summary: "a compare-and-swap loop copies a collection in every turn",
    page: r#"
A load-compute-swap loop allocates or copies a collection between the load and the swap.

## Why it hurts
The longer a turn takes, the likelier another thread wins meanwhile and the turn is thrown away: the
work per success grows with the number of threads until nothing else is done.

## Example
```go bad
package store

func (s *Store) add(item Item) {
	for {
		old := s.items.Load()
		next := append(append([]Item{}, *old...), item)
		if s.items.CompareAndSwap(old, &next) {
			return
		}
	}
}
```
```go good
package store

func (s *Store) add(item Item) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.items = append(s.items, item)
}
```

## How it is found
Inside the loop of a compare-and-swap with a computed expected value: `append`, `make`, `clone`,
`to_vec`, `collect`, `format!`, `vec!`.

## Known false alarms
Words that are written once in the life of the process.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for Swap {
        call,
        loop_node,
        expected,
    } in compare_and_swap::in_loops(view)
    {
        if compare_and_swap::is_constant(view, expected) || view.is_test(call) {
            continue;
        }
        if has_any(
            view.tree.text_of(loop_node),
            &[
                "append(",
                "make(",
                ".clone()",
                "to_vec(",
                "collect(",
                "collect::",
                "format!",
                "vec!",
                "maps.clone",
                "slices.clone",
            ],
        ) {
            sink.report(
                Finding::at(
                    view,
                    call,
                    "the loop around this compare-and-swap copies a collection in every turn"
                        .to_owned(),
                )
                .label("lost turns throw the copy away")
                .related(view, loop_node, "the loop")
                .help("take a lock, or keep what is swapped small"),
            );
        }
    }
}
