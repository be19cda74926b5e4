//! What the hub writes, in each language, as text and as simple HTML. Whatever
//! comes from somebody is escaped, and never stands in a subject.

mod english;
mod french;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A language of mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// French.
    Fr,
}

/// The text names no language that mails are written in.
#[derive(Debug, thiserror::Error)]
#[error("a language is en or fr")]
pub struct UnknownLanguage;

impl Language {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }
}

impl TryFrom<String> for Language {
    type Error = UnknownLanguage;

    fn try_from(text: String) -> Result<Self, UnknownLanguage> {
        [Self::En, Self::Fr].into_iter().find(|language| language.as_str() == text).ok_or(UnknownLanguage)
    }
}

/// A letter that the hub writes, with what it is filled in with.
#[derive(Clone, Debug)]
pub enum Letter {
    /// Somebody invites the recipient.
    Invitation {
        /// Who does.
        invited_by: String,
        /// Where it is accepted.
        link: String,
        /// Until when.
        until: Timestamp,
    },
    /// The recipient asked for an account.
    Registration {
        /// Where it is made.
        link: String,
        /// Until when.
        until: Timestamp,
    },
    /// The recipient asked for an account and has one.
    AlreadyRegistered {
        /// What they are called.
        name: String,
        /// Where they sign in.
        address: String,
    },
    /// The recipient asked for a new password.
    PasswordReset {
        /// What they are called.
        name: String,
        /// Where it is chosen.
        link: String,
        /// Until when.
        until: Timestamp,
    },
    /// The recipient's password was replaced through a mail.
    PasswordChanged {
        /// What they are called.
        name: String,
    },
    /// The recipient's address is to be that of a user.
    VerifyAddress {
        /// What they are called.
        name: String,
        /// Where they confirm it.
        link: String,
        /// Until when.
        until: Timestamp,
    },
    /// The recipient's address is to be replaced by another one.
    AddressChanges {
        /// What they are called.
        name: String,
        /// The other address.
        to: String,
    },
    /// Somebody tries the mail server.
    Test {
        /// The hub.
        address: String,
    },
}

/// A subject: one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Subject(String);

impl Subject {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One line of printable text.
    pub fn parse(text: &str) -> Option<Self> {
        let ends_a_line = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
        let fits = !text.is_empty() && text.len() <= 200 && !text.chars().any(ends_a_line);
        fits.then(|| Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a subject is one line"))
    }
}

/// A letter as it is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rendered {
    pub subject: Subject,
    pub text: String,
    pub html: String,
}

/// What a language says: lines of text, with a link between them where there is
/// one.
struct Words {
    subject: &'static str,
    before: Vec<String>,
    link: Option<(&'static str, String)>,
    after: Vec<String>,
}

impl Letter {
    /// Its kind, as it stands in the list of what was sent.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Invitation { .. } => "invitation",
            Self::Registration { .. } => "registration",
            Self::AlreadyRegistered { .. } => "already_registered",
            Self::PasswordReset { .. } => "password_reset",
            Self::PasswordChanged { .. } => "password_changed",
            Self::VerifyAddress { .. } => "verify_address",
            Self::AddressChanges { .. } => "address_changes",
            Self::Test { .. } => "test",
        }
    }

    /// The letter in this language.
    pub(super) fn render(&self, language: Language) -> Rendered {
        let words = match language {
            Language::En => english::words(self),
            Language::Fr => french::words(self),
        };
        let subject = Subject::parse(words.subject).expect("subjects are written here and are one line");
        Rendered { subject, text: text(&words), html: html(&words, language) }
    }
}

/// A moment as people read it in a mail.
fn moment(at: Timestamp) -> String {
    let at = at.as_datetime();
    format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
}

fn text(words: &Words) -> String {
    let link = words.link.iter().map(|(_, url)| url);
    let lines = words.before.iter().chain(link).chain(&words.after);
    let lines: Vec<String> = lines.map(|line| one_line(line)).collect();
    lines.join("\n\n") + "\n"
}

fn html(words: &Words, language: Language) -> String {
    let paragraph = |line: &String| format!("<p>{}</p>\n", escape(&one_line(line)));
    let before: String = words.before.iter().map(paragraph).collect();
    let after: String = words.after.iter().map(paragraph).collect();
    let link = words.link.as_ref().map(|(label, url)| {
        let url = escape(&one_line(url));
        format!("<p><a href=\"{url}\">{}</a></p>\n<p>{url}</p>\n", escape(label))
    });
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head><meta charset=\"utf-8\"></head>\n<body>\n{before}{}{after}</body>\n</html>\n",
        language.as_str(),
        link.unwrap_or_default()
    )
}

/// What was filled in begins no line of its own.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "eve\r\n\r\n<script>alert(\"1\")</script>&'";

    fn letters(value: &str) -> Vec<Letter> {
        let (name, link, address) = (value.to_owned(), value.to_owned(), value.to_owned());
        let until = time::macros::datetime!(2026-05-04 0:30 UTC).into();
        vec![
            Letter::Invitation { invited_by: name.clone(), link: link.clone(), until },
            Letter::Registration { link: link.clone(), until },
            Letter::AlreadyRegistered { name: name.clone(), address: address.clone() },
            Letter::PasswordReset { name: name.clone(), link: link.clone(), until },
            Letter::PasswordChanged { name: name.clone() },
            Letter::VerifyAddress { name: name.clone(), link, until },
            Letter::AddressChanges { name, to: value.to_owned() },
            Letter::Test { address },
        ]
    }

    #[test]
    fn every_letter_is_written_in_every_language_and_says_different_things() {
        for (number, letter) in letters("x").iter().enumerate() {
            let [english, french] = [Language::En, Language::Fr].map(|language| letter.render(language));
            assert_ne!(english.subject, french.subject, "{number}");
            assert_ne!(english.text, french.text, "{number}");
            for rendered in [&english, &french] {
                assert!(rendered.text.contains('x') && rendered.html.contains("<p>"), "{rendered:?}");
            }
        }
        let kinds: std::collections::HashSet<_> = letters("x").iter().map(Letter::kind).collect();
        assert_eq!(kinds.len(), letters("x").len());
    }

    #[test]
    fn c20_what_is_filled_in_is_escaped_begins_no_line_and_is_in_no_subject() {
        for letter in letters(NASTY) {
            for language in [Language::En, Language::Fr] {
                let rendered = letter.render(language);
                assert!(!rendered.subject.as_str().contains("eve"), "{rendered:?}");
                assert!(!rendered.html.contains("<script>") && !rendered.html.contains("alert(\"1\")"), "{rendered:?}");
                assert!(rendered.html.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;"));
                assert!(!rendered.text.contains('\r') && !rendered.text.lines().any(|line| line.starts_with('<')));
            }
        }
    }

    #[test]
    fn c20_a_subject_is_one_line() {
        for wrong in ["", "a\r\nBcc: eve@example.com", "a\nb", "a\rb", "a\0b", "a\u{2028}b", "a\u{85}b"] {
            assert_eq!(Subject::parse(wrong), None, "{wrong:?}");
            assert!(serde_json::from_value::<Subject>(wrong.into()).is_err(), "{wrong:?}");
        }
        assert_eq!(Subject::parse("Réinitialiser").unwrap().as_str(), "Réinitialiser");
    }
}
