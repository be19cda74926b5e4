//! What those who manage the hub do with identity providers, and users with who
//! they are there.

use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;

use super::model::{Configuration, LinkedIdentity, NewProvider, Provider, SignInProvider, TestStep};
use super::oidc::secret_place;
use super::store;
use crate::db::{DbError, Tx, dialect};
use crate::error::{ApiError, ApiResult};
use crate::http::{SignedInUser, UserId};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::identity::sessions::WayToConfirm;
use crate::identity::{Identity, grants, users};

/// Most providers of a hub.
const PROVIDERS_MAX: usize = 20;
/// Longest client secret, in bytes.
const SECRET_MAX: usize = 4096;

impl Identity {
    /// Every provider, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_identity_providers(&self) -> ApiResult<Vec<Provider>> {
        Ok(store::list(&mut self.db.read().await?).await?)
    }

    /// Those to which people go to sign in. Who is in a directory types their
    /// name and password here.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_sign_in_providers(&self) -> ApiResult<Vec<SignInProvider>> {
        let is_gone_to = |provider: &Provider| match provider.configuration {
            Configuration::Oidc(_) | Configuration::GitHub(_) => provider.enabled,
            Configuration::Ldap(_) => false,
        };
        let providers = self.list_identity_providers().await?.into_iter().filter(is_gone_to);
        Ok(providers.map(|Provider { slug, name, .. }| SignInProvider { slug, name }).collect())
    }

    /// One provider.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn get_identity_provider(&self, id: Uuid) -> ApiResult<Provider> {
        found(store::find(&mut self.db.read().await?, id).await?)
    }

    /// Adds a provider.
    ///
    /// # Errors
    /// 400 for what makes no sense, 404 for a role or place that is not there,
    /// 409 for a slug that is taken.
    pub async fn create_identity_provider(&self, new: NewProvider, by: &Actor) -> ApiResult<Provider> {
        new.check()?;
        let (id, now) = (Uuid::now_v7(), self.now());
        let secret = self.seal_secret(id, &new)?;
        let mut tx = self.db.write().await?;
        if store::list(&mut tx).await?.len() >= PROVIDERS_MAX {
            return Err(ApiError::conflict("too_many", "There are at most 20 identity providers. Remove some first."));
        }
        let provider = Provider {
            id,
            name: new.name.as_str().to_owned(),
            slug: new.slug,
            enabled: new.enabled,
            create_users: new.create_users,
            trusted_for_second_factor: new.trusted_for_second_factor,
            required_group: new.required_group,
            configuration: new.configuration,
            has_client_secret: secret.is_some(),
            mappings: new.mappings,
            users: 0,
            created_at: now,
            updated_at: now,
        };
        store::insert(&mut tx, &provider, secret.as_deref()).await.map_err(slug_taken)?;
        write_mappings(&mut tx, &provider).await?;
        audit::record(&mut tx, entry(by, Action::ProviderCreate, &provider), now).await?;
        tx.commit().await?;
        Ok(provider)
    }

    /// Puts all that a provider is to be in the place of what it was. Another
    /// issuer is not told the secret that was for the one before. What its
    /// mappings granted and do not say any more is taken back.
    ///
    /// # Errors
    /// As for a new one; 404 when there is none of this id.
    pub async fn change_identity_provider(&self, id: Uuid, new: NewProvider, by: &Actor) -> ApiResult<Provider> {
        new.check()?;
        let (now, fresh) = (self.now(), self.seal_secret(id, &new)?);
        let mut tx = self.db.write().await?;
        let before = found(store::find(&mut tx, id).await?)?;
        if before.configuration.kind() != new.configuration.kind() {
            return Err(ApiError::bad_request("invalid_kind", "A provider keeps its protocol: add another one."));
        }
        let is_same = before.configuration.confidant() == new.configuration.confidant();
        let secret = match fresh {
            None if is_same => store::find_secret(&mut tx, id).await?,
            fresh => fresh,
        };
        let provider = Provider {
            name: new.name.as_str().to_owned(),
            slug: new.slug,
            enabled: new.enabled,
            create_users: new.create_users,
            trusted_for_second_factor: new.trusted_for_second_factor,
            required_group: new.required_group,
            configuration: new.configuration,
            has_client_secret: secret.is_some(),
            mappings: new.mappings,
            updated_at: now,
            ..before
        };
        store::update(&mut tx, &provider, secret.as_deref()).await.map_err(slug_taken)?;
        write_mappings(&mut tx, &provider).await?;
        let mapped: Vec<_> = provider.mappings.iter().map(super::model::Mapping::mapped).collect();
        grants::take_back_unmapped(&mut tx, id, &mapped, now).await?;
        let entry = entry(by, Action::ProviderChange, &provider).fact("before", json!(before.configuration));
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.federation.known.forget(id);
        self.credentials_ended();
        Ok(provider)
    }

    /// Removes a provider with its links and what it granted. Its users stay.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn delete_identity_provider(&self, id: Uuid, by: &Actor) -> ApiResult<()> {
        let now = self.now();
        let mut tx = self.db.write_vital().await?;
        // Before all that belongs to it, as whoever signs in by it has it.
        dialect::hold_row(&mut tx, "identity_providers", id).await?;
        let provider = found(store::find(&mut tx, id).await?)?;
        grants::take_back_unmapped(&mut tx, id, &[], now).await?;
        store::delete(&mut tx, id).await?;
        audit::record(&mut tx, entry(by, Action::ProviderDelete, &provider), now).await?;
        tx.commit().await?;
        self.federation.known.forget(id);
        self.credentials_ended();
        Ok(())
    }

    /// Tries what can be tried without a user, step by step.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn test_identity_provider(&self, id: Uuid) -> ApiResult<Vec<TestStep>> {
        let provider = self.get_identity_provider(id).await?;
        match &provider.configuration {
            Configuration::Oidc(oidc) => Ok(self.test_oidc(oidc).await),
            Configuration::GitHub(github) => Ok(self.test_github(github).await),
            Configuration::Ldap(_) => self.test_directory(&provider).await,
        }
    }

    /// With which providers a user can confirm that it is they.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn ways_elsewhere(&self, user: UserId) -> ApiResult<Vec<WayToConfirm>> {
        Ok(ways_to_confirm(&mut self.db.read().await?, user).await?)
    }

    /// Who a user is elsewhere, and whether they have a password here.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn identities_of(&self, own: &SignedInUser) -> ApiResult<(Vec<LinkedIdentity>, bool)> {
        let mut tx = self.db.read().await?;
        let identities = store::identities_of(&mut tx, own.id).await?;
        Ok((identities, users::find_password_hash(&mut tx, own.id).await?.is_some()))
    }

    /// Has a user sign in by a provider no more.
    ///
    /// # Errors
    /// 404 when they are not linked so, 409 where there is no other way in.
    pub async fn unlink_identity(&self, id: Uuid, own: &SignedInUser, by: &Actor) -> ApiResult<()> {
        let now = self.now();
        let mut tx = self.db.write().await?;
        let all = store::identities_of(&mut tx, own.id).await?;
        let Some(identity) = all.iter().find(|identity| identity.id == id) else {
            return Err(ApiError::not_found("linked identity"));
        };
        if all.len() == 1 && users::find_password_hash(&mut tx, own.id).await?.is_none() {
            let message = "This is the only way in which you can sign in. Link another account or have a password set.";
            return Err(ApiError::conflict("last_way_in", message));
        }
        store::delete_identity(&mut tx, id).await?;
        if !all.iter().any(|other| other.id != id && other.provider_id == identity.provider_id) {
            grants::reconcile(&mut tx, identity.provider_id, own.id, &[], now).await?;
        }
        let entry = Entry::new(by, Action::IdentityUnlink, &own.id.to_string()).called(Some(&own.name));
        let entry = entry.fact("provider", json!(identity.provider_name)).fact("subject", json!(identity.subject));
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    fn seal_secret(&self, id: Uuid, new: &NewProvider) -> ApiResult<Option<Vec<u8>>> {
        let Some(secret) = &new.client_secret else { return Ok(None) };
        let secret = secret.expose_secret();
        if secret.is_empty() || secret.len() > SECRET_MAX {
            return Err(ApiError::bad_request("invalid_secret", "A client secret has 1 to 4096 bytes."));
        }
        Ok(Some(self.vault.seal(&secret_place(&id.to_string()), secret.as_bytes())))
    }
}

/// With which providers somebody can confirm that it is they: those that know
/// them.
pub async fn ways_to_confirm(tx: &mut Tx, user: UserId) -> Result<Vec<WayToConfirm>, DbError> {
    let linked = store::identities_of(tx, user).await?;
    let knows = |provider: &Provider| linked.iter().any(|identity| identity.provider_id == provider.id);
    let providers = store::list(tx).await?.into_iter().filter(|provider| provider.enabled && knows(provider));
    let way = |Provider { slug, name, configuration, .. }| match configuration {
        Configuration::Oidc(_) | Configuration::GitHub(_) => {
            WayToConfirm::Provider { slug: slug.as_str().to_owned(), name }
        }
        Configuration::Ldap(_) => WayToConfirm::Directory { name },
    };
    Ok(providers.map(way).collect())
}

async fn write_mappings(tx: &mut Tx, provider: &Provider) -> ApiResult<()> {
    for mapping in &provider.mappings {
        grants::require_role(tx, mapping.role).await?;
    }
    match store::replace_mappings(tx, provider.id, &provider.mappings).await {
        Err(DbError::Reference(_)) => Err(ApiError::not_found("group or environment")),
        written => Ok(written?),
    }
}

fn entry(by: &Actor, action: Action, provider: &Provider) -> Entry {
    let entry = Entry::new(by, action, &provider.id.to_string()).called(Some(&provider.name));
    let entry = entry.fact("enabled", json!(provider.enabled)).fact("configuration", json!(provider.configuration));
    let entry = entry.fact("create_users", json!(provider.create_users));
    let entry = entry.fact("trusted_for_second_factor", json!(provider.trusted_for_second_factor));
    entry.fact("required_group", json!(provider.required_group)).fact("mappings", json!(provider.mappings.len()))
}

fn found(provider: Option<Provider>) -> ApiResult<Provider> {
    provider.ok_or_else(|| ApiError::not_found("identity provider"))
}

fn slug_taken(error: DbError) -> ApiError {
    match error {
        DbError::Duplicate(_) => {
            ApiError::conflict("name_taken", "Another provider has this slug: choose another one.")
        }
        error => error.into(),
    }
}
