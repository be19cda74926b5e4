//! Real servers that a hub is told of: of mail, and of a directory.

mod mail_server;
mod slapd;

pub use self::mail_server::{MailSecurity, MailServer, TakenMail};
pub use self::slapd::{Authority, Certificate, Slapd};
