//! What is sealed opens in its place only, and only under its master key.

use super::rotation::Rewrapped;
use super::*;
use crate::db::testing::on_both_engines;
use crate::on_tx;

const PLACE: Place<'_> = Place { table: "environments", row: "1", column: "tls_key_sealed" };

fn now() -> Timestamp {
    Timestamp::from_micros(0).unwrap()
}

fn key(byte: u8) -> MasterKey {
    MasterKey::from_sent(&[byte; 32]).unwrap()
}

async fn unlocked(db: &Db, byte: u8) -> Result<Vault, VaultError> {
    Vault::unlock(db, key(byte), KeyCost::Cheap, now()).await
}

/// A vault as hubs had it before there were data keys.
fn without_data_keys() -> Vault {
    let vault = Vault::for_tests();
    vault.set_ring(|ring| Ring::before_data_keys(ring.root.clone()));
    vault
}

#[test]
fn a_secret_opens_where_it_was_sealed_and_nowhere_else() {
    for vault in [Vault::for_tests(), without_data_keys()] {
        let sealed = vault.seal(&PLACE, b"secret");
        assert_eq!(*vault.open(&PLACE, &sealed).unwrap(), b"secret");
        for place in [
            Place { table: "agents", ..PLACE },
            Place { row: "2", ..PLACE },
            Place { column: "certificate", ..PLACE },
            Place { table: "environments1", row: "", ..PLACE },
        ] {
            assert!(matches!(vault.open(&place, &sealed), Err(VaultError::Sealed)), "{place:?}");
        }
    }
}

#[test]
fn every_changed_or_missing_byte_is_an_error() {
    for vault in [Vault::for_tests(), without_data_keys()] {
        let sealed = vault.seal(&PLACE, b"secret");
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(vault.open(&PLACE, &changed).is_err(), "byte {i}");
            assert!(vault.open(&PLACE, &sealed[..i]).is_err(), "length {i}");
        }
    }
}

#[test]
fn the_same_secret_never_looks_the_same() {
    let vault = Vault::for_tests();
    assert_ne!(vault.seal(&PLACE, b"secret"), vault.seal(&PLACE, b"secret"));
}

#[test]
fn the_bytes_of_a_sealed_value_never_change() {
    let (old, new) = (without_data_keys().seal(&PLACE, b""), Vault::for_tests().seal(&PLACE, b""));
    assert_eq!((old.len(), old[0]), (1 + 12 + 16, 1));
    assert_eq!((new.len(), &new[..5]), (5 + 12 + 16, &[2, 0, 0, 0, 1][..]));
    let context = [&[1][..], &[0; 7], &[12], b"environments", &[0; 7], &[1], b"1", &[0; 7], &[14], b"tls_key_sealed"];
    assert_eq!(super::context(&[1], &PLACE), context.concat());
}

on_both_engines! {
    async fn another_master_key_is_refused_and_the_needed_one_is_named(db) {
        let vault = unlocked(&db, 1).await.unwrap();
        let sealed = vault.seal(&PLACE, b"secret");

        let Err(VaultError::WrongMasterKey { needed, given }) = unlocked(&db, 2).await else { panic!("it opened") };
        assert_eq!(needed, Some(vault.master_key_id()));
        assert!(given.is_some() && given != needed);
        let said = VaultError::WrongMasterKey { needed, given }.to_string();
        assert!(said.contains(&vault.master_key_id().0), "{said}");
        let again = unlocked(&db, 1).await.unwrap();
        assert_eq!(*again.open(&PLACE, &sealed).unwrap(), b"secret");
    }

    async fn a_hub_from_before_data_keys_opens_what_it_sealed_and_goes_on_so(db) {
        unlocked(&db, 1).await.unwrap();
        let mut tx = db.write().await.unwrap();
        on_tx!(&mut tx, |c| sqlx::query("DELETE FROM vault_keys").execute(c).await.map(drop)).unwrap();
        tx.commit().await.unwrap();
        let old = unlocked(&db, 1).await.unwrap();
        assert_eq!(old.generation(), Generation::ROOT);
        let sealed = old.seal(&PLACE, b"secret");
        assert_eq!(sealed[0], FORM_ROOT);
        assert!(!old.is_rotating(&db).await.unwrap(), "nobody asked for a rotation");
        assert_eq!(old.list_keys(&db).await.unwrap().len(), 1);

        let mut tx = db.write().await.unwrap();
        let fresh = old.make_key(&mut tx, now()).await.unwrap();
        tx.commit().await.unwrap();
        old.adopt_key(&fresh);
        let reopened = unlocked(&db, 1).await.unwrap();
        for vault in [&old, &reopened] {
            assert_eq!(vault.generation(), Generation(1));
            assert_eq!(*vault.open(&PLACE, &sealed).unwrap(), b"secret");
            assert_eq!(vault.seal(&PLACE, b"secret")[0], FORM_DATA_KEY);
            assert!(vault.is_rotating(&db).await.unwrap());
        }
    }

    async fn another_master_key_opens_what_was_sealed_before_and_the_old_one_nothing(db) {
        for has_data_key in [true, false] {
            let (before, after) = if has_data_key { (1, 2) } else { (2, 3) };
            if !has_data_key {
                let mut tx = db.write().await.unwrap();
                on_tx!(&mut tx, |c| sqlx::query("DELETE FROM vault_keys").execute(c).await.map(drop)).unwrap();
                tx.commit().await.unwrap();
            }
            let vault = unlocked(&db, before).await.unwrap();
            let sealed = vault.seal(&PLACE, b"secret");
            let fresh = Rewrapped::derive(key(after), KeyCost::Cheap).await;
            let mut tx = db.write().await.unwrap();
            vault.rewrap(&mut tx, &fresh, now()).await.unwrap();
            tx.commit().await.unwrap();
            vault.adopt_master(fresh);
            assert_eq!(*vault.open(&PLACE, &sealed).unwrap(), b"secret");
            let reopened = unlocked(&db, after).await.unwrap();
            assert_eq!(*reopened.open(&PLACE, &sealed).unwrap(), b"secret");
            assert_eq!(reopened.master_key_id(), vault.master_key_id());
            assert!(matches!(unlocked(&db, before).await, Err(VaultError::WrongMasterKey { .. })));
        }
    }

    async fn keys_that_another_program_changed_are_left_alone(db) {
        let (one, other) = (unlocked(&db, 1).await.unwrap(), unlocked(&db, 1).await.unwrap());
        let mut tx = db.write().await.unwrap();
        let fresh = one.make_key(&mut tx, now()).await.unwrap();
        tx.commit().await.unwrap();
        one.adopt_key(&fresh);
        let mut tx = db.write().await.unwrap();
        assert!(matches!(other.make_key(&mut tx, now()).await, Err(VaultError::Changed)));
        drop(tx);
        let later = Rewrapped::derive(key(2), KeyCost::Cheap).await;
        let mut tx = db.write().await.unwrap();
        assert!(matches!(other.rewrap(&mut tx, &later, now()).await, Err(VaultError::Changed)));
        let sealed = one.seal(&PLACE, b"secret");
        assert!(matches!(other.open(&PLACE, &sealed), Err(VaultError::UnknownKey(Generation(2)))));
    }
}
