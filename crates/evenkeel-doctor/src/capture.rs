//! Everything known of one process over a stretch of time, whatever source it came from.

use crate::exectrace::TraceSummary;
use crate::goroutine::Goroutines;
use crate::log::LogCounts;
use crate::note::Note;
use crate::procfs::ProcessSample;
use crate::profile::Profile;
use crate::prometheus::Metrics;
use crate::schedtrace::Schedtrace;

/// What was seen at one moment.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Seconds since the first moment, where the source recorded it.
    pub at: Option<f64>,
    /// The goroutine dump.
    pub goroutines: Option<Goroutines>,
    /// The kernel's view of the process.
    pub process: Option<ProcessSample>,
}

/// Evidence of one process, gathered from files, a live endpoint or `/proc`.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    /// Where it came from, for the first line of a report.
    pub origin: String,
    /// Dumps and process samples, oldest first.
    pub moments: Vec<Moment>,
    /// Metrics over time.
    pub metrics: Option<Metrics>,
    /// The scheduler's lines.
    pub schedtrace: Option<Schedtrace>,
    /// Processor profile.
    pub cpu: Option<Profile>,
    /// Mutex profile: delay by unlocking stack.
    pub mutex: Option<Profile>,
    /// Block profile: delay by waiting stack.
    pub block: Option<Profile>,
    /// Goroutines that the collector proved can never be woken.
    pub leaked: Option<Goroutines>,
    /// The execution trace, summarised.
    pub trace: Option<TraceSummary>,
    /// Lines of a log about retries, conflicts, time-outs and back-off.
    pub logs: Option<LogCounts>,
    /// What readers and sources remarked.
    pub notes: Vec<Note>,
}

impl Capture {
    /// Whether nothing at all could be read.
    pub fn is_empty(&self) -> bool {
        self.moments
            .iter()
            .all(|moment| moment.goroutines.is_none() && moment.process.is_none())
            && self.metrics.is_none()
            && self.schedtrace.is_none()
            && self.cpu.is_none()
            && self.mutex.is_none()
            && self.block.is_none()
            && self.leaked.is_none()
            && self.trace.is_none()
            && self.logs.is_none()
    }

    /// The moment with that index, made when it is not there yet.
    pub(crate) fn moment(&mut self, index: usize) -> &mut Moment {
        if self.moments.len() <= index {
            self.moments.resize_with(index + 1, Moment::default);
        }
        &mut self.moments[index]
    }

    /// The dumps, oldest first.
    pub fn dumps(&self) -> impl DoubleEndedIterator<Item = &Goroutines> {
        self.moments
            .iter()
            .filter_map(|moment| moment.goroutines.as_ref())
    }

    /// The process samples, oldest first, each with its time where known.
    pub fn processes(&self) -> impl DoubleEndedIterator<Item = (Option<f64>, &ProcessSample)> {
        self.moments
            .iter()
            .filter_map(|moment| moment.process.as_ref().map(|process| (moment.at, process)))
    }
}
