//! How a directory says who somebody is: found by the name that they typed, and
//! then bound as with the password that they typed, on a connection of its own.

use std::time::Duration;

use data_encoding::HEXLOWER;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::configuration::{GroupSource, LdapConfiguration, Nesting, Server};
use super::conversation::{self, Conversation, Trouble};
use super::dn;
use super::filter::{self, Template};
use super::messages::{Depth, Found, Outcome, Search};
use super::steps::Steps;
use super::walk::{self, Above};
use crate::outgoing::{Outgoing, Rules};

/// One server must have said all within this.
const SERVER_DEADLINE: Duration = Duration::from_secs(5);
/// The same, as servers are told it.
const SERVER_SECONDS: i32 = 5;
/// Longest name that somebody types, and value by which somebody is known.
const NAME_MAX: usize = 128;
/// Groups of somebody, at most.
const GROUPS_MAX: usize = 500;
/// No attribute (RFC 4511 §4.5.1.8).
const NO_ATTRIBUTE: &str = "1.1";
/// Name and password do not belong together, or may not be used so.
const WRONG: [i32; 6] = [19, 32, 34, 48, 49, 50];

/// A directory as it is asked.
#[derive(Debug)]
pub struct Directory<'a> {
    outgoing: &'a Outgoing,
    configuration: &'a LdapConfiguration,
    rules: Rules,
    servers: Vec<Server>,
    /// The password of the account of the hub.
    secret: Option<SecretString>,
}

/// What somebody typed.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    /// Their name.
    pub name: &'a str,
    /// Their password, where it is to be tried.
    pub password: Option<&'a SecretString>,
}

/// Somebody whom a directory knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// By what they are known, for good.
    pub subject: String,
    /// Where they are in the directory.
    pub dn: String,
    /// What they are called there, the best first.
    pub names: Vec<String>,
    /// The names of their groups.
    pub groups: Vec<String>,
}

/// What a directory says of what somebody typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It knows nobody of this name, or several.
    Nobody,
    /// It is another password.
    Wrong,
    /// They are this.
    Known(Person),
    /// They are to wait.
    Wait(Duration),
}

/// Looks at whom a name leads to before their password is tried.
pub trait Gate: Sync {
    /// How long to wait, where it is not to be tried now.
    fn wait(&self, person: &Person) -> impl Future<Output = Option<Duration>> + Send;
}

/// Lets everybody through.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Gate for Open {
    async fn wait(&self, _: &Person) -> Option<Duration> {
        None
    }
}

impl<'a> Directory<'a> {
    /// The directory of this configuration.
    pub fn new(
        outgoing: &'a Outgoing,
        configuration: &'a LdapConfiguration,
        secret: Option<SecretString>,
    ) -> Option<Self> {
        let (rules, servers) = (configuration.rules().ok()?, configuration.servers()?);
        Some(Self { outgoing, configuration, rules, servers, secret })
    }

    /// Asks the first server that answers.
    ///
    /// # Errors
    /// The trouble with the last one, where none does.
    pub async fn ask(&self, typed: Typed<'_>, gate: &impl Gate, steps: &mut Steps) -> Result<Said, Trouble> {
        let mut last = Trouble::Broken;
        for server in &self.servers {
            steps.at(server);
            let asked = tokio::time::timeout(SERVER_DEADLINE, self.ask_server(server, typed, gate, steps)).await;
            match asked.unwrap_or(Err(Trouble::Slow)) {
                Ok(said) => return Ok(said),
                Err(trouble) => {
                    steps.failed(&trouble);
                    tracing::warn!(server = server.address, %trouble, "a server of a directory cannot be asked");
                    let is_the_servers = trouble.is_the_servers();
                    last = trouble;
                    if !is_the_servers {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Tries what can be tried without anybody's name.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn look(&self, steps: &mut Steps) -> Result<(), Trouble> {
        let mut last = Trouble::Broken;
        for server in &self.servers {
            steps.at(server);
            let looked = tokio::time::timeout(SERVER_DEADLINE, self.look_at(server, steps)).await;
            match looked.unwrap_or(Err(Trouble::Slow)) {
                Ok(()) => return Ok(()),
                Err(trouble) => {
                    steps.failed(&trouble);
                    last = trouble;
                }
            }
        }
        Err(last)
    }

    async fn look_at(&self, server: &Server, steps: &mut Steps) -> Result<(), Trouble> {
        let mut service = self.open(server, steps).await?;
        steps.begin("service_bind");
        self.bind_service(&mut service).await?;
        steps.passed([self.configuration.bind_dn.clone()]);
        for (step, base) in [("base", &*self.configuration.base_dn), ("group_base", self.configuration.group_base())] {
            let is_same = step == "group_base" && base == self.configuration.base_dn;
            if is_same || (step == "group_base" && self.configuration.groups == GroupSource::None) {
                continue;
            }
            steps.begin(step);
            let found = service.search(Search {
                base,
                depth: Depth::Base,
                filter: filter::anything(),
                attributes: vec![NO_ATTRIBUTE],
                most: 1,
                seconds: SERVER_SECONDS,
            });
            if found.await?.is_empty() {
                return Err(Trouble::NoBase);
            }
            steps.passed([Some(base.to_owned())]);
        }
        service.end().await;
        Ok(())
    }

    async fn ask_server(
        &self,
        server: &Server,
        typed: Typed<'_>,
        gate: &impl Gate,
        steps: &mut Steps,
    ) -> Result<Said, Trouble> {
        let mut service = self.open(server, steps).await?;
        steps.begin("service_bind");
        self.bind_service(&mut service).await?;
        steps.passed([self.configuration.bind_dn.clone()]);

        steps.begin("search");
        let Some(entry) = self.find(&mut service, typed.name, steps).await? else {
            if let Some(password) = typed.password {
                // An answer for nobody takes as long as one for somebody.
                let nobody = format!("cn={},{}", Uuid::new_v4(), self.configuration.base_dn);
                self.bind_person(server, &nobody, password).await?;
            }
            return Ok(Said::Nobody);
        };
        let mut person = self.person(&entry, typed.name)?;
        steps.passed([Some(person.dn.clone()), Some(person.subject.clone())]);

        if let Some(password) = typed.password {
            if let Some(wait) = gate.wait(&person).await {
                return Ok(Said::Wait(wait));
            }
            steps.begin("user_bind");
            let outcome = self.bind_person(server, &person.dn, password).await?;
            if !outcome.is_good() {
                steps.refused("wrong_password", Some(outcome.words));
                if !WRONG.contains(&outcome.code) {
                    let code = outcome.code;
                    tracing::warn!(
                        server = server.address,
                        code,
                        "a directory does not say whether a password is right"
                    );
                }
                return Ok(Said::Wrong);
            }
            steps.passed([]);
        }

        steps.begin("groups");
        person.groups = self.groups(&mut service, &entry).await?;
        steps.passed(person.groups.iter().cloned().map(Some));
        service.end().await;
        Ok(Said::Known(person))
    }

    async fn open(&self, server: &Server, steps: &mut Steps) -> Result<Conversation, Trouble> {
        steps.begin("connect");
        let tcp = self.dial(server).await?;
        steps.passed([tcp.peer_addr().ok().map(|address| address.to_string())]);
        steps.begin("tls");
        let conversation = conversation::secured(self.outgoing, &self.rules, server, tcp).await?;
        steps.passed_over(server.security);
        Ok(conversation)
    }

    async fn dial(&self, server: &Server) -> Result<TcpStream, Trouble> {
        Ok(self.outgoing.dial(&self.rules, &server.target).await?)
    }

    async fn bind_service(&self, conversation: &mut Conversation) -> Result<(), Trouble> {
        let outcome = match (&self.configuration.bind_dn, &self.secret) {
            (None, _) => conversation.bind_as_nobody().await?,
            (Some(dn), Some(secret)) => conversation.bind(dn, secret.expose_secret()).await?,
            (Some(_), None) => Outcome { code: 49, words: "there is no password for this account".to_owned() },
        };
        if outcome.is_good() { Ok(()) } else { Err(Trouble::Service(outcome)) }
    }

    /// Tries a password, on a connection that is used for nothing else.
    async fn bind_person(&self, server: &Server, dn: &str, password: &SecretString) -> Result<Outcome, Trouble> {
        let tcp = self.dial(server).await?;
        let mut conversation = conversation::secured(self.outgoing, &self.rules, server, tcp).await?;
        let outcome = conversation.bind(dn, password.expose_secret()).await?;
        conversation.end().await;
        Ok(outcome)
    }

    /// The one entry that a name leads to.
    async fn find(&self, service: &mut Conversation, name: &str, steps: &mut Steps) -> Result<Option<Found>, Trouble> {
        let configuration = self.configuration;
        let Ok(template) = Template::parse(&configuration.user_filter, "{name}") else { return Ok(None) };
        let attributes =
            [&*configuration.id_attribute, &*configuration.name_attribute, &*configuration.group_attribute];
        let found = service.search(Search {
            base: &configuration.base_dn,
            depth: Depth::Below,
            filter: template.fill(name.as_bytes()),
            attributes: attributes.to_vec(),
            most: 2,
            seconds: SERVER_SECONDS,
        });
        let mut found = match found.await {
            Err(Trouble::TooMuch) => {
                steps.refused("ambiguous", None);
                return Ok(None);
            }
            found => found?,
        };
        match found.len() {
            0 => steps.refused("nobody", None),
            1 => return Ok(found.pop()),
            _ => steps.refused("ambiguous", None),
        }
        Ok(None)
    }

    fn person(&self, entry: &Found, typed: &str) -> Result<Person, Trouble> {
        // Whoever binds without a name is nobody, with whatever password.
        if entry.dn.is_empty() {
            return Err(Trouble::NoId);
        }
        let mut names: Vec<String> = entry.texts(&self.configuration.name_attribute).take(1).collect();
        names.push(typed.to_owned());
        let subject = subject(&self.configuration.id_attribute, entry).ok_or(Trouble::NoId)?;
        Ok(Person { subject, dn: entry.dn.clone(), names, groups: Vec::new() })
    }

    async fn groups(&self, service: &mut Conversation, entry: &Found) -> Result<Vec<String>, Trouble> {
        let configuration = self.configuration;
        let nested = configuration.nested_groups;
        if configuration.groups == GroupSource::None {
            return Ok(Vec::new());
        }
        if nested == Nesting::InChain {
            return self.groups_by(service, &Template::in_chain(), &entry.dn).await;
        }
        let first = match configuration.groups {
            GroupSource::None => Vec::new(),
            GroupSource::Attribute => entry.texts(&configuration.group_attribute).take(GROUPS_MAX + 1).collect(),
            GroupSource::Search => self.groups_of(service, &entry.dn).await?,
        };
        let asked = (nested == Nesting::Walk).then_some((self, service));
        walk::upwards(first, GROUPS_MAX, &mut Groups(asked)).await
    }

    /// The groups that an entry is in by itself.
    async fn groups_of(&self, service: &mut Conversation, entry: &str) -> Result<Vec<String>, Trouble> {
        let configuration = self.configuration;
        if configuration.groups == GroupSource::Search {
            let template = Template::parse(&configuration.group_filter, "{dn}").map_err(|_| Trouble::Broken)?;
            return self.groups_by(service, &template, entry).await;
        }
        let found = service.search(Search {
            base: entry,
            depth: Depth::Base,
            filter: filter::anything(),
            attributes: vec![&configuration.group_attribute],
            most: 1,
            seconds: SERVER_SECONDS,
        });
        match found.await {
            Ok(found) => {
                let groups = found.iter().flat_map(|group| group.texts(&configuration.group_attribute));
                Ok(groups.take(GROUPS_MAX + 1).collect())
            }
            // A group that is told of may be out of sight.
            Err(Trouble::NoBase | Trouble::Search(_)) => Ok(Vec::new()),
            Err(trouble) => Err(trouble),
        }
    }

    async fn groups_by(
        &self,
        service: &mut Conversation,
        template: &Template,
        entry: &str,
    ) -> Result<Vec<String>, Trouble> {
        let found = service.search(Search {
            base: self.configuration.group_base(),
            depth: Depth::Below,
            filter: template.fill(entry.as_bytes()),
            attributes: vec![NO_ATTRIBUTE],
            most: i32::try_from(GROUPS_MAX).unwrap_or(i32::MAX),
            seconds: SERVER_SECONDS,
        });
        Ok(found.await?.into_iter().map(|group| group.dn).collect())
    }
}

/// The groups of groups, where they count.
struct Groups<'a, 'b>(Option<(&'a Directory<'b>, &'a mut Conversation)>);

impl Above for Groups<'_, '_> {
    fn above<'a>(&'a mut self, group: &'a str) -> BoxFuture<'a, Result<Vec<String>, Trouble>> {
        match &mut self.0 {
            Some((directory, service)) => directory.groups_of(service, group).boxed(),
            None => async { Ok(Vec::new()) }.boxed(),
        }
    }
}

/// Whether a directory is asked about this name at all.
pub fn is_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= NAME_MAX && name.trim() == name;
    fits && !name.chars().any(char::is_control)
}

/// By what somebody is known: the attribute and its one value. Another attribute
/// of the same value is another one.
fn subject(attribute: &str, entry: &Found) -> Option<String> {
    let mut values = entry.values(attribute);
    let value = values.next().filter(|value| !value.is_empty() && value.len() <= NAME_MAX)?;
    if values.next().is_some() {
        return None;
    }
    let attribute = attribute.to_ascii_lowercase();
    let text =
        std::str::from_utf8(value).ok().filter(|text| attribute != "objectguid" && !text.contains(char::is_control));
    Some(match text {
        Some(text) => format!("{attribute}={text}"),
        None => format!("{attribute}:{}", HEXLOWER.encode(value)),
    })
}

/// Whether two names of groups are the same.
pub fn is_same_group(one: &str, other: &str) -> bool {
    dn::folded(one) == dn::folded(other)
}

#[cfg(test)]
mod tests {
    use super::super::messages::{self, Answer, testing};
    use super::*;

    fn entry(attributes: &[(&str, &[&str])]) -> Found {
        let bytes = testing::found(1, "uid=ada,dc=c", attributes);
        let content = super::super::ber::Reader::new(&bytes).one(super::super::ber::SEQUENCE).unwrap();
        let Ok((_, Answer::Entry(found))) = messages::read(content) else { panic!("no entry") };
        found
    }

    #[test]
    fn somebody_is_known_by_one_value_of_one_attribute() {
        let ada = entry(&[("entryUUID", &["6f"]), ("objectGUID", &["abc"]), ("mail", &["a", "b"]), ("no", &[""])]);
        assert_eq!(subject("entryuuid", &ada).as_deref(), Some("entryuuid=6f"));
        assert_eq!(subject("objectGUID", &ada).as_deref(), Some("objectguid:616263"));
        for none in ["mail", "no", "uid"] {
            assert_eq!(subject(none, &ada), None, "{none}");
        }
    }

    #[test]
    fn c19_no_directory_is_asked_about_what_is_no_name() {
        for name in ["ada", "ada@corp.example", "Ada Lovelace", "*", ")(uid=*", "\\00", "日本"] {
            assert!(is_name(name), "{name:?}");
        }
        for name in ["", " ", " ada", "ada ", "a\0b", "a\nb", "a\u{7f}", &"x".repeat(129)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
