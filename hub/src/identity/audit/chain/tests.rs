//! What becomes of the chain when somebody writes to the table, on both
//! databases.

use std::time::Duration;

use windflow_protocol::ids::EnvironmentId;

use super::prune::prune;
use super::*;
use crate::db::Db;
use crate::db::testing::on_both_engines;
use crate::identity::audit::record;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

fn entry(target: &str) -> Entry {
    Entry::new(&Actor::System, Action::AgentApprove, target)
        .environment(EnvironmentId(Uuid::nil()))
        .from([192, 0, 2, 1].into())
        .fact("n", json!({ "ö": [1, 2.5, -0.0, 1e-7, 1e16, null, true, "x\"y"], "a": 0.1 + 0.2 }))
}

async fn write(db: &Db, entry: Entry, now: Timestamp) {
    let mut tx = db.write().await.unwrap();
    record(&mut tx, entry, now).await.unwrap();
    tx.commit().await.unwrap();
}

/// A chain of five: its begin and four records.
async fn five(db: &Db) {
    for number in 2..=5 {
        write(db, entry(&number.to_string()), at(number)).await;
    }
}

async fn execute(tx: &mut Tx, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    on_tx!(tx, |c| sqlx::query(sql).execute(c).await.map(drop)).unwrap();
}

async fn hash_of(tx: &mut Tx, seq: i64) -> ChainHash {
    on_tx!(tx, |c| sqlx::query_scalar("SELECT hash FROM audit WHERE seq = $1").bind(seq).fetch_one(c).await).unwrap()
}

async fn found(db: &Db) -> Verification {
    verify(&mut db.read().await.unwrap(), None).await.unwrap()
}

/// What is found after these statements, which are undone.
async fn fault_after(db: &Db, statements: &[&str]) -> (i64, FaultKind) {
    let mut tx = db.write().await.unwrap();
    for sql in statements {
        execute(&mut tx, sql).await;
    }
    let found = verify(&mut tx, None).await.unwrap();
    assert!(!found.intact, "{statements:?}");
    let fault = found.fault.unwrap();
    (fault.seq, fault.kind)
}

on_both_engines! {
    async fn what_nobody_touched_fits_and_begins_with_its_begin(db) {
        assert_eq!(found(&db).await, empty());
        five(&db).await;
        let now = found(&db).await;
        assert!(now.intact, "{now:?}");
        assert_eq!((now.checked, now.first_seq, now.last_seq, now.deleted_to), (5, Some(1), 5, 0));
        assert_eq!(now.head_hash, hash_of(&mut db.read().await.unwrap(), 5).await.to_string());
        let begin = crate::identity::audit::store::list_chained(&mut db.read().await.unwrap(), 0, 1).await.unwrap();
        assert_eq!((begin[0].action.as_str(), &begin[0].details.0["unchained"]), ("audit.begin", &json!(0)));
    }

    async fn a_changed_column_is_found_whichever_it_is(db) {
        five(&db).await;
        for column in ["actor_kind", "actor_id", "actor_name", "credential", "action", "outcome", "target_kind",
                       "target_id", "address", "request_id"] {
            let change = format!("UPDATE audit SET {column} = COALESCE({column}, '') || 'x' WHERE seq = 3");
            assert_eq!(fault_after(&db, &[&change]).await, (3, FaultKind::Changed), "{column}");
        }
        for column in ["target_kind", "target_id", "address", "environment_id", "hash"] {
            let change = format!("UPDATE audit SET {column} = NULL WHERE seq = 3");
            assert_eq!(fault_after(&db, &[&change]).await, (3, FaultKind::Changed), "{column}");
        }
        let details = "UPDATE audit SET details = '{}' WHERE seq = 3";
        assert_eq!(fault_after(&db, &[details]).await, (3, FaultKind::Changed));
        let others = "UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 4) WHERE seq = 3";
        assert_eq!(fault_after(&db, &[others]).await, (3, FaultKind::Changed));
        assert_eq!(fault_after(&db, &["UPDATE audit SET seq = 99 WHERE seq = 3"]).await, (3, FaultKind::Missing));
        assert_eq!(fault_after(&db, &["UPDATE audit SET seq = NULL WHERE seq = 3"]).await, (3, FaultKind::Missing));
        for (sql, id, time) in [
            ("UPDATE audit SET id = $1 WHERE seq = 3", Some(Uuid::now_v7()), None),
            ("UPDATE audit SET environment_id = $1 WHERE seq = 3", Some(Uuid::now_v7()), None),
            ("UPDATE audit SET at = $1 WHERE seq = 3", None, Some(at(3) + Duration::from_micros(1))),
        ] {
            let mut tx = db.write().await.unwrap();
            match (id, time) {
                (Some(id), _) => on_tx!(&mut tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop)),
                (None, time) => on_tx!(&mut tx, |c| sqlx::query(sql).bind(time).execute(c).await.map(drop)),
            }
            .unwrap();
            let fault = verify(&mut tx, None).await.unwrap().fault;
            assert_eq!(fault, Some(Fault { seq: 3, kind: FaultKind::Changed }), "{sql}");
        }
        assert!(found(&db).await.intact, "all of it was undone");
    }

    async fn a_deleted_record_is_found_wherever_it_was(db) {
        five(&db).await;
        for seq in 1..=5 {
            let delete = format!("DELETE FROM audit WHERE seq = {seq}");
            assert_eq!(fault_after(&db, &[&delete]).await, (seq, FaultKind::Missing));
        }
        assert_eq!(fault_after(&db, &["DELETE FROM audit"]).await, (1, FaultKind::Missing));
        let head = "UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)";
        let newest = "DELETE FROM audit WHERE seq = 5";
        assert_eq!(fault_after(&db, &[newest, head]).await, (4, FaultKind::HeadChanged), "with the head set back");
        let anchor = "UPDATE audit_head SET anchor_seq = 2, anchor_hash = (SELECT hash FROM audit WHERE seq = 2)";
        let oldest = "DELETE FROM audit WHERE seq <= 2";
        assert_eq!(fault_after(&db, &[anchor, oldest]).await, (5, FaultKind::HeadChanged), "as if its time were over");
        assert_eq!(fault_after(&db, &["DELETE FROM audit_head"]).await, (1, FaultKind::OutOfOrder));
    }

    async fn records_that_changed_places_and_new_ones_are_found(db) {
        five(&db).await;
        let swap = ["UPDATE audit SET seq = -1 WHERE seq = 2", "UPDATE audit SET seq = 2 WHERE seq = 3",
                    "UPDATE audit SET seq = 3 WHERE seq = -1"];
        assert_eq!(fault_after(&db, &swap).await, (2, FaultKind::Changed));
        for (seq, expected) in [
            (Some(6), (6, FaultKind::OutOfOrder)),
            (Some(0), (0, FaultKind::OutOfOrder)),
            (None, (0, FaultKind::Unchained)),
        ] {
            let mut tx = db.write().await.unwrap();
            let sql = "INSERT INTO audit (id, at, actor_kind, actor_name, action, outcome, details, seq, hash)
                       SELECT $1, at, actor_kind, actor_name, action, outcome, details, $2, hash
                       FROM audit WHERE seq = 5";
            on_tx!(&mut tx, |c| {
                sqlx::query(sql).bind(Uuid::now_v7()).bind(seq).execute(c).await.map(drop)
            })
            .unwrap();
            let fault = verify(&mut tx, None).await.unwrap().fault.unwrap();
            assert_eq!((fault.seq, fault.kind), expected);
        }
    }

    async fn who_does_not_have_the_key_makes_no_record_that_fits(db) {
        five(&db).await;
        db.row_key().set(&[8; 32]);
        let other = found(&db).await;
        assert_eq!(other.fault, Some(Fault { seq: 1, kind: FaultKind::Changed }));
        db.row_key().set(&[7; 32]);
        assert!(found(&db).await.intact);
    }

    async fn the_hub_goes_on_where_somebody_wrote_to_the_head_and_it_stays_known(db) {
        for (number, tampering) in [
            "UPDATE audit_head SET unchained = 7",
            "UPDATE audit_head SET seq = 1",
            "DELETE FROM audit_head",
        ].into_iter().enumerate() {
            five(&db).await;
            let mut tx = db.write().await.unwrap();
            execute(&mut tx, tampering).await;
            tx.commit().await.unwrap();
            write(&db, entry("later"), at(10)).await;
            let found = found(&db).await;
            // The first of them stays the first that does not fit, as long as
            // the begin of the chain is known.
            let kind = found.fault.clone().unwrap().kind;
            assert_eq!((found.intact, kind), (false, FaultKind::HeadChanged), "{number}: {found:?}");
            let mut tx = db.write().await.unwrap();
            execute(&mut tx, "DELETE FROM audit").await;
            execute(&mut tx, "DELETE FROM audit_head").await;
            tx.commit().await.unwrap();
        }
    }

    async fn what_is_left_fits_after_old_records_were_deleted(db) {
        for day in 1..=5 {
            write(&db, entry(&day.to_string()), at(0) + DAY * day).await;
        }
        let noted = Expected { seq: 2, hash: hash_of(&mut db.read().await.unwrap(), 2).await };
        let kept = Expected { seq: 6, hash: hash_of(&mut db.read().await.unwrap(), 6).await };
        let pruned = prune(&db, at(0) + DAY * 3, at(0) + DAY * 6).await.unwrap();
        assert_eq!((pruned.records, pruned.is_all), (3, true), "the begin and two days");
        let left = found(&db).await;
        assert!(left.intact, "{left:?}");
        assert_eq!((left.checked, left.first_seq, left.last_seq, left.deleted_to), (4, Some(4), 7, 3));
        let newest = crate::identity::audit::store::list_chained(&mut db.read().await.unwrap(), 6, 10).await.unwrap();
        assert_eq!(newest[0].action, "audit.prune");
        assert_eq!((&newest[0].details.0["records"], &newest[0].details.0["to_seq"]), (&json!(3), &json!(3)));
        let mut tx = db.read().await.unwrap();
        let compared = verify(&mut tx, Some(&noted)).await.unwrap();
        assert_eq!((compared.intact, compared.expected), (true, Some(Comparison::Deleted)));
        let compared = verify(&mut tx, Some(&kept)).await.unwrap();
        assert_eq!((compared.intact, compared.expected), (true, Some(Comparison::Met)));
        drop(tx);
        assert_eq!(fault_after(&db, &["DELETE FROM audit WHERE seq = 4"]).await, (4, FaultKind::Missing));
        let nothing = prune(&db, at(0) + DAY * 3, at(0) + DAY * 6).await.unwrap();
        assert_eq!((nothing.records, found(&db).await.last_seq), (0, 7), "nothing is recorded of nothing");
    }

    async fn a_clock_that_was_wrong_deletes_nothing_too_early(db) {
        write(&db, entry("future"), at(0) + DAY * 100).await;
        write(&db, entry("past"), at(0)).await;
        let pruned = prune(&db, at(0) + DAY * 50, at(0) + DAY * 60).await.unwrap();
        assert_eq!(pruned.records, 0);
        assert_eq!(found(&db).await.checked, 3);
    }

    async fn records_from_before_the_chain_are_counted(db) {
        let mut tx = db.write().await.unwrap();
        for second in [1, 2] {
            let sql = "INSERT INTO audit (id, at, actor_kind, actor_name, action, outcome, details)
                       VALUES ($1, $2, 'system', '', 'agent.approve', 'done', '{}')";
            on_tx!(&mut tx, |c| {
                sqlx::query(sql).bind(Uuid::now_v7()).bind(at(second)).execute(c).await.map(drop)
            })
            .unwrap();
        }
        tx.commit().await.unwrap();
        write(&db, entry("first"), at(10)).await;
        let begun = found(&db).await;
        assert_eq!((begun.intact, begun.unchained, begun.checked), (true, 2, 2));
        let begin = crate::identity::audit::store::list_chained(&mut db.read().await.unwrap(), 0, 1).await.unwrap();
        assert_eq!(begin[0].details.0["unchained"], json!(2));
        assert_eq!(fault_after(&db, &["DELETE FROM audit WHERE seq IS NULL"]).await.1, FaultKind::Unchained);
        assert_eq!(prune(&db, at(2), at(10)).await.unwrap().records, 1);
        let left = found(&db).await;
        assert_eq!((left.intact, left.unchained, left.deleted_to), (true, 1, 0));
    }

    async fn many_transactions_at_once_make_one_chain_and_wait_in_no_circle(db) {
        const WRITERS: i64 = 20;
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..WRITERS {
            let db = db.clone();
            writers.spawn(async move {
                let mut tx = db.write().await.unwrap();
                let target = number.to_string();
                // Some record first and write what others write to afterwards.
                if number % 2 == 0 {
                    record(&mut tx, entry(&target), at(number)).await.unwrap();
                }
                crate::vault::settings::put(&mut tx, "shared", b"x", at(number)).await.unwrap();
                tokio::task::yield_now().await;
                record(&mut tx, entry(&target), at(number)).await.unwrap();
                tx.commit().await.unwrap();
            });
        }
        writers.join_all().await;
        let all = found(&db).await;
        assert_eq!((all.intact, all.checked, all.last_seq), (true, 31, 31), "{all:?}");
    }

    async fn a_long_chain_is_walked_page_by_page(db) {
        let mut tx = db.write().await.unwrap();
        for number in 0..1_100 {
            record(&mut tx, entry(&number.to_string()), at(number)).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!((found(&db).await.intact, found(&db).await.checked), (true, 1_101));
        assert_eq!(fault_after(&db, &["UPDATE audit SET target_id = 'x' WHERE seq = 1050"]).await.0, 1050);
    }

    async fn what_was_noted_elsewhere_is_compared(db) {
        five(&db).await;
        let hash = hash_of(&mut db.read().await.unwrap(), 4).await;
        let compared = async |seq, hash: &ChainHash| {
            let expected = Expected { seq, hash: hash.clone() };
            let found = verify(&mut db.read().await.unwrap(), Some(&expected)).await.unwrap();
            (found.intact, found.expected.unwrap())
        };
        assert_eq!(compared(4, &hash).await, (true, Comparison::Met));
        assert_eq!(compared(5, &hash).await, (false, Comparison::NotMet));
        assert_eq!(compared(6, &hash).await, (false, Comparison::NotMet), "the newest records are gone");
        assert_eq!(compared(4, &ChainHash(vec![0; 32])).await, (false, Comparison::NotMet));
    }

    async fn what_is_undone_leaves_no_gap(db) {
        five(&db).await;
        let mut undone = db.write().await.unwrap();
        record(&mut undone, entry("undone"), at(6)).await.unwrap();
        drop(undone);
        write(&db, entry("6"), at(7)).await;
        let now = found(&db).await;
        assert_eq!((now.intact, now.last_seq), (true, 6));
    }
}

fn empty() -> Verification {
    Verification {
        intact: true,
        checked: 0,
        first_seq: None,
        last_seq: 0,
        head_hash: String::new(),
        deleted_to: 0,
        unchained: 0,
        fault: None,
        expected: None,
    }
}
