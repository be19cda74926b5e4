//! One session, seen from the hub's end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast;
use windflow_protocol::message::control::{EngineFacts, ToAgent, ToHub};
use windflow_protocol::message::hello::RejectReason;
use windflow_protocol::transport::{ResetCode, StreamReset};

use super::*;
use crate::testing::{FakeEngine, Hub, TICKET, absent_engine, welcome};

/// Notes in which order it was asked to keep things.
#[derive(Clone, Debug, Default)]
struct Notebook(Arc<Mutex<Vec<Ticket>>>);

impl Credentials for Notebook {
    fn claim(&self) -> Claim {
        Claim { generation: 3, ticket: Some(Ticket([5; 32])) }
    }

    async fn welcomed(&self, welcome: &Welcome) -> anyhow::Result<()> {
        self.0.lock().unwrap().push(welcome.ticket);
        Ok(())
    }
}

/// Rings when the agent is approved.
#[derive(Clone, Debug, Default)]
struct Bell(Arc<tokio::sync::Notify>);

impl Credentials for Bell {
    fn claim(&self) -> Claim {
        Claim::default()
    }

    async fn welcomed(&self, _welcome: &Welcome) -> anyhow::Result<()> {
        Ok(())
    }

    fn approved(&self) {
        self.0.notify_one();
    }
}

struct FullDisk;

impl Credentials for FullDisk {
    fn claim(&self) -> Claim {
        Claim::default()
    }

    async fn welcomed(&self, _welcome: &Welcome) -> anyhow::Result<()> {
        anyhow::bail!("no space left on device")
    }
}

#[tokio::test]
async fn the_hello_carries_what_the_last_session_left() {
    let hub = Hub::greeted(absent_engine(), Notebook::default()).await;
    assert_eq!(hub.hello.generation, 3);
    assert_eq!(hub.hello.ticket, Some(Ticket([5; 32])));
    assert_eq!(hub.hello.agent_version, AGENT_VERSION);
}

#[tokio::test]
async fn the_ticket_is_kept_before_it_is_acknowledged() {
    let notebook = Notebook::default();
    let mut hub = Hub::greeted(absent_engine(), notebook.clone()).await;
    assert!(notebook.0.lock().unwrap().is_empty());
    hub.reply(&HelloReply::Welcome(welcome())).await;
    let ack: Ack = read_message(&mut hub.control).await.unwrap();
    assert_eq!(ack.ticket, TICKET);
    assert_eq!(*notebook.0.lock().unwrap(), [TICKET]);
}

#[tokio::test]
async fn a_ticket_that_could_not_be_kept_is_never_acknowledged() {
    let mut hub = Hub::greeted(absent_engine(), FullDisk).await;
    hub.reply(&HelloReply::Welcome(welcome())).await;
    assert!(read_message::<Ack, _>(&mut hub.control).await.is_err());
    assert!(matches!(hub.end().await, SessionEnd::Failed(_)));
}

#[tokio::test]
async fn a_rejection_ends_the_session_with_the_hubs_words() {
    let mut hub = Hub::greeted(absent_engine(), InProcess).await;
    let rejected = Rejected { reason: RejectReason::Busy, message: "come back later".to_owned(), retry_after_secs: 30 };
    hub.reply(&HelloReply::Rejected(rejected.clone())).await;
    let SessionEnd::Rejected(found) = hub.end().await else { panic!("not rejected") };
    assert_eq!(found, rejected);
}

#[tokio::test]
async fn f45_a_hub_that_chooses_a_version_nobody_speaks_is_left() {
    let mut hub = Hub::greeted(absent_engine(), InProcess).await;
    let welcome = Welcome { version: ProtocolVersion(900), ..welcome() };
    hub.reply(&HelloReply::Welcome(welcome)).await;
    assert!(matches!(hub.end().await, SessionEnd::NoHello(_)));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_says_nothing_is_not_waited_for() {
    let hub = Hub::greeted(absent_engine(), InProcess).await;
    let _control = hub.control;
    let begun = tokio::time::Instant::now();
    assert!(hub.connection.closed().await.to_string().contains("no hello"));
    assert_eq!(begun.elapsed().as_secs(), CONNECT_DEADLINE.as_secs());
}

#[tokio::test]
async fn the_engines_state_is_reported_when_it_changes() {
    let fake = FakeEngine::with_version("26.1.5");
    let engine = fake.engine();
    let mut hub = Hub::welcome(engine).await;
    assert_eq!(hub.hello.engine, EngineStatus::Unknown);
    let engine = Arc::clone(&hub.engine);
    let mut watching = tokio::task::JoinSet::new();
    watching.spawn(async move { engine.watch(CancellationToken::new()).await });
    let told: ToHub = read_message(&mut hub.control).await.unwrap();
    let facts = EngineFacts {
        version: "26.1.5".to_owned(),
        api_version: "1.45".to_owned(),
        min_api_version: "1.24".to_owned(),
        id: "one".to_owned(),
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
    };
    assert_eq!(told, ToHub::Engine(EngineStatus::Running(facts)));
}

#[tokio::test]
async fn an_agent_in_a_container_says_so_first_and_once() {
    let mut hub = Hub::greeted_from(Some(ObjectId([7; 32])), absent_engine(), InProcess).await;
    hub.reply(&HelloReply::Welcome(welcome())).await;
    let _: Ack = read_message(&mut hub.control).await.unwrap();
    assert_eq!(read_message::<ToHub, _>(&mut hub.control).await.unwrap(), ToHub::Within(ObjectId([7; 32])));
    hub.leave.cancel();
    assert!(matches!(read_message::<ToHub, _>(&mut hub.control).await.unwrap(), ToHub::Leaving { .. }));
}

#[tokio::test]
async fn leaving_is_announced() {
    let mut hub = Hub::welcome(absent_engine()).await;
    hub.leave.cancel();
    let told: ToHub = read_message(&mut hub.control).await.unwrap();
    assert!(matches!(told, ToHub::Leaving { .. }));
    assert!(matches!(hub.end().await, SessionEnd::Left));
}

#[tokio::test]
async fn a_revocation_ends_the_session_with_its_reason() {
    let mut hub = Hub::welcome(absent_engine()).await;
    write_message(&mut hub.control, &ToAgent::Revoked { reason: "stolen".to_owned() }).await.unwrap();
    let SessionEnd::Revoked { reason } = hub.end().await else { panic!("not revoked") };
    assert_eq!(reason, "stolen");
}

#[tokio::test]
async fn a_draining_hub_is_used_until_it_closes() {
    let fake = FakeEngine::with_version("26.1.5");
    let mut hub = Hub::welcome(fake.engine()).await;
    write_message(&mut hub.control, &ToAgent::Draining { spread_millis: 1500 }).await.unwrap();
    let mut docker = hub.open(StreamKind::Docker).await;
    docker.write_all(b"GET /version HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(docker.read_u8().await.unwrap(), b'H');
    hub.connection.close("shutting down");
    let SessionEnd::Draining { spread } = hub.end().await else { panic!("not draining") };
    assert_eq!(spread, Duration::from_millis(1500));
}

#[tokio::test]
async fn f45_a_control_message_of_a_newer_hub_is_passed_over() {
    let mut hub = Hub::welcome(absent_engine()).await;
    let unknown_variant = [2, 0, 0, 0, 200, 1];
    hub.control.write_all(&unknown_variant).await.unwrap();
    write_message(&mut hub.control, &ToAgent::Revoked { reason: "after".to_owned() }).await.unwrap();
    assert!(matches!(hub.end().await, SessionEnd::Revoked { .. }));
}

#[tokio::test]
async fn garbage_on_the_control_stream_ends_the_session() {
    let mut hub = Hub::welcome(absent_engine()).await;
    hub.control.write_all(&[0xff; 64]).await.unwrap();
    assert!(matches!(hub.end().await, SessionEnd::Closed(CloseReason::Violation(_))));
}

#[tokio::test]
async fn a_pending_agent_serves_docker_only_once_it_is_approved() {
    let fake = FakeEngine::with_version("26.1.5");
    let bell = Bell::default();
    let mut hub = Hub::greeted(fake.engine(), bell.clone()).await;
    hub.reply(&HelloReply::Welcome(Welcome { standing: Standing::PendingApproval, ..welcome() })).await;
    let _: Ack = read_message(&mut hub.control).await.unwrap();
    let mut early = hub.open(StreamKind::Docker).await;
    let refused = early.read_u8().await.unwrap_err();
    assert_eq!(StreamReset::code_of(&refused), Some(ResetCode::NotAgreed));

    write_message(&mut hub.control, &ToAgent::Approved).await.unwrap();
    bell.0.notified().await;
    let mut agreed = hub.open(StreamKind::Docker).await;
    agreed.write_all(b"GET /version HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(agreed.read_u8().await.unwrap(), b'H');
}

/// An event in one piece of an answer.
const CHANGE: &[u8] = b"34\r\n{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{}}\n\r\n";

/// An engine whose containers grow in number each time they are asked for, and
/// which tells of a change whenever it is told to.
struct CountedEngine {
    engine: FakeEngine,
    changes: broadcast::Sender<()>,
    followers: Arc<AtomicU32>,
}

impl CountedEngine {
    fn start() -> Self {
        let changes = broadcast::Sender::new(8);
        let (counts, followers) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (told, counted, followed) = (changes.clone(), counts, Arc::clone(&followers));
        let engine = FakeEngine::new(move |mut stream| {
            let (mut told, counted, followed) = (told.subscribe(), Arc::clone(&counted), Arc::clone(&followed));
            async move {
                let mut request = [0; 4096];
                while let Some(read) = stream.read(&mut request).await.ok().filter(|read| *read > 0) {
                    let asked = String::from_utf8_lossy(&request[..read]).into_owned();
                    let is_past = asked.contains("until=");
                    if asked.starts_with("GET /events") && !is_past {
                        followed.fetch_add(1, Ordering::SeqCst);
                        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                        stream.write_all(head).await.unwrap();
                        while told.recv().await.is_ok() && stream.write_all(CHANGE).await.is_ok() {}
                        return;
                    }
                    let body = if asked.starts_with("GET /containers/json") {
                        let listed = |number| format!(r#"{{"Id":"{number:064x}","State":"running"}}"#);
                        let all: Vec<String> = (0..=counted.fetch_add(1, Ordering::SeqCst)).map(listed).collect();
                        format!("[{}]", all.join(","))
                    } else if asked.starts_with("GET /images") || asked.starts_with("GET /networks") {
                        "[]".to_owned()
                    } else if is_past {
                        String::new()
                    } else {
                        r#"{"Version":"1","ApiVersion":"1.45","ID":"one"}"#.to_owned()
                    };
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        Self { engine, changes, followers }
    }
}

async fn next_count(hub: &mut Hub) -> u32 {
    loop {
        if let ToHub::Containers(counts) = read_message(&mut hub.control).await.unwrap() {
            return counts.total;
        }
    }
}

/// A hub that does not follow reports welcomes its agent.
async fn welcomed_by_an_older_hub(hub: &mut Hub, standing: Standing) {
    let capabilities = Capabilities::DOCKER.union(Capabilities::COUNTS);
    hub.reply(&HelloReply::Welcome(Welcome { standing, capabilities, ..welcome() })).await;
    let _: Ack = read_message(&mut hub.control).await.unwrap();
}

#[tokio::test]
async fn f45_a_hub_that_does_not_follow_reports_is_told_how_many_containers_there_are() {
    let counted = CountedEngine::start();
    let mut hub = Hub::greeted(counted.engine.engine(), InProcess).await;
    welcomed_by_an_older_hub(&mut hub, Standing::Active).await;
    let (watching, stop) = (Arc::clone(&hub.engine), CancellationToken::new());
    let told = async {
        let first = next_count(&mut hub).await;
        counted.changes.send(()).unwrap();
        assert!(next_count(&mut hub).await > first);
        assert_eq!(counted.followers.load(Ordering::SeqCst), 1, "one follower for everything");
        stop.cancel();
    };
    tokio::join!(told, watching.watch(stop.clone()));
}

#[tokio::test]
async fn a_hub_that_follows_reports_counts_by_itself() {
    let counted = CountedEngine::start();
    let mut hub = Hub::welcome(counted.engine.engine()).await;
    let (watching, stop) = (Arc::clone(&hub.engine), CancellationToken::new());
    let told = async {
        while !matches!(read_message(&mut hub.control).await.unwrap(), ToHub::Engine(EngineStatus::Running(_))) {}
        let mut inventory = hub.engine.inventory().follow();
        inventory.wait_for(|told| told.number > 0).await.unwrap();
        hub.leave.cancel();
        assert!(matches!(read_message(&mut hub.control).await.unwrap(), ToHub::Leaving { .. }));
        stop.cancel();
    };
    tokio::join!(told, watching.watch(stop.clone()));
}

#[tokio::test]
async fn an_agent_that_waits_for_approval_counts_nothing_until_it_has_it() {
    let counted = CountedEngine::start();
    let mut hub = Hub::greeted(counted.engine.engine(), InProcess).await;
    welcomed_by_an_older_hub(&mut hub, Standing::PendingApproval).await;
    let (watching, stop) = (Arc::clone(&hub.engine), CancellationToken::new());
    let told = async {
        while !matches!(read_message(&mut hub.control).await.unwrap(), ToHub::Engine(EngineStatus::Running(_))) {}
        assert_eq!(counted.followers.load(Ordering::SeqCst), 0);
        write_message(&mut hub.control, &ToAgent::Approved).await.unwrap();
        next_count(&mut hub).await;
        stop.cancel();
    };
    tokio::join!(told, watching.watch(stop.clone()));
}
