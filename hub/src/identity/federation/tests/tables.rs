//! Providers, links and what they grant, in both databases.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::DbError;
use crate::db::testing::on_both_engines;
use crate::http::{Role, Scope, UserId};
use crate::identity::federation::model::{Configuration, LinkedIdentity, Mapping, OidcConfiguration, Provider};
use crate::identity::federation::store;
use crate::identity::grants::{self, Mapped, RoleRef};
use crate::identity::sessions::{EndedThere, There};
use crate::identity::users::testing::insert_user;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

fn mapping(value: &str, role: Role, scope: Scope) -> Mapping {
    Mapping { value: value.to_owned(), role: RoleRef::BuiltIn(role), scope }
}

fn provider(slug: &str) -> Provider {
    let oidc = OidcConfiguration {
        issuer: "https://idp.example".into(),
        client_id: "windflow".into(),
        scopes: vec!["profile".into()],
        groups_claim: Some("groups".into()),
        allow_private: true,
        allow_http: false,
        authorities: None,
    };
    Provider {
        id: Uuid::now_v7(),
        name: "Körperschaft".into(),
        slug: slug.parse().unwrap(),
        enabled: true,
        create_users: false,
        trusted_for_second_factor: true,
        required_group: Some("staff".into()),
        configuration: Configuration::Oidc(oidc),
        has_client_secret: true,
        mappings: Vec::new(),
        users: 0,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn identity(provider: &Provider, user: UserId, subject: &str) -> LinkedIdentity {
    LinkedIdentity {
        id: Uuid::now_v7(),
        provider_id: provider.id,
        provider_name: provider.name.clone(),
        issuer: "https://idp.example".into(),
        subject: subject.into(),
        called: None,
        user_id: user.0,
        linked_at: at(2),
        last_used_at: None,
    }
}

on_both_engines! {
    async fn a_provider_is_what_was_written_last(db) {
        let mut tx = db.write().await.unwrap();
        let mut corp = provider("corp");
        store::insert(&mut tx, &corp, Some(b"sealed")).await.unwrap();
        let mappings = [
            mapping("ops", Role::Operator, Scope::Everywhere {}),
            mapping("ops", Role::Viewer, Scope::Label { label: "a=b".into() }),
        ];
        store::replace_mappings(&mut tx, corp.id, &mappings).await.unwrap();
        let found = store::find_by_slug(&mut tx, "corp").await.unwrap().unwrap();
        assert_eq!((found.id, &found.configuration, found.mappings.as_slice()), (corp.id, &corp.configuration, &mappings[..]));
        assert_eq!((found.enabled, found.create_users, found.trusted_for_second_factor), (true, false, true));
        assert_eq!(store::find_secret(&mut tx, corp.id).await.unwrap().unwrap(), b"sealed");

        (corp.enabled, corp.name, corp.updated_at) = (false, "Other".into(), at(9));
        store::update(&mut tx, &corp, None).await.unwrap();
        store::replace_mappings(&mut tx, corp.id, &mappings[..1]).await.unwrap();
        let found = store::find(&mut tx, corp.id).await.unwrap().unwrap();
        assert_eq!((found.enabled, found.name.as_str(), found.has_client_secret), (false, "Other", false));
        assert_eq!((found.updated_at, found.mappings.len()), (at(9), 1));
        assert!(store::find_secret(&mut tx, corp.id).await.unwrap().is_none());
        assert_eq!(store::list(&mut tx).await.unwrap().len(), 1);
        store::delete(&mut tx, corp.id).await.unwrap();
        assert!(store::find(&mut tx, corp.id).await.unwrap().is_none());
    }

    async fn directories_are_asked_in_their_order_and_have_the_passwords_of_their_users(db) {
        let mut tx = db.write().await.unwrap();
        let directory = |slug: &str, position: u16, enabled: bool| {
            let text = serde_json::json!({ "kind": "ldap", "servers": ["ldaps://x"], "base_dn": "dc=x", "position": position });
            Provider { configuration: serde_json::from_value(text).unwrap(), enabled, ..provider(slug) }
        };
        let corp = provider("corp");
        let all = [directory("late", 7, true), directory("off", 0, false), directory("early", 1, true)];
        for provider in [&corp].into_iter().chain(&all) {
            store::insert(&mut tx, provider, None).await.unwrap();
        }
        let asked = store::list_directories(&mut tx).await.unwrap();
        assert_eq!(asked.iter().map(|provider| provider.slug.as_str()).collect::<Vec<_>>(), ["early", "late"]);
        let (ada, bob) = (insert_user(&mut tx, "ada").await, insert_user(&mut tx, "bob").await);
        store::insert_identity(&mut tx, &identity(&corp, ada.id, "s-1")).await.unwrap();
        store::insert_identity(&mut tx, &identity(&all[1], bob.id, "s-2")).await.unwrap();
        assert!(!store::is_in_directory(&mut tx, ada.id).await.unwrap());
        assert!(store::is_in_directory(&mut tx, bob.id).await.unwrap());
    }

    async fn a_slug_is_taken_once(db) {
        let mut tx = db.write().await.unwrap();
        store::insert(&mut tx, &provider("corp"), None).await.unwrap();
        let twice = store::insert(&mut tx, &provider("corp"), None).await;
        assert!(matches!(twice, Err(DbError::Duplicate(_))));
    }

    async fn a_subject_is_one_user(db) {
        let mut tx = db.write().await.unwrap();
        let corp = provider("corp");
        store::insert(&mut tx, &corp, None).await.unwrap();
        let (ada, bob) = (insert_user(&mut tx, "ada").await, insert_user(&mut tx, "bob").await);
        let first = identity(&corp, ada.id, "s-1");
        store::insert_identity(&mut tx, &first).await.unwrap();
        store::note_identity_used(&mut tx, first.id, Some("ada"), at(5)).await.unwrap();
        let found = store::find_identity(&mut tx, "https://idp.example", "s-1").await.unwrap().unwrap();
        assert_eq!((found.user_id, found.last_used_at, found.provider_name.as_str()), (ada.id.0, Some(at(5)), "Körperschaft"));
        assert_eq!(found.called.as_deref(), Some("ada"));
        for (issuer, subject) in [("https://idp.example/", "s-1"), ("https://idp.example", "S-1"), ("", "s-1")] {
            assert!(store::find_identity(&mut tx, issuer, subject).await.unwrap().is_none(), "{issuer} {subject}");
        }
        assert_eq!(store::find(&mut tx, corp.id).await.unwrap().unwrap().users, 1);
        assert_eq!(store::identities_of(&mut tx, ada.id).await.unwrap().len(), 1);
        assert!(store::identities_of(&mut tx, bob.id).await.unwrap().is_empty());
        tx.commit().await.unwrap();
        let mut tx = db.write().await.unwrap();
        let twice = store::insert_identity(&mut tx, &identity(&corp, bob.id, "s-1")).await;
        assert!(matches!(twice, Err(DbError::Duplicate(_))));
        drop(tx);
        let mut tx = db.write().await.unwrap();
        store::delete_identity(&mut tx, first.id).await.unwrap();
        assert!(store::identities_of(&mut tx, ada.id).await.unwrap().is_empty());
    }

    async fn an_attempt_is_spent_once_and_forgotten_when_it_is_old(db) {
        let mut tx = db.write().await.unwrap();
        assert!(store::spend(&mut tx, b"one", at(1)).await.unwrap());
        assert!(!store::spend(&mut tx, b"one", at(2)).await.unwrap());
        assert!(store::spend(&mut tx, b"two", at(3)).await.unwrap());
        assert_eq!(store::delete_spent_before(&mut tx, at(3)).await.unwrap(), 1);
        assert!(!store::spend(&mut tx, b"two", at(4)).await.unwrap());
    }

    async fn what_a_provider_said_of_an_end_counts_once_and_for_whom_it_is_about(db) {
        let mut tx = db.write().await.unwrap();
        let (corp, other) = (provider("corp"), provider("other"));
        store::insert(&mut tx, &corp, None).await.unwrap();
        store::insert(&mut tx, &other, None).await.unwrap();
        let text = |text: &str| Some(text.to_owned());
        let ended = |subject: Option<String>, session: Option<String>| {
            EndedThere { issuer: "https://idp.example".into(), subject, session }
        };
        let there = |subject: &str, session: Option<&str>| {
            There { issuer: "https://idp.example".into(), subject: subject.into(), session: session.map(str::to_owned) }
        };
        for (digest, ended) in [(b"1", ended(text("all"), None)), (b"2", ended(None, text("s"))), (b"3", ended(text("one"), text("t")))] {
            assert!(store::insert_logout(&mut tx, digest, corp.id, &ended, at(5)).await.unwrap());
            assert!(!store::insert_logout(&mut tx, digest, corp.id, &ended, at(6)).await.unwrap());
        }
        for (who, expected) in [
            (there("all", None), true),
            (there("all", Some("x")), true),
            (there("anybody", Some("s")), true),
            (there("one", Some("t")), true),
            (there("one", None), true),
            (there("one", Some("x")), false),
            (there("two", Some("t")), false),
            (there("anybody", None), false),
        ] {
            assert_eq!(store::has_ended_there(&mut tx, corp.id, &who, at(5)).await.unwrap(), expected, "{who:?}");
            assert!(!store::has_ended_there(&mut tx, corp.id, &who, at(6)).await.unwrap(), "it began later: {who:?}");
            assert!(!store::has_ended_there(&mut tx, other.id, &who, at(5)).await.unwrap(), "elsewhere: {who:?}");
        }
        assert_eq!(store::delete_logouts_before(&mut tx, at(5)).await.unwrap(), 0);
        assert_eq!(store::delete_logouts_before(&mut tx, at(6)).await.unwrap(), 3);
        let nobody = store::insert_logout(&mut tx, b"4", corp.id, &ended(None, None), at(7)).await;
        assert!(nobody.is_err(), "it is about somebody");
    }

    async fn grants_of_a_mapping_come_and_go_by_provider_and_user(db) {
        let mut tx = db.write().await.unwrap();
        let (corp, other) = (provider("corp"), provider("other"));
        store::insert(&mut tx, &corp, None).await.unwrap();
        store::insert(&mut tx, &other, None).await.unwrap();
        let (ada, bob) = (insert_user(&mut tx, "ada").await, insert_user(&mut tx, "bob").await);
        let mapped = |role, scope| Mapped { role: RoleRef::BuiltIn(role), scope };
        let everywhere = mapped(Role::Operator, Scope::Everywhere {});
        let labelled = mapped(Role::Viewer, Scope::Label { label: "a=b".into() });
        for (provider, user) in [(&corp, &ada), (&corp, &bob), (&other, &ada)] {
            let both = [everywhere.clone(), labelled.clone()];
            assert!(grants::reconcile(&mut tx, provider.id, user.id, &both, at(3)).await.unwrap());
            assert!(!grants::reconcile(&mut tx, provider.id, user.id, &both, at(4)).await.unwrap(), "nothing is to be done");
        }
        let powers = async |tx: &mut crate::db::Tx, user: UserId| {
            let user = crate::identity::users::find(tx, user).await.unwrap().unwrap();
            grants::powers_of(tx, &user).await.unwrap()
        };
        let operates = crate::http::Permission::ContainersOperate;
        assert!(grants::reconcile(&mut tx, corp.id, ada.id, &[], at(5)).await.unwrap());
        assert!(powers(&mut tx, ada.id).await.everywhere().has(operates), "the other provider says it too");
        grants::take_back_unmapped(&mut tx, other.id, &[labelled], at(6)).await.unwrap();
        assert!(!powers(&mut tx, ada.id).await.everywhere().has(operates));
        assert!(powers(&mut tx, bob.id).await.everywhere().has(operates), "somebody else keeps theirs");
        store::delete(&mut tx, corp.id).await.unwrap();
        assert!(!powers(&mut tx, bob.id).await.everywhere().has(operates), "they go with the provider");
    }
}
