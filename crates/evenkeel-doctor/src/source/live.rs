//! A running service: what to take from it, in which order, and what each step costs.
//!
//! The order is the safe one. Counts come first because they are cheap; the full dump stops the
//! world for about five microseconds per goroutine and is only taken below twenty thousand; the leak
//! profile's cost rises faster than the goroutines and is bounded the same way and comes last.
//! What is fetched is kept as files, so that the same bytes can be judged now and saved for later.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::http::{Client, FetchError};
use super::proc::{listener_of, sample_process};
use crate::capture::Capture;
use crate::note::Note;
use crate::procfs::write_process;

/// Above this many goroutines neither the full dump nor the leak profile is taken.
const MANY_GOROUTINES: u64 = 20_000;
/// Time between two scrapes of the metrics.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Base URL of a service with `net/http/pprof`, or of one that links evenkeel.
    pub service: Option<String>,
    /// URL of its metrics, where they are not at `/metrics` of the service.
    pub metrics: Option<String>,
    /// Its process, if it runs on this machine.
    pub pid: Option<u32>,
}

/// How long and how often to look.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Moments at which dumps are taken; at least 1.
    pub moments: u32,
    /// Time between them.
    pub every: Duration,
    /// Length of the processor profile in seconds; 0 takes none.
    pub cpu_seconds: u32,
    /// Whether the profiles of the end are taken: mutex, block, execution trace, leaks. The last makes
    /// the collector run, which is too much to ask of a service again and again.
    pub closing_profiles: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            moments: 3,
            every: Duration::from_secs(5),
            cpu_seconds: 3,
            closing_profiles: true,
        }
    }
}

/// One step, after it was taken or left out.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it took: `goroutine counts`, `processor profile`, ...
    pub name: String,
    /// How long the service was kept at it.
    pub took: Duration,
    /// Bytes received, or why there are none.
    pub outcome: Result<usize, String>,
}

/// What was taken from a running service, as named files.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Name and content of each file.
    pub files: Vec<(String, Vec<u8>)>,
    /// What could not be taken, and why.
    pub notes: Vec<Note>,
    pub(super) origin: String,
}

impl Recording {
    /// Adds what a metrics server answered about the service.
    pub fn add_history(&mut self, answer: Vec<u8>) {
        self.files.push(("prometheus.json".to_owned(), answer));
    }

    /// The evidence in it.
    pub fn capture(&self) -> Capture {
        let mut capture = super::file::read_named(
            &self.origin,
            self.files
                .iter()
                .map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
        );
        capture.notes.extend(self.notes.iter().cloned());
        capture
    }
}

/// Takes everything `plan` asks for, telling `on_step` after each step.
///
/// # Errors
/// The first fetch's error when the service does not answer at all; later failures become notes,
/// because a service that starves its own handlers is evidence.
pub fn record(
    target: &Target,
    plan: &Plan,
    on_step: &mut dyn FnMut(&Step),
) -> Result<Recording, FetchError> {
    let client = Client::default();
    let service = target
        .service
        .as_deref()
        .map(|url| url.trim_end_matches('/').trim_end_matches("/debug/pprof"));
    let metrics_url = target
        .metrics
        .clone()
        .or_else(|| service.map(|url| format!("{url}/metrics")));
    let mut session = Session {
        client: &client,
        pprof: service.map(|url| format!("{url}/debug/pprof")),
        pid: target.pid.or_else(|| service.and_then(pid_behind)),
        recording: Recording {
            origin: origin(target),
            ..Recording::default()
        },
        on_step,
        total: 0,
        start: Instant::now(),
    };
    session.probe(target)?;
    let (stop, stopped) = channel::<()>();
    let start = session.start;
    let moments = std::thread::scope(|scope| {
        let scraper = metrics_url.as_deref().map(|url| {
            let client = &client;
            scope.spawn(move || scrape_until(client, url, start, &stopped))
        });
        let moments = session.moments(plan);
        drop(stop);
        if let Some(Ok((text, failure))) = scraper.map(std::thread::ScopedJoinHandle::join) {
            if let Some(failure) = failure.filter(|_| text.is_empty() && target.metrics.is_some()) {
                session.recording.notes.push(Note::new("metrics", failure));
            }
            if !text.is_empty() {
                session.keep("metrics.prom.txt", text);
            }
        }
        moments
    });
    if plan.closing_profiles {
        session.closing_profiles();
    }
    let mut recording = session.recording;
    let manifest = serde_json::json!({
        "evenkeel_capture": 1,
        "origin": recording.origin,
        "moments_s": moments,
    });
    recording
        .files
        .push(("capture.json".to_owned(), manifest.to_string().into_bytes()));
    Ok(recording)
}

struct Session<'a> {
    client: &'a Client,
    pprof: Option<String>,
    pid: Option<u32>,
    recording: Recording,
    on_step: &'a mut dyn FnMut(&Step),
    total: u64,
    start: Instant,
}

impl Session<'_> {
    /// Asks for one cheap thing first: a target that is not there is an error, not a finding.
    fn probe(&mut self, target: &Target) -> Result<(), FetchError> {
        let Some(pprof) = &self.pprof else {
            if let (Some(url), None) = (&target.metrics, self.pid) {
                self.client.get(url)?;
            }
            return Ok(());
        };
        match self.client.get(&format!("{pprof}/cmdline")) {
            Ok(_) => Ok(()),
            // Something answers there, only without profiles: metrics and /proc may do.
            Err(FetchError::Status { url, status }) => {
                self.recording.notes.push(Note::new(
                    "profiles",
                    format!("{url} answered {status}: no profiles are served there"),
                ));
                self.pprof = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Dumps and process samples, and the processor profile after the first; returns their times.
    fn moments(&mut self, plan: &Plan) -> Vec<f64> {
        let mut times = Vec::new();
        for index in 0..plan.moments.max(1) {
            let due = plan.every * index;
            std::thread::sleep(due.saturating_sub(self.start.elapsed()));
            times.push(self.start.elapsed().as_secs_f64());
            self.process(index);
            self.dump(index);
            if index == 0 && plan.cpu_seconds > 0 {
                self.fetch(
                    "processor profile",
                    "cpu.pb.gz",
                    &format!("profile?seconds={}", plan.cpu_seconds),
                );
            }
        }
        times
    }

    fn dump(&mut self, index: u32) {
        let counts = self.fetch(
            "goroutine counts",
            &format!("t{index}.goroutine.debug1.txt"),
            "goroutine?debug=1",
        );
        if let Some(bytes) = counts {
            self.total = crate::goroutine::read_counts(&bytes).0.total();
        }
        let name = "goroutine dump";
        if self.total < MANY_GOROUTINES {
            self.fetch(
                name,
                &format!("t{index}.goroutine.debug2.txt"),
                "goroutine?debug=2",
            );
        } else {
            self.skip(name);
        }
    }

    /// What is taken once, when the moments are safe.
    fn closing_profiles(&mut self) {
        self.fetch("mutex profile", "mutex.pb.gz", "mutex");
        self.fetch("block profile", "block.pb.gz", "block");
        self.fetch("execution trace", "trace.bin", "trace?seconds=0.1");
        if self.total < MANY_GOROUTINES {
            self.fetch(
                "goroutine leak profile",
                "goroutineleak.debug1.txt",
                "goroutineleak?debug=1",
            );
        } else {
            self.skip("goroutine leak profile");
        }
    }

    fn process(&mut self, index: u32) {
        let Some(pid) = self.pid else {
            return;
        };
        let begun = Instant::now();
        let outcome = match sample_process(pid) {
            Ok(sample) => {
                let text = write_process(&sample).into_bytes();
                let size = text.len();
                self.keep(&format!("t{index}.proc.txt"), text);
                Ok(size)
            }
            Err(error) => Err(error.to_string()),
        };
        self.tell("process", begun.elapsed(), outcome);
    }

    fn fetch(&mut self, name: &str, file: &str, path: &str) -> Option<Vec<u8>> {
        let pprof = self.pprof.as_ref()?;
        let begun = Instant::now();
        let fetched = self.client.get(&format!("{pprof}/{path}"));
        let took = begun.elapsed();
        match fetched {
            Ok(bytes) => {
                self.keep(file, bytes.clone());
                self.tell(name, took, Ok(bytes.len()));
                Some(bytes)
            }
            Err(error) => {
                self.tell(name, took, Err(error.to_string()));
                None
            }
        }
    }

    fn skip(&mut self, name: &str) {
        if self.pprof.is_some() {
            let why = format!(
                "left out: {} goroutines, and it is only safe below {MANY_GOROUTINES}",
                self.total
            );
            self.tell(name, Duration::ZERO, Err(why));
        }
    }

    fn keep(&mut self, file: &str, bytes: Vec<u8>) {
        self.recording.files.push((file.to_owned(), bytes));
    }

    fn tell(&mut self, name: &str, took: Duration, outcome: Result<usize, String>) {
        if let Err(why) = &outcome {
            self.recording.notes.push(Note::new(name, why.clone()));
        }
        (self.on_step)(&Step {
            name: name.to_owned(),
            took,
            outcome,
        });
    }
}

/// Scrapes every second until told to stop; returns the text and the last failure.
fn scrape_until(
    client: &Client,
    url: &str,
    start: Instant,
    stopped: &Receiver<()>,
) -> (Vec<u8>, Option<String>) {
    let mut text = Vec::new();
    let mut failure = None;
    loop {
        let begun = Instant::now();
        match client.get(url) {
            Ok(body) => {
                let at = (begun - start).as_millis();
                text.extend(format!("# scrape_t_ms {at}\n").into_bytes());
                text.extend(body);
                text.push(b'\n');
            }
            Err(error) => {
                failure = Some(error.to_string());
                if text.is_empty() {
                    return (text, failure);
                }
            }
        }
        let rest = SCRAPE_EVERY.saturating_sub(begun.elapsed());
        if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
            return (text, failure);
        }
    }
}

fn origin(target: &Target) -> String {
    match (&target.service, &target.metrics, target.pid) {
        (Some(url), _, _) | (None, Some(url), None) => url.clone(),
        (None, _, Some(pid)) => format!("process {pid}"),
        (None, None, None) => "nothing".to_owned(),
    }
}

/// The process behind a loopback URL.
fn pid_behind(url: &str) -> Option<u32> {
    let authority = url.strip_prefix("http://")?.split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    let local = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    local.then(|| listener_of(port.parse().ok()?)).flatten()
}
