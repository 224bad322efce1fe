//! Runs a broker: `broker DATA_DIR PORT [auto]`. Ends on Ctrl-C; a kill is survived as well.

use std::process::ExitCode;

use weir_broker::broker::Broker;
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(data_dir), Some(port)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: broker DATA_DIR PORT [auto]");
        return ExitCode::from(2);
    };
    let mut config = BrokerConfig::new(data_dir);
    config.auto_create_topics = arguments.next().as_deref() == Some("auto");
    config.listeners =
        vec![ListenerConfig { address: format!("127.0.0.1:{port}"), ..ListenerConfig::default() }];
    let broker = match Broker::start(config).await {
        Ok(broker) => broker,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            return ExitCode::FAILURE;
        }
    };
    println!("listening on {}", broker.local_addr().expect("a listener was configured"));
    if tokio::signal::ctrl_c().await.is_err() {
        return ExitCode::FAILURE;
    }
    match broker.shutdown().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
