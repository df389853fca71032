//! A connection that breaks when it hurts.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// When a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before the shop sees anything of the order.
    BeforeSend,
    /// When the order was sent, whatever the shop makes of it.
    AfterSend,
    /// When the shop has committed and answered; the client does not hear of it.
    BeforeAnswer,
}

impl Cut {
    /// All of them, in the order of their coming.
    pub const ALL: [Self; 3] = [Self::BeforeSend, Self::AfterSend, Self::BeforeAnswer];
}

/// A proxy that cuts the connections it was told to cut.
#[derive(Debug)]
pub struct Cutting {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    shop: Mutex<Option<SocketAddr>>,
    due: Mutex<VecDeque<Cut>>,
    made: Mutex<[u32; 3]>,
}

impl Drop for Cutting {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Cutting {
    /// Listens on a port of its own.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            shop: Mutex::default(),
            due: Mutex::default(),
            made: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                // A connection that fails is what this is for.
                tokio::spawn(async move { serve(&shared, client).await.ok() });
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the shop is from now on; nowhere while it is down.
    pub fn leads_to(&self, shop: Option<SocketAddr>) {
        *lock(&self.shared.shop) = shop;
    }

    /// Cuts one of the next connections.
    pub fn cut(&self, cut: Cut) {
        lock(&self.shared.due).push_back(cut);
    }

    /// How many were cut, by kind as in [`Cut::ALL`].
    #[must_use]
    pub fn made(&self) -> [u32; 3] {
        *lock(&self.shared.made)
    }
}

impl Shared {
    fn count(&self, cut: Cut) {
        lock(&self.made)[cut as usize] += 1;
    }
}

async fn serve(shared: &Shared, mut client: TcpStream) -> Result<()> {
    let Some(shop) = *lock(&shared.shop) else {
        return Ok(());
    };
    let due = lock(&shared.due).pop_front();
    if due == Some(Cut::BeforeSend) {
        shared.count(Cut::BeforeSend);
        return Ok(());
    }
    let Some(cut) = due else {
        let mut shop = TcpStream::connect(shop).await?;
        copy_bidirectional(&mut client, &mut shop).await?;
        return Ok(());
    };
    match withhold(&mut client, shop, cut).await {
        Ok(true) => shared.count(cut),
        // Killed meanwhile: there was nothing to withhold. The next connection has it.
        Ok(false) | Err(_) => lock(&shared.due).push_front(cut),
    }
    Ok(())
}

/// Passes an order on, and its answer as far as `cut` allows, which is not to the client. Answers whether
/// it came to that.
async fn withhold(client: &mut TcpStream, shop: SocketAddr, cut: Cut) -> Result<bool> {
    let mut shop = TcpStream::connect(shop).await?;
    // An order fits one segment, and its client waits for the answer before it sends another.
    let mut request = vec![0; 4096];
    let length = client.read(&mut request).await?;
    shop.write_all(&request[..length]).await?;
    match cut {
        Cut::BeforeSend => Ok(false),
        Cut::AfterSend => Ok(true),
        Cut::BeforeAnswer => Ok(shop.read(&mut [0; 4096]).await? > 0),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
