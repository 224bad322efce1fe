//! `HOST:PORT` in flags, files and variables. Names are resolved when the node starts.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        const FORM: &str = "expected HOST:PORT, as in localhost:9092";
        if text.contains("://") {
            return Err(format!("a protocol is not part of an address: {FORM}"));
        }
        if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
            return Err("no port: an IPv6 address stands in brackets, as in [::1]:9092".to_owned());
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(match text.parse::<u16>() {
                Ok(_) => format!("no host: {FORM}"),
                Err(_) => format!("no port: {FORM}"),
            });
        };
        let port = port.parse().map_err(|_| format!("\"{port}\" is no port: {FORM}"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Err(format!("no host: {FORM}; 0.0.0.0 stands for all addresses of the machine"));
        }
        let is_name = bare.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
        if !is_name && bare.parse::<IpAddr>().is_err() {
            return Err(format!("\"{host}\" is neither a host name nor an address"));
        }
        Ok(HostPort { host: bare.to_owned(), port })
    }
}

impl HostPort {
    /// The address to listen on: the first IPv4 address of the host, or else its first.
    ///
    /// Errors: the name cannot be resolved.
    pub fn resolve(&self) -> Result<SocketAddr, String> {
        let unresolved = |cause: &str| format!("cannot resolve the host name \"{}\": {cause}", self.host);
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found: Vec<SocketAddr> = found.map_err(|error| unresolved(&error.to_string()))?.collect();
        let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
        first.copied().ok_or_else(|| unresolved("it has no address"))
    }

    /// Errors: the host is a wildcard, to which no client can connect.
    pub fn check_advertised(&self) -> Result<(), String> {
        match self.host.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => {
                Err(format!("{self} cannot be advertised: clients cannot connect to a wildcard address"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for text in ["localhost:8088", "127.0.0.1:0", "[::1]:9092", "my-host.example.org:65535"] {
            let parsed: HostPort = text.parse().expect(text);
            assert_eq!(parsed.to_string(), text);
        }
        let local = HostPort { host: "localhost".to_owned(), port: 7 }.resolve().expect("resolves");
        assert!(local.ip().is_loopback() && local.port() == 7, "{local}");
        // Longer than a label may be, so that no name server is asked.
        let nowhere = HostPort { host: "x".repeat(70), port: 7 };
        let error = nowhere.resolve().expect_err("does not resolve");
        assert!(error.starts_with("cannot resolve the host name \"xxx"), "{error}");
    }

    #[test]
    fn addresses_that_are_none_are_named() {
        for (text, expected) in [
            ("127.0.0.1", "no port: expected HOST:PORT"),
            ("localhost", "no port"),
            ("9092", "no host"),
            (":9092", "no host"),
            ("::1", "[::1]:9092"),
            ("localhost:x", "\"x\" is no port"),
            ("localhost:65536", "\"65536\" is no port"),
            ("http://localhost:8088", "a protocol is not part of an address"),
            ("a b:1", "neither a host name nor an address"),
        ] {
            let error = text.parse::<HostPort>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn wildcards_are_not_advertised() {
        for (text, is_advertised) in [("0.0.0.0:1", false), ("[::]:1", false), ("a.example:1", true)] {
            let parsed: HostPort = text.parse().expect(text);
            assert_eq!(parsed.check_advertised().is_ok(), is_advertised, "{text}");
        }
    }
}
