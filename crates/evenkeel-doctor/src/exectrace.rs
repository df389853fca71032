//! Go's execution trace (format of Go 1.22 and later), reduced to run slices.
//!
//! A run slice is the time a goroutine holds a processor between being scheduled and leaving it.
//! Goroutines that keep colliding run in many tiny slices and get nothing done; goroutines that
//! compute run in few long ones. Nothing else of the trace is needed for that, so batches are
//! walked event by event without building the trace's state machine.

use std::collections::{HashMap, HashSet};

use crate::note::{Note, Parsed};

/// How goroutines used the processors.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct TraceSummary {
    /// Run slices seen from start to end.
    pub slices: u64,
    /// Slices shorter than 100 microseconds.
    pub short_slices: u64,
    /// Seconds spent in slices.
    pub run_seconds: f64,
    /// Slices that ended because the goroutine yielded or was preempted.
    pub yielded: u64,
    /// Slices that ended because the goroutine blocked.
    pub blocked: u64,
    /// Distinct goroutines that ran.
    pub goroutines: u64,
    /// Seconds covered by the trace.
    pub seconds: f64,
}

impl TraceSummary {
    /// Slices per second of trace.
    pub fn slices_per_second(&self) -> f64 {
        if self.seconds > 0.0 {
            self.slices as f64 / self.seconds
        } else {
            0.0
        }
    }

    /// Mean length of a slice in microseconds.
    pub fn mean_slice_us(&self) -> f64 {
        if self.slices == 0 {
            0.0
        } else {
            self.run_seconds * 1e6 / self.slices as f64
        }
    }
}

const EVENT_BATCH: u8 = 1;
const STACKS: u8 = 2;
const STRINGS: u8 = 4;
const CPU_SAMPLES: u8 = 6;
const FREQUENCY: u8 = 8;
const GO_START: u8 = 16;
const GO_DESTROY: u8 = 17;
const GO_STOP: u8 = 19;
const GO_BLOCK: u8 = 20;
const SYSCALL_BEGIN: u8 = 22;
const SYSCALL_END: u8 = 23;
const GO_SWITCH: u8 = 45;
const GO_SWITCH_DESTROY: u8 = 46;
const EXPERIMENTAL_BATCH: u8 = 49;
const SYNC: u8 = 50;
const END_OF_GENERATION: u8 = 52;

/// Arguments of each timed event from `ProcsChange` (9) to `ClockSnapshot` (51), the time step
/// included; 0 marks what is not a timed event.
const ARGUMENTS: [u8; 43] = [
    3, 3, 1, 4, 3, // processors
    4, 2, 3, 1, 1, 3, 3, 4, 3, 1, 1, 4, // goroutines
    3, 1, // stop the world
    2, 3, 2, 2, 2, 3, 2, 2, 1, 2, 2, // collector and heap
    2, 5, 3, 4, 4, 5, // annotations
    3, 3, 4, 5, // coroutines and status
    0, 0, 4, // batches, sync, clock
];
const FIRST_TIMED: u8 = 9;
const SHORT_SLICE_SECONDS: f64 = 100e-6;

/// Summarises a trace; a cut one is summarised up to the cut.
pub fn read_trace(bytes: &[u8]) -> Parsed<TraceSummary> {
    let mut notes = Vec::new();
    let mut walk = Walk::default();
    let version = bytes
        .get(..16)
        .and_then(|head| std::str::from_utf8(head).ok())
        .and_then(|head| head.strip_prefix("go 1."))
        .and_then(|rest| rest.split(' ').next())
        .and_then(|minor| minor.parse::<u32>().ok());
    match version {
        Some(minor) if minor >= 22 => {
            if walk.batches(&bytes[16..]).is_none() {
                notes.push(Note::new(
                    "execution trace",
                    "is cut or damaged; read up to there",
                ));
            }
        }
        Some(minor) => notes.push(Note::new(
            "execution trace",
            format!("is of Go 1.{minor}; only traces of Go 1.22 and later are read"),
        )),
        None => notes.push(Note::new("execution trace", "has no header of a Go trace")),
    }
    (walk.summary(), notes)
}

/// Slices in clock units, since the clock's frequency may come last.
#[derive(Default)]
struct Walk {
    frequency: u64,
    running: HashMap<u64, u64>,
    lengths: Vec<u64>,
    yielded: u64,
    blocked: u64,
    goroutines: HashSet<u64>,
    first: Option<u64>,
    last: u64,
}

impl Walk {
    fn batches(&mut self, mut rest: &[u8]) -> Option<()> {
        while let Some((kind, after)) = rest.split_first() {
            rest = after;
            match *kind {
                END_OF_GENERATION => continue,
                EVENT_BATCH => {}
                EXPERIMENTAL_BATCH => rest = rest.get(1..)?,
                _ => return None,
            }
            let _generation = varint(&mut rest)?;
            let thread = varint(&mut rest)?;
            let time = varint(&mut rest)?;
            let size = usize::try_from(varint(&mut rest)?).ok()?;
            let cut = size > rest.len();
            let (data, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            if *kind == EVENT_BATCH {
                self.batch(thread, time, data);
            }
            if cut {
                return None;
            }
        }
        Some(())
    }

    fn batch(&mut self, thread: u64, time: u64, mut data: &[u8]) -> Option<()> {
        match *data.first()? {
            STACKS | STRINGS | CPU_SAMPLES => return Some(()),
            SYNC => data = &data[1..],
            _ => {}
        }
        if data.first() == Some(&FREQUENCY) {
            let mut rest = &data[1..];
            self.frequency = varint(&mut rest)?;
            return Some(());
        }
        let mut now = time;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        while let Some((event, mut rest)) = data.split_first() {
            let slot = usize::from(event.checked_sub(FIRST_TIMED)?);
            let arguments = *ARGUMENTS.get(slot)?;
            if arguments == 0 {
                return None;
            }
            now = now.wrapping_add(varint(&mut rest)?);
            let mut second = 0;
            for index in 1..arguments {
                let value = varint(&mut rest)?;
                if index == 1 {
                    second = value;
                }
            }
            data = rest;
            self.last = self.last.max(now);
            self.event(*event, thread, now, second);
        }
        Some(())
    }

    fn event(&mut self, event: u8, thread: u64, now: u64, goroutine: u64) {
        match event {
            GO_START => {
                self.goroutines.insert(goroutine);
                self.running.insert(thread, now);
            }
            SYSCALL_END => {
                self.running.insert(thread, now);
            }
            GO_STOP | GO_BLOCK | GO_DESTROY | SYSCALL_BEGIN => {
                if let Some(start) = self.running.remove(&thread) {
                    self.lengths.push(now.saturating_sub(start));
                    match event {
                        GO_STOP => self.yielded += 1,
                        GO_BLOCK => self.blocked += 1,
                        _ => {}
                    }
                }
            }
            GO_SWITCH | GO_SWITCH_DESTROY => {
                if let Some(start) = self.running.insert(thread, now) {
                    self.lengths.push(now.saturating_sub(start));
                }
                self.goroutines.insert(goroutine);
            }
            _ => {}
        }
    }

    fn summary(self) -> TraceSummary {
        // Without a frequency the clock is taken to count nanoseconds.
        let unit = if self.frequency == 0 {
            1e-9
        } else {
            1.0 / self.frequency as f64
        };
        let seconds = |units: u64| units as f64 * unit;
        TraceSummary {
            slices: self.lengths.len() as u64,
            short_slices: self
                .lengths
                .iter()
                .filter(|length| seconds(**length) < SHORT_SLICE_SECONDS)
                .count() as u64,
            run_seconds: self.lengths.iter().map(|length| seconds(*length)).sum(),
            yielded: self.yielded,
            blocked: self.blocked,
            goroutines: self.goroutines.len() as u64,
            seconds: self
                .first
                .map_or(0.0, |first| seconds(self.last.saturating_sub(first))),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(index).ok()?)?;
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two goroutines on one thread: 50 us yielded, 950 us blocked, clock of 1 GHz.
    fn trace() -> Vec<u8> {
        fn push(out: &mut Vec<u8>, mut value: u64) {
            while value >= 0x80 {
                out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
                value >>= 7;
            }
            out.push(u8::try_from(value).unwrap());
        }
        let mut events = Vec::new();
        for event in [
            [GO_START, 0, 7, 1].as_slice(),
            &[GO_STOP, 1, 0, 0],
            &[GO_START, 0, 8, 1],
            &[GO_BLOCK, 2, 0, 0],
        ] {
            events.push(event[0]);
            push(&mut events, [0, 50_000, 950_000][usize::from(event[1])]);
            push(&mut events, u64::from(event[2]));
            push(&mut events, u64::from(event[3]));
        }
        let mut out = b"go 1.26 trace\0\0\0".to_vec();
        for data in [events, {
            let mut sync = vec![SYNC, FREQUENCY];
            push(&mut sync, 1_000_000_000);
            sync
        }] {
            out.push(EVENT_BATCH);
            for value in [1, 3, 1_000, data.len() as u64] {
                push(&mut out, value);
            }
            out.extend(data);
        }
        out.push(END_OF_GENERATION);
        out
    }

    #[test]
    fn slices_are_counted_and_measured() {
        let (summary, notes) = read_trace(&trace());
        assert_eq!(notes, []);
        assert_eq!((summary.slices, summary.short_slices), (2, 1));
        assert_eq!(
            (summary.yielded, summary.blocked, summary.goroutines),
            (1, 1, 2)
        );
        assert!((summary.run_seconds - 0.001).abs() < 1e-9);
    }

    #[test]
    fn every_cut_is_survived() {
        let whole = trace();
        for cut in 0..whole.len() {
            read_trace(&whole[..cut]);
        }
    }

    #[test]
    fn an_old_trace_is_named_as_such() {
        let (_, notes) = read_trace(b"go 1.19 trace\0\0\0xxxx");
        assert!(notes[0].text.contains("Go 1.19"));
    }
}
