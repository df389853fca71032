//! How the time of a drill is divided.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

/// The shortest drill that still has a fault worth the name, in seconds for both runs.
pub const SHORTEST: Duration = Duration::from_secs(20);

/// The longest. A drill is an exercise, not a soak test.
pub const LONGEST: Duration = Duration::from_secs(1200);

/// From this length on every recovery can be judged: ten seconds to come back, and ten to hold.
/// A shorter drill can judge one that comes the sooner.
pub const JUDGES_RECOVERY: Duration = Duration::from_secs(66);

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connections are made; not judged.
    WarmUp,
    /// All is well: what recovery is measured against.
    Before,
    /// The dependency is slow.
    Fault,
    /// The dependency is repaired.
    After,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] = [Self::WarmUp, Self::Before, Self::Fault, Self::After];

    /// The word for it in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Before => "before",
            Self::Fault => "fault",
            Self::After => "after",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The phases of one run, in whole seconds. Both runs of a drill have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Phases {
    /// Seconds of warm-up.
    pub warm_up: u32,
    /// Seconds before the fault.
    pub before: u32,
    /// Seconds of fault.
    pub fault: u32,
    /// Seconds after the repair.
    pub after: u32,
}

impl Phases {
    /// Divides the length of both runs together, clamped to [`SHORTEST`] and [`LONGEST`].
    ///
    /// About two sevenths of each run are fault; most of the rest comes after the repair, because
    /// recovery must be seen to last for ten seconds. No fault is 5 or 6 s long: the calls that hung
    /// first let go after 4.8 s, a hundred connections come free within a second, and a repair
    /// just then would find a page that is up for the moment.
    #[must_use]
    pub fn of(both_runs: Duration) -> Self {
        let each = both_runs.clamp(SHORTEST, LONGEST).as_secs() / 2;
        let each = u32::try_from(each).unwrap_or(u32::MAX);
        let warm_up = 1;
        let before = (each / 9).max(2);
        let fault = if each < 21 { 4 } else { (each * 2 / 7).max(7) };
        Self {
            warm_up,
            before,
            fault,
            after: each - warm_up - before - fault,
        }
    }

    /// The length of each phase, in order.
    #[must_use]
    pub fn lengths(&self) -> [u32; 4] {
        [self.warm_up, self.before, self.fault, self.after]
    }

    /// The seconds of a phase, from the start of the run.
    #[must_use]
    pub fn seconds(&self, phase: Phase) -> Range<u32> {
        let starts = [
            0,
            self.warm_up,
            self.warm_up + self.before,
            self.repair(),
            self.total(),
        ];
        let index = phase as usize;
        starts[index]..starts[index + 1]
    }

    /// The phase in which a second lies; seconds beyond the end belong to the last.
    #[must_use]
    pub fn at(&self, second: u32) -> Phase {
        let mut phases = Phase::ALL.into_iter();
        phases
            .find(|phase| self.seconds(*phase).contains(&second))
            .unwrap_or(Phase::After)
    }

    /// When the fault is injected, in seconds from the start of the run.
    #[must_use]
    pub fn injection(&self) -> u32 {
        self.warm_up + self.before
    }

    /// When the fault is repaired.
    #[must_use]
    pub fn repair(&self) -> u32 {
        self.injection() + self.fault
    }

    /// The length of one run.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.repair() + self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_drill_leaves_room_to_see_recovery_last() {
        let phases = Phases::of(super::super::DEFAULT_DURATION);
        assert_eq!(
            phases,
            Phases {
                warm_up: 1,
                before: 3,
                fault: 8,
                after: 17
            }
        );
        assert!(2 * phases.total() < 60);
    }

    #[test]
    fn twenty_seconds_follow_the_repair_where_every_recovery_can_be_judged_and_not_before() {
        for seconds in 0..2000 {
            let length = Duration::from_secs(seconds);
            let judges = Phases::of(length).after >= 20;
            assert_eq!(judges, length >= JUDGES_RECOVERY, "{seconds} s");
        }
    }

    #[test]
    fn phases_follow_each_other_without_gap_at_every_length() {
        for seconds in 0..2000 {
            let phases = Phases::of(Duration::from_secs(seconds));
            let mut end = 0;
            for phase in Phase::ALL {
                let range = phases.seconds(phase);
                assert_eq!(range.start, end);
                assert!(!range.is_empty(), "{phase} of {seconds} s");
                assert_eq!(phases.at(range.start), phase);
                end = range.end;
            }
            assert_eq!(end, phases.total());
        }
    }
}
