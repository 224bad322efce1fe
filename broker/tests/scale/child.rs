//! A broker in a process of its own: it can be killed, and its memory is nobody else's.
//!
//! The process is this test binary, told to run [`serve`] only. It speaks in lines that begin with `@`, and obeys lines.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_broker::broker::Broker;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;
use weir_broker::net::tls::{ClientAuth, TlsServer, TlsServerFiles};

/// Nothing here takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const DIR: &str = "WEIR_SCALE_CHILD";
const TICKS_PER_SECOND: f64 = 100.0;

/// How a broker is started.
#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    /// Limit of open files; 0 leaves what is.
    pub(crate) open_files: u64,
    /// `0` leaves the default. Units: ms.
    pub(crate) stall_ms: u64,
    /// Room for requests and for responses; 0 leaves the default.
    pub(crate) room_bytes: usize,
    pub(crate) tls: bool,
}

impl Options {
    fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("WEIR_SCALE_OPEN_FILES", self.open_files.to_string()),
            ("WEIR_SCALE_STALL_MS", self.stall_ms.to_string()),
            ("WEIR_SCALE_ROOM_BYTES", self.room_bytes.to_string()),
            ("WEIR_SCALE_TLS", u8::from(self.tls).to_string()),
        ]
    }

    fn from_environment() -> Self {
        let number = |name| super::number(name, 0);
        Options {
            open_files: number("WEIR_SCALE_OPEN_FILES") as u64,
            stall_ms: number("WEIR_SCALE_STALL_MS") as u64,
            room_bytes: number("WEIR_SCALE_ROOM_BYTES"),
            tls: number("WEIR_SCALE_TLS") == 1,
        }
    }

    fn listener(&self, tls: Option<Arc<TlsServer>>) -> ListenerConfig {
        let mut config =
            ListenerConfig { address: "127.0.0.1:0".to_owned(), tls, ..ListenerConfig::default() };
        if self.stall_ms > 0 {
            let stall = Duration::from_millis(self.stall_ms);
            (config.stall_timeout, config.shutdown_grace, config.handshake_timeout) = (stall, stall, stall);
        }
        if self.room_bytes > 0 {
            config.in_flight_bytes_max_total = self.room_bytes;
            config.unsent_bytes_max_total = self.room_bytes;
        }
        config
    }
}

/// A broker that runs elsewhere. Dropping it kills it.
pub(crate) struct Child {
    process: Process,
    stdin: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<(String, String)>,
    panics: Arc<AtomicUsize>,
    /// From before the data directory is opened to when the broker listens.
    pub(crate) started_in: Duration,
    pub(crate) address: String,
    pub(crate) tls_address: String,
}

impl Child {
    pub(crate) async fn start(dir: &Path, options: &Options) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this binary"))
            .args(["scale::child::serve", "--exact", "--nocapture", "--test-threads=1"])
            .envs(options.environment())
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let stdout = process.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::unbounded_channel();
        let panics = Arc::new(AtomicUsize::new(0));
        let counted = panics.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The test harness writes into the same lines.
                let Some((_, told)) = line.split_once('@') else { continue };
                let (key, value) = told.split_once(' ').unwrap_or((told, ""));
                if key == "panic" {
                    eprintln!("the broker panicked: {value}");
                    counted.fetch_add(1, Ordering::SeqCst);
                } else if sender.send((key.to_owned(), value.to_owned())).is_err() {
                    return;
                }
            }
        });
        let stdin = process.stdin.take();
        let (address, tls_address) = (String::new(), String::new());
        let mut child =
            Child { process, stdin, lines, panics, started_in: Duration::ZERO, address, tls_address };
        let listening = child.hear("listening").await;
        let mut words = listening.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        child.started_in = Duration::from_millis(next().parse().expect("milliseconds"));
        (child.address, child.tls_address) = (next(), next());
        child
    }

    async fn hear(&mut self, wanted: &str) -> String {
        let heard = timeout(PATIENCE, async {
            while let Some((key, value)) = self.lines.recv().await {
                if key == wanted {
                    return value;
                }
            }
            panic!("the broker ended without saying {wanted}");
        });
        heard.await.unwrap_or_else(|_| panic!("the broker did not say {wanted}"))
    }

    /// Gives an order and returns the answer to it.
    pub(crate) async fn order(&mut self, order: &str) -> String {
        let stdin = self.stdin.as_mut().expect("it has not been stopped");
        writeln!(stdin, "{order}").expect("the broker reads");
        self.hear(order).await
    }

    /// What the broker counts.
    pub(crate) async fn figures(&mut self) -> HashMap<String, u64> {
        let figures = self.order("figures").await;
        let figure = |word: &str| {
            let (name, value) = word.split_once('=').expect("a figure");
            (name.to_owned(), value.parse().expect("a number"))
        };
        figures.split(' ').map(figure).collect()
    }

    /// Waits until a figure is as wanted.
    pub(crate) async fn until(&mut self, name: &str, wanted: impl Fn(u64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let figures = self.figures().await;
            if wanted(figures[name]) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} stays at {}: {figures:?}", figures[name]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the broker cleanly; returns how long that took.
    pub(crate) async fn stop(mut self) -> Duration {
        let took = Duration::from_millis(self.order("stop").await.parse().expect("milliseconds"));
        self.assert_no_panics();
        assert!(self.process.wait().expect("it ends").success());
        took
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        self.assert_no_panics();
    }

    pub(crate) fn assert_no_panics(&self) {
        assert_eq!(self.panics.load(Ordering::SeqCst), 0, "the broker panicked");
    }

    /// Memory that is resident. Units: bytes.
    pub(crate) fn rss(&self) -> usize {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    /// Processor time used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
        Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS_PER_SECOND)
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        let config = TcpTransportConfig { request_timeout: PATIENCE, ..TcpTransportConfig::default() };
        Arc::new(TcpTransport::new(self.address.clone(), config))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The broker, in the other process. Does nothing when it is run as a test.
#[test]
fn serve() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    std::panic::set_hook(Box::new(|info| tell(&format!("panic {}", info.to_string().replace('\n', " ")))));
    let options = Options::from_environment();
    if options.open_files > 0 {
        setrlimit(Resource::RLIMIT_NOFILE, options.open_files, options.open_files).expect("lowered");
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().expect("a runtime").block_on(run(dir.as_ref(), &options));
}

async fn run(dir: &Path, options: &Options) {
    let mut config = BrokerConfig::new(dir.join("data"));
    config.listeners = vec![options.listener(None)];
    if options.tls {
        config.listeners.push(options.listener(Some(certified(dir))));
    }
    let started = Instant::now();
    let broker = Broker::start(config).await.expect("the broker starts");
    let addresses: Vec<String> =
        broker.listeners().iter().map(|listener| listener.local_addr().to_string()).collect();
    tell(&format!("listening {} {}", started.elapsed().as_millis(), addresses.join(" ")));
    let (sender, mut orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines();
        lines.map_while(Result::ok).take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    let mut hoard = Vec::new();
    while let Some(order) = orders.recv().await {
        match order.as_str() {
            "figures" => tell(&format!("figures {}", figures(&broker))),
            // Takes all files there are.
            "hoard" => {
                hoard.extend(std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()));
                tell(&format!("hoard {}", hoard.len()));
            }
            "release" => {
                hoard.clear();
                tell("release");
            }
            "stop" => break,
            other => panic!("unknown order {other}"),
        }
    }
    let stopping = Instant::now();
    broker.shutdown().await.expect("a clean end");
    tell(&format!("stop {}", stopping.elapsed().as_millis()));
}

/// Says a line to the test that started the process, which may have ended.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "@{line}");
}

fn figures(broker: &Broker) -> String {
    let net = broker.net_metrics();
    let figures = [
        ("connections", net.connections.get()),
        ("accepted", net.connections_accepted.get()),
        ("refused", net.connections_refused.get()),
        ("accepts_failed", net.accepts_failed.get()),
        ("timed_out", net.connections_timed_out.get()),
        ("malformed", net.connections_malformed.get()),
        ("oversize", net.connections_oversize.get()),
        ("tls_failed", net.tls_handshakes_failed.get()),
    ];
    figures.map(|(name, value)| format!("{name}={value}")).join(" ")
}

fn certified(dir: &Path) -> Arc<TlsServer> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let files = TlsServerFiles {
        certificate_chain: dir.join("server.pem"),
        key: dir.join("server.key"),
        client_authorities: None,
        client_auth: ClientAuth::None,
    };
    std::fs::write(&files.certificate_chain, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    Arc::new(TlsServer::load(files).expect("loads"))
}
