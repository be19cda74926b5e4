//! The fleet's decisions, on both databases: enrollment, tickets, renewal and
//! revocation, as the tunnel asks for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::message::enroll::{EnrollReply, EnrollRequest, Enrolled, RenewReply, RenewRequest};
use windflow_protocol::message::hello::{Hello, HostFacts, RejectReason, Rejected, Standing, Ticket};
use windflow_protocol::tls::PeerCertificate;
use windflow_protocol::token::{EnrollmentToken, TokenSecret};
use windflow_protocol::version::ProtocolVersion;

use super::enrollment::{Approval, NewEnrollmentToken};
use super::*;
use crate::clock::ManualClock;
use crate::db::testing::on_both_engines;
use crate::identity::audit::{Action, Actor};
use crate::on_tx;
use crate::tunnel::{Admitted, Gatekeeper, Identity, Session};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A fleet with a clock that the test moves.
struct TestFleet {
    fleet: Arc<Fleet>,
    clock: Arc<ManualClock>,
}

/// A host that wants to join, and what it has once it did.
struct TestHost {
    key: KeyPair,
    name: &'static str,
}

impl TestFleet {
    async fn on(db: Db) -> Self {
        let clock = Arc::new(ManualClock::new(time::macros::datetime!(2026-05-04 0:00 UTC).into()));
        let base = Foundation {
            db,
            vault: Arc::new(Vault::for_tests()),
            clock: clock.clone(),
            random: Random::default(),
            sessions: Registry::default(),
        };
        Self { fleet: Arc::new(Fleet::load(base).await.unwrap()), clock }
    }

    async fn token(&self, change: impl FnOnce(&mut NewEnrollmentToken)) -> EnrollmentToken {
        let mut new = NewEnrollmentToken { name: "test".to_owned(), ..NewEnrollmentToken::replacement("x") };
        change(&mut new);
        let minted = self.fleet.mint_token(&new, &Actor::System).await.unwrap();
        EnrollmentToken::parse(&minted.token).unwrap()
    }

    async fn enroll(&self, token: &EnrollmentToken, host: &TestHost) -> Result<Enrolled, String> {
        match self.fleet.enroll(host.request(token), address()).await {
            EnrollReply::Enrolled(enrolled) => Ok(enrolled),
            EnrollReply::Denied { message, .. } => Err(message),
        }
    }

    /// A host that has just enrolled.
    async fn joined(&self) -> (TestHost, Enrolled) {
        let (token, host) = (self.token(|_| {}).await, TestHost::new("edge-1"));
        let enrolled = self.enroll(&token, &host).await.unwrap();
        (host, enrolled)
    }

    async fn admit(&self, enrolled: &Enrolled, ticket: Ticket) -> Result<Admitted, Rejected> {
        self.admit_from(enrolled, ticket, HostFacts::default()).await
    }

    async fn admit_from(&self, enrolled: &Enrolled, ticket: Ticket, host: HostFacts) -> Result<Admitted, Rejected> {
        let hello = Hello { host, ..hello(ticket) };
        self.fleet.admit(&Identity::Edge(peer(enrolled)), &hello).await
    }

    async fn records(&self, action: Action) -> i64 {
        let mut read = self.fleet.base.db.read().await.unwrap();
        let tx = &mut read;
        let sql = "SELECT COUNT(*) FROM audit WHERE action = $1";
        on_tx!(tx, |c| sqlx::query_scalar(sql).bind(action.as_str()).fetch_one(c).await).unwrap()
    }

    /// One session of which the agent stored the ticket.
    async fn session(&self, enrolled: &Enrolled, ticket: Ticket) -> Ticket {
        let admitted = self.admit(enrolled, ticket).await.unwrap();
        assert_eq!(admitted.standing, Standing::Active);
        self.fleet.acknowledged(enrolled.agent, admitted.ticket).await;
        admitted.ticket
    }
}

impl TestHost {
    fn new(name: &'static str) -> Self {
        Self { key: KeyPair::generate().unwrap(), name }
    }

    fn csr(&self) -> Vec<u8> {
        CertificateParams::default().serialize_request(&self.key).unwrap().der().to_vec()
    }

    fn request(&self, token: &EnrollmentToken) -> EnrollRequest {
        EnrollRequest {
            version: ProtocolVersion::CURRENT,
            token: token.id.clone(),
            secret: token.secret.clone(),
            csr: self.csr(),
            name: self.name.to_owned(),
            labels: vec![],
            agent_version: "0".to_owned(),
            capabilities: Capabilities::ALL,
            host: HostFacts::default(),
        }
    }
}

fn address() -> IpAddr {
    IpAddr::from([192, 0, 2, 7])
}

fn peer(enrolled: &Enrolled) -> PeerCertificate {
    PeerCertificate::read(&enrolled.certificate.leaf).unwrap()
}

fn hello(ticket: Ticket) -> Hello {
    Hello {
        newest: ProtocolVersion::CURRENT,
        oldest: ProtocolVersion::OLDEST,
        capabilities: Capabilities::ALL,
        generation: 1,
        ticket: Some(ticket),
        instance: [1; 16],
        agent_version: "0".to_owned(),
        host: HostFacts::default(),
        engine: EngineStatus::Unknown,
    }
}

on_both_engines! {
    async fn enroll_one_use_race_100_tasks(db) {
        let test = Arc::new(TestFleet::on(db).await);
        let token = test.token(|_| {}).await;
        let mut attempts = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (test, token) = (test.clone(), token.clone());
            attempts.spawn(async move { test.enroll(&token, &TestHost::new("edge-1")).await.is_ok() });
        }
        let won = attempts.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1);
        assert_eq!(test.fleet.list_agents(None).await.unwrap().len(), 1);
    }

    async fn enroll_lost_response_is_idempotent(db) {
        let test = TestFleet::on(db).await;
        let (token, host) = (test.token(|_| {}).await, TestHost::new("edge-1"));
        let first = test.enroll(&token, &host).await.unwrap();
        test.clock.advance(Duration::from_secs(14 * 60));
        let again = test.enroll(&token, &host).await.unwrap();
        assert_eq!((first.agent, first.environment), (again.agent, again.environment));
        let used = test.fleet.find_token(&token.id).await.unwrap().unwrap().uses;
        assert_eq!(used, 1, "a lost answer uses the token once");
        test.clock.advance(Duration::from_secs(2 * 60));
        assert!(test.enroll(&token, &host).await.is_err(), "not after a quarter of an hour");
    }

    async fn enroll_expired_revoked_cidr_name_scope_same_wire_error(db) {
        let test = TestFleet::on(db).await;
        let host = TestHost::new("edge-1");
        let expired = test.token(|new| new.ttl_seconds = Some(1)).await;
        test.clock.advance(Duration::from_secs(2));
        let revoked = test.token(|_| {}).await;
        test.fleet.revoke_token(&revoked.id, "test", &Actor::System).await.unwrap();
        let elsewhere = test.token(|new| new.cidrs = vec!["10.0.0.0/8".parse().unwrap()]).await;
        let other_name = test.token(|new| new.name_pattern = Some("core-*".to_owned())).await;
        let valid = test.token(|_| {}).await;
        let wrong_secret = EnrollmentToken { secret: TokenSecret::from_random([0; 20]), ..valid };
        let mut messages = Vec::new();
        for token in [expired, revoked, elsewhere, other_name, wrong_secret] {
            messages.push(test.enroll(&token, &host).await.unwrap_err());
        }
        messages.dedup();
        assert_eq!(messages.len(), 1, "a guesser learns nothing: {messages:?}");
    }

    async fn spki_reuse_refused(db) {
        let test = TestFleet::on(db).await;
        let (host, _) = test.joined().await;
        let second = test.token(|_| {}).await;
        assert!(test.enroll(&second, &host).await.is_err());
    }

    async fn a_taken_name_is_numbered(db) {
        let test = TestFleet::on(db).await;
        let token = test.token(|new| new.uses = Some(2)).await;
        assert_eq!(test.enroll(&token, &TestHost::new("edge-1")).await.unwrap().name, "edge-1");
        assert_eq!(test.enroll(&token, &TestHost::new("EDGE-1")).await.unwrap().name, "EDGE-1-2");
    }

    async fn a_host_of_a_manual_token_waits_for_approval(db) {
        let test = TestFleet::on(db).await;
        let token = test.token(|new| new.approval = Approval::Manual).await;
        let enrolled = test.enroll(&token, &TestHost::new("edge-1")).await.unwrap();
        assert!(enrolled.pending_approval);
        let waiting = test.admit(&enrolled, enrolled.ticket).await.unwrap();
        assert_eq!(waiting.standing, Standing::PendingApproval);
        assert!(test.fleet.approve_agent(enrolled.agent, &Actor::System).await.unwrap());
        let approved = test.admit(&enrolled, enrolled.ticket).await.unwrap();
        assert_eq!(approved.standing, Standing::Active);
    }

    async fn ticket_two_phase_lost_welcome(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let lost = test.admit(&enrolled, enrolled.ticket).await.unwrap();
        // The welcome was lost: the agent comes with the old ticket, then with a new one it could not acknowledge.
        let stored = test.admit(&enrolled, enrolled.ticket).await.unwrap();
        assert_eq!((lost.standing, stored.standing), (Standing::Active, Standing::Active));
        let next = test.admit(&enrolled, stored.ticket).await.unwrap();
        assert_eq!(next.standing, Standing::Active);
    }

    async fn snapshot_rollback_quarantined(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let mut ticket = enrolled.ticket;
        for _ in 0..3 {
            ticket = test.session(&enrolled, ticket).await;
        }
        let rolled_back = test.admit(&enrolled, enrolled.ticket).await.unwrap();
        assert_eq!(rolled_back.standing, Standing::Quarantined);
        test.fleet.acknowledged(enrolled.agent, rolled_back.ticket).await;
        let original = test.admit(&enrolled, ticket).await.unwrap();
        assert_eq!(original.standing, Standing::Active, "the original is not harmed");
    }

    async fn an_administrator_vouches_for_a_quarantined_agent(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let mut ticket = enrolled.ticket;
        for _ in 0..3 {
            ticket = test.session(&enrolled, ticket).await;
        }
        test.admit(&enrolled, enrolled.ticket).await.unwrap();
        assert!(test.fleet.approve_agent(enrolled.agent, &Actor::System).await.unwrap());
        let other = test.admit(&enrolled, ticket).await.unwrap();
        assert_eq!(other.standing, Standing::Quarantined, "the copy that was not chosen");
        let kept = test.session(&enrolled, enrolled.ticket).await;
        assert_eq!(test.admit(&enrolled, ticket).await.unwrap().standing, Standing::Quarantined);
        test.session(&enrolled, kept).await;
    }

    async fn approval_of_a_waiting_agent_leaves_its_tickets_alone(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let welcome = test.admit(&enrolled, enrolled.ticket).await.unwrap();
        assert!(test.fleet.approve_agent(enrolled.agent, &Actor::System).await.unwrap());
        test.fleet.acknowledged(enrolled.agent, welcome.ticket).await;
        test.session(&enrolled, welcome.ticket).await;
    }

    async fn copies_that_take_turns_are_caught(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let shared = test.session(&enrolled, enrolled.ticket).await;
        let copy = test.session(&enrolled, shared).await;
        let original = test.admit(&enrolled, shared).await.unwrap();
        assert_eq!(original.standing, Standing::Active, "one lost write is forgiven");
        test.fleet.acknowledged(enrolled.agent, original.ticket).await;
        assert_eq!(test.admit(&enrolled, copy).await.unwrap().standing, Standing::Quarantined);
    }

    async fn an_old_ticket_from_another_machine_is_not_forgiven(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let shared = test.session(&enrolled, enrolled.ticket).await;
        test.session(&enrolled, shared).await;
        let elsewhere = HostFacts { machine: [9; 32], ..HostFacts::default() };
        let copy = test.admit_from(&enrolled, shared, elsewhere).await.unwrap();
        assert_eq!(copy.standing, Standing::Quarantined);
    }

    async fn hub_restore_agents_ahead(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        // Tickets that this database has never handed out, made by the same hub.
        let later = test.fleet.tickets.mint(enrolled.agent, 1, 40);
        assert_eq!(test.admit(&enrolled, later).await.unwrap().standing, Standing::Active);
        let forged = Ticket([7; 32]);
        assert_eq!(test.admit(&enrolled, forged).await.unwrap().standing, Standing::Quarantined);
    }

    async fn expired_cert_only_renew_alpn(db) {
        let test = TestFleet::on(db).await;
        let (host, enrolled) = test.joined().await;
        test.clock.advance(8 * DAY);
        let rejected = test.admit(&enrolled, enrolled.ticket).await.unwrap_err();
        assert_eq!(rejected.reason, RejectReason::CertificateExpired);
        let request = RenewRequest { ticket: Some(enrolled.ticket), csr: host.csr() };
        let RenewReply::Renewed(certificate) = test.fleet.renew(peer(&enrolled), request).await else {
            panic!("an expired certificate is renewed");
        };
        let renewed = Enrolled { certificate, ..enrolled };
        assert!(test.admit(&renewed, renewed.ticket).await.is_ok());
    }

    async fn a_certificate_that_ended_half_a_year_ago_needs_a_new_token(db) {
        let test = TestFleet::on(db).await;
        let (host, enrolled) = test.joined().await;
        test.clock.advance(200 * DAY);
        let request = RenewRequest { ticket: Some(enrolled.ticket), csr: host.csr() };
        let RenewReply::Refused { reason, .. } = test.fleet.renew(peer(&enrolled), request).await else {
            panic!("it is too late to renew");
        };
        assert_eq!(reason, RejectReason::ReenrollmentRequired);
    }

    async fn an_expired_certificate_is_not_renewed_over_and_over(db) {
        let test = TestFleet::on(db).await;
        let (host, enrolled) = test.joined().await;
        test.clock.advance(8 * DAY);
        let renew = async || {
            let request = RenewRequest { ticket: Some(enrolled.ticket), csr: host.csr() };
            test.fleet.renew(peer(&enrolled), request).await
        };
        assert!(matches!(renew().await, RenewReply::Renewed(_)));
        assert!(matches!(renew().await, RenewReply::Refused { reason: RejectReason::Unavailable, .. }));
        test.clock.advance(RECOVERY_PACE);
        assert!(matches!(renew().await, RenewReply::Renewed(_)));
    }

    async fn a_copy_that_comes_again_and_again_is_recorded_once_in_a_while(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let mut ticket = enrolled.ticket;
        for _ in 0..3 {
            ticket = test.session(&enrolled, ticket).await;
        }
        for _ in 0..3 {
            test.admit(&enrolled, enrolled.ticket).await.unwrap();
        }
        assert_eq!(test.records(Action::AgentQuarantine).await, 1);
        test.clock.advance(ALARM_PACE);
        test.admit(&enrolled, enrolled.ticket).await.unwrap();
        assert_eq!(test.records(Action::AgentQuarantine).await, 2);
    }

    async fn a_renewal_never_changes_the_key(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let other = TestHost::new("other");
        assert_eq!(test.fleet.renew_live(enrolled.agent, other.csr()).await, None);
        let request = RenewRequest { ticket: None, csr: other.csr() };
        assert!(matches!(test.fleet.renew(peer(&enrolled), request).await, RenewReply::Refused { .. }));
    }

    async fn a_revoked_agent_is_never_admitted_nor_renewed(db) {
        let test = TestFleet::on(db).await;
        let (host, enrolled) = test.joined().await;
        assert!(test.fleet.revoke_agent(enrolled.agent, "lost", &Actor::System).await.unwrap());
        let rejected = test.admit(&enrolled, enrolled.ticket).await.unwrap_err();
        assert_eq!(rejected.reason, RejectReason::Revoked);
        assert_eq!(test.fleet.renew_live(enrolled.agent, host.csr()).await, None);
        assert!(!test.fleet.approve_agent(enrolled.agent, &Actor::System).await.unwrap(), "approval does not undo it");
    }

    async fn a_replacement_token_gives_the_agent_a_new_key_and_shuts_out_the_old_one(db) {
        let test = TestFleet::on(db).await;
        let (_, enrolled) = test.joined().await;
        let minted = test.fleet.reissue_agent(enrolled.agent, &Actor::System).await.unwrap().unwrap();
        let token = EnrollmentToken::parse(&minted.token).unwrap();
        let replaced = test.enroll(&token, &TestHost::new("edge-1")).await.unwrap();
        assert_eq!((replaced.agent, replaced.generation), (enrolled.agent, 2));
        let rejected = test.admit(&enrolled, enrolled.ticket).await.unwrap_err();
        assert_eq!(rejected.reason, RejectReason::UnknownIdentity);
        assert!(test.admit(&replaced, replaced.ticket).await.is_ok());
    }

    async fn what_was_decided_while_a_session_began_is_not_lost(db) {
        let test = TestFleet::on(db).await;
        let token = test.token(|new| new.approval = Approval::Manual).await;
        let enrolled = test.enroll(&token, &TestHost::new("edge-1")).await.unwrap();
        let admitted = test.admit(&enrolled, enrolled.ticket).await.unwrap();
        assert_eq!(admitted.standing, Standing::PendingApproval);
        test.fleet.approve_agent(enrolled.agent, &Actor::System).await.unwrap();
        let (connection, _agent) = windflow_protocol::transport::memory::pair();
        let session = Session::for_tests(connection, &admitted);
        test.fleet.connected(&session).await.unwrap();
        assert_eq!(session.standing(), Standing::Active, "it was approved meanwhile");

        let minted = test.fleet.reissue_agent(enrolled.agent, &Actor::System).await.unwrap().unwrap();
        let token = EnrollmentToken::parse(&minted.token).unwrap();
        test.enroll(&token, &TestHost::new("edge-1")).await.unwrap();
        let withdrawn = test.fleet.connected(&session).await.unwrap_err();
        assert!(withdrawn.to_string().contains("replaced"), "its key is no longer the agent's");

        test.fleet.revoke_agent(enrolled.agent, "the host was sold", &Actor::System).await.unwrap();
        let withdrawn = test.fleet.connected(&session).await.unwrap_err();
        assert!(withdrawn.to_string().contains("revoked"), "it is shut out");
    }

    async fn a_reloaded_fleet_has_the_same_keys(db) {
        let first = TestFleet::on(db.clone()).await;
        let (_, enrolled) = first.joined().await;
        let second = TestFleet::on(db).await;
        assert_eq!(first.fleet.authority().pin(), second.fleet.authority().pin());
        assert!(second.admit(&enrolled, enrolled.ticket).await.is_ok());
    }
}
