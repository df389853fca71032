//! How badly the processors are wanted.

use crate::capture::Capture;

/// Demand for processors, from whichever source saw it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heat {
    /// Share of scheduler lines without an idle processor.
    pub(crate) saturated_share: Option<f64>,
    /// Processors wanted by the process's threads, run and waited for, per processor allowed.
    pub(crate) demand: Option<f64>,
    /// Processor seconds per second and processor.
    pub(crate) used: Option<f64>,
    /// Mean backlog of the run queue in the first and in the second half.
    pub(crate) backlog: Option<(f64, f64)>,
    /// Processors allowed.
    pub(crate) procs: f64,
}

impl Heat {
    /// Whether the process wants more than four fifths of its processors. Seconds actually used
    /// prove heat but never its absence: a neighbour may have had them.
    pub(crate) fn hot(&self) -> bool {
        self.saturated_share.is_some_and(|share| share >= 0.8)
            || self.demand.is_some_and(|demand| demand >= 0.8)
            || self.used.is_some_and(|used| used >= 0.7)
    }

    /// Whether any source tells.
    pub(crate) fn known(&self) -> bool {
        self.saturated_share.is_some() || self.demand.is_some()
    }

    /// The evidence in words.
    pub(crate) fn sentence(&self) -> Option<String> {
        if let Some(share) = self.saturated_share {
            return Some(format!(
                "no processor was idle in {:.0} % of the scheduler's lines",
                share * 100.0
            ));
        }
        if let Some(demand) = self.demand {
            return Some(format!(
                "its threads ran or waited to run for {demand:.2} of each allowed processor's time"
            ));
        }
        self.used
            .map(|used| format!("it used {:.0} % of its processors", used * 100.0))
    }

    pub(crate) fn of(capture: &Capture) -> Self {
        let metric = |name: &str| {
            capture
                .metrics
                .as_ref()
                .and_then(|metrics| metrics.get(name))
        };
        let procs = capture
            .schedtrace
            .as_ref()
            .and_then(|trace| trace.lines.last())
            .map(|line| f64::from(line.procs))
            .or_else(|| {
                ["go_sched_gomaxprocs_threads", "tokio_num_workers"]
                    .iter()
                    .find_map(|name| metric(name))
                    .map(crate::prometheus::Series::last)
            })
            .filter(|procs| *procs >= 1.0)
            .unwrap_or(1.0);
        let used = metric("process_cpu_seconds_total")
            .filter(|series| series.span() >= 1.0)
            .map(|series| series.rate() / procs);
        Self {
            saturated_share: capture
                .schedtrace
                .as_ref()
                .and_then(super::super::schedtrace::Schedtrace::saturated_share),
            backlog: capture
                .schedtrace
                .as_ref()
                .and_then(super::super::schedtrace::Schedtrace::backlog_halves),
            demand: demand(capture).map(|demand| demand / procs),
            used,
            procs,
        }
    }
}

/// Processors wanted between the first and the last process sample.
fn demand(capture: &Capture) -> Option<f64> {
    let samples: Vec<_> = capture
        .moments
        .iter()
        .filter(|moment| moment.process.is_some())
        .collect();
    let (first, last) = (samples.first()?, samples.last()?);
    let seconds = match (first.at, last.at) {
        (Some(first), Some(last)) => last - first,
        // Moments without a clock are spread over the scrapes.
        // Of two moments nobody knows whether they are the first and the last.
        _ if samples.len() >= 3 => capture.metrics.as_ref()?.span() * 0.85,
        _ => return None,
    };
    if samples.len() < 2 || seconds < 1.0 {
        return None;
    }
    let (first, last) = (first.process.as_ref()?, last.process.as_ref()?);
    let nanos = last.demand_ns().saturating_sub(first.demand_ns());
    Some(nanos as f64 / 1e9 / seconds)
}
