//! The books of one request: it is counted when it begins and, whatever happens, when it ends.
//!
//! A request ends in many ways, and most of them are a drop: the client leaves and hyper lets go
//! of our future, or of the body in the middle. So the books close themselves: a record that is
//! dropped before anyone said how the request ended says that the client cancelled it.

use crate::client::Client;
use crate::fate::Fate;
use crate::metrics::MethodLabel;
use http::StatusCode;
use std::sync::Arc;
use std::time::Instant;

/// One request that matched a route.
pub(crate) struct Record {
    client: Arc<Client>,
    /// Position of its route.
    pub(crate) route: usize,
    /// Its method, for labels.
    pub(crate) method: MethodLabel,
    /// When its head had been read.
    pub(crate) started: Instant,
    status: Option<StatusCode>,
    fate: Option<Fate>,
    withdrawn: bool,
}

impl Record {
    /// Opens the books.
    pub(crate) fn new(client: Arc<Client>, route: usize, method: MethodLabel) -> Record {
        client.proxy.metrics.in_flight.inc();
        Record {
            client,
            route,
            method,
            started: Instant::now(),
            status: None,
            fate: None,
            withdrawn: false,
        }
    }

    /// The connection it came on.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The head of the answer is on its way.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// It was no request: it is counted as invalid and has no fate.
    pub(crate) fn withdraw(&mut self) {
        self.withdrawn = true;
    }

    /// How it ended, or will have ended once its body is sent. The first word counts.
    pub(crate) fn settle(&mut self, fate: Fate) {
        self.fate.get_or_insert(fate);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let fate = self.fate.unwrap_or(Fate::CancelledByClient);
        let proxy = &self.client.proxy;
        proxy.metrics.in_flight.dec();
        if self.withdrawn {
            return;
        }
        proxy.routes[self.route].metrics.ended(
            fate,
            self.method,
            self.status,
            self.started.elapsed(),
        );
    }
}
