//! The pprof profile format (`profile.proto`), as Go, pprof-rs and others write it.
//!
//! Go writes samples before the string table, so nothing can be resolved until the whole message
//! is in. Go compresses its profiles, pprof-rs does not; the first two bytes tell.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use prost::Message;

use crate::note::{Note, Parsed};
use crate::stack::{Frame, Stack};

/// A profile decompresses to at most this many bytes; more is a bomb or not a profile.
const LARGEST: u64 = 512 << 20;

/// A decoded profile.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// What each value of a sample counts, as `type/unit`: `cpu/nanoseconds`, `delay/nanoseconds`.
    pub value_types: Vec<String>,
    /// The samples, their stacks resolved.
    pub samples: Vec<Sample>,
    /// Time covered, in nanoseconds; 0 for a snapshot.
    pub duration_nanos: i64,
}

/// One stack and its values, in the order of [`Profile::value_types`].
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The stack, inlined calls expanded.
    pub stack: Stack,
    /// The values.
    pub values: Vec<i64>,
}

/// What a profile measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileKind {
    /// Processor time by stack.
    Cpu,
    /// Goroutines by stack.
    Goroutine,
    /// Goroutines the collector proved unreachable, by stack.
    GoroutineLeak,
    /// Delay by the stack that released the lock.
    Mutex,
    /// Delay by the stack that waited.
    Block,
    /// Anything else, such as heap.
    Other,
}

impl Profile {
    /// What this profile measures. Mutex and block profiles have the same types, so they are told
    /// apart by their stacks: a mutex profile shows the function that unlocks.
    pub fn kind(&self) -> ProfileKind {
        let has = |prefix: &str| self.value_types.iter().any(|name| name.starts_with(prefix));
        if has("cpu/") {
            ProfileKind::Cpu
        } else if has("goroutineleak/") {
            ProfileKind::GoroutineLeak
        } else if has("goroutine/") {
            ProfileKind::Goroutine
        } else if has("contentions/") || has("delay/") {
            let unlocks = self.samples.iter().any(|sample| {
                sample.stack.0.iter().take(4).any(|frame| {
                    frame.function.contains("nlock") || frame.function.contains("semrelease")
                })
            });
            if unlocks {
                ProfileKind::Mutex
            } else {
                ProfileKind::Block
            }
        } else {
            ProfileKind::Other
        }
    }

    /// The sum of the last value (nanoseconds, for the kinds that have them) over all samples.
    pub fn total(&self) -> i64 {
        self.samples
            .iter()
            .filter_map(|sample| sample.values.last())
            .fold(0_i64, |sum, value| sum.saturating_add(*value))
    }

    /// The share of the profile, 0 to 1, spent in stacks for which `test` holds.
    pub fn share(&self, test: impl Fn(&Stack) -> bool) -> f64 {
        let total = self.total();
        if total <= 0 {
            return 0.0;
        }
        let matching = self
            .samples
            .iter()
            .filter(|sample| test(&sample.stack))
            .filter_map(|sample| sample.values.last())
            .fold(0_i64, |sum, value| sum.saturating_add(*value));
        matching as f64 / total as f64
    }
}

/// Decodes a profile, compressed or not.
pub fn read_pprof(bytes: &[u8]) -> Parsed<Profile> {
    let mut notes = Vec::new();
    let mut unpacked = Vec::new();
    let raw = if bytes.starts_with(&[0x1f, 0x8b]) {
        if let Err(error) = MultiGzDecoder::new(bytes)
            .take(LARGEST)
            .read_to_end(&mut unpacked)
        {
            notes.push(Note::new(
                "profile",
                format!("cut while unpacking: {error}"),
            ));
        }
        unpacked.as_slice()
    } else {
        bytes
    };
    let mut wire = wire::Profile::default();
    // Merging keeps what came before the fault; decoding would throw it away.
    if let Err(error) = wire.merge(raw) {
        notes.push(Note::new("profile", format!("cut or damaged: {error}")));
    }
    let highest_name = wire
        .sample_type
        .iter()
        .flat_map(|kind| [kind.kind, kind.unit])
        .chain(
            wire.function
                .iter()
                .flat_map(|function| [function.name, function.filename]),
        )
        .max();
    if highest_name.is_some_and(|index| {
        usize::try_from(index).is_ok_and(|index| index >= wire.string_table.len())
    }) {
        notes.push(Note::new("profile", "lacks names: its string table is cut"));
    }
    let profile = resolve(&wire);
    if profile.value_types.iter().all(|name| name == "/") {
        notes.push(Note::new("profile", "names no value type: not a profile"));
    }
    (profile, notes)
}

fn resolve(wire: &wire::Profile) -> Profile {
    let text = |index: i64| -> &str {
        usize::try_from(index)
            .ok()
            .and_then(|index| wire.string_table.get(index))
            .map_or("", |bytes| std::str::from_utf8(bytes).unwrap_or(""))
    };
    let functions: HashMap<u64, &wire::Function> = wire
        .function
        .iter()
        .map(|function| (function.id, function))
        .collect();
    let locations: HashMap<u64, &wire::Location> = wire
        .location
        .iter()
        .map(|location| (location.id, location))
        .collect();
    let samples = wire
        .sample
        .iter()
        .map(|sample| {
            let mut frames = Vec::new();
            for location in sample.location_id.iter().filter_map(|id| locations.get(id)) {
                for line in &location.line {
                    let Some(function) = functions.get(&line.function_id) else {
                        continue;
                    };
                    frames.push(Frame {
                        function: text(function.name).to_owned(),
                        file: text(function.filename).to_owned(),
                        line: u32::try_from(line.line).unwrap_or(0),
                    });
                }
            }
            Sample {
                stack: Stack(frames),
                values: sample.value.clone(),
            }
        })
        .collect();
    Profile {
        value_types: wire
            .sample_type
            .iter()
            .map(|kind| format!("{}/{}", text(kind.kind), text(kind.unit)))
            .collect(),
        samples,
        duration_nanos: wire.duration_nanos,
    }
}

/// The messages of `profile.proto`, as far as they are read. Strings are bytes: a damaged one must
/// not cost the rest.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(super) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(super) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub(super) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(super) function: Vec<Function>,
        #[prost(bytes = "vec", repeated, tag = "6")]
        pub(super) string_table: Vec<Vec<u8>>,
        #[prost(int64, tag = "10")]
        pub(super) duration_nanos: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(super) kind: i64,
        #[prost(int64, tag = "2")]
        pub(super) unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(super) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(super) value: Vec<i64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Location {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(message, repeated, tag = "4")]
        pub(super) line: Vec<Line>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Line {
        #[prost(uint64, tag = "1")]
        pub(super) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(super) line: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Function {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(int64, tag = "2")]
        pub(super) name: i64,
        #[prost(int64, tag = "4")]
        pub(super) filename: i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded() -> Vec<u8> {
        wire::Profile {
            sample_type: vec![wire::ValueType { kind: 1, unit: 2 }],
            sample: vec![wire::Sample {
                location_id: vec![9],
                value: vec![41],
            }],
            location: vec![wire::Location {
                id: 9,
                line: vec![wire::Line {
                    function_id: 3,
                    line: 12,
                }],
            }],
            function: vec![wire::Function {
                id: 3,
                name: 3,
                filename: 4,
            }],
            string_table: ["", "goroutine", "count", "main.f", "main.go"]
                .iter()
                .map(|text| text.as_bytes().to_vec())
                .collect(),
            duration_nanos: 0,
        }
        .encode_to_vec()
    }

    #[test]
    fn a_plain_profile_resolves_its_frames() {
        let (profile, notes) = read_pprof(&encoded());
        assert_eq!(profile.kind(), ProfileKind::Goroutine);
        assert_eq!(profile.samples[0].stack.0[0].location(), "main.go:12");
        assert_eq!(notes, []);
    }

    #[test]
    fn a_string_table_in_front_of_the_samples_reads_the_same() {
        let bytes = encoded();
        let wire = wire::Profile::decode(bytes.as_slice()).unwrap();
        let strings = wire::Profile {
            string_table: wire.string_table.clone(),
            ..wire::Profile::default()
        };
        let mut moved = strings.encode_to_vec();
        moved.extend(
            wire::Profile {
                string_table: Vec::new(),
                ..wire
            }
            .encode_to_vec(),
        );
        assert_eq!(read_pprof(&moved).0.value_types, ["goroutine/count"]);
    }

    #[test]
    fn every_cut_of_a_profile_is_survived_with_a_note() {
        let bytes = encoded();
        for cut in 0..bytes.len() {
            let (profile, notes) = read_pprof(&bytes[..cut]);
            let resolved = profile.value_types == ["goroutine/count"];
            assert!(resolved || !notes.is_empty(), "cut at {cut}");
        }
    }
}
