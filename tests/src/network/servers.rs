//! Real servers that a hub is told of: of mail, a directory, and the Redis in
//! which several hubs meet.

mod mail_server;
mod redis;
mod slapd;

pub use self::mail_server::{MailSecurity, MailServer, TakenMail};
pub use self::redis::Redis;
pub use self::slapd::{Authority, Certificate, Slapd};
