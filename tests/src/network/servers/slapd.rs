//! A real directory: OpenLDAP's `slapd` on an address of its own, with two
//! people, an account for the hub and groups within groups.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::places;
use crate::process::{Process, run, run_with_input, write_private};
use crate::wait;

/// How long it may take to answer, and a command to it.
const DEADLINE: Duration = Duration::from_secs(20);
/// Below this everything is.
const SUFFIX: &str = "dc=corp,dc=example";
const ROOT: &str = "cn=root,dc=corp,dc=example";
const ROOT_PASSWORD: &str = "the root of all";

/// A certificate authority.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// Never: the parameters are constant and good.
    pub fn generate() -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("the system has randomness");
        Self(CertifiedIssuer::self_signed(params, key).expect("the parameters are good"))
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("the system has randomness");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("the name is good");
        let certificate = params.signed_by(&key, &self.0).expect("the parameters are good");
        (certificate.pem(), key.serialize_pem())
    }
}

/// How a directory speaks TLS.
#[derive(Debug)]
pub enum Certificate<'a> {
    /// With a certificate for its address.
    Of(&'a Authority),
    /// With one for another name.
    ForElsewhere(&'a Authority),
    /// Not at all.
    None,
}

/// A running directory on the usual ports. Dropping it kills it and removes its
/// data.
#[derive(Debug)]
pub struct Slapd {
    process: Process,
    address: Ipv4Addr,
    folder: TempDir,
}

impl Slapd {
    /// As whom a hub looks for people, and the password.
    pub const SERVICE: (&str, &str) = ("cn=hub,dc=corp,dc=example", "canary-of-the-service-account");
    /// Below this people are.
    pub const PEOPLE: &str = "ou=people,dc=corp,dc=example";
    /// Below this groups are.
    pub const GROUPS: &str = "ou=groups,dc=corp,dc=example";
    /// The password of `NAME` is this with the name behind it.
    pub const PASSWORD: &str = "correct horse of ";

    /// Starts a directory with what is in it.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(certificate: &Certificate<'_>) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-slapd-").tempdir().expect("a temporary folder");
        let [a, b, c] = [1, 2, 3].map(|_| rand::random_range(2..250));
        let address = Ipv4Addr::new(127, a, b, c);
        std::fs::create_dir(folder.path().join("data")).expect("the folder is ours");
        write_private(&folder.path().join("slapd.conf"), &configuration(folder.path(), address, certificate));
        let process = launch(folder.path(), address, matches!(certificate, Certificate::None));
        let slapd = Self { process, address, folder };
        slapd.wait();
        slapd.change("add", &tree());
        slapd
    }

    /// `ldap://` and its address.
    pub fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// `ldaps://` and its address.
    pub fn secure_url(&self) -> String {
        format!("ldaps://{}", self.address)
    }

    /// Where somebody is.
    pub fn person(name: &str) -> String {
        format!("uid={name},{}", Self::PEOPLE)
    }

    /// Where a group is.
    pub fn group(name: &str) -> String {
        format!("cn={name},{}", Self::GROUPS)
    }

    /// Does `add` or `modify` with a text in LDIF.
    ///
    /// # Panics
    /// When the directory refuses.
    pub fn change(&self, what: &str, ldif: &str) {
        let mut command = Command::new(places::installed(&format!("ldap{what}")));
        command.args(["-x", "-H", &self.url(), "-D", ROOT, "-w", ROOT_PASSWORD]);
        run_with_input(&mut command, ldif.as_bytes(), DEADLINE).succeeded();
    }

    /// Takes somebody out of a group, or puts them in.
    ///
    /// # Panics
    /// When the directory refuses.
    pub fn change_member(&self, how: &str, group: &str, member: &str) {
        let group = Self::group(group);
        self.change("modify", &format!("dn: {group}\nchangetype: modify\n{how}: member\nmember: {member}\n"));
    }

    /// Ends it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// What it logged: every operation.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where its files are.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn wait(&self) {
        wait::until_true("the directory to answer", DEADLINE, || {
            let mut ask = Command::new(places::installed("ldapsearch"));
            ask.args(["-x", "-H", &self.url(), "-s", "base", "-b", "", "-D", ROOT, "-w", ROOT_PASSWORD]);
            run(&mut ask, DEADLINE).status.success()
        });
    }
}

fn launch(folder: &Path, address: Ipv4Addr, is_plain: bool) -> Process {
    let urls = if is_plain { format!("ldap://{address}") } else { format!("ldap://{address} ldaps://{address}") };
    let mut command = Command::new(places::installed("slapd"));
    // In the foreground, with a line for each operation.
    command.arg("-f").arg(folder.join("slapd.conf")).args(["-h", &urls, "-d", "256"]).current_dir("/");
    Process::start("slapd", &command, &folder.join("log"))
}

fn configuration(folder: &Path, address: Ipv4Addr, certificate: &Certificate<'_>) -> String {
    let issued = match certificate {
        Certificate::Of(authority) => Some(authority.issue(&address.to_string())),
        Certificate::ForElsewhere(authority) => Some(authority.issue("elsewhere.example")),
        Certificate::None => None,
    };
    let tls = issued.map_or_else(String::new, |(certificate, key)| {
        let (at, key_at) = (folder.join("cert.pem"), folder.join("key.pem"));
        write_private(&at, &certificate);
        write_private(&key_at, &key);
        format!("TLSCertificateFile {}\nTLSCertificateKeyFile {}\n", at.display(), key_at.display())
    });
    let (folder, service) = (folder.display(), Slapd::SERVICE.0);
    format!(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/inetorgperson.schema\n\
         modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload memberof\n\
         pidfile {folder}/pid\n{tls}\
         database mdb\nsuffix \"{SUFFIX}\"\nrootdn \"{ROOT}\"\nrootpw \"{ROOT_PASSWORD}\"\ndirectory {folder}/data\n\
         index objectClass,uid,member eq\noverlay memberof\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by dn.exact=\"{service}\" read by anonymous auth by * none\n"
    )
}

/// Grace is an operator, and with all operators one of the staff. The groups lead
/// in a circle. There is an `ada` too, whom a hub may know otherwise.
fn tree() -> String {
    let (dn, password) = Slapd::SERVICE;
    let mut text = format!(
        "dn: {SUFFIX}\nobjectClass: domain\ndc: corp\n\n\
         dn: {dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: hub\n\
         userPassword: {password}\n\n\
         dn: {}\nobjectClass: organizationalUnit\nou: people\n\ndn: {}\nobjectClass: organizationalUnit\nou: groups\n\n",
        Slapd::PEOPLE,
        Slapd::GROUPS,
    );
    for name in ["grace", "linus", "ada"] {
        let (dn, password) = (Slapd::person(name), Slapd::PASSWORD);
        text += &format!(
            "dn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\nmail: {name}@corp.example\n\
             userPassword: {password}{name}\n\n",
        );
    }
    let of_groups = [
        ("operators", Slapd::person("grace")),
        ("staff", Slapd::group("operators")),
        ("everyone", Slapd::group("staff")),
        ("others", Slapd::person("linus")),
    ];
    for (group, member) in of_groups {
        let dn = Slapd::group(group);
        text += &format!("dn: {dn}\nobjectClass: groupOfNames\ncn: {group}\nmember: {member}\n\n");
    }
    text
}
