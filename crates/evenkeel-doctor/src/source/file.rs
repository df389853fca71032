//! Files, folders and standard input: whatever somebody saved or pasted.
//!
//! What a file holds is decided by its first bytes, never by its name; the name only says which
//! moment it belongs to (`t0.`, `t1.`, ..) and parts mutex from block profiles.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::archive;
use super::server::read_answer;
use crate::capture::Capture;
use crate::goroutine::{DumpForm, DumpReader, Goroutines, read_counts, read_profile};
use crate::note::{Note, Parsed};
use crate::procfs::read_process;
use crate::profile::{Profile, ProfileKind, read_pprof};
use crate::prometheus::{Metrics, read_prometheus};
use crate::schedtrace::read_schedtrace;

/// Bytes looked at to tell what a file holds.
const HEAD: usize = 4096;
/// Everything but a dump is read whole, up to this many bytes.
const LARGEST: u64 = 256 << 20;

/// Why a path could not be read at all.
#[derive(Debug)]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

impl ReadError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        Self {
            path: path.to_owned(),
            source,
        }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What a file holds, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Dump,
    Counts,
    Profile,
    Schedtrace,
    Trace,
    Process,
    Metrics,
    History,
    Manifest,
    Unknown,
}

/// Reads files and folders into one capture. A folder contributes the files directly in it.
///
/// # Errors
/// The first path that cannot be opened. A file that opens and makes no sense gives a note.
pub fn read_paths<P: AsRef<Path>>(paths: &[P]) -> Result<Capture, ReadError> {
    let mut capture = Capture::default();
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let fail = |source| ReadError {
            path: path.to_owned(),
            source,
        };
        if path.is_dir() {
            let mut inside = Vec::new();
            for entry in path.read_dir().map_err(fail)? {
                inside.push(entry.map_err(fail)?.path());
            }
            inside.retain(|path| path.is_file());
            if inside.is_empty() {
                let place = path.display().to_string();
                capture.notes.push(Note::new(place, "holds no files"));
            }
            inside.sort();
            files.extend(inside);
        } else {
            files.push(path.to_owned());
        }
    }
    capture.origin = paths
        .iter()
        .map(|path| path.as_ref().display().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let mut unnamed_moments = 0;
    for path in files {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let file = File::open(&path).map_err(|source| ReadError {
            path: path.clone(),
            source,
        })?;
        add(&mut capture, &name, file, &mut unnamed_moments).map_err(|source| ReadError {
            path: path.clone(),
            source,
        })?;
    }
    settle(&mut capture);
    Ok(capture)
}

/// Reads one stream, such as a dump pasted into standard input.
///
/// # Errors
/// The stream's own read error.
pub fn read_stream(name: &str, source: impl Read) -> io::Result<Capture> {
    let mut capture = Capture {
        origin: name.to_owned(),
        ..Capture::default()
    };
    add(&mut capture, name, source, &mut 0)?;
    settle(&mut capture);
    Ok(capture)
}

/// Reads named files that are in memory.
pub(super) fn read_named<'a>(
    origin: &str,
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Capture {
    let mut capture = Capture {
        origin: origin.to_owned(),
        ..Capture::default()
    };
    let mut unnamed_moments = 0;
    for (name, bytes) in files {
        add_bytes(&mut capture, name, bytes, &mut unnamed_moments);
    }
    settle(&mut capture);
    capture
}

fn add_bytes(capture: &mut Capture, name: &str, bytes: &[u8], unnamed_moments: &mut usize) {
    if let Err(error) = add(capture, name, bytes, unnamed_moments) {
        capture.notes.push(Note::new(name, error.to_string()));
    }
}

/// Puts one file into the capture.
pub(crate) fn add(
    capture: &mut Capture,
    name: &str,
    mut source: impl Read,
    unnamed_moments: &mut usize,
) -> io::Result<()> {
    let head = read_head(&mut source)?;
    if head.starts_with(&archive::MAGIC) {
        let packed = head.as_slice().chain(source);
        let unpacked = archive::unpack(packed, |inner, bytes| {
            add_bytes(capture, inner, bytes, unnamed_moments);
        });
        if let Err(error) = unpacked {
            capture
                .notes
                .push(Note::new(name, format!("is cut or damaged: {error}")));
        }
        return Ok(());
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = MultiGzDecoder::new(head.as_slice().chain(source));
        let inner = match read_head(&mut unpacked) {
            Ok(inner) => inner,
            Err(error) => {
                capture
                    .notes
                    .push(Note::new(name, format!("cannot be unpacked: {error}")));
                return Ok(());
            }
        };
        return add_content(
            capture,
            name,
            &inner,
            Forgiving::new(unpacked),
            unnamed_moments,
        );
    }
    add_content(capture, name, &head, source, unnamed_moments)
}

fn add_content(
    capture: &mut Capture,
    name: &str,
    head: &[u8],
    rest: impl Read,
    unnamed_moments: &mut usize,
) -> io::Result<()> {
    let content = classify(head);
    let mut whole = head.chain(rest);
    if content == Content::Dump {
        let mut reader = DumpReader::default();
        reader.read_from(whole)?;
        let dump = keep_notes(capture, name, reader.finish());
        add_dump(capture, name, dump, unnamed_moments);
        return Ok(());
    }
    let mut bytes = Vec::new();
    (&mut whole).take(LARGEST).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        capture.notes.push(Note::new(name, "is empty"));
        return Ok(());
    }
    match content {
        Content::Counts => {
            let leak = bytes.starts_with(b"goroutineleak");
            let dump = keep_notes(capture, name, read_counts(&bytes));
            if leak {
                capture.leaked = Some(dump);
            } else {
                add_dump(capture, name, dump, unnamed_moments);
            }
        }
        Content::Profile => {
            let profile = keep_notes(capture, name, read_pprof(&bytes));
            add_profile(capture, name, profile, unnamed_moments);
        }
        Content::Schedtrace => {
            capture.schedtrace = Some(keep_notes(capture, name, read_schedtrace(&bytes)));
        }
        Content::Trace => {
            capture.trace = Some(keep_notes(
                capture,
                name,
                crate::exectrace::read_trace(&bytes),
            ));
        }
        Content::Process => {
            let process = keep_notes(capture, name, read_process(&bytes));
            let index = moment_of(name).unwrap_or(0);
            capture.moment(index).process = Some(process);
        }
        Content::Metrics => {
            let metrics = keep_notes(capture, name, read_prometheus(&bytes, 0.0));
            capture
                .metrics
                .get_or_insert_with(Metrics::default)
                .append(metrics);
        }
        Content::History => {
            let history = keep_notes(capture, name, read_answer(&bytes));
            // What was scraped every second says more than a point every quarter of a minute.
            if capture.metrics.is_none() && !history.series.is_empty() {
                capture.metrics = Some(history);
            }
        }
        Content::Manifest => read_manifest(capture, &bytes),
        Content::Dump | Content::Unknown => {
            if name != "label.json" {
                capture
                    .notes
                    .push(Note::new(name, "is of no form the doctor knows; skipped"));
            }
        }
    }
    Ok(())
}

/// The times of the moments in a capture taken by evenkeel itself.
fn read_manifest(capture: &mut Capture, bytes: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Manifest {
        evenkeel_capture: u32,
        origin: String,
        moments_s: Vec<f64>,
    }
    match serde_json::from_slice::<Manifest>(bytes) {
        Ok(manifest) if manifest.evenkeel_capture == 1 => {
            capture.origin = manifest.origin;
            for (index, at) in manifest.moments_s.iter().enumerate().take(10_000) {
                capture.moment(index).at = Some(*at);
            }
        }
        _ => capture.notes.push(Note::new(
            "capture.json",
            "was written by an unknown version",
        )),
    }
}

fn add_dump(capture: &mut Capture, name: &str, dump: Goroutines, unnamed: &mut usize) {
    if dump.read == 0 && dump.header_total.is_none() {
        return;
    }
    let index = moment_of(name).unwrap_or_else(|| {
        *unnamed += 1;
        *unnamed - 1
    });
    let moment = capture.moment(index);
    // The text form tells the most; counts and profiles only stand in where it is missing.
    let rank = |form: DumpForm| match form {
        DumpForm::Text => 2,
        DumpForm::Profile => 1,
        DumpForm::Counts => 0,
    };
    match &moment.goroutines {
        Some(known) if rank(known.form) >= rank(dump.form) => {}
        _ => moment.goroutines = Some(dump),
    }
}

fn add_profile(capture: &mut Capture, name: &str, profile: Profile, unnamed: &mut usize) {
    match profile.kind() {
        ProfileKind::Cpu => capture.cpu = Some(profile),
        ProfileKind::Goroutine => add_dump(capture, name, read_profile(&profile), unnamed),
        ProfileKind::GoroutineLeak => {
            capture.leaked.get_or_insert_with(|| read_profile(&profile));
        }
        // With no sample in it, only the name can tell the two apart.
        ProfileKind::Mutex if !name.starts_with("block") => capture.mutex = Some(profile),
        ProfileKind::Block if name.starts_with("mutex") => capture.mutex = Some(profile),
        ProfileKind::Mutex | ProfileKind::Block => capture.block = Some(profile),
        ProfileKind::Other => capture.notes.push(Note::new(
            name,
            format!(
                "holds {}, which says nothing here",
                profile.value_types.join(", ")
            ),
        )),
    }
}

/// Removes moments that nothing was read for.
fn settle(capture: &mut Capture) {
    capture
        .moments
        .retain(|moment| moment.goroutines.is_some() || moment.process.is_some());
}

fn keep_notes<T>(capture: &mut Capture, name: &str, parsed: Parsed<T>) -> T {
    let (value, notes) = parsed;
    capture.notes.extend(
        notes
            .into_iter()
            .map(|note| Note::new(name, format!("{} {}", note.place, note.text))),
    );
    value
}

/// `t12.goroutine.debug2.txt` belongs to moment 12.
fn moment_of(name: &str) -> Option<usize> {
    let (index, _) = name.strip_prefix('t')?.split_once('.')?;
    index.parse::<usize>().ok().filter(|index| *index < 10_000)
}

fn read_head(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    source.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn classify(head: &[u8]) -> Content {
    let text = String::from_utf8_lossy(head);
    let line = |test: &dyn Fn(&str) -> bool| text.lines().any(test);
    if head.starts_with(b"go 1.") && text.get(..16).is_some_and(|start| start.contains(" trace")) {
        Content::Trace
    } else if head.starts_with(b"{") && text.contains("\"evenkeel_capture\"") {
        Content::Manifest
    } else if head.starts_with(b"{") && text.contains("\"resultType\"") {
        Content::History
    } else if line(&|line| line.contains("profile: total ")) {
        Content::Counts
    } else if line(&|line| {
        (line.starts_with("goroutine ") || line.contains(" goroutines ["))
            && line.contains('[')
            && line.trim_end().ends_with(':')
    }) {
        Content::Dump
    } else if text.starts_with("## ") {
        Content::Process
    } else if line(&|line| line.contains("SCHED ") && line.contains("gomaxprocs=")) {
        Content::Schedtrace
    } else if looks_like_profile(head) {
        Content::Profile
    } else if !read_prometheus(&head[..whole_lines(head)], 0.0)
        .0
        .series
        .is_empty()
        && !head.starts_with(b"<")
    {
        Content::Metrics
    } else {
        Content::Unknown
    }
}

fn whole_lines(head: &[u8]) -> usize {
    memchr::memrchr(b'\n', head).map_or(head.len(), |end| end + 1)
}

/// Whether the bytes read as fields of `profile.proto`, in whatever order: at least four of them, or
/// as many as there are, each with a number and a wire type that message has.
fn looks_like_profile(head: &[u8]) -> bool {
    const NUMBERS: u32 = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;
    const MESSAGES: u32 = 0b111_1110 | 1 << 11 | 1 << 13;
    let mut rest = head;
    let mut fields = 0;
    while fields < 4 {
        let Some((key, after)) = rest.split_first() else {
            return fields > 0;
        };
        let (field, wire) = (key >> 3, key & 7);
        let known = |set: u32| field < 16 && set & (1 << field) != 0;
        rest = after;
        match wire {
            0 if known(NUMBERS) => {
                let Some(end) = rest.iter().take(10).position(|byte| byte & 0x80 == 0) else {
                    return fields > 0 && rest.len() < 10;
                };
                rest = &rest[end + 1..];
            }
            2 if known(MESSAGES) => {
                let mut length = 0_usize;
                let mut taken = 0;
                for byte in rest.iter().take(5) {
                    length |= usize::from(byte & 0x7f) << (7 * taken);
                    taken += 1;
                    if byte & 0x80 == 0 {
                        break;
                    }
                }
                match rest.get(taken + length..) {
                    Some(after) => rest = after,
                    // The field goes on beyond what was looked at.
                    None => return fields > 0,
                }
            }
            _ => return false,
        }
        fields += 1;
    }
    true
}

/// A gzip stream that ends early yields what it had, as every other reader here does.
struct Forgiving<R> {
    inner: R,
}

impl<R> Forgiving<R> {
    fn new(inner: R) -> Self {
        Self { inner }
    }
}

impl<R: Read> Read for Forgiving<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::InvalidData
                ) =>
            {
                Ok(0)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_told_by_their_first_bytes() {
        assert_eq!(
            classify(b"goroutine 7 [running]:\nmain.main()\n"),
            Content::Dump
        );
        assert_eq!(
            classify(b"panic: x\n\ngoroutine 7 [running]:\n"),
            Content::Dump
        );
        assert_eq!(
            classify(b"goroutine profile: total 3\n1 @ 0x1\n"),
            Content::Counts
        );
        assert_eq!(
            classify(b"SCHED 0ms: gomaxprocs=2 idleprocs=1\n"),
            Content::Schedtrace
        );
        assert_eq!(classify(b"# TYPE a counter\na_total 3\n"), Content::Metrics);
        assert_eq!(classify(b"## stat\n1 (x) R\n"), Content::Process);
        // Time first, as the Go runtime writes processor profiles.
        let time_first = [0x48, 0x05, 0x0a, 2, 8, 1, 0x0a, 2, 8, 3, 0x50, 9, 0x60, 4];
        assert_eq!(classify(&time_first), Content::Profile);
        assert_eq!(classify(b"<html>\n"), Content::Unknown);
        assert_eq!(
            classify(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]),
            Content::Unknown
        );
    }

    #[test]
    fn an_empty_stream_is_noted_and_leaves_nothing() {
        let capture = read_stream("stdin", io::empty()).unwrap();
        assert!(capture.is_empty());
        assert_eq!(capture.notes[0].text, "is empty");
    }

    #[test]
    fn a_broken_gzip_is_noted_and_never_fails() {
        let capture = read_stream("x.gz", [0x1f, 0x8b, 8, 0, 1, 2].as_slice()).unwrap();
        assert!(capture.is_empty());
        assert_eq!(capture.notes.len(), 1);
    }

    #[test]
    fn a_saved_history_stands_in_where_nothing_was_scraped() {
        let answer = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"go_goroutines"},"values":[[0,"5"],[15,"20"]]}]}}"#;
        let mut capture = Capture::default();
        add(&mut capture, "prometheus.json", answer.as_slice(), &mut 0).unwrap();
        assert!(
            capture
                .metrics
                .as_ref()
                .unwrap()
                .get("go_goroutines")
                .is_some()
        );

        let mut scraped = Capture::default();
        add(
            &mut scraped,
            "metrics.prom.txt",
            b"a_total 3\n".as_slice(),
            &mut 0,
        )
        .unwrap();
        add(&mut scraped, "prometheus.json", answer.as_slice(), &mut 0).unwrap();
        assert!(scraped.metrics.unwrap().get("go_goroutines").is_none());
    }

    #[test]
    fn the_text_form_wins_over_counts_of_the_same_moment() {
        let mut capture = Capture::default();
        let text = b"goroutine 7 [chan send]:\nmain.f()\n\tf.go:1 +0x1\n";
        let counts = b"goroutine profile: total 1\n1 @ 0x1\n#\t0x1\tmain.f+0x1\tf.go:1\n";
        add(
            &mut capture,
            "t0.goroutine.debug1.txt",
            counts.as_slice(),
            &mut 0,
        )
        .unwrap();
        add(
            &mut capture,
            "t0.goroutine.debug2.txt",
            text.as_slice(),
            &mut 0,
        )
        .unwrap();
        assert_eq!(capture.moments.len(), 1);
        assert_eq!(
            capture.moments[0].goroutines.as_ref().unwrap().form,
            DumpForm::Text
        );
    }
}
