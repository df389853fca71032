//! Runs every race and prints what ours costs as a multiple of each peer, and whether it keeps its bars.
//!
//! `cargo xtask bench` runs it; a word after `--` runs the races whose path holds it.

mod paths;

use std::process::ExitCode;

use evenkeel_benches::{Figure, ROUNDS, Race};

#[expect(clippy::print_stdout, reason = "a program whose answer is its table")]
#[expect(clippy::disallowed_methods, reason = "this is main")]
fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("error: no runtime for the peers: {error}");
            return ExitCode::FAILURE;
        }
    };
    let _entered = runtime.enter();
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut missed = 0;
    println!("{ROUNDS} rounds; ratio: ours to theirs within a round, median [quarters]\n");
    for mut race in paths::all() {
        if !wanted.is_empty() && !wanted.iter().any(|word| race.path.contains(word.as_str())) {
            continue;
        }
        let figures = race.run(ROUNDS);
        println!("{}", race.path);
        for figure in &figures {
            println!("  {}", line(figure));
        }
        missed += verdicts(&race, &figures);
        println!();
    }
    println!("{missed} bars missed");
    ExitCode::SUCCESS
}

fn line(figure: &Figure) -> String {
    let Figure {
        name,
        nanos,
        ratio,
        spread,
    } = figure;
    format!(
        "{name:<24} {nanos:>8.1} ns   {ratio:>6.2} [{:.2}, {:.2}]",
        spread.0, spread.1
    )
}

#[expect(clippy::print_stdout, reason = "a program whose answer is its table")]
fn verdicts(race: &Race, figures: &[Figure]) -> usize {
    let mut missed = 0;
    for bar in &race.bars {
        let Some(figure) = figures.iter().find(|figure| figure.name == bar.against) else {
            continue;
        };
        let held = figure.ratio <= bar.at_most;
        missed += usize::from(!held);
        let verdict = if held { "held" } else { "MISSED" };
        println!(
            "  bar {verdict}: {:.2} of {}, at most {}",
            figure.ratio, bar.against, bar.at_most
        );
    }
    missed
}
