//! What is not accepted of passkeys, and that nobody learns why.

use data_encoding::BASE64URL_NOPAD;

use super::*;

/// What was refused at the door, as the last record has it.
async fn last_refusal(hub: &TestHub) -> String {
    let records = audited(hub, "user.sign_in").await;
    assert_eq!(records[0]["outcome"], "denied");
    records[0]["details"]["detail"].as_str().unwrap().to_owned()
}

/// Refused as everything is, for this reason.
async fn expect_refused(hub: &TestHub, answer: &Answer, why: &str) {
    assert_eq!(outcome(answer), (401, "passkey_refused"), "{why}: {answer:?}");
    let message = "The passkey was not accepted. Try again, or sign in with your password.";
    assert_eq!(answer.body["error"]["message"], message);
    assert!(!answer.headers.contains_key("set-cookie"), "{why}");
    assert_eq!(last_refusal(hub).await, format!("passkey: {why}"));
    hub.clock.advance(CALM);
}

on_both_hubs! {
    async fn a_use_counts_only_as_it_was_asked_for(hub) {
        let (phone, _) = add(&hub, &hub.signed_in("viewer").await).await;
        for (wrong, why) in [
            (Scene { origin: "https://evil.example:8443", ..GOOD }, "not valid"),
            (Scene { origin: "https://hub.example", ..GOOD }, "not valid"),
            (Scene { rp_id: "evil.example", ..GOOD }, "not valid"),
            (Scene { flags: PRESENT, ..GOOD }, "not valid"),
            (Scene { flags: 0, ..GOOD }, "not valid"),
        ] {
            expect_refused(&hub, &sign_in(&hub, &phone, 1, &wrong).await, why).await;
        }
        let (browser, challenge) = challenged(&hub).await;
        let other = BASE64URL_NOPAD.encode(&[7; 16]);
        let answer = hub.post(&browser, ALONE, phone.answer(&other, 1, &GOOD)).await;
        expect_refused(&hub, &answer, "no such challenge").await;
        // It waited for too long meanwhile.
        let answer = hub.post(&browser, ALONE, phone.answer(&challenge, 1, &GOOD)).await;
        expect_refused(&hub, &answer, "no such challenge").await;
        let (browser, challenge) = challenged(&hub).await;
        let mut bent = phone.answer(&challenge, 1, &GOOD);
        bent["signature"] = phone.answer(&challenge, 2, &GOOD)["signature"].clone();
        expect_refused(&hub, &hub.post(&browser, ALONE, bent).await, "not valid").await;
        assert_eq!(sign_in(&hub, &phone, 1, &GOOD).await.status, StatusCode::OK);
    }

    async fn a_challenge_is_answered_once_and_by_its_own_browser(hub) {
        let (phone, _) = add(&hub, &hub.signed_in("viewer").await).await;
        let (browser, challenge) = challenged(&hub).await;
        let (other, _) = challenged(&hub).await;
        let answer = phone.answer(&challenge, 1, &GOOD);
        for stranger in [other, Client::browser()] {
            let refused = hub.post(&stranger, ALONE, answer.clone()).await;
            assert_eq!(outcome(&refused), (401, "passkey_refused"));
            assert_eq!(last_refusal(&hub).await, "passkey: no such challenge");
        }
        assert_eq!(hub.post(&browser, ALONE, answer.clone()).await.status, StatusCode::OK);
        expect_refused(&hub, &hub.post(&browser, ALONE, answer).await, "no such challenge").await;
    }

    /// ASVS 2.3.4.
    async fn asvs_2_3_4_of_a_hundred_with_one_challenge_one_is_let_in(hub) {
        let (phone, _) = add(&hub, &hub.signed_in("viewer").await).await;
        let (browser, challenge) = challenged(&hub).await;
        let answer = phone.answer(&challenge, 0, &GOOD);
        let attempts = (0..100).map(|_| hub.post(&browser, ALONE, answer.clone()));
        let answers = futures_util::future::join_all(attempts).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 401, 429].contains(status)), "{statuses:?}");
    }

    async fn a_counter_that_goes_back_is_refused_and_told(hub) {
        let (phone, id) = add(&hub, &hub.signed_in("viewer").await).await;
        assert_eq!(sign_in(&hub, &phone, 7, &GOOD).await.status, StatusCode::OK);
        for count in [7, 6, 0] {
            let answer = sign_in(&hub, &phone, count, &GOOD).await;
            expect_refused(&hub, &answer, "its counter went back, there may be two of it").await;
        }
        let warnings = audited(&hub, "user.passkey_cloned").await;
        assert_eq!(warnings.len(), 3);
        assert_eq!((&warnings[0]["details"]["passkey_id"], &warnings[0]["outcome"]), (&json!(id), &json!("denied")));
        let (browser, challenge) = challenged(&hub).await;
        let passkey = phone.answer(&challenge, 7, &GOOD);
        let beside = json!({ "name": "viewer", "password": PASSWORD, "passkey": passkey });
        assert_eq!(outcome(&hub.post(&browser, SESSION, beside).await), (401, "passkey_refused"));
        assert_eq!(audited(&hub, "user.passkey_cloned").await.len(), 4);
        assert_eq!(sign_in(&hub, &phone, 8, &GOOD).await.status, StatusCode::OK);
    }

    async fn a_passkey_is_of_its_user_and_of_nobody_else(hub) {
        let (phone, _) = add(&hub, &hub.signed_in("viewer").await).await;
        let (other, _) = add(&hub, &hub.signed_in("operator").await).await;
        let (browser, challenge) = challenged(&hub).await;
        let passkey = other.answer(&challenge, 1, &GOOD);
        let beside = json!({ "name": "viewer", "password": PASSWORD, "passkey": passkey });
        expect_refused(&hub, &hub.post(&browser, SESSION, beside).await, "of another user").await;
        let posing = other.posing_as(&phone);
        expect_refused(&hub, &sign_in(&hub, &posing, 1, &GOOD).await, "not valid").await;
    }

    async fn what_nobody_added_is_answered_as_what_is_wrong(hub) {
        let viewer = hub.signed_in("viewer").await;
        let (unknown, _) = Authenticator::make(&begin(&hub, &viewer).await, &GOOD);
        expect_refused(&hub, &sign_in(&hub, &unknown, 1, &GOOD).await, "unknown").await;
        let (browser, challenge) = challenged(&hub).await;
        let mut short = unknown.answer(&challenge, 1, &GOOD);
        short["user_handle"] = json!("AQID");
        expect_refused(&hub, &hub.post(&browser, ALONE, short.clone()).await, "unknown").await;
        for (field, value) in [("id", json!("A".repeat(2000))), ("signature", json!("=")), ("more", json!(1))] {
            let mut strange = short.clone();
            strange[field] = value;
            assert_eq!(hub.post(&browser, ALONE, strange).await.status.as_u16() / 100, 4, "{field}");
        }
    }

    async fn who_is_disabled_does_not_sign_in_with_a_passkey(hub) {
        let viewer = hub.signed_in("viewer").await;
        let (phone, _) = add(&hub, &viewer).await;
        let me = hub.get(&viewer, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
        let disabled = hub.post(&Client::local(), &format!("/api/v1/users/{me}/disable"), Value::Null).await;
        assert!(disabled.status.is_success(), "{disabled:?}");
        expect_refused(&hub, &sign_in(&hub, &phone, 1, &GOOD).await, "the user is disabled").await;
    }

    async fn what_a_browser_made_counts_only_as_it_was_asked_for(hub) {
        let viewer = hub.signed_in("viewer").await;
        for wrong in [
            Scene { origin: "https://evil.example:8443", ..GOOD },
            Scene { rp_id: "evil.example", ..GOOD },
            Scene { flags: PRESENT, ..GOOD },
        ] {
            let (_, credential) = Authenticator::make(&begin(&hub, &viewer).await, &wrong);
            assert_eq!(outcome(&finish(&hub, &viewer, &credential).await), (400, "passkey_refused"), "{wrong:?}");
        }
        let mut begun = begin(&hub, &viewer).await;
        begun["challenge"] = json!(BASE64URL_NOPAD.encode(&[7; 16]));
        let (_, credential) = Authenticator::make(&begun, &GOOD);
        assert_eq!(outcome(&finish(&hub, &viewer, &credential).await), (400, "passkey_refused"));
        assert_eq!(outcome(&finish(&hub, &viewer, &credential).await), (409, "passkey_not_begun"));
        assert_eq!(audited(&hub, "user.passkey_add").await.len(), 4);

        let begun = begin(&hub, &viewer).await;
        let (phone, credential) = Authenticator::make(&begun, &GOOD);
        let elsewhere = hub.signed_in("viewer").await;
        assert_eq!(outcome(&finish(&hub, &elsewhere, &credential).await), (409, "passkey_not_begun"));
        assert_eq!(finish(&hub, &viewer, &credential).await.status, StatusCode::CREATED);
        let operator = hub.signed_in("operator").await;
        let begun = begin(&hub, &operator).await;
        let again = phone.attest(begun["challenge"].as_str().unwrap(), &GOOD);
        assert_eq!(outcome(&finish(&hub, &operator, &again).await), (409, "passkey_known"));
        let begun = begin(&hub, &operator).await;
        let (_, credential) = Authenticator::make(&begun, &GOOD);
        hub.clock.advance(Duration::from_secs(300));
        assert_eq!(outcome(&finish(&hub, &operator, &credential).await), (409, "passkey_not_begun"));
    }
}

#[tokio::test]
async fn a_passkey_of_another_name_is_shown_as_such_and_signs_nobody_in() {
    let hub = hub_on(TestDb::sqlite().await).await;
    let viewer = hub.signed_in("viewer").await;
    let (phone, _) = add(&hub, &viewer).await;
    let other = |client: Client| client.with("host", "new.example").with("origin", "https://new.example");
    let listed = hub.get(&other(viewer.clone()), OWN).await.body;
    assert_eq!(listed["rp_id"], "new.example");
    assert_eq!(listed["passkeys"][0]["rp_id"], "hub.example");
    assert_eq!(listed["passkeys"][0]["works_here"], false);
    let begun = hub.post(&other(Client::browser()), CHALLENGE, Value::Null).await;
    let browser = other(Client::browser()).with("cookie", &begun.cookie());
    let scene = Scene { origin: "https://new.example", rp_id: "new.example", ..GOOD };
    let answer = phone.answer(begun.body["challenge"].as_str().unwrap(), 1, &scene);
    expect_refused(&hub, &hub.post(&browser, ALONE, answer).await, "made for another name of the hub").await;
    let asked = hub.sign_in(&other(Client::browser()), "viewer", PASSWORD).await;
    assert_eq!(outcome(&asked), (401, "second_factor_required"), "another name is no way around it");
}
