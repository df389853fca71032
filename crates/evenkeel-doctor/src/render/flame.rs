//! A flame graph of where processor time, or failing that where goroutines, are.

use std::collections::BTreeMap;

use inferno::flamegraph::{Options, from_lines};

use crate::capture::Capture;
use crate::stack::Stack;

/// Draws the flame graph, with what it shows; `None` when the capture holds no stacks.
pub(super) fn flame_graph(capture: &Capture) -> Option<(String, String)> {
    let (title, unit, folded) =
        if let Some(cpu) = capture.cpu.as_ref().filter(|cpu| cpu.total() > 0) {
            let samples = cpu.samples.iter().map(|sample| {
                let nanos = sample.values.last().copied().unwrap_or(0);
                (&sample.stack, u64::try_from(nanos / 1_000_000).unwrap_or(0))
            });
            ("Where processor time goes", "ms", fold(samples))
        } else {
            let dump = capture.dumps().next_back()?;
            let groups = dump.groups.iter().map(|group| (&group.stack, group.count));
            ("Where goroutines are", "goroutines", fold(groups))
        };
    let lines: Vec<String> = folded
        .iter()
        .filter(|(_, weight)| **weight > 0)
        .map(|(stack, weight)| format!("{stack} {weight}"))
        .collect();
    let mut options = Options::default();
    options.title = String::new();
    options.count_name = unit.to_owned();
    options.no_javascript = true;
    options.image_width = Some(1_200);
    options.min_width = 0.2;
    let mut svg = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).ok()?;
    let svg = String::from_utf8(svg).ok()?;
    // Inside a page the drawing needs neither declaration nor document type.
    let start = svg.find("<svg")?;
    Some((title.to_owned(), without_scripts(&svg[start..])))
}

/// A page somebody opens in an incident runs nothing: the drawing's zoom goes, its tooltips stay.
fn without_scripts(svg: &str) -> String {
    let mut out = svg.replace(" onload=\"init(evt)\"", "");
    while let Some(start) = out.find("<script") {
        let end = out[start..]
            .find("</script>")
            .map_or(out.len(), |end| start + end + "</script>".len());
        out.replace_range(start..end, "");
    }
    out
}

fn fold<'a>(samples: impl Iterator<Item = (&'a Stack, u64)>) -> BTreeMap<String, u64> {
    let mut folded = BTreeMap::new();
    for (stack, weight) in samples {
        let names: Vec<String> = stack
            .0
            .iter()
            .rev()
            .map(|frame| frame.function.replace([';', ' '], "_"))
            .collect();
        if !names.is_empty() {
            *folded.entry(names.join(";")).or_insert(0) += weight;
        }
    }
    folded
}
