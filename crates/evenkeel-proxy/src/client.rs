//! One client connection as its requests see it.

use crate::activity::{Activity, Busy};
use crate::proxy::Proxy;
use http::HeaderValue;
use std::net::SocketAddr;
use std::sync::Arc;

/// Shared by the requests of one client connection.
pub(crate) struct Client {
    /// The proxy it is connected to.
    pub(crate) proxy: Arc<Proxy>,
    /// What the connection is doing.
    pub(crate) activity: Arc<Activity>,
    /// Its address, ready for `X-Forwarded-For`.
    pub(crate) address: HeaderValue,
}

impl Client {
    /// A connection from `peer`.
    pub(crate) fn new(proxy: Arc<Proxy>, activity: Arc<Activity>, peer: SocketAddr) -> Arc<Client> {
        // An address is always a valid field value; an IPv4 one that came over IPv6 reads as such.
        let address = HeaderValue::try_from(peer.ip().to_canonical().to_string())
            .unwrap_or(HeaderValue::from_static("unknown"));
        Arc::new(Client {
            proxy,
            activity,
            address,
        })
    }

    /// A request has begun.
    pub(crate) fn begin(&self) -> Busy {
        self.activity.begin()
    }
}
