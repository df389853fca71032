//! A client and an upstream that share no code with the proxy: what they see on the wire is what
//! is there.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod child;

use evenkeel_proxy::config::ProxyConfig;
use evenkeel_proxy::server::{Drained, Server, StopHandle};
use evenkeel_proxy::upstream::Origin;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One message as it came over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start_line: String,
    pub(crate) fields: Vec<(String, String)>,
    /// Decoded if it was chunked.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Message {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn status(&self) -> u16 {
        self.start_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    assert!(
        bytes.ends_with(b"\r\n"),
        "a line that does not end in CRLF: {bytes:?}"
    );
    bytes.truncate(bytes.len() - 2);
    Ok(Some(String::from_utf8(bytes).unwrap()))
}

fn fields(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').expect("a field has a colon");
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Reads the head of a message; none at a clean end of the connection.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Message>> {
    let Some(start_line) = line(reader)? else {
        return Ok(None);
    };
    Ok(Some(Message {
        start_line,
        fields: fields(reader)?,
        ..Message::default()
    }))
}

/// Reads the body a head announces. `to_end`: a response without a length ends with its connection.
pub(crate) fn read_body(
    reader: &mut impl BufRead,
    message: &mut Message,
    to_end: bool,
) -> io::Result<()> {
    if message.field("transfer-encoding") == Some("chunked") {
        loop {
            let size = line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = usize::from_str_radix(&size, 16).expect("a chunk size");
            if size == 0 {
                message.trailers = fields(reader)?;
                return Ok(());
            }
            let start = message.body.len();
            message.body.resize(start + size, 0);
            reader.read_exact(&mut message.body[start..])?;
            assert_eq!(line(reader)?.as_deref(), Some(""));
        }
    }
    match message.field("content-length") {
        Some(length) => {
            message.body = vec![0; length.parse().expect("a length")];
            reader.read_exact(&mut message.body)?;
        }
        None if to_end => {
            reader.read_to_end(&mut message.body)?;
        }
        None => {}
    }
    Ok(())
}

/// A connection of a client that writes exactly what it is told.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl From<TcpStream> for Client {
    fn from(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    /// The next response; interim ones are passed over. Panics if there is none.
    pub(crate) fn response(&mut self) -> Message {
        loop {
            let response = self.any_response();
            if response.status() >= 200 {
                return response;
            }
        }
    }

    /// The next response, interim or not.
    pub(crate) fn any_response(&mut self) -> Message {
        let mut head = read_head(&mut self.stream).unwrap().expect("a response");
        if head.status() >= 200 && head.status() != 204 && head.status() != 304 {
            read_body(&mut self.stream, &mut head, true).unwrap();
        }
        head
    }

    /// The head of the next response.
    pub(crate) fn head(&mut self) -> Message {
        read_head(&mut self.stream).unwrap().expect("a response")
    }

    /// Whether the other side closes without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "still open");
                true
            }
        }
    }
}

/// Sends one request on a connection of its own.
pub(crate) fn once(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Message {
    Client::connect(address).send(bytes).response()
}

/// A GET on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Message {
    once(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"),
    )
}

/// An upstream: each connection is served by `serve` in a thread of its own.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
}

impl Upstream {
    pub(crate) fn start(
        serve: impl Fn(&mut BufReader<TcpStream>) + Send + Sync + 'static,
    ) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(&mut BufReader::new(stream)));
            }
        });
        Upstream { address }
    }

    /// Records each request whole, then answers it with what `reply` says, byte for byte.
    pub(crate) fn recording(
        reply: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static,
    ) -> (Upstream, Receiver<Message>) {
        let (seen, requests) = channel();
        let seen = Mutex::new(seen);
        let upstream = Upstream::start(move |stream| {
            while let Ok(Some(mut request)) = read_head(stream) {
                if read_body(stream, &mut request, false).is_err() {
                    return;
                }
                let reply = reply(&request);
                let _ = seen.lock().unwrap().send(request);
                if stream.get_mut().write_all(&reply).is_err() {
                    return;
                }
            }
        });
        (upstream, requests)
    }

    /// An upstream that says `200 ok` to everything.
    pub(crate) fn ok() -> (Upstream, Receiver<Message>) {
        Upstream::recording(|_| OK.to_vec())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A proxy in this process, stopped when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) stop: StopHandle,
    pub(crate) done: Option<JoinHandle<Drained>>,
    runtime: Runtime,
}

impl Proxy {
    /// In front of one upstream, with the defaults as `change` changes them.
    pub(crate) fn start(upstream: &Upstream, change: impl FnOnce(&mut ProxyConfig)) -> Proxy {
        let mut config = ProxyConfig::in_front_of(Origin::parse(&upstream.url()).unwrap());
        "127.0.0.1:0".clone_into(&mut config.listen);
        config.admin = Some("127.0.0.1:0".to_owned());
        config.drain.delay = Duration::ZERO;
        config.drain.idle = Duration::from_millis(100);
        change(&mut config);
        Proxy::run(config)
    }

    pub(crate) fn run(config: ProxyConfig) -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Server::bind(config)).unwrap();
        let address = server.address().unwrap();
        let admin = server.admin_address().unwrap().unwrap();
        let stop = server.stop_handle();
        let done = Some(runtime.spawn(server.run()));
        Proxy {
            address,
            admin,
            stop,
            done,
            runtime,
        }
    }

    /// Waits for the drain to end.
    pub(crate) fn drained(&mut self) -> Drained {
        let done = self.done.take().expect("waited for once");
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, done).await })
            .unwrap()
            .unwrap()
    }

    /// The value of one series, as `/metrics` has it.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = get(self.admin, "/metrics").text();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .parse()
            .unwrap()
    }

    /// Waits until a series has a value.
    pub(crate) fn metric_becomes(&self, series: &str, value: f64) {
        let start = std::time::Instant::now();
        while (self.metric(series) - value).abs() > f64::EPSILON {
            assert!(
                start.elapsed() < PATIENCE,
                "{series} is {}",
                self.metric(series)
            );
            std::thread::yield_now();
        }
    }

    /// How many requests ended so on the default route.
    pub(crate) fn fate(&self, fate: &str) -> f64 {
        self.metric(&fate_series(fate))
    }
}

pub(crate) fn fate_series(fate: &str) -> String {
    format!("evenkeel_requests_total{{service=\"proxy\",route=\"default\",fate=\"{fate}\"}}")
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.now();
    }
}
