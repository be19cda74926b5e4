//! Codes that change with time, RFC 6238: HMAC-SHA-1, six digits, steps of
//! 30 seconds, as every authenticator app makes them.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::clock::{Random, Timestamp};

/// Random bytes in a secret: as many as SHA-1 gives.
const SECRET_BYTES: usize = 20;
/// Seconds for which a code is the present one.
const STEP_SECONDS: i64 = 30;
/// Steps before and after the present one whose codes count too, for clocks
/// that differ and for those who type slowly.
const STEPS_AROUND: i64 = 1;
const DIGITS: usize = 6;

/// The six digits of one step.
pub type Digits = [u8; DIGITS];

/// What an authenticator app and the hub both know.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A new one.
    pub fn generate(random: &Random) -> Self {
        Self(Zeroizing::new(random.bytes::<SECRET_BYTES>().to_vec()))
    }

    /// One that was stored.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// What is to be sealed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What is typed into an app that cannot read pictures.
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }

    /// What an app reads from a picture: for the `user` of what is called
    /// `issuer`. Both are of characters that need no escape, spaces excepted.
    pub fn to_uri(&self, issuer: &str, user: &str) -> Zeroizing<String> {
        let (issuer, secret) = (issuer.replace(' ', "%20"), self.to_base32());
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{user}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
            *secret
        ))
    }

    /// The step around `now`, later than `after`, whose code this is. All codes
    /// are compared whatever the first says.
    pub fn find_step(&self, digits: &Digits, now: Timestamp, after: i64) -> Option<i64> {
        let present = step_of(now);
        (present - STEPS_AROUND..=present + STEPS_AROUND)
            .filter(|step| bool::from(self.digits_at(*step).as_slice().ct_eq(digits.as_slice())))
            .fold(None, |found, step| if step > after { found.or(Some(step)) } else { found })
    }

    fn digits_at(&self, step: i64) -> Zeroizing<Digits> {
        let mut rest = self.number_at(step);
        let mut digits = Zeroizing::new([0; DIGITS]);
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a remainder of ten is below ten");
            rest /= 10;
        }
        digits
    }

    /// 31 bits of the step's HMAC, from where its last four bits say.
    fn number_at(&self, step: i64) -> u32 {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let start = usize::from(tag[tag.len() - 1] & 0x0f);
        let number = [tag[start], tag[start + 1], tag[start + 2], tag[start + 3]];
        u32::from_be_bytes(number) & 0x7fff_ffff
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

fn step_of(now: Timestamp) -> i64 {
    now.as_micros().div_euclid(STEP_SECONDS * 1_000_000)
}

/// Codes for tests, which have no phone.
#[cfg(test)]
pub fn code_at(secret: &str, now: Timestamp) -> String {
    let secret = Secret::new(Zeroizing::new(BASE32_NOPAD.decode(secret.as_bytes()).unwrap()));
    String::from_utf8(secret.digits_at(step_of(now)).to_vec()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, for SHA-1: seconds and the eight digits then.
    const VECTORS: [(i64, u32); 6] = [
        (59, 94_287_082),
        (1_111_111_109, 7_081_804),
        (1_111_111_111, 14_050_471),
        (1_234_567_890, 89_005_924),
        (2_000_000_000, 69_279_037),
        (20_000_000_000, 65_353_130),
    ];

    fn rfc_secret() -> Secret {
        Secret::new(Zeroizing::new(b"12345678901234567890".to_vec()))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn digits(number: u32) -> Digits {
        format!("{:06}", number % 1_000_000).into_bytes().try_into().unwrap()
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        for (seconds, number) in VECTORS {
            let step = step_of(at(seconds));
            assert_eq!(rfc_secret().number_at(step) % 100_000_000, number, "{seconds}");
            assert_eq!(*rfc_secret().digits_at(step), digits(number), "{seconds}");
            assert_eq!(rfc_secret().find_step(&digits(number), at(seconds), -1), Some(step), "{seconds}");
        }
    }

    #[test]
    fn a_code_counts_one_step_before_and_after_its_own_and_no_further() {
        let (secret, code) = (rfc_secret(), digits(VECTORS[3].1));
        let begin = 1_234_567_890;
        assert_eq!(begin % STEP_SECONDS, 0);
        let counts = |seconds: i64| secret.find_step(&code, at(begin + seconds), -1).is_some();
        assert!(counts(-30) && counts(0) && counts(29) && counts(59));
        assert!(!counts(-31) && !counts(60));
    }

    #[test]
    fn no_code_of_a_step_that_was_used_counts_nor_one_before_it() {
        let (secret, now) = (rfc_secret(), at(1_234_567_890));
        let present = step_of(now);
        let code_of = |step: i64| *secret.digits_at(step);
        assert_eq!(secret.find_step(&code_of(present), now, present), None);
        assert_eq!(secret.find_step(&code_of(present - 1), now, present), None);
        assert_eq!(secret.find_step(&code_of(present + 1), now, present), Some(present + 1));
        assert_eq!(secret.find_step(&code_of(present - 1), now, present - 2), Some(present - 1));
    }

    #[test]
    fn an_app_is_told_all_it_needs_and_a_log_nothing() {
        let secret = rfc_secret();
        let uri = secret.to_uri("Windflow hub.example", "ada@example.org");
        assert_eq!(
            *uri,
            "otpauth://totp/Windflow%20hub.example:ada@example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Windflow%20hub.example&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(format!("{secret:?}"), "Secret { .. }");
        assert_eq!(Secret::generate(&Random::default()).as_bytes().len(), SECRET_BYTES);
    }
}
