//! Between clients and a broker: follows the broker to other addresses, makes it look older, and holds EndTxn back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use weir_broker::protocol::api_key::ApiKey;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::frame::{decode_request, decode_response, encode_response};
use weir_broker::protocol::response::Response;

/// The last version of EndTxn with which transactions behave as before KIP-890.
const END_TXN_V1_MAX: i16 = 4;
/// As the broker's.
const FRAME_BYTES_MAX: usize = 100 << 20;
const RESPONSES_MAX: usize = 64;

/// Which transactions clients of a proxy are to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transactions {
    V1,
    V2,
}

/// A proxy on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    broker: Mutex<String>,
    transactions: Transactions,
    /// What to do with the next EndTxn.
    catching: Mutex<Option<Catch>>,
    caught: Mutex<Option<HeldEndTxn>>,
    catches: Notify,
}

/// What the client sees whose request is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catch {
    /// Nothing.
    StayQuiet,
    /// The end of its connection.
    HangUp,
}

/// A request on its way, with the way it is to take.
#[derive(Debug)]
pub struct HeldEndTxn {
    frame: Bytes,
    /// Held open.
    _client: Option<(OwnedReadHalf, Arc<tokio::sync::Mutex<OwnedWriteHalf>>)>,
    to_broker: OwnedWriteHalf,
    from_broker: mpsc::Receiver<Bytes>,
}

impl Proxy {
    /// A proxy before the broker at `broker`.
    pub async fn start(broker: &str, transactions: Transactions) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(State {
            broker: Mutex::new(broker.to_owned()),
            transactions,
            catching: Mutex::new(None),
            caught: Mutex::new(None),
            catches: Notify::new(),
        });
        let accepting = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    // A connection that ends badly is what clients have to live with.
                    tokio::spawn(connect(client, Arc::clone(&state)));
                }
            }
        });
        Ok(Proxy { address, state, accepting })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The broker is somewhere else now.
    pub fn follow(&self, broker: &str) {
        *self.state.broker.lock().expect("not poisoned") = broker.to_owned();
    }

    /// Holds the next EndTxn back.
    pub fn catch_end_txn(&self, then: Catch) {
        *self.state.catching.lock().expect("not poisoned") = Some(then);
    }

    /// Waits until an EndTxn is held.
    pub async fn caught(&self) -> HeldEndTxn {
        loop {
            let caught = self.state.catches.notified();
            if let Some(held) = self.state.caught.lock().expect("not poisoned").take() {
                return held;
            }
            caught.await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl HeldEndTxn {
    /// Lets the request go, and gives what the broker answers.
    pub async fn release(mut self) -> Result<ErrorCode> {
        write_frame(&mut self.to_broker, &self.frame).await?;
        let (header, _) = decode_request(self.frame)?;
        loop {
            let frame = self.from_broker.recv().await.context("the broker hung up")?;
            if correlation_of(&frame) != Some(header.correlation_id) {
                continue;
            }
            return match decode_response(ApiKey::EndTxn, header.api_version, frame)? {
                (_, Response::EndTxn(response)) => Ok(response.error_code),
                _ => bail!("another response"),
            };
        }
    }
}

async fn connect(client: TcpStream, state: Arc<State>) -> Result<()> {
    let broker = state.broker.lock().expect("not poisoned").clone();
    let broker = TcpStream::connect(broker).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (mut from_client, to_client) = client.into_split();
    let to_client = Arc::new(tokio::sync::Mutex::new(to_client));
    let (from_broker, mut to_broker) = broker.into_split();
    let (sender, receiver) = mpsc::channel(RESPONSES_MAX);
    tokio::spawn(read_responses(from_broker, sender));
    // Who holds this takes responses; they go to the client until a request is held back.
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let versions: Arc<Mutex<HashMap<i32, i16>>> = Arc::default();
    let answering = tokio::spawn(answer(
        Arc::clone(&to_client),
        Arc::clone(&receiver),
        Arc::clone(&versions),
        state.transactions,
    ));
    let outcome = async {
        while let Some(frame) = read_frame(&mut from_client).await? {
            let (api, version, correlation) = header_of(&frame).context("no header")?;
            if api == ApiKey::ApiVersions.code() {
                versions.lock().expect("not poisoned").insert(correlation, version);
            }
            if api == ApiKey::EndTxn.code()
                && let Some(then) = state.catching.lock().expect("not poisoned").take()
            {
                return Ok(Some((frame, then)));
            }
            write_frame(&mut to_broker, &frame).await?;
        }
        Ok::<_, anyhow::Error>(None)
    }
    .await;
    answering.abort();
    drop(answering.await);
    if let Some((frame, then)) = outcome? {
        let from_broker = Arc::into_inner(receiver).context("nobody else takes responses")?.into_inner();
        let _client = (then == Catch::StayQuiet).then_some((from_client, to_client));
        let held = HeldEndTxn { frame, _client, to_broker, from_broker };
        *state.caught.lock().expect("not poisoned") = Some(held);
        state.catches.notify_waiters();
    }
    Ok(())
}

async fn read_responses(mut from_broker: OwnedReadHalf, sender: mpsc::Sender<Bytes>) {
    while let Ok(Some(frame)) = read_frame(&mut from_broker).await {
        if sender.send(frame).await.is_err() {
            return;
        }
    }
}

/// Hands responses to the client, and hangs up when there are no more.
async fn answer(
    to_client: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    receiver: Arc<tokio::sync::Mutex<mpsc::Receiver<Bytes>>>,
    versions: Arc<Mutex<HashMap<i32, i16>>>,
    transactions: Transactions,
) -> Result<()> {
    let (mut to_client, mut receiver) = (to_client.lock().await, receiver.lock().await);
    while let Some(frame) = receiver.recv().await {
        let correlation = correlation_of(&frame).context("no header")?;
        let version = versions.lock().expect("not poisoned").remove(&correlation);
        let frame = match version {
            Some(version) if transactions == Transactions::V1 => look_older(version, frame)?,
            _ => frame,
        };
        write_frame(&mut to_client, &frame).await?;
    }
    // The half of the client that reads goes with the connection.
    to_client.shutdown().await?;
    Ok(())
}

/// An ApiVersions response without the versions that raise the epoch with every transaction.
fn look_older(version: i16, frame: Bytes) -> Result<Bytes> {
    let (correlation, response) = decode_response(ApiKey::ApiVersions, version, frame)?;
    let Response::ApiVersions(mut versions) = response else { bail!("another response") };
    let end_txn = versions.api_keys.iter_mut().find(|api| api.api_key == ApiKey::EndTxn.code());
    let end_txn = end_txn.context("the broker knows EndTxn")?;
    ensure!(end_txn.max_version > END_TXN_V1_MAX, "the broker knows newer transactions");
    end_txn.max_version = END_TXN_V1_MAX;
    // Writes of later versions add partitions to transactions.
    for (api, max) in [(ApiKey::Produce, 11), (ApiKey::TxnOffsetCommit, 4)] {
        let found = versions.api_keys.iter_mut().find(|one| one.api_key == api.code());
        let found = found.context("the broker knows the API")?;
        found.max_version = found.max_version.min(max);
    }
    let frame = encode_response(correlation, version, &Response::ApiVersions(versions))?;
    // The length is written again.
    Ok(frame.to_bytes().slice(4..))
}

fn header_of(frame: &[u8]) -> Option<(i16, i16, i32)> {
    let api = i16::from_be_bytes(*frame.first_chunk()?);
    let version = i16::from_be_bytes(*frame.get(2..)?.first_chunk()?);
    Some((api, version, i32::from_be_bytes(*frame.get(4..)?.first_chunk()?)))
}

fn correlation_of(frame: &[u8]) -> Option<i32> {
    frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// The next frame, without its length. `None` at the end of the connection.
async fn read_frame(from: &mut OwnedReadHalf) -> Result<Option<Bytes>> {
    let mut length = [0; 4];
    if from.read_exact(&mut length).await.is_err() {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length) as usize;
    ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
    let mut frame = BytesMut::zeroed(length);
    from.read_exact(&mut frame).await?;
    Ok(Some(frame.freeze()))
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> Result<()> {
    let length = u32::try_from(frame.len()).context("a frame is shorter")?;
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(frame).await?;
    Ok(())
}
