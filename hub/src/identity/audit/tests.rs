//! Records in the table, on both databases.

use super::*;
use crate::db::testing::on_both_engines;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

on_both_engines! {
    async fn records_are_listed_newest_first_and_page_by_page(db) {
        let mut tx = db.write().await.unwrap();
        for (second, target) in ["a", "b", "c"].into_iter().enumerate() {
            let entry = Entry::new(&Actor::System, Action::AgentApprove, target).detail("why");
            record(&mut tx, entry, at(second as i64)).await.unwrap();
        }
        let first = list(&mut tx, &AuditQuery::default(), 2).await.unwrap();
        let targets = |records: &[AuditRecord]| records.iter().map(|r| r.target_id.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(targets(&first), ["c", "b"]);
        assert_eq!(first[0].details.0["detail"], "why");
        assert_eq!(first[0].target_kind.as_deref(), Some("agent"));
        let query = AuditQuery { cursor: Some(first[1].id), ..AuditQuery::default() };
        assert_eq!(targets(&list(&mut tx, &query, 2).await.unwrap()), ["a"]);
    }

    async fn records_are_filtered_and_old_ones_deleted(db) {
        let mut tx = db.write().await.unwrap();
        let agent = AgentId::generate();
        let refused = Entry::new(&Actor::Nobody, Action::Enroll, "t").outcome(Outcome::Denied);
        record(&mut tx, refused.from([192, 0, 2, 1].into()), at(1)).await.unwrap();
        record(&mut tx, Entry::new(&Actor::Agent(agent), Action::EnrollRetry, "t"), at(2)).await.unwrap();
        let by_agent = AuditQuery { actor_id: Some(agent.to_string()), ..AuditQuery::default() };
        assert_eq!(list(&mut tx, &by_agent, 10).await.unwrap().len(), 1);
        let uses = AuditQuery { action: Some("enrollment_token.use".into()), ..AuditQuery::default() };
        let uses = list(&mut tx, &uses, 10).await.unwrap();
        assert_eq!((uses[0].outcome.as_str(), uses[0].address.as_deref()), ("denied", Some("192.0.2.1")));

        assert_eq!(delete_before(&mut tx, at(2)).await.unwrap(), 1);
        assert_eq!(list(&mut tx, &AuditQuery::default(), 10).await.unwrap().len(), 1);
    }
}
