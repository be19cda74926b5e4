//! Recordings through the API and in their tables.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{NewRecording, Recording, RecordingFilter, RecordingState};
use super::service::sealed;
use super::store::{self, Progress};
use super::*;
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::db::testing::{TestDb, on_both_engines};
use crate::http::{Page, Visible};
use crate::testing::{Client, TestHub};

/// How long something may take that takes a moment.
const SOON: Duration = Duration::from_secs(10);
const ALL: Page = Page { limit: 50, offset: 0 };
/// Seconds of the day on which the clock of the tests stands.
const TODAY: i64 = 1_777_852_800;
const DAY: i64 = 24 * 60 * 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

fn new(environment: Uuid, name: &str) -> NewRecording {
    NewRecording {
        id: Uuid::now_v7(),
        environment,
        environment_name: "site".to_owned(),
        container: format!("id-of-{name}"),
        container_name: Some(name.to_owned()),
        user: None,
        user_name: "Ada".to_owned(),
        command: Some(vec!["sh".to_owned(), "-c".to_owned()]),
        size: (80, 24),
    }
}

async fn listed(app: &AppState, filter: &RecordingFilter) -> Vec<Recording> {
    app.list_recordings(filter, &Visible::All, ALL).await.unwrap().items
}

/// A recording that ended at this second, and takes so many bytes.
async fn ended_at(app: &AppState, environment: Uuid, second: i64, stored_bytes: i64) -> Uuid {
    let new = new(environment, "web");
    let mut tx = app.db.write().await.unwrap();
    store::insert(&mut tx, &new, at(second)).await.unwrap();
    let progress = Progress { stored_bytes, chunks: 1, ..Progress::default() };
    store::insert_chunk(&mut tx, new.id, 0, &[7]).await.unwrap();
    store::set_progress(&mut tx, new.id, &progress).await.unwrap();
    store::end(&mut tx, new.id, RecordingState::Complete, at(second)).await.unwrap();
    tx.commit().await.unwrap();
    new.id
}

on_both_engines! {
    async fn a_recording_is_kept_found_by_what_is_wanted_and_deleted_with_its_parts(db) {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let (first, second) = (new(one, "web"), NewRecording { command: None, container_name: None, ..new(other, "db") });
        let mut tx = db.write().await.unwrap();
        for new in [&first, &second] {
            store::insert(&mut tx, new, at(TODAY)).await.unwrap();
        }
        let progress = Progress { millis: 1_500, bytes: 40, stored_bytes: 30, chunks: 1, is_cut: true };
        for content in [[1_u8], [2]] {
            store::insert_chunk(&mut tx, first.id, 0, &content).await.unwrap();
        }
        store::set_progress(&mut tx, first.id, &progress).await.unwrap();
        assert!(store::end(&mut tx, first.id, RecordingState::Complete, at(TODAY + 2)).await.unwrap());
        assert!(!store::end(&mut tx, first.id, RecordingState::BrokenOff, at(TODAY + 9)).await.unwrap());
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        let found = store::find(&mut tx, first.id).await.unwrap().unwrap();
        assert_eq!((found.seconds, found.is_cut, found.state), (1.5, true, RecordingState::Complete));
        assert_eq!((found.ended_at, found.chunks, found.columns), (Some(at(TODAY + 2)), 1, 80));
        assert_eq!(store::find_chunk(&mut tx, first.id, 0).await.unwrap(), Some(vec![1]), "the first stays");
        assert_eq!(store::find_chunk(&mut tx, first.id, 1).await.unwrap(), None);
        let running = store::list_running(&mut tx).await.unwrap();
        assert_eq!(running.iter().map(|found| found.id).collect::<Vec<_>>(), [second.id]);
        let by = |environment, container: Option<&str>, user: Option<&str>| RecordingFilter {
            environment,
            container: container.map(str::to_owned),
            user: user.map(str::to_owned),
        };
        for (filter, wanted) in [
            (RecordingFilter::default(), vec![second.id, first.id]),
            (by(Some(other), None, None), vec![second.id]),
            (by(None, Some("web"), None), vec![first.id]),
            (by(None, Some("id-of-db"), Some("ada")), vec![second.id]),
            (by(Some(one), Some("id-of-db"), None), vec![]),
            (by(None, None, Some("eve")), vec![]),
        ] {
            let found = store::list(&mut tx, &filter, &Visible::All, ALL).await.unwrap();
            assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), wanted, "{filter:?}");
            assert_eq!(store::count(&mut tx, &filter, &Visible::All).await.unwrap(), i64::try_from(wanted.len()).unwrap());
        }
        drop(tx);
        let mut tx = db.write().await.unwrap();
        assert!(store::delete(&mut tx, first.id).await.unwrap());
        assert!(!store::delete(&mut tx, first.id).await.unwrap());
        assert_eq!(store::find_chunk(&mut tx, first.id, 0).await.unwrap(), None);
    }

    async fn the_oldest_give_way(db) {
        let mut tx = db.write().await.unwrap();
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut all = Vec::new();
        for (environment, second) in [(one, 10), (one, 20), (other, 30), (one, 40), (one, 50)] {
            let new = new(environment, "web");
            store::insert(&mut tx, &new, at(second)).await.unwrap();
            store::set_progress(&mut tx, new.id, &Progress { stored_bytes: second, ..Progress::default() }).await.unwrap();
            if second != 20 {
                store::end(&mut tx, new.id, RecordingState::Complete, at(second)).await.unwrap();
            }
            all.push(new.id);
        }
        assert_eq!(store::stored_bytes(&mut tx).await.unwrap(), 150);
        assert_eq!(store::list_oldest(&mut tx, 2).await.unwrap(), [(all[0], 10), (all[2], 30)]);
        assert_eq!(store::list_above(&mut tx, 3).await.unwrap(), [one]);
        assert_eq!(store::delete_above(&mut tx, one, 2).await.unwrap(), 1, "what is being made stays");
        assert_eq!(store::delete_above(&mut tx, other, 2).await.unwrap(), 0);
        assert_eq!(store::delete_before(&mut tx, at(35)).await.unwrap(), 1);
        let left = store::list(&mut tx, &RecordingFilter::default(), &Visible::All, ALL).await.unwrap();
        assert_eq!(left.iter().map(|left| left.id).collect::<Vec<_>>(), [all[4], all[3], all[1]]);
    }
}

/// The events of a cast, as kind and text.
fn events(cast: &str) -> Vec<(String, String)> {
    let lines = cast.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (line[1].as_str().unwrap().to_owned(), line[2].as_str().unwrap().to_owned())).collect()
}

async fn cast(hub: &TestHub, id: Uuid) -> String {
    let answer = hub.get(&hub.signed_in("admin").await, &format!("/api/v1/recordings/{id}/cast")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/x-asciicast");
    answer.body.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_printed_is_kept_sealed_and_given_to_administrators_who_are_recorded() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let wish = new(Uuid::now_v7(), "web");
    let recorder = hub.app.begin_recording(wish.clone()).await.unwrap();
    let path = format!("/api/v1/recordings/{}", wish.id);
    assert_eq!(hub.get(&admin, &path).await.body["state"], "running");
    assert_eq!(hub.delete(&admin, &path).await.code(), "recording_running");
    recorder.print("the word is plover ✓".as_bytes());
    recorder.resize(100, 30);
    assert_eq!(recorder.finish().await, Kept::Whole);

    let found = hub.get(&admin, &path).await.body;
    assert_eq!(
        (&found["state"], &found["is_cut"], &found["user_name"]),
        (&json!("complete"), &json!(false), &json!("Ada"))
    );
    let cast = cast(&hub, wish.id).await;
    let head: Value = serde_json::from_str(cast.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&head["version"], &head["width"], &head["title"]),
        (&json!(2), &json!(80), &json!("sh -c in web on site by Ada"))
    );
    let wanted = [("o", "the word is plover ✓"), ("r", "100x30")];
    assert_eq!(events(&cast), wanted.map(|(kind, text)| (kind.to_owned(), text.to_owned())));
    assert_eq!(found["bytes"], cast.lines().skip(1).map(|line| line.len() + 1).sum::<usize>());
    let stored = store::find_chunk(&mut hub.app.db.read().await.unwrap(), wish.id, 0).await.unwrap().unwrap();
    assert!(!stored.windows(6).any(|part| part == b"plover"));

    let viewer = hub.signed_in("viewer").await;
    for path in ["/api/v1/recordings", &path, &format!("{path}/cast")] {
        assert_eq!(hub.get(&viewer, path).await.code(), "not_permitted", "{path}");
    }
    assert_eq!(hub.delete(&viewer, &path).await.code(), "not_permitted");
    assert_eq!(hub.get(&admin, "/api/v1/recordings?user=ada&container=web").await.body["total"], 1);
    assert_eq!(hub.get(&admin, "/api/v1/recordings?colour=red").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(hub.delete(&admin, &path).await.status, StatusCode::NO_CONTENT);
    for path in [&path, &format!("{path}/cast")] {
        assert_eq!(hub.get(&admin, path).await.status, StatusCode::NOT_FOUND);
    }
    for action in ["recording.read", "recording.delete"] {
        let records = hub.get(&admin, &format!("/api/v1/audit?action={action}")).await.body;
        assert_eq!(records["items"][0]["target_id"], json!(wish.id), "{records}");
    }
}

#[tokio::test]
async fn a_part_that_was_moved_or_is_missing_cuts_the_cast_off() {
    let hub = TestHub::with_users().await;
    let app = &hub.app;
    let wish = new(Uuid::now_v7(), "web");
    let mut tx = app.db.write().await.unwrap();
    store::insert(&mut tx, &wish, at(TODAY)).await.unwrap();
    for (number, made_for) in [(0, 0), (1, 0)] {
        let content = sealed(&app.vault, wish.id, made_for, "[0.000000,\"o\",\"x\"]\n");
        store::insert_chunk(&mut tx, wish.id, number, &content).await.unwrap();
    }
    store::set_progress(&mut tx, wish.id, &Progress { chunks: 3, ..Progress::default() }).await.unwrap();
    tx.commit().await.unwrap();
    app.read_part(wish.id, 0).await.unwrap();
    for number in [1, 2] {
        assert!(app.read_part(wish.id, number).await.is_err(), "{number}");
    }
}

#[tokio::test]
async fn what_an_earlier_hub_was_recording_is_broken_off_where_it_was_written_last() {
    let hub = TestHub::with_users().await;
    let app = &hub.app;
    let (left, own) = (new(Uuid::now_v7(), "web"), new(Uuid::now_v7(), "web"));
    let mut tx = app.db.write().await.unwrap();
    store::insert(&mut tx, &left, at(TODAY)).await.unwrap();
    store::set_progress(&mut tx, left.id, &Progress { millis: 4_200, ..Progress::default() }).await.unwrap();
    tx.commit().await.unwrap();
    let recorder = app.begin_recording(own.clone()).await.unwrap();
    assert_eq!(app.end_broken_recordings().await.unwrap(), 1);
    assert_eq!(app.end_broken_recordings().await.unwrap(), 0);
    let found = app.recording(left.id).await.unwrap();
    assert_eq!(
        (found.state, found.ended_at),
        (RecordingState::BrokenOff, Some(at(TODAY) + Duration::from_millis(4_200)))
    );
    assert_eq!(app.recording(own.id).await.unwrap().state, RecordingState::Running);
    assert_eq!(recorder.finish().await, Kept::Whole);
}

#[tokio::test]
async fn a_terminal_that_never_began_leaves_no_recording() {
    let hub = TestHub::with_users().await;
    let recorder = hub.app.begin_recording(new(Uuid::now_v7(), "web")).await.unwrap();
    recorder.discard();
    assert_eq!(recorder.finish().await, Kept::Whole);
    assert!(listed(&hub.app, &RecordingFilter::default()).await.is_empty());
}

#[tokio::test]
async fn old_recordings_and_those_beyond_the_room_there_is_are_deleted() {
    let hub = TestHub::with_users().await;
    let app = &hub.app;
    let environment = Uuid::now_v7();
    let mib = 1024 * 1024;
    ended_at(app, environment, TODAY - 31 * DAY, 1).await;
    ended_at(app, environment, TODAY - 3 * DAY, 600 * mib).await;
    let newer = ended_at(app, environment, TODAY - 2 * DAY, 600 * mib).await;
    assert_eq!(app.delete_old_recordings().await.unwrap(), 2);
    let left = listed(app, &RecordingFilter::default()).await;
    assert_eq!(left.iter().map(|left| left.id).collect::<Vec<_>>(), [newer]);
}

#[tokio::test]
async fn a_recording_that_cannot_be_written_says_so_to_its_terminal() {
    let test = TestDb::sqlite().await;
    let hub = TestHub::on(test).await;
    let recorder = hub.app.begin_recording(new(Uuid::now_v7(), "web")).await.unwrap();
    hub.app.db.guard().unwrap().note_full();
    let refused = hub.app.begin_recording(new(Uuid::now_v7(), "web")).await;
    assert!(refused.is_err_and(|error| error.is_full()));
    recorder.print(b"more");
    let broken = tokio::time::timeout(SOON, recorder.broken()).await;
    broken.expect("nobody waits for a full disk");
    assert_eq!(recorder.finish().await, Kept::BrokenOff);
    let app = Arc::clone(&hub.app);
    let states: Vec<_> = listed(&app, &RecordingFilter::default()).await.iter().map(|one| one.state).collect();
    assert_eq!(states, [RecordingState::BrokenOff]);
    assert_eq!(hub.get(&Client::local(), "/api/v1/recordings").await.body["total"], 1);
}
