//! Who was refused what they may not do, or what a host's own policy does not
//! let any hub do: recorded, but not as often as a program in a loop asks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::policy::{REFUSED_HEADER, is_rule};

use super::{Action, Actor, Entry, Outcome, record};
use crate::app::{App, AppState};
use crate::clock::Timestamp;
use crate::db::DbError;
use crate::error::{ApiError, HOST_REFUSES};
use crate::http::{Caller, NotPermitted, Permission, Principal, UserId, WhoCalls};

/// A user's denials for one reason are recorded once in this time.
const EVERY: Duration = Duration::from_secs(60);
/// Denials that are remembered at once.
const REMEMBERED_MAX: usize = 10_000;
/// Routes that are about one environment begin so.
const ENVIRONMENT: &str = "/api/v1/environments/{id}";

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reason {
    /// They have no such permission.
    Permission(Permission),
    /// The policy of a host has this rule.
    Rule(EnvironmentId, String),
}

/// When what was recorded last, and of whom; of nobody on the local socket.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<HashMap<(Option<UserId>, Reason), Timestamp>>);

impl Denials {
    /// Whether this one is to be recorded.
    fn take(&self, user: Option<UserId>, reason: &Reason, now: Timestamp) -> bool {
        let is_recent = |at: &Timestamp| *at <= now && now.since(*at) < EVERY;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (user, reason.clone());
        if last.get(&key).is_some_and(is_recent) {
            return false;
        }
        if last.len() >= REMEMBERED_MAX {
            last.retain(|_, at| is_recent(at));
        }
        if last.len() >= REMEMBERED_MAX {
            last.clear();
        }
        last.insert(key, now);
        true
    }
}

/// A request, as far as its denial tells of it.
struct Asked {
    method: Method,
    route: String,
    environment: Option<EnvironmentId>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
        let id = || request.uri().path().split('/').nth(4)?.parse::<Uuid>().ok();
        let environment = route.starts_with(ENVIRONMENT).then(id).flatten().map(EnvironmentId);
        Self { method: request.method().clone(), route, environment }
    }
}

/// Records answers that say `not_permitted`, and those of a host that refuses.
pub async fn note_denials(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let (who, asked) = (WhoCalls::default(), Asked::of(&request));
    request.extensions_mut().insert(who.clone());
    let response = next.run(request).await;
    if let (Some(reason), Some(caller)) = (denied(&response, &asked), who.get())
        && let Err(error) = app.note_denial(caller, reason, asked).await
    {
        tracing::error!(%error, "a denial was not recorded");
    }
    response
}

fn denied(response: &Response, asked: &Asked) -> Option<Reason> {
    let error = response.extensions().get::<ApiError>();
    let cause = error.and_then(|error| error.cause.as_deref()).and_then(|cause| cause.downcast_ref::<NotPermitted>());
    if let Some(NotPermitted(permission)) = cause {
        return Some(Reason::Permission(*permission));
    }
    // The hub's own words, or those of the host as the gateway passes them on.
    let rule = match error {
        Some(error) if error.code() == HOST_REFUSES => error.details.as_ref()?.get("rule")?.as_str(),
        Some(_) => None,
        None => response.headers().get(REFUSED_HEADER)?.to_str().ok(),
    };
    let rule = rule.filter(|rule| is_rule(rule))?;
    Some(Reason::Rule(asked.environment?, rule.to_owned()))
}

impl App {
    async fn note_denial(&self, caller: &Caller, reason: Reason, asked: Asked) -> Result<(), DbError> {
        let now = self.clock.now();
        let user = caller.principal.as_ref().and_then(Principal::user).map(|user| user.id);
        if !self.audit.denials.take(user, &reason, now) {
            return Ok(());
        }
        let actor = Actor::from(caller);
        let entry = match &reason {
            Reason::Permission(permission) => Entry::new(&actor, Action::PermissionDenied, permission.as_str()),
            Reason::Rule(environment, rule) => {
                Entry::new(&actor, Action::HostRefuses, &environment.to_string()).fact("rule", json!(rule))
            }
        };
        let entry = entry.outcome(Outcome::Denied).fact("method", json!(asked.method.as_str()));
        let entry = entry.fact("path", json!(asked.route));
        let entry = match asked.environment {
            Some(environment) => entry.environment(environment),
            None => entry,
        };
        let mut tx = self.db.write().await?;
        record(&mut tx, entry, now).await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{HeaderValue, StatusCode};
    use axum::response::IntoResponse;

    use super::*;
    use crate::testing::{Client, TestHub};

    async fn denials(hub: &TestHub) -> Vec<serde_json::Value> {
        let found = hub.get(&Client::local(), "/api/v1/audit?action=permission.denied").await;
        found.body["items"].as_array().unwrap().clone()
    }

    #[tokio::test]
    async fn a_denial_is_recorded_with_what_was_asked_and_not_each_time() {
        let hub = TestHub::with_users().await;
        let viewer = hub.signed_in("viewer").await;
        for _ in 0..3 {
            assert_eq!(hub.get(&viewer, "/api/v1/audit").await.status, StatusCode::FORBIDDEN);
        }
        let found = denials(&hub).await;
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0]["actor_name"], &found[0]["outcome"]), (&json!("viewer"), &json!("denied")));
        assert_eq!((&found[0]["target_kind"], &found[0]["target_id"]), (&json!("permission"), &json!("audit.view")));
        assert_eq!(found[0]["details"], json!({ "method": "GET", "path": "/api/v1/audit" }));
        assert_eq!(found[0]["address"], "192.0.2.1");
        assert!(found[0]["request_id"].as_str().is_some_and(|id| id.len() == 32), "{found:?}");

        let environment = Uuid::now_v7();
        let path = format!("/api/v1/environments/{environment}");
        assert_eq!(hub.delete(&viewer, &path).await.code(), "not_permitted");
        let found = denials(&hub).await;
        assert_eq!((found.len(), &found[0]["environment_id"]), (2, &json!(environment)), "another permission");
        assert_eq!(found[0]["details"]["path"], ENVIRONMENT);

        hub.clock.advance(EVERY);
        // The route lets viewers in; what they ask of it does not.
        assert_eq!(hub.get(&viewer, "/api/v1/activity?source=user").await.code(), "not_permitted");
        let found = denials(&hub).await;
        assert_eq!((found.len(), &found[0]["details"]["path"]), (3, &json!("/api/v1/activity")));
        let verified = hub.get(&Client::local(), "/api/v1/audit/verify").await.body;
        assert_eq!(verified["intact"], json!(true));
    }

    #[tokio::test]
    async fn who_may_and_who_is_nobody_is_no_denial() {
        let hub = TestHub::with_users().await;
        let admin = hub.signed_in("admin").await;
        assert_eq!(hub.get(&admin, "/api/v1/audit").await.status, StatusCode::OK);
        assert_eq!(hub.get(&Client::browser(), "/api/v1/audit").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(denials(&hub).await.len(), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_a_clock_that_is_set_back_hides_nothing() {
        let (denials, reason) = (Denials::default(), Reason::Permission(Permission::AuditView));
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000).unwrap();
        for _ in 0..=REMEMBERED_MAX {
            assert!(denials.take(Some(UserId::generate()), &reason, at(1_000)));
        }
        assert!(denials.0.lock().unwrap().len() <= REMEMBERED_MAX);
        let user = Some(UserId::generate());
        assert!(denials.take(user, &reason, at(1_000)));
        assert!(!denials.take(user, &reason, at(1_059)));
        assert!(denials.take(None, &reason, at(1_059)), "somebody else");
        assert!(denials.take(user, &reason, at(1_060)));
        assert!(denials.take(user, &reason, at(10)), "the clock was set back");
    }

    #[test]
    fn asvs_16_2_1_what_a_host_refuses_is_known_by_the_hubs_words_and_by_the_hosts() {
        let environment = EnvironmentId::generate();
        let asked = |environment| Asked { method: Method::POST, route: ENVIRONMENT.to_owned(), environment };
        let rule = Some(Reason::Rule(environment, "container.privileged".to_owned()));
        let of_host = |rule: &'static str| {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert(REFUSED_HEADER, HeaderValue::from_static(rule));
            response
        };
        assert_eq!(denied(&of_host("container.privileged"), &asked(Some(environment))), rule);
        assert_eq!(denied(&of_host("container.privileged"), &asked(None)), None, "of which host?");
        for made_up in ["", "<b>", "a rule", "A"] {
            assert_eq!(denied(&of_host(made_up), &asked(Some(environment))), None, "{made_up}");
        }
        let of_hub = |code, details| ApiError::forbidden(code, "no").with_details(details).into_response();
        let words = of_hub(HOST_REFUSES, json!({ "rule": "container.privileged" }));
        assert_eq!(denied(&words, &asked(Some(environment))), rule);
        for other in [of_hub("other", json!({ "rule": "exec" })), of_hub(HOST_REFUSES, json!({}))] {
            assert_eq!(denied(&other, &asked(Some(environment))), None);
        }
    }
}
