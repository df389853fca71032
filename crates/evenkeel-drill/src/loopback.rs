//! Room on loopback for the services of a drill.
//!
//! Every service of a story listens on a port the system chooses, and is connected to from here.
//! Where loopback is down, as in a new network namespace, or other programs hold all its ports, the
//! services fail one by one with the system's words for it. Asked for at once and beforehand, it can
//! be said what is missing.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::DrillError;

/// Makes `services` ports of loopback listen, all at the same time, connects to each, and lets go.
///
/// # Errors
/// [`DrillError::Precondition`] if the system does not allow that.
pub(crate) fn allow(services: usize) -> Result<(), DrillError> {
    let all: io::Result<Vec<_>> = (0..services).map(|_| connected()).collect();
    all.map(drop).map_err(|error| DrillError::Precondition {
        reason: format!(
            "the drill needs {services} free ports on 127.0.0.1, and connections to them: {error}"
        ),
    })
}

fn connected() -> io::Result<(TcpListener, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // The backlog takes the connection: nobody has to accept it.
    let stream = TcpStream::connect(listener.local_addr()?)?;
    Ok((listener, stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_ports_a_drill_may_be_held() {
        assert!(allow(6).is_ok());
    }
}
