use std::convert::Infallible;
use std::net::Ipv4Addr;

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::load::Counts;

/// A server on a real socket that keeps every answer back until it is told to give them.
#[derive(Clone)]
struct Stalled {
    address: SocketAddr,
    seen: watch::Sender<u64>,
    released: watch::Sender<bool>,
}

impl Stalled {
    async fn start(status: StatusCode) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: watch::Sender::new(0),
            released: watch::Sender::new(false),
        };
        let handler = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let handler = handler.clone();
                tokio::spawn(async move {
                    let service = service_fn(|_| async {
                        handler.seen.send_modify(|seen| *seen += 1);
                        let mut released = handler.released.subscribe();
                        released.wait_for(|released| *released).await.unwrap();
                        let mut response = Response::new(Full::new(Bytes::new()));
                        *response.status_mut() = status;
                        Ok::<_, Infallible>(response)
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        server
    }

    async fn release_after(&self, requests: u64) {
        self.seen
            .subscribe()
            .wait_for(|seen| *seen == requests)
            .await
            .unwrap();
        self.released.send_replace(true);
    }
}

fn generator(server: &Stalled, rate: u32) -> Generator {
    Generator {
        target: server.address,
        path: "/product".to_owned(),
        arrivals: Arrivals::new(rate, 1, 5),
        give_up: Duration::from_secs(10),
        in_flight: 10_000,
    }
}

fn record() -> Arc<Record> {
    Arc::new(Record::new(&[1], Duration::from_secs(1)))
}

#[tokio::test]
async fn a_stalled_server_does_not_slow_arrivals_and_the_stall_is_in_the_latency() {
    let server = Stalled::start(StatusCode::OK).await;
    let generator = generator(&server, 100);
    let record = record();
    // Nothing is answered before the hundredth request has arrived: a generator that waited for
    // an answer would never send the second.
    let start = Instant::now();
    tokio::join!(run(&generator, start, &record), server.release_after(100));

    let phase = record.phase(0);
    assert_eq!(phase.counts.offered, 100);
    assert_eq!(phase.counts.unfinished(), 0);
    let first_waits = generator.arrivals.due(99) - generator.arrivals.due(0);
    let greatest = Duration::from_secs_f64(phase.corrected.max_ms / 1000.0);
    assert!(
        greatest >= first_waits,
        "{greatest:?} is less than {first_waits:?}"
    );
    // The requests were spread over the stall, so their latencies are too.
    assert!(phase.corrected.p50_ms > 400.0, "{}", phase.corrected.p50_ms);
}

#[tokio::test]
async fn latency_counts_from_the_intended_start_even_if_the_generator_was_late() {
    let server = Stalled::start(StatusCode::OK).await;
    server.released.send_replace(true);
    let generator = generator(&server, 50);
    let record = record();
    // As if the generator had been held up for 800 ms before its first request.
    let start = Instant::now() - Duration::from_millis(800);
    run(&generator, start, &record).await;

    let phase = record.phase(0);
    assert!(
        phase.corrected.max_ms >= 780.0,
        "{}",
        phase.corrected.max_ms
    );
    assert!(
        phase.uncorrected.p50_ms < 400.0,
        "{}",
        phase.uncorrected.p50_ms
    );
    assert!(
        !record.pace().kept,
        "a generator that was late by 800 ms was the bottleneck"
    );
}

#[tokio::test]
async fn a_request_beyond_the_bound_is_not_sent_and_is_counted() {
    let server = Stalled::start(StatusCode::OK).await;
    let generator = Generator {
        in_flight: 5,
        ..generator(&server, 50)
    };
    let record = record();
    let start = Instant::now();
    let released = async {
        let all_due = |counts: Counts| counts.offered == 50 && counts.not_sent == 45;
        while !all_due(record.second(0).counts) {
            tokio::task::yield_now().await;
        }
        server.released.send_replace(true);
    };
    tokio::join!(run(&generator, start, &record), released);
    let counts = record.phase(0).counts;
    // Answered when all had come, which may have been too late for the first of them.
    assert_eq!((counts.not_sent, counts.full + counts.late), (45, 5));
    assert!(!record.pace().kept);
}

#[tokio::test]
async fn errors_and_silence_are_told_apart() {
    let server = Stalled::start(StatusCode::GATEWAY_TIMEOUT).await;
    server.released.send_replace(true);
    let failing = record();
    run(&generator(&server, 20), Instant::now(), &failing).await;
    assert_eq!(failing.phase(0).counts.server_errors, 20);

    let silent = Stalled::start(StatusCode::OK).await;
    let patience = Duration::from_millis(50);
    let impatient = Generator {
        give_up: patience,
        ..generator(&silent, 20)
    };
    let unanswered = record();
    run(&impatient, Instant::now(), &unanswered).await;
    assert_eq!(unanswered.phase(0).counts.no_answer, 20);

    // The port was free a moment ago, and nobody listens there now.
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = Generator {
        target: nobody,
        ..generator(&silent, 20)
    };
    let unreachable = record();
    run(&refused, Instant::now(), &unreachable).await;
    assert_eq!(unreachable.phase(0).counts.no_answer, 20);
}
