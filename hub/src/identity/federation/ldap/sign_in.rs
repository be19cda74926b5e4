//! Signing in by a directory, and the same as a test.

use std::time::Duration;

use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use uuid::Uuid;

use super::configuration::LdapConfiguration;
use super::directory::{Directory, Gate, Open, Person, Said, Typed, is_name};
use super::steps::Steps;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::http::Caller;
use crate::identity::Identity;
use crate::identity::federation::accounts::{Refusal, Stop, Verified};
use crate::identity::federation::mapping;
use crate::identity::federation::model::{Configuration, Provider, TestStep};
use crate::identity::grants::RoleRef;
use crate::identity::sessions::Credentials;
use crate::identity::users::User;

/// Where there are directories, whoever is not let in learns of it at a multiple
/// of this: how long it took says little of who was asked.
const PACE: Duration = Duration::from_secs(1);
/// How long somebody waits for their turn to ask directories.
const TURN_DEADLINE: Duration = Duration::from_secs(5);

/// What the directories say of somebody who has no password here.
#[derive(Debug)]
pub enum Elsewhere {
    /// One of them knows them.
    Known(Box<Provider>, Person),
    /// None does. Why, for the record.
    Nobody(Option<String>),
    /// They are to wait.
    Wait(Duration),
}

/// When whoever is not let in learns of it.
#[derive(Clone, Copy, Debug)]
pub struct Pace(Option<Instant>);

impl Pace {
    /// Begins now, where there are directories.
    pub fn begin(directories: &[Provider]) -> Self {
        Self((!directories.is_empty()).then(Instant::now))
    }

    /// Waits until it is time to say no.
    pub async fn wait(self) {
        let Self(Some(began)) = self else { return };
        let steps = began.elapsed().as_millis() / PACE.as_millis() + 1;
        tokio::time::sleep_until(began + PACE * u32::try_from(steps).unwrap_or(u32::MAX)).await;
    }
}

/// A name that leads to somebody who is called otherwise counts as theirs: who
/// guesses does not get further with other spellings.
struct Spelling<'a> {
    identity: &'a Identity,
    typed: &'a str,
    caller: &'a Caller,
    now: Timestamp,
}

impl Gate for Spelling<'_> {
    async fn wait(&self, person: &Person) -> Option<Duration> {
        let name = spelled_otherwise(person, self.typed)?;
        self.identity.throttle.begin(name, self.caller.address, self.now).await.err()
    }
}

/// What somebody is called, where that is not what they typed.
fn spelled_otherwise<'a>(person: &'a Person, typed: &str) -> Option<&'a str> {
    let name = person.names.first()?;
    (name.to_lowercase() != typed.to_lowercase()).then_some(name)
}

impl Identity {
    /// Asks the directories one after another who somebody is. The first that
    /// knows them with this password counts.
    pub(in crate::identity) async fn ask_directories(
        &self,
        directories: Vec<Provider>,
        given: &Credentials,
        caller: &Caller,
        now: Timestamp,
    ) -> ApiResult<Elsewhere> {
        if directories.is_empty() || !is_name(&given.name) || given.password.expose_secret().is_empty() {
            return Ok(Elsewhere::Nobody(None));
        }
        let turn = tokio::time::timeout(TURN_DEADLINE, self.federation.directory_turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Ok(Elsewhere::Nobody(Some("too many ask the directories at once".to_owned())));
        };
        let gate = Spelling { identity: self, typed: &given.name, caller, now };
        let typed = Typed { name: &given.name, password: Some(&given.password) };
        let mut why = None;
        for provider in directories {
            let Configuration::Ldap(configuration) = &provider.configuration else { continue };
            let secret = self.client_secret(&provider).await?;
            let Some(directory) = Directory::new(&self.federation.outgoing, configuration, secret) else { continue };
            let said = directory.ask(typed, &gate, &mut Steps::default()).boxed().await;
            why = match said {
                Ok(Said::Known(person)) => return Ok(Elsewhere::Known(Box::new(provider), person)),
                Ok(Said::Wait(wait)) => return Ok(Elsewhere::Wait(wait)),
                Ok(Said::Nobody) => why,
                Ok(Said::Wrong) => Some(format!("not the password that {} knows", provider.name)),
                Err(trouble) => {
                    tracing::warn!(provider = provider.slug.as_str(), %trouble, "a directory cannot be asked");
                    Some(format!("{} gives no usable answer", provider.name))
                }
            };
        }
        Ok(Elsewhere::Nobody(why))
    }

    /// Who somebody is here whom a directory knows.
    pub(in crate::identity) async fn admit_from_directory(
        &self,
        tx: &mut Tx,
        provider: &Provider,
        person: &Person,
    ) -> ApiResult<Result<User, Refusal>> {
        match self.admit(tx, &verified(provider, person)).await {
            Ok(user) => Ok(Ok(user)),
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Forgives what was counted of somebody under what they are called in the
    /// directory.
    pub(in crate::identity) async fn forgive_spelling(
        &self,
        person: &Person,
        typed: &str,
        caller: &Caller,
        began: Timestamp,
    ) {
        if let Some(name) = spelled_otherwise(person, typed) {
            self.throttle.forgive(name, caller.address, began).await;
        }
    }

    /// Takes the same back, where something is missing yet.
    pub(in crate::identity) async fn take_back_spelling(
        &self,
        person: &Person,
        typed: &str,
        caller: &Caller,
        began: Timestamp,
    ) {
        if let Some(name) = spelled_otherwise(person, typed) {
            self.throttle.take_back(name, caller.address, began).await;
        }
    }

    /// Tries each server of a directory, the account of the hub, and where
    /// people are looked for.
    pub(in crate::identity::federation) async fn test_directory(
        &self,
        provider: &Provider,
    ) -> ApiResult<Vec<TestStep>> {
        let (configuration, secret) = self.directory_of(provider).await?;
        let mut steps = Steps::default();
        if let Some(directory) = Directory::new(&self.federation.outgoing, configuration, secret) {
            // What is wrong is in the steps.
            directory.look(&mut steps).await.ok();
        }
        Ok(steps.finish(&["connect", "tls", "service_bind", "base"]))
    }

    /// Tries how somebody would sign in. Nobody is.
    ///
    /// # Errors
    /// 404 when there is none of this id, 400 where it is no directory or this
    /// is no name, 429 after too many attempts with a password.
    pub async fn test_directory_sign_in(
        &self,
        id: Uuid,
        name: &str,
        password: Option<&SecretString>,
        caller: &Caller,
    ) -> ApiResult<Vec<TestStep>> {
        let provider = self.get_identity_provider(id).await?;
        let (configuration, secret) = self.directory_of(&provider).await?;
        if !is_name(name) {
            return Err(ApiError::bad_request("invalid_name", "Type the name of somebody in the directory."));
        }
        let password = password.filter(|password| !password.expose_secret().is_empty());
        let now = self.now();
        if password.is_some() {
            self.throttle.begin(name, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        }
        let mut steps = Steps::default();
        let Some(directory) = Directory::new(&self.federation.outgoing, configuration, secret) else {
            return Ok(steps.finish(&["connect"]));
        };
        if let Ok(Said::Known(person)) = directory.ask(Typed { name, password }, &Open, &mut steps).await {
            if password.is_some() {
                self.throttle.forgive(name, caller.address, now).await;
            }
            steps.begin("roles");
            if mapping::lets_in(&provider, &person.groups) {
                let granted = mapping::granted_to(&provider, &person.groups);
                steps.passed(granted.iter().map(|mapped| Some(called(mapped.role))));
            } else {
                steps.refused("group", provider.required_group.clone());
            }
        }
        let tried = ["connect", "tls", "service_bind", "search", "user_bind", "groups", "roles"];
        let expected = tried.into_iter().filter(|step| password.is_some() || *step != "user_bind").collect::<Vec<_>>();
        Ok(steps.finish(&expected))
    }

    async fn directory_of<'a>(
        &self,
        provider: &'a Provider,
    ) -> ApiResult<(&'a LdapConfiguration, Option<SecretString>)> {
        let Configuration::Ldap(configuration) = &provider.configuration else {
            return Err(ApiError::bad_request("no_directory", "This identity provider is no directory."));
        };
        Ok((configuration, self.client_secret(provider).await?))
    }
}

/// Somebody is who they are by the directory and what stays the same of them
/// there, whatever they are called.
fn verified<'a>(provider: &'a Provider, person: &Person) -> Verified<'a> {
    Verified {
        provider,
        issuer: format!("ldap:{}", provider.id),
        subject: person.subject.clone(),
        session: None,
        called: None,
        names: person.names.clone(),
        groups: person.groups.clone(),
        by_two_factors: false,
    }
}

fn called(role: RoleRef) -> String {
    match role {
        RoleRef::BuiltIn(role) => role.as_str().to_owned(),
        RoleRef::Own(id) => id.to_string(),
    }
}
