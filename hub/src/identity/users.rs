//! Users: who may sign in, and as what.

pub(super) mod by_mail;
pub(super) mod invitations;
pub mod passkeys;
pub mod passwords;
mod routes;
pub mod second_factor;
pub mod setup;
mod store;

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

pub use self::by_mail::{Recovery, RegistrationSettings};
pub(super) use self::routes::routes;
pub use self::store::{User, UserFilter};
pub(super) use self::store::{any, find, find_password_hash};
use super::Identity;
use super::audit::{self, Action, Actor, Entry};
use super::{access_tokens, federation, sessions};
use crate::clock::Timestamp;
use crate::db::dialect::{Exclusive, lock_exclusive};
use crate::db::{DbError, Tx};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, List, Page, Role, SignedInUser, UserId};
use crate::mail::{Language, MailAddress};

/// A user's name: 1 to 64 letters, digits and `._@-`, starting with a letter
/// or digit. Two that differ only in case are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        let starts_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if starts_well && text.len() <= 64 && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        let message = "A user's name has 1 to 64 letters, digits and ._@- and starts with a letter or digit.";
        Err(ApiError::bad_request("invalid_name", message))
    }
}

/// A user to be made.
#[derive(Debug)]
pub struct NewUser {
    /// Their name.
    pub name: UserName,
    /// What they may do.
    pub role: Role,
    /// Their password, not checked yet.
    pub password: SecretString,
    /// Where they are written to.
    pub contact: Contact,
}

/// What changes of a user; what is not named stays.
#[derive(Debug, Default)]
pub struct UserPatch {
    /// What they may do.
    pub role: Option<Role>,
    /// Their address, or that they have none.
    pub email: Option<Option<MailAddress>>,
    /// The language of mails to them.
    pub language: Option<Language>,
}

/// How somebody is written to.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    /// Their address, which they have yet to verify.
    pub email: Option<MailAddress>,
    /// In which language.
    pub language: Language,
}

impl Identity {
    /// A new setup code while there is no user, to be shown to whoever started
    /// the hub. Codes from before are no longer valid.
    pub fn issue_setup_code(&self) -> Option<Zeroizing<String>> {
        self.setup.is_open().then(|| self.setup.issue(&self.random, self.now()))
    }

    /// The same for whoever asks once the hub runs, on record.
    ///
    /// # Errors
    /// 409 when there is a user.
    pub async fn renew_setup_code(&self, by: &Actor) -> ApiResult<Zeroizing<String>> {
        if !self.setup.is_open() {
            return Err(already_set_up());
        }
        let mut tx = self.db.write().await?;
        audit::record(&mut tx, Entry::new(by, Action::SetupCode, "first"), self.now()).await?;
        tx.commit().await?;
        self.issue_setup_code().ok_or_else(already_set_up)
    }

    /// Makes the first user, an administrator, for whoever has the setup code.
    ///
    /// # Errors
    /// 403 for a wrong or old code, 400 for a weak password, 409 when there is
    /// a user.
    pub async fn complete_setup(&self, code: &str, new: NewUser, caller: &Caller) -> ApiResult<User> {
        let now = self.now();
        self.throttle.begin("setup", caller.address, now).await.map_err(ApiError::too_many_requests)?;
        check_password(&new.password, &new.name)?;
        let hash = self.passwords.hash(new.password).await?;
        if !self.setup.redeem(code, now) {
            let message =
                "The setup code is wrong or too old. On the hub's machine `windflow-hub setup-code` makes a new one.";
            return Err(ApiError::forbidden("wrong_setup_code", message));
        }
        let mut tx = self.db.write().await?;
        lock_exclusive(&mut tx, Exclusive::Administrators).await?;
        if any(&mut tx).await? {
            return Err(already_set_up());
        }
        let user = User::new(&new.name, Role::Administrator, now);
        store::insert(&mut tx, &user, &hash).await?;
        audit::record(
            &mut tx,
            Entry::new(&caller.into(), Action::SetupComplete, &user.id.to_string()).called(Some(&user.name)),
            now,
        )
        .await?;
        tx.commit().await?;
        self.setup.close();
        self.throttle.forgive("setup", caller.address, now).await;
        Ok(user)
    }

    /// Makes a user.
    ///
    /// # Errors
    /// 400 for a weak password, 409 for a name that is taken.
    pub async fn create_user(&self, new: NewUser, by: &Actor) -> ApiResult<User> {
        check_password(&new.password, &new.name)?;
        let hash = self.passwords.hash(new.password).await?;
        self.insert_user(User::new(&new.name, new.role, self.now()).reached_at(new.contact), &hash, by).await
    }

    /// Makes a user whose password is known elsewhere and here by its hash only,
    /// which is made anew when they first sign in.
    ///
    /// # Errors
    /// 400 for a hash that cannot be used, 409 for a name that is taken.
    pub async fn create_user_with_hash(
        &self,
        name: &UserName,
        role: Role,
        hash: SecretString,
        contact: Contact,
        by: &Actor,
    ) -> ApiResult<User> {
        passwords::check_hash(&hash)?;
        let user = User::new(name, role, self.now()).reached_at(contact);
        self.insert_user(user, hash.expose_secret(), by).await
    }

    async fn insert_user(&self, user: User, hash: &str, by: &Actor) -> ApiResult<User> {
        let mut tx = self.db.write().await?;
        self.insert_user_within(&mut tx, &user, hash, by).await?;
        self.ask_to_verify(&mut tx, &user).await?;
        tx.commit().await?;
        self.mail.wake();
        self.setup.close();
        Ok(user)
    }

    /// The same in a transaction that does more.
    async fn insert_user_within(&self, tx: &mut Tx, user: &User, hash: &str, by: &Actor) -> ApiResult<()> {
        if let Some(email) = &user.email {
            self.refuse_taken_email(tx, email, user.id).await?;
        }
        match store::insert(tx, user, hash).await {
            Err(DbError::Duplicate(_)) => return Err(ApiError::conflict("name_taken", "A user of this name exists.")),
            inserted => inserted?,
        }
        let entry = Entry::new(by, Action::UserCreate, &user.id.to_string()).called(Some(&user.name));
        Ok(audit::record(tx, entry.fact("role", user.role.as_str().into()), user.created_at).await?)
    }

    /// Replaces a password and ends what was signed in with the old one. API
    /// tokens stay.
    ///
    /// # Errors
    /// 404 when there is no such user, 400 for a weak password, 409 where a
    /// directory has their password.
    pub async fn reset_password(&self, id: UserId, password: SecretString, by: &Actor) -> ApiResult<User> {
        let user = self.get_user(id).await?;
        check_password(&password, &user.name.parse()?)?;
        let hash = self.passwords.hash(password).await?;
        let now = self.now();
        let mut tx = self.db.write().await?;
        if federation::is_in_directory(&mut tx, id).await? {
            let message = "This user is in a directory, which has their password.";
            return Err(ApiError::conflict("password_elsewhere", message));
        }
        self.replace_password(&mut tx, id, &hash, now).await?;
        audit::record(&mut tx, Entry::new(by, Action::PasswordReset, &id.to_string()).called(Some(&user.name)), now)
            .await?;
        tx.commit().await?;
        self.credentials_ended();
        self.get_user(id).await
    }

    /// Puts the hash of a new password in place; what was signed in with the old
    /// one and links to choose another one or another address end, API tokens
    /// stay.
    async fn replace_password(&self, tx: &mut Tx, id: UserId, hash: &str, now: Timestamp) -> Result<(), DbError> {
        store::set_password(tx, id, hash, now).await?;
        by_mail::end_what_others_asked(tx, id, now).await?;
        sessions::delete_of_user(tx, id).await?;
        access_tokens::delete_of_user(tx, id).await.map(drop)
    }

    /// Replaces the caller's own password and ends all they signed in with.
    ///
    /// # Errors
    /// 403 when the present password is wrong, 429 after too many attempts, 400
    /// for a weak password.
    pub async fn change_password(
        &self,
        own: &SignedInUser,
        present: SecretString,
        new: SecretString,
        caller: &Caller,
    ) -> ApiResult<User> {
        let now = self.now();
        self.throttle.begin(&own.name, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        let hash = store::find_password_hash(&mut self.db.read().await?, own.id).await?;
        if !self.passwords.verify(present, hash).await? {
            return Err(ApiError::forbidden("wrong_password", "The present password is wrong."));
        }
        self.throttle.forgive(&own.name, caller.address, now).await;
        self.reset_password(own.id, new, &caller.into()).await
    }

    /// Hashes a password that was just proven anew, if its hash is not as one
    /// would be made today. It failing is no reason to refuse anybody.
    pub(super) async fn renew_dated_hash(&self, id: UserId, old: &str, password: SecretString) {
        if !self.passwords.is_dated(old) {
            return;
        }
        let renewed = async {
            let fresh = self.passwords.hash(password).await?;
            let mut tx = self.db.write().await?;
            store::renew_password_hash(&mut tx, id, old, &fresh).await?;
            tx.commit().await?;
            ApiResult::Ok(())
        };
        if let Err(error) = renewed.await {
            tracing::warn!(user.id = %id, error.code, "a dated password hash was not made anew");
        }
    }

    /// Shuts a user out, from their next request on.
    ///
    /// # Errors
    /// 404 when there is no such user, 409 for the last administrator.
    pub async fn disable_user(&self, id: UserId, by: &Actor) -> ApiResult<User> {
        let now = self.now();
        let mut tx = self.db.write_vital().await?;
        lock_exclusive(&mut tx, Exclusive::Administrators).await?;
        let user = found(store::find(&mut tx, id).await?)?;
        if user.disabled_at.is_some() {
            return Ok(user);
        }
        keep_an_administrator(&mut tx, &user).await?;
        store::set_disabled(&mut tx, id, Some(now), now).await?;
        sessions::delete_of_user(&mut tx, id).await?;
        access_tokens::delete_of_user(&mut tx, id).await?;
        by_mail::end_what_others_asked(&mut tx, id, now).await?;
        audit::record(&mut tx, Entry::new(by, Action::UserDisable, &id.to_string()).called(Some(&user.name)), now)
            .await?;
        tx.commit().await?;
        self.credentials_ended();
        self.get_user(id).await
    }

    /// Changes a user: another role holds from their next request on, and what
    /// they have open ends; another address is to be verified.
    ///
    /// # Errors
    /// 404 when there is no such user, 409 for the last administrator and for
    /// an address that another user has.
    pub async fn change_user(&self, id: UserId, patch: UserPatch, by: &Actor) -> ApiResult<User> {
        let now = self.now();
        let mut tx = self.db.write().await?;
        lock_exclusive(&mut tx, Exclusive::Administrators).await?;
        let user = found(store::find(&mut tx, id).await?)?;
        let role = patch.role.filter(|role| *role != user.role);
        if let Some(role) = role {
            keep_an_administrator(&mut tx, &user).await?;
            store::set_role(&mut tx, id, role, now).await?;
            let entry = Entry::new(by, Action::UserRole, &id.to_string()).called(Some(&user.name));
            let entry = entry.fact("before", user.role.as_str().into()).fact("role", role.as_str().into());
            audit::record(&mut tx, entry, now).await?;
        }
        if let Some(language) = patch.language {
            store::set_language(&mut tx, id, language, now).await?;
        }
        if let Some(email) = patch.email {
            self.give_email(&mut tx, id, email, by).await?;
        }
        tx.commit().await?;
        self.mail.wake();
        if role.is_some() {
            self.credentials_ended();
        }
        self.get_user(id).await
    }

    /// Lets a disabled user in again.
    ///
    /// # Errors
    /// 404 when there is no such user.
    pub async fn enable_user(&self, id: UserId, by: &Actor) -> ApiResult<User> {
        let now = self.now();
        let mut tx = self.db.write().await?;
        let user = found(store::find(&mut tx, id).await?)?;
        store::set_disabled(&mut tx, id, None, now).await?;
        audit::record(&mut tx, Entry::new(by, Action::UserEnable, &id.to_string()).called(Some(&user.name)), now)
            .await?;
        tx.commit().await?;
        self.get_user(id).await
    }

    /// One user.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn get_user(&self, id: UserId) -> ApiResult<User> {
        found(store::find(&mut self.db.read().await?, id).await?)
    }

    /// One page of the users that match.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_users(&self, filter: &UserFilter, page: Page) -> ApiResult<List<User>> {
        let mut tx = self.db.read().await?;
        let items = store::list(&mut tx, filter, page).await?;
        let total = store::count(&mut tx, filter).await?;
        Ok(List { items, total })
    }
}

/// How somebody of some name signs in.
#[derive(Debug)]
pub(super) enum Door {
    /// With the password that has this hash.
    Password(User, String),
    /// Not at all: they are shut out. No directory is asked about their name.
    Closed,
    /// By somebody else who knows them, if anybody does: nobody of this name has
    /// a password here.
    Elsewhere,
}

/// How somebody of this name signs in.
pub(super) async fn find_door(tx: &mut Tx, name: &str) -> Result<Door, DbError> {
    let Some(user) = store::find_by_name(tx, name).await? else { return Ok(Door::Elsewhere) };
    match store::find_password_hash(tx, user.id).await? {
        Some(hash) if user.disabled_at.is_none() => Ok(Door::Password(user, hash)),
        Some(_) => Ok(Door::Closed),
        None => Ok(Door::Elsewhere),
    }
}

/// Makes a user whom somebody else knows: without a password, and with nothing
/// but what they are granted.
pub(super) async fn insert_without_password(tx: &mut Tx, name: &UserName, now: Timestamp) -> Result<User, DbError> {
    let user = User::new(name, Role::Restricted, now);
    store::insert(tx, &user, store::NO_PASSWORD).await?;
    Ok(user)
}

/// The user of this name.
pub(super) async fn find_by_name(tx: &mut Tx, name: &str) -> Result<Option<User>, DbError> {
    store::find_by_name(tx, name).await
}

/// Ends every invitation and every link that was mailed.
///
/// # Errors
/// When the database fails.
pub async fn end_links(tx: &mut Tx, now: Timestamp) -> Result<(), DbError> {
    by_mail::links::end_all(tx, now).await?;
    invitations::end_all(tx, now).await
}

/// 409 where nobody could administrate without this user.
async fn keep_an_administrator(tx: &mut Tx, user: &User) -> ApiResult<()> {
    let counts = user.role == Role::Administrator && user.disabled_at.is_none();
    if counts && store::count_active_administrators(tx).await? == 1 {
        let message = "This is the last active administrator. Make another one first.";
        return Err(ApiError::conflict("last_administrator", message));
    }
    Ok(())
}

fn already_set_up() -> ApiError {
    ApiError::conflict("already_set_up", "This hub has its first user. Sign in instead.")
}

fn found(user: Option<User>) -> ApiResult<User> {
    user.ok_or_else(|| ApiError::not_found("user"))
}

fn check_password(password: &SecretString, name: &UserName) -> ApiResult<()> {
    passwords::check_strength(password, name.as_str())
        .map_err(|weak| ApiError::bad_request("weak_password", weak.to_string()))
}

/// Users for the tests of other stores.
#[cfg(test)]
pub(super) mod testing {
    use super::{Role, Timestamp, Tx, User, UserId, store};

    pub async fn insert_user(tx: &mut Tx, name: &str) -> User {
        let user = User::new(&name.parse().unwrap(), Role::Viewer, Timestamp::from_micros(0).unwrap());
        store::insert(tx, &user, "hash").await.unwrap();
        user
    }

    pub async fn disable(tx: &mut Tx, id: UserId, at: Timestamp) {
        store::set_disabled(tx, id, Some(at), at).await.unwrap();
    }
}
