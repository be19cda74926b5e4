//! Records in the table, on both databases, and over the API.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use windflow_protocol::ids::{AgentId, EnvironmentId};

use super::store::{AuditFilter, list};
use super::*;
use crate::clock::{Clock, Timestamp};
use crate::db::Db;
use crate::db::testing::on_both_engines;
use crate::on_tx;
use crate::testing::{Client, TestHub};

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

async fn write(db: &Db, entries: Vec<(Entry, i64)>) {
    let mut tx = db.write().await.unwrap();
    for (entry, second) in entries {
        record(&mut tx, entry, at(second)).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn targets(db: &Db, filter: &AuditFilter) -> Vec<String> {
    let found = list(&mut db.read().await.unwrap(), filter, None, 10).await.unwrap();
    found.into_iter().map(|record| record.target_id.unwrap()).collect()
}

on_both_engines! {
    async fn records_are_listed_newest_first_and_page_by_page(db) {
        let entry = |target| Entry::new(&Actor::System, Action::AgentApprove, target).detail("why");
        write(&db, vec![(entry("a"), 1), (entry("b"), 2), (entry("c"), 3)]).await;
        let mut tx = db.read().await.unwrap();
        let filter = AuditFilter { action_pattern: Some("agent.%".into()), ..AuditFilter::default() };
        let first = list(&mut tx, &filter, None, 2).await.unwrap();
        let targets = |records: &[AuditRecord]| records.iter().map(|r| r.target_id.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(targets(&first), ["c", "b"]);
        assert_eq!(first[0].details.0["detail"], "why");
        assert_eq!(first[0].target_kind.as_deref(), Some("agent"));
        assert_eq!((first[0].seq, first[0].hash.as_ref().map(|hash| hash.0.len())), (Some(4), Some(32)));
        assert_eq!(targets(&list(&mut tx, &filter, Some(first[1].id), 2).await.unwrap()), ["a"]);
    }

    async fn records_are_filtered_by_all_that_they_say(db) {
        let agent = AgentId::generate();
        let environment = EnvironmentId::generate();
        let refused = Entry::new(&Actor::Nobody, Action::Enroll, "refused").outcome(Outcome::Denied);
        write(&db, vec![
            (refused.from([192, 0, 2, 1].into()), 1),
            (Entry::new(&Actor::Agent(agent), Action::EnrollRetry, "again"), 2),
            (Entry::new(&Actor::System, Action::JobCancel, "job").environment(environment).detail("50% of Größe"), 3),
        ]).await;
        let all = AuditFilter::default;
        let like = |pattern: &str| AuditFilter { pattern: Some(pattern.into()), ..all() };
        for (filter, expected) in [
            (AuditFilter { actor_id: Some(agent.to_string()), ..all() }, vec!["again"]),
            (AuditFilter { action: Some("enrollment_token.use".into()), ..all() }, vec!["refused"]),
            (AuditFilter { action_pattern: Some("enrollment!_token.%".into()), ..all() }, vec!["again", "refused"]),
            (AuditFilter { outcome: Some(Outcome::Denied), ..all() }, vec!["refused"]),
            (AuditFilter { environment_id: Some(environment.0), ..all() }, vec!["job"]),
            (AuditFilter { target_id: Some("job".into()), ..all() }, vec!["job"]),
            (AuditFilter { from: Some(at(2)), until: Some(at(3)), ..all() }, vec!["again"]),
            (AuditFilter { from: Some(at(2)), ..all() }, vec!["job", "again"]),
            (like("%50!%%"), vec!["job"]),
            (like("%Größe%"), vec!["job"]),
            (like("%REFUSED%"), vec!["refused"]),
            (like("%USE!_AGAIN%"), vec!["again"]),
            (like("%nothing like it%"), vec![]),
            (AuditFilter { actor: Some("nobody of this name".into()), ..all() }, vec![]),
        ] {
            assert_eq!(targets(&db, &filter).await, expected, "{filter:?}");
        }
        let uses = AuditFilter { action: Some("enrollment_token.use".into()), ..all() };
        let uses = list(&mut db.read().await.unwrap(), &uses, None, 10).await.unwrap();
        assert_eq!((uses[0].outcome.as_str(), uses[0].address.as_deref()), ("denied", Some("192.0.2.1")));
    }
}

#[tokio::test]
async fn the_list_is_filtered_over_the_api_and_refuses_what_is_no_filter() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let actions = async |query: &str| {
        let answer = hub.get(&admin, &format!("/api/v1/audit?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
        let items = answer.body["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions("actor=ADMIN").await, ["user.sign_in"]);
    assert_eq!(actions("action=user.&q=operator").await, ["user.create"]);
    assert_eq!(actions("action=audit.").await, ["audit.begin"]);
    assert_eq!(actions("outcome=denied").await, [""; 0]);
    assert_eq!(actions("until=2026-05-04T00:00:00Z").await, [""; 0], "the clock stands at that moment");
    assert_eq!(actions("from=2026-05-04T00:00:00Z&limit=1").await, ["user.sign_in"]);
    for query in ["outcome=maybe", "from=yesterday", "q=%00", "action=User.", "unknown=1", "limit=0", "limit=1&limit=1"]
    {
        let answer = hub.get(&admin, &format!("/api/v1/audit?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn an_export_has_all_that_matches_in_both_forms_and_is_recorded() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let mut tx = hub.app.db.write().await.unwrap();
    for number in 0..1_203 {
        let entry = Entry::new(&Actor::System, Action::AgentRename, &number.to_string()).detail("=1+1, \"quoted\"");
        record(&mut tx, entry, hub.clock.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let json = hub.send(&admin, Request::get("/api/v1/audit/export?format=json&action=agent."), Body::empty()).await;
    assert_eq!(
        (json.status, &json.headers["content-type"]),
        (StatusCode::OK, &"application/x-ndjson".parse().unwrap())
    );
    let lines: Vec<Value> =
        json.body.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<String> = lines.iter().map(|line| line["target_id"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> = (0..1_203).rev().map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected);

    let csv = hub.get(&admin, "/api/v1/audit/export?format=csv&action=agent.rename&q=1202").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8; header=present");
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"windflow-audit-2026-05-04.csv\"");
    let text = csv.body.as_str().unwrap();
    let (head, row) = text.strip_suffix("\r\n").unwrap().split_once("\r\n").unwrap();
    assert_eq!(head.split(',').next(), Some("seq"));
    assert!(
        row.contains(",agent.rename,done,agent,1202,,,,\"{\"\"detail\"\":\"\"=1+1, \\\"\"quoted\\\"\"\"\"}\","),
        "{row}"
    );

    let records = hub.get(&admin, "/api/v1/audit?action=audit.export").await.body["items"].take();
    assert_eq!(records.as_array().unwrap().len(), 2);
    assert_eq!(records[0]["actor_name"], "admin");
    assert_eq!(records[0]["details"], json!({ "format": "csv", "filter": { "action": "agent.rename", "q": "1202" } }));

    for query in ["", "format=xml", "format=csv&limit=1", "format=csv&q=%00"] {
        let answer = hub.get(&admin, &format!("/api/v1/audit/export?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let operator = hub.signed_in("operator").await;
    assert_eq!(hub.get(&operator, "/api/v1/audit/export?format=csv").await.code(), "not_permitted");
}

#[tokio::test]
async fn no_more_exports_are_made_at_once_than_there_are_places() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let taken = hub.app.audit.exports.clone().try_acquire_many_owned(EXPORTS_MAX as u32).unwrap();
    let crowded = hub.get(&admin, "/api/v1/audit/export?format=csv").await;
    assert_eq!((crowded.status, crowded.code()), (StatusCode::SERVICE_UNAVAILABLE, "too_many_exports"));
    drop(taken);
    assert_eq!(hub.get(&admin, "/api/v1/audit/export?format=csv").await.status, StatusCode::OK);
    assert_eq!(hub.app.audit.exports.available_permits(), EXPORTS_MAX, "the place is free again");
}

#[tokio::test]
async fn the_chain_is_verified_over_the_api() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let found = hub.get(&admin, "/api/v1/audit/verify").await.body;
    assert_eq!((&found["intact"], &found["fault"]), (&json!(true), &Value::Null), "{found}");
    let noted = format!("{}:{}", found["last_seq"], found["head_hash"].as_str().unwrap());
    let met = hub.get(&admin, &format!("/api/v1/audit/verify?expect={noted}")).await.body;
    assert_eq!((&met["intact"], &met["expected"]), (&json!(true), &json!("met")));
    let wrong = hub.get(&admin, "/api/v1/audit/verify?expect=1").await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::BAD_REQUEST, "invalid_query"));

    let mut tx = hub.app.db.write().await.unwrap();
    let sql = "UPDATE audit SET actor_name = 'eve' WHERE seq = 2";
    on_tx!(&mut tx, |c| sqlx::query(sql).execute(c).await.map(drop)).unwrap();
    tx.commit().await.unwrap();
    let found = hub.get(&admin, "/api/v1/audit/verify").await.body;
    assert_eq!((&found["intact"], &found["fault"]), (&json!(false), &json!({ "seq": 2, "kind": "changed" })));
}

#[tokio::test]
async fn records_are_kept_for_as_long_as_the_hub_was_told() {
    let hub = TestHub::with_users().await;
    let life = hub.app.audit.options.life();
    hub.clock.advance(life + std::time::Duration::from_secs(12 * 60 * 60));
    assert_eq!(hub.app.delete_old_records().await.unwrap(), 0, "deleting is no record each hour");
    hub.signed_in("admin").await;
    hub.clock.advance(std::time::Duration::from_secs(13 * 60 * 60));
    assert_eq!(hub.app.delete_old_records().await.unwrap(), 4, "the begin and three users");
    assert_eq!(hub.app.delete_old_records().await.unwrap(), 0);
    let found = hub.get(&Client::local(), "/api/v1/audit/verify").await.body;
    assert_eq!((&found["intact"], &found["deleted_to"]), (&json!(true), &json!(4)), "{found}");
    let pruned = hub.get(&Client::local(), "/api/v1/audit?action=audit.prune").await.body["items"][0].take();
    assert_eq!(pruned["details"], json!({ "records": 4, "to_seq": 4, "unchained": 0 }));
}
