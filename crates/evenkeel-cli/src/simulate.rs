//! `evenkeel simulate`: runs a scenario in virtual time and judges what came of it.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use evenkeel_policy::Look;
use evenkeel_sim::outcome::{self, Outcome, Progress};
use evenkeel_sim::scenario::{Choice, Scenario};

use crate::exit::Exit;

/// Run a simulated story: a fleet in virtual time, with the very policies of library and proxy.
///
/// The scenario says what is expected; exit code 1 if that is missed. With --set or --without it is
/// another story, and nothing is judged.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel simulate scenarios/retry-storm.yaml
  evenkeel simulate scenarios/overload.yaml --compare no_control,codel_adaptive_lifo --at 2x
  evenkeel simulate scenarios/outage.yaml --without hedging --html outage.html
  evenkeel simulate my.yaml --set clients.web.arrivals.poisson=1200 --seed 1 --seed 2 --json")]
pub(crate) struct Simulate {
    /// The scenario.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Other seeds than the scenario's; may be given several times.
    #[arg(long, value_name = "N")]
    seed: Vec<u64>,
    /// Put a value at a path of the scenario; may be given several times.
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Only these variants.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    compare: Vec<String>,
    /// Only these points of the sweep.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    at: Vec<String>,
    /// Take a layer away.
    #[arg(long, value_name = "LAYER", value_delimiter = ',')]
    without: Vec<String>,
    /// Print one JSON object to stdout instead of tables.
    #[arg(long)]
    json: bool,
    /// Write a report: one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(verb: &Simulate) -> Exit {
    let name = verb.file.display().to_string();
    let text = match std::fs::read_to_string(&verb.file) {
        Ok(text) => text,
        Err(error) => {
            say(&format!("error: cannot read the scenario {name}: {error}"));
            return Exit::Usage;
        }
    };
    let choice = Choice {
        compare: verb.compare.clone(),
        points: verb.at.clone(),
        without: verb.without.clone(),
        set: verb.set.clone(),
        seeds: verb.seed.clone(),
    };
    let read = Scenario::parse(&name, &text);
    let chosen = read.and_then(|scenario| {
        let cells = scenario.cells(&choice)?;
        Ok((scenario, cells))
    });
    let (scenario, cells) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => {
            say(&error.render(Look::Styled));
            return Exit::Usage;
        }
    };
    let seeds = if choice.seeds.is_empty() {
        scenario.seeds.clone()
    } else {
        choice.seeds
    };
    let mut bar = Bar::new();
    let begun = Instant::now();
    let outcome = outcome::run(&scenario, &cells, &seeds, &mut |progress| {
        bar.show(&progress)
    });
    let took = begun.elapsed();
    bar.clear();
    let Some(outcome) = outcome else {
        return Exit::Interrupted;
    };
    report(verb, &outcome, took)
}

fn report(verb: &Simulate, outcome: &Outcome, took: Duration) -> Exit {
    let exit = if outcome.holds {
        Exit::Ok
    } else {
        Exit::Failed
    };
    let page = verb
        .html
        .as_ref()
        .map_or(Ok(()), |file| write_page(file, outcome));
    let text = if verb.json {
        match serde_json::to_string_pretty(outcome) {
            Ok(text) => text,
            Err(error) => {
                say(&format!("error: cannot write JSON: {error}"));
                return Exit::Internal;
            }
        }
    } else {
        outcome.to_string()
    };
    // A reader that went away wants no more.
    let _ = writeln!(anstream::stdout(), "{}", text.trim_end());
    let events: u64 = outcome.cells.iter().map(|cell| cell.events).sum();
    if events > 0 {
        let seconds = took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = events as f64 / seconds / 1e6;
        say(&format!(
            "{events} events in {seconds:.1} s: {rate:.1} million a second, on one core"
        ));
    }
    match page {
        Ok(()) => exit,
        Err(failure) => {
            say(&format!("error: {failure}"));
            if exit == Exit::Ok {
                Exit::Precondition
            } else {
                exit
            }
        }
    }
}

fn write_page(file: &Path, outcome: &Outcome) -> Result<(), String> {
    let page = outcome.html().map_err(|error| error.to_string())?;
    std::fs::write(file, page)
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    say(&format!("report: {}", file.display()));
    Ok(())
}

/// A line on the terminal that says how far it is, from the second second on.
struct Bar {
    begun: Instant,
    shown: Instant,
    is_shown: bool,
    terminal: bool,
}

impl Bar {
    /// Signs of the bar.
    const WIDTH: usize = 30;

    fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            shown: now,
            is_shown: false,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, progress: &Progress<'_>) -> bool {
        let now = Instant::now();
        let due = now - self.shown >= Duration::from_millis(200);
        if !self.terminal || !due || now - self.begun < Duration::from_secs(1) {
            return true;
        }
        (self.shown, self.is_shown) = (now, true);
        let filled = Self::WIDTH * progress.done / progress.all.max(1);
        let bar = format!("{}{}", "#".repeat(filled), "-".repeat(Self::WIDTH - filled));
        let Progress {
            variant,
            point,
            done,
            all,
        } = progress;
        let _ = write!(
            anstream::stderr(),
            "\r[{bar}] {done}/{all} {variant} {point}\x1b[K"
        );
        true
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}

fn say(line: &str) {
    // Progress is for whoever looks; if nobody does, the simulation goes on.
    let _ = writeln!(anstream::stderr(), "{line}");
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or("write a path, `=` and a value: clients.web.count=10")?;
    Ok((path.to_owned(), value.to_owned()))
}
