//! Every message as the bytes it has on the wire. These lines change only with
//! a protocol version; a new field or variant adds a line, or bytes at the end
//! of a message that may grow.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use crate::capability::Capabilities;
use crate::codec::{CodecError, Message, Tail, decode, encode};
use crate::ids::{AgentId, EnvironmentId, HubId, SessionId};
use crate::message::control::{ContainerCounts, EngineFacts, EngineStatus, ToAgent, ToHub};
use crate::message::enroll::{Certificate, EnrollReply, EnrollRequest, Enrolled, RenewReply, RenewRequest};
use crate::message::events::{Event, EventGap, EventMark, EventsMessage, EventsRequest};
use crate::message::hello::{Ack, Hello, HelloReply, HostFacts, RejectReason, Rejected, Standing, Ticket, Welcome};
use crate::message::logs::{
    LogBatch, LogFilter, LogLine, LogPace, LogPart, LogStream, LogsEnd, LogsEvent, LogsRequest,
};
use crate::message::metrics::{Changed, Metrics, MetricsRequest, MetricsWish, Sample, Subject};
use crate::message::policy::PolicyFacts;
use crate::message::preamble::{Preamble, StreamKind};
use crate::message::report::{
    Attachment, Container, Image, Mount, Network, ObjectId, Port, Position, Report, ReportRequest, Volume,
};
use crate::token::{TokenId, TokenSecret};
use crate::version::ProtocolVersion;

/// What one encoding must do, whatever its type.
trait Golden {
    fn name(&self) -> &'static str;
    /// The encoding, if this build's types still make it.
    fn encoded(&self) -> Vec<u8>;
    /// Decodes bytes and encodes them again.
    fn recoded(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError>;
    fn tail(&self) -> Tail;
    fn limit(&self) -> usize;
    fn variants(&self) -> Option<u32>;
}

impl<M: Message> Golden for M {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn encoded(&self) -> Vec<u8> {
        encode(self).unwrap()
    }

    fn recoded(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        decode::<M>(bytes).map(|message| encode(&message).unwrap())
    }

    fn tail(&self) -> Tail {
        M::TAIL
    }

    fn limit(&self) -> usize {
        M::LIMIT
    }

    fn variants(&self) -> Option<u32> {
        M::VARIANTS
    }
}

fn goldens() -> Vec<Box<dyn Golden>> {
    let of_session = [preamble(), enrollment(), renewal(), hello(), control_to_hub(), control_to_agent()];
    let pushed = [reports(), logs_requests(), logs_events(), events(), metrics()];
    { of_session }.into_iter().chain(pushed).flatten().collect()
}

fn preamble() -> Vec<Box<dyn Golden>> {
    vec![
        Box::new(Preamble { kind: StreamKind::Control.number() }),
        Box::new(Preamble { kind: StreamKind::Docker.number() }),
        Box::new(Preamble { kind: StreamKind::Report.number() }),
        Box::new(Preamble { kind: StreamKind::Logs.number() }),
        Box::new(Preamble { kind: StreamKind::Events.number() }),
        Box::new(Preamble { kind: StreamKind::Metrics.number() }),
        Box::new(Preamble { kind: 999 }),
    ]
}

fn enrollment() -> Vec<Box<dyn Golden>> {
    let request = EnrollRequest {
        version: ProtocolVersion::V1,
        token: TokenId::from_random(0x1234_5678_9abc),
        secret: TokenSecret::from_random([7; 20]),
        csr: vec![0x30, 0x82],
        name: "edge-01".to_owned(),
        labels: vec![("site".to_owned(), "berlin".to_owned())],
        agent_version: "0.1.0".to_owned(),
        capabilities: Capabilities::DOCKER.union(Capabilities::RENEW),
        host: host(),
    };
    let enrolled = Enrolled {
        agent: AgentId(id(1)),
        environment: EnvironmentId(id(2)),
        hub: HubId(id(3)),
        name: "edge-01".to_owned(),
        generation: 1,
        ticket: Ticket([9; 32]),
        pending_approval: true,
        certificate: certificate(),
        hub_clock_micros: 1_750_000_000_000_000,
    };
    let denied = EnrollReply::Denied {
        message: "ask for a new token".to_owned(),
        reference: "a-17".to_owned(),
        retry_after_secs: 300,
    };
    vec![Box::new(request), Box::new(EnrollReply::Enrolled(enrolled)), Box::new(denied)]
}

fn renewal() -> Vec<Box<dyn Golden>> {
    let refused =
        RenewReply::Refused { reason: RejectReason::ReenrollmentRequired, message: "expired in May".to_owned() };
    vec![
        Box::new(RenewRequest { ticket: None, csr: vec![0x30] }),
        Box::new(RenewRequest { ticket: Some(Ticket([9; 32])), csr: vec![0x30] }),
        Box::new(RenewReply::Renewed(certificate())),
        Box::new(refused),
    ]
}

fn hello() -> Vec<Box<dyn Golden>> {
    let hello = Hello {
        newest: ProtocolVersion(300),
        oldest: ProtocolVersion::V1,
        capabilities: Capabilities::from_bits(u64::MAX),
        generation: 7,
        ticket: Some(Ticket([9; 32])),
        instance: [5; 16],
        agent_version: "0.1.0".to_owned(),
        host: host(),
        engine: EngineStatus::Running(engine()),
    };
    let welcome = |standing| {
        HelloReply::Welcome(Welcome {
            version: ProtocolVersion::V1,
            capabilities: Capabilities::DOCKER,
            session: SessionId(id(4)),
            generation: 7,
            ticket: Ticket([9; 32]),
            standing,
            hub_clock_micros: -1,
            hub_version: "0.1.0".to_owned(),
        })
    };
    let mut goldens: Vec<Box<dyn Golden>> = vec![
        Box::new(hello),
        Box::new(welcome(Standing::Active)),
        Box::new(welcome(Standing::PendingApproval)),
        Box::new(welcome(Standing::Quarantined)),
        Box::new(Ack { ticket: Ticket([9; 32]) }),
    ];
    goldens.extend(rejections());
    goldens
}

fn rejections() -> impl Iterator<Item = Box<dyn Golden>> {
    let reasons = [
        RejectReason::Version,
        RejectReason::UnknownIdentity,
        RejectReason::Revoked,
        RejectReason::CertificateExpired,
        RejectReason::ReenrollmentRequired,
        RejectReason::DuplicateIdentity,
        RejectReason::Busy,
        RejectReason::Malformed,
        RejectReason::Unavailable,
    ];
    reasons.into_iter().map(|reason| {
        let rejected = Rejected { reason, message: "no".to_owned(), retry_after_secs: 60 };
        Box::new(HelloReply::Rejected(rejected)) as Box<dyn Golden>
    })
}

fn control_to_hub() -> Vec<Box<dyn Golden>> {
    vec![
        Box::new(ToHub::Engine(EngineStatus::Unknown)),
        Box::new(ToHub::Engine(EngineStatus::Absent)),
        Box::new(ToHub::Engine(EngineStatus::Unresponsive)),
        Box::new(ToHub::Engine(EngineStatus::Running(engine()))),
        Box::new(ToHub::Renew { csr: vec![0x30] }),
        Box::new(ToHub::Leaving { reason: "bye".to_owned() }),
        Box::new(ToHub::Containers(ContainerCounts { running: 3, total: 300 })),
        Box::new(ToHub::Within(ObjectId([7; 32]))),
        Box::new(ToHub::Policy(PolicyFacts {
            profile: "monitor".to_owned(),
            digest: Some([8; 32]),
            invalid: Some("no".to_owned()),
            refuses: vec!["exec".to_owned()],
        })),
        Box::new(ToHub::Exposed(vec!["http://0.0.0.0:2375".to_owned()])),
    ]
}

fn control_to_agent() -> Vec<Box<dyn Golden>> {
    vec![
        Box::new(ToAgent::Renewed(certificate())),
        Box::new(ToAgent::Draining { spread_millis: 30_000 }),
        Box::new(ToAgent::Revoked { reason: "lost".to_owned() }),
        Box::new(ToAgent::Approved),
    ]
}

fn reports() -> Vec<Box<dyn Golden>> {
    let position = Position { epoch: [6; 8], sequence: 300 };
    let id = ObjectId([7; 32]);
    let labels = vec![("site".to_owned(), "berlin".to_owned())];
    let container = Container {
        id,
        name: "web".to_owned(),
        image: "nginx:1".to_owned(),
        image_id: Some(ObjectId([8; 32])),
        command: "nginx -g".to_owned(),
        created_at: 1_750_000_000,
        state: "running".to_owned(),
        health: "healthy".to_owned(),
        exit_code: -1,
        started_at: 1_750_000_001,
        finished_at: 0,
        restarts: 2,
        ports: vec![Port { address: "::".to_owned(), private: 80, public: Some(8080), protocol: "tcp".to_owned() }],
        networks: vec![Attachment { network: "front".to_owned(), address: "172.18.0.2".to_owned() }],
        mounts: vec![Mount {
            kind: "volume".to_owned(),
            source: "data".to_owned(),
            target: "/data".to_owned(),
            writable: true,
        }],
        labels: labels.clone(),
    };
    let image = Image {
        id,
        tags: vec!["nginx:1".to_owned()],
        digests: vec!["nginx@sha256:00".to_owned()],
        created_at: 1_750_000_000,
        size: 190_000_000,
        labels: labels.clone(),
    };
    let volume = Volume {
        name: "data".to_owned(),
        driver: "local".to_owned(),
        path: "/v/data".to_owned(),
        created_at: "2025-06-15T15:06:40Z".to_owned(),
        labels: labels.clone(),
    };
    let network = Network {
        id,
        name: "front".to_owned(),
        driver: "bridge".to_owned(),
        scope: "local".to_owned(),
        internal: false,
        subnets: vec!["172.18.0.0/16".to_owned()],
        created_at: "2025-06-15T15:06:40Z".to_owned(),
        labels,
    };
    vec![
        Box::new(ReportRequest { after: None }),
        Box::new(ReportRequest { after: Some(position) }),
        Box::new(Report::Everything),
        Box::new(Report::Position(position)),
        Box::new(Report::Container(container)),
        Box::new(Report::ContainerGone(id)),
        Box::new(Report::Image(image)),
        Box::new(Report::ImageGone(id)),
        Box::new(Report::Volume(volume)),
        Box::new(Report::VolumeGone("data".to_owned())),
        Box::new(Report::Network(network)),
        Box::new(Report::NetworkGone(id)),
        Box::new(Report::Stale),
    ]
}

fn metrics() -> Vec<Box<dyn Golden>> {
    let position = Position { epoch: [6; 8], sequence: 300 };
    let sample = Sample {
        sequence: 301,
        age_millis: 20,
        gone: vec![3],
        changed: vec![Changed { number: 2, which: 0b101, by: vec![-1, 4096] }],
    };
    let container = Subject::Container(ObjectId([7; 32]));
    vec![
        Box::new(MetricsRequest::default()),
        Box::new(MetricsRequest { after: Some(position) }),
        Box::new(MetricsWish::Kept(position)),
        Box::new(MetricsWish::Watch(vec![Subject::Host, container.clone()])),
        Box::new(Metrics::Epoch([6; 8])),
        Box::new(Metrics::Subject { number: 1, subject: Subject::Disk("/var".to_owned()) }),
        Box::new(Metrics::Subject { number: 2, subject: container }),
        Box::new(Metrics::Sample(sample.clone())),
        Box::new(Metrics::Glance(sample)),
    ]
}

fn logs_requests() -> Vec<Box<dyn Golden>> {
    let everything = LogsRequest {
        container: "web".to_owned(),
        stdout: true,
        stderr: true,
        since: None,
        until: None,
        tail: None,
        pace: LogPace::Whole,
        filter: LogFilter::All,
    };
    let text = LogFilter::Text { text: "a.b".to_owned(), ignore_case: true };
    let pattern = LogFilter::Pattern { pattern: "a.b".to_owned(), ignore_case: false };
    let followed = LogsRequest { stdout: false, tail: Some(300), pace: LogPace::Followed, ..everything.clone() };
    let shown = LogsRequest { since: Some(-1), until: Some(1_750_000_000_000_000_000), ..everything.clone() };
    vec![
        Box::new(everything),
        Box::new(LogsRequest { filter: text, ..followed }),
        Box::new(LogsRequest { pace: LogPace::Shown, filter: pattern, ..shown }),
    ]
}

fn logs_events() -> Vec<Box<dyn Golden>> {
    let line = |stream, part, length| LogLine { time: 1_750_000_000_000_000_000, stream, part, length };
    let lines = vec![
        line(LogStream::Stdout, LogPart::Whole, 2),
        line(LogStream::Stderr, LogPart::Cut, 0),
        line(LogStream::Stdout, LogPart::Continued, 1),
    ];
    let ends = [
        LogsEnd::Complete,
        LogsEnd::Stopped,
        LogsEnd::Removed,
        LogsEnd::NotFound,
        LogsEnd::Unreadable { message: "no".to_owned() },
        LogsEnd::BadFilter { message: "no".to_owned() },
        LogsEnd::EngineSilent,
        LogsEnd::EngineGone,
    ];
    let mut goldens: Vec<Box<dyn Golden>> = vec![
        Box::new(LogsEvent::Lines(LogBatch { skipped: 300, lines, text: b"abc".to_vec() })),
        Box::new(LogsEvent::CaughtUp),
    ];
    goldens.extend(ends.map(|end| Box::new(LogsEvent::Ended(end)) as Box<dyn Golden>));
    goldens
}

fn events() -> Vec<Box<dyn Golden>> {
    let event = Event {
        time: 1_750_000_000_000_000_000,
        kind: "container".to_owned(),
        action: "die".to_owned(),
        id: "4c01".to_owned(),
        name: "web".to_owned(),
        facts: vec![("exit_code".to_owned(), "137".to_owned())],
    };
    let mark: EventMark = event.mark();
    vec![
        Box::new(EventsRequest { after: None }),
        Box::new(EventsRequest { after: Some(mark) }),
        Box::new(EventsMessage::Event(event)),
        Box::new(EventsMessage::Gap(EventGap { from: -1, until: 300 })),
    ]
}

fn host() -> HostFacts {
    HostFacts {
        hostname: "edge".to_owned(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        machine: [1; 32],
        boot: [2; 16],
        clock_micros: 1_750_000_000_000_000,
    }
}

fn engine() -> EngineFacts {
    EngineFacts {
        version: "26.1.5".to_owned(),
        api_version: "1.45".to_owned(),
        min_api_version: "1.24".to_owned(),
        id: "I".to_owned(),
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
    }
}

fn certificate() -> Certificate {
    Certificate {
        leaf: vec![0x30, 1],
        authority: vec![0x30, 2],
        renew_in_secs: 403_200,
        not_after_micros: 1_750_604_800_000_000,
    }
}

fn id(last: u8) -> uuid::Uuid {
    let mut bytes = [0; 16];
    bytes[15] = last;
    uuid::Uuid::from_bytes(bytes)
}

/// What every build has to make of [`goldens`], in their order.
const LINES: &str = include_str!("golden.txt");

#[test]
fn every_message_has_its_bytes() {
    let line = |message: &dyn Golden| format!("{}: {}", message.name(), HEXLOWER.encode(&message.encoded()));
    let made: Vec<String> = goldens().iter().map(|message| line(message.as_ref())).collect();
    let fixed: Vec<&str> = LINES.lines().collect();
    assert_eq!(made, fixed, "the layout of a message changed");
}

#[test]
fn every_message_survives_its_bytes() {
    for (message, line) in goldens().into_iter().zip(LINES.lines()) {
        let (_, golden) = line.split_once(": ").unwrap();
        let bytes = HEXLOWER.decode(golden.as_bytes()).unwrap();
        assert_eq!(message.recoded(&bytes).unwrap(), bytes, "{}", message.name());
    }
}

#[test]
fn bytes_behind_the_last_field_are_passed_over_or_refused_by_type() {
    for message in goldens() {
        let encoded = message.encoded();
        let longer = [&encoded[..], b"from a newer version"].concat();
        match message.tail() {
            Tail::Ignored => assert_eq!(message.recoded(&longer).unwrap(), encoded, "{}", message.name()),
            Tail::Refused => {
                assert!(matches!(message.recoded(&longer), Err(CodecError::Malformed { .. })), "{}", message.name());
            }
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_malformed() {
    for message in goldens() {
        let encoded = message.encoded();
        for end in 0..encoded.len() {
            let cut = message.recoded(&encoded[..end]);
            assert!(matches!(cut, Err(CodecError::Malformed { .. })), "{} cut at {end}", message.name());
        }
    }
}

#[test]
fn the_first_unknown_variant_is_named() {
    for message in goldens() {
        let Some(known) = message.variants() else {
            continue;
        };
        let bytes = [u8::try_from(known).unwrap(), 1, 2, 3];
        let outcome = message.recoded(&bytes);
        assert!(matches!(outcome, Err(CodecError::UnknownVariant { variant, .. }) if variant == known));
    }
}

#[test]
fn every_known_variant_has_its_golden_bytes() {
    for message in goldens() {
        let Some(known) = message.variants() else {
            continue;
        };
        let of_this_type = goldens().into_iter().filter(|other| other.name() == message.name());
        let mut seen: Vec<u8> = of_this_type.map(|other| other.encoded()[0]).collect();
        seen.dedup();
        let all: Vec<u8> = (0..u8::try_from(known).unwrap()).collect();
        assert_eq!(seen, all, "{}", message.name());
    }
}

#[test]
fn a_message_above_its_limit_is_refused_whatever_it_holds() {
    for message in goldens() {
        let bytes = vec![0; message.limit() + 1];
        assert!(matches!(message.recoded(&bytes), Err(CodecError::TooLarge { .. })), "{}", message.name());
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        for message in goldens() {
            stable(message.as_ref(), &bytes);
        }
    }

    #[test]
    fn damaged_messages_never_panic(
        position in any::<prop::sample::Index>(),
        removed in 0_usize..8,
        added in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        for message in goldens() {
            let mut bytes = message.encoded();
            let start = position.index(bytes.len());
            let end = (start + removed).min(bytes.len());
            bytes.splice(start..end, added.iter().copied());
            stable(message.as_ref(), &bytes);
        }
    }
}

/// Whatever was decoded has one encoding, which decodes to itself.
fn stable(message: &dyn Golden, bytes: &[u8]) {
    if let Ok(once) = message.recoded(bytes) {
        assert_eq!(message.recoded(&once).unwrap(), once);
    }
}
