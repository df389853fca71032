//! Room for connections: what the system lets this process open.
//!
//! A request takes two files, its client's connection and its upstream's. Many systems start a
//! process with a soft limit of 1024, far below the bound on connections; the clients would then
//! take every one, and no upstream could be reached for any of them. So the soft limit is raised to
//! the hard one, which needs no right, and what still does not fit is not accepted: further clients
//! wait in the kernel's backlog, as they do at the bound that was written.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Files that are nobody's connection: listeners, the runtime's own, the admin endpoints, a log.
const OWN: u64 = 64;

/// Raises the soft limit to the hard one. What the limit is now; none: there is none.
pub(crate) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // Some systems have a further limit of their own below the hard one.
        Err(error) => {
            tracing::debug!(%error, "the limit on open files stays as it is");
            limit.current
        }
    }
}

/// How many of the `wanted` client connections the limit has room for, with one upstream
/// connection for each. At least one.
pub(crate) fn room(limit: Option<u64>, wanted: usize) -> usize {
    let Some(limit) = limit else {
        return wanted;
    };
    let room = limit.saturating_sub(OWN) / 2;
    wanted
        .min(usize::try_from(room).unwrap_or(usize::MAX))
        .max(1)
}

/// Whether it was this machine that had nothing left to open a connection with: no descriptor, no
/// buffer, no port. The other side was not asked.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_connection_has_room_for_its_upstream_connection() {
        for (limit, wanted, room_for) in [
            (None, 10_000, 10_000),
            (Some(1_048_576), 10_000, 10_000),
            (Some(1024), 10_000, 480),
            (Some(1024), 100, 100),
            (Some(10), 100, 1),
        ] {
            assert_eq!(room(limit, wanted), room_for, "{limit:?} {wanted}");
        }
    }

    #[test]
    fn what_this_machine_lacks_is_told_from_what_the_other_side_refused() {
        for ours in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::ADDRNOTAVAIL,
        ] {
            assert!(is_exhaustion(&ours.into()), "{ours:?}");
        }
        for theirs in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::TIMEDOUT] {
            assert!(!is_exhaustion(&theirs.into()), "{theirs:?}");
        }
        assert!(!is_exhaustion(&io::ErrorKind::ConnectionReset.into()));
    }
}
