use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::client::ClientExchange;
use super::message::{ClientFinal, ClientFirst, MessageError, ServerFirst};
use super::server::{Proven, Secrets, ServerExchange};
use super::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SECRETS: Secrets<'static> = Secrets { nonce: SERVER_NONCE, decoy_key: b"decoy" };

fn salt() -> Vec<u8> {
    let first = ServerFirst::parse(b"r=x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096").expect("parses");
    first.salt
}

fn pencil(mechanism: ScramMechanism) -> ScramCredential {
    ScramCredential::derive(mechanism, "pencil", salt(), 4096)
}

fn begin(mechanism: ScramMechanism, message: &str) -> Result<(ServerExchange, String), MessageError> {
    let find = |user: &str| (user == "user").then(|| pencil(mechanism));
    ServerExchange::begin(mechanism, message.as_bytes(), SECRETS, find)
}

/// The exchange of RFC 7677, and the same with SHA-512, whose values were computed with Python's hashlib.
#[test]
fn the_exchange_of_the_rfc_is_reproduced_by_both_sides() {
    let vectors = [
        (
            ScramMechanism::Sha256,
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
        (
            ScramMechanism::Sha512,
            "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        ),
    ];
    for (mechanism, proof, signature) in vectors {
        let (client, first) = ClientExchange::begin(mechanism, "user", "pencil", CLIENT_NONCE);
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (server, reply) = begin(mechanism, &first).expect("begins");
        let nonce = format!("{CLIENT_NONCE}{SERVER_NONCE}");
        assert_eq!(reply, format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        let (client, last) = client.prove(reply.as_bytes()).expect("proves");
        assert_eq!(last, format!("c=biws,r={nonce},p={proof}"));
        let proven = server.finish(last.as_bytes()).expect("well-formed");
        let reply = format!("v={signature}");
        assert_eq!(proven, Some(Proven { user: "user".to_owned(), reply: reply.clone() }));
        assert_eq!(client.verify(reply.as_bytes()), Ok(()));
        assert!(client.verify(b"v=AAAA").is_err(), "a server that does not know the credential");
        assert_eq!(client.verify(b"e=other-error"), Err(MessageError::Refused));
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_fail_alike() {
    for (user, password) in [("user", "pencil2"), ("nobody", "pencil"), ("nobody", "")] {
        let (client, first) = ClientExchange::begin(ScramMechanism::Sha256, user, password, "abc");
        let (server, reply) = begin(ScramMechanism::Sha256, &first).expect("begins");
        let (_, last) = client.prove(reply.as_bytes()).expect("proves something");
        assert_eq!(server.finish(last.as_bytes()), Ok(None), "{user}");
    }
    let salt_of = |user: &str| {
        let (_, reply) = begin(ScramMechanism::Sha256, &format!("n,,n={user},r=abc")).expect("begins");
        ServerFirst::parse(reply.as_bytes()).expect("parses").salt
    };
    assert_eq!(salt_of("nobody"), salt_of("nobody"), "salts of users that do not exist do not change");
    assert_ne!(salt_of("nobody"), salt_of("noone"));
}

#[test]
fn a_proof_of_another_exchange_is_refused() {
    let (client, first) = ClientExchange::begin(ScramMechanism::Sha256, "user", "pencil", CLIENT_NONCE);
    let (_, reply) = begin(ScramMechanism::Sha256, &first).expect("begins");
    let (_, last) = client.prove(reply.as_bytes()).expect("proves");
    let find = |_: &str| Some(pencil(ScramMechanism::Sha256));
    let secrets = Secrets { nonce: "another", ..SECRETS };
    let (other, _) =
        ServerExchange::begin(ScramMechanism::Sha256, first.as_bytes(), secrets, find).expect("begins");
    assert!(other.clone().finish(last.as_bytes()).is_err(), "replayed");
    let renamed = last.replace(SERVER_NONCE, "another");
    assert_eq!(other.finish(renamed.as_bytes()), Ok(None), "the nonce is part of what is signed");
}

/// librdkafka before 2.6.1, kcat among others.
#[test]
fn a_client_that_repeats_its_nonce_is_understood() {
    let mechanism = ScramMechanism::Sha256;
    let find = |_: &str| Some(pencil(mechanism));
    let (server, reply) =
        ServerExchange::begin(mechanism, b"n,,n=user,r=abc", SECRETS, find).expect("begins");
    let salted = mechanism.salted_password("pencil", &salt(), 4096);
    let client_key = mechanism.hmac(&salted, b"Client Key");
    let finish = |nonce: &str| {
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("n=user,r=abc,{reply},{without_proof}");
        let signature = mechanism.hmac(mechanism.hash(client_key.as_ref()).as_ref(), signed.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let message = format!("{without_proof},p={}", BASE64.encode(proof));
        server.clone().finish(message.as_bytes())
    };
    assert!(matches!(finish(&format!("abc{SERVER_NONCE}")), Ok(Some(_))));
    assert!(matches!(finish(&format!("abcabc{SERVER_NONCE}")), Ok(Some(_))));
    assert!(finish(&format!("abc{SERVER_NONCE}abc")).is_err());
    assert!(finish("abc").is_err());
}

#[test]
fn malformed_messages_are_refused() {
    for message in [
        "",
        "n",
        "n,,",
        "n,,n=user",
        "p=tls-unique,,n=user,r=a",
        "x,,n=user,r=a",
        "n,a=other,n=user,r=a",
        "n,,n=,r=a",
        "n,,n=us=er,r=a",
        "n,,m=x,n=user,r=a",
        "n,,n=user,r=",
        "n,,n=user,r=\u{7f}",
        "n,,n=user,r=a,tokenauth=true",
    ] {
        assert!(begin(ScramMechanism::Sha256, message).is_err(), "{message}");
    }
    assert!(ClientFirst::parse(&[0xff, 0xfe]).is_err());
    assert!(ClientFirst::parse(&vec![b'a'; 20_000]).is_err());
    assert_eq!(ClientFirst::parse(b"n,,n=a=2Cb=3Dc,r=x").expect("parses").user, "a,b=c");
    for message in ["", "c=biws,r=a", "c=biws,p=AA==", "c=*,r=a,p=AA==", "c=biws,r=a,p=*"] {
        assert!(ClientFinal::parse(message.as_bytes()).is_err(), "{message}");
    }
    let (server, _) = begin(ScramMechanism::Sha256, "n,,n=user,r=a").expect("begins");
    let nonce = format!("a{SERVER_NONCE}");
    for message in [format!("c=eSws,r={nonce},p=AAAA"), format!("c=biws,r={nonce},p=AAAA")] {
        assert!(server.clone().finish(message.as_bytes()).is_err(), "{message}");
    }
}

#[test]
fn a_client_does_not_do_whatever_a_server_says() {
    let prove = |reply: &str| {
        let (client, _) = ClientExchange::begin(ScramMechanism::Sha256, "user", "pencil", "abc");
        client.prove(reply.as_bytes()).err()
    };
    assert_eq!(prove("r=abcdef,s=AAAA,i=4096"), None);
    assert!(prove("r=abcdef,s=AAAA,i=1").is_some(), "few iterations give the password away");
    assert!(prove("r=abcdef,s=AAAA,i=4000000000").is_some(), "many keep it busy");
    assert!(prove("r=xyz,s=AAAA,i=4096").is_some(), "somebody else's nonce");
    assert!(prove("r=abc,s=AAAA,i=4096").is_some(), "no nonce of the server");
}

#[test]
fn passwords_are_verified_against_stored_keys() {
    for mechanism in ScramMechanism::ALL {
        assert!(pencil(mechanism).verifies("pencil"));
        assert!(!pencil(mechanism).verifies("pencil "));
        assert_eq!(ScramMechanism::from_code(mechanism.code()), Some(mechanism));
    }
    assert!(!format!("{:?}", pencil(ScramMechanism::Sha256)).contains("key"));
}
