//! What is asked of a GitHub with the token of one sign-in.

use std::time::Duration;

use http::{HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use super::GitHubConfiguration;
use crate::outgoing::{Answer, Call, Outgoing, OutgoingError, Rules};

/// All that is asked for one sign-in must be answered within this.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// What the API is asked for, and in which of its versions.
const KIND: &str = "application/vnd.github+json";
const VERSION: &str = "2022-11-28";
/// Organizations or teams on one page, and pages that are read.
const PAGE: usize = 100;
const PAGES_MAX: usize = 10;
/// Longest name, address of e-mail or token.
const TEXT_MAX: usize = 255;
const TOKEN_MAX: usize = 4096;

/// Why it says nothing of somebody.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("the provider cannot be asked")]
    Way(#[from] OutgoingError),
    #[error("the provider takes too long")]
    Slow,
    #[error("its address cannot be used")]
    Address,
    #[error("the provider gives no token for the code")]
    NoToken,
    #[error("the provider does not say who it is")]
    NoUser,
    #[error("the provider does not say in which organizations and teams they are")]
    NoGroups,
}

/// The way to one.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    pub outgoing: &'a Outgoing,
    pub rules: &'a Rules,
    pub github: &'a GitHubConfiguration,
}

/// What a code is redeemed with. It is not printed.
pub struct Redeemable<'a> {
    pub code: &'a str,
    pub verifier: Zeroizing<String>,
    pub redirect_uri: &'a str,
    pub secret: Option<&'a SecretString>,
}

/// Which groups somebody is asked about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub organizations: bool,
    pub teams: bool,
}

/// Somebody, as the API says.
#[derive(Debug)]
pub struct Person {
    /// What stays the same of them.
    pub id: u64,
    /// What they are called at the moment.
    pub login: String,
    /// Their address, if it is verified. It is shown, and leads to nobody.
    pub email: Option<String>,
    /// `org` and `org/team`.
    pub groups: Vec<String>,
}

/// It is an answer with the status 200, too, where there is none.
#[derive(Deserialize)]
struct Redeemed {
    access_token: Option<SecretString>,
    token_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
}

#[derive(Deserialize)]
struct Organization {
    login: String,
}

#[derive(Deserialize)]
struct Team {
    slug: String,
    organization: Organization,
}

#[derive(Deserialize)]
struct Email {
    email: String,
    primary: bool,
    verified: bool,
}

impl Way<'_> {
    /// Redeems a code and asks who came. The token ends with this.
    pub async fn ask(&self, redeemable: &Redeemable<'_>, wanted: Wanted) -> Result<Person, Trouble> {
        let token = self.redeem(redeemable).await?;
        let user: User = self.get(&token, "/user", 1).await?.document().ok_or(Trouble::NoUser)?;
        if user.id == 0 || !is_text(&user.login) {
            return Err(Trouble::NoUser);
        }
        let mut groups = Vec::new();
        if wanted.organizations {
            let organizations: Vec<Organization> = self.list(&token, "/user/orgs").await?;
            groups.extend(organizations.into_iter().map(|organization| organization.login));
        }
        if wanted.teams {
            let teams: Vec<Team> = self.list(&token, "/user/teams").await?;
            groups.extend(teams.into_iter().map(|team| format!("{}/{}", team.organization.login, team.slug)));
        }
        let email = self.email(&token).await;
        Ok(Person { id: user.id, login: user.login, email, groups })
    }

    /// Whether somebody answers where the API should be.
    pub async fn probe(&self) -> Result<(), Trouble> {
        let address = self.github.api("/meta").ok_or(Trouble::Address)?;
        let call = Call::get(address).with(header::ACCEPT, HeaderValue::from_static(KIND));
        let answer = self.outgoing.send(self.rules, call).await?;
        let said: Option<serde_json::Map<String, serde_json::Value>> = answer.document();
        said.map(drop).ok_or(Trouble::NoUser)
    }

    async fn redeem(&self, redeemable: &Redeemable<'_>) -> Result<SecretString, Trouble> {
        let address = self.github.token().ok_or(Trouble::Address)?;
        let secret = redeemable.secret.ok_or(Trouble::NoToken)?;
        let fields: [(&str, &str); 6] = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.github.client_id),
            ("client_secret", secret.expose_secret()),
            ("code", redeemable.code),
            ("redirect_uri", redeemable.redirect_uri),
            ("code_verifier", &redeemable.verifier),
        ];
        let answer = self.outgoing.send(self.rules, Call::post_form(address, &fields)).await?;
        let redeemed: Redeemed = answer.document().ok_or(Trouble::NoToken)?;
        let is_bearer = redeemed.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        if redeemed.error.is_some() || !is_bearer {
            return Err(Trouble::NoToken);
        }
        let is_token = |token: &SecretString| (1..=TOKEN_MAX).contains(&token.expose_secret().len());
        redeemed.access_token.filter(is_token).ok_or(Trouble::NoToken)
    }

    /// Everything of a list, page by page; what is beyond the last counts for
    /// nothing.
    async fn list<T: DeserializeOwned>(&self, token: &SecretString, path: &str) -> Result<Vec<T>, Trouble> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let answer = self.get(token, path, page).await?;
            let some: Vec<T> = answer.document().ok_or(Trouble::NoGroups)?;
            all.extend(some.into_iter().take(PAGE));
            if !has_next(&answer) {
                return Ok(all);
            }
        }
        tracing::warn!(path, "somebody is in more organizations or teams than are looked at");
        Ok(all)
    }

    /// The address that somebody uses most, if it is verified. There being none
    /// keeps nobody out.
    async fn email(&self, token: &SecretString) -> Option<String> {
        let all: Vec<Email> = self.get(token, "/user/emails", 1).await.ok()?.document()?;
        let email = all.into_iter().find(|email| email.primary && email.verified && is_text(&email.email))?;
        Some(email.email)
    }

    async fn get(&self, token: &SecretString, path: &str, page: usize) -> Result<Answer, Trouble> {
        let mut address: Url = self.github.api(path).ok_or(Trouble::Address)?;
        if path != "/user" {
            let (each, page) = (PAGE.to_string(), page.to_string());
            address.query_pairs_mut().append_pair("per_page", &each).append_pair("page", &page);
        }
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| Trouble::NoToken)?;
        bearer.set_sensitive(true);
        let call = Call::get(address)
            .with(header::AUTHORIZATION, bearer)
            .with(header::ACCEPT, HeaderValue::from_static(KIND))
            .with(header::HeaderName::from_static("x-github-api-version"), HeaderValue::from_static(VERSION));
        Ok(self.outgoing.send(self.rules, call).await?)
    }
}

/// Whether it says that there is another page. Where that is, the hub knows by
/// itself: the token goes to no address that an answer names.
fn has_next(answer: &Answer) -> bool {
    let mut links = answer.headers.get_all(header::LINK).iter().filter_map(|link| link.to_str().ok());
    links.any(|link| link.contains("rel=\"next\""))
}

fn is_text(text: &str) -> bool {
    (1..=TEXT_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}
