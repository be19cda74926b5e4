//! To a GitHub and back.

use secrecy::SecretString;
use url::Url;
use zeroize::Zeroizing;

use super::GitHubConfiguration;
use super::api::{DEADLINE, Person, Redeemable, Trouble, Wanted, Way};
use crate::identity::Identity;
use crate::identity::federation::accounts::{Refusal, Stop, Verified};
use crate::identity::federation::model::{Provider, TestStep};
use crate::identity::federation::oidc::{Arrival, Attempt, Purpose, Unasked};

/// What is asked for, to show somebody's address.
const SCOPE: &str = "user:email";
/// What is asked for too where it matters in which organizations they are.
const GROUPS_SCOPE: &str = "read:org";

impl Identity {
    /// Where a browser goes that begins this attempt.
    pub(in crate::identity::federation) fn github_location(
        provider: &Provider,
        github: &GitHubConfiguration,
        attempt: &Attempt,
    ) -> Result<Url, Stop> {
        let mut location = github.authorization().ok_or(Refusal::Provider)?;
        let wanted = wanted(provider);
        let scope = match wanted.organizations || wanted.teams {
            true => format!("{GROUPS_SCOPE} {SCOPE}"),
            false => SCOPE.to_owned(),
        };
        location
            .query_pairs_mut()
            .append_pair("client_id", &github.client_id)
            .append_pair("redirect_uri", &attempt.redirect_uri)
            .append_pair("scope", &scope)
            .append_pair("state", &attempt.state())
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256")
            .append_pair("allow_signup", "false");
        match attempt.purpose {
            Purpose::SignIn => {}
            // Who happens to be signed in there may be somebody else. It asks nobody for a password anew.
            Purpose::Link(_) | Purpose::Confirm { .. } => {
                location.query_pairs_mut().append_pair("prompt", "select_account");
            }
            Purpose::Code(_) => return Err(Refusal::Expired.into()),
        }
        Ok(location)
    }

    /// Who came back, as far as the provider's API says.
    pub(in crate::identity::federation) async fn verified_by_github<'a>(
        &self,
        provider: &'a Provider,
        github: &GitHubConfiguration,
        attempt: &Attempt,
        arrival: &Arrival,
    ) -> Result<Verified<'a>, Refusal> {
        let slug = provider.slug.as_str();
        let refuse = |refusal: Refusal, cause: &dyn std::fmt::Display| {
            tracing::warn!(provider = slug, %cause, "somebody who came from an identity provider is not let in");
            refusal
        };
        // It does not name itself. One that does is another one.
        let code = arrival.code(&github.base, false).map_err(|cause| refuse(Refusal::Refused, &cause))?;
        let secret = self.client_secret(provider).await.map_err(|_| Refusal::Provider)?;
        let person = self.ask_github(provider, github, (attempt, code), secret.as_ref()).await;
        let person = person.map_err(|trouble| match trouble {
            Trouble::Way(_) | Trouble::Slow | Trouble::Address => refuse(Refusal::Provider, &trouble),
            Trouble::NoToken | Trouble::NoUser | Trouble::NoGroups => refuse(Refusal::Refused, &trouble),
        })?;
        Ok(Verified {
            provider,
            issuer: github.base.clone(),
            subject: person.id.to_string(),
            session: None,
            called: Some(called(&person)),
            names: vec![person.login],
            groups: person.groups,
            by_two_factors: provider.trusted_for_second_factor,
        })
    }

    /// Tries what can be tried without a user.
    pub(in crate::identity::federation) async fn test_github(&self, github: &GitHubConfiguration) -> Vec<TestStep> {
        let probed = async {
            let rules = github.rules().map_err(|_| Trouble::Address)?;
            Way { outgoing: &self.federation.outgoing, rules: &rules, github }.probe().await
        };
        let trouble = match probed.await {
            Ok(()) => None,
            Err(Trouble::Way(error)) => Some(Unasked::Way(error).as_str()),
            Err(_) => Some(Unasked::NoDocument.as_str()),
        };
        let named = [github.authorization(), github.token(), github.api("/")];
        let found = named.into_iter().flatten().map(String::from).filter(|_| trouble.is_none()).collect();
        vec![TestStep { step: "api", passed: Some(trouble.is_none()), trouble, found }]
    }

    async fn ask_github(
        &self,
        provider: &Provider,
        github: &GitHubConfiguration,
        (attempt, code): (&Attempt, &str),
        secret: Option<&SecretString>,
    ) -> Result<Person, Trouble> {
        let rules = github.rules().map_err(|_| Trouble::Address)?;
        let way = Way { outgoing: &self.federation.outgoing, rules: &rules, github };
        let verifier = Zeroizing::new(attempt.verifier());
        let redeemable = Redeemable { code, verifier, redirect_uri: &attempt.redirect_uri, secret };
        let asked = tokio::time::timeout(DEADLINE, way.ask(&redeemable, wanted(provider))).await;
        asked.unwrap_or(Err(Trouble::Slow))
    }
}

/// What has to be known of somebody's groups: nothing that nobody asks for.
fn wanted(provider: &Provider) -> Wanted {
    let mapped = provider.mappings.iter().map(|mapping| mapping.value.as_str());
    let mut wanted = Wanted::default();
    for group in mapped.chain(provider.required_group.as_deref()) {
        match group.contains('/') {
            true => wanted.teams = true,
            false => wanted.organizations = true,
        }
    }
    wanted
}

/// What is shown of somebody.
fn called(person: &Person) -> String {
    match &person.email {
        Some(email) => format!("{} ({email})", person.login),
        None => person.login.clone(),
    }
}
