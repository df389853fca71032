//! What README shows of this crate is the example that compiles.

#[test]
fn the_calls_that_readme_shows_are_the_example() {
    let readme = include_str!("../../../README.md");
    let example = include_str!("../examples/invoices.rs");
    let shown = readme
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let from = "// README from here …\n";
    let compiled = example
        .split(from)
        .nth(1)
        .and_then(|rest| rest.split("    // … to here").next());
    let unindented: String = compiled
        .unwrap()
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
        .collect();
    assert_eq!(shown.trim(), unindented.trim());
}
