//! `evenkeel doctor`: asks why a service is slow without errors.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use evenkeel_doctor::source::{self, Plan, Recording, Step, Target};
use evenkeel_doctor::{Capture, Diagnosis, Verdict, Watch, check, diagnose, log, render};

use crate::doctor_scale::{Curve, Halve, curve, halve};
use crate::exit::Exit;

/// Name what makes a service slow without errors, where in the code, and what to do first.
///
/// Sources: the URL of a Go service with net/http/pprof or of a Rust service that links evenkeel, a
/// process of this machine, a metrics endpoint, a Prometheus server, a capture, saved dumps and
/// profiles, or a dump pasted into standard input (-).
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  evenkeel doctor http://localhost:6060
  evenkeel doctor --pid 4711 --metrics http://localhost:9090/metrics
  evenkeel doctor capture http://localhost:6060 -o before-restart.tar.zst
  evenkeel doctor before-restart.tar.zst --format html > report.html
  kubectl logs shop | evenkeel doctor -
  evenkeel doctor explain livelock

Exit codes: 0 healthy, 1 a finding, 2 wrong usage, 3 nothing could be read."
)]
pub(crate) struct Doctor {
    #[command(subcommand)]
    verb: Option<DoctorVerb>,
    #[command(flatten)]
    look: Look,
}

#[derive(Debug, Subcommand)]
enum DoctorVerb {
    /// Save what has to be saved before the restart, cheap things first, into one file.
    Capture(CaptureVerb),
    /// Print the page of a check: what it finds, on what evidence, and what to do.
    Explain(Explain),
    /// Halve the actors and compare: livelock or contention?
    Halve(Halve),
    /// Measure with several numbers of actors and fit the curve.
    Curve(Curve),
}

#[derive(Debug, Args)]
struct Look {
    /// URL, folder, file, or - for standard input.
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
    /// Process of this machine.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Metrics endpoint in the Prometheus text format; default: /metrics of the service.
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// Prometheus server to ask for the last 30 minutes.
    #[arg(long, value_name = "URL", requires = "selector")]
    prometheus: Option<String>,
    /// What to ask the Prometheus server for, such as '{job="shop"}'.
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Log whose lines about retries, conflicts, time-outs and back-off count as evidence.
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
    /// Form of the report; it never changes the exit code.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Look again and again, until interrupted.
    #[arg(long)]
    watch: bool,
    /// Moments at which dumps are taken of a running service.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    moments: u32,
    /// Seconds between two moments.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    every: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Html,
    Github,
}

#[derive(Debug, Args)]
struct CaptureVerb {
    /// URL of the service.
    #[arg(value_name = "URL", required_unless_present = "pid")]
    url: Option<String>,
    /// Process of this machine.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Metrics endpoint in the Prometheus text format; default: /metrics of the service.
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// Prometheus server to ask for the last 30 minutes.
    #[arg(long, value_name = "URL", requires = "selector")]
    prometheus: Option<String>,
    /// What to ask the Prometheus server for, such as '{job="shop"}'.
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Where the capture goes.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
struct Explain {
    /// Code or verdict, such as EKD002 or livelock; none lists all checks.
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(crate) fn run(doctor: &Doctor) -> Exit {
    let ended = match &doctor.verb {
        Some(DoctorVerb::Capture(verb)) => save(verb),
        Some(DoctorVerb::Explain(verb)) => explain(verb),
        Some(DoctorVerb::Halve(verb)) => halve(verb),
        Some(DoctorVerb::Curve(verb)) => curve(verb),
        None if doctor.look.watch => watch(&doctor.look),
        None => look(&doctor.look),
    };
    ended.unwrap_or_else(|(exit, text)| {
        say(&format!("error: {text}"));
        exit
    })
}

/// How a verb ends, or why it could not.
pub(crate) type Ended = Result<Exit, (Exit, String)>;

/// Looks once and reports.
fn look(look: &Look) -> Ended {
    let capture = gather(look)?;
    let diagnosis = diagnose(&capture);
    if capture.is_empty() {
        for note in &capture.notes {
            say(&format!("note: {note}"));
        }
        return Err((
            Exit::Precondition,
            format!("{}: nothing could be read", capture.origin),
        ));
    }
    let report = match look.format {
        Format::Text => render::to_text(&diagnosis),
        Format::Json => render::to_json(&diagnosis),
        Format::Github => render::to_github(&diagnosis),
        Format::Html => render::to_html(&diagnosis, &capture)
            .map_err(|error| (Exit::Internal, error.to_string()))?,
    };
    print(&report)?;
    Ok(exit_of(&diagnosis))
}

fn exit_of(diagnosis: &Diagnosis) -> Exit {
    if diagnosis.verdict == Verdict::Healthy {
        Exit::Ok
    } else {
        Exit::Failed
    }
}

/// Looks again and again. Ends by a signal, or by a service that is gone.
fn watch(look: &Look) -> Ended {
    if look.sources.iter().any(|name| !is_url(name)) {
        let why =
            "--watch looks at a running service: name its URL (http://..) or a process (--pid)";
        return Err((Exit::Usage, why.to_owned()));
    }
    let target = target(look)?;
    let plan = Plan {
        moments: look.moments.min(2),
        every: Duration::from_secs(look.every.min(4)),
        cpu_seconds: 1,
        closing_profiles: false,
    };
    let clear = std::io::stdout().is_terminal();
    let mut watch = Watch::default();
    loop {
        let recording = source::record(&target, &plan, &mut |_| {})
            .map_err(|error| (Exit::Precondition, error.to_string()))?;
        let capture = recording.capture();
        let diagnosis = diagnose(&capture);
        watch.record(&capture, &diagnosis);
        let view = render::to_live(&watch, &diagnosis);
        // Home and clear to the end: the view is redrawn in place, without flicker.
        print(&if clear {
            format!("\x1b[H\x1b[2J{view}")
        } else {
            format!("{view}\n")
        })?;
    }
}

/// Gathers evidence from everything that was named.
fn gather(look: &Look) -> Result<Capture, (Exit, String)> {
    let missing = |error: &dyn std::fmt::Display| (Exit::Precondition, error.to_string());
    let files: Vec<&String> = look.sources.iter().filter(|name| !is_url(name)).collect();
    let running = look.sources.len() > files.len() || look.pid.is_some() || look.metrics.is_some();
    let mut capture = if running {
        let plan = Plan {
            moments: look.moments,
            every: Duration::from_secs(look.every),
            ..Plan::default()
        };
        let target = target(look)?;
        source::record(&target, &plan, &mut tell)
            .map_err(|error| missing(&error))?
            .capture()
    } else if files.iter().any(|name| *name == "-") {
        source::read_stream("standard input", std::io::stdin().lock())
            .map_err(|error| missing(&error))?
    } else if files.is_empty() && look.prometheus.is_none() {
        return Err((
            Exit::Usage,
            "name a URL, a file or a process to look at".to_owned(),
        ));
    } else {
        source::read_paths(&files).map_err(|error| {
            let hint = if files.iter().any(|name| looks_like_host(name)) {
                "; the URL of a service starts with http://"
            } else {
                ""
            };
            missing(&format!("{error}{hint}"))
        })?
    };
    if let Some(answer) = history(look.prometheus.as_deref(), look.selector.as_deref())? {
        let (metrics, notes) = source::read_answer(&answer);
        if capture.origin.is_empty() {
            capture.origin = look.prometheus.clone().unwrap_or_default();
        }
        if capture.metrics.is_none() && !metrics.series.is_empty() {
            capture.metrics = Some(metrics);
        }
        capture.notes.extend(notes);
    }
    if let Some(path) = &look.logs {
        let bytes = std::fs::read(path).map_err(|error| {
            (
                Exit::Precondition,
                format!("cannot read {}: {error}", path.display()),
            )
        })?;
        let (counts, notes) = log::read_log(&bytes);
        capture.logs = Some(counts);
        capture.notes.extend(notes);
    }
    Ok(capture)
}

/// What the Prometheus server knows of the last half hour, if one was named.
fn history(
    server: Option<&str>,
    selector: Option<&str>,
) -> Result<Option<Vec<u8>>, (Exit, String)> {
    let (Some(server), Some(selector)) = (server, selector) else {
        return Ok(None);
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    source::query_server(server, selector, now.as_secs())
        .map(Some)
        .map_err(|error| (Exit::Precondition, error.to_string()))
}

fn target(look: &Look) -> Result<Target, (Exit, String)> {
    let urls: Vec<&String> = look.sources.iter().filter(|name| is_url(name)).collect();
    if urls.len() > 1 {
        return Err((Exit::Usage, "name one service at a time".to_owned()));
    }
    if urls.len() < look.sources.len() {
        return Err((
            Exit::Usage,
            "a running service and files cannot be looked at together".to_owned(),
        ));
    }
    let target = Target {
        service: urls.first().map(|url| (*url).clone()),
        metrics: look.metrics.clone(),
        pid: look.pid,
    };
    checked(target)
}

/// A process that does not exist is found out before anything is waited for.
fn checked(target: Target) -> Result<Target, (Exit, String)> {
    if target.service.is_none() && target.metrics.is_none() && target.pid.is_none() {
        return Err((Exit::Usage, "name a URL or a process to look at".to_owned()));
    }
    if let Some(pid) = target.pid {
        source::sample_process(pid).map_err(|error| {
            (
                Exit::Precondition,
                format!("cannot look at process {pid}: {error}"),
            )
        })?;
    }
    Ok(target)
}

/// `localhost:6060` is no file anybody has.
fn looks_like_host(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && port
                .split('/')
                .next()
                .is_some_and(|port| port.parse::<u16>().is_ok())
    })
}

fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

fn save(verb: &CaptureVerb) -> Ended {
    let target = checked(Target {
        service: verb.url.clone(),
        metrics: verb.metrics.clone(),
        pid: verb.pid,
    })?;
    let unwritable = |error: std::io::Error| {
        (
            Exit::Precondition,
            format!("cannot write {}: {error}", verb.output.display()),
        )
    };
    // Before the service is touched: a capture that cannot be kept must not be taken. Under another name: what
    // is there already is only replaced by a whole capture, and two at once do not mix.
    let partial = Partial(
        verb.output
            .with_extension(format!("{}.partial", std::process::id())),
    );
    let mut file = std::fs::File::create_new(&partial.0).map_err(unwritable)?;
    let mut recording: Recording = source::record(&target, &Plan::default(), &mut tell)
        .map_err(|error| (Exit::Precondition, error.to_string()))?;
    // Last, and no reason to lose the rest: the server will still be there after the restart.
    match history(verb.prometheus.as_deref(), verb.selector.as_deref()) {
        Ok(Some(answer)) => recording.add_history(answer),
        Ok(None) => {}
        Err((_, text)) => say(&format!("note: {text}")),
    }
    let packed = source::pack(&recording).map_err(|error| (Exit::Internal, error.to_string()))?;
    file.write_all(&packed)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&partial.0, &verb.output))
        .map_err(unwritable)?;
    print(&format!(
        "{}: {} files, {} bytes; read it with: evenkeel doctor {}\n",
        verb.output.display(),
        recording.files.len(),
        packed.len(),
        verb.output.display()
    ))?;
    Ok(Exit::Ok)
}

/// A file that is gone unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing of that name.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn explain(verb: &Explain) -> Ended {
    let Some(code) = &verb.code else {
        for check in check::ALL {
            print(&format!(
                "{}  {:<14} {}\n",
                check.code, check.verdict, check.summary
            ))?;
        }
        return Ok(Exit::Ok);
    };
    let pages: Vec<String> = check::ALL
        .iter()
        .filter(|check| check.code.eq_ignore_ascii_case(code) || check.verdict.name() == code)
        .map(|check| {
            format!(
                "{} {}: {}\n\n{}\n",
                check.code, check.verdict, check.summary, check.page
            )
        })
        .collect();
    if pages.is_empty() {
        return Err((
            Exit::Usage,
            format!("no check `{code}`; `evenkeel doctor explain` lists them"),
        ));
    }
    print(&pages.join("\n"))?;
    Ok(Exit::Ok)
}

/// Says on standard error what a step cost the service.
fn tell(step: &Step) {
    let took = step.took.as_millis();
    match &step.outcome {
        Ok(bytes) => say(&format!("{:<24} {bytes:>10} bytes {took:>7} ms", step.name)),
        Err(why) => say(&format!("{:<24} {why}", step.name)),
    }
}

pub(crate) fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

pub(crate) fn print(text: &str) -> Result<(), (Exit, String)> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| {
            (
                Exit::Precondition,
                format!("cannot write the report: {error}"),
            )
        })
}
