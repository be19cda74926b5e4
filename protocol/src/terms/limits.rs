//! Every size and every wait that crosses the wire, in one place. A bound is
//! checked before anything is allocated for what it bounds.

use std::time::Duration;

/// Largest typed message, in bytes, its length prefix not counted.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Largest enrollment or renewal request, in bytes.
pub const ENROLL_MAX: usize = 16 * 1024;
/// Largest hello, in bytes.
pub const HELLO_MAX: usize = 8 * 1024;
/// Largest control message, in bytes.
pub const CONTROL_MAX: usize = 32 * 1024;
/// Largest stream preamble, in bytes.
pub const PREAMBLE_MAX: usize = 1024;
/// Largest request for reports, in bytes.
pub const REPORT_REQUEST_MAX: usize = 1024;
/// Largest report, in bytes: one container with all its labels.
pub const REPORT_MAX: usize = 48 * 1024;
/// Largest request for logs, in bytes.
pub const LOGS_REQUEST_MAX: usize = 4 * 1024;
/// Longest text or expression that lines of a log are filtered by, in bytes.
pub const LOG_FILTER_MAX: usize = 1024;
/// Longest line of a log that travels in one piece, in bytes: as much as Docker
/// itself keeps in one.
pub const LOG_LINE_MAX: usize = 16 * 1024;
/// Most bytes of text in one batch of lines. What it has beside them fits into
/// the rest of [`MESSAGE_MAX`].
pub const LOG_BATCH_TEXT_MAX: usize = 32 * 1024;
/// Most lines in one batch.
pub const LOG_BATCH_LINES_MAX: usize = 1000;
/// Largest request for events, in bytes.
pub const EVENTS_REQUEST_MAX: usize = 1024;
/// Largest event, in bytes: [`EVENT_FACTS_MAX`] facts of [`FACT_TEXT_MAX`] each
/// and what it is about.
pub const EVENT_MAX: usize = 4 * 1024;
/// Most facts that an event carries.
pub const EVENT_FACTS_MAX: usize = 8;
/// Largest measurement, in bytes.
pub const METRICS_MAX: usize = 48 * 1024;
/// Largest message of a hub on a stream of kind Metrics, in bytes.
pub const METRICS_WISH_MAX: usize = 16 * 1024;
/// Most subjects that one agent measures: its host, file systems and
/// containers, together. What is beyond is not measured.
pub const METRIC_SUBJECTS_MAX: usize = 512;
/// Most values that are measured of one subject.
pub const METRIC_VALUES_MAX: usize = 24;
/// Most subjects of one agent that are measured more often at once.
pub const METRIC_WATCHED_MAX: usize = 16;
/// Longest text in a hello or an enrollment (host name, version), in bytes.
pub const FACT_TEXT_MAX: usize = 256;
/// Most addresses at which an engine is said to be open to the network.
pub const EXPOSED_MAX: usize = 8;
/// Most labels an agent may claim when it enrolls.
pub const LABELS_MAX: usize = 32;

/// Largest payload of one multiplexer frame, in bytes.
pub const FRAME_PAYLOAD_MAX: usize = 16 * 1024;
/// Largest payload this build sends in one frame, in bytes: with its header it
/// fills one TLS record exactly.
pub const FRAME_PAYLOAD_SENT: usize = FRAME_PAYLOAD_MAX - 8;
/// Smallest limit on a frame's payload that a peer may ask for, in bytes.
pub const FRAME_PAYLOAD_LEAST: usize = 1024;
/// A payload below this is copied out of the read buffer; a larger one gets a
/// buffer of its own, in bytes. A slice would hold the whole read buffer for as
/// long as its reader takes.
pub const FRAME_COPY_BELOW: usize = 8 * 1024;
/// Largest settings frame, in bytes: room for fields that do not exist yet.
pub const SETTINGS_MAX: usize = 64;
/// Longest reason in a goodbye, in bytes.
pub const GOAWAY_TEXT_MAX: usize = 512;
/// A frame never counts for less than this against a receive window, so that
/// tiny frames cannot hold more memory than the window allows, in bytes.
pub const FRAME_CHARGE_MIN: usize = 64;
/// Receive window of a new stream, per direction, in bytes.
pub const WINDOW_INITIAL: u32 = 256 * 1024;
/// Largest receive window of one stream, in bytes.
pub const WINDOW_MAX: u32 = 8 * 1024 * 1024;
/// Largest receive window where the round trip is below [`RTT_LOCAL`], in bytes.
pub const WINDOW_MAX_LOCAL: u32 = 512 * 1024;
/// A round trip below this is a path on which large windows only cost latency.
pub const RTT_LOCAL: Duration = Duration::from_millis(1);
/// What a round trip takes at least while both ends are busy: pings are answered
/// at once, a window only when its reader has had its turn.
pub const RTT_FLOOR: Duration = Duration::from_micros(200);
/// What all streams of one session may grow beyond their first window, at the
/// hub, in bytes.
pub const WINDOW_GROWTH_HUB: u32 = 4 * 1024 * 1024;
/// The same at the agent, in bytes.
pub const WINDOW_GROWTH_AGENT: u32 = 8 * 1024 * 1024;
/// Most streams open at once on one session.
pub const STREAMS_MAX: usize = 128;
/// Unsent bytes one stream may queue before its writer waits: whole frames, so
/// that a full queue leaves no crumb behind that travels alone.
pub const SEND_QUEUE_MAX: usize = 4 * FRAME_PAYLOAD_SENT;
/// Resets that may wait to be sent before the session is closed.
pub const RESETS_QUEUED_MAX: usize = 256;
/// Most bytes joined into one flush of a session.
pub const FLUSH_MAX: usize = 32 * 1024;
/// A write up to this many bytes joins the one before it in the send queue.
pub const WRITE_JOIN_MAX: usize = 2 * 1024;
/// Most bytes one poll reads from a session before it lets others run.
pub const READ_PER_POLL: usize = 256 * 1024;
/// The buffer a session reads into while bytes arrive, and gives back when none
/// do, in bytes.
pub const READ_BUFFER: usize = 16 * 1024;
/// Pings that may be unanswered at once; a further caller shares the last one.
pub const PINGS_IN_FLIGHT_MAX: usize = 4;
/// Pings sent one after the other when a session starts, to learn its path.
pub const PINGS_AT_START: u8 = 4;
/// The shortest time over which a stream's rate is measured.
pub const RATE_EPOCH_MIN: Duration = Duration::from_millis(10);

/// Largest WebSocket message of the tunnel, in bytes. Larger ones end the
/// session.
pub const WEBSOCKET_MESSAGE_MAX: usize = 64 * 1024;

/// Receive window of one QUIC stream, per direction, in bytes. A session holds
/// at most [`STREAMS_MAX`] of them.
pub const QUIC_STREAM_WINDOW: u64 = 512 * 1024;
/// Most QUIC connections that may wait to be accepted.
pub const QUIC_INCOMING_MAX: usize = 1024;
/// Most bytes kept for all QUIC connections that wait to be accepted; one of
/// them gets at most a sixteenth.
pub const QUIC_INCOMING_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Dial, TLS and hello together must finish within this.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(15);
/// The whole exchange of an enrollment or renewal, once connected.
pub const EXCHANGE_DEADLINE: Duration = Duration::from_secs(10);
/// Each end measures the round trip this often.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
/// A session that has been silent for this long is dead.
pub const SILENCE_MAX: Duration = Duration::from_secs(25);
/// One write to the network must make progress within this.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// A closed session's last words must have left within this.
pub const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);
/// A probe of an older session must be answered within this, or the newer
/// session takes its place.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(2);
/// The first message on a new stream must have arrived within this.
pub const PREAMBLE_DEADLINE: Duration = Duration::from_secs(10);
