//! The processes of one run: three dependencies, perhaps the proxy, and the page.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use http::Method;

use super::proxy::{Breaker, Proxy};
use super::{MEDIAN, PAGE_TIMEOUT, POOL, SIGMA, SLOW, Settings, Side};
use crate::DrillError;
use crate::child::{Process, Start};
use crate::control::Control;
use crate::role::dependency::Calls;
use crate::role::page::Pool;

/// Where the dependencies listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) inventory: SocketAddr,
    pub(super) pricing: SocketAddr,
    pub(super) recommendations: SocketAddr,
}

/// Everything that runs, ready for load.
#[derive(Debug)]
pub(super) struct Stage {
    dependencies: Vec<Process>,
    addresses: Addresses,
    proxy: Option<Proxy>,
    page: Process,
    pub(super) page_address: SocketAddr,
    control: Control,
}

impl Stage {
    /// Starts every process of `side` and waits until all of them listen.
    pub(super) async fn open(settings: &Settings, side: Side) -> Result<Self, DrillError> {
        let program = settings.program.as_path();
        let control = Control::new();
        let mut dependencies = Vec::new();
        for name in ["inventory", "pricing", "recommendations"] {
            let start = dependency(program, name, settings.seed);
            dependencies.push(Process::start(start)?);
        }
        let [inventory, pricing, recommendations] = dependencies.as_mut_slice() else {
            unreachable!("three dependencies were started");
        };
        let addresses = Addresses {
            inventory: inventory.address().await?,
            pricing: pricing.address().await?,
            recommendations: recommendations.address().await?,
        };
        let proxy = match side {
            Side::Unprotected => None,
            Side::Protected => Some(Proxy::start(program, &addresses, &control).await?),
        };
        // The only difference between the two runs.
        let bases = match &proxy {
            None => addresses,
            Some(proxy) => Addresses {
                inventory: proxy.listen,
                pricing: proxy.listen,
                recommendations: proxy.listen,
            },
        };
        let mut page = Process::start(page(program, &bases))?;
        let page_address = page.address().await?;
        Ok(Self {
            dependencies,
            addresses,
            proxy,
            page,
            page_address,
            control,
        })
    }

    /// The policy file the proxy was given, if there is a proxy.
    pub(super) fn policy(&self) -> Option<String> {
        self.proxy.as_ref().map(|proxy| proxy.policy.clone())
    }

    /// Makes the recommendations slow.
    pub(super) async fn inject(&self) -> Result<(), DrillError> {
        let path = format!("/control/slow?milliseconds={}", SLOW.as_millis());
        let at = self.addresses.recommendations;
        self.control.text(Method::POST, at, &path).await.map(drop)
    }

    /// Makes the recommendations fast again.
    pub(super) async fn repair(&self) -> Result<(), DrillError> {
        let at = self.addresses.recommendations;
        self.control
            .text(Method::POST, at, "/control/repair")
            .await
            .map(drop)
    }

    /// The calls the recommendations have seen.
    pub(super) async fn calls(&self) -> Result<Calls, DrillError> {
        self.control
            .json(self.addresses.recommendations, "/control/calls")
            .await
    }

    /// The state of the page's pool.
    pub(super) async fn pool(&self) -> Result<Pool, DrillError> {
        self.control.json(self.page_address, "/control/pool").await
    }

    /// The breaker of the recommendations, where there is a proxy.
    pub(super) async fn breaker(&self) -> Result<Option<Breaker>, DrillError> {
        match &self.proxy {
            None => Ok(None),
            Some(proxy) => proxy.breaker(&self.control).await,
        }
    }

    /// If a process has ended on its own: which, and its last words.
    pub(super) fn still_runs(&mut self) -> Result<(), DrillError> {
        for dependency in &mut self.dependencies {
            dependency.still_runs()?;
        }
        if let Some(proxy) = &mut self.proxy {
            proxy.process.still_runs()?;
        }
        self.page.still_runs()
    }

    /// Ends every process.
    pub(super) async fn close(mut self) {
        // All lifelines first, so that the ends are waited for together.
        self.page.cut();
        self.dependencies.iter_mut().for_each(Process::cut);
        if let Some(mut proxy) = self.proxy {
            proxy.process.cut();
            proxy.process.end().await;
        }
        self.page.end().await;
        for dependency in self.dependencies {
            dependency.end().await;
        }
    }
}

fn dependency<'a>(program: &'a Path, name: &'a str, seed: u64) -> Start<'a> {
    let mut arguments: Vec<OsString> = vec!["drill-role".into(), "dependency".into()];
    for (flag, value) in [
        ("--name", name.to_owned()),
        ("--seed", seed.to_string()),
        ("--median-milliseconds", MEDIAN.as_millis().to_string()),
        ("--sigma", SIGMA.to_string()),
    ] {
        arguments.extend([flag.into(), value.into()]);
    }
    Start {
        name,
        program,
        arguments,
    }
}

fn page<'a>(program: &'a Path, bases: &Addresses) -> Start<'a> {
    let mut arguments: Vec<OsString> = vec!["drill-role".into(), "page".into()];
    for (flag, value) in [
        ("--inventory", format!("http://{}", bases.inventory)),
        ("--pricing", format!("http://{}", bases.pricing)),
        (
            "--recommendations",
            format!("http://{}", bases.recommendations),
        ),
        ("--pool", POOL.to_string()),
        (
            "--timeout-milliseconds",
            PAGE_TIMEOUT.as_millis().to_string(),
        ),
    ] {
        arguments.extend([flag.into(), value.into()]);
    }
    Start {
        name: "page",
        program,
        arguments,
    }
}
