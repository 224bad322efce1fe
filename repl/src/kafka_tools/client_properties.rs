//! Client properties: those of Kafka's Java clients and of librdkafka, as far as they mean something here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::SaslMechanism;
use weir_broker::client::consumer::classic_assignor::ClassicAssignor;
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::net::tls::TlsClientFiles;

use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::suggest::did_you_mean;
use crate::render::line;

/// Properties that mean something to some tool.
const KNOWN: [&str; 24] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "compression.codec",
    "compression.type",
    "group.id",
    "group.protocol",
    "isolation.level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "sasl.jaas.config",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.token",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.truststore.location",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Properties that people have in their files and that change nothing here, by their beginnings.
const IGNORED: [&str; 42] = [
    "acks",
    "allow.auto.create.topics",
    "api.version.",
    "auto.commit.",
    "batch.",
    "broker.",
    "buffer.memory",
    "check.crcs",
    "client.dns.lookup",
    "client.rack",
    "connections.max.idle.ms",
    "default.api.timeout.ms",
    "delivery.timeout.ms",
    "enable.",
    "fetch.",
    "group.instance.id",
    "heartbeat.interval.ms",
    "interceptor.classes",
    "key.",
    "linger.ms",
    "log.",
    "max.",
    "message.",
    "metadata.",
    "metric",
    "partitioner",
    "queue",
    "receive.",
    "reconnect.",
    "request.",
    "retries",
    "retry.backoff",
    "send.buffer.bytes",
    "session.timeout.ms",
    "socket.",
    "ssl.enabled.protocols",
    "ssl.endpoint.identification.algorithm",
    "ssl.protocol",
    "ssl.truststore.type",
    "statistics.interval.ms",
    "topic.",
    "value.",
];

/// Properties whose effect Weir has in any case cause no warning.
const FULFILLED: [(&str, &str); 7] = [
    ("acks", "all"),
    ("acks", "-1"),
    ("enable.idempotence", "true"),
    ("partitioner", "murmur2_random"),
    ("partitioner", "murmur2"),
    ("ssl.truststore.type", "PEM"),
    ("enable.partition.eof", "true"),
];

/// Properties that were given, checked.
#[derive(Clone, Debug, Default)]
pub struct ClientProperties(BTreeMap<String, String>);

impl ClientProperties {
    /// Properties of a file, overridden by those of the command line. Properties without effect cause a warning.
    ///
    /// Errors: usage, for unknown names.
    pub fn read(file: Option<&Path>, given: &[String]) -> Result<ClientProperties> {
        let mut properties = BTreeMap::new();
        if let Some(path) = file {
            for line in property_lines(path)? {
                let (key, value) = assignment(&line)?;
                properties.insert(key, value);
            }
        }
        for text in given {
            let (key, value) = assignment(text)?;
            properties.insert(key, value);
        }
        ClientProperties(properties).checked()
    }

    fn checked(mut self) -> Result<ClientProperties> {
        let mut unused = Vec::new();
        for (name, value) in &self.0 {
            let name = name.as_str();
            if KNOWN.contains(&name) {
                continue;
            }
            if !IGNORED.iter().any(|known| name.starts_with(known)) {
                let hint = did_you_mean(name, KNOWN);
                return Err(ToolError::Usage(format!("client property \"{name}\" is not known{hint}")));
            }
            if !FULFILLED.contains(&(name, value.as_str())) {
                line::err(format_args!("Warning: client property {name} changes nothing here"));
            }
            unused.push(name.to_owned());
        }
        self.0.retain(|name, _| !unused.contains(name));
        Ok(self)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The first of some names of the same thing.
    fn any(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Brokers, where a file names them.
    pub fn brokers(&self) -> Option<&str> {
        self.any(&["bootstrap.servers", "metadata.broker.list"])
    }

    pub fn compression(&self) -> Option<&str> {
        self.any(&["compression.type", "compression.codec"])
    }

    /// The assignor of members that join with the classic protocol (`group.protocol`); none for the newer one, which is
    /// the default here.
    pub fn classic_assignor(&self) -> Result<Option<ClassicAssignor>> {
        match self.get("group.protocol").map(str::to_ascii_lowercase).as_deref() {
            None | Some("consumer") => return Ok(None),
            Some("classic") => {}
            Some(other) => {
                let message = format!("unknown group.protocol \"{other}\": expected classic or consumer");
                return Err(ToolError::Usage(message));
            }
        }
        let Some(strategies) = self.get("partition.assignment.strategy") else {
            return Ok(Some(ClassicAssignor::Range));
        };
        // By the names of librdkafka, or by the classes of the Java clients.
        let known = strategies.split(',').find_map(|name| match name.trim().rsplit('.').next() {
            Some("range" | "RangeAssignor") => Some(ClassicAssignor::Range),
            Some("cooperative-sticky" | "CooperativeStickyAssignor") => {
                Some(ClassicAssignor::CooperativeSticky)
            }
            Some(_) | None => None,
        });
        let unknown = || {
            ToolError::Usage(format!(
                "unknown partition.assignment.strategy \"{strategies}\": expected range or cooperative-sticky"
            ))
        };
        known.map(Some).ok_or_else(unknown)
    }

    /// How to reach a broker that asks who one is.
    pub fn security(&self) -> Result<ClientSecurity> {
        let need = |what: &str, found: Option<String>| {
            found.ok_or_else(|| ToolError::Usage(format!("client property {what} is missing")))
        };
        let own = |names: &[&str]| self.any(names).map(str::to_owned);
        let jaas = self.get("sasl.jaas.config").map(JaasLogin::parse).transpose()?;
        let user = own(&["sasl.username"]).or_else(|| jaas.as_ref().map(|login| login.user.clone()));
        let password = own(&["sasl.password"]).or_else(|| jaas.as_ref().map(|login| login.password.clone()));
        let token = self.token()?;
        let protocol = self.get("security.protocol").unwrap_or(match user.is_some() || token.is_some() {
            true => "SASL_PLAINTEXT",
            false => "PLAINTEXT",
        });
        let (is_tls, is_sasl) = match protocol.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            other => {
                return Err(ToolError::Usage(format!(
                    "security.protocol \"{other}\" is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
                )));
            }
        };
        let authorities = own(&["ssl.ca.location", "ssl.truststore.location"]);
        let certificate = own(&["ssl.certificate.location"]).zip(own(&["ssl.key.location"]));
        let tls = match is_tls {
            false => None,
            true => Some(TlsClientFiles {
                authorities: PathBuf::from(need("ssl.ca.location", authorities)?),
                certificate: certificate.map(|(chain, key)| (chain.into(), key.into())),
            }),
        };
        let mechanism = self.any(&["sasl.mechanism", "sasl.mechanisms"]).unwrap_or(match &jaas {
            Some(login) if login.is_plain => "PLAIN",
            _ if token.is_some() => "OAUTHBEARER",
            _ => "SCRAM-SHA-256",
        });
        let mechanism: SaslMechanism =
            mechanism.parse().map_err(|error: weir_broker::auth::sasl::UnknownMechanism| {
                ToolError::Usage(error.to_string())
            })?;
        let sasl = match is_sasl {
            false => None,
            true if mechanism == SaslMechanism::OauthBearer => Some(ClientSasl {
                mechanism,
                user: String::new(),
                password: Secret::new(need("sasl.oauthbearer.token", token)?),
            }),
            true => Some(ClientSasl {
                mechanism,
                user: need("sasl.username", user)?,
                password: Secret::new(need("sasl.password", password)?),
            }),
        };
        Ok(ClientSecurity { tls, sasl })
    }

    /// A bearer token, given as such or in a file, which is named as Kafka's clients name it (KIP-768).
    fn token(&self) -> Result<Option<String>> {
        if let Some(token) = self.get("sasl.oauthbearer.token") {
            return Ok(Some(token.to_owned()));
        }
        let Some(url) = self.get("sasl.oauthbearer.token.endpoint.url") else { return Ok(None) };
        let path = url.strip_prefix("file://").ok_or_else(|| {
            ToolError::Usage(format!(
                "sasl.oauthbearer.token.endpoint.url \"{url}\" is not file:///PATH: tokens are not requested over HTTP"
            ))
        })?;
        let text = std::fs::read_to_string(path)
            .map_err(|error| ToolError::Usage(format!("the token in {path} cannot be read: {error}")))?;
        Ok(Some(text.trim().to_owned()))
    }
}

/// User and password of a Java client's `sasl.jaas.config`.
struct JaasLogin {
    user: String,
    password: String,
    is_plain: bool,
}

impl JaasLogin {
    /// `….PlainLoginModule required username="ada" password="…";`
    fn parse(text: &str) -> Result<JaasLogin> {
        // The text is not shown: there is a password in it.
        let wrong = || {
            ToolError::Usage(
                "sasl.jaas.config is not ...LoginModule required username=\"...\" password=\"...\";"
                    .to_owned(),
            )
        };
        let option = |name: &str| {
            let (_, rest) = text.split_once(&format!("{name}="))?;
            let rest = rest.strip_prefix('"')?;
            let mut value = String::new();
            let mut chars = rest.chars();
            loop {
                match chars.next()? {
                    '"' => return Some(value),
                    '\\' => value.push(chars.next()?),
                    c => value.push(c),
                }
            }
        };
        let module = text.split_whitespace().next().unwrap_or_default();
        let is_plain = module.ends_with("PlainLoginModule");
        if !is_plain && !module.ends_with("ScramLoginModule") {
            return Err(wrong());
        }
        let (user, password) = option("username").zip(option("password")).ok_or_else(wrong)?;
        Ok(JaasLogin { user, password, is_plain })
    }
}

/// The lines of a file of properties, without empty ones and those with # in front.
pub fn property_lines(path: &Path) -> Result<Vec<String>> {
    let failed = |source| ToolError::Io { action: "read", path: path.display().to_string(), source };
    let text = fs::read_to_string(path).map_err(failed)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// `KEY=VALUE`.
pub fn assignment(text: &str) -> Result<(String, String)> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| ToolError::Usage(format!("\"{text}\" is not KEY=VALUE")))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[&str]) -> Result<ClientProperties> {
        ClientProperties::read(None, &given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn properties_are_those_of_kafka_clients() {
        let security = |given: &[&str]| read(given).and_then(|properties| properties.security());
        assert_eq!(security(&[]).expect("valid"), ClientSecurity::default());
        let user = security(&["sasl.username=ada", "sasl.password=x"]).expect("valid");
        assert_eq!(user.sasl.map(|sasl| sasl.user).as_deref(), Some("ada"));
        for wrong in [
            &["sasl.username=ada"][..],
            &["security.protocol=SSL"],
            &["security.protocol=TLS"],
            &["secrity.protocol=SSL"],
            &["sasl.mechanism=X"],
            &["no-assignment"],
        ] {
            assert!(matches!(security(wrong), Err(ToolError::Usage(_))), "{wrong:?}");
        }
        let hint = read(&["sasl.user=x"]).expect_err("unknown").to_string();
        assert!(hint.contains("sasl.username"), "{hint}");
        let ignored = read(&["linger.ms=5", "acks=1", "client.id=c"]).expect("known");
        assert_eq!((ignored.get("linger.ms"), ignored.get("client.id")), (None, Some("c")));
    }

    #[test]
    fn the_classic_protocol_has_assignors() {
        let assignor = |given: &[&str]| read(given).and_then(|properties| properties.classic_assignor());
        let sticky = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        for (strategy, expected) in [
            ("range", ClassicAssignor::Range),
            ("roundrobin,cooperative-sticky", ClassicAssignor::CooperativeSticky),
            (sticky, ClassicAssignor::CooperativeSticky),
        ] {
            let strategy = format!("partition.assignment.strategy={strategy}");
            assert_eq!(assignor(&["group.protocol=classic", &strategy]).expect("known"), Some(expected));
            assert_eq!(assignor(&[&strategy]).expect("without effect"), None);
        }
        assert_eq!(assignor(&["group.protocol=CLASSIC"]).expect("known"), Some(ClassicAssignor::Range));
        for wrong in [
            &["group.protocol=share"][..],
            &["group.protocol=classic", "partition.assignment.strategy=roundrobin"],
        ] {
            assert!(matches!(assignor(wrong), Err(ToolError::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn tokens_are_given_or_in_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        std::fs::write(&path, "from.a.file\n").expect("written");
        let url = format!("sasl.oauthbearer.token.endpoint.url=file://{}", path.display());
        let sasl = |given: &[&str]| Ok::<_, ToolError>(read(given)?.security()?.sasl);
        for (given, expected) in [("sasl.oauthbearer.token=a.b.c", "a.b.c"), (&*url, "from.a.file")] {
            let found = sasl(&[given]).expect("valid").expect("SASL");
            assert_eq!((found.mechanism, found.password.reveal()), (SaslMechanism::OauthBearer, expected));
        }
        assert!(
            sasl(&["sasl.mechanism=OAUTHBEARER", "security.protocol=SASL_SSL", "ssl.ca.location=x"]).is_err()
        );
        assert!(sasl(&["sasl.oauthbearer.token.endpoint.url=https://issuer.example"]).is_err());
        assert!(sasl(&["sasl.oauthbearer.token.endpoint.url=file:///nowhere/token"]).is_err());
    }

    #[test]
    fn a_java_clients_login_is_understood() {
        let login = |text: &str| {
            let given = format!("sasl.jaas.config={text}");
            let sasl = read(&[given.as_str(), "security.protocol=SASL_PLAINTEXT"])?.security()?.sasl;
            Ok::<_, ToolError>(
                sasl.map(|sasl| (sasl.user, sasl.password.reveal().to_owned(), sasl.mechanism)),
            )
        };
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"ada\" password=\"p\\\"w=1\";";
        let expected = ("ada".to_owned(), "p\"w=1".to_owned(), SaslMechanism::Plain);
        assert_eq!(login(plain).expect("valid"), Some(expected));
        for wrong in ["x.PlainLoginModule required username=\"a\";", "x.Krb5LoginModule required;", ""] {
            assert!(login(wrong).is_err(), "{wrong}");
        }
    }
}
