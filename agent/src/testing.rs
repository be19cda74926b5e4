//! Stand-ins for the two ends of an agent in its own tests: the hub on the
//! other side of a connection, and an engine behind a Unix socket.

pub mod fleet;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::codec::{read_message, write_message};
use windflow_protocol::ids::SessionId;
use windflow_protocol::message::hello::{Ack, Hello, HelloReply, Standing, Ticket, Welcome};
use windflow_protocol::message::preamble::{StreamKind, write_preamble};
use windflow_protocol::message::report::ObjectId;
use windflow_protocol::transport::{Connection, Priority, Stream, memory};
use windflow_protocol::version::ProtocolVersion;

use crate::engine::{Engine, EngineAddress};
use crate::serve::{Contact, Credentials, HostPolicy, ServeOptions, SessionEnd, serve};

/// The ticket a [`Hub`] hands out.
pub const TICKET: Ticket = Ticket([7; 32]);

/// The hub's end of a session under test.
pub struct Hub {
    pub connection: Connection,
    pub control: Stream,
    pub hello: Hello,
    pub leave: CancellationToken,
    pub engine: Arc<Engine>,
    session: JoinSet<SessionEnd>,
}

impl Hub {
    /// A session that has been welcomed with every capability.
    pub async fn welcome(engine: Engine) -> Self {
        let mut hub = Self::greeted(engine, crate::serve::InProcess).await;
        hub.reply(&HelloReply::Welcome(welcome())).await;
        let ack: Ack = read_message(&mut hub.control).await.unwrap();
        assert_eq!(ack.ticket, TICKET);
        hub
    }

    /// A session that has said hello and waits for the reply.
    pub async fn greeted(engine: Engine, credentials: impl Credentials + 'static) -> Self {
        Self::greeted_from(None, engine, credentials).await
    }

    /// The same of an agent in a container.
    pub async fn greeted_from(
        container: Option<ObjectId>,
        engine: Engine,
        credentials: impl Credentials + 'static,
    ) -> Self {
        Self::begun(container, HostPolicy::NotAsked, engine, credentials).await
    }

    /// A session that has been welcomed, on a host with a policy.
    pub async fn welcome_under(policy: HostPolicy, engine: Engine) -> Self {
        let mut hub = Self::begun(None, policy, engine, crate::serve::InProcess).await;
        hub.reply(&HelloReply::Welcome(welcome())).await;
        let ack: Ack = read_message(&mut hub.control).await.unwrap();
        assert_eq!(ack.ticket, TICKET);
        hub
    }

    async fn begun(
        container: Option<ObjectId>,
        policy: HostPolicy,
        engine: Engine,
        credentials: impl Credentials + 'static,
    ) -> Self {
        let (connection, agent) = memory::pair();
        let leave = CancellationToken::new();
        let engine = Arc::new(engine);
        let options = ServeOptions {
            engine: Arc::clone(&engine),
            capabilities: Capabilities::ALL,
            host: crate::host::facts(),
            container,
            instance: [1; 16],
            policy,
        };
        let token = leave.clone();
        let mut session = JoinSet::new();
        session.spawn(async move { serve(Contact::fresh(agent), options, &credentials, token).await });
        let mut control = connection.open(Priority::Interactive).unwrap();
        write_preamble(&mut control, StreamKind::Control).await.unwrap();
        let hello = read_message(&mut control).await.unwrap();
        Self { connection, control, hello, leave, engine, session }
    }

    pub async fn reply(&mut self, reply: &HelloReply) {
        write_message(&mut self.control, reply).await.unwrap();
    }

    pub async fn open(&self, kind: StreamKind) -> Stream {
        let mut stream = self.connection.open(Priority::Normal).unwrap();
        write_preamble(&mut stream, kind).await.unwrap();
        stream
    }

    pub async fn end(mut self) -> SessionEnd {
        self.session.join_next().await.unwrap().unwrap()
    }
}

pub fn welcome() -> Welcome {
    Welcome {
        version: ProtocolVersion::CURRENT,
        capabilities: Capabilities::ALL,
        session: SessionId::generate(),
        generation: 1,
        ticket: TICKET,
        standing: Standing::Active,
        hub_clock_micros: 0,
        hub_version: "test".to_owned(),
    }
}

/// Something that listens where an engine would.
pub struct FakeEngine {
    folder: tempfile::TempDir,
    _accepting: JoinSet<()>,
}

impl FakeEngine {
    /// Answers each connection with `service`.
    pub fn new<F: Future<Output = ()> + Send + 'static>(service: impl Fn(UnixStream) -> F + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.spawn(service(stream));
            }
        });
        Self { folder, _accepting: accepting }
    }

    /// Answers whatever it is asked with the facts of an engine.
    pub fn with_version(version: &'static str) -> Self {
        Self::new(move |mut stream| async move {
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let body = format!(
                    r#"{{"Version":"{version}","ApiVersion":"1.45","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64","ID":"one"}}"#
                );
                let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        })
    }

    pub fn address(&self) -> EngineAddress {
        EngineAddress::Unix(self.folder.path().join("docker.sock"))
    }

    pub fn engine(&self) -> Engine {
        Engine::new(self.address())
    }
}

/// An engine at an address where nothing listens.
pub fn absent_engine() -> Engine {
    Engine::new(EngineAddress::Unix(PathBuf::from("/nonexistent/docker.sock")))
}
