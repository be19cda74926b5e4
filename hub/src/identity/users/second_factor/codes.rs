//! What somebody types as their second factor: the six digits of an app, or a
//! recovery code, which stands in for a lost phone once.

use std::fmt;

use ring::digest::{Context, SHA256};
use secrecy::{ExposeSecret, SecretString};
use windflow_protocol::text::base32;
use zeroize::Zeroizing;

use super::totp::Digits;
use crate::clock::Random;
use crate::http::UserId;

/// Recovery codes that a user gets at once.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes in a recovery code.
const RECOVERY_BYTES: usize = 10;
/// Characters between two dashes of a recovery code.
const GROUP: usize = 4;
/// Characters of a code at most, with whatever was typed between them.
const TYPED_MAX: usize = 64;
/// What is hashed before a recovery code.
const RECOVERY_LABEL: &[u8] = b"windflow recovery code";

/// A code as it was typed.
pub enum GivenCode {
    /// Six digits.
    Digits(Zeroizing<Digits>),
    /// A recovery code.
    Recovery(RecoveryCode),
}

impl GivenCode {
    /// Reads a code in any spelling: spaces and dashes do not count, nor does
    /// case. `None` for what is no code at all.
    pub fn parse(typed: &SecretString) -> Option<Self> {
        let typed = typed.expose_secret();
        if typed.len() > TYPED_MAX {
            return None;
        }
        let bare = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_lowercase());
        let bare: Zeroizing<String> = Zeroizing::new(bare.collect());
        match Digits::try_from(bare.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Some(Self::Digits(Zeroizing::new(digits))),
            Ok(_) | Err(_) => RecoveryCode::decode(&bare).map(Self::Recovery),
        }
    }
}

/// One recovery code.
pub struct RecoveryCode(Zeroizing<[u8; RECOVERY_BYTES]>);

impl RecoveryCode {
    /// A new one.
    pub fn generate(random: &Random) -> Self {
        Self(Zeroizing::new(random.bytes()))
    }

    /// How it is shown, this once.
    pub fn show(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(base32().encode(self.0.as_slice()));
        let groups: Vec<&str> = (0..text.len()).step_by(GROUP).map(|start| &text[start..start + GROUP]).collect();
        Zeroizing::new(groups.join("-"))
    }

    /// What is stored of it: it is random enough to need no slow hash, and is
    /// bound to its user.
    pub fn digest(&self, user: UserId) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for part in [RECOVERY_LABEL, user.0.as_bytes(), self.0.as_slice()] {
            context.update(part);
        }
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn decode(bare: &str) -> Option<Self> {
        let bytes = Zeroizing::new(base32().decode(bare.as_bytes()).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryCode").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn parse(typed: &str) -> Option<GivenCode> {
        GivenCode::parse(&typed.into())
    }

    #[test]
    fn six_digits_are_read_in_any_spelling() {
        for typed in ["012345", "012 345", " 012-345\n"] {
            assert!(matches!(parse(typed), Some(GivenCode::Digits(digits)) if *digits == *b"012345"), "{typed}");
        }
    }

    #[test]
    fn a_recovery_code_survives_its_text_in_any_spelling() {
        let code = RecoveryCode::generate(&Random::default());
        let shown = code.show();
        assert_eq!(shown.len(), 19, "{}", *shown);
        let user = UserId(Uuid::nil());
        for typed in [shown.to_string(), shown.to_uppercase(), shown.replace('-', ""), shown.replace('-', " ")] {
            let Some(GivenCode::Recovery(read)) = parse(&typed) else { panic!("{typed}") };
            assert_eq!(read.digest(user), code.digest(user));
        }
        assert_ne!(code.digest(user), code.digest(UserId::generate()));
        assert_eq!(format!("{code:?}"), "RecoveryCode { .. }");
    }

    #[test]
    fn what_is_no_code_is_none() {
        for typed in
            ["", "12345", "1234567", "12345a", "abcd-efgh", "０１２３４５", "uuuu-uuuu-uuuu-uuuu", &"1".repeat(65)]
        {
            assert!(parse(typed).is_none(), "{typed}");
        }
    }
}
