//! Which transport to try first, and when to try the other.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use windflow_protocol::transport::TransportKind;

/// The other transport is tried beside the first after this.
const FALL_BACK_AFTER: Duration = Duration::from_millis(1500);
/// The same while the first has worked lately and has not failed since.
const FALL_BACK_FROM_WORKING: Duration = Duration::from_secs(3);
/// What has worked stays the first choice for this long.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// How an operator wants an agent to travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportChoice {
    /// WebSocket, which is sure to pass and costs least, and QUIC where it
    /// cannot be had.
    #[default]
    Auto,
    /// QUIC alone.
    Quic,
    /// WebSocket alone.
    WebSocket,
}

impl FromStr for TransportChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "quic" => Ok(Self::Quic),
            "websocket" => Ok(Self::WebSocket),
            _ => Err(format!("{text:?} is no transport: use auto, quic or websocket")),
        }
    }
}

/// One dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) first: TransportKind,
    pub(super) fallback: Option<Fallback>,
}

/// The second transport of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fallback {
    pub(super) kind: TransportKind,
    /// When it joins the first.
    pub(super) after: Duration,
    /// Whether it is tried at once when the first fails sooner.
    pub(super) at_once_on_failure: bool,
}

/// What is known of the transports.
#[derive(Debug)]
pub(super) struct Choice {
    wanted: TransportChoice,
    worked: Option<(TransportKind, Instant)>,
    /// Dials that failed since one worked.
    failures: u32,
}

impl Choice {
    pub(super) const fn new(wanted: TransportChoice) -> Self {
        Self { wanted, worked: None, failures: 0 }
    }

    pub(super) fn plan(&self, now: Instant) -> Plan {
        match self.wanted {
            TransportChoice::Quic => Plan { first: TransportKind::Quic, fallback: None },
            TransportChoice::WebSocket => Plan { first: TransportKind::WebSocket, fallback: None },
            TransportChoice::Auto => self.plan_auto(now),
        }
    }

    /// One failure never gives up what has worked: a hub that restarts refuses
    /// both, and whichever it offers first would win by chance.
    fn plan_auto(&self, now: Instant) -> Plan {
        let remembered = self.worked.filter(|(_, at)| now.duration_since(*at) < REMEMBERED);
        let first = remembered.map_or(TransportKind::WebSocket, |(kind, _)| kind);
        let kind = match first {
            TransportKind::Quic => TransportKind::WebSocket,
            TransportKind::WebSocket | TransportKind::Memory => TransportKind::Quic,
        };
        let trusted = remembered.is_some() && self.failures == 0;
        let after = if trusted { FALL_BACK_FROM_WORKING } else { FALL_BACK_AFTER };
        Plan { first, fallback: Some(Fallback { kind, after, at_once_on_failure: !trusted }) }
    }

    pub(super) fn worked(&mut self, kind: TransportKind, now: Instant) {
        // The hour counts from the first success, so that QUIC, once chosen,
        // does not stay for ever.
        let since = self.worked.filter(|(before, at)| *before == kind && now.duration_since(*at) < REMEMBERED);
        self.worked = since.or(Some((kind, now)));
        self.failures = 0;
    }

    pub(super) const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fallback(choice: &Choice, now: Instant) -> Fallback {
        choice.plan(now).fallback.unwrap()
    }

    #[test]
    fn a_fixed_transport_has_no_fallback() {
        let plan = Choice::new(TransportChoice::Quic).plan(Instant::now());
        assert_eq!(plan, Plan { first: TransportKind::Quic, fallback: None });
    }

    #[test]
    fn websocket_comes_first_and_quic_soon_after() {
        let choice = Choice::new(TransportChoice::Auto);
        let now = Instant::now();
        assert_eq!(choice.plan(now).first, TransportKind::WebSocket);
        let fallback = fallback(&choice, now);
        assert_eq!((fallback.kind, fallback.after), (TransportKind::Quic, FALL_BACK_AFTER));
        assert!(fallback.at_once_on_failure);
    }

    #[test]
    fn one_failure_does_not_give_up_what_has_worked() {
        let mut choice = Choice::new(TransportChoice::Auto);
        let now = Instant::now();
        choice.worked(TransportKind::WebSocket, now);
        assert!(!fallback(&choice, now).at_once_on_failure);
        choice.failed();
        assert!(fallback(&choice, now).at_once_on_failure);
    }

    #[test]
    fn quic_stays_first_for_an_hour_after_it_won() {
        let mut choice = Choice::new(TransportChoice::Auto);
        let now = Instant::now();
        choice.worked(TransportKind::Quic, now);
        choice.worked(TransportKind::Quic, now + REMEMBERED / 2);
        assert_eq!(choice.plan(now + REMEMBERED / 2).first, TransportKind::Quic);
        assert_eq!(choice.plan(now + REMEMBERED).first, TransportKind::WebSocket);
    }
}
