//! A service under watch: the verdict again and again, and whether a mitigation worked.

use crate::capture::Capture;
use crate::finding::{Diagnosis, Verdict};

/// What successive looks at one service showed.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    lines: Vec<(&'static str, Vec<f64>)>,
    worst: Option<Verdict>,
    healthy_looks: u32,
}

impl Watch {
    /// Healthy looks in a row after which a finding counts as gone; one may be luck.
    pub const LOOKS_TO_RECOVER: u32 = 3;

    /// Takes in one look.
    pub fn record(&mut self, capture: &Capture, diagnosis: &Diagnosis) {
        if diagnosis.verdict == Verdict::Healthy {
            self.healthy_looks += 1;
        } else {
            self.healthy_looks = 0;
            self.worst = Some(diagnosis.verdict);
        }
        let tasks = capture
            .dumps()
            .next_back()
            .map(|dump| dump.total() as f64)
            .or_else(|| {
                let metrics = capture.metrics.as_ref()?;
                ["go_goroutines", "tokio_alive_tasks"]
                    .iter()
                    .find_map(|name| metrics.get(name))
                    .map(crate::prometheus::Series::last)
            });
        self.push("goroutines or tasks", tasks);
        let facts = crate::fact::Facts::of(capture);
        self.push(
            "attempts per success",
            facts.counters.worst_pair().map(crate::fact::Pair::ratio),
        );
        self.push("completed per second", facts.counters.completions_late);
        self.push("run queue", facts.heat.backlog.map(|backlog| backlog.1));
        self.push(
            "processors wanted",
            facts.heat.demand.map(|demand| demand * facts.heat.procs),
        );
    }

    fn push(&mut self, name: &'static str, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            return;
        };
        match self.lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                values.push(value);
                if values.len() > 600 {
                    values.remove(0);
                }
            }
            None => self.lines.push((name, vec![value])),
        }
    }

    /// Name and values of each line, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, &[f64])> {
        self.lines
            .iter()
            .map(|(name, values)| (*name, values.as_slice()))
    }

    /// The finding that is gone, once enough looks in a row were healthy.
    pub fn recovered_from(&self) -> Option<Verdict> {
        self.worst
            .filter(|_| self.healthy_looks >= Self::LOOKS_TO_RECOVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(watch: &mut Watch, dump: &str) {
        let capture = crate::source::read_stream("x", dump.as_bytes()).unwrap();
        watch.record(&capture, &crate::diagnose(&capture));
    }

    #[test]
    fn recovery_takes_three_healthy_looks_in_a_row() {
        const SICK: &str = "goroutine 7 [chan send, 9 minutes]:\nmain.f()\n\tf.go:1 +0x1\n";
        const WELL: &str = "goroutine 1 [chan receive]:\nmain.main()\n\tf.go:1 +0x1\n";
        let mut watch = Watch::default();
        look(&mut watch, SICK);
        look(&mut watch, WELL);
        look(&mut watch, WELL);
        assert_eq!(watch.recovered_from(), None);
        look(&mut watch, WELL);
        assert_eq!(watch.recovered_from(), Some(Verdict::Leak));
    }
}
