//! What a good password is, and how hashes age.

use axum::http::StatusCode;
use serde_json::json;

use super::*;
use crate::on_tx;
use crate::testing::{Answer, Client, PASSWORD, TestHub};

fn strength(password: &str) -> Result<(), WeakPassword> {
    check_strength(&SecretString::from(password), "margaret")
}

#[test]
fn length_is_counted_in_characters_and_bounded_at_both_ends() {
    assert_eq!(strength("ключ-замок!"), Err(WeakPassword::Short));
    assert_eq!(strength("ключ-замок-шт"), Ok(()));
    assert_eq!(strength(&format!("river lamp {}", "é".repeat(LENGTH_MAX))), Err(WeakPassword::Long));
}

#[test]
fn common_passwords_are_refused_in_every_usual_disguise() {
    for password in [
        "password1234",
        "P@ssw0rd!2024",
        "Administrator1!",
        "iloveyou12345",
        "qwertyuiop123",
        "1qaz2wsx3edc",
        "windflow2026!",
    ] {
        assert_eq!(strength(password), Err(WeakPassword::Common), "{password}");
    }
}

#[test]
fn repetition_and_the_own_name_are_refused() {
    assert_eq!(strength("aaaaaaaaaaaa"), Err(WeakPassword::Repetitive));
    assert_eq!(strength("river7river7river7"), Err(WeakPassword::Repetitive));
    assert_eq!(strength("Margaret-2026"), Err(WeakPassword::Name));
}

#[test]
fn unrelated_words_and_random_characters_are_good() {
    for password in ["correct staple river 9", "lamp-orchard-seven-quilt", "x9#Lq2!vT8@w", "margaret likes grey herons"]
    {
        assert_eq!(strength(password), Ok(()), "{password}");
    }
}

#[tokio::test]
async fn only_the_right_password_matches_and_nobody_has_none() {
    let passwords = Passwords::new(HashCost::Cheap, Random::default());
    let hash = passwords.hash("lamp-orchard".into()).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
    assert!(passwords.verify("lamp-orchard".into(), Some(hash.clone())).await.unwrap());
    assert!(!passwords.verify("lamp-orcharD".into(), Some(hash)).await.unwrap());
    assert!(!passwords.verify("lamp-orchard".into(), None).await.unwrap());
}

#[tokio::test]
async fn a_damaged_hash_is_an_error_and_not_a_refusal() {
    let passwords = Passwords::new(HashCost::Cheap, Random::default());
    assert!(passwords.verify("lamp-orchard".into(), Some("damaged".into())).await.is_err());
}

/// What is stored for a user.
async fn stored_hash(hub: &TestHub, name: &str) -> String {
    let mut tx = hub.app.db.read().await.unwrap();
    let sql = "SELECT password_hash FROM users WHERE name = $1";
    on_tx!(&mut tx, |c| sqlx::query_scalar(sql).bind(name).fetch_one(c).await).unwrap()
}

/// A hash as a hub with other costs would have made it.
fn made_with(memory: u32, passes: u32, password: &str) -> String {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(memory, passes, 1, None).unwrap());
    argon2.hash_password_with_salt(password.as_bytes(), &[7; 16]).unwrap().to_string()
}

fn bcrypt_of(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

async fn add_with_hash(hub: &TestHub, name: &str, hash: &str) -> Answer {
    let user = json!({ "name": name, "role": "viewer", "password_hash": hash });
    hub.post(&Client::local(), "/api/v1/users", user).await
}

#[test]
fn a_hash_of_other_costs_is_dated_and_a_fresh_one_is_not() {
    let passwords = Passwords::new(HashCost::Cheap, Random::default());
    let fresh = passwords.hash_now(&PASSWORD.into()).unwrap();
    assert!(!passwords.is_dated(&fresh));
    for dated in [made_with(8, 2, PASSWORD), made_with(16, 1, PASSWORD), bcrypt_of(PASSWORD)] {
        assert!(passwords.is_dated(&dated), "{dated}");
    }
    let production = Passwords::new(HashCost::Production, Random::default());
    assert!(production.is_dated(&fresh));
}

#[tokio::test]
async fn a_dated_hash_is_made_anew_at_the_next_sign_in_and_not_before() {
    let hub = TestHub::empty().await;
    for (name, dated) in [("bea", bcrypt_of(PASSWORD)), ("ada", made_with(16, 3, PASSWORD))] {
        let added = add_with_hash(&hub, name, &dated).await;
        assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
        assert_eq!(stored_hash(&hub, name).await, dated);
        let wrong = hub.sign_in(&Client::browser(), name, "another password").await;
        assert_eq!((wrong.status, wrong.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
        assert_eq!(stored_hash(&hub, name).await, dated, "a wrong password changes nothing");

        hub.signed_in(name).await;
        let fresh = stored_hash(&hub, name).await;
        assert!(fresh.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{fresh}");
        hub.signed_in(name).await;
        assert_eq!(stored_hash(&hub, name).await, fresh, "it is made anew once");
    }
}

#[tokio::test]
async fn a_password_longer_than_bcrypt_reads_does_not_sign_in() {
    let hub = TestHub::empty().await;
    let long = format!("lamp orchard {}", "x".repeat(80));
    add_with_hash(&hub, "bea", &bcrypt_of(&long)).await;
    for password in [&long[..], &long[..73], &format!("{}y", &long[..72])] {
        let refused = hub.sign_in(&Client::browser(), "bea", password).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    }
}

#[tokio::test]
async fn a_hash_from_elsewhere_is_checked_and_never_repeated() {
    let hub = TestHub::with_users().await;
    let expensive = made_with(8, 1, PASSWORD).replacen("t=1", "t=17", 1);
    for hash in ["", "plain text password", "$2b$04$tooshort", "$1$salt$hash", &expensive] {
        let refused = add_with_hash(&hub, "bea", hash).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid_password_hash"), "{hash}");
        assert!(hash.is_empty() || !refused.body.to_string().contains(hash), "{refused:?}");
    }
    for body in [
        json!({ "name": "bea", "role": "viewer" }),
        json!({ "name": "bea", "role": "viewer", "password": PASSWORD, "password_hash": bcrypt_of(PASSWORD) }),
    ] {
        let refused = hub.post(&Client::local(), "/api/v1/users", body).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "password_or_hash"), "{refused:?}");
    }
    let hash = bcrypt_of(PASSWORD);
    let added = add_with_hash(&hub, "bea", &hash).await;
    assert!(!added.body.to_string().contains(&hash));
    let audit = hub.get(&Client::local(), "/api/v1/audit").await.body.to_string();
    assert!(!audit.contains("$2b$") && audit.contains("user.create"), "{audit}");
    let viewer = hub.signed_in("viewer").await;
    let user = json!({ "name": "eve", "role": "administrator", "password_hash": hash });
    assert_eq!(hub.post(&viewer, "/api/v1/users", user).await.code(), "not_permitted");
}

#[tokio::test]
async fn a_stored_hash_that_asks_for_too_much_is_not_tried() {
    let passwords = Passwords::new(HashCost::Cheap, Random::default());
    let bomb = made_with(8, 1, PASSWORD).replacen("m=8", "m=4194304", 1);
    assert!(passwords.verify(PASSWORD.into(), Some(bomb)).await.is_err());
}

#[tokio::test]
async fn a_hash_that_cannot_be_made_anew_keeps_nobody_out() {
    let hub = TestHub::empty().await;
    let dated = bcrypt_of(PASSWORD);
    add_with_hash(&hub, "bea", &dated).await;
    let mut tx = hub.app.db.write().await.unwrap();
    let sql = "CREATE TRIGGER stuck BEFORE UPDATE OF password_hash ON users BEGIN SELECT RAISE(ABORT, 'stuck'); END";
    on_tx!(&mut tx, |c| sqlx::query(sql).execute(c).await.map(drop)).unwrap();
    tx.commit().await.unwrap();
    let browser = hub.signed_in("bea").await;
    assert_eq!(hub.get(&browser, "/api/v1/me").await.body["name"], "bea");
    assert_eq!(stored_hash(&hub, "bea").await, dated);
}
