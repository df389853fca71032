use super::*;

fn per_second(values: &[f64]) -> Vec<(f64, f64)> {
    let mut at = -1.0;
    values
        .iter()
        .map(|value| {
            at += 1.0;
            (at, *value)
        })
        .collect()
}

#[test]
fn a_chart_with_areas_a_line_a_span_and_a_limit_is_drawn_the_same_every_time() {
    let svg = Chart::new("pages per second", "s", 0.0, 4.0)
        .span(1.0, 3.0, "fault")
        .limit(90.0, "95 % of before")
        .series(Series::area(
            "good",
            Tone::Good,
            per_second(&[100.0, 20.0, 0.0, 100.0]),
        ))
        .series(Series::area(
            "failed",
            Tone::Bad,
            per_second(&[0.0, 80.0, 100.0, 0.0]),
        ))
        .series(Series::line(
            "offered",
            Tone::Reference,
            per_second(&[100.0; 4]),
        ))
        .svg();
    insta::assert_snapshot!(svg);
}

#[test]
fn a_value_that_is_not_finite_lifts_the_pen() {
    let points = per_second(&[10.0, 20.0, f64::NAN, 30.0, 40.0]);
    let svg = Chart::new("p99", "s", 0.0, 5.0)
        .y_unit("ms")
        .log_from(1.0)
        .series(Series::line("page", Tone::Measure, points))
        .svg();
    let path = svg
        .split("d=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    assert_eq!(
        path.matches('M').count(),
        2,
        "two strokes with a gap between them: {path}"
    );
}

#[test]
fn stacked_areas_reach_the_sum_of_their_values() {
    let chart = Chart::new("stack", "s", 0.0, 2.0)
        .series(Series::area("a", Tone::Good, per_second(&[60.0, 10.0])))
        .series(Series::area("b", Tone::Bad, per_second(&[60.0, 20.0])));
    assert!((chart.highest() - 120.0).abs() < 1e-9);
}

#[test]
fn an_empty_chart_is_still_a_drawing() {
    let svg = Chart::new("nothing <yet>", "s", 0.0, 1.0)
        .series(Series::area("none", Tone::Good, Vec::new()))
        .svg();
    assert!(svg.contains("nothing &lt;yet&gt;") && svg.ends_with("</svg>\n"));
}

#[test]
fn bands_show_their_label_only_where_it_fits() {
    let svg = Bands::new("breaker", "s", 0.0, 20.0)
        .row(
            "breaker",
            vec![
                Band::new(0.0, 10.0, Tone::Good, "closed"),
                Band::new(10.0, 10.2, Tone::Degraded, "half-open"),
                Band::new(10.2, 20.0, Tone::Bad, "open"),
            ],
        )
        .svg();
    assert!(!svg.contains("half-open"));
    insta::assert_snapshot!(svg);
}

#[test]
fn every_class_a_drawing_uses_has_a_style() {
    let drawings = [
        Chart::new("c", "s", 0.0, 1.0)
            .span(0.0, 1.0, "fault")
            .limit(1.0, "limit")
            .series(Series::area("a", Tone::Good, per_second(&[1.0])))
            .series(Series::line("b", Tone::Second, per_second(&[1.0])))
            .svg(),
        Bands::new("b", "s", 0.0, 1.0)
            .row("r", vec![Band::new(0.0, 1.0, Tone::Degraded, "on")])
            .svg(),
        sparkline("s", Tone::Measure, &[1.0, 2.0]),
    ]
    .concat();
    for classes in drawings.split("class=\"").skip(1) {
        for class in classes.split('"').next().unwrap().split(' ') {
            assert!(
                STYLE.contains(&format!(".{class} ")),
                "{class} has no style"
            );
        }
    }
}
