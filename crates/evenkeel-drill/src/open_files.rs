//! Room for the connections of a drill.
//!
//! A collapse keeps hundreds of connections open at once. Many systems start a process with a
//! soft limit of 1024 open files, some with 256; beyond it the drill would measure its own
//! refusals. The soft limit may be raised to the hard one without any right, and child processes
//! inherit it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::DrillError;

/// Raises the soft limit on open files to at least `needed`.
///
/// # Errors
/// [`DrillError::Precondition`] if the system does not allow that.
pub(crate) fn allow(needed: u64) -> Result<(), DrillError> {
    let limit = getrlimit(Resource::Nofile);
    let granted = match raised(&limit, needed) {
        Raise::NotNeeded => true,
        Raise::To(raised) => setrlimit(Resource::Nofile, raised).is_ok(),
        Raise::Refused => false,
    };
    if granted {
        return Ok(());
    }
    let soft = limit.current.unwrap_or_default();
    Err(DrillError::Precondition {
        reason: format!(
            "the drill needs {needed} open files per process and the limit is {soft}; raise it \
             with `ulimit -n {needed}` or choose a lower --rate"
        ),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Raise {
    NotNeeded,
    To(Rlimit),
    Refused,
}

fn raised(limit: &Rlimit, needed: u64) -> Raise {
    if limit.current.is_none_or(|soft| soft >= needed) {
        Raise::NotNeeded
    } else if limit.maximum.is_none_or(|hard| hard >= needed) {
        Raise::To(Rlimit {
            current: Some(needed),
            maximum: limit.maximum,
        })
    } else {
        Raise::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_up_to_the_hard_one_and_never_lowered() {
        let limit = Rlimit {
            current: Some(256),
            maximum: Some(4096),
        };
        assert_eq!(raised(&limit, 200), Raise::NotNeeded);
        let to = Rlimit {
            current: Some(1200),
            maximum: Some(4096),
        };
        assert_eq!(raised(&limit, 1200), Raise::To(to));
        assert_eq!(raised(&limit, 5000), Raise::Refused);
        assert_eq!(
            raised(
                &Rlimit {
                    current: None,
                    maximum: None
                },
                5000
            ),
            Raise::NotNeeded
        );
    }
}
