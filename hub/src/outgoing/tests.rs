//! Requests to a real server on this machine.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::StreamBody;
use http_body_util::combinators::BoxBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Serves until it is dropped.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(tls: Option<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let (mut serving, asked) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let service = service_fn(async |request| Ok::<_, Infallible>(answer(request)));
                    match acceptor {
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            http.serve_connection(TokioIo::new(stream), service).await.ok();
                        }
                        None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                    }
                });
            }
        });
        Self { address, asked, _serving: serving }
    }

    fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }
}

fn answer(request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
    let full = |text: &str| Full::new(Bytes::from(text.to_owned())).boxed();
    let answer = Response::builder();
    match request.uri().path() {
        "/redirect" => answer.status(302).header("location", "/secret").body(full("")).unwrap(),
        "/secret" => answer.body(full("canary")).unwrap(),
        "/large" => answer.body(endless(usize::MAX)).unwrap(),
        "/announced" => answer.header("content-length", "6000000").body(endless(6)).unwrap(),
        "/most" => answer.body(Full::new(Bytes::from(vec![b'a'; ANSWER_MAX])).boxed()).unwrap(),
        "/slow" => answer.body(BodyExt::boxed(StreamBody::new(futures_util::stream::pending()))).unwrap(),
        "/failing" => answer.status(500).body(full("canary")).unwrap(),
        _ => {
            let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let seen = serde_json::json!({ "host": header("host"), "agent": header("user-agent"),
                "target": request.uri().to_string() });
            answer.body(full(&seen.to_string())).unwrap()
        }
    }
}

/// So many megabytes, one after the other.
fn endless(megabytes: usize) -> BoxBody<Bytes, Infallible> {
    let part = || Frame::data(Bytes::from(vec![b'a'; 1_000_000]));
    let parts = futures_util::stream::iter((0..megabytes).map(move |_| Ok::<_, Infallible>(part())));
    BodyExt::boxed(StreamBody::new(parts))
}

/// Says something else each time; the last thing for good.
#[derive(Debug)]
struct Told {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Told {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { answers: answers.iter().map(parse).collect(), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Told {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed).min(self.answers.len() - 1);
        let answer = self.answers[turn].clone();
        async move { Ok(answer) }.boxed()
    }
}

const OPEN: Rules = Rules { allow_http: true, allow_private: true, authorities: None };

async fn get(rules: &Rules, url: &str) -> Result<Answer, OutgoingError> {
    Outgoing::default().send(rules, Call::get(url.parse().unwrap())).await
}

#[tokio::test]
async fn what_is_asked_is_answered() {
    let server = Server::start(None).await;
    let answer = get(&OPEN, server.url("/a/b?c=d#e").as_str()).await.unwrap();
    let seen: serde_json::Value = answer.document().unwrap();
    assert_eq!((&seen["target"], &seen["host"]), (&"/a/b?c=d".into(), &server.address.to_string().into()));
    assert!(seen["agent"].as_str().unwrap().starts_with("windflow-hub/"));
}

#[tokio::test]
async fn c38_a_redirect_is_an_answer_and_not_followed() {
    let server = Server::start(None).await;
    let answer = get(&OPEN, server.url("/redirect").as_str()).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (StatusCode::FOUND, 0));
    assert!(answer.document::<serde_json::Value>().is_none());
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn c38_an_answer_above_five_megabytes_is_none() {
    let server = Server::start(None).await;
    for path in ["/large", "/announced"] {
        assert_eq!(get(&OPEN, server.url(path).as_str()).await.unwrap_err(), OutgoingError::NoAnswer, "{path}");
    }
    assert_eq!(get(&OPEN, server.url("/most").as_str()).await.unwrap().body.len(), ANSWER_MAX);
}

#[tokio::test]
async fn c38_an_answer_that_takes_longer_than_it_may_is_none() {
    assert_eq!(DEADLINE, Duration::from_secs(10));
    let server = Server::start(None).await;
    let deadline = Duration::from_millis(300);
    let hasty = Outgoing { deadline, ..Outgoing::default() };
    let began = tokio::time::Instant::now();
    assert_eq!(hasty.send(&OPEN, Call::get(server.url("/slow"))).await.unwrap_err(), OutgoingError::NoAnswer);
    assert!(began.elapsed() >= deadline && began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn c38_an_address_of_this_machine_is_refused_however_it_is_written() {
    let server = Server::start(None).await;
    let port = server.address.port();
    let rules = Rules { allow_private: false, ..OPEN };
    let forms = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "0",
        "[::]",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::ffff:a9fe:a9fe]",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "224.0.0.1",
    ];
    for host in forms {
        let refused = get(&rules, &format!("http://{host}:{port}/secret")).await.unwrap_err();
        assert_eq!(refused, OutgoingError::Private, "{host}");
    }
    assert_eq!(server.asked.load(Ordering::Relaxed), 0, "nothing was dialled");
}

#[tokio::test]
async fn c38_where_clouds_tell_secrets_is_closed_to_private_integrations_too() {
    for host in ["169.254.169.254", "[fd00:ec2::254]", "168.63.129.16", "0.0.0.0", "[fe80::1]"] {
        assert_eq!(get(&OPEN, &format!("http://{host}/")).await.unwrap_err(), OutgoingError::Private, "{host}");
    }
}

#[tokio::test]
async fn c38_a_name_is_resolved_once_and_what_it_leads_to_is_dialled() {
    let server = Server::start(None).await;
    let url: Url = format!("http://idp.example:{}/x", server.address.port()).parse().unwrap();
    let rebinding = Told::new(&[&["127.0.0.1"], &["10.9.9.9"]]);
    let answer = Outgoing::new(rebinding.clone()).send(&OPEN, Call::get(url.clone())).await.unwrap();
    let seen: serde_json::Value = answer.document().unwrap();
    assert_eq!(seen["host"], format!("idp.example:{}", server.address.port()));
    assert_eq!(rebinding.asked.load(Ordering::Relaxed), 1, "it was resolved once");

    let strict = Rules { allow_private: false, ..OPEN };
    let asked = server.asked.load(Ordering::Relaxed);
    for leads_to in [&["127.0.0.1"][..], &["::ffff:127.0.0.1"], &["10.0.0.1", "127.0.0.1"], &["169.254.169.254"]] {
        let rebinding = Told::new(&[leads_to]);
        let refused = Outgoing::new(rebinding).send(&strict, Call::get(url.clone())).await.unwrap_err();
        assert_eq!(refused, OutgoingError::Private, "{leads_to:?}");
    }
    assert_eq!(server.asked.load(Ordering::Relaxed), asked);
}

#[tokio::test]
async fn c38_only_https_is_spoken_unless_an_integration_says_otherwise() {
    let server = Server::start(None).await;
    let rules = Rules { allow_http: false, ..OPEN };
    let own = server.url("/").to_string();
    let urls = [own.as_str(), "ftp://idp.example/", "file:///etc/passwd", "gopher://x/", "data:text/plain,x"];
    for url in urls {
        assert_eq!(get(&rules, url).await.unwrap_err(), OutgoingError::NotAllowed, "{url}");
    }
    let signed_in = format!("http://user:password@{}/", server.address);
    assert_eq!(get(&OPEN, &signed_in).await.unwrap_err(), OutgoingError::NotAllowed);
    assert_eq!(server.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn c39_open_closed_and_strange_ports_are_told_alike_and_no_word_of_the_other_end() {
    let server = Server::start(None).await;
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let over_tls = format!("https://{}/", server.address);
    let rules = Rules { authorities: Some(issued("127.0.0.1").0), ..OPEN };
    let mut told = Vec::new();
    for url in [format!("http://{closed}/"), over_tls, server.url("/large").to_string()] {
        told.push(get(&rules, &url).await.unwrap_err().to_string());
    }
    assert!(told.iter().all(|text| *text == OutgoingError::NoAnswer.to_string()), "{told:?}");
    let failing = get(&OPEN, server.url("/failing").as_str()).await.unwrap();
    assert!(failing.document::<serde_json::Value>().is_none());
}

/// An authority, and a server of this name.
fn issued(name: &str) -> (Authorities, rustls::ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    (Authorities::parse(&issuer.pem()).unwrap(), config)
}

#[tokio::test]
async fn a_certificate_is_verified_against_the_integrations_own_authorities() {
    let (authorities, config) = issued("idp.example");
    let server = Server::start(Some(config)).await;
    let ask = async |name: &str, authorities: Option<Authorities>| {
        let rules = Rules { allow_http: false, authorities, ..OPEN };
        let url: Url = format!("https://{name}:{}/", server.address.port()).parse().unwrap();
        Outgoing::new(Told::new(&[&["127.0.0.1"]])).send(&rules, Call::get(url)).await.map(|answer| answer.status)
    };
    assert_eq!(ask("idp.example", Some(authorities.clone())).await, Ok(StatusCode::OK));
    assert_eq!(ask("other.example", Some(authorities)).await, Err(OutgoingError::NoAnswer), "another name");
    assert_eq!(
        ask("idp.example", Some(issued("idp.example").0)).await,
        Err(OutgoingError::NoAnswer),
        "unknown authority"
    );
    assert_eq!(ask("idp.example", None).await, Err(OutgoingError::NoAnswer), "nobody this machine trusts");
}

#[test]
fn what_is_no_certificate_is_no_authority() {
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
        assert!(Authorities::parse(text).is_err(), "{text:?}");
    }
}
