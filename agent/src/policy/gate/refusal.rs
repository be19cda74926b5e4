//! What a hub is told whose request goes no further.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;
use windflow_protocol::message::policy::{REFUSED_HEADER, refusal};

use super::super::{Class, Profile};

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) rule: &'static str,
}

impl Refusal {
    /// The policy does not let it through.
    pub(super) const fn denied(rule: &'static str) -> Self {
        Self { status: StatusCode::FORBIDDEN, rule }
    }

    /// It is not written as a request must be.
    pub(super) const fn malformed(rule: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, rule }
    }

    /// Its kind is not let through.
    pub(super) const fn class(class: Class) -> Self {
        Self::denied(class.rule())
    }

    /// As an engine would say it, with the rule where a program finds it.
    pub(super) fn answer(self, profile: Profile) -> Response<Full<Bytes>> {
        let message = refusal(self.rule, profile.as_str());
        let body = json!({ "message": message, "rule": self.rule, "profile": profile.as_str() });
        let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(REFUSED_HEADER, HeaderValue::from_static(self.rule));
        answer
    }
}
