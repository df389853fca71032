//! The doctor against running services, sick and well.
//!
//! `.ci/doctor-live` builds the services of `examples/sick` and names them in `EVENKEEL_SICK_GO` and
//! `EVENKEEL_SICK_RUST`; a variable that is not set skips its half, with a line that says so. The
//! services run one after the other: on two cores, a hot one beside another would change its verdict.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test reads where its services are and says what it saw"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use evenkeel_doctor::source::{Plan, Target, query_server, read_answer, record};
use evenkeel_doctor::{Capture, Diagnosis, Verdict, diagnose, render};

/// Shape, requests per second it wants, verdict, and the function to be named.
type Case = (&'static str, u32, Verdict, Option<&'static str>);

const GO: &[Case] = &[
    ("ring", 0, Verdict::Livelock, Some("main.moveRing")),
    ("ordered", 0, Verdict::Healthy, None),
    ("till", 0, Verdict::Contention, Some("main.(*drawer).add")),
    ("tills", 0, Verdict::Healthy, None),
    ("answer", 40, Verdict::Leak, Some("main.find.func1")),
    ("buffered", 40, Verdict::Healthy, None),
    ("basket", 40, Verdict::Leak, Some("main.(*shelf).addKept")),
    ("deferred", 40, Verdict::Healthy, None),
    ("mail", 0, Verdict::Fanout, Some("main.startMail.func2")),
    ("pool", 0, Verdict::Healthy, None),
    (
        "avatar",
        20,
        Verdict::BlockingCall,
        Some("main.fetchAvatar"),
    ),
    ("patient", 20, Verdict::Healthy, None),
    ("dial", 0, Verdict::RetryStorm, Some("main.connect")),
    ("backoff", 0, Verdict::Healthy, None),
];

const RUST: &[Case] = &[
    ("executor", 0, Verdict::BlockingCall, None),
    ("inbox", 0, Verdict::Leak, None),
    ("quote", 0, Verdict::BlockingCall, None),
    ("stock", 0, Verdict::Livelock, None),
    ("price", 0, Verdict::Contention, None),
    ("workers", 0, Verdict::Healthy, None),
    ("encode", 0, Verdict::Healthy, None),
];

/// Ends with the value, whatever the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_go_service_is_judged_right_while_it_runs() {
    judge_all("EVENKEEL_SICK_GO", &["serve"], GO);
}

#[test]
fn every_rust_service_is_judged_right_while_it_runs() {
    judge_all("EVENKEEL_SICK_RUST", &[], RUST);
}

/// A real Prometheus server's memory of a service that leaks, and of nobody.
#[test]
fn a_prometheus_server_remembers_a_leak() {
    let (Ok(program), Ok(prometheus)) = (
        std::env::var("EVENKEEL_SICK_GO"),
        std::env::var("EVENKEEL_PROMETHEUS"),
    ) else {
        println!("skipped: EVENKEEL_PROMETHEUS is not set; .ci/doctor-live sets it");
        return;
    };
    let (service, output) = start(Command::new(&program).args(["serve", "answer", "127.0.0.1:0"]));
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address).unwrap();
    let address = address.trim();
    let load =
        start(Command::new(&program).args(["load", &format!("http://{address}/work"), "20"]));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    std::fs::write(
        &config,
        format!("global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: shop, static_configs: [{{targets: [\"{address}\"]}}]}}]\n"),
    )
    .unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = start(
        Command::new(prometheus)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(Stdio::null()),
    );
    let url = format!("http://127.0.0.1:{port}");
    let ask = |selector: &str| {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        query_server(&url, selector, now.as_secs()).map(|body| read_answer(&body))
    };
    // It answers in steps of a quarter of a minute; six of them are a climb and no chance.
    let deadline = Instant::now() + Duration::from_secs(180);
    let metrics = loop {
        if let Ok((metrics, _)) = ask("{job=\"shop\"}")
            && metrics
                .get("go_goroutines")
                .is_some_and(|series| series.points.len() >= 6)
        {
            break metrics;
        }
        assert!(
            Instant::now() < deadline,
            "nothing remembered after three minutes"
        );
        std::thread::sleep(Duration::from_secs(1));
    };
    let (nothing, notes) = ask("{job=\"nobody\"}").unwrap();
    drop((server, load, service));
    assert!(nothing.series.is_empty());
    assert_eq!(notes.len(), 1);
    let diagnosis = diagnose(&Capture {
        metrics: Some(metrics),
        ..Capture::default()
    });
    assert_eq!(
        diagnosis.verdict,
        Verdict::Leak,
        "{}",
        render::to_text(&diagnosis)
    );
}

fn judge_all(variable: &str, verb: &[&str], cases: &[Case]) {
    let Ok(program) = std::env::var(variable) else {
        println!("skipped: {variable} is not set; .ci/doctor-live sets it");
        return;
    };
    let mut wrong = Vec::new();
    for (shape, rate, verdict, function) in cases {
        let diagnosis = judge(&program, verb, shape, *rate);
        let named = diagnosis.culprit().map(|frame| frame.function.as_str());
        println!("{shape}: {} at {named:?}", diagnosis.verdict);
        let right = diagnosis.verdict == *verdict && (function.is_none() || named == *function);
        if !right {
            wrong.push(format!(
                "{shape}: wanted {verdict} at {function:?}\n{}",
                render::to_text(&diagnosis)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn judge(program: &str, verb: &[&str], shape: &str, rate: u32) -> Diagnosis {
    let (service, output) = start(
        Command::new(program)
            .args(verb)
            .args([shape, "127.0.0.1:0"]),
    );
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address).unwrap();
    let url = format!("http://{}", address.trim());
    let load = (rate > 0).then(|| {
        start(Command::new(program).args(["load", &format!("{url}/work"), &rate.to_string()])).0
    });
    let target = Target {
        service: Some(url),
        ..Target::default()
    };
    let plan = Plan {
        moments: 3,
        every: Duration::from_secs(3),
        cpu_seconds: 2,
        closing_profiles: true,
    };
    let recording = record(&target, &plan, &mut |_| {}).unwrap();
    drop((load, service));
    diagnose(&recording.capture())
}

fn start(command: &mut Command) -> (Running, ChildStdout) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    (Running(child), output)
}
