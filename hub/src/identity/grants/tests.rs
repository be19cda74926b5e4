//! What was granted: in both databases, through the API, and on every route.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::model::{Grantee, RoleRef};
use super::store::{self, Granted};
use crate::clock::Timestamp;
use crate::db::testing::on_both_engines;
use crate::http::{Access, Permission, Permissions, Role, Scope, Title, UserId};
use crate::identity::users::testing::insert_user;
use crate::router::records;
use crate::testing::{Answer, Client, PASSWORD, TestHub};

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn title(text: &str) -> Title {
    Title::parse(text).unwrap()
}

fn label(label: &str) -> Scope {
    Scope::Label { label: label.to_owned() }
}

on_both_engines! {
    async fn a_user_has_what_they_and_their_teams_were_granted(db) {
        let mut tx = db.write().await.unwrap();
        let (ada, bob) = (insert_user(&mut tx, "ada").await, insert_user(&mut tx, "bob").await);
        let (role, team) = (Uuid::now_v7(), Uuid::now_v7());
        let deploy: Permissions = [Permission::ContainersDeploy].into_iter().collect();
        store::insert_role(&mut tx, role, &title("Deployer"), deploy, at(1)).await.unwrap();
        store::insert_team(&mut tx, team, &title("Ops"), at(1)).await.unwrap();
        assert!(store::insert_member(&mut tx, team, ada.id, at(2)).await.unwrap());
        assert!(!store::insert_member(&mut tx, team, ada.id, at(3)).await.unwrap(), "twice");
        let (site, everywhere) = (label("site=fra"), Scope::Everywhere {});
        let own = Granted { grantee: Grantee::User(ada.id.0), role: RoleRef::Own(role), scope: &site };
        let shared = Granted { grantee: Grantee::Team(team), role: RoleRef::BuiltIn(Role::Viewer), scope: &everywhere };
        for grant in [&own, &shared] {
            assert!(!store::exists(&mut tx, grant).await.unwrap());
            store::insert_grant(&mut tx, Uuid::now_v7(), grant, at(4)).await.unwrap();
            assert!(store::exists(&mut tx, grant).await.unwrap());
        }
        let granted = store::list_of_user(&mut tx, ada.id).await.unwrap();
        assert_eq!(granted, [(site.clone(), deploy), (Scope::Everywhere {}, Role::Viewer.permissions())]);
        assert!(store::list_of_user(&mut tx, bob.id).await.unwrap().is_empty());
        assert_eq!(store::find_role(&mut tx, role).await.unwrap().unwrap().grants, 1);
        assert_eq!(store::count_built_in(&mut tx, Role::Viewer).await.unwrap(), 1);
        let listed = store::find_team(&mut tx, team).await.unwrap().unwrap();
        assert_eq!((listed.members, listed.grants), (1, 1));

        let operate: Permissions = [Permission::ContainersOperate].into_iter().collect();
        store::set_permissions(&mut tx, role, operate).await.unwrap();
        store::delete_team(&mut tx, team).await.unwrap();
        assert_eq!(store::list_of_user(&mut tx, ada.id).await.unwrap(), [(site, operate)]);
        assert_eq!(store::count_grants(&mut tx).await.unwrap(), 1);
    }

    async fn a_role_in_use_stays_and_names_are_unique_without_regard_to_case(db) {
        let mut tx = db.write().await.unwrap();
        let ada = insert_user(&mut tx, "ada").await;
        let role = Uuid::now_v7();
        let view: Permissions = [Permission::ContainersView].into_iter().collect();
        store::insert_role(&mut tx, role, &title("Zürich"), view, at(1)).await.unwrap();
        let scope = Scope::Everywhere {};
        let grant = Granted { grantee: Grantee::User(ada.id.0), role: RoleRef::Own(role), scope: &scope };
        store::insert_grant(&mut tx, Uuid::now_v7(), &grant, at(2)).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = db.write().await.unwrap();
        let twice = store::insert_role(&mut tx, Uuid::now_v7(), &title("ZÜRICH"), view, at(1)).await;
        assert!(matches!(twice, Err(crate::db::DbError::Duplicate(_))), "{twice:?}");
        drop(tx);
        let mut tx = db.write().await.unwrap();
        let deleted = store::delete_role(&mut tx, role).await;
        assert!(matches!(deleted, Err(crate::db::DbError::Reference(_))), "{deleted:?}");
    }
}

/// A hub with two environments that nothing answers at, of which the first is
/// in a group, and the restricted user `eve`.
struct Two {
    hub: TestHub,
    here: String,
    there: String,
    group: String,
    eve: String,
}

impl Two {
    async fn new() -> Self {
        let hub = TestHub::with_users().await;
        let id = |answer: &Answer| answer.body["id"].as_str().unwrap().to_owned();
        let mut made = Vec::new();
        for name in ["here", "there"] {
            let new = json!({ "name": name, "address": "tcp://127.0.0.1:1" });
            made.push(id(&hub.post(&Client::local(), "/api/v1/environments", new).await));
        }
        let group = id(&hub.post(&Client::local(), "/api/v1/groups", json!({ "name": "Paris" })).await);
        let [here, there] = made.try_into().unwrap();
        let user = json!({ "name": "eve", "role": "restricted", "password": PASSWORD });
        let eve = id(&hub.post(&Client::local(), "/api/v1/users", user).await);
        let two = Self { hub, here, there, group, eve };
        two.put_into(json!(two.group)).await;
        two
    }

    async fn put_into(&self, group: Value) {
        let path = format!("/api/v1/environments/{}", self.here);
        let answer = self.hub.patch(&Client::local(), &path, json!({ "group_id": group })).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    /// Grants a role to eve. The grant's id.
    async fn grant(&self, role: &str, scope: Value) -> String {
        let new = json!({ "user_id": self.eve, "role": role, "scope": scope });
        let answer = self.hub.post(&Client::local(), "/api/v1/grants", new).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.body["id"].as_str().unwrap().to_owned()
    }

    fn in_here(&self) -> Value {
        json!({ "kind": "environment", "environment_id": self.here })
    }

    /// What a caller sees in a list.
    async fn names(&self, client: &Client, path: &str) -> Vec<String> {
        let answer = self.hub.get(client, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        let items = answer.body["items"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// C-04, C-09, C-12 of the threat list.
#[tokio::test]
async fn an_environment_in_which_one_may_do_nothing_does_not_exist_on_any_route() {
    let two = Two::new().await;
    two.grant("administrator", two.in_here()).await;
    let eve = two.hub.signed_in("eve").await;
    let (program, _) = two.hub.program_of("eve").await;
    let mut count = 0;
    for route in records(&two.hub.app) {
        let Access::At(permission) = route.access else { continue };
        let methods =
            if route.method == "*" { vec!["GET", "POST", "PUT", "DELETE", "HEAD"] } else { vec![&*route.method] };
        for method in methods {
            for client in [&eve, &program] {
                let ask = async |id: &str| {
                    let request = Request::builder().method(method).uri(path_of(&route.path, id));
                    two.hub.send(client, request, Body::empty()).await
                };
                for foreign in [two.there.as_str(), &Uuid::now_v7().to_string(), "1", "here"] {
                    let answer = ask(foreign).await;
                    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{route} {permission} {foreign}: {answer:?}");
                    if method != "HEAD" {
                        assert_eq!(answer.body["error"]["message"], "There is no such environment.", "{route}");
                    }
                }
                if method != "DELETE" {
                    let own = ask(&two.here).await;
                    assert!(!["not_permitted", "unauthorized"].contains(&own.code()), "{route}: {own:?}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 50, "the routes of environments are guarded by what one may do there: {count}");
}

fn path_of(route: &str, id: &str) -> String {
    let filled = |part: &str| match part {
        "{id}" => id.to_owned(),
        part if part.starts_with('{') => "x".to_owned(),
        part => part.to_owned(),
    };
    route.split('/').map(filled).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn what_was_granted_in_one_environment_gives_nothing_of_the_hub() {
    let two = Two::new().await;
    two.grant("administrator", two.in_here()).await;
    let eve = two.hub.signed_in("eve").await;
    for route in records(&two.hub.app) {
        let Access::Needs(permission) = route.access else { continue };
        let request = Request::builder().method(&*route.method).uri(path_of(&route.path, "1"));
        let answer = two.hub.send(&eve, request, Body::empty()).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "not_permitted"), "{permission}: {route}");
    }
    let labels = json!({ "labels": { "site": "fra" } });
    let own = format!("/api/v1/environments/{}", two.here);
    assert_eq!(two.hub.patch(&eve, &own, labels).await.code(), "not_permitted", "labels decide who may do what");
    assert_eq!(two.hub.patch(&eve, &own, json!({ "record_terminals": true })).await.status, StatusCode::OK);
    let me = two.hub.get(&eve, "/api/v1/me").await.body;
    assert_eq!(me["permissions"], json!([]));
    let somewhere = me["permissions_somewhere"].as_array().unwrap();
    assert!(somewhere.contains(&json!("engine.raw")) && !somewhere.contains(&json!("users.manage")));
}

#[tokio::test]
async fn lists_show_what_is_visible_and_nothing_else() {
    let two = Two::new().await;
    let eve = two.hub.signed_in("eve").await;
    assert_eq!(two.hub.get(&eve, "/api/v1/environments").await.code(), "not_permitted", "nothing is granted yet");
    two.grant("viewer", two.in_here()).await;
    assert_eq!(two.names(&eve, "/api/v1/environments").await, ["here"]);
    assert_eq!(two.names(&eve, "/api/v1/groups").await, ["Paris"]);
    let overview = two.hub.get(&eve, "/api/v1/overview").await.body;
    assert_eq!(overview["environments"]["total"], 1);
    for list in ["agents", "containers", "images", "volumes", "networks", "jobs", "activity"] {
        let answer = two.hub.get(&eve, &format!("/api/v1/{list}")).await;
        assert_eq!((answer.status, &answer.body["items"]), (StatusCode::OK, &json!([])), "{list}");
    }
    let details = two.hub.get(&eve, &format!("/api/v1/environments/{}", two.here)).await.body;
    assert_eq!(details["permissions"], json!(Role::Viewer.permissions().to_vec()));
    let group = format!("/api/v1/groups/{}", two.group);
    assert_eq!(two.hub.get(&eve, &group).await.body["environments"], 1);
    two.put_into(Value::Null).await;
    assert_eq!(two.hub.get(&eve, &group).await.status, StatusCode::NOT_FOUND, "a group without a visible member");
    assert_eq!(two.names(&two.hub.signed_in("viewer").await, "/api/v1/environments").await, ["here", "there"]);
}

#[tokio::test]
async fn jobs_of_hidden_environments_are_hidden_too() {
    let two = Two::new().await;
    two.grant("operator", two.in_here()).await;
    let eve = two.hub.signed_in("eve").await;
    let mut jobs = Vec::new();
    for environment in [&two.here, &two.there] {
        let path = format!("/api/v1/environments/{environment}/images/pull");
        let answer = two.hub.post(&Client::local(), &path, json!({ "image": "busybox" })).await;
        if let Some(id) = answer.body["id"].as_str() {
            jobs.push((environment.clone(), id.to_owned()));
        }
    }
    for (environment, job) in &jobs {
        let visible = *environment == two.here;
        for (path, wanted) in [("", StatusCode::OK), ("/lines", StatusCode::OK), ("/output", StatusCode::OK)] {
            let answer = two.hub.get(&eve, &format!("/api/v1/jobs/{job}{path}")).await;
            let wanted = if visible { wanted } else { StatusCode::NOT_FOUND };
            assert_eq!(answer.status, wanted, "{path}");
        }
        let cancelled = two.hub.post(&eve, &format!("/api/v1/jobs/{job}/cancel"), json!({})).await;
        assert_eq!(cancelled.status == StatusCode::NOT_FOUND, !visible, "{cancelled:?}");
    }
    let listed = two.hub.get(&eve, "/api/v1/jobs").await.body;
    let shown = jobs.iter().filter(|(environment, _)| *environment == two.here).count();
    assert_eq!((listed["total"].as_i64(), listed["items"].as_array().unwrap().len()), (Some(shown as i64), shown));
}

#[tokio::test]
async fn a_change_holds_from_the_next_request_on() {
    let two = Two::new().await;
    let eve = two.hub.signed_in("eve").await;
    let own = format!("/api/v1/environments/{}", two.here);
    let sees = async || two.hub.get(&eve, &own).await.status == StatusCode::OK;
    assert!(!sees().await);
    let grant = two.grant("viewer", json!({ "kind": "group", "group_id": two.group })).await;
    assert!(sees().await);
    two.put_into(Value::Null).await;
    assert!(!sees().await, "it left the group");
    two.put_into(json!(two.group)).await;
    assert!(sees().await);
    assert_eq!(
        two.hub.delete(&Client::local(), &format!("/api/v1/grants/{grant}")).await.status,
        StatusCode::NO_CONTENT
    );
    assert!(!sees().await, "the grant is gone");

    let team = two.hub.post(&Client::local(), "/api/v1/teams", json!({ "name": "Ops" })).await.body;
    let team = format!("/api/v1/teams/{}", team["id"].as_str().unwrap());
    let new = json!({ "team_id": team.rsplit('/').next(), "role": "viewer", "scope": { "kind": "everywhere" } });
    assert_eq!(two.hub.post(&Client::local(), "/api/v1/grants", new).await.status, StatusCode::CREATED);
    assert!(!sees().await, "not in the team");
    let member = format!("{team}/members/{}", two.eve);
    let put = two.hub.send(&Client::local(), Request::put(&member), Body::empty()).await;
    assert_eq!(put.status, StatusCode::NO_CONTENT);
    assert!(sees().await);
    assert_eq!(two.hub.delete(&Client::local(), &member).await.status, StatusCode::NO_CONTENT);
    assert!(!sees().await, "not in the team any more");
}

/// What keeps a terminal open ends with the grant, and when its environment is
/// moved out of it.
#[tokio::test]
async fn what_lasts_ends_with_the_grant_it_lasts_by() {
    let two = Two::new().await;
    let environment = EnvironmentId(two.here.parse().unwrap());
    let user = UserId(two.eve.parse().unwrap());
    let group = json!({ "kind": "group", "group_id": two.group });
    for ends_by_move in [true, false] {
        two.put_into(json!(two.group)).await;
        let grant = two.grant("operator", group.clone()).await;
        let (identity, fleet) = (two.hub.app.identity.clone(), two.hub.app.fleet.clone());
        let refused = identity.until_refused(fleet, Some(user), Permission::ContainersExec, environment);
        let mut refused = std::pin::pin!(refused);
        two.hub.signed_in("viewer").await;
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut refused).await.is_err(), "it is allowed");
        if ends_by_move {
            two.put_into(Value::Null).await;
        }
        let gone = two.hub.delete(&Client::local(), &format!("/api/v1/grants/{grant}")).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        tokio::time::timeout(Duration::from_secs(10), refused).await.expect("it ends at once");
    }
}

#[tokio::test]
async fn roles_teams_and_grants_that_make_no_sense_are_refused() {
    let two = Two::new().await;
    let hub = &two.hub;
    let post = async |path: &str, body: Value| {
        let answer = hub.post(&Client::local(), path, body).await;
        (answer.status.as_u16(), answer.code().to_owned(), answer.body["id"].as_str().unwrap_or_default().to_owned())
    };
    let role = json!({ "name": "Deployer", "permissions": ["containers.deploy", "containers.deploy"] });
    let (status, _, id) = post("/api/v1/roles", role.clone()).await;
    assert_eq!(status, 201);
    let listed = hub.get(&Client::local(), "/api/v1/roles").await.body;
    assert_eq!(listed["total"], 4);
    assert_eq!(listed["items"][3]["permissions"], json!(["containers.deploy"]));
    for (path, body, status, code) in [
        ("/api/v1/roles", json!({ "name": "DEPLOYER", "permissions": ["audit.view"] }), 409, "name_taken"),
        ("/api/v1/roles", json!({ "name": "Viewer", "permissions": ["audit.view"] }), 409, "name_taken"),
        ("/api/v1/roles", json!({ "name": "None", "permissions": [] }), 400, "no_permissions"),
        ("/api/v1/roles", json!({ "name": "Odd", "permissions": ["all"] }), 422, "invalid_body"),
        ("/api/v1/grants", json!({ "role": id, "scope": two.in_here() }), 400, "invalid_grantee"),
        (
            "/api/v1/grants",
            json!({ "user_id": two.eve, "role": Uuid::nil(), "scope": two.in_here() }),
            404,
            "not_found",
        ),
        ("/api/v1/grants", json!({ "user_id": Uuid::nil(), "role": id, "scope": two.in_here() }), 404, "not_found"),
        (
            "/api/v1/grants",
            json!({ "user_id": two.eve, "role": "restricted", "scope": two.in_here() }),
            422,
            "invalid_body",
        ),
        (
            "/api/v1/grants",
            json!({ "user_id": two.eve, "role": id, "scope": { "kind": "group", "group_id": Uuid::nil() } }),
            404,
            "not_found",
        ),
        (
            "/api/v1/grants",
            json!({ "user_id": two.eve, "role": id, "scope": { "kind": "label", "label": "=x" } }),
            400,
            "invalid_label",
        ),
    ] {
        let (answered, said, _) = post(path, body.clone()).await;
        assert_eq!((answered, said.as_str()), (status, code), "{path} {body}");
    }
    let grant = json!({ "user_id": two.eve, "role": id, "scope": { "kind": "label", "label": "site=fra" } });
    assert_eq!(post("/api/v1/grants", grant.clone()).await.0, 201);
    assert_eq!(post("/api/v1/grants", grant).await.1, "already_granted");
    let path = format!("/api/v1/roles/{id}");
    assert_eq!(hub.delete(&Client::local(), &path).await.code(), "role_in_use");
    let changed = hub.patch(&Client::local(), &path, json!({ "permissions": ["containers.view"] })).await;
    assert_eq!(changed.body["permissions"], json!(["containers.view"]));
    assert_eq!(hub.delete(&Client::local(), "/api/v1/roles/viewer").await.status, StatusCode::NOT_FOUND);
    let listed = hub.get(&Client::local(), &format!("/api/v1/grants?user={}", two.eve)).await.body;
    let shown = &listed["items"][0];
    assert_eq!((&shown["user_name"], &shown["role_name"]), (&json!("eve"), &json!("Deployer")));
    assert_eq!(hub.get(&Client::local(), &format!("/api/v1/grants?team={}", Uuid::nil())).await.body["total"], 0);
}
