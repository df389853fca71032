//! Why a drill could not be held.

use std::fmt;
use std::io;

/// Why a drill could not be held, or not to its end. A drill that was held and whose thresholds
/// failed is not an error: its outcome says so.
#[derive(Debug)]
#[non_exhaustive]
pub enum DrillError {
    /// Something the drill needs is not there. Nothing was tested.
    Precondition {
        /// What is missing, and the way out.
        reason: String,
    },
    /// A process of the drill did not start, or ended on its own.
    Process {
        /// Its name in the story.
        name: String,
        /// What it did.
        reason: String,
        /// The last lines it wrote to its standard error.
        log: String,
    },
    /// A service of the drill did not answer its control endpoint.
    Control {
        /// What was asked of it.
        asked: String,
        /// What came instead.
        reason: String,
    },
    /// The operating system refused something.
    Io {
        /// What the drill was doing, as a clause that follows "while".
        doing: String,
        /// The refusal.
        source: io::Error,
    },
    /// The report could not be rendered: a defect of the drill.
    Report {
        /// What the template engine said.
        reason: String,
    },
}

impl DrillError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl fmt::Display for DrillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Precondition { reason } => f.write_str(reason),
            Self::Process { name, reason, log } => {
                write!(f, "{name} {reason}")?;
                if !log.is_empty() {
                    write!(f, "; the last it wrote:\n{log}")?;
                }
                Ok(())
            }
            Self::Control { asked, reason } => write!(f, "{asked} was not answered: {reason}"),
            Self::Io { doing, .. } => write!(f, "refused by the system while {doing}"),
            Self::Report { reason } => write!(f, "the report could not be rendered: {reason}"),
        }
    }
}

impl std::error::Error for DrillError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
