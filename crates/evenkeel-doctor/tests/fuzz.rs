//! Every parser, fed with broken input.
//!
//! A corpus of real inputs is cut, spliced, flipped and stuffed with the words the formats turn on, from
//! a seed, so that a run can be repeated. A parser may note anything and must never panic, hang or hold
//! more than its input warrants. `EVENKEEL_FUZZ_SECONDS` is the time for each parser: without it a
//! quarter of a second, 10 in `.ci/run`, 600 in the nightly gates. A broken input is kept under
//! `target/fuzz` and named in the failure.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test reads its budget and says what it did"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evenkeel_doctor::{diagnose, exectrace, goroutine, log, procfs, profile, prometheus, render};
use evenkeel_doctor::{schedtrace, source};

/// Longest time one input may take; the corpus is a few kilobytes.
const SLOWEST: Duration = Duration::from_secs(2);
/// Inputs are kept below this, or the run would measure the mutations.
const LONGEST: usize = 64 << 10;

/// Words on which the formats turn.
const WORDS: &[&[u8]] = &[
    b"goroutine ",
    b" goroutines [",
    b"]:",
    b"[",
    b"]",
    b", 99999999999 minutes",
    b"(leaked)",
    b"\n\n",
    b"\n",
    b"\r\n",
    b"\t",
    b"created by ",
    b" in goroutine ",
    b"(",
    b")",
    b"(...)",
    b"+0x",
    b"0x",
    b"profile: total ",
    b" @ 0x",
    b"#\t0x",
    b"18446744073709551616",
    b"-1",
    b"NaN",
    b"1e400",
    b"{",
    b"}",
    b"\"",
    b"\\",
    b"# scrape_t_ms ",
    b"SCHED ",
    b"ms: gomaxprocs=",
    b"runqueue=",
    b"## tasks\n",
    b"|",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"go 1.26 trace\0\0\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80",
    b"\xf0\x9f\x92\xa5",
    b"\0",
];

#[test]
fn dumps_survive_anything() {
    fuzz("dump", |input| {
        let (dump, _) = goroutine::read_text(input);
        let grouped: u64 = dump.groups.iter().map(|group| group.count).sum();
        assert_eq!(grouped, dump.read);
        let mut reader = goroutine::DumpReader::default();
        reader.read_from(input).unwrap();
        assert_eq!(reader.finish().0.read, dump.read);
    });
}

#[test]
fn counts_survive_anything() {
    fuzz("counts", |input| {
        let (dump, _) = goroutine::read_counts(input);
        assert!(dump.total() >= dump.read);
    });
}

#[test]
fn profiles_survive_anything() {
    fuzz("profile", |input| {
        let (profile, _) = profile::read_pprof(input);
        let share = profile.share(|_| true);
        assert!(share.is_finite());
        goroutine::read_profile(&profile);
    });
}

#[test]
fn scheduler_lines_survive_anything() {
    fuzz("schedtrace", |input| {
        let (trace, _) = schedtrace::read_schedtrace(input);
        assert!(
            trace
                .saturated_share()
                .is_none_or(|share| (0.0..=1.0).contains(&share))
        );
        trace.backlog_halves();
    });
}

#[test]
fn execution_traces_survive_anything() {
    fuzz("trace", |input| {
        let (summary, _) = exectrace::read_trace(input);
        assert!(summary.short_slices <= summary.slices);
    });
}

#[test]
fn metrics_survive_anything() {
    fuzz("metrics", |input| {
        let (metrics, _) = prometheus::read_prometheus(input, 0.0);
        for series in &metrics.series {
            assert!(!series.points.is_empty());
            series.rate_halves();
        }
    });
}

#[test]
fn process_samples_survive_anything_and_read_back() {
    fuzz("process", |input| {
        let (sample, _) = procfs::read_process(input);
        let (again, _) = procfs::read_process(procfs::write_process(&sample).as_bytes());
        assert_eq!(again.threads.len(), sample.threads.len());
    });
}

#[test]
fn logs_survive_anything() {
    fuzz("log", |input| {
        log::read_log(input).0.sentences();
    });
}

#[test]
fn answers_of_a_metrics_server_survive_anything() {
    fuzz("server", |input| {
        source::read_answer(input);
    });
}

/// From bytes of unknown form to the report, as the command line does it.
#[test]
fn whole_diagnoses_survive_anything() {
    fuzz("", |input| {
        let capture = source::read_stream("input", input).unwrap();
        assert!(!capture.is_empty() || !capture.notes.is_empty());
        let diagnosis = diagnose(&capture);
        render::to_text(&diagnosis);
        render::to_json(&diagnosis);
        render::to_github(&diagnosis);
        render::to_html(&diagnosis, &capture).unwrap();
    });
}

/// Runs `parse` over mutations of the corpus `name` (all of it, for no name) until time is up.
fn fuzz(name: &str, parse: impl Fn(&[u8])) {
    let corpus = corpus(name);
    let budget = std::env::var("EVENKEEL_FUZZ_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .map_or(Duration::from_millis(250), Duration::from_secs_f64);
    let mut dice = Dice(0x5eed ^ name.len() as u64);
    let begun = Instant::now();
    let mut inputs = 0_u64;
    // Every input of the corpus as it is, then its mutations.
    let mut whole = corpus.clone().into_iter();
    while begun.elapsed() < budget || inputs < corpus.len() as u64 {
        let input = whole.next().unwrap_or_else(|| mutate(&corpus, &mut dice));
        inputs += 1;
        let started = Instant::now();
        let survived = catch_unwind(AssertUnwindSafe(|| parse(&input))).is_ok();
        if !survived || started.elapsed() > SLOWEST {
            let kept = keep(name, &input);
            panic!(
                "input {inputs} broke the parser, or took too long: {}",
                kept.display()
            );
        }
    }
    println!(
        "{name}: {inputs} inputs in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/doctor");
    let mut folders = vec![root.join(name)];
    if name.is_empty() {
        folders = root
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        folders.sort();
    }
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| {
            folder
                .read_dir()
                .unwrap()
                .map(|entry| entry.unwrap().path())
        })
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    assert!(!corpus.is_empty());
    corpus
}

fn keep(name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!(
        "{name}-{:016x}",
        Dice(input.len() as u64).mix(input)
    ));
    std::fs::write(&path, input).unwrap();
    path
}

/// One to six changes to an input of the corpus.
fn mutate(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(input.len() + 1);
        let end = (at + dice.below(64)).min(input.len());
        match dice.below(8) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 => input.truncate(at),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                insert(&mut input, at, &piece);
            }
            4 => insert(&mut input, at, WORDS[dice.below(WORDS.len())]),
            5 => {
                let word = WORDS[dice.below(WORDS.len())];
                let end = (at + word.len()).min(input.len());
                input.splice(at..end, word.iter().copied());
            }
            6 => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let noise: Vec<u8> = (0..dice.below(16)).map(|_| dice.byte()).collect();
                insert(&mut input, at, &noise);
            }
        }
        input.truncate(LONGEST);
    }
    input
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn mix(mut self, bytes: &[u8]) -> u64 {
        for byte in bytes {
            self.0 ^= u64::from(*byte);
            self.0 = self.next();
        }
        self.0
    }
}
