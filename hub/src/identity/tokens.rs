//! API tokens: what programs send instead of a password. What one may do is
//! what its owner may do now, and of that what its [`Limits`] leave.
//!
//! ```text
//! wfa1_<id>_<secret>_<crc>      lowercase Crockford base32 fields
//!      10   32       7          characters
//! ```

mod asked;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;
use windflow_protocol::text::base32;
use windflow_protocol::token::{TokenId, checksum};
use zeroize::Zeroizing;

pub use self::asked::AskedLimits;
pub(super) use self::routes::routes;
pub use self::store::{ApiToken, ApiTokenFilter};
pub(super) use self::store::{delete_ended_before, find_standing};
use super::audit::{self, Action, Entry};
use super::sessions::{may_see, signed_in};
use super::users::second_factor;
use super::users::{self, User};
use super::{Identity, grants, hash_secret};
use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, CredentialUsed, Limits, List, Page, Permission, Powers, Principal, SignedInUser, UserId};

/// What every API token starts with; secret scanners look for it.
pub const PREFIX: &str = "wfa1";
/// How long a token is valid unless its maker says otherwise.
pub const LIFE_DEFAULT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The longest life of a token.
pub const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The last use is written at most this often.
const LAST_USE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Random bytes in a token's secret.
pub(super) const SECRET_BYTES: usize = 20;
const NAME_MAX: usize = 64;

/// A token to be made.
#[derive(Debug)]
pub struct NewApiToken {
    /// What it is for.
    pub name: String,
    /// Whose it is; the caller's where it is `None`.
    pub user: Option<String>,
    /// How long it is valid.
    pub life: Duration,
    /// What it is limited to.
    pub limits: AskedLimits,
}

impl Identity {
    /// Makes a token. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// 400 for what is out of bounds, 403 for another user's token, and for one
    /// that may do more than the token that makes it, 404 when there is no such
    /// user or group.
    pub async fn create_api_token(
        &self,
        new: NewApiToken,
        caller: &Caller,
    ) -> ApiResult<(ApiToken, Zeroizing<String>)> {
        check(&new)?;
        let now = self.now();
        let id = TokenId::from_random(u64::from_le_bytes(self.random.bytes()));
        let bytes = Zeroizing::new(self.random.bytes::<SECRET_BYTES>());
        let mut tx = self.db.write().await?;
        let owner = owner(&mut tx, new.user.as_deref(), caller).await?;
        let maker = maker(&mut tx, caller, now).await?;
        for group in &new.limits.groups {
            if !store::group_exists(&mut tx, *group).await? {
                return Err(ApiError::not_found("group"));
            }
        }
        let limits = new.limits.within(maker.as_ref().map(|maker| &maker.limits))?;
        let ends = maker.map(|maker| maker.expires_at);
        let token = ApiToken {
            id: id.to_string(),
            user_id: owner.id,
            user_name: owner.name,
            name: new.name,
            created_at: now,
            // What a token makes ends with it at the latest.
            expires_at: ends.into_iter().fold(now + new.life, Timestamp::min),
            last_used_at: None,
            revoked_at: None,
            limits,
        };
        store::insert(&mut tx, &token, &hash_secret(bytes.as_slice())).await?;
        let entry = Entry::new(&caller.into(), Action::ApiTokenCreate, id.as_str()).called(Some(&token.name));
        let entry = entry.fact("user", token.user_name.as_str().into());
        audit::record(&mut tx, asked::facts(entry, &token.limits), now).await?;
        tx.commit().await?;
        Ok((token, render(PREFIX, &id, bytes.as_slice())))
    }

    /// Ends a token, if it is one that `caller` may end: their own, or any for
    /// an administrator.
    ///
    /// # Errors
    /// 404 when there is no such token for this caller.
    pub async fn revoke_api_token(&self, id: &str, caller: &Caller) -> ApiResult<ApiToken> {
        let now = self.now();
        let mut tx = self.db.write_vital().await?;
        let visible = |token: &ApiToken| match limited_token(caller) {
            Some(own) => token.id == own,
            None => may_see(caller, token.user_id),
        };
        let token = store::find(&mut tx, id).await?.filter(visible);
        let token = token.ok_or_else(|| ApiError::not_found("API token"))?;
        if token.revoked_at.is_some() {
            return Ok(token);
        }
        store::revoke(&mut tx, id, now).await?;
        let entry = Entry::new(&caller.into(), Action::ApiTokenRevoke, id).called(Some(&token.name));
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(ApiToken { revoked_at: Some(now), ..token })
    }

    /// One page of the tokens that match.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_api_tokens(&self, filter: &ApiTokenFilter, page: Page) -> ApiResult<List<ApiToken>> {
        let mut tx = self.db.read().await?;
        let items = store::list(&mut tx, filter, page).await?;
        let total = store::count(&mut tx, filter).await?;
        Ok(List { items, total })
    }

    /// Whose token this text is.
    pub(super) async fn find_token_user(&self, text: &str) -> ApiResult<Option<SignedInUser>> {
        let Some((id, secret)) = parse(PREFIX, text) else {
            return Ok(None);
        };
        let now = self.now();
        let asked = match self.recent_tokens.find(text, now).await {
            Ok(user) => return Ok(Some(user)),
            Err(asked) => asked,
        };
        let mut tx = self.db.read().await?;
        let Some(found) = store::find_user(&mut tx, id.as_str(), now).await? else {
            return Ok(None);
        };
        let powers = grants::powers_of(&mut tx, &found.user).await?;
        // It is asked of the owner, however little the token may do.
        let second_factor_due = second_factor::is_due(&mut tx, found.user.id, &powers).await?;
        drop(tx);
        if !bool::from(hash_secret(&secret).as_slice().ct_eq(&found.secret_hash)) {
            return Ok(None);
        }
        if found.last_used_at.is_none_or(|last| now.since(last) >= LAST_USE_EVERY) {
            self.note_use(id.as_str(), now).await;
        }
        let powers = limited(powers, Some(&found.limits));
        let user = signed_in(&found.user, powers, CredentialUsed::ApiToken(id.to_string()));
        let limits = Some(found.limits).filter(|limits| !limits.are_none()).map(Arc::new);
        let user = SignedInUser { second_factor_due, limits, ..user };
        self.recent_tokens.keep(text, &user, asked, now).await;
        Ok(Some(user))
    }

    /// Writes when a token was used. It failing is no reason to refuse the
    /// request.
    async fn note_use(&self, id: &str, now: Timestamp) {
        let noted = async {
            let mut tx = self.db.write().await?;
            store::set_last_used(&mut tx, id, now).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, api_token.id = id, "the last use of an API token was not noted");
        }
    }
}

/// What is left of powers for a credential with these limits.
pub(super) fn limited(powers: Powers, limits: Option<&Limits>) -> Powers {
    match limits {
        Some(limits) if !limits.are_none() => powers.limited(limits),
        Some(_) | None => powers,
    }
}

/// The id of the token that asks, where it may do less than its owner.
pub(super) fn limited_token(caller: &Caller) -> Option<&str> {
    let user = caller.principal.as_ref().and_then(Principal::user)?;
    match &user.credential {
        CredentialUsed::ApiToken(id) if user.limits.is_some() => Some(id),
        CredentialUsed::ApiToken(_) | CredentialUsed::Session(_) | CredentialUsed::AccessToken(_) => None,
    }
}

/// Refuses a token that may do less than its owner: it neither sees nor ends
/// what they signed in with.
///
/// # Errors
/// 403 for such a token.
pub(super) fn refuse_limited(caller: &Caller) -> ApiResult<()> {
    match limited_token(caller) {
        None => Ok(()),
        Some(_) => {
            let message = "An API token with limits does not see what its owner signed in with. Use another one.";
            Err(ApiError::forbidden("limited_token", message))
        }
    }
}

/// Whose credentials a caller sees when they ask for those of `asked`:
/// those who manage users anyone's, others their own.
pub(super) fn visible_owner(caller: &Caller, asked: Option<UserId>) -> Option<UserId> {
    match &caller.principal {
        Some(principal) if principal.may(Permission::UsersManage) => asked,
        Some(Principal::User(user)) => Some(user.id),
        Some(Principal::LocalRoot) | None => asked,
    }
}

/// The user whom the new token will stand for. Only the operator on this
/// machine may make one for someone else: it is a way to act as them.
async fn owner(tx: &mut crate::db::Tx, named: Option<&str>, caller: &Caller) -> ApiResult<User> {
    let own = caller.principal.as_ref().and_then(Principal::user).map(|user| user.name.clone());
    let name = match (named, own) {
        (Some(named), Some(own)) if !named.eq_ignore_ascii_case(&own) => {
            let message = "You can make API tokens only for yourself.";
            return Err(ApiError::forbidden("not_your_user", message));
        }
        (_, Some(own)) => own,
        (Some(named), None) => named.to_owned(),
        (None, None) => return Err(ApiError::bad_request("user_required", "Say whose the token is: `user`.")),
    };
    let user = users::find_by_name(tx, &name).await?.ok_or_else(|| ApiError::not_found("user"))?;
    match user.disabled_at {
        None => Ok(user),
        Some(_) => Err(ApiError::conflict("user_disabled", "The user is disabled.")),
    }
}

/// The token that asks, where it is one. It may have ended since it was let in.
async fn maker(tx: &mut crate::db::Tx, caller: &Caller, now: Timestamp) -> ApiResult<Option<ApiToken>> {
    match caller.principal.as_ref().and_then(Principal::user).map(|user| &user.credential) {
        Some(CredentialUsed::ApiToken(id)) => {
            let standing = store::find_standing(tx, id, now).await?;
            standing.map(Some).ok_or_else(|| ApiError::unauthorized("The API token has ended."))
        }
        Some(CredentialUsed::Session(_) | CredentialUsed::AccessToken(_)) | None => Ok(None),
    }
}

fn check(new: &NewApiToken) -> ApiResult<()> {
    let length = new.name.chars().count();
    if length == 0 || length > NAME_MAX || new.name.chars().any(char::is_control) {
        let message = format!("The token's name must have 1 to {NAME_MAX} printable characters.");
        return Err(ApiError::bad_request("invalid_name", message));
    }
    if new.life.is_zero() || new.life > LIFE_MAX {
        let message = format!("A token is valid for 1 to {} seconds.", LIFE_MAX.as_secs());
        return Err(ApiError::bad_request("invalid_life", message));
    }
    Ok(())
}

/// The text of a token of this kind.
pub(super) fn render(prefix: &str, id: &TokenId, secret: &[u8]) -> Zeroizing<String> {
    let secret = Zeroizing::new(base32().encode(secret));
    let body = Zeroizing::new(format!("{prefix}_{id}_{}", *secret));
    Zeroizing::new(format!("{}_{}", *body, checksum(&body)))
}

/// The id and the secret in the text of a token of this kind.
pub(super) fn parse(prefix: &str, text: &str) -> Option<(TokenId, Zeroizing<Vec<u8>>)> {
    let (body, crc) = text.rsplit_once('_')?;
    let fields: Vec<&str> = body.split('_').collect();
    let [kind, id, secret] = fields[..] else {
        return None;
    };
    if kind != prefix || checksum(body) != crc {
        return None;
    }
    let secret = Zeroizing::new(base32().decode(secret.as_bytes()).ok()?);
    (secret.len() == SECRET_BYTES).then_some((TokenId::parse(id).ok()?, secret))
}
