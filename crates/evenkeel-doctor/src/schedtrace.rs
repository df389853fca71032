//! Lines of Go's `GODEBUG=schedtrace=1000`.
//!
//! The scheduler's own account of saturation: how many processors are idle and how many goroutines
//! wait for one. What counts is the trajectory, not a threshold: a run queue of thirty that stays
//! thirty is a busy pool, one that grows is work arriving faster than it is done.

use crate::note::{Note, Parsed};

/// One line of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedLine {
    /// Since the start of the process, in milliseconds.
    pub at_ms: u64,
    /// `GOMAXPROCS`.
    pub procs: u32,
    /// Processors without work.
    pub idle_procs: u32,
    /// Operating system threads.
    pub threads: u32,
    /// Goroutines that wait for a processor: the global queue and all local ones.
    pub backlog: u64,
}

/// The whole trace.
#[derive(Debug, Clone, Default)]
pub struct Schedtrace {
    /// Its lines, oldest first.
    pub lines: Vec<SchedLine>,
}

impl Schedtrace {
    /// Share of the lines without an idle processor, 0 to 1.
    pub fn saturated_share(&self) -> Option<f64> {
        if self.lines.is_empty() {
            return None;
        }
        let saturated = self
            .lines
            .iter()
            .filter(|line| line.idle_procs == 0)
            .count();
        Some(saturated as f64 / self.lines.len() as f64)
    }

    /// Mean backlog of the first and of the second half.
    pub fn backlog_halves(&self) -> Option<(f64, f64)> {
        // The first line is printed before the program runs.
        let lines = self.lines.get(1..).filter(|lines| lines.len() >= 4)?;
        let (first, second) = lines.split_at(lines.len() / 2);
        let mean = |part: &[SchedLine]| {
            part.iter().map(|line| line.backlog as f64).sum::<f64>() / part.len() as f64
        };
        Some((mean(first), mean(second)))
    }
}

/// Reads every `SCHED` line; other lines of the same stream are skipped.
pub fn read_schedtrace(bytes: &[u8]) -> Parsed<Schedtrace> {
    let text = String::from_utf8_lossy(bytes);
    let mut trace = Schedtrace::default();
    let mut broken = 0_u64;
    for line in text.lines() {
        let Some(start) = line.find("SCHED ") else {
            continue;
        };
        match read_line(&line[start + "SCHED ".len()..]) {
            Some(line) => trace.lines.push(line),
            None => broken += 1,
        }
    }
    let mut notes = Vec::new();
    if trace.lines.is_empty() {
        notes.push(Note::new("schedtrace", "holds no SCHED line"));
    } else if broken > 0 {
        notes.push(Note::new("schedtrace", format!("{broken} lines are cut")));
    }
    (trace, notes)
}

fn read_line(rest: &str) -> Option<SchedLine> {
    let (at, rest) = rest.split_once("ms:")?;
    let field = |name: &str| -> Option<u64> {
        rest.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .and_then(|value| value.trim_end_matches(':').parse().ok())
    };
    let global = field("runqueue")?;
    // The local queues are the first bracket that follows; older versions print `[0 0]`, newer ones
    // `[ 0 0 ]` and a second list of ticks after it.
    let after = &rest[rest.find("runqueue=")?..];
    let local: u64 = match (after.find('['), after.find("schedticks")) {
        (Some(open), ticks) if ticks.is_none_or(|ticks| open < ticks) => after[open + 1..]
            .split(']')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .filter_map(|word| word.parse::<u64>().ok())
            .fold(0, u64::saturating_add),
        _ => 0,
    };
    let small = |value: Option<u64>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    Some(SchedLine {
        at_ms: at.trim().parse().ok()?,
        procs: small(field("gomaxprocs"))?,
        idle_procs: small(field("idleprocs"))?,
        threads: small(field("threads")).unwrap_or(0),
        backlog: global.saturating_add(local),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_old_lines_give_the_same_backlog() {
        let new = "SCHED 1001ms: gomaxprocs=2 idleprocs=0 threads=6 spinningthreads=0 needspinning=0 idlethreads=2 runqueue=5 [ 1 2 ] schedticks=[ 534 33 ]\n";
        let old = "SCHED 1001ms: gomaxprocs=2 idleprocs=0 threads=6 spinningthreads=0 idlethreads=2 runqueue=5 [1 2]\n";
        let (new, _) = read_schedtrace(new.as_bytes());
        let (old, _) = read_schedtrace(old.as_bytes());
        assert_eq!(new.lines, old.lines);
        assert_eq!(new.lines[0].backlog, 8);
    }

    #[test]
    fn detail_lines_and_log_prefixes_are_tolerated() {
        let text = "2026-01-01 app[3]: SCHED 5ms: gomaxprocs=4 idleprocs=4 threads=3 runqueue=0 gcwaiting=0\n  P0: status=1\nhello\n";
        let (trace, notes) = read_schedtrace(text.as_bytes());
        assert_eq!((trace.lines.len(), notes.len()), (1, 0));
    }

    #[test]
    fn a_cut_line_is_noted_and_the_rest_kept() {
        let text = "SCHED 5ms: gomaxprocs=4 idleprocs=4 threads=3 runqueue=0 [0]\nSCHED 9ms: gomax";
        let (trace, notes) = read_schedtrace(text.as_bytes());
        assert_eq!((trace.lines.len(), notes.len()), (1, 1));
    }
}
