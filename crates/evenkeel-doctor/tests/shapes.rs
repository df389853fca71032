//! Each failure shape and its healthy twin, drawn with as few strokes as make the difference.

#![expect(clippy::unwrap_used, reason = "helpers of tests write captures too")]

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use evenkeel_doctor::source::read_paths;
use evenkeel_doctor::{Diagnosis, Verdict, diagnose};

/// A capture in the making: three moments, eleven scrapes a second apart.
#[derive(Default)]
struct Drawing {
    dumps: [String; 3],
    metrics: Vec<(&'static str, Vec<f64>)>,
    schedtrace: String,
    leaked: String,
}

/// The lines of a goroutine below its header.
const IN_HANDLER: &str = "net/http.HandlerFunc.ServeHTTP(0x1)\n\tnet/http/server.go:2358 +0x1\nnet/http.(*conn).serve(0x1)\n\tnet/http/server.go:2157 +0x1\ncreated by net/http.(*Server).Serve in goroutine 1\n\tnet/http/server.go:3604 +0x1\n";
const LOCK: &str = "internal/sync.(*Mutex).lockSlow(0xc0001)\n\tinternal/sync/mutex.go:149 +0x1\nsync.(*Mutex).Lock(...)\n\tsync/mutex.go:46\nshop/cart.(*Cart).Add(0xc0001)\n\tshop/cart/cart.go:10 +0x1\n";
const READ: &str = "internal/poll.runtime_pollWait(0x1, 0x72)\n\truntime/netpoll.go:351 +0x1\nnet.(*conn).Read(0x1)\n\tnet/net.go:196 +0x1\nshop/gateway.ask(0x1)\n\tshop/gateway/gateway.go:10 +0x1\n";

impl Drawing {
    /// Goroutines with these ids, in this state, at one moment.
    fn goroutines(
        mut self,
        moment: usize,
        ids: RangeInclusive<u64>,
        state: &str,
        body: &str,
    ) -> Self {
        for id in ids {
            writeln!(self.dumps[moment], "goroutine {id} [{state}]:\n{body}").unwrap();
        }
        self
    }

    /// The same number at every moment, the same goroutines.
    fn always(self, ids: RangeInclusive<u64>, state: &str, body: &str) -> Self {
        (0..3).fold(self, |drawing, moment| {
            drawing.goroutines(moment, ids.clone(), state, body)
        })
    }

    /// Sixty more at each moment, none of which leaves.
    fn piling_up(self, state: &str, body: &str) -> Self {
        (0..3).fold(self, |drawing, moment| {
            drawing.goroutines(moment, 100..=(160 + 60 * moment as u64), state, body)
        })
    }

    fn metric(mut self, name: &'static str, at: impl Fn(f64) -> f64) -> Self {
        self.metrics
            .push((name, (0..=10).map(|second| at(f64::from(second))).collect()));
        self
    }

    fn saturated(mut self, backlog: impl Fn(u32) -> u32) -> Self {
        for second in 0..=10 {
            writeln!(
                self.schedtrace,
                "SCHED {}ms: gomaxprocs=2 idleprocs=0 threads=6 runqueue={} [ 0 0 ]",
                second * 1000,
                backlog(second)
            )
            .unwrap();
        }
        self
    }

    fn judged(self) -> Diagnosis {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            if !text.is_empty() {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
        };
        for (moment, dump) in self.dumps.iter().enumerate() {
            put(&format!("t{moment}.goroutine.debug2.txt"), dump);
        }
        let mut metrics = String::new();
        for second in 0..=10 {
            writeln!(metrics, "# scrape_t_ms {}", second * 1000).unwrap();
            for (name, values) in &self.metrics {
                writeln!(metrics, "{name} {}", values[second]).unwrap();
            }
        }
        if !self.metrics.is_empty() {
            put("metrics.prom.txt", &metrics);
        }
        put("schedtrace.txt", &self.schedtrace);
        put("goroutineleak.debug1.txt", &self.leaked);
        diagnose(&read_paths(&[folder.path()]).unwrap())
    }
}

#[track_caller]
fn assert_judged(drawing: Drawing, verdict: Verdict, place: Option<&str>) {
    let diagnosis = drawing.judged();
    let named = diagnosis.culprit().map(evenkeel_doctor::Frame::location);
    assert_eq!(
        (diagnosis.verdict, named.as_deref()),
        (verdict, place),
        "{diagnosis:#?}"
    );
}

const RETRYING: &str = "crypto/sha256.Sum256(0x1)\n\tcrypto/sha256.go:60 +0x1\nshop/stock.(*Store).Adjust(0x1)\n\tshop/stock/stock.go:22 +0x1\nshop/stock.Start.func1()\n\tshop/stock/stock.go:37 +0x1\ncreated by shop/stock.Start in goroutine 1\n\tshop/stock/stock.go:36 +0x1\n";

#[test]
fn busy_actors_without_success_are_a_livelock() {
    let drawing = Drawing::default()
        .always(20..=60, "runnable", RETRYING)
        .saturated(|_| 38)
        .metric("update_attempts_total", |at| 70.0 * at)
        .metric("update_success_total", |at| 4.0 * at);
    assert_judged(drawing, Verdict::Livelock, Some("shop/stock/stock.go:22"));
}

#[test]
fn busy_actors_that_succeed_are_busy() {
    let drawing = Drawing::default()
        .always(20..=60, "runnable", RETRYING)
        .saturated(|_| 38)
        .metric("update_attempts_total", |at| 70.0 * at)
        .metric("update_success_total", |at| 66.0 * at);
    assert_judged(drawing, Verdict::Healthy, None);
}

#[test]
fn patient_attempts_that_skip_are_no_livelock() {
    let body = "time.Sleep(0x1)\n\truntime/time.go:368 +0x1\nshop/flush.Start.func1()\n\tshop/flush/flush.go:9 +0x1\ncreated by shop/flush.Start in goroutine 1\n\tshop/flush/flush.go:8 +0x1\n";
    let drawing = Drawing::default()
        .always(20..=31, "sleep", body)
        .metric("flush_attempts_total", |at| 119.0 * at)
        .metric("flush_success_total", |at| 10.0 * at);
    assert_judged(drawing, Verdict::Healthy, None);
}

const DIALLING: &str = "syscall.connect(0x1)\n\tsyscall/zsyscall.go:1422 +0x1\nnet.(*sysDialer).dialTCP(0x1)\n\tnet/tcpsock_posix.go:80 +0x1\nnet.(*Dialer).DialContext(0x1)\n\tnet/dial.go:10 +0x1\nshop/agent.(*Link).connect(0x1)\n\tshop/agent/agent.go:11 +0x1\ncreated by shop/agent.Start in goroutine 1\n\tshop/agent/agent.go:14 +0x1\n";

#[test]
fn dials_without_success_are_a_retry_storm() {
    let drawing = Drawing::default()
        .always(20..=59, "runnable", DIALLING)
        .metric("dial_attempts_total", |at| 400.0 * at)
        .metric("dial_success_total", |_| 0.0);
    assert_judged(drawing, Verdict::RetryStorm, Some("shop/agent/agent.go:11"));
}

#[test]
fn dials_that_mostly_succeed_are_traffic() {
    let drawing = Drawing::default()
        .always(20..=59, "runnable", DIALLING)
        .metric("dial_attempts_total", |at| 400.0 * at)
        .metric("dial_success_total", |at| 370.0 * at);
    assert_judged(drawing, Verdict::Healthy, None);
}

#[test]
fn waiters_for_a_lock_that_changes_hands_are_contention() {
    let drawing = Drawing::default()
        .always(20..=59, "sync.Mutex.Lock", &format!("{LOCK}{IN_HANDLER}"))
        .metric("go_sync_mutex_wait_total_seconds_total", |at| 35.0 * at)
        .metric("http_responses_total", |at| 50.0 * at);
    assert_judged(drawing, Verdict::Contention, Some("shop/cart/cart.go:10"));
}

#[test]
fn waiters_for_a_lock_that_nobody_releases_are_a_deadlock() {
    let drawing = Drawing::default()
        .always(20..=59, "sync.Mutex.Lock", &format!("{LOCK}{IN_HANDLER}"))
        .metric("go_sync_mutex_wait_total_seconds_total", |_| 3.0)
        .metric("http_responses_total", |_| 9.0);
    let diagnosis = drawing.judged();
    assert_eq!(diagnosis.verdict, Verdict::Leak);
    assert_eq!(diagnosis.findings[0].subkind, Some("deadlock"));
}

#[test]
fn a_short_lock_among_hot_workers_is_not_contention() {
    let worker = "created by shop/rank.Start in goroutine 1\n\tshop/rank/rank.go:8 +0x1\n";
    let drawing = Drawing::default()
        .always(20..=29, "sync.Mutex.Lock", &format!("{LOCK}{worker}"))
        .always(30..=36, "runnable", RETRYING)
        .saturated(|_| 13)
        .metric("go_sync_mutex_wait_total_seconds_total", |at| 2.0 * at)
        .metric("scores_total", |at| 22_000.0 * at);
    assert_judged(drawing, Verdict::Healthy, None);
}

const SENDING: &str = "shop/search.(*Shard).Find.func1()\n\tshop/search/search.go:12 +0x1\ncreated by shop/search.(*Shard).Find in goroutine 9\n\tshop/search/search.go:11 +0x1\n";

#[test]
fn goroutines_that_come_and_never_leave_are_a_leak() {
    let drawing = Drawing::default()
        .piling_up("chan send", SENDING)
        .metric("http_responses_total", |at| 30.0 * at);
    assert_judged(drawing, Verdict::Leak, Some("shop/search/search.go:12"));
}

#[test]
fn a_pool_that_fills_up_and_stays_is_warm() {
    let worker = "shop/pool.loop()\n\tshop/pool/pool.go:5 +0x1\ncreated by shop/pool.New in goroutine 1\n\tshop/pool/pool.go:4 +0x1\n";
    let drawing = Drawing::default()
        .goroutines(0, 20..=150, "chan receive", worker)
        .goroutines(1, 20..=300, "chan receive", worker)
        .goroutines(2, 20..=300, "chan receive", worker)
        .metric("http_responses_total", |at| 30.0 * at);
    assert_judged(drawing, Verdict::Healthy, None);
}

#[test]
fn one_goroutine_proved_unreachable_is_a_leak() {
    let mut drawing = Drawing::default().always(20..=20, "chan receive", SENDING);
    drawing.leaked = "goroutineleak profile: total 1\n1 @ 0x1 0x2\n#\t0x1\tshop/search.(*Shard).Find.func1+0x1\tshop/search/search.go:12\n".into();
    assert_judged(drawing, Verdict::Leak, Some("shop/search/search.go:12"));
}

#[test]
fn work_that_finishes_too_late_is_a_fan_out_named_by_its_go_statement() {
    let body = "time.Sleep(0x1)\n\truntime/time.go:368 +0x1\nshop/mail.deliver(0x1)\n\tshop/mail/mail.go:7 +0x1\ncreated by shop/mail.Start.func1 in goroutine 9\n\tshop/mail/mail.go:12 +0x1\n";
    let drawing = Drawing::default()
        .goroutines(0, 100..=400, "sleep", body)
        .goroutines(1, 300..=900, "sleep", body)
        .goroutines(2, 500..=1400, "sleep", body)
        .metric("mails_sent_total", |at| 50.0 * at);
    assert_judged(drawing, Verdict::Fanout, Some("shop/mail/mail.go:12"));
}

#[test]
fn a_rising_load_is_not_a_fan_out() {
    let body = "time.Sleep(0x1)\n\truntime/time.go:368 +0x1\nshop/mail.deliver(0x1)\n\tshop/mail/mail.go:7 +0x1\ncreated by shop/mail.Start.func1 in goroutine 9\n\tshop/mail/mail.go:12 +0x1\n";
    // Arrivals rise as the number in flight does: each lives as long as before.
    let drawing = Drawing::default()
        .goroutines(0, 100..=200, "sleep", body)
        .goroutines(1, 300..=500, "sleep", body)
        .goroutines(2, 700..=1000, "sleep", body)
        .metric("go_sched_goroutines_created_goroutines_total", |at| {
            100.0 * at + 15.0 * at * at
        })
        .metric("mails_sent_total", |at| 90.0 * at + 15.0 * at * at);
    assert_judged(drawing, Verdict::Healthy, None);
}

#[test]
fn calls_that_never_return_are_named_above_the_library() {
    let drawing = Drawing::default()
        .piling_up("IO wait", &format!("{READ}{IN_HANDLER}"))
        .metric("http_responses_total", |_| 0.0);
    assert_judged(
        drawing,
        Verdict::BlockingCall,
        Some("shop/gateway/gateway.go:10"),
    );
}

#[test]
fn calls_that_come_and_go_are_traffic() {
    let drawing = Drawing::default()
        .always(20..=79, "IO wait", &format!("{READ}{IN_HANDLER}"))
        .metric("http_responses_total", |at| 200.0 * at);
    assert_judged(drawing, Verdict::Healthy, None);
}

#[test]
fn loops_of_connections_without_calls_are_unclosed_bodies() {
    let body = "net/http.(*persistConn).writeLoop(0x1)\n\tnet/http/transport.go:2833 +0x1\ncreated by net/http.(*Transport).dialConn in goroutine 9\n\tnet/http/transport.go:2124 +0x1\n";
    let diagnosis = Drawing::default().piling_up("select", body).judged();
    assert_eq!(diagnosis.findings[0].subkind, Some("unclosed-body"));
}

#[test]
fn workers_inside_polls_without_processors_are_a_blocked_executor() {
    let drawing = Drawing::default()
        .metric("tokio_num_workers", |_| 2.0)
        .metric("tokio_alive_tasks", |at| 5.0 + 50.0 * at)
        .metric("tokio_global_queue_depth", |at| 3.0 + 40.0 * at)
        .metric("tokio_worker_busy_seconds_total", |at| 0.97 * at)
        .metric("process_cpu_seconds_total", |at| 0.03 * at);
    let diagnosis = drawing.judged();
    assert_eq!(diagnosis.findings[0].subkind, Some("blocked-executor"));
}

#[test]
fn idle_tasks_of_a_pool_are_well() {
    let drawing = Drawing::default()
        .metric("tokio_num_workers", |_| 2.0)
        .metric("tokio_alive_tasks", |_| 400.0)
        .metric("tokio_global_queue_depth", |_| 0.0)
        .metric("ops_attempts_total", |at| 47.0 * at)
        .metric("ops_success_total", |at| 47.0 * at);
    assert_judged(drawing, Verdict::Healthy, None);
}
