//! A flame graph of where processor time, or failing that where goroutines, are.
//!
//! Stacks are merged from their root downwards (Gregg, *The Flame Graph*, 2016, there drawn upwards):
//! the width of a box is the share of its function, callees included, and its order says nothing. The
//! page it stands in may be opened in an incident, so it runs no script: what a box is, its tooltip says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::capture::Capture;
use crate::stack::{Owner, Stack};

const WIDTH: f64 = 1_200.0;
const ROW: f64 = 18.0;
/// Width of a character of the box's text.
const CHARACTER: f64 = 6.6;
/// Narrower boxes cannot be seen.
const NARROWEST: f64 = 0.5;
/// Frames drawn; what lies deeper is rarely the reason.
const DEEPEST: usize = 60;

/// A function below its caller, with what passed through it.
#[derive(Debug)]
struct Node {
    weight: u64,
    owner: Owner,
    callees: BTreeMap<String, Node>,
}

impl Node {
    fn new(owner: Owner) -> Self {
        Self {
            weight: 0,
            owner,
            callees: BTreeMap::new(),
        }
    }

    fn add(&mut self, stack: &Stack, weight: u64) {
        self.weight += weight;
        let mut node = self;
        for frame in stack.0.iter().rev().take(DEEPEST) {
            node = node
                .callees
                .entry(frame.function.clone())
                .or_insert_with(|| Self::new(frame.owner()));
            node.weight += weight;
        }
    }

    fn depth(&self) -> usize {
        1 + self.callees.values().map(Self::depth).max().unwrap_or(0)
    }
}

/// Draws the flame graph, with its title; `None` when the capture holds no stacks.
pub(super) fn flame_graph(capture: &Capture) -> Option<(&'static str, String)> {
    let mut root = Node::new(Owner::Runtime);
    let cpu = capture.cpu.as_ref().filter(|cpu| cpu.total() > 0);
    let (title, unit) = if let Some(cpu) = cpu {
        for sample in &cpu.samples {
            let nanos = sample.values.last().copied().unwrap_or(0);
            root.add(&sample.stack, u64::try_from(nanos / 1_000_000).unwrap_or(0));
        }
        ("Where processor time goes", "ms")
    } else {
        for group in &capture.dumps().next_back()?.groups {
            root.add(&group.stack, group.count);
        }
        ("Where goroutines are", "goroutines")
    };
    if root.weight == 0 {
        return None;
    }
    let height = root.depth() as f64 * ROW;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" role=\"img\" \
         font-family=\"ui-monospace, monospace\" font-size=\"11\"><title>{title}</title>"
    );
    let whole = Whole {
        weight: root.weight as f64,
        unit,
    };
    draw(&mut svg, "all", &root, 0.0, 0.0, &whole);
    svg.push_str("</svg>");
    Some((title, svg))
}

struct Whole {
    weight: f64,
    unit: &'static str,
}

fn draw(svg: &mut String, name: &str, node: &Node, x: f64, y: f64, whole: &Whole) {
    let width = node.weight as f64 / whole.weight * WIDTH;
    if width < NARROWEST {
        return;
    }
    let share = node.weight as f64 * 100.0 / whole.weight;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of characters that fit, at most a few hundred"
    )]
    let fits = (width / CHARACTER) as usize;
    let label: String = if fits >= 3 {
        name.chars().take(fits).collect()
    } else {
        String::new()
    };
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        "<g><title>{name}: {weight} {unit} ({share:.1} %)</title>\
         <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" stroke=\"#fff\"/>\
         <text x=\"{text_x:.1}\" y=\"{text_y:.1}\">{label}</text></g>",
        name = escape(name),
        weight = node.weight,
        unit = whole.unit,
        height = ROW - 1.0,
        fill = fill(node.owner),
        text_x = x + 3.0,
        text_y = y + ROW - 5.0,
        label = escape(&label),
    );
    let mut left = x;
    for (callee, below) in &node.callees {
        draw(svg, callee, below, left, y + ROW, whole);
        left += below.weight as f64 / whole.weight * WIDTH;
    }
}

/// The service's own code stands out; it is what can be changed.
fn fill(owner: Owner) -> &'static str {
    match owner {
        Owner::Service => "#f0a860",
        Owner::Dependency => "#f2d98c",
        Owner::Standard => "#cfe0ee",
        Owner::Runtime => "#e4e4e4",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_hold_what_passes_through_them() {
        let mut capture = Capture::default();
        let dump = "goroutine 1 [sleep]:\nmain.b()\n\tf.go:1 +0x1\nmain.a()\n\tf.go:2 +0x1\n\n\
                    goroutine 2 [sleep]:\nmain.c<T>()\n\tf.go:3 +0x1\nmain.a()\n\tf.go:2 +0x1\n";
        capture.moment(0).goroutines = Some(crate::goroutine::read_text(dump.as_bytes()).0);
        let (_, svg) = flame_graph(&capture).unwrap();
        assert!(svg.contains("<title>main.a: 2 goroutines (100.0 %)</title>"));
        assert!(svg.contains("<title>main.c&lt;T&gt;: 1 goroutines (50.0 %)</title>"));
    }

    #[test]
    fn no_stacks_draw_nothing() {
        assert!(flame_graph(&Capture::default()).is_none());
    }
}
