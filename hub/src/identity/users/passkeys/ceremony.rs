//! WebAuthn itself: what is asked of a browser, and whether its answer holds.
//! Nothing else here knows the crate that does it.

use data_encoding::BASE64URL_NOPAD;
use webauthn_rp::bin::{Decode, Encode};
use webauthn_rp::request::auth::AuthenticationVerificationOptions;
use webauthn_rp::request::register::{CredProtect, RegistrationVerificationOptions, UserHandle64};
use webauthn_rp::request::{AsciiDomain, Challenge, RpId};
use webauthn_rp::response::auth::error::AuthCeremonyErr;
use webauthn_rp::response::auth::{DiscoverableAuthentication64, DiscoverableAuthenticatorAssertion};
use webauthn_rp::response::register::{
    AuthenticatorAttestation, ClientExtensionsOutputs, CompressedPubKey, DynamicState, Registration, StaticState,
};
use webauthn_rp::response::{AuthTransports, AuthenticatorAttachment, Backup, CredentialId};
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthenticationServerState, DiscoverableCredentialRequestOptions,
    PublicKeyCredentialCreationOptions, RegistrationServerState,
};

use super::model::{NewCredential, PresentedPasskey};
use super::site::Site;
use super::store::PasskeyRow;

/// How authenticators know a user: random, and the same for all their passkeys.
pub type Handle = UserHandle64;
/// What is remembered of a passkey that is being made.
pub type RegistrationState = RegistrationServerState<64>;
/// What is remembered of a challenge to sign in.
pub type SignInState = DiscoverableAuthenticationServerState;

type PublicKey = CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>;

/// What is kept of a new passkey.
#[derive(Debug)]
pub struct Registered {
    pub credential_id: Vec<u8>,
    pub public_key: Vec<u8>,
    pub user_handle: Vec<u8>,
    pub sign_count: u32,
    pub backup_eligible: bool,
    pub backed_up: bool,
}

/// What changes with a use.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub sign_count: u32,
    pub backed_up: bool,
}

/// Why a use was not accepted.
#[derive(Debug)]
pub enum Failure {
    /// The number of uses is one that was over.
    Counter,
    /// Anything else, in words for the record.
    Other(String),
}

/// Asks for a new passkey that verifies its user and can be found without a
/// name; gives what is remembered, and the challenge.
pub fn begin_registration(site: &Site, handle: &Handle) -> anyhow::Result<(RegistrationState, String)> {
    let rp_id = rp_id(site)?;
    let mut asked = PublicKeyCredentialCreationOptions::first_passkey_with_blank_user_info(&rp_id, handle);
    asked.extensions.cred_protect = CredProtect::None;
    let (state, client) = asked.start_ceremony()?;
    Ok((state, text(&client.options().challenge)))
}

/// Looks at what the browser made.
///
/// # Errors
/// Why it is not what was asked for, in words for the record.
pub fn finish_registration(state: RegistrationState, site: &Site, made: NewCredential) -> Result<Registered, String> {
    let rp_id = rp_id(site).map_err(|error| error.to_string())?;
    let attestation =
        AuthenticatorAttestation::new(made.client_data_json.0, made.attestation_object.0, AuthTransports::NONE);
    let extensions = ClientExtensionsOutputs { cred_props: None, prf: None };
    let made = Registration::new(attestation, AuthenticatorAttachment::None, extensions);
    let origins = [site.origin.as_str()];
    let options = RegistrationVerificationOptions::<&str, &str> {
        allowed_origins: &origins,
        error_on_unsolicited_extensions: false,
        ..RegistrationVerificationOptions::default()
    };
    let registered = state.verify(&rp_id, &made, &options).map_err(|error| error.to_string())?;
    let (backup_eligible, backed_up) = backup(registered.dynamic_state().backup);
    let Ok(public_key) = registered.static_state().encode();
    Ok(Registered {
        credential_id: registered.id().as_ref().to_vec(),
        public_key,
        user_handle: registered.user_id().as_ref().to_vec(),
        sign_count: registered.dynamic_state().sign_count,
        backup_eligible,
        backed_up,
    })
}

/// Asks for any passkey of this site that verifies its user; gives what is
/// remembered, the number of the challenge, and its text.
pub fn begin_sign_in(site: &Site) -> anyhow::Result<(SignInState, u128, String)> {
    let rp_id = rp_id(site)?;
    let (state, client) = DiscoverableCredentialRequestOptions::passkey(&rp_id).start_ceremony()?;
    let challenge = &client.options().0.challenge;
    Ok((state, challenge.as_data(), text(challenge)))
}

/// A use as it was presented.
#[derive(Debug)]
pub struct Assertion(DiscoverableAuthentication64);

impl Assertion {
    /// Reads it; nothing of it is proven yet. `None` for what cannot be one.
    pub fn read(given: &PresentedPasskey) -> Option<Self> {
        let handle = Handle::from(<[u8; 64]>::try_from(given.user_handle.0.as_slice()).ok()?);
        let id = CredentialId::try_from(given.id.0.clone()).ok()?;
        let response = DiscoverableAuthenticatorAssertion::new(
            given.client_data_json.0.clone(),
            given.authenticator_data.0.clone(),
            given.signature.0.clone(),
            handle,
        );
        Some(Self(DiscoverableAuthentication64::new(id, response, AuthenticatorAttachment::None)))
    }

    /// The number of the challenge that it says to answer.
    pub fn challenge(&self) -> Option<u128> {
        self.0.challenge_relaxed().ok().map(|challenge| challenge.0)
    }

    /// The credential that it says to be of.
    pub fn credential_id(&self) -> Vec<u8> {
        self.0.raw_id().as_ref().to_vec()
    }

    /// Whether it answers this challenge, at this site, with the key of `known`.
    ///
    /// # Errors
    /// When it does not.
    pub fn verify(&self, state: SignInState, site: &Site, known: &PasskeyRow) -> Result<Used, Failure> {
        let rp_id = rp_id(site).map_err(other)?;
        let handle = known.handle().ok_or_else(|| Failure::Other("the stored passkey is damaged".into()))?;
        if handle != *self.0.response().user_handle() {
            return Err(Failure::Other("it names another user".into()));
        }
        let key = StaticState::<PublicKey>::decode(known.public_key.as_slice()).map_err(other)?;
        let backup = match (known.backup_eligible, known.backed_up) {
            (false, _) => Backup::NotEligible,
            (true, false) => Backup::Eligible,
            (true, true) => Backup::Exists,
        };
        let before = DynamicState {
            user_verified: true,
            backup,
            sign_count: u32::try_from(known.sign_count).map_err(other)?,
            authenticator_attachment: AuthenticatorAttachment::None,
        };
        let mut credential = AuthenticatedCredential::new(self.0.raw_id(), &handle, key, before).map_err(other)?;
        let origins = [site.origin.as_str()];
        let options = AuthenticationVerificationOptions::<&str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            ..AuthenticationVerificationOptions::default()
        };
        match state.verify(&rp_id, &self.0, &mut credential, &options) {
            Ok(_) => {
                let after = credential.dynamic_state();
                Ok(Used { sign_count: after.sign_count, backed_up: self::backup(after.backup).1 })
            }
            Err(AuthCeremonyErr::SignatureCounter) => Err(Failure::Counter),
            Err(error) => Err(other(error)),
        }
    }
}

/// Eligible, and done.
fn backup(backup: Backup) -> (bool, bool) {
    match backup {
        Backup::NotEligible => (false, false),
        Backup::Eligible => (true, false),
        Backup::Exists => (true, true),
    }
}

fn other(error: impl ToString) -> Failure {
    Failure::Other(error.to_string())
}

fn rp_id(site: &Site) -> anyhow::Result<RpId> {
    Ok(RpId::Domain(AsciiDomain::try_from(site.rp_id.clone())?))
}

/// A challenge as browsers are told of it and give it back.
fn text(challenge: &Challenge) -> String {
    BASE64URL_NOPAD.encode(&challenge.as_data().to_le_bytes())
}
