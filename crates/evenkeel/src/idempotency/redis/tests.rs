use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::idempotency::conformance;

/// A server of this test's own, on a socket in its own folder, which ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// None where no server is installed: `.ci/run` installs one.
fn start(folder: &Path) -> Option<(Server, String)> {
    let socket = folder.join("redis.sock");
    let started = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(&socket)
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::null())
        .spawn();
    match started {
        Ok(child) => Some((Server(child), format!("redis+unix://{}", socket.display()))),
        Err(error) => {
            eprintln!(
                "skipped: redis-server cannot be started here ({error}); .ci/run installs it"
            );
            None
        }
    }
}

async fn connected(url: &str) -> RedisStore {
    // It is there when it answers.
    for _ in 0..500 {
        if let Ok(store) = RedisStore::connect(url, "test:").await {
            return store;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("redis-server did not answer within five seconds");
}

#[tokio::test]
async fn the_redis_engine_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_server, url)) = start(folder.path()) else {
        return;
    };
    conformance::holds(connected(&url).await).await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_in_a_bounded_time() {
    let folder = tempfile::tempdir().unwrap();
    let Some((server, url)) = start(folder.path()) else {
        return;
    };
    let store = connected(&url).await;
    drop(server);
    let began = std::time::Instant::now();
    let (place, request) = (Place::of(&[b"o-1"]), Fingerprint::of(&[]));
    let lost = store.begin(place, request, &Terms::default()).await;
    assert!(lost.is_err());
    assert!(began.elapsed() < 5 * ANSWER_WITHIN, "{:?}", began.elapsed());
}
