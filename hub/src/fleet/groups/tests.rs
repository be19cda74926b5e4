//! Groups and labels: in both databases, and through the API.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use windflow_protocol::ids::EnvironmentId;

use super::model::GroupId;
use super::store;
use crate::clock::Timestamp;
use crate::db::testing::{TestDb, on_both_engines};
use crate::db::{Db, DbError, Tx};
use crate::http::Title;
use crate::on_tx;
use crate::testing::{Answer, Client, TestHub};

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn name(text: &str) -> Title {
    Title::parse(text).unwrap()
}

async fn insert_environment(tx: &mut Tx, name: &str, group: Option<GroupId>) -> EnvironmentId {
    let id = EnvironmentId::generate();
    let sql = "INSERT INTO environments (id, name, kind, insecure, labels, created_at, group_id)
               VALUES ($1, $2, 'edge', $3, $4, $5, $6)";
    let labels = sqlx::types::Json(json!({ "site": "fra" }));
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(id.0).bind(name).bind(false).bind(labels).bind(at(0));
        query.bind(group.map(|group| group.0)).execute(c).await.map(drop)
    })
    .unwrap();
    id
}

async fn groups_of(db: &Db) -> Vec<(String, i64)> {
    let groups = store::list(&mut db.read().await.unwrap()).await.unwrap();
    groups.into_iter().map(|group| (group.name, group.environments)).collect()
}

on_both_engines! {
    async fn groups_are_kept_by_name_whatever_its_case(db) {
        let mut tx = db.write().await.unwrap();
        let (paris, zurich) = (GroupId::generate(), GroupId::generate());
        store::insert(&mut tx, zurich, &name("Zürich"), at(1)).await.unwrap();
        store::insert(&mut tx, paris, &name("paris"), at(2)).await.unwrap();
        insert_environment(&mut tx, "one", Some(paris)).await;
        tx.commit().await.unwrap();
        assert_eq!(groups_of(&db).await, [("paris".to_owned(), 1), ("Zürich".to_owned(), 0)]);

        let mut tx = db.write().await.unwrap();
        let again = store::insert(&mut tx, GroupId::generate(), &name("ZÜRICH"), at(3)).await;
        assert!(matches!(again, Err(DbError::Duplicate(_))), "{again:?}");
        drop(tx);

        let mut tx = db.write().await.unwrap();
        assert!(store::rename(&mut tx, paris, &name("Lyon")).await.unwrap());
        assert!(!store::rename(&mut tx, GroupId::generate(), &name("Nice")).await.unwrap());
        assert_eq!(store::find_name(&mut tx, paris).await.unwrap().as_deref(), Some("Lyon"));
        assert_eq!(store::find(&mut tx, zurich).await.unwrap().unwrap().created_at, at(1));
        assert_eq!(store::count(&mut tx).await.unwrap(), 2);
    }

    async fn a_group_that_is_removed_leaves_its_environments(db) {
        let mut tx = db.write().await.unwrap();
        let group = GroupId::generate();
        store::insert(&mut tx, group, &name("Paris"), at(1)).await.unwrap();
        insert_environment(&mut tx, "one", Some(group)).await;
        tx.commit().await.unwrap();
        let mut tx = db.write().await.unwrap();
        assert_eq!(store::delete(&mut tx, group).await.unwrap().as_deref(), Some("Paris"));
        assert_eq!(store::delete(&mut tx, group).await.unwrap(), None);
        let sql = "SELECT COUNT(*) FROM environments WHERE group_id IS NULL";
        let left: i64 = on_tx!(&mut tx, |c| sqlx::query_scalar(sql).fetch_one(c).await).unwrap();
        assert_eq!(left, 1);
    }
}

async fn environments_are_labelled_grouped_and_found_again(db: TestDb) {
    let hub = TestHub::on(db).await;
    let mut tx = hub.app.db.write().await.unwrap();
    let (one, two) = (insert_environment(&mut tx, "one", None).await, insert_environment(&mut tx, "two", None).await);
    tx.commit().await.unwrap();
    let admin = Client::local();
    let made = hub.post(&admin, "/api/v1/groups", json!({ "name": "Paris" })).await;
    assert_eq!((made.status, &made.body["environments"]), (StatusCode::CREATED, &json!(0)), "{made:?}");
    let group = &made.body["id"];

    let patch = json!({ "labels": { "tier": "web" }, "group_id": group });
    let changed = change(&hub, &admin, one, patch).await;
    assert_eq!(changed.body["group"], json!({ "id": group, "name": "Paris" }), "{changed:?}");
    assert_eq!(changed.body["labels"], json!({ "tier": "web" }));
    for (query, found) in [
        ("group=none", json!(["two"])),
        (&format!("group={}", group.as_str().unwrap()), json!(["one"])),
        ("label=site", json!(["two"])),
        ("label=tier=web", json!(["one"])),
        ("label=tier=db", json!([])),
        ("search=pari", json!(["one"])),
        ("search=site=fra", json!(["two"])),
        ("sort=-name", json!(["two", "one"])),
        ("sort=group", json!(["one", "two"])),
        ("state=offline&kind=edge", json!(["one", "two"])),
        ("state=degraded", json!([])),
    ] {
        assert_eq!(names(&hub, query).await, found, "{query}");
    }

    // What is not named stays, and a change that changes nothing is none.
    change(&hub, &admin, one, json!({ "labels": { "tier": "web" } })).await;
    assert_eq!(change(&hub, &admin, one, json!({})).await.body["group"]["name"], "Paris");
    assert_eq!(change(&hub, &admin, one, json!({ "group_id": null })).await.body["group"], Value::Null);
    change(&hub, &admin, two, json!({ "group_id": group })).await;
    let overview = hub.get(&admin, "/api/v1/overview").await.body;
    let groups: Vec<_> = { overview["groups"].as_array().unwrap().iter() }
        .map(|group| (&group["group"]["name"], &group["environments"]["total"]))
        .collect();
    assert_eq!(groups, [(&json!("Paris"), &json!(1)), (&Value::Null, &json!(1))]);
    let audit = hub.get(&admin, "/api/v1/audit?action=environment.label").await.body;
    assert_eq!(audit["items"].as_array().unwrap().len(), 1, "{audit}");
    let audit = hub.get(&admin, "/api/v1/audit?action=environment.group").await.body;
    assert_eq!(audit["items"].as_array().unwrap().len(), 3, "{audit}");
}

#[tokio::test]
async fn environments_are_labelled_grouped_and_found_again_on_sqlite() {
    environments_are_labelled_grouped_and_found_again(TestDb::sqlite().await).await;
}

#[tokio::test]
async fn environments_are_labelled_grouped_and_found_again_on_postgres() {
    environments_are_labelled_grouped_and_found_again(TestDb::postgres().await).await;
}

async fn change(hub: &TestHub, client: &Client, environment: EnvironmentId, patch: Value) -> Answer {
    send(hub, client, Method::PATCH, &format!("/api/v1/environments/{environment}"), patch).await
}

async fn send(hub: &TestHub, client: &Client, method: Method, path: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    hub.send(client, request, Body::from(body.to_string())).await
}

async fn names(hub: &TestHub, query: &str) -> Value {
    let found = hub.get(&Client::local(), &format!("/api/v1/environments?{query}")).await;
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    found.body["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect()
}

#[tokio::test]
async fn groups_are_made_renamed_and_removed_by_administrators_alone() {
    let hub = TestHub::with_users().await;
    let (admin, viewer) = (hub.signed_in("admin").await, hub.signed_in("viewer").await);
    let new = json!({ "name": "Paris" });
    assert_eq!(hub.post(&viewer, "/api/v1/groups", new.clone()).await.status, StatusCode::FORBIDDEN);
    let made = hub.post(&admin, "/api/v1/groups", new).await;
    let path = format!("/api/v1/groups/{}", made.body["id"].as_str().unwrap());
    let taken = hub.post(&admin, "/api/v1/groups", json!({ "name": "PARIS" })).await;
    assert_eq!((taken.status, &taken.body["error"]["code"]), (StatusCode::CONFLICT, &json!("name_taken")));

    let renamed = send(&hub, &admin, Method::PATCH, &path, json!({ "name": "Lyon" })).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (StatusCode::OK, &json!("Lyon")));
    let seen = hub.get(&viewer, "/api/v1/groups?search=lyo").await;
    assert_eq!((seen.status, &seen.body["total"]), (StatusCode::OK, &json!(1)));
    assert_eq!(hub.get(&viewer, "/api/v1/groups?name=Paris").await.body["total"], json!(0));
    assert_eq!(send(&hub, &viewer, Method::PATCH, &path, json!({ "name": "x" })).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.delete(&viewer, &path).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.delete(&admin, &path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.delete(&admin, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get(&viewer, &path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn labels_and_groups_that_cannot_be_are_refused() {
    let hub = TestHub::with_users().await;
    let mut tx = hub.app.db.write().await.unwrap();
    let one = insert_environment(&mut tx, "one", None).await;
    tx.commit().await.unwrap();
    let (admin, viewer) = (hub.signed_in("admin").await, hub.signed_in("viewer").await);
    let nobodys = GroupId::generate();
    for (patch, status) in [
        (json!({ "labels": { "a b": "c" } }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "labels": { "a": "x".repeat(256) } }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "group_id": "paris" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "colour": "red" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "group_id": nobodys }), StatusCode::CONFLICT),
    ] {
        let answer = change(&hub, &admin, one, patch.clone()).await;
        assert_eq!(answer.status, status, "{patch}: {answer:?}");
    }
    assert_eq!(change(&hub, &viewer, one, json!({ "labels": {} })).await.status, StatusCode::FORBIDDEN);
    let nowhere = EnvironmentId::generate();
    assert_eq!(change(&hub, &admin, nowhere, json!({ "labels": {} })).await.status, StatusCode::NOT_FOUND);
    for query in ["group=paris", "state=broken", "sort=colour", "group=none&group=none"] {
        let answer = hub.get(&viewer, &format!("/api/v1/environments?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    // What an agent named itself stays, also what an operator could not name so.
    assert_eq!(names(&hub, "label=site=fra").await, json!(["one"]));
}
