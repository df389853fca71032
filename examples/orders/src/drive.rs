//! Clients who order, connections that are cut, a shop that is killed, and a count at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use evenkeel::core::retry::Config as RetryConfig;
use evenkeel::fan_out::for_each_bounded;
use evenkeel::idempotency::Key;
use evenkeel::retry::Failure;
use evenkeel::{Context, Retry, retry};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::cutting::{Cut, Cutting};

/// Orders that are under way at once: enough that a kill hits several in each of their moments.
const AT_ONCE: usize = 8;

/// A shop that is killed is back in far less; then something is wrong.
const SHOP_OPENS_WITHIN: Duration = Duration::from_secs(20);

/// What is done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Orders, each of which is to be taken once.
    pub orders: u32,
    /// Connections that are cut.
    pub cuts: u32,
    /// Times that the shop is killed.
    pub kills: u32,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Orders that clients made.
    pub orders: u32,
    /// Attempts it took them.
    pub attempts: u32,
    /// Connections cut, by kind as in [`Cut::ALL`].
    pub cuts: [u32; 3],
    /// Times that the shop was killed.
    pub kills: u32,
    /// Orders that no client has an answer for.
    pub unanswered: u32,
    /// Orders that a client has an answer for, and the shop does not have.
    pub lost: u32,
    /// Orders that the shop has more than once.
    pub twice: u32,
    /// Orders whose client was told another number than the shop's.
    pub misnumbered: u32,
    /// Orders that were not shipped exactly once.
    pub misshipped: u32,
}

impl Tally {
    /// Whether every order was taken once, answered rightly, and shipped once.
    #[must_use]
    pub fn holds(&self) -> bool {
        [
            self.unanswered,
            self.lost,
            self.twice,
            self.misnumbered,
            self.misshipped,
        ] == [0; 5]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, sent, committed] = self.cuts;
        writeln!(
            f,
            "{} orders in {} attempts; {} cuts ({before} before the order was sent, {sent} after, \
             {committed} after the commit and before the answer); the shop killed {} times",
            self.orders,
            self.attempts,
            self.cuts.iter().sum::<u32>(),
            self.kills
        )?;
        write!(
            f,
            "unanswered {}, lost {}, twice {}, misnumbered {}, not shipped exactly once {}",
            self.unanswered, self.lost, self.twice, self.misnumbered, self.misshipped
        )
    }
}

struct Shop {
    program: std::path::PathBuf,
    database: std::path::PathBuf,
    child: Child,
    /// Kept open: a shop that cannot say how it ended ends badly.
    output: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Shop {
    async fn open(program: &Path, database: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("serve")
            .arg("--database")
            .arg(database)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the shop does not start")?;
        let output = child.stdout.take().context("the shop's output")?;
        let mut lines = BufReader::new(output).lines();
        let first = tokio::time::timeout(SHOP_OPENS_WITHIN, lines.next_line()).await??;
        let first = first.context("the shop ended before it opened")?;
        let address = first.strip_prefix("listening on ").context(first.clone())?;
        Ok(Self {
            program: program.to_owned(),
            database: database.to_owned(),
            address: address.parse()?,
            child,
            output: lines,
        })
    }

    /// SIGKILL: no last word, no flush, no goodbye.
    async fn kill_and_reopen(&mut self) -> Result<()> {
        self.child.kill().await?;
        *self = Self::open(&self.program, &self.database).await?;
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        kill_process(pid.context("the shop is gone")?, Signal::TERM)?;
        let ended = tokio::time::timeout(SHOP_OPENS_WITHIN, self.child.wait()).await??;
        if !ended.success() {
            let mut report = String::new();
            while let Some(line) = self.output.next_line().await? {
                report += &line;
            }
            bail!("the shop did not end cleanly: {ended}: {report}");
        }
        Ok(())
    }
}

type Http = Client<HttpConnector, Full<Bytes>>;

/// Runs `plan` against a shop of the program `shop`, on a database of its own.
///
/// # Errors
/// The shop does not start, or the count cannot be taken.
pub async fn drive(shop: &Path, plan: Plan) -> Result<Tally> {
    let folder = tempfile::tempdir()?;
    let shop = Shop::open(shop, &folder.path().join("shop.redb")).await?;
    let cutting = Cutting::start().await?;
    cutting.leads_to(Some(shop.address));
    let shop = Arc::new(Mutex::new((shop, 0_u32)));
    // A connection for each attempt, so that a cut hits one order and no other.
    let http: Http = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http();
    let url = format!("http://{}/orders", cutting.address());
    let policy = Retry::with("order", patient());

    let cx = Context::within(Duration::from_secs(600));
    let at_once = NonZeroUsize::new(AT_ONCE).unwrap_or(NonZeroUsize::MIN);
    let (cutting, http, url, policy, request) = (&cutting, &http, &url, &policy, &cx);
    let answers = for_each_bounded(&cx, "orders", at_once, 0..plan.orders, |number| {
        let shop = Arc::clone(&shop);
        async move {
            if let Some(due) = nth(number, plan.orders, plan.cuts) {
                cutting.cut(Cut::ALL[due as usize % Cut::ALL.len()]);
            }
            let kill = nth(number, plan.orders, plan.kills).map(|_| async move {
                let mut shop = shop.lock().await;
                shop.0.kill_and_reopen().await?;
                cutting.leads_to(Some(shop.0.address));
                shop.1 += 1;
                anyhow::Ok(())
            });
            let kill = async move {
                match kill {
                    Some(kill) => kill.await,
                    None => Ok(()),
                }
            };
            // At the same time: the kill hits this order and its neighbours where they are.
            tokio::join!(place(request, policy, http, url, number), kill)
        }
    });
    let answers = answers
        .await
        .map_err(|incomplete| anyhow::anyhow!("{incomplete}"))?;
    let mut tally = Tally {
        orders: plan.orders,
        cuts: cutting.made(),
        ..Tally::default()
    };
    let mut told = BTreeMap::new();
    for (number, ((answer, attempts), killed)) in (0..).zip(answers) {
        killed?;
        tally.attempts += attempts;
        match answer {
            Some(answer) => drop(told.insert(reference(number), answer)),
            None => tally.unanswered += 1,
        }
    }
    let Ok(shop) = Arc::try_unwrap(shop) else {
        bail!("somebody still kills the shop");
    };
    let (shop, kills) = shop.into_inner();
    tally.kills = kills;
    count(&mut tally, &told, http, shop.address).await?;
    shop.close().await?;
    Ok(tally)
}

/// Many attempts and short waits: whoever kills the shop ten times in a minute cannot wait long each time.
/// No budget, since there is nobody else whose retries it would be shared with.
fn patient() -> RetryConfig {
    let mut config = RetryConfig::new(NonZeroU32::new(50).unwrap_or(NonZeroU32::MIN));
    config.backoff.initial = Duration::from_millis(10);
    config.backoff.max = Duration::from_millis(500);
    config.budget = None;
    config
}

/// Which of `some` events, spread evenly over `all` orders, comes with this one.
fn nth(number: u32, all: u32, some: u32) -> Option<u32> {
    let before = u64::from(number) * u64::from(some) / u64::from(all.max(1));
    let after = (u64::from(number) + 1) * u64::from(some) / u64::from(all.max(1));
    (after > before).then(|| u32::try_from(before).unwrap_or_default())
}

fn reference(number: u32) -> String {
    format!("o-{number}")
}

/// Orders until there is an answer. Answers the order's number, and the attempts it took.
async fn place(
    cx: &Context,
    policy: &Retry,
    http: &Http,
    url: &str,
    number: u32,
) -> (Option<u64>, u32) {
    let reference = reference(number);
    let key = Key::of("order").field("reference", &reference).to_string();
    let attempts = std::sync::atomic::AtomicU32::new(0);
    let cx = cx.with_timeout(Duration::from_secs(60));
    let placed = retry(&cx, policy, || {
        attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let order = Request::post(url)
            .header("idempotency-key", &key)
            .body(Full::from(format!("{reference} teapot")));
        async move {
            let order = order.map_err(|error| Failure::Permanent(error.to_string()))?;
            // Whatever breaks on the way may have been taken: the key makes it safe to ask again.
            let answer = http
                .request(order)
                .await
                .map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = answer.into_body().collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            match status {
                StatusCode::CREATED => text.parse().map_err(|_| Failure::Permanent(text)),
                StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => {
                    Err(Failure::Transient(text))
                }
                _ => Err(Failure::Permanent(format!("{status}: {text}"))),
            }
        }
    })
    .permanent_if(Failure::is_permanent);
    let placed = placed.await.ok();
    (placed, attempts.into_inner())
}

/// Compares what clients were told with what the shop has.
async fn count(
    tally: &mut Tally,
    told: &BTreeMap<String, u64>,
    http: &Http,
    shop: SocketAddr,
) -> Result<()> {
    let mut orders: BTreeMap<String, Vec<(u64, u32)>> = BTreeMap::new();
    let all_shipped = async {
        loop {
            let listed = http.get(format!("http://{shop}/orders").parse()?).await?;
            let listed = listed.into_body().collect().await?.to_bytes();
            orders.clear();
            for line in String::from_utf8_lossy(&listed).lines() {
                let mut words = line.splitn(3, ' ');
                let mut word = || words.next().context("NUMBER SHIPPED REFERENCE");
                let (number, shipped) = (word()?.parse()?, word()?.parse()?);
                orders
                    .entry(word()?.to_owned())
                    .or_default()
                    .push((number, shipped));
            }
            if orders.values().flatten().all(|(_, shipped)| *shipped > 0) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // What is not shipped by then is counted as such.
    if let Ok(listed) = tokio::time::timeout(Duration::from_secs(60), all_shipped).await {
        listed?;
    }
    for (reference, number) in told {
        match orders.get(reference).map(Vec::as_slice) {
            None | Some([]) => tally.lost += 1,
            Some([(kept, _)]) if kept == number => {}
            Some([_]) => tally.misnumbered += 1,
            Some(_) => tally.twice += 1,
        }
    }
    let shipped = orders.values().flatten();
    let wrong = shipped.filter(|(_, shipped)| *shipped != 1).count();
    tally.misshipped = u32::try_from(wrong)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_spread_evenly_and_all_come() {
        let cuts: Vec<_> = (0..1000)
            .filter_map(|number| nth(number, 1000, 60))
            .collect();
        assert_eq!(cuts, (0..60).collect::<Vec<_>>());
        assert_eq!((0..10).filter_map(|number| nth(number, 10, 0)).count(), 0);
    }
}
