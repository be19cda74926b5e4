//! Agents that do not keep to the order of things, over the memory transport.

use std::sync::atomic::{AtomicUsize, Ordering};

use windflow_protocol::ids::{AgentId, EnvironmentId};
use windflow_protocol::limits::EXPOSED_MAX;
use windflow_protocol::message::enroll::{Certificate, EnrollReply, EnrollRequest, RenewReply, RenewRequest};
use windflow_protocol::message::hello::{HostFacts, Standing, Ticket};
use windflow_protocol::message::policy::PolicyFacts;
use windflow_protocol::message::report::ObjectId;
use windflow_protocol::tls::PeerCertificate;
use windflow_protocol::transport::memory;

use super::*;

/// Admits everyone as the same agent.
#[derive(Default)]
struct Open {
    agent: Option<AgentId>,
    renewals: AtomicUsize,
    /// While true, a session that is about to stand is still being looked at.
    undecided: watch::Sender<bool>,
}

impl Gatekeeper for Open {
    async fn enroll(&self, _: EnrollRequest, _: std::net::IpAddr) -> EnrollReply {
        unreachable!("nobody enrolls here")
    }

    async fn renew(&self, _: PeerCertificate, _: RenewRequest) -> RenewReply {
        unreachable!("no certificate has expired here")
    }

    async fn renew_live(&self, _: AgentId, _: Vec<u8>) -> Option<Certificate> {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        None
    }

    async fn admit(&self, identity: &Identity, _: &Hello) -> Result<Admitted, Rejected> {
        let Identity::Attached(environment) = identity else { unreachable!("nobody comes over TLS here") };
        let (standing, ticket) = (Standing::Active, Ticket([0; 32]));
        Ok(Admitted { environment: *environment, agent: self.agent, standing, generation: 1, ticket })
    }

    async fn acknowledged(&self, _: AgentId, _: Ticket) {}

    async fn connected(&self, _: &Session) -> Result<(), Withdrawn> {
        self.undecided.subscribe().wait_for(|undecided| !undecided).await.unwrap();
        Ok(())
    }

    async fn disconnected(&self, _: &Session) {}

    async fn policy_told(&self, _: &Session) {}

    async fn duplicate(&self, _: &Session, _: &SessionFacts) {}
}

/// The agent's end of a connection that is being admitted.
struct Agent {
    connection: Connection,
    environment: EnvironmentId,
    hub: tokio::task::JoinSet<()>,
}

impl Agent {
    fn arrive(registry: &Registry, gatekeeper: &Arc<Open>) -> Self {
        let (hub_end, connection) = memory::pair();
        let environment = EnvironmentId::generate();
        let at = Timestamp::from_micros(0).unwrap();
        let arrival = Arrival::fresh(hub_end, Identity::Attached(environment), at);
        let (registry, gatekeeper) = (registry.clone(), Arc::clone(gatekeeper));
        let mut hub = tokio::task::JoinSet::new();
        hub.spawn(async move { admit(arrival, &registry, gatekeeper.as_ref()).await });
        Self { connection, environment, hub }
    }

    async fn greet(&self) -> Stream {
        let mut control = self.connection.accept().await.unwrap();
        windflow_protocol::message::preamble::read_preamble(&mut control).await.unwrap();
        let hello = Hello {
            newest: ProtocolVersion::CURRENT,
            oldest: ProtocolVersion::OLDEST,
            capabilities: Capabilities::ALL,
            generation: 1,
            ticket: None,
            instance: [1; 16],
            agent_version: "0".to_owned(),
            host: HostFacts::default(),
            engine: EngineStatus::Unknown,
        };
        write_message(&mut control, &hello).await.unwrap();
        let _welcome: HelloReply = read_message(&mut control).await.unwrap();
        control
    }
}

/// Waits until it is so, and not for ever.
async fn until(so: impl Fn() -> bool) {
    let becomes_so = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), becomes_so).await.expect("it becomes so");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_acknowledges_its_welcome_is_not_online_and_keeps_no_place() {
    let (registry, gatekeeper) = (Registry::default(), Arc::new(Open::default()));
    let mut agent = Agent::arrive(&registry, &gatekeeper);
    let _control = agent.greet().await;
    assert!(registry.of(agent.environment).is_err());
    assert_eq!(registry.places(), 1);
    agent.hub.join_next().await.unwrap().unwrap();
    assert_eq!(registry.places(), 0);
}

#[tokio::test]
async fn a_session_that_is_not_on_record_yet_carries_nothing_and_is_found_by_those_who_decide() {
    let (registry, gatekeeper) = (Registry::default(), Arc::new(Open::default()));
    for withdrawn in [true, false] {
        gatekeeper.undecided.send_replace(true);
        let mut agent = Agent::arrive(&registry, &gatekeeper);
        let mut control = agent.greet().await;
        write_message(&mut control, &Ack { ticket: Ticket([0; 32]) }).await.unwrap();
        until(|| gatekeeper.undecided.receiver_count() > 0).await;
        assert!(registry.of(agent.environment).is_err());
        if withdrawn {
            registry.close(agent.environment, "the agent was revoked");
            assert_eq!(agent.connection.closed().await.to_string(), "closed by the other end: the agent was revoked");
        }
        gatekeeper.undecided.send_replace(false);
        if withdrawn {
            agent.hub.join_next().await.unwrap().unwrap();
        } else {
            until(|| registry.of(agent.environment).is_ok()).await;
        }
        assert_eq!(registry.len(), usize::from(!withdrawn));
    }
}

#[tokio::test]
async fn an_agent_says_once_which_container_it_runs_in() {
    let (registry, gatekeeper) = (Registry::default(), Arc::new(Open::default()));
    let mut agent = Agent::arrive(&registry, &gatekeeper);
    let mut control = agent.greet().await;
    write_message(&mut control, &Ack { ticket: Ticket([0; 32]) }).await.unwrap();
    until(|| registry.of(agent.environment).is_ok()).await;
    let session = registry.of(agent.environment).unwrap();
    assert_eq!(session.within(), None);
    for container in [[1; 32], [2; 32]] {
        write_message(&mut control, &ToHub::Within(ObjectId(container))).await.unwrap();
    }
    write_message(&mut control, &ToHub::Leaving { reason: String::new() }).await.unwrap();
    agent.hub.join_next().await.unwrap().unwrap();
    assert_eq!(session.within(), Some(ObjectId([1; 32])));
}

#[tokio::test]
async fn an_agent_tells_its_hosts_policy_once_and_what_it_says_is_cleaned() {
    let (registry, gatekeeper) = (Registry::default(), Arc::new(Open::default()));
    let mut agent = Agent::arrive(&registry, &gatekeeper);
    let mut control = agent.greet().await;
    write_message(&mut control, &Ack { ticket: Ticket([0; 32]) }).await.unwrap();
    until(|| registry.of(agent.environment).is_ok()).await;
    let session = registry.of(agent.environment).unwrap();
    assert_eq!(session.policy(), None, "an older agent says nothing of it");
    for profile in ["moni\u{7}tor", "full"] {
        let refuses = vec!["exec".to_owned(), "<b>".to_owned()];
        let policy = PolicyFacts { profile: profile.to_owned(), refuses, ..PolicyFacts::default() };
        write_message(&mut control, &ToHub::Policy(policy)).await.unwrap();
    }
    write_message(&mut control, &ToHub::Leaving { reason: String::new() }).await.unwrap();
    agent.hub.join_next().await.unwrap().unwrap();
    let policy = session.policy().unwrap();
    assert_eq!((policy.profile.as_str(), policy.refuses.as_slice()), ("monitor", ["exec".to_owned()].as_slice()));
}

#[tokio::test]
async fn c47_where_an_engine_is_open_to_the_network_is_known_while_it_is_bounded_and_cleaned() {
    let (registry, gatekeeper) = (Registry::default(), Arc::new(Open::default()));
    let agent = Agent::arrive(&registry, &gatekeeper);
    let mut control = agent.greet().await;
    write_message(&mut control, &Ack { ticket: Ticket([0; 32]) }).await.unwrap();
    until(|| registry.of(agent.environment).is_ok()).await;
    let session = registry.of(agent.environment).unwrap();
    assert_eq!(session.exposed(), [""; 0]);
    write_message(&mut control, &ToHub::Exposed(vec!["http://0.0.0.0:\u{7}2375".to_owned(); 20])).await.unwrap();
    until(|| !session.exposed().is_empty()).await;
    assert_eq!(session.exposed(), ["http://0.0.0.0:2375"; EXPOSED_MAX]);
    write_message(&mut control, &ToHub::Exposed(Vec::new())).await.unwrap();
    until(|| session.exposed().is_empty()).await;
}

#[tokio::test]
async fn a_flood_of_renewals_is_one_renewal() {
    let registry = Registry::default();
    let gatekeeper = Arc::new(Open { agent: Some(AgentId::generate()), ..Open::default() });
    let mut agent = Agent::arrive(&registry, &gatekeeper);
    let mut control = agent.greet().await;
    write_message(&mut control, &Ack { ticket: Ticket([0; 32]) }).await.unwrap();
    for _ in 0..100 {
        write_message(&mut control, &ToHub::Renew { csr: vec![0; 100] }).await.unwrap();
    }
    write_message(&mut control, &ToHub::Leaving { reason: String::new() }).await.unwrap();
    agent.hub.join_next().await.unwrap().unwrap();
    assert_eq!(gatekeeper.renewals.load(Ordering::Relaxed), 1);
}
