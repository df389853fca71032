//! The same captures with everything changed that must not matter.
//!
//! A rule that rests on a name, an address, an order or a count that happens to hold in a capture holds
//! nowhere else. So every labelled capture is judged again after its functions were renamed, its ids and
//! addresses moved, its goroutines shuffled, multiplied and thinned out, and each of its files taken away in
//! turn. The captures beside this test are always judged; those in the shared folder, where it is there.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's own helpers; it says what it saw"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use evenkeel_doctor::source::read_paths;
use evenkeel_doctor::{Owner, Score, Verdict, diagnose, score};

/// Names and bytes of a case's files, unpacked.
type Files = Vec<(String, Vec<u8>)>;

struct Case {
    name: String,
    files: Files,
}

/// The captures of this crate, and the shared ones.
fn folders() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = here.join("../../../shared/doctor-cases");
    let mut folders = vec![here.join("tests/captures")];
    if shared.is_dir() {
        folders.push(shared);
    } else {
        println!("skipped: no labelled captures at {}", shared.display());
    }
    folders
}

fn cases(folder: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("label.json").is_file() {
            continue;
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(&path).unwrap();
            if name.ends_with(".tar.zst") {
                unpack(&bytes, &mut files);
            } else if bytes.starts_with(&[0x1f, 0x8b]) {
                let mut plain = Vec::new();
                flate2::read::MultiGzDecoder::new(bytes.as_slice())
                    .read_to_end(&mut plain)
                    .unwrap();
                files.push((name, plain));
            } else {
                files.push((name, bytes));
            }
        }
        files.sort();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        cases.push(Case { name, files });
    }
    assert!(!cases.is_empty(), "no cases in {}", folder.display());
    cases
}

fn unpack(packed: &[u8], files: &mut Files) {
    let plain = ruzstd::decoding::StreamingDecoder::new(packed).unwrap();
    let mut archive = tar::Archive::new(plain);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.push((name, bytes));
    }
}

fn write(folder: &Path, case: &Case) {
    let folder = folder.join(&case.name);
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in &case.files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// Scores all cases after each was changed.
fn score_changed(change: impl Fn(&mut Case)) -> Score {
    let scratch = tempfile::tempdir().unwrap();
    for folder in folders() {
        for mut case in cases(&folder) {
            change(&mut case);
            write(scratch.path(), &case);
        }
    }
    let score = score(scratch.path(), |_| true).unwrap();
    println!("{}", score.report());
    score
}

/// Whatever was done to them, at most so many verdicts and lines are lost, and no healthy case is called
/// sick.
fn assert_holds(score: &Score, verdicts_lost: usize, lines_lost: usize) {
    let report = score.report();
    assert_eq!(score.healthy_called_sick, 0, "{report}");
    assert!(
        score.cases - score.verdicts_right <= verdicts_lost,
        "{report}"
    );
    assert!(
        score.culprits - score.culprits_right <= lines_lost,
        "{report}"
    );
}

#[test]
fn unchanged_captures_are_judged_right() {
    assert_holds(&score_changed(|_| {}), 0, 1);
}

#[test]
fn names_of_the_services_functions_do_not_matter() {
    assert_holds(&score_changed(rename), 0, 1);
}

#[test]
fn ids_addresses_and_the_order_of_goroutines_do_not_matter() {
    let score = score_changed(|case| {
        each_dump(case, |blocks| {
            blocks.reverse();
            for block in blocks {
                *block = block
                    .replace("0xc0", "0xd1")
                    .replace("goroutine ", "goroutine 70");
            }
        });
    });
    assert_holds(&score, 0, 1);
}

#[test]
fn three_times_the_goroutines_are_the_same_illness() {
    let score = score_changed(|case| {
        case.files
            .retain(|(name, _)| !name.ends_with("goroutine.pb.gz"));
        each_dump(case, |blocks| {
            let copies: Vec<String> = blocks
                .iter()
                .filter(|block| multiplies(block))
                .flat_map(|block| {
                    ["goroutine 8", "goroutine 9"].map(|id| block.replacen("goroutine ", id, 1))
                })
                .collect();
            blocks.extend(copies);
        });
        scale_counts(case, |count| count * 3);
    });
    assert_holds(&score, 0, 1);
}

/// Fewer than a third are left: small crowds fall below what can be told from noise, and then nothing
/// is said. Another illness is never named.
#[test]
fn a_third_of_the_goroutines_is_the_same_illness_or_too_little_to_tell() {
    let score = score_changed(|case| {
        case.files
            .retain(|(name, _)| !name.ends_with("goroutine.pb.gz"));
        each_dump(case, |blocks| {
            blocks.retain(|block| !multiplies(block) || id_of(block) % 10 < 3);
        });
        scale_counts(case, |count| (count * 3).div_ceil(10));
    });
    assert_holds(&score, 4, 6);
    let another: Vec<_> = score
        .misses
        .iter()
        .filter(|miss| miss.contains("said") && !miss.contains("said healthy"))
        .collect();
    assert!(another.is_empty(), "{another:?}");
}

/// Without a file the doctor may be less sure, or silent; it must not see an illness in the healthy.
#[test]
fn a_missing_file_makes_nobody_sick() {
    let (mut judged, mut another, mut silent) = (0, Vec::new(), 0);
    for folder in folders() {
        for case in cases(&folder) {
            let label = case.files.iter().find(|(name, _)| name == "label.json");
            let label: serde_json::Value = serde_json::from_slice(&label.unwrap().1).unwrap();
            for (dropped, _) in case.files.iter().filter(|(name, _)| name != "label.json") {
                let scratch = tempfile::tempdir().unwrap();
                for (name, bytes) in case.files.iter().filter(|(name, _)| name != dropped) {
                    fs::write(scratch.path().join(name), bytes).unwrap();
                }
                let said = diagnose(&read_paths(&[scratch.path()]).unwrap()).verdict;
                let right = label["verdict"] == said.name()
                    || label["also_ok"]
                        .as_array()
                        .is_some_and(|ok| ok.iter().any(|ok| ok == said.name()));
                judged += 1;
                if right {
                } else if said == Verdict::Healthy {
                    silent += 1;
                } else {
                    another.push(format!(
                        "{} without {dropped}: said {said}, is {}",
                        case.name, label["verdict"]
                    ));
                }
            }
        }
    }
    println!(
        "judged {judged}: silent {silent}, another illness {}\n{}",
        another.len(),
        another.join("\n")
    );
    assert!(
        another.iter().all(|said| !said.ends_with("is \"healthy\"")),
        "{another:?}"
    );
    assert!(another.len() * 200 <= judged, "{another:?}");
    assert!(silent * 30 <= judged, "{silent} of {judged}");
}

/// Changes the goroutines of every full dump.
fn each_dump(case: &mut Case, change: impl Fn(&mut Vec<String>)) {
    for (_, bytes) in &mut case.files {
        if !bytes.starts_with(b"goroutine ") || bytes.starts_with(b"goroutine profile") {
            continue;
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut blocks: Vec<String> = text.trim_end().split("\n\n").map(str::to_owned).collect();
        change(&mut blocks);
        *bytes = (blocks.join("\n\n") + "\n").into_bytes();
    }
}

/// Whether there could be more of them: not the goroutine that wrote the dump, nor the first one.
fn multiplies(block: &str) -> bool {
    !block.contains("runtime/pprof.")
        && !block.contains("main.main")
        && !block.contains("runtime.main")
}

fn id_of(block: &str) -> u64 {
    let digits = block.trim_start_matches("goroutine ");
    let end = digits.find(' ').unwrap_or(0);
    digits[..end].parse().unwrap_or(0)
}

/// Scales the counts of short dumps and the gauges of goroutines, and the waits they add up to.
fn scale_counts(case: &mut Case, scale: impl Fn(u64) -> u64) {
    for (name, bytes) in &mut case.files {
        let counts =
            bytes.starts_with(b"goroutine profile") || bytes.starts_with(b"goroutineleak profile");
        if !counts && !name.starts_with("metrics") {
            continue;
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut out = String::new();
        for line in text.lines() {
            let (head, tail) = line.split_once(' ').unwrap_or((line, ""));
            let gauge = matches!(
                head,
                "go_goroutines" | "go_sync_mutex_wait_total_seconds_total"
            );
            if let (true, Ok(count)) = (counts && tail.starts_with('@'), head.parse::<u64>()) {
                out.push_str(&format!("{} {tail}\n", scale(count)));
            } else if let (true, Ok(value)) = (gauge, tail.parse::<f64>()) {
                let thousand = scale(1_000) as f64 / 1_000.0;
                out.push_str(&format!("{head} {}\n", value * thousand));
            } else if let Some((start, total)) = line.split_once("profile: total ") {
                let total = scale(total.parse().unwrap_or(0));
                out.push_str(&format!("{start}profile: total {total}\n"));
            } else {
                out.push_str(line);
                out.push('\n');
            }
        }
        *bytes = out.into_bytes();
    }
}

/// Renames every function of the service in all files, letter for letter, so that binary profiles keep
/// their lengths. Files and lines keep their names: the labels point at them.
fn rename(case: &mut Case) {
    let scratch = tempfile::tempdir().unwrap();
    write(scratch.path(), case);
    let capture = read_paths(&[scratch.path().join(&case.name)]).unwrap();
    let mut names = BTreeSet::new();
    let stacks = capture
        .dumps()
        .chain(&capture.leaked)
        .flat_map(|dump| &dump.groups)
        .flat_map(|group| group.stack.0.iter().chain(&group.created_by))
        .chain(
            [&capture.cpu, &capture.block, &capture.mutex]
                .into_iter()
                .flatten()
                .flat_map(|profile| profile.samples.iter().flat_map(|sample| &sample.stack.0)),
        );
    for frame in stacks {
        if frame.owner() == Owner::Service && !frame.function.contains("::") {
            names.insert((
                std::cmp::Reverse(frame.function.len()),
                frame.function.clone(),
            ));
        }
    }
    for (_, name) in &names {
        let renamed = rotated(name);
        for (file, bytes) in &mut case.files {
            if file != "label.json" {
                replace(bytes, name.as_bytes(), renamed.as_bytes());
            }
        }
    }
}

/// The name with every letter moved by thirteen, but for what compilers and interfaces call things.
fn rotated(name: &str) -> String {
    let mut out = String::new();
    for token in name.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = token.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let made = ["func", "gowrap", "deferwrap"].iter().any(|prefix| {
            word.strip_prefix(prefix)
                .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
        });
        if made || matches!(word, "main" | "init" | "ServeHTTP") {
            out.push_str(token);
        } else {
            out.extend(token.chars().map(|c| match c {
                'a'..='m' | 'A'..='M' => char::from(c as u8 + 13),
                'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13),
                other => other,
            }));
        }
    }
    out
}

/// Replaces in place; both are of equal length.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let found: Vec<usize> = memchr::memmem::find_iter(bytes, from).collect();
    for at in found {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}
