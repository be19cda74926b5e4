//! People who are in a directory: sign-in against a real `slapd`.

use std::net::TcpListener;

use serde_json::{Value, json};
use windflow_tests::network::{Authority, Certificate, Slapd};
use windflow_tests::product::{ADMINISTRATOR, Answer, Hub};

/// A hub that knows a directory.
struct World {
    hub: Hub,
    slapd: Slapd,
    authority: Authority,
}

impl World {
    /// With this changed in how the directory is asked.
    fn with(changes: &Value) -> Self {
        let authority = Authority::generate();
        let slapd = Slapd::start(&Certificate::Of(&authority));
        let world = Self { hub: Hub::start(), slapd, authority };
        let answer = world.add(changes);
        assert_eq!(answer.status, 201, "{}", answer.body);
        world
    }

    /// How the directory is asked over LDAPS, with groups that are looked for and
    /// count through others.
    fn directory(&self, changes: &Value) -> Value {
        directory(&[self.slapd.secure_url()], Some(self.authority.pem()), changes)
    }

    fn add(&self, changes: &Value) -> Answer {
        self.hub.request("POST", "/api/v1/identity-providers", &self.directory(changes).to_string())
    }

    fn change(&self, changes: &Value) {
        let path = format!("/api/v1/identity-providers/{}", id(&self.hub));
        let answer = self.hub.request("PUT", &path, &self.directory(changes).to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    fn sign_in(&self, name: &str) -> Answer {
        sign_in(&self.hub, name, &password(name))
    }

    /// The user whom somebody is here.
    fn signed_in(&self, name: &str) -> Value {
        let answer = self.sign_in(name);
        assert_eq!(answer.status, 200, "{}", answer.body);
        read(&answer)
    }

    /// What a user was granted by the directory.
    fn roles(&self, user: &Value) -> Vec<String> {
        let grants = self.hub.read(&format!("/api/v1/grants?user={}", user["id"].as_str().unwrap()));
        let items = grants["items"].as_array().unwrap();
        items.iter().map(|grant| grant["role_id"].as_str().unwrap().to_owned()).collect()
    }
}

fn directory(servers: &[String], authorities: Option<String>, changes: &Value) -> Value {
    let mapped = json!([{ "value": Slapd::group("staff").to_uppercase(), "role": "operator", "scope": { "kind": "everywhere" } }]);
    let mut body = json!({
        "name": "Corp", "slug": "corp", "enabled": true, "create_users": true, "trusted_for_second_factor": false,
        "required_group": null, "client_secret": Slapd::SERVICE.1, "mappings": mapped,
        "configuration": {
            "kind": "ldap", "servers": servers, "allow_private": true, "authorities": authorities,
            "bind_dn": Slapd::SERVICE.0, "base_dn": Slapd::PEOPLE, "groups": "search",
            "group_base_dn": Slapd::GROUPS, "nested_groups": "walk",
        },
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        let into = if body.get(key).is_some() { &mut body[key] } else { &mut body["configuration"][key] };
        *into = value.clone();
    }
    body
}

fn id(hub: &Hub) -> String {
    hub.read("/api/v1/identity-providers")["items"][0]["id"].as_str().unwrap().to_owned()
}

fn password(name: &str) -> String {
    format!("{}{name}", Slapd::PASSWORD)
}

fn sign_in(hub: &Hub, name: &str, password: &str) -> Answer {
    hub.request("POST", "/api/v1/session", &json!({ "name": name, "password": password }).to_string())
}

fn read(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

/// The steps of a test: each with what became of it.
fn steps(hub: &Hub, body: Option<Value>) -> Vec<(String, Value, Value)> {
    let route = if body.is_some() { "test-sign-in" } else { "test" };
    let path = format!("/api/v1/identity-providers/{}/{route}", id(hub));
    let answer = hub.request("POST", &path, &body.map(|body| body.to_string()).unwrap_or_default());
    assert_eq!(answer.status, 200, "{}", answer.body);
    for secret in [Slapd::SERVICE.1, Slapd::PASSWORD] {
        assert!(!answer.body.contains(secret), "no step says a secret: {}", answer.body);
    }
    let step =
        |step: &Value| (step["step"].as_str().unwrap().to_owned(), step["passed"].clone(), step["trouble"].clone());
    read(&answer)["steps"].as_array().unwrap().iter().map(step).collect()
}

/// The first step that went wrong.
fn trouble(steps: &[(String, Value, Value)]) -> (String, String) {
    let failed = steps.iter().find(|(_, passed, _)| passed == &json!(false)).expect("something is wrong");
    (failed.0.clone(), failed.2.as_str().unwrap_or_default().to_owned())
}

#[test]
fn somebody_of_a_directory_confirms_by_their_password_there_that_it_is_they() {
    let world = World::with(&json!({}));
    let signed_in = world.sign_in("grace");
    let cookie = |answer: &Answer| answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let before = cookie(&signed_in);
    let path = "/api/v1/session/confirmation";
    let stands = read(&world.hub.request_from_page("GET", path, &before, ""));
    assert_eq!(stands["ways"], json!([{ "kind": "directory", "name": "Corp" }]), "{stands}");
    let confirm = |cookie: &str, name: &str, password: &str| {
        let body = json!({ "kind": "directory", "name": name, "password": password }).to_string();
        world.hub.request_from_page("POST", path, cookie, &body)
    };
    world.signed_in("linus");
    for (name, password) in [("grace", "not hers".to_owned()), ("linus", password("linus"))] {
        let answer = confirm(&before, name, &password);
        assert_eq!((answer.status, answer.code().as_str()), (403, "wrong_password"), "{name}: {}", answer.body);
    }
    let answer = confirm(&before, "GRACE", &password("grace"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let after = cookie(&answer);
    assert_eq!(world.hub.request_from_page("GET", "/api/v1/me", &before, "").status, 401);
    assert_eq!(read(&world.hub.request_from_page("GET", "/api/v1/me", &after, ""))["name"], "grace");
    let records = world.hub.read("/api/v1/audit?action=session.confirm");
    let outcomes: Vec<_> = records["items"].as_array().unwrap().iter().map(|item| &item["outcome"]).collect();
    assert_eq!(outcomes, ["done", "denied", "denied"], "{records}");
    assert_eq!(records["items"][0]["details"]["way"], "directory");
}

#[test]
fn c19_somebody_signs_in_by_a_directory_with_what_their_groups_give_until_they_leave_them() {
    let world = World::with(&json!({}));
    let grace = world.signed_in("grace");
    assert_eq!((grace["name"].as_str(), grace["role"].as_str()), (Some("grace"), Some("restricted")));
    assert_eq!(world.roles(&grace), ["operator"], "staff, by way of operators");
    assert_eq!(read(&sign_in(&world.hub, "GRACE", &password("grace")))["id"], grace["id"]);
    let linus = world.signed_in("linus");
    assert!(world.roles(&linus).is_empty());

    let records = world.hub.read("/api/v1/audit?action=user.sign_in&outcome=done");
    assert_eq!(records["items"][0]["details"]["provider"], "Corp");
    let answer = world.hub.request(
        "POST",
        &format!("/api/v1/users/{}/reset-password", grace["id"].as_str().unwrap()),
        &json!({ "password": "a long and windy road" }).to_string(),
    );
    assert_eq!((answer.status, answer.code().as_str()), (409, "password_elsewhere"), "{}", answer.body);

    // A circle of groups ends.
    world.slapd.change_member("add", "operators", &Slapd::group("everyone"));
    assert_eq!(world.signed_in("grace")["id"], grace["id"]);
    assert_eq!(world.roles(&grace), ["operator"]);
    world.slapd.change_member("add", "operators", &Slapd::person("linus"));
    world.slapd.change_member("delete", "operators", &Slapd::person("grace"));
    assert_eq!(world.signed_in("grace")["id"], grace["id"]);
    assert!(world.roles(&grace).is_empty(), "what the group gave is gone with it");
    world.signed_in("linus");
    assert_eq!(world.roles(&linus), ["operator"]);

    // Who is called otherwise is the same; who gets the name is somebody else.
    let (old, people) = (Slapd::person("grace"), Slapd::PEOPLE);
    world.slapd.change("modify", &format!("dn: {old}\nchangetype: modrdn\nnewrdn: uid=hopper\ndeleteoldrdn: 1\n"));
    world.slapd.change(
        "add",
        &format!(
            "dn: uid=grace,{people}\nobjectClass: inetOrgPerson\nuid: grace\ncn: g\nsn: g\nuserPassword: {}\n",
            password("grace")
        ),
    );
    let hopper = sign_in(&world.hub, "hopper", &password("grace"));
    assert_eq!(read(&hopper)["id"], grace["id"], "{}", hopper.body);
    let other = world.signed_in("grace");
    assert_ne!(other["id"], grace["id"]);
    assert_eq!(other["name"], "grace-2");

    // Who left is out.
    world.slapd.change("modify", &format!("dn: uid=hopper,{people}\nchangetype: delete\n"));
    assert_eq!(sign_in(&world.hub, "hopper", &password("grace")).status, 401);
}

#[test]
fn c19_who_is_unknown_or_wrong_or_says_nothing_is_told_the_same() {
    let world = World::with(&json!({}));
    let refused = |name: &str, password: &str| {
        let answer = sign_in(&world.hub, name, password);
        assert_eq!(answer.status, 401, "{name:?} {}", answer.body);
        let mut body = read(&answer);
        body["error"]["request_id"] = Value::Null;
        body
    };
    let wrong = refused("grace", "another password");
    assert_eq!(refused("nobody", "another password"), wrong);
    // Her name is a local account's: the directory is not asked about it.
    assert_eq!(refused("Ada", &password("ada")), wrong);
    assert_eq!(refused("grace", ""), wrong);
    let asked = world.slapd.log().to_lowercase();
    assert!(asked.contains("(uid=grace)") && !asked.contains("(uid=ada)"), "{asked}");
    let wrong_binds = world.slapd.log().matches("BIND dn=\"uid=grace,").count();
    assert_eq!(wrong_binds, 1, "the empty password was not tried: {}", world.slapd.log());
    let records = world.hub.read("/api/v1/audit?action=user.sign_in&outcome=denied");
    let details = records["items"].as_array().unwrap().iter().map(|item| item["details"]["detail"].to_string());
    assert!(details.into_iter().any(|detail| detail.contains("not the password that Corp knows")), "{records}");
}

#[test]
fn c19_what_is_typed_is_a_name_and_no_filter() {
    let world = World::with(&json!({}));
    let names =
        ["*", "*)(uid=*", "*)(uid=*))(|(uid=*", "grac*", "grace)(!(uid=x", "\\67race", "grace\\00", ")(uid=grace", "("];
    for name in names {
        let tried = steps(&world.hub, Some(json!({ "name": name, "password": null })));
        assert_eq!(trouble(&tried), ("search".into(), "nobody".into()), "{name:?} {tried:?}");
    }
    for name in ["grace\0", " grace", "grace\n", ""] {
        let path = format!("/api/v1/identity-providers/{}/test-sign-in", id(&world.hub));
        let answer = world.hub.request("POST", &path, &json!({ "name": name }).to_string());
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_name"), "{name:?}");
    }
    for name in ["*", "*)(uid=*", "grace\0", " grace"] {
        assert_eq!(sign_in(&world.hub, name, &password("grace")).status, 401, "{name:?}");
    }
}

#[test]
fn c19_tls_is_verified_whoever_signs_and_a_wrong_name_is_refused() {
    let world = World::with(&json!({}));
    let good = steps(&world.hub, None);
    assert!(good.iter().all(|(_, passed, _)| passed == &json!(true)), "{good:?}");
    let names: Vec<_> = good.iter().map(|(step, ..)| step.as_str()).collect();
    assert_eq!(names, ["connect", "tls", "service_bind", "base", "group_base"]);

    // StartTLS on the plain port, with and without who signs it.
    world.change(&json!({ "servers": [world.slapd.url()] }));
    assert_eq!(world.sign_in("grace").status, 200);
    world.change(&json!({ "servers": [world.slapd.url()], "authorities": null }));
    assert_eq!(trouble(&steps(&world.hub, None)), ("tls".into(), "untrusted".into()));
    assert_eq!(world.sign_in("grace").status, 401);

    world.change(&json!({ "authorities": Authority::generate().pem() }));
    assert_eq!(trouble(&steps(&world.hub, None)), ("tls".into(), "untrusted".into()));
    assert_eq!(world.sign_in("grace").status, 401);

    let elsewhere = Slapd::start(&Certificate::ForElsewhere(&world.authority));
    for url in [elsewhere.url(), elsewhere.secure_url()] {
        world.change(&json!({ "servers": [url] }));
        assert_eq!(trouble(&steps(&world.hub, None)), ("tls".into(), "other_name".into()));
    }
    assert_eq!(world.sign_in("grace").status, 401);
    assert!(!elsewhere.log().contains("BIND dn=\"cn=hub"), "nothing was said: {}", elsewhere.log());

    // A server that has no TLS is spoken to only where somebody said so.
    let plain = Slapd::start(&Certificate::None);
    world.change(&json!({ "servers": [plain.url()] }));
    assert_eq!(trouble(&steps(&world.hub, None)), ("tls".into(), "start_tls".into()));
    assert!(!plain.log().contains("BIND dn=\"cn=hub"), "nothing was said: {}", plain.log());
    world.change(&json!({ "servers": [plain.url()], "allow_plain": true }));
    assert_eq!(world.sign_in("grace").status, 200);

    world.change(&json!({ "allow_private": false }));
    assert_eq!(trouble(&steps(&world.hub, None)), ("connect".into(), "private".into()));
}

#[test]
fn c19_the_next_server_is_asked_where_one_is_down_or_hangs() {
    let world = World::with(&json!({}));
    let mut down = Slapd::start(&Certificate::Of(&world.authority));
    let hangs = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("ldap://{}", hangs.local_addr().expect("it is bound"));
    down.kill();
    world.change(&json!({ "servers": [down.secure_url(), silent, world.slapd.secure_url()] }));
    world.signed_in("grace");
    let tried = steps(&world.hub, Some(json!({ "name": "grace", "password": password("grace") })));
    let troubles: Vec<_> = tried.iter().filter_map(|(_, _, trouble)| trouble.as_str()).collect();
    assert_eq!(troubles, ["unconnected", "slow"], "{tried:?}");
    assert_eq!(tried.last().map(|(step, passed, _)| (step.as_str(), passed)), Some(("roles", &json!(true))));

    world.change(&json!({ "servers": [down.secure_url()] }));
    assert_eq!(world.sign_in("grace").status, 401, "nobody is let in by a directory that cannot be asked");
    assert_eq!(sign_in(&world.hub, ADMINISTRATOR, "seventeen quiet herons").status, 200, "local users are");
}

#[test]
fn c19_two_directories_with_the_same_name_are_two_people_and_groups_come_from_an_attribute_too() {
    let world = World::with(&json!({ "groups": "attribute", "position": 1 }));
    let grace = world.signed_in("grace");
    assert_eq!(world.roles(&grace), ["operator"], "by memberOf of operators");
    world.change(&json!({ "groups": "attribute", "nested_groups": "none", "position": 1 }));
    world.signed_in("grace");
    assert!(world.roles(&grace).is_empty(), "staff only counts through operators");

    let second = Slapd::start(&Certificate::Of(&world.authority));
    let (dn, new) = (Slapd::person("grace"), "quite another secret");
    second.change("modify", &format!("dn: {dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: {new}\n"));
    let changes =
        json!({ "name": "Second", "slug": "second", "position": 2, "required_group": Slapd::group("operators") });
    let body = directory(&[second.secure_url()], Some(world.authority.pem()), &changes);
    let answer = world.hub.request("POST", "/api/v1/identity-providers", &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    let other = read(&sign_in(&world.hub, "grace", new));
    assert_eq!(other["name"], "grace-2", "{other}");
    assert_eq!(world.signed_in("grace")["id"], grace["id"]);

    second.change(
        "modify",
        &format!(
            "dn: {}\nchangetype: modify\nreplace: member\nmember: {}\n",
            Slapd::group("operators"),
            Slapd::person("linus")
        ),
    );
    assert_eq!(sign_in(&world.hub, "grace", new).status, 401, "she is not in the group that is let in");
    assert_eq!(sign_in(&world.hub, "linus", &password("linus")).status, 200);
}

#[test]
fn c19_a_test_says_how_far_it_goes_and_nobody_is_signed_in_by_it() {
    let world = World::with(&json!({ "required_group": Slapd::group("operators") }));
    let tried =
        |name: &str, password: Option<String>| steps(&world.hub, Some(json!({ "name": name, "password": password })));
    let good = tried("grace", Some(password("grace")));
    let names: Vec<_> = good.iter().map(|(step, ..)| step.as_str()).collect();
    assert_eq!(names, ["connect", "tls", "service_bind", "search", "user_bind", "groups", "roles"]);
    assert!(good.iter().all(|(_, passed, _)| passed == &json!(true)), "{good:?}");
    assert_eq!(trouble(&tried("grace", Some("wrong".into()))), ("user_bind".into(), "wrong_password".into()));
    assert_eq!(trouble(&tried("linus", None)), ("roles".into(), "group".into()));
    assert_eq!(world.hub.read("/api/v1/users")["total"], 1, "nobody was made");

    world.change(&json!({ "client_secret": "not it" }));
    assert_eq!(trouble(&steps(&world.hub, None)), ("service_bind".into(), "service_refused".into()));
    world.change(&json!({ "base_dn": "ou=nowhere,dc=corp,dc=example" }));
    assert_eq!(trouble(&steps(&world.hub, None)), ("base".into(), "no_base".into()));
    world.change(&json!({ "user_filter": "(|(uid={name})(objectClass=*))" }));
    assert_eq!(trouble(&tried("grace", None)), ("search".into(), "ambiguous".into()));
    world.change(&json!({ "id_attribute": "objectGUID" }));
    assert_eq!(trouble(&tried("grace", None)), ("search".into(), "no_id".into()));
}
