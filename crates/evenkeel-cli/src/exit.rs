//! The exit codes of every verb: one table, and no format changes them.

use std::process::{ExitCode, Termination};

/// The table as it stands in the help.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done; nothing to object to
  1    findings; a threshold or a drill failed
  2    wrong usage, or a policy that is not valid; nothing was started
  3    the target is unreachable or something needed is missing; nothing was tested
  4    broken off by a safety rule; faults were repaired
  70   a defect of evenkeel
  130  interrupted (SIGINT)
  143  asked to end (SIGTERM)";

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// A threshold failed.
    Failed,
    /// Wrong usage.
    Usage,
    /// Something needed is missing: nothing was tested.
    Precondition,
    /// A defect of evenkeel.
    Internal,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Exit {
    /// The number the system is told.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Precondition => 3,
            Self::Internal => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
