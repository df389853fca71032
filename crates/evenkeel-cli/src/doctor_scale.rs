//! `evenkeel doctor halve` and `curve`: livelock or contention, by experiment.

use std::io::BufRead as _;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use evenkeel_doctor::scaling::{CounterNames, Measurement, experiment, judge, rates};
use evenkeel_doctor::source::{self, Plan, Target};
use evenkeel_doctor::{Verdict, render};

use crate::doctor::{Ended, print, say};
use crate::exit::Exit;

/// Where the measurements come from, and how long each takes.
#[derive(Debug, Clone, Args)]
struct Measure {
    /// Metrics endpoint in the Prometheus text format.
    #[arg(long, value_name = "URL", required_unless_present = "points")]
    metrics: Option<String>,
    /// Command that sets the number of actors, {} standing for it; without one you are asked to do it.
    #[arg(long, value_name = "COMMAND", requires = "metrics")]
    set: Option<String>,
    /// Seconds to measure with each number of actors.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    /// Seconds to let the service settle after each change.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=3600))]
    settle: u64,
    /// Counter of attempts; default: found by its words.
    #[arg(long, value_name = "METRIC")]
    attempts: Option<String>,
    /// Counter of successes; default: found by its words.
    #[arg(long, value_name = "METRIC")]
    successes: Option<String>,
    /// Time the critical section alone takes, in milliseconds: tells whether this lock is what is saturated.
    #[arg(long, value_name = "MS", value_parser = positive)]
    critical_section: Option<f64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measure with the actors there are, with half of them, and again with all: livelock or contention?
///
/// Behind a saturated lock throughput holds when the actors are halved, and so it does in a livelock in which
/// one of many always wins. Attempts per success tell them apart.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel doctor halve --metrics http://localhost:9090/metrics --actors 24
  evenkeel doctor halve --metrics http://shop/metrics --actors 8 --set 'kubectl scale deploy/shop --replicas={}'
  evenkeel doctor halve 24=full.prom 12=half.prom

Exit codes: 0 they scale, 1 livelock or contention, 2 wrong usage, 3 nothing could be measured or told.")]
pub(crate) struct Halve {
    /// Measurements taken before, each ACTORS=FILE of scrapes or a capture.
    #[arg(value_name = "ACTORS=FILE", value_parser = saved, conflicts_with_all = ["metrics", "actors"])]
    points: Vec<(u32, String)>,
    /// Actors there are now: workers, threads, replicas.
    #[arg(long, value_name = "N", required_unless_present = "points", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    actors: Option<u32>,
    #[command(flatten)]
    measure: Measure,
}

/// Measure with several numbers of actors and fit the curve: where is the knee, and why?
///
/// The first number is the one the service runs with now; it is put back at the end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel doctor curve --metrics http://localhost:9090/metrics --actors 16,8,4,2,1 --set './workers {}'
  evenkeel doctor curve 1=one.prom 2=two.prom 4=four.prom 8=eight.prom --critical-section 5

Exit codes: 0 they scale, 1 livelock or contention, 2 wrong usage, 3 nothing could be measured or told.")]
pub(crate) struct Curve {
    /// Measurements taken before, each ACTORS=FILE of scrapes or a capture.
    #[arg(value_name = "ACTORS=FILE", value_parser = saved, conflicts_with_all = ["metrics", "actors"])]
    points: Vec<(u32, String)>,
    /// Numbers of actors, the present one first.
    #[arg(long, value_name = "N,N,..", value_delimiter = ',', required_unless_present = "points", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    actors: Vec<u32>,
    #[command(flatten)]
    measure: Measure,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("must be a number above 0, in milliseconds".to_owned()),
    }
}

fn saved(text: &str) -> Result<(u32, String), String> {
    let what = "must be ACTORS=FILE, such as 12=half.prom";
    let (actors, file) = text.split_once('=').ok_or(what)?;
    match actors.parse::<u32>() {
        Ok(actors) if actors >= 1 && !file.is_empty() => Ok((actors, file.to_owned())),
        _ => Err(what.to_owned()),
    }
}

pub(crate) fn halve(verb: &Halve) -> Ended {
    let actors = verb.actors.map(|all| vec![all, all / 2, all]);
    run(&verb.points, &actors.unwrap_or_default(), &verb.measure)
}

pub(crate) fn curve(verb: &Curve) -> Ended {
    run(&verb.points, &verb.actors, &verb.measure)
}

fn run(points: &[(u32, String)], actors: &[u32], measure: &Measure) -> Ended {
    let names = CounterNames {
        attempts: measure.attempts.clone(),
        successes: measure.successes.clone(),
    };
    let unmeasured = |error: &dyn std::fmt::Display| (Exit::Precondition, error.to_string());
    let measured: Vec<Measurement> = if let Some(url) = &measure.metrics {
        unless_interrupted(url, actors, measure, &names)?
    } else {
        let read = |(actors, file): &(u32, String)| {
            let capture = source::read_paths(&[file]).map_err(|error| unmeasured(&error))?;
            rates(&capture, *actors, &names)
                .map_err(|error| (Exit::Precondition, format!("{file}: {error}")))
        };
        points.iter().map(read).collect::<Result<_, _>>()?
    };
    let section = measure
        .critical_section
        .map(|millis| Duration::from_secs_f64(millis / 1_000.0));
    let scaling = judge(&measured, section);
    print(&if measure.json {
        render::scaling_to_json(&scaling)
    } else {
        render::scaling_to_text(&scaling)
    })?;
    Ok(match scaling.verdict {
        Some(Verdict::Healthy) => Exit::Ok,
        Some(_) => Exit::Failed,
        None => Exit::Precondition,
    })
}

/// Carries the experiment out; breaking it off puts the first number of actors back.
fn unless_interrupted(
    url: &str,
    actors: &[u32],
    measure: &Measure,
    names: &CounterNames,
) -> Result<Vec<Measurement>, (Exit, String)> {
    let first = actors.first().copied().unwrap_or(1);
    let (done, measured) = tokio::sync::oneshot::channel();
    let (owned_url, owned_actors) = (url.to_owned(), actors.to_vec());
    let (owned_measure, owned_names) = (measure.clone(), names.clone());
    // On a thread of its own, which the end of the process ends: it may be waiting for a person.
    std::thread::spawn(move || {
        let outcome = live(&owned_url, &owned_actors, &owned_measure, &owned_names);
        // Nobody listens any more once it was broken off.
        let _ = done.send(outcome);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| {
            (
                Exit::Precondition,
                format!("cannot listen for signals: {error}"),
            )
        })?;
    runtime.block_on(async {
        tokio::select! {
            outcome = measured => outcome.unwrap_or_else(|_| {
                Err((Exit::Internal, "the experiment ended without a result".to_owned()))
            }),
            _ = tokio::signal::ctrl_c() => {
                let Some(command) = &measure.set else {
                    return Err((Exit::Interrupted, format!("interrupted; set the actors to {first} again")));
                };
                shell(&filled(command, first))?;
                Err((Exit::Interrupted, format!("interrupted; {first} actors again")))
            }
        }
    })
}

fn live(
    url: &str,
    actors: &[u32],
    measure: &Measure,
    names: &CounterNames,
) -> Result<Vec<Measurement>, (Exit, String)> {
    let first = actors.first().copied().unwrap_or(1);
    if let Some(command) = &measure.set {
        say(&format!(
            "to put it back by hand: {}",
            filled(command, first)
        ));
    }
    let target = Target {
        metrics: Some(url.to_owned()),
        ..Target::default()
    };
    let plan = Plan {
        moments: 2,
        every: Duration::from_secs(measure.seconds),
        cpu_seconds: 0,
        closing_profiles: false,
    };
    let set = |actors: u32| {
        match &measure.set {
            Some(command) => shell(&filled(command, actors))?,
            None => ask(actors)?,
        }
        say(&format!("settling for {} s", measure.settle));
        std::thread::sleep(Duration::from_secs(measure.settle));
        Ok(())
    };
    experiment(actors, set, |actors| {
        say(&format!(
            "measuring with {actors} actors for {} s",
            measure.seconds
        ));
        let recording = source::record(&target, &plan, &mut |_| {})
            .map_err(|error| (Exit::Precondition, error.to_string()))?;
        rates(&recording.capture(), actors, names)
            .map_err(|error| (Exit::Precondition, format!("{url}: {error}")))
    })
}

fn filled(command: &str, actors: u32) -> String {
    command.replace("{}", &actors.to_string())
}

fn shell(command: &str) -> Result<(), (Exit, String)> {
    say(&format!("$ {command}"));
    let status = Command::new("sh").arg("-c").arg(command).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err((Exit::Precondition, format!("`{command}` failed: {status}"))),
        Err(error) => Err((
            Exit::Precondition,
            format!("cannot run `{command}`: {error}"),
        )),
    }
}

/// Lets a person do what no command was given for.
fn ask(actors: u32) -> Result<(), (Exit, String)> {
    say(&format!(
        "set the number of actors to {actors}, then press Enter"
    ));
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(1..) => Ok(()),
        Ok(0) => Err((
            Exit::Usage,
            "nobody is there to set the number of actors: give a command with --set".to_owned(),
        )),
        Err(error) => Err((
            Exit::Precondition,
            format!("cannot read standard input: {error}"),
        )),
    }
}
