//! The command line of the proxy, shared by its own binary and by `evenkeel proxy`.

use crate::config::ProxyConfig;
use crate::open_files;
use crate::server::{Drained, Server, StopHandle};
use crate::upstream::Origin;
use evenkeel_policy::Look;
use std::io;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// It ran, and everything it had accepted was answered.
const OK: u8 = 0;
/// It ran, and had to cut requests when the drain timeout passed.
const CUT: u8 = 1;
/// The arguments or the policy file are wrong; nothing was started.
const INVALID: u8 = 2;
/// Something outside is missing, such as a free port; nothing was started.
const PRECONDITION: u8 = 3;
/// A defect of ours.
const INTERNAL: u8 = 70;
/// Added to the number of the signal that cut everything.
const SIGNALLED: u8 = 128;

/// Keep every request to your upstreams inside its bounds.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The policy file (YAML)
    #[arg(long, value_name = "FILE", required_unless_present = "upstream")]
    pub config: Option<PathBuf>,
    /// One upstream, with the defaults for everything else
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub upstream: Option<String>,
    /// Where clients connect; port 0 takes a free one [default: 127.0.0.1:9000]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Where /livez, /readyz and /metrics are; `none` for nowhere [default: 127.0.0.1:9901]
    #[arg(long, value_name = "HOST:PORT")]
    pub admin: Option<String>,
    /// Threads that serve [default: one a core]
    #[arg(long, value_name = "NUMBER")]
    pub threads: Option<std::num::NonZeroUsize>,
}

/// Runs the proxy until it is told to stop, and answers the exit code. `say` gets what people
/// should read, line by line.
pub fn run(args: &Args, say: &dyn Fn(&str)) -> u8 {
    let mut config = match resolve(args, say) {
        Ok(config) => config,
        Err(message) => {
            say(&message);
            return INVALID;
        }
    };
    let limit = open_files::raise();
    let wanted = config.bounds.max_connections;
    config.bounds.max_connections = open_files::room(limit, wanted);
    // A little less than a default of thousands is nothing to warn of at every start.
    if config.bounds.max_connections < wanted / 2 {
        tracing::warn!(
            limit,
            wanted,
            max_connections = config.bounds.max_connections,
            "fewer client connections than `max_connections` allows: each needs two open files; \
             raise the hard limit (`ulimit -Hn`)"
        );
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        builder.worker_threads(threads.get());
    }
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(serve(config, say)),
        Err(error) => {
            say(&format!("error: no runtime: {error}"));
            INTERNAL
        }
    }
}

fn resolve(args: &Args, say: &dyn Fn(&str)) -> Result<ProxyConfig, String> {
    let mut config = match (&args.config, &args.upstream) {
        (Some(file), _) => {
            let loaded = evenkeel_policy::load(file).map_err(|error| error.render(Look::Styled))?;
            if !loaded.warnings.is_empty() {
                say(loaded.render_warnings(Look::Styled).trim_end());
            }
            ProxyConfig::from_policy(&loaded.policy)
                .map_err(|error| format!("error: {}: {error}", file.display()))?
        }
        (None, Some(url)) => {
            let origin = Origin::parse(url)
                .map_err(|why| format!("error: {why}\n  help: --upstream http://127.0.0.1:8080"))?;
            ProxyConfig::in_front_of(origin)
        }
        (None, None) => return Err("error: either --config or --upstream is needed".to_owned()),
    };
    if let Some(listen) = &args.listen {
        config.listen = address("--listen", listen)?;
    }
    match args.admin.as_deref() {
        None => {}
        Some("none") => config.admin = None,
        Some(admin) => config.admin = Some(address("--admin", admin)?),
    }
    Ok(config)
}

/// `HOST:PORT`, or `:PORT` for every address of the machine.
fn address(option: &str, text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    if port.parse::<u16>().is_err() {
        return Err(format!(
            "error: {option} {text}: no port\n  help: {option} 127.0.0.1:9000, or {option} :9000 \
             for every address of this machine"
        ));
    }
    Ok(if host.is_empty() {
        format!("0.0.0.0:{port}")
    } else {
        text.to_owned()
    })
}

async fn serve(config: ProxyConfig, say: &dyn Fn(&str)) -> u8 {
    let upstreams: Vec<String> = config
        .upstreams
        .iter()
        .map(|upstream| format!("http://{}", upstream.origin.authority()))
        .collect();
    let server = match Server::bind(config).await {
        Ok(server) => server,
        Err(error) => {
            say(&format!("error: {error}"));
            return PRECONDITION;
        }
    };
    // Signals first: whoever reads the announcement may send one at once.
    let stops = Signals::new(server.stop_handle());
    let announced = announce(&server, &upstreams.join(", "), say);
    let (Ok(()), Ok(stops)) = (announced, stops) else {
        say("error: the operating system does not tell our addresses or signals");
        return INTERNAL;
    };
    let mut run = std::pin::pin!(server.run());
    let (drained, forced) = stops.until(&mut run).await;
    match (drained, forced) {
        (_, Some(signal)) => SIGNALLED + signal,
        (Drained { cut: 0 }, None) => OK,
        (Drained { cut }, None) => {
            say(&format!(
                "evenkeel proxy: the drain timeout passed; requests cut: {cut}"
            ));
            CUT
        }
    }
}

fn announce(server: &Server, upstreams: &str, say: &dyn Fn(&str)) -> io::Result<()> {
    let admin = match server.admin_address()? {
        Some(admin) => format!("http://{admin}"),
        None => "nowhere".to_owned(),
    };
    let listen = server.address()?;
    say(&format!(
        "evenkeel proxy: listening on http://{listen}, admin on {admin}, in front of {upstreams}"
    ));
    Ok(())
}

/// SIGTERM drains, SIGINT drains without the delay that is for load balancers, and a second one
/// of either cuts.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    stop: StopHandle,
}

impl Signals {
    fn new(stop: StopHandle) -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            stop,
        })
    }

    /// Passes signals on until the server has stopped; the number of the one that cut, if one did.
    async fn until(
        mut self,
        run: &mut (impl Future<Output = Drained> + Unpin),
    ) -> (Drained, Option<u8>) {
        let mut forced = None;
        let mut seen = 0;
        loop {
            let number = tokio::select! {
                drained = &mut *run => return (drained, forced),
                _ = self.terminate.recv() => 15,
                _ = self.interrupt.recv() => 2,
            };
            seen += 1;
            match (seen, number) {
                (1, 15) => self.stop.drain(),
                (1, _) => self.stop.drain_at_once(),
                _ => {
                    forced = Some(number);
                    self.stop.now();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        assert_eq!(address("--listen", ":9000").unwrap(), "0.0.0.0:9000");
        assert_eq!(address("--listen", "127.0.0.1:0").unwrap(), "127.0.0.1:0");
        assert_eq!(address("--listen", "[::1]:80").unwrap(), "[::1]:80");
        for bad in ["9000", "localhost", "a:b", "a:70000", ""] {
            assert!(
                address("--listen", bad)
                    .unwrap_err()
                    .contains("help: --listen"),
                "{bad}"
            );
        }
    }
}
