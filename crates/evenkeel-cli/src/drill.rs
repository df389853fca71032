//! `evenkeel drill`: breaks a dependency on purpose and judges what came of it.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::num::{IntErrorKind, ParseIntError};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use clap::{Args, Subcommand};
use evenkeel_drill::DrillError;
use evenkeel_drill::cascade::{self, Outcome, Progress, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// Break a dependency on purpose, on loopback, and see what comes of it.
#[derive(Debug, Args)]
pub(crate) struct Drill {
    #[command(subcommand)]
    story: Story,
}

#[derive(Debug, Subcommand)]
enum Story {
    Cascade(Cascade),
}

/// One slow dependency takes a product page down, then the same page behind evenkeel rides it out.
///
/// Two runs on real sockets, one after the other, about a minute in all. Exit code 1 if a
/// threshold fails or cannot be judged, and also if the unprotected page does not collapse.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel drill cascade
  evenkeel drill cascade --rate 200 --seed 7 --output cascade.html
  evenkeel drill cascade --json > cascade.json")]
struct Cascade {
    /// Length of both runs together, 20s to 20m; below 66s a late recovery cannot be judged.
    #[arg(long, value_name = "TIME", default_value = "58s", value_parser = duration)]
    duration: Duration,
    /// Pages asked for per second.
    #[arg(long, value_name = "N", default_value_t = cascade::DEFAULT_RATE,
          value_parser = clap::value_parser!(u32)
              .range(i64::from(cascade::LOWEST_RATE)..=i64::from(cascade::HIGHEST_RATE)))]
    rate: u32,
    /// Seed of arrivals and latencies; both runs use the same.
    #[arg(long, value_name = "N", default_value_t = cascade::DEFAULT_SEED)]
    seed: u64,
    /// Print one JSON object to stdout instead of tables.
    #[arg(long)]
    json: bool,
    /// Where the report goes: one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE", default_value = "drill-cascade.html")]
    output: PathBuf,
}

pub(crate) fn run(verb: &Drill) -> Exit {
    let Story::Cascade(cascade) = &verb.story;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(hold(cascade)),
        Err(error) => Err(Failure::new(Exit::Internal, "cannot start", &error)),
    };
    match ended {
        Ok(exit) => exit,
        Err(failure) => {
            say(&format!("error: {}", failure.text));
            failure.exit
        }
    }
}

/// Why there is no outcome, and how to exit for it.
struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    fn new(exit: Exit, doing: &str, error: &dyn Error) -> Self {
        let mut text = format!("{doing}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self { exit, text }
    }
}

impl From<DrillError> for Failure {
    fn from(error: DrillError) -> Self {
        let exit = match error {
            DrillError::Precondition { .. } => Exit::Precondition,
            _ => Exit::Internal,
        };
        Self::new(exit, "the drill could not be held", &error)
    }
}

async fn hold(cascade: &Cascade) -> Result<Exit, Failure> {
    writable(&cascade.output)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Exit::Precondition, "cannot find this program", &error))?;
    let mut settings = Settings::new(program);
    settings.duration = cascade.duration;
    settings.rate = cascade.rate;
    settings.seed = cascade.seed;

    let caught = Mutex::new(None);
    let stop = async {
        let exit = stopped().await;
        *caught
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(exit);
    };
    let mut progress = |what: &Progress| say(&what.to_string());
    let outcome = cascade::run(&settings, &mut progress, stop).await?;
    let caught = caught
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let verdict = match caught {
        Some(exit) if !outcome.complete => exit,
        _ if outcome.passed => Exit::Ok,
        _ => Exit::Failed,
    };
    Ok(report(cascade, &outcome, verdict))
}

/// Resolves when the drill is asked to end, with the exit code that stands for how. Who asks a
/// second time does not want to wait for order: the process ends at once, and the lifelines end
/// the rest.
async fn stopped() -> Exit {
    let (interrupt, terminate) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        // Without handlers the system ends the drill, and the lifelines end its processes.
        return std::future::pending().await;
    };
    let first = asked(&mut interrupt, &mut terminate).await;
    tokio::spawn(async move {
        let second = asked(&mut interrupt, &mut terminate).await;
        end_at_once(second);
    });
    first
}

async fn asked(interrupt: &mut Signal, terminate: &mut Signal) -> Exit {
    tokio::select! {
        biased;
        _ = terminate.recv() => Exit::Terminated,
        _ = interrupt.recv() => Exit::Interrupted,
    }
}

#[expect(
    clippy::exit,
    reason = "asked for twice, and main may be waiting for a process to end"
)]
fn end_at_once(exit: Exit) {
    std::process::exit(exit.code().into());
}

/// Tells what came of the drill, in every way asked for. A way that is barred takes no other with
/// it: a minute's work is not thrown away for a full disk.
fn report(cascade: &Cascade, outcome: &Outcome, verdict: Exit) -> Exit {
    let page = write_page(&cascade.output, outcome);
    let text = write_text(cascade, outcome, page.is_ok());
    let mut exit = verdict;
    for failure in [page, text].into_iter().filter_map(Result::err) {
        say(&format!("error: {}", failure.text));
        exit = exit_without(exit, failure.exit);
    }
    exit
}

/// How to exit when a report is missing: the verdict is known all the same, and worth more than how
/// it was told, unless it is that there is nothing to object to.
fn exit_without(verdict: Exit, missing: Exit) -> Exit {
    match verdict {
        Exit::Ok => missing,
        known => known,
    }
}

fn write_page(output: &Path, outcome: &Outcome) -> Result<(), Failure> {
    let html = outcome.html()?;
    std::fs::write(output, html).map_err(|error| cannot_write(output, &error))
}

fn write_text(cascade: &Cascade, outcome: &Outcome, page_written: bool) -> Result<(), Failure> {
    let mut text = if cascade.json {
        serde_json::to_string_pretty(outcome)
            .map_err(|error| Failure::new(Exit::Internal, "cannot write JSON", &error))?
    } else {
        outcome.to_string()
    };
    if page_written {
        let place = format!("report: {}", cascade.output.display());
        if cascade.json {
            say(&place);
        } else {
            text.push_str(&format!("\n{place}"));
        }
    }
    match writeln!(anstream::stdout(), "{text}") {
        // A reader that went away wants no more.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(cannot_write(Path::new("standard output"), &error))
        }
        _ => Ok(()),
    }
}

fn cannot_write(output: &Path, error: &std::io::Error) -> Failure {
    let doing = format!("cannot write {}", output.display());
    Failure::new(Exit::Precondition, &doing, error)
}

/// Finds out before a minute's work whether its page can be written, and leaves everything as it
/// was: what the last drill left there stays until there is something to put in its place.
fn writable(output: &Path) -> Result<(), Failure> {
    let wrong = |what: String| Failure {
        exit: Exit::Usage,
        text: format!("--output {}: {what}", output.display()),
    };
    let folder = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if output.is_dir() {
        return Err(wrong("this is a folder; name a file in it".to_owned()));
    }
    if !folder.is_dir() {
        return Err(wrong(format!("there is no folder {}", folder.display())));
    }
    let opened = match std::fs::metadata(output) {
        Ok(there) if there.is_file() => OpenOptions::new().write(true).open(output).map(drop),
        // To open a pipe or a device does something by itself.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let new = OpenOptions::new().write(true).create_new(true).open(output);
            new.and_then(|_| std::fs::remove_file(output))
        }
        Err(error) => Err(error),
    };
    match opened {
        // Another drill looked at the same moment, or this is a link to a file still to be made.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        opened => opened.map_err(|error| cannot_write(output, &error)),
    }
}

fn say(line: &str) {
    // Progress is for whoever looks; if nobody does, the drill goes on.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Whole seconds or minutes, with their unit, within the bounds of a drill.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, seconds_each) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 60),
        (None, None) => return Err("a time needs a unit: 56s or 2m".to_owned()),
    };
    let out_of_bounds = || "a drill takes from 20s to 20m".to_owned();
    let number: u64 = number
        .parse()
        .map_err(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => out_of_bounds(),
            _ => "write whole seconds or minutes: 56s or 2m".to_owned(),
        })?;
    let seconds = number.checked_mul(seconds_each);
    seconds
        .map(Duration::from_secs)
        .filter(|time| (cascade::SHORTEST..=cascade::LONGEST).contains(time))
        .ok_or_else(out_of_bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_page_changes_the_exit_of_a_drill_that_passed_and_of_no_other() {
        let missing = Exit::Precondition;
        assert_eq!(exit_without(Exit::Ok, missing), Exit::Precondition);
        for known in [Exit::Failed, Exit::Interrupted, Exit::Terminated] {
            assert_eq!(exit_without(known, missing), known);
        }
    }
}
