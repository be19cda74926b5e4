//! Who was refused what they may not do: recorded, but not as often as a
//! program in a loop asks.

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

use super::{Action, Actor, Entry, Outcome, record};
use crate::app::{App, AppState};
use crate::clock::Timestamp;
use crate::db::DbError;
use crate::error::ApiError;
use crate::http::{Caller, NotPermitted, Permission, Principal, UserId, WhoCalls};

/// A user's denials of one permission are recorded once in this time.
const EVERY: Duration = Duration::from_secs(60);
/// Denials that are remembered at once.
const REMEMBERED_MAX: usize = 10_000;
/// Routes that are about one environment begin so.
const ENVIRONMENT: &str = "/api/v1/environments/{id}";

/// When what was recorded last.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<HashMap<(UserId, Permission), Timestamp>>);

impl Denials {
    /// Whether this one is to be recorded.
    fn take(&self, user: UserId, permission: Permission, now: Timestamp) -> bool {
        let is_recent = |at: &Timestamp| *at <= now && now.since(*at) < EVERY;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&(user, permission)).is_some_and(is_recent) {
            return false;
        }
        if last.len() >= REMEMBERED_MAX {
            last.retain(|_, at| is_recent(at));
        }
        if last.len() >= REMEMBERED_MAX {
            last.clear();
        }
        last.insert((user, permission), now);
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

/// Records answers that say `not_permitted`.
pub async fn note_denials(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let (who, asked) = (WhoCalls::default(), Asked::of(&request));
    request.extensions_mut().insert(who.clone());
    let response = next.run(request).await;
    if let (Some(permission), Some(caller)) = (denied(&response), who.get())
        && let Err(error) = app.note_denial(caller, permission, asked).await
    {
        tracing::error!(%error, "a denial was not recorded");
    }
    response
}

fn denied(response: &Response) -> Option<Permission> {
    let cause = response.extensions().get::<ApiError>()?.cause.as_deref()?;
    cause.downcast_ref::<NotPermitted>().map(|NotPermitted(permission)| *permission)
}

impl App {
    async fn note_denial(&self, caller: &Caller, permission: Permission, asked: Asked) -> Result<(), DbError> {
        let now = self.clock.now();
        let Some(user) = caller.principal.as_ref().and_then(Principal::user) else { return Ok(()) };
        if !self.audit.denials.take(user.id, permission, now) {
            return Ok(());
        }
        let entry = Entry::new(&Actor::from(caller), Action::PermissionDenied, permission.as_str());
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
    use axum::http::StatusCode;

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
        let denials = Denials::default();
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000).unwrap();
        for _ in 0..=REMEMBERED_MAX {
            assert!(denials.take(UserId::generate(), Permission::AuditView, at(1_000)));
        }
        assert!(denials.0.lock().unwrap().len() <= REMEMBERED_MAX);
        let user = UserId::generate();
        assert!(denials.take(user, Permission::AuditView, at(1_000)));
        assert!(!denials.take(user, Permission::AuditView, at(1_059)));
        assert!(denials.take(user, Permission::AuditView, at(1_060)));
        assert!(denials.take(user, Permission::AuditView, at(10)), "the clock was set back");
    }
}
