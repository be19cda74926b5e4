//! Every request that may be let through, and what it is. What is not here is
//! refused: also what a newer engine brings.

use http::Method;

use super::super::Class;
use super::super::workload::{Reference, is_image_id};
use super::refusal::Refusal;
use super::target::Kind;
use Kind::{Filters, Flag, Name, Text, Unset, Word};

/// What is looked at, and done, before a request is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing: it tells, or it concerns nothing by itself.
    Pass,
    /// As before; what is told is a document that may hold secrets.
    Tell,
    /// A container is found by its name, and then acted on by its id.
    OnContainer,
    /// The same, and nothing in it may reach the host.
    InContainer,
    /// A container is made.
    Create,
    /// A container is changed.
    Update,
    /// A program is made ready in a container.
    Exec,
    /// A program of this session goes on.
    OfExec,
    /// It is started.
    StartExec,
    /// An image is fetched.
    Pull,
    /// Images without a name are removed.
    PruneImages,
    /// A volume is made.
    Volume,
    /// A network is made.
    Network,
    /// A container joins a network.
    Connect,
    /// A container leaves a network.
    Disconnect,
    /// An archive goes to the engine as it comes.
    Archive,
}

/// One kind of request.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    path: &'static str,
    pub(super) class: Class,
    pub(super) act: Act,
    pub(super) query: &'static [(&'static str, Kind)],
}

/// A route, and what stands in the place of the parts that vary.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) route: &'static Route,
    /// The id or name in it.
    pub(super) subject: Option<String>,
}

const fn route(
    method: Method,
    path: &'static str,
    class: Class,
    act: Act,
    query: &'static [(&'static str, Kind)],
) -> Route {
    Route { method, path, class, act, query }
}

type Keys = &'static [(&'static str, Kind)];

const NONE: Keys = &[];
const FILTERS: Keys = &[("filters", Filters)];
const SIZED: Keys = &[("h", Word), ("w", Word)];
const ARCHIVE: Keys = &[("path", Text), ("noOverwriteDirNonDir", Flag), ("copyUIDGID", Flag)];

/// All of them.
static ROUTES: &[Route] = &[
    route(Method::GET, "/_ping", Class::Look, Act::Pass, NONE),
    route(Method::HEAD, "/_ping", Class::Look, Act::Pass, NONE),
    route(Method::GET, "/version", Class::Look, Act::Pass, NONE),
    route(Method::GET, "/info", Class::Look, Act::Tell, NONE),
    route(Method::GET, "/events", Class::Look, Act::Tell, &[("since", Word), ("until", Word), ("filters", Filters)]),
    route(Method::GET, "/system/df", Class::Look, Act::Tell, &[("type", Word), ("verbose", Flag)]),
    route(
        Method::GET,
        "/containers/json",
        Class::Look,
        Act::Tell,
        &[("all", Flag), ("limit", Word), ("size", Flag), ("filters", Filters)],
    ),
    route(Method::GET, "/containers/{id}/json", Class::Look, Act::Tell, &[("size", Flag)]),
    // Arguments of ps could have it write or read what is no process.
    route(Method::GET, "/containers/{id}/top", Class::Look, Act::Tell, NONE),
    route(Method::GET, "/containers/{id}/changes", Class::Look, Act::Tell, NONE),
    route(Method::GET, "/containers/{id}/stats", Class::Look, Act::Pass, &[("stream", Flag), ("one-shot", Flag)]),
    route(
        Method::GET,
        "/containers/{id}/logs",
        Class::Logs,
        Act::Pass,
        &[
            ("follow", Flag),
            ("stdout", Flag),
            ("stderr", Flag),
            ("since", Word),
            ("until", Word),
            ("timestamps", Flag),
            ("tail", Word),
        ],
    ),
    route(
        Method::GET,
        "/images/json",
        Class::Look,
        Act::Tell,
        &[("all", Flag), ("filters", Filters), ("digests", Flag), ("shared-size", Flag)],
    ),
    route(Method::GET, "/images/{ref}/json", Class::Look, Act::Tell, NONE),
    route(Method::GET, "/images/{ref}/history", Class::Look, Act::Tell, NONE),
    route(Method::GET, "/volumes", Class::Look, Act::Tell, FILTERS),
    route(Method::GET, "/volumes/{id}", Class::Look, Act::Tell, NONE),
    route(Method::GET, "/networks", Class::Look, Act::Tell, FILTERS),
    route(Method::GET, "/networks/{id}", Class::Look, Act::Tell, &[("verbose", Flag), ("scope", Word)]),
    route(Method::POST, "/containers/{id}/wait", Class::Operate, Act::OnContainer, &[("condition", Word)]),
    route(Method::POST, "/containers/{id}/start", Class::Operate, Act::OnContainer, &[("detachKeys", Text)]),
    route(Method::POST, "/containers/{id}/stop", Class::Operate, Act::OnContainer, &[("t", Word), ("signal", Word)]),
    route(Method::POST, "/containers/{id}/restart", Class::Operate, Act::OnContainer, &[("t", Word), ("signal", Word)]),
    route(Method::POST, "/containers/{id}/kill", Class::Operate, Act::OnContainer, &[("signal", Word)]),
    route(Method::POST, "/containers/{id}/pause", Class::Operate, Act::OnContainer, NONE),
    route(Method::POST, "/containers/{id}/unpause", Class::Operate, Act::OnContainer, NONE),
    route(
        Method::POST,
        "/images/create",
        Class::Pull,
        Act::Pull,
        // The last four are known so that they are refused by name.
        &[
            ("fromImage", Name),
            ("tag", Word),
            ("platform", Name),
            ("fromSrc", Text),
            ("repo", Text),
            ("message", Text),
            ("changes", Text),
        ],
    ),
    route(Method::POST, "/images/prune", Class::Prune, Act::PruneImages, FILTERS),
    route(Method::POST, "/containers/create", Class::Deploy, Act::Create, &[("name", Word), ("platform", Name)]),
    route(Method::POST, "/containers/{id}/update", Class::Deploy, Act::Update, NONE),
    route(Method::POST, "/containers/{id}/rename", Class::Deploy, Act::OnContainer, &[("name", Word)]),
    route(
        Method::DELETE,
        "/containers/{id}",
        Class::Deploy,
        Act::OnContainer,
        &[("v", Flag), ("force", Flag), ("link", Unset)],
    ),
    route(Method::POST, "/containers/prune", Class::Deploy, Act::Pass, FILTERS),
    route(Method::DELETE, "/images/{ref}", Class::Deploy, Act::Pass, &[("force", Flag), ("noprune", Flag)]),
    route(
        Method::POST,
        "/containers/{id}/attach",
        Class::Attach,
        Act::InContainer,
        &[("stream", Flag), ("stdin", Flag), ("stdout", Flag), ("stderr", Flag), ("logs", Flag), ("detachKeys", Text)],
    ),
    route(Method::POST, "/containers/{id}/resize", Class::Attach, Act::OnContainer, SIZED),
    route(Method::POST, "/containers/{id}/exec", Class::Exec, Act::Exec, NONE),
    route(Method::POST, "/exec/{id}/start", Class::Exec, Act::StartExec, NONE),
    route(Method::POST, "/exec/{id}/resize", Class::Exec, Act::OfExec, SIZED),
    route(Method::GET, "/exec/{id}/json", Class::Exec, Act::OfExec, NONE),
    route(Method::GET, "/containers/{id}/archive", Class::ReadFiles, Act::InContainer, ARCHIVE),
    route(Method::HEAD, "/containers/{id}/archive", Class::ReadFiles, Act::InContainer, ARCHIVE),
    route(Method::PUT, "/containers/{id}/archive", Class::WriteFiles, Act::Archive, ARCHIVE),
    route(Method::POST, "/images/load", Class::LoadImages, Act::Archive, &[("quiet", Flag)]),
    route(Method::POST, "/volumes/create", Class::Volumes, Act::Volume, NONE),
    route(Method::DELETE, "/volumes/{id}", Class::Volumes, Act::Pass, &[("force", Flag)]),
    route(Method::POST, "/volumes/prune", Class::Volumes, Act::Pass, FILTERS),
    route(Method::POST, "/networks/create", Class::Networks, Act::Network, NONE),
    route(Method::DELETE, "/networks/{id}", Class::Networks, Act::Pass, NONE),
    route(Method::POST, "/networks/{id}/connect", Class::Networks, Act::Connect, NONE),
    route(Method::POST, "/networks/{id}/disconnect", Class::Networks, Act::Disconnect, NONE),
    route(Method::POST, "/networks/prune", Class::Networks, Act::Pass, FILTERS),
    // Known, so that they are refused by what they are and not as strangers.
    route(Method::GET, "/containers/{id}/export", Class::Capture, Act::Pass, NONE),
    route(Method::POST, "/commit", Class::Capture, Act::Pass, NONE),
    route(Method::GET, "/images/get", Class::Capture, Act::Pass, NONE),
    route(Method::GET, "/images/{ref}/get", Class::Capture, Act::Pass, NONE),
    route(Method::POST, "/build", Class::Build, Act::Pass, NONE),
    route(Method::POST, "/build/prune", Class::Build, Act::Pass, NONE),
    route(Method::POST, "/session", Class::Build, Act::Pass, NONE),
    route(Method::POST, "/grpc", Class::Build, Act::Pass, NONE),
    route(Method::GET, "/plugins", Class::Plugins, Act::Pass, NONE),
    route(Method::GET, "/swarm", Class::Swarm, Act::Pass, NONE),
];

/// The route of a request.
///
/// # Errors
/// [`Refusal`] where there is none.
pub(super) fn find(method: &Method, segments: &[&str]) -> Result<Found, Refusal> {
    let of_method = ROUTES.iter().filter(|route| route.method == *method);
    let mut found = of_method.filter_map(|route| matched(route, segments));
    found.next().ok_or_else(|| stranger(segments))
}

fn matched(route: &'static Route, segments: &[&str]) -> Option<Found> {
    let pattern: Vec<&str> = route.path[1..].split('/').collect();
    let varies = pattern.iter().position(|part| part.starts_with('{'));
    let Some(at) = varies else {
        return (pattern == segments).then_some(Found { route, subject: None });
    };
    let behind = pattern.len() - at - 1;
    let end = segments.len().checked_sub(behind).filter(|end| *end > at)?;
    if pattern[..at] != segments[..at] || pattern[at + 1..] != segments[end..] {
        return None;
    }
    let subject = match pattern[at] {
        "{ref}" => reference(&segments[at..end])?,
        _ if end - at == 1 => name(segments[at])?,
        _ => return None,
    };
    Some(Found { route, subject: Some(subject) })
}

/// A name or an id, as it stands.
fn name(segment: &str) -> Option<String> {
    let starts = segment.starts_with(|c: char| c.is_ascii_alphanumeric());
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (starts && segment.len() <= 128 && segment.bytes().all(known)).then(|| segment.to_owned())
}

/// The name of an image, whose slashes and colons may be written as `%2F`.
fn reference(segments: &[&str]) -> Option<String> {
    let raw = segments.join("/");
    let read: String = match raw.contains('%') {
        true => {
            let plain = raw.replace("%2F", "/").replace("%2f", "/").replace("%3A", ":").replace("%3a", ":");
            plain.replace("%40", "@")
        }
        false => raw,
    };
    (is_image_id(&read) || Reference::parse(&read).is_some()).then_some(read)
}

/// What nobody let through, called by what it is.
fn stranger(segments: &[&str]) -> Refusal {
    match segments[0] {
        "plugins" => Refusal::class(Class::Plugins),
        "swarm" | "services" | "tasks" | "nodes" | "secrets" | "configs" => Refusal::class(Class::Swarm),
        "build" | "session" | "grpc" => Refusal::class(Class::Build),
        "containers" if segments.last() == Some(&"ws") => Refusal::class(Class::Attach),
        _ => Refusal::denied("route.unmapped"),
    }
}

impl Found {
    /// Its path, with `subject` in the place of what varies.
    pub(super) fn path(&self, subject: Option<&str>) -> String {
        match subject.or(self.subject.as_deref()) {
            Some(subject) => self.route.path.replace("{id}", subject).replace("{ref}", subject),
            None => self.route.path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_or_class(method: &Method, path: &str) -> Result<Class, &'static str> {
        let segments: Vec<&str> = path[1..].split('/').collect();
        find(method, &segments).map(|found| found.route.class).map_err(|refusal| refusal.rule)
    }

    #[test]
    fn c01_a_name_in_a_path_is_a_name_and_no_path() {
        let class = |path: &str| rule_or_class(&Method::GET, path);
        assert_eq!(class("/containers/web-1/json"), Ok(Class::Look));
        assert_eq!(class("/images/docker.io%2Flibrary%2Fbusybox%3A1/json"), Ok(Class::Look));
        assert_eq!(class("/images/registry:5000/team/app:1/json"), Ok(Class::Look));
        for other in [
            "/%63ontainers/json",
            "/containers%2fjson",
            "/containers/a/b/json",
            "/containers/..%2f/json",
            "/images/a%2e%2e/json",
            "/images/../json",
            "/Containers/json",
            "/containers/-a/json",
            "/containers/a%00/json",
            "/images/A/json",
            "/libpod/containers/json",
        ] {
            assert_eq!(class(other), Err("route.unmapped"), "{other}");
        }
    }

    #[test]
    fn a_path_is_written_with_the_id_that_was_found() {
        let found = find(&Method::POST, &["containers", "web", "start"]).unwrap();
        assert_eq!(found.path(Some("abc")), "/containers/abc/start");
        let found = find(&Method::DELETE, &["images", "a%2Fb:1"]).unwrap();
        assert_eq!(found.path(None), "/images/a/b:1");
    }
}
