//! Clients that ask what to push, and push it, through a socket.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;
use weir_broker::broker::Broker;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;
use weir_broker::protocol::api_key::ApiKey;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::api_versions::ApiVersionsRequest;
use weir_broker::protocol::messages::get_telemetry_subscriptions::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};
use weir_broker::protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use weir_broker::protocol::messages::push_telemetry::PushTelemetryRequest;
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::telemetry::otlp::Number;

const CLIENT_METRICS: i8 = 16;

/// Sends a request and takes the answer of the same API.
macro_rules! call {
    ($transport:expr, $api:ident, $request:expr) => {
        match $transport.send(Request::$api($request)).await.expect("answered") {
            Response::$api(response) => response,
            other => panic!("{other:?}"),
        }
    };
}

async fn start(dir: &Path) -> Broker {
    let mut config = BrokerConfig::new(dir);
    config.listeners =
        vec![ListenerConfig { address: "127.0.0.1:0".to_owned(), ..ListenerConfig::default() }];
    Broker::start(config).await.expect("the broker starts")
}

async fn subscribe(transport: &Arc<dyn Transport>, settings: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: 0,
        value: Some((*value).to_owned()),
    };
    let resource = AlterConfigsResource {
        resource_type: CLIENT_METRICS,
        resource_name: "all".to_owned(),
        configs: settings.iter().map(config).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = call!(transport, IncrementalAlterConfigs, request);
    assert_eq!(answer.responses[0].error_code, ErrorCode::None);
}

async fn get(transport: &Arc<dyn Transport>, client_instance_id: Uuid) -> GetTelemetrySubscriptionsResponse {
    call!(transport, GetTelemetrySubscriptions, GetTelemetrySubscriptionsRequest { client_instance_id })
}

/// OpenTelemetry's message with gauge `m` of value 7, without attributes.
const GAUGE: &[u8] = b"\x0a\x14\x12\x12\x12\x10\x0a\x01m\x2a\x0b\x0a\x09\x31\x07\0\0\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_what_to_push_and_pushes_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let address = broker.local_addr().expect("a listener").to_string();
    let connect = || -> Arc<dyn Transport> {
        Arc::new(TcpTransport::new(address.clone(), TcpTransportConfig::default()))
    };

    // Clients that find the APIs use them, so they are offered only while there is a subscription.
    let telemetry = [ApiKey::GetTelemetrySubscriptions.code(), ApiKey::PushTelemetry.code()];
    let offered = async || {
        let request = ApiVersionsRequest {
            client_software_name: "x".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let answer = call!(connect(), ApiVersions, request);
        answer.api_keys.iter().filter(|entry| telemetry.contains(&entry.api_key)).count()
    };
    assert_eq!(offered().await, 0);
    let nothing = get(&broker.transport(), Uuid::nil()).await;
    assert_eq!((nothing.error_code, nothing.requested_metrics.len()), (ErrorCode::None, 0));
    assert_eq!((nothing.push_interval_ms, nothing.telemetry_max_bytes), (300_000, 1 << 20));
    assert_eq!(nothing.accepted_compression_types, [4, 3, 1, 2]);

    subscribe(&connect(), &[("metrics", "*"), ("match", "client_software_name=other")]).await;
    assert_eq!(offered().await, 2);
    let transport = connect();
    assert!(get(&transport, Uuid::nil()).await.requested_metrics.is_empty());
    subscribe(&transport, &[("match", "client_software_name=weir,client_source_address=127.*")]).await;
    let asked = get(&transport, Uuid::nil()).await;
    assert_eq!(asked.requested_metrics, ["*"]);
    let id = asked.client_instance_id;
    assert_ne!(id, nothing.client_instance_id);
    assert_eq!(get(&transport, id).await.error_code, ErrorCode::ThrottlingQuotaExceeded);

    let push = async |subscription_id, terminating, metrics: Bytes| {
        let request = PushTelemetryRequest {
            client_instance_id: id,
            subscription_id,
            terminating,
            compression_type: 0,
            metrics,
        };
        call!(transport, PushTelemetry, request).error_code
    };
    let gauge = || Bytes::from_static(GAUGE);
    assert_eq!(push(asked.subscription_id, false, gauge()).await, ErrorCode::None);
    assert_eq!(push(asked.subscription_id, false, gauge()).await, ErrorCode::ThrottlingQuotaExceeded);
    let mut seen = Vec::new();
    broker.node().visit_telemetry(|of, instance| {
        let series = instance.series.iter().map(|(key, value)| (key.metric.clone(), *value));
        seen.extend(series.map(|(metric, value)| (of, metric, value)));
    });
    assert_eq!(seen, [(id, "m".to_owned(), Number::Int(7))]);
    assert_eq!(
        push(asked.subscription_id, true, gauge()).await,
        ErrorCode::None,
        "the last one may be early"
    );
    assert_eq!(push(asked.subscription_id, true, gauge()).await, ErrorCode::InvalidRequest);
    broker.shutdown().await.expect("a clean end");
}
