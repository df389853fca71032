//! The outcome as text, for a terminal.

use std::fmt;

use evenkeel_report::{Column, Table};

use super::outcome::Outcome;
use super::{Side, Threshold, Verdict, figures};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.complete {
            writeln!(f, "PARTIAL: the drill was broken off; nothing is judged.\n")?;
        }
        writeln!(f, "{}", self.side_by_side())?;
        writeln!(
            f,
            "corrected: from the moment a page was due; uncorrected: from its sending.\n"
        )?;
        writeln!(f, "What happened when, in seconds from the fault:")?;
        for run in &self.runs {
            writeln!(f, "{}", run.side.as_str())?;
            for event in &run.events {
                writeln!(f, "  {:>+6.1}   {}", event.at_s, event.text)?;
            }
        }
        writeln!(f)?;
        if let Some(verdict) = self.verdict() {
            writeln!(f, "{}", self.judgement())?;
            let verdict = match verdict {
                Verdict::Pass => "PASSED",
                Verdict::Fail => "FAILED",
                Verdict::NotJudged => "NOT JUDGED",
            };
            writeln!(f, "{verdict}: {}", self.headline())?;
            if let Some(doubt) = self.doubt() {
                writeln!(f, "{doubt}")?;
            }
        }
        Ok(())
    }
}

impl Outcome {
    /// The outcome in one sentence.
    #[must_use]
    pub fn headline(&self) -> String {
        format!(
            "with recommendations at {:.1} s, {} of the pages were of use without evenkeel and {} \
             with it.",
            super::SLOW.as_secs_f64(),
            figures::share_during_fault(self, Side::Unprotected),
            figures::share_during_fault(self, Side::Protected)
        )
    }

    /// Why the figures may not be the page's, if there is a reason.
    #[must_use]
    pub fn doubt(&self) -> Option<&'static str> {
        let doubtful = self.thresholds.iter().any(Threshold::blames_the_machine);
        doubtful.then_some(
            "The machine was too busy for a drill, so its figures are not the page's: hold it again \
             when nothing else runs here.",
        )
    }

    fn side_by_side(&self) -> Table {
        let columns = self.runs.iter().map(|run| Column::right(run.side.as_str()));
        let mut table = Table::new([Column::left("")].into_iter().chain(columns));
        for group in figures::of(self) {
            table.heading(group.title);
            for row in group.rows {
                table.row([format!("  {}", row.name)].into_iter().chain(row.cells));
            }
        }
        table
    }

    fn judgement(&self) -> Table {
        let columns = ["threshold", "asks", "measured", ""].map(Column::left);
        let mut table = Table::new(columns);
        for threshold in &self.thresholds {
            let asks = format!("{}: {}", threshold.side.as_str(), threshold.asks);
            let verdict = threshold.verdict.as_str();
            table.row([threshold.name, &asks, &threshold.measured, verdict]);
        }
        table
    }
}
