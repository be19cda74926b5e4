//! A password's hash as it is stored: which kinds there are, how much one may
//! cost, and whether a password has it.
//!
//! What is read here may come from a restored database or from somebody's old
//! system: it is held to bounds before any memory is taken for it.

use std::fmt;

use anyhow::anyhow;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// The most memory that a stored hash may ask for, in KiB.
pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// The most passes over it.
pub const PASSES_MAX: u32 = 16;
/// The lanes of one hash at most; they are filled one after the other.
const LANES_MAX: u32 = 64;
/// What bcrypt hashes may cost: two to this power of rounds.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=15;
/// Bytes of a password that bcrypt looks at.
const BCRYPT_PASSWORD_MAX: usize = 72;
/// `$2b$`, the cost and `$`, 22 characters of salt, 31 of hash.
const BCRYPT_LENGTH: usize = 60;
const BCRYPT_ALPHABET: &[u8] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Characters of any hash at most.
const LENGTH_MAX: usize = 512;

/// Why a text is no hash that can be used. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableHash {
    /// Another kind, or damaged.
    #[error("This is no hash that can be used: it must be argon2id as a PHC string, or bcrypt ($2a$, $2b$ or $2y$).")]
    Kind,
    /// It would take too much to check a password against it.
    #[error(
        "This hash costs too much to check: argon2id may take 1 GiB and {PASSES_MAX} passes, bcrypt a cost of 4 to 15."
    )]
    Cost,
}

/// A hash that a password can be checked against.
pub struct StoredHash(Kind);

enum Kind {
    Argon2id(Box<PasswordHash>, Params),
    Bcrypt(String),
}

impl StoredHash {
    /// Reads a hash that is within the bounds.
    ///
    /// # Errors
    /// When it is of no known kind, or costs too much.
    pub fn parse(text: &str) -> Result<Self, UnusableHash> {
        if text.len() > LENGTH_MAX {
            return Err(UnusableHash::Kind);
        }
        if text.starts_with("$2") { parse_bcrypt(text) } else { parse_argon2id(text) }.map(Self)
    }

    /// Whether the password has this hash.
    ///
    /// bcrypt looks at 72 bytes and ends at the first zero byte, so a longer
    /// password, or one with such a byte, would be as good as another one: it
    /// never matches, after the same work.
    ///
    /// # Errors
    /// When the hash cannot be computed.
    pub fn matches(&self, password: &[u8]) -> anyhow::Result<bool> {
        match &self.0 {
            Kind::Argon2id(hash, _) => match Argon2::default().verify_password(password, &**hash) {
                Ok(()) => Ok(true),
                Err(HashError::PasswordInvalid) => Ok(false),
                Err(error) => Err(anyhow!("verifying a password: {error}")),
            },
            Kind::Bcrypt(hash) => {
                let whole = password.len() <= BCRYPT_PASSWORD_MAX && !password.contains(&0);
                // Not the error itself: some of bcrypt's show the hash.
                let matches = bcrypt::verify(password, hash).map_err(|_| anyhow!("a stored bcrypt hash"))?;
                Ok(matches && whole)
            }
        }
    }

    /// Whether it was made as new ones are: argon2id of the present version
    /// with these parameters.
    pub fn is_made_with(&self, present: &Params) -> bool {
        match &self.0 {
            Kind::Argon2id(hash, params) => {
                let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
                let length = present.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
                costs(params) == costs(present)
                    && hash.version == Some(Version::V0x13.into())
                    && params.output_len() == Some(length)
            }
            Kind::Bcrypt(_) => false,
        }
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredHash").finish_non_exhaustive()
    }
}

fn parse_argon2id(text: &str) -> Result<Kind, UnusableHash> {
    let hash = PasswordHash::new(text).map_err(|_| UnusableHash::Kind)?;
    if hash.algorithm.as_str() != Algorithm::Argon2id.as_str() || hash.salt.is_none() || hash.hash.is_none() {
        return Err(UnusableHash::Kind);
    }
    let params = Params::try_from(&hash).map_err(|_| UnusableHash::Kind)?;
    if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() > LANES_MAX {
        return Err(UnusableHash::Cost);
    }
    Ok(Kind::Argon2id(Box::new(hash), params))
}

fn parse_bcrypt(text: &str) -> Result<Kind, UnusableHash> {
    let bytes = text.as_bytes();
    let known = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix));
    if !known || bytes.len() != BCRYPT_LENGTH || bytes[6] != b'$' {
        return Err(UnusableHash::Kind);
    }
    let digit = |byte: u8| char::from(byte).to_digit(10).ok_or(UnusableHash::Kind);
    let cost = digit(bytes[4])? * 10 + digit(bytes[5])?;
    // 128 bits of salt and 184 of hash leave bits of their last characters
    // over, which are zero.
    let value = |byte: &u8| BCRYPT_ALPHABET.iter().position(|known| known == byte).ok_or(UnusableHash::Kind);
    let values = bytes[7..].iter().map(value).collect::<Result<Vec<_>, _>>()?;
    if values[21] % 16 != 0 || values[52] % 4 != 0 {
        return Err(UnusableHash::Kind);
    }
    if !BCRYPT_COSTS.contains(&cost) {
        return Err(UnusableHash::Cost);
    }
    Ok(Kind::Bcrypt(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `password` and `correctbatteryhorsestapler`, made by other programs.
    const BCRYPT: [(&str, &str); 3] = [
        ("$2a$04$UuTkLRZZ6QofpDOlMz32MuuxEHA43WOemOYHPz6.SjsVsyO1tDU96", "password"),
        ("$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie", "correctbatteryhorsestapler"),
        ("$2a$04$n4Uy0eSnMfvnESYL.bLwuuj0U/ETSsoTpRT9GVk5bektyVVa5xnIi", "correctbatteryhorsestapler"),
    ];
    /// Of 100 times `x`, which is that of 72 times `x`.
    const BCRYPT_CUT: &str = "$2a$05$......................YgIDy4hFBdVlc/6LHnD9mX488r9cLd2";

    fn refused(text: &str) -> Option<UnusableHash> {
        StoredHash::parse(text).err()
    }

    fn argon2id(params: &str) -> String {
        format!("$argon2id$v=19${params}$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY")
    }

    #[test]
    fn bcrypt_hashes_of_other_programs_are_understood() {
        for (hash, password) in BCRYPT {
            let stored = StoredHash::parse(hash).unwrap();
            assert!(stored.matches(password.as_bytes()).unwrap(), "{hash}");
            assert!(!stored.matches(b"another password").unwrap(), "{hash}");
            let same_by_another_name = StoredHash::parse(&hash.replacen("$2a$", "$2y$", 1)).unwrap();
            assert!(same_by_another_name.matches(password.as_bytes()).unwrap(), "{hash}");
        }
    }

    #[test]
    fn bcrypt_never_matches_a_password_of_which_it_would_see_a_part_only() {
        let stored = StoredHash::parse(BCRYPT_CUT).unwrap();
        assert!(stored.matches(&[b'x'; 72]).unwrap());
        assert!(!stored.matches(&[b'x'; 73]).unwrap());
        assert!(!stored.matches(&[b'x'; 100]).unwrap());
        let short = StoredHash::parse(BCRYPT[0].0).unwrap();
        assert!(!short.matches(b"password\0").unwrap());
        assert!(!short.matches(b"password\0password").unwrap());
    }

    #[test]
    fn what_costs_too_much_is_refused_before_it_is_tried() {
        assert_eq!(refused(&argon2id("m=1048576,t=16,p=1")), None);
        for params in ["m=1048577,t=1,p=1", "m=4294967295,t=1,p=1", "m=8,t=17,p=1", "m=65536,t=1,p=65"] {
            assert_eq!(refused(&argon2id(params)), Some(UnusableHash::Cost), "{params}");
        }
        for cost in ["03", "16", "31", "99"] {
            let hash = BCRYPT[0].0.replacen("$04$", &format!("${cost}$"), 1);
            assert_eq!(refused(&hash), Some(UnusableHash::Cost), "{cost}");
        }
        assert_eq!(refused(&BCRYPT[0].0.replacen("$04$", "$15$", 1)), None);
    }

    #[test]
    fn what_is_no_hash_is_refused_and_not_repeated() {
        let (bcrypt, argon2id) = (BCRYPT[0].0, argon2id("m=64,t=1,p=1"));
        let damaged = [
            String::new(),
            "lamp-orchard-seven-quilt".to_owned(),
            argon2id.replacen("argon2id", "argon2i", 1),
            argon2id.replacen("argon2id", "argon2d", 1),
            argon2id.replacen("argon2id", "scrypt", 1),
            argon2id.rsplit_once('$').unwrap().0.to_owned(),
            argon2id.replacen("m=64", "m=0", 1),
            format!("{argon2id}$x"),
            format!("{argon2id}\n"),
            bcrypt.replacen("$2a$", "$2x$", 1),
            bcrypt.replacen("$2a$", "$2$", 1),
            bcrypt.replacen("$04$", "$4$", 1),
            bcrypt.replacen("$04$", "$+4$", 1),
            bcrypt[..59].to_owned(),
            format!("{bcrypt}x"),
            bcrypt.replacen('6', "!", 1),
            bcrypt.replacen("tDU96", "tDU97", 1),
            "$2a$04$ä".to_owned() + &bcrypt[9..],
            "$".repeat(600),
        ];
        for text in damaged {
            let error = refused(&text).expect(&text);
            assert_eq!(error, UnusableHash::Kind, "{text}");
            assert!(text.is_empty() || !error.to_string().contains(&text));
        }
        assert!(!format!("{:?}", StoredHash::parse(bcrypt).unwrap()).contains("UuTk"));
    }

    #[test]
    fn only_what_is_made_as_today_is_as_good_as_today() {
        let present = Params::new(64, 1, 1, None).unwrap();
        let is_current = |text: &str| StoredHash::parse(text).unwrap().is_made_with(&present);
        assert!(is_current(&argon2id("m=64,t=1,p=1")));
        for params in ["m=63,t=1,p=1", "m=65,t=1,p=1", "m=64,t=2,p=1", "m=64,t=1,p=2"] {
            assert!(!is_current(&argon2id(params)), "{params}");
        }
        assert!(!is_current(&argon2id("m=64,t=1,p=1").replacen("v=19", "v=16", 1)));
        let short = argon2id("m=64,t=1,p=1").replacen(
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
            "MDEyMzQ1Njc4OWFiY2RlZg",
            1,
        );
        assert!(!is_current(&short));
        assert!(!is_current(BCRYPT[0].0));
    }
}
