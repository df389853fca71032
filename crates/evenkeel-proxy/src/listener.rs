//! Accepting connections, and ceasing to without losing one.
//!
//! Closing a listening socket resets every connection the kernel has completed and nobody has
//! accepted: its client was connected, sent its request, and gets a reset. So before it is closed
//! the backlog is emptied. Between the last accept and the close a further connection could still
//! complete; on Linux a packet filter closes that gap: it drops segments that open connections,
//! the handshakes under way complete within a moment, and then there is nothing left to lose.
//! Whom the filter turned away tries again after a second, as TCP does, and is refused or finds
//! the successor.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long the handshakes under way may take. Connections from further than this are the ones
/// that may still be reset, as they are where there is no filter.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// What to do when the process has no descriptors left: nothing is gained by asking at once.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// The next connection. Errors of single connections are passed over; where the process is out of
/// descriptors it waits a moment.
///
/// # Cancel safety
/// No connection is lost when the future is dropped.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for now");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Closes the listener, after `each` has had every connection that was complete.
pub(crate) async fn close(listener: TcpListener, mut each: impl FnMut(TcpStream, SocketAddr)) {
    let filtered = refuse_new(&listener);
    if let Err(error) = &filtered {
        tracing::debug!(%error, "no packet filter: the last moment before the close is unguarded");
    }
    let patience = if filtered.is_ok() {
        HANDSHAKES
    } else {
        Duration::ZERO
    };
    let until = tokio::time::Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        match timeout(left, accept(&listener)).await {
            Ok((stream, peer)) => each(stream, peer),
            Err(_) => return,
        }
    }
}

/// Drops segments with SYN and without ACK.
#[cfg(target_os = "linux")]
fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};
    // Classic BPF; on a TCP socket the packet begins with the TCP header, whose 14th byte holds
    // the flags. See the kernel's Documentation/networking/filter.rst.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn refuse_new(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closing_hands_over_every_connection_that_was_complete() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(std::net::TcpStream::connect(address).unwrap());
        }
        let mut accepted = Vec::new();
        close(listener, |stream, _| accepted.push(stream)).await;
        assert_eq!(accepted.len(), clients.len());
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn no_connection_completes_behind_the_filter_and_open_ones_go_on() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut before = TcpStream::connect(address).await.unwrap();
        refuse_new(&listener).unwrap();
        let (mut accepted, _) = accept(&listener).await;
        let late = timeout(Duration::from_millis(50), TcpStream::connect(address)).await;
        assert!(late.is_err(), "neither connected nor refused: {late:?}");
        before.write_all(b"x").await.unwrap();
        assert_eq!(accepted.read_u8().await.unwrap(), b'x');
        accepted.write_all(b"y").await.unwrap();
        assert_eq!(before.read_u8().await.unwrap(), b'y');
    }
}
