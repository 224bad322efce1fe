//! A node of its own, and the shell's embedded node.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use weir_broker::log::config::Durability;
use weir_server::config::{NodeConfig, ProcessingLogConfig};
use weir_server::node::{NodeError, RunningNode};

use crate::cli::args::{OutputArg, ShellArgs};
use crate::cli::logging;
use crate::cli::node_args::NodeArgs;
use crate::cli::repl::{Script, run_interactive, run_script};
use crate::cli::security::open_to_all;
use crate::client::connect::{ConnectOptions, Credentials};
use crate::client::{ClientError, ServerClient};
use crate::render::error::chain;
use crate::render::line;
use crate::render::style::Palette;
use crate::session::{OutputForm, Session};

/// A clean stop takes at most this long, even on a busy machine: less than the 30 s after which Kubernetes kills a
/// container. What is left is recovered at the next start.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);

/// The `serverStatus` of a server that carries out every statement.
const SERVING: &str = "RUNNING";

/// The exit code after a failed write or fsync: `EX_IOERR`.
const STORAGE_FAILED: i32 = 74;

/// Runs a node until SIGTERM or SIGINT.
pub async fn run_server(args: NodeArgs) -> ExitCode {
    let started = Instant::now();
    let config = match node_config(&args) {
        Ok(config) => config,
        Err(message) => return fail(&message, 2),
    };
    if config.durability == Durability::Relaxed {
        tracing::warn!(
            "durability is relaxed: records acknowledged in the last second may be lost with the machine"
        );
    }
    let mut stop_signals = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return fail(&format!("cannot watch for signals: {error}"), 1),
    };
    let mut reload_signals = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return fail(&format!("cannot watch for signals: {error}"), 1),
    };
    let node = match RunningNode::start(config).await {
        Ok(node) => node,
        Err(error) => return fail(&chain(&error), 1),
    };
    line::out(format_args!("{}", ready_line(&node, started)));
    if let Some(degradation) = node.node.degradation() {
        line::err(format_args!("{}", degraded_line(&degradation.to_string())));
    }
    let mut storage_failed = std::pin::pin!(node.node.storage_failed());
    let signal = loop {
        tokio::select! {
            _ = stop_signals.0.recv() => break "SIGTERM",
            _ = stop_signals.1.recv() => break "SIGINT",
            _ = reload_signals.recv() => match node.node.reload_certificates() {
                Ok(()) => tracing::info!("certificates loaded anew"),
                Err(error) => tracing::warn!(error = %chain(&error), "certificates stay as they were"),
            },
            // Nothing is acknowledged any more; the next start checks what is on the disk.
            () = &mut storage_failed => {
                tracing::error!("a write or sync of the log failed: nothing more is acknowledged");
                logging::flush();
                std::process::exit(STORAGE_FAILED)
            }
        }
    };
    tracing::info!(signal, "node stops");
    shut_down(node).await
}

async fn shut_down(node: RunningNode) -> ExitCode {
    let started = Instant::now();
    match tokio::time::timeout(SHUTDOWN_TIMEOUT, node.shutdown()).await {
        Ok(()) => {
            let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(ms, "node stopped");
            ExitCode::SUCCESS
        }
        Err(_) => fail("the node did not stop in time; the next start checks its log", 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // The warnings before it come first.
    logging::flush();
    line::err(format_args!("Error: {message}"));
    ExitCode::from(code)
}

fn ready_line(node: &RunningNode, started: Instant) -> String {
    let addresses: Vec<String> = node.node.kafka_addresses().iter().map(ToString::to_string).collect();
    let kafka = if addresses.is_empty() { "off".to_owned() } else { addresses.join(" ") };
    format!(
        "weir {} ready in {} ms: SQL {}, Kafka {kafka}",
        env!("CARGO_PKG_VERSION"),
        started.elapsed().as_millis(),
        node.node.http_url(),
    )
}

/// Shown when a node starts, and when a shell connects to it.
fn degraded_line(reason: &str) -> String {
    format!(
        "Warning: the node is DEGRADED, statements that change it are refused: {reason}\n\
         Repair: weir command-topic backup FILE, weir command-topic restore FILE --skip-unreadable, start the node again"
    )
}

fn node_config(args: &NodeArgs) -> Result<NodeConfig, String> {
    let mut config = NodeConfig::new(&args.data_dir);
    if let Some(address) = &args.http_listen {
        config.http_listen = address.resolve()?;
    }
    if let Some(address) = &args.kafka_listen {
        config.kafka_listen = Some(address.resolve()?);
    }
    config.kafka_listeners = args.security.listener_configs(args.insecure)?;
    config.kafka_security = args.security.security_config(&args.access)?;
    config.kafka_security.token_verifier = args.access.token_verifier()?;
    config.http = args.access.http_config(&args.security)?;
    config.audit_topic.clone_from(&args.access.audit_topic);
    if !config.kafka_listeners.is_empty() {
        config.kafka_listen = None;
    }
    let is_open = |address: &SocketAddr| !address.ip().is_loopback() && !args.insecure;
    if let Some(address) = config.kafka_listen.filter(is_open) {
        return Err(open_to_all(&address.to_string()));
    }
    if is_open(&config.http_listen) && !config.authenticates_http() {
        return Err(open_to_all(&config.http_listen.to_string()));
    }
    if !config.http_listen.ip().is_loopback() && config.authenticates_http() && config.http.tls.is_none() {
        tracing::warn!(address = %config.http_listen, "passwords and rows over HTTP are not encrypted: add --http-tls");
    }
    if let Some(address) = &args.kafka_advertised {
        address.check_advertised()?;
        config.kafka_advertised = Some((address.host.clone(), address.port));
    }
    // A listener is advertised by the name it was given, as in Kafka; port 0 is the port that was bound.
    if let (None, Some(address)) = (&config.kafka_advertised, &args.kafka_listen)
        && address.host.parse::<IpAddr>().is_err()
    {
        config.kafka_advertised = Some((address.host.clone(), address.port));
    }
    config.durability = args.durability.into();
    config.commit_interval_ms = args.commit_interval_ms;
    config.state_cache_bytes = args.state_cache_bytes;
    config.worker_threads = args.worker_threads;
    config.task_step_max_ms = args.task_step_max_ms;
    config.auto_create_topics = args.auto_create_topics;
    config.accept_copied_data = args.accept_copied_data;
    config.slow_reader_timeout = Duration::from_millis(args.slow_reader_timeout_ms);
    if args.no_processing_log {
        config.processing_log = ProcessingLogConfig::off(&config.service_id);
    }
    config.housekeeping_interval_ms = args.housekeeping_interval_ms;
    config.kafka_settings = args.kafka_settings()?;
    let settings = args.ksql_settings()?;
    let settings = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    config.set_ksql(settings).map_err(|error| error.to_string())?;
    Ok(config)
}

/// The shell: on a server, or on a node in this process.
pub async fn run_shell(shell: ShellArgs, node_args: NodeArgs) -> ExitCode {
    let options = match shell.connect.options() {
        Ok(options) => options,
        Err(error) => return fail(&chain(&error), 1),
    };
    if let Some(address) = &shell.server {
        let session = match open_session(address, &shell, &options).await {
            Ok(session) => session,
            Err(error) => return fail(&error.to_string(), 1),
        };
        let banner = format!("weir {}, server {address}. Type help for help.", env!("CARGO_PKG_VERSION"));
        return run_with(session, shell, &banner).await;
    }
    let started = Instant::now();
    let node = match start_embedded(&node_args).await {
        Ok(node) => node,
        Err(message) => return fail(&message, 1),
    };
    let address = node.node.http_url();
    // The shell of a node has the node's own rights, unless it is given a user.
    let own = Credentials::Token(node.node.local_token().clone());
    let options = ConnectOptions { credentials: options.credentials.or(Some(own)), ..options };
    let session = match open_session(&address, &shell, &options).await {
        Ok(session) => session,
        Err(error) => return fail(&error.to_string(), 1),
    };
    let banner =
        format!("{}, data {}\nType help for help.", ready_line(&node, started), node_args.data_dir.display());
    let code = run_with(session, shell, &banner).await;
    let stopped = shut_down(node).await;
    if code == ExitCode::SUCCESS { stopped } else { code }
}

/// An embedded node takes the usual ports where it can, and free ones where it must.
async fn start_embedded(args: &NodeArgs) -> Result<RunningNode, String> {
    let mut config = node_config(args)?;
    let is_free = |address: SocketAddr| std::net::TcpListener::bind(address).is_ok();
    if args.http_listen.is_none() && !is_free(config.http_listen) {
        config.http_listen.set_port(0);
    }
    if let Some(address) = &mut config.kafka_listen
        && args.kafka_listen.is_none()
        && !is_free(*address)
    {
        address.set_port(0);
    }
    RunningNode::start(config).await.map_err(|error: NodeError| chain(&error))
}

async fn open_session(
    address: &str,
    shell: &ShellArgs,
    options: &ConnectOptions,
) -> Result<Session, ClientError> {
    let client = ServerClient::with(address, options)?;
    let info = client.get("/info").await?;
    let info = &info["KsqlServerInfo"];
    let status = info["serverStatus"].as_str().unwrap_or(SERVING);
    if let Some(reason) = info["degradedReason"].as_str() {
        line::err(format_args!("{}", degraded_line(reason)));
    } else if status != SERVING {
        line::err(format_args!("Warning: the server is {status}; its /healthcheck names the cause"));
    }
    let output = match shell.output {
        None if std::io::stdout().is_terminal() => OutputForm::Table,
        None | Some(OutputArg::Json) => OutputForm::Json,
        Some(OutputArg::Tabular) => OutputForm::Table,
        Some(OutputArg::Ndjson) => OutputForm::Ndjson,
        Some(OutputArg::Csv) => OutputForm::Csv,
        Some(OutputArg::Markdown) => OutputForm::Markdown,
    };
    let mut session = Session::new(client, output, Palette::detect());
    session.row_limit = shell.query_row_limit;
    session.query_timeout = shell.query_timeout.map(Duration::from_millis);
    for definition in &shell.define {
        let (name, value) = definition.split_once('=').unwrap_or((definition, ""));
        session.context.variables.insert(name.to_ascii_lowercase(), value.trim_matches('\'').to_owned());
    }
    Ok(session)
}

async fn run_with(session: Session, shell: ShellArgs, banner: &str) -> ExitCode {
    match (shell.execute, shell.file) {
        (Some(text), _) => run_script(session, Script::Text(text)).await,
        (None, Some(file)) => run_script(session, Script::File(file)).await,
        (None, None) => run_interactive(session, banner).await,
    }
}
