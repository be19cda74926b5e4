//! A provider of OpenID Connect that signs with ring, and says what a test
//! wants.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub authorization: String,
    pub body: String,
}

/// A key that it signs with.
pub enum Key {
    Es256(EcdsaKeyPair, String),
    EdDsa(Ed25519KeyPair, String),
}

impl Key {
    pub fn es256(kid: &str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self::Es256(pair, kid.to_owned())
    }

    pub fn eddsa(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap(), kid.to_owned())
    }

    pub fn header(&self) -> Value {
        match self {
            Self::Es256(_, kid) => json!({ "alg": "ES256", "kid": kid, "typ": "JWT" }),
            Self::EdDsa(_, kid) => json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT" }),
        }
    }

    pub fn public(&self) -> Value {
        match self {
            Self::Es256(pair, kid) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..]));
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": x, "y": y })
            }
            Self::EdDsa(pair, kid) => {
                let x = BASE64URL_NOPAD.encode(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": x })
            }
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(pair, _) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::EdDsa(pair, _) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

struct State {
    url: String,
    key: Key,
    document: Value,
    token: String,
    userinfo: Option<Value>,
    asked: Vec<Asked>,
}

/// The provider. Dropping it ends it.
pub struct Issuer {
    pub url: String,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let document = json!({
            "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"), "userinfo_endpoint": format!("{url}/me"),
            "end_session_endpoint": format!("{url}/end"), "authorization_response_iss_parameter_supported": true,
        });
        let key = Key::es256("key-1");
        let state = State { url: url.clone(), key, document, token: String::new(), userinfo: None, asked: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    http.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { url, state, _serving: serving }
    }

    /// A token as it should be, but for what it says.
    pub fn token(&self, claims: &Value) -> String {
        let state = self.state.lock().unwrap();
        signed(&state.key.header(), claims, |message| state.key.sign(message))
    }

    /// The same that calls itself otherwise, or nothing.
    pub fn token_of_kind(&self, kind: &Value, claims: &Value) -> String {
        let Value::Object(mut header) = self.state.lock().unwrap().key.header() else { unreachable!() };
        header.remove("typ");
        if !kind.is_null() {
            header.insert("typ".to_owned(), kind.clone());
        }
        self.signed_with(&header.into(), claims)
    }

    /// Signed with its key under this header.
    pub fn signed_with(&self, header: &Value, claims: &Value) -> String {
        let state = self.state.lock().unwrap();
        signed(header, claims, |message| state.key.sign(message))
    }

    /// Its header and what signs for it.
    pub fn forged(&self, header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        signed(header, claims, sign)
    }

    pub fn public_key(&self) -> Value {
        self.state.lock().unwrap().key.public()
    }

    /// What the next code is good for.
    pub fn give(&self, token: &str) {
        self.state.lock().unwrap().token = token.to_owned();
    }

    pub fn rotate(&self, key: Key) {
        self.state.lock().unwrap().key = key;
    }

    /// Says something else of itself.
    pub fn says(&self, changes: Value) {
        let mut state = self.state.lock().unwrap();
        state.document = super::merged(state.document.clone(), changes);
    }

    pub fn tells_of_user(&self, claims: Value) {
        self.state.lock().unwrap().userinfo = Some(claims);
    }

    /// What it was asked at this path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.state.lock().unwrap().asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

/// A token with this header, that says this.
pub fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    format!("{message}.{}", BASE64URL_NOPAD.encode(&sign(message.as_bytes())))
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut state = state.lock().unwrap();
    state.asked.push(Asked { path: path.clone(), authorization: authorization.unwrap_or_default(), body });
    let said = match path.as_str() {
        "/.well-known/openid-configuration" => Some(state.document.clone()),
        "/keys" => Some(json!({ "keys": [state.key.public()] })),
        "/token" => {
            Some(json!({ "access_token": "canary-of-access", "token_type": "Bearer", "id_token": state.token }))
        }
        "/me" => state.userinfo.clone(),
        _ => None,
    };
    let answer = match said {
        Some(said) => Response::builder().body(Full::new(Bytes::from(said.to_string()))),
        None => Response::builder().status(404).body(Full::new(Bytes::from(format!("nothing here at {}", state.url)))),
    };
    Ok(answer.unwrap())
}
