use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::oneshot;

use super::dependency::{Calls, Dependency};
use super::page::{Page, Pool};
use super::*;

/// The address of a service that was started, and what ends it.
struct Running {
    address: SocketAddr,
    _lifeline: oneshot::Sender<()>,
}

impl Running {
    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn dependency(name: &str) -> Self {
        let (lifeline, closed) = oneshot::channel::<()>();
        let (announce, address) = oneshot::channel();
        let median = Duration::from_millis(2);
        let what = Dependency {
            name: name.to_owned(),
            seed: 1,
            median,
            sigma: 0.3,
        };
        let announce = move |address| announce.send(address).unwrap();
        tokio::spawn(async move { dependency::run_until(what, announce, closed).await });
        Self {
            address: address.await.unwrap(),
            _lifeline: lifeline,
        }
    }

    async fn page(bases: [String; 3], pool: usize, timeout: Duration) -> Self {
        let (lifeline, closed) = oneshot::channel::<()>();
        let (announce, address) = oneshot::channel();
        let [inventory, pricing, recommendations] = bases;
        let what = Page {
            inventory,
            pricing,
            recommendations,
            pool,
            timeout,
        };
        let announce = move |address| announce.send(address).unwrap();
        tokio::spawn(async move { page::run_until(what, announce, closed).await });
        Self {
            address: address.await.unwrap(),
            _lifeline: lifeline,
        }
    }

    /// A service that answers everything with 200 and says that it is a fallback.
    async fn fallback() -> Self {
        let (lifeline, closed) = oneshot::channel::<()>();
        let (announce, address) = oneshot::channel();
        let announce = move |address| announce.send(address).unwrap();
        tokio::spawn(serve(announce, closed, |_| async {
            let mut response = answer(StatusCode::OK, "[]");
            let label = HeaderValue::from_static("static");
            response.headers_mut().insert("x-evenkeel-degraded", label);
            response
        }));
        Self {
            address: address.await.unwrap(),
            _lifeline: lifeline,
        }
    }

    async fn send(&self, method: &str, path: &str) -> (StatusCode, bool, String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base()))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let http = Client::builder(TokioExecutor::new()).build_http();
        let response = http.request(request).await.unwrap();
        let degraded = response.headers().contains_key("x-evenkeel-degraded");
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, degraded, String::from_utf8(body.into()).unwrap())
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        serde_json::from_str(&self.send("GET", path).await.2).unwrap()
    }
}

/// A base URL at which nobody listens: the port was free a moment ago.
async fn nobody() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

const PATIENT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_page_with_all_its_answers_is_full() {
    let service = Running::dependency("any").await;
    let page = Running::page(
        [service.base(), service.base(), service.base()],
        10,
        PATIENT,
    )
    .await;
    let (status, degraded, _) = page.send("GET", "/product?page=1").await;
    assert_eq!((status, degraded), (StatusCode::OK, false));
    assert_eq!(service.json::<Calls>("/control/calls").await.total, 3);
}

#[tokio::test]
async fn a_page_with_a_fallback_in_it_is_a_200_that_says_so() {
    let service = Running::dependency("any").await;
    let fallback = Running::fallback().await;
    let bases = [service.base(), service.base(), fallback.base()];
    let page = Running::page(bases, 10, PATIENT).await;
    let (status, degraded, _) = page.send("GET", "/product?page=1").await;
    assert_eq!((status, degraded), (StatusCode::OK, true));
}

#[tokio::test]
async fn a_page_whose_dependency_is_gone_is_a_502_and_counted() {
    let service = Running::dependency("any").await;
    let page = Running::page(
        [service.base(), service.base(), nobody().await],
        10,
        PATIENT,
    )
    .await;
    let (status, degraded, _) = page.send("GET", "/product?page=1").await;
    assert_eq!((status, degraded), (StatusCode::BAD_GATEWAY, false));
    assert_eq!(page.json::<Pool>("/control/pool").await.failed_pages, 1);
}

#[tokio::test]
async fn a_slow_dependency_empties_the_pool_and_healthy_calls_wait_behind_it() {
    let (healthy, slow) = (
        Running::dependency("a").await,
        Running::dependency("b").await,
    );
    slow.send("POST", "/control/slow?milliseconds=60000").await;
    let bases = [healthy.base(), healthy.base(), slow.base()];
    let page = Running::page(bases, 2, Duration::from_millis(300)).await;

    // Three pages with a slow call each, for two connections: the rest can only wait.
    let asked = async {
        tokio::join!(
            page.send("GET", "/product?page=1"),
            page.send("GET", "/product?page=2"),
            page.send("GET", "/product?page=3"),
        )
    };
    let full = async {
        loop {
            let pool = page.json::<Pool>("/control/pool").await;
            if pool.in_use == 2 && pool.waiting > 0 {
                return;
            }
        }
    };
    let ((first, second, third), ()) = tokio::join!(asked, full);
    for (status, _, _) in [first, second, third] {
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    }
    let pool = page.json::<Pool>("/control/pool").await;
    assert_eq!(
        (pool.in_use, pool.waiting, pool.failed_pages),
        (0, 0, 3),
        "all was given back"
    );
}

#[tokio::test]
async fn calls_are_counted_as_slow_from_the_fault_to_the_repair_and_not_after() {
    let service = Running::dependency("any").await;
    service.send("GET", "/items?page=1").await;
    service.send("POST", "/control/slow?milliseconds=1").await;
    service.send("GET", "/items?page=2").await;
    service.send("GET", "/items?page=3").await;
    service.send("POST", "/control/repair").await;
    service.send("GET", "/items?page=4").await;
    let calls = service.json::<Calls>("/control/calls").await;
    assert_eq!((calls.total, calls.slow()), (4, 2));
}

#[tokio::test]
async fn a_fault_without_a_length_is_refused() {
    let service = Running::dependency("any").await;
    let (status, _, body) = service.send("POST", "/control/slow").await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::BAD_REQUEST, "say ?milliseconds=N")
    );
}

#[tokio::test]
async fn a_service_ends_when_its_lifeline_is_cut() {
    let (lifeline, closed) = oneshot::channel::<()>();
    let (announce, address) = oneshot::channel();
    let announce = move |address| announce.send(address).unwrap();
    let ignore = |_| async { answer(StatusCode::OK, "") };
    let service = tokio::spawn(serve(announce, closed, ignore));
    address.await.unwrap();
    drop(lifeline);
    service.await.unwrap().unwrap();
}
