//! Network namespaces: a second host on the same machine.

mod nowhere;

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use self::nowhere::Nowhere;
use super::packets::{PacketLink, PacketOptions, deepen_queue};
use crate::process::{Output, run};

/// How long a change to the network may take.
const CHANGE_DEADLINE: Duration = Duration::from_secs(10);

/// A network namespace, joined to the machine's own network by one link of two
/// addresses. Dropping it removes both.
#[derive(Debug)]
pub struct Netns {
    name: String,
    outside: Ipv4Addr,
    inside: Ipv4Addr,
    link: Link,
}

/// What joins a namespace to the machine.
#[derive(Debug)]
enum Link {
    /// The kernel's own pair of devices.
    Pair,
    Packets(PacketLink),
    Nowhere(Nowhere),
}

/// What a namespace's firewall drops without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Every datagram.
    Udp,
    /// Everything TCP, connections that stand included.
    Tcp,
    /// TCP that comes in.
    IncomingTcp,
    /// TCP that goes out.
    OutgoingTcp,
}

impl Netns {
    /// Makes a namespace with its link up.
    ///
    /// # Panics
    /// When the machine refuses it: the tests need root.
    pub fn new() -> Self {
        let namespace = Self::named(Link::Pair, unique_name());
        let (name, near, far) = (namespace.name(), namespace.near_end(), namespace.far_end());
        ip(&["netns", "add", name]);
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", name]);
        namespace.set_up();
        namespace
    }

    /// Makes a namespace whose link has these properties.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn over(options: PacketOptions) -> Self {
        let name = unique_name();
        ip(&["netns", "add", &name]);
        let ends = [near_end(&name), far_end(&name)];
        let namespace = Self::named(Link::Packets(PacketLink::start(ends.clone(), options)), name);
        for end in &ends {
            run(&mut deepen_queue(end), CHANGE_DEADLINE).succeeded();
        }
        ip(&["link", "set", &ends[1], "netns", &namespace.name]);
        namespace.set_up();
        namespace
    }

    /// Makes a namespace whose way out, for IPv4 and IPv6, leads nowhere, and is
    /// watched.
    ///
    /// # Panics
    /// When the machine has no IPv6.
    pub fn into_nowhere() -> Self {
        let name = unique_name();
        ip(&["netns", "add", &name]);
        let far = far_end(&name);
        let namespace = Self::named(Link::Nowhere(Nowhere::start(far.clone())), name);
        ip(&["link", "set", &far, "netns", &namespace.name]);
        namespace.set_up_inside();
        namespace.add_broken_ipv6();
        namespace
    }

    fn named(link: Link, name: String) -> Self {
        let (outside, inside) = random_pair();
        Self { name, outside, inside, link }
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The machine's address as the namespace sees it.
    pub const fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// The namespace's address as the machine sees it.
    pub const fn inside(&self) -> Ipv4Addr {
        self.inside
    }

    /// The link of a namespace that was made with [`over`](Self::over).
    ///
    /// # Panics
    /// When it was not.
    pub fn packets(&self) -> &PacketLink {
        let Link::Packets(link) = &self.link else { panic!("{} has a link without properties", self.name) };
        link
    }

    /// The way out of a namespace that was made with
    /// [`into_nowhere`](Self::into_nowhere).
    ///
    /// # Panics
    /// When it was not.
    pub fn way_out(&self) -> &Nowhere {
        let Link::Nowhere(way) = &self.link else { panic!("{} has a way out that leads somewhere", self.name) };
        way
    }

    /// Runs `work` on a thread inside. What it starts lives there, too. A socket that it opens stays in the
    /// namespace, wherever it is used.
    ///
    /// # Panics
    /// When `work` does, or the machine refuses.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(namespace_file(&self.name)).expect("the namespace is there");
        let inside = || {
            let entered = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
            entered.expect("root may enter a namespace");
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The same command, to be run inside.
    pub fn wrap(&self, command: &Command) -> Command {
        wrap_in(&namespace_file(&self.name), command)
    }

    /// Drops this traffic from now on, without a word to either end.
    ///
    /// # Panics
    /// When the firewall refuses.
    pub fn block(&self, blocked: Blocked) {
        for (chain, protocol) in blocked.rules() {
            self.firewall(["--append", chain, "--protocol", protocol, "--jump", "DROP"]);
        }
    }

    /// Drops what goes to this address by TCP from now on.
    ///
    /// # Panics
    /// When the firewall refuses.
    pub fn block_address(&self, address: Ipv4Addr) {
        let address = address.to_string();
        self.firewall(["--append", "OUTPUT", "--protocol", "tcp", "--destination", &address, "--jump", "DROP"]);
    }

    /// Gives it an IPv6 address and a way for IPv6 to the outside, where nobody
    /// answers.
    ///
    /// # Panics
    /// When the machine has no IPv6.
    pub fn add_broken_ipv6(&self) {
        let (name, far) = (&*self.name, self.far_end());
        ip(&["-n", name, "-6", "address", "add", "2001:db8:77::2/64", "dev", &far, "nodad"]);
        ip(&["-n", name, "-6", "route", "add", "default", "dev", &far]);
    }

    /// Lets everything through again.
    ///
    /// # Panics
    /// When the firewall refuses.
    pub fn unblock(&self) {
        self.firewall(["--flush"]);
    }

    fn set_up(&self) {
        let near = self.near_end();
        ip(&["address", "add", &format!("{}/30", self.outside), "dev", &near]);
        ip(&["link", "set", &near, "up"]);
        self.set_up_inside();
    }

    fn set_up_inside(&self) {
        let (name, far) = (&*self.name, self.far_end());
        ip(&["-n", name, "address", "add", &format!("{}/30", self.inside), "dev", &far]);
        ip(&["-n", name, "link", "set", &far, "up"]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        ip(&["-n", name, "route", "add", "default", "via", &self.outside.to_string()]);
    }

    fn near_end(&self) -> String {
        near_end(&self.name)
    }

    fn far_end(&self) -> String {
        far_end(&self.name)
    }

    fn firewall<const N: usize>(&self, arguments: [&str; N]) {
        let mut iptables = Command::new("iptables");
        run(&mut self.wrap(iptables.arg("--wait").args(arguments)), CHANGE_DEADLINE).succeeded();
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The link goes with either of its ends. An engine that still runs
        // inside would keep it alive: removing our end does not wait for that.
        // Devices that the harness reads go by themselves.
        let near = self.near_end();
        let link = match self.link {
            Link::Pair => Some(try_ip(&["link", "delete", &near])),
            Link::Packets(_) | Link::Nowhere(_) => None,
        };
        let namespace = try_ip(&["netns", "delete", &self.name]);
        if !thread::panicking() {
            link.map(Output::succeeded);
            namespace.succeeded();
        }
    }
}

impl Blocked {
    const fn rules(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Udp => &[("INPUT", "udp"), ("OUTPUT", "udp")],
            Self::Tcp => &[("INPUT", "tcp"), ("OUTPUT", "tcp")],
            Self::IncomingTcp => &[("INPUT", "tcp")],
            Self::OutgoingTcp => &[("OUTPUT", "tcp")],
        }
    }
}

/// Where the kernel shows the namespace of this name.
pub(crate) fn namespace_file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// The same command, to be run inside the namespace behind this file.
pub(crate) fn wrap_in(namespace: &Path, command: &Command) -> Command {
    let mut inside = Command::new("nsenter");
    inside.arg(format!("--net={}", namespace.display())).arg(command.get_program()).args(command.get_args());
    crate::process::copy_surroundings(command, &mut inside);
    inside
}

/// Interface names have 15 characters at most.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("wf{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn near_end(namespace: &str) -> String {
    namespace.to_owned()
}

fn far_end(namespace: &str) -> String {
    format!("{namespace}i")
}

fn ip(arguments: &[&str]) {
    try_ip(arguments).succeeded();
}

fn try_ip(arguments: &[&str]) -> Output {
    run(Command::new("ip").args(arguments), CHANGE_DEADLINE)
}

/// Two neighbours of a range that is reserved for tests of networks. Which
/// ones is left to chance: several test runs may share a machine.
fn random_pair() -> (Ipv4Addr, Ipv4Addr) {
    let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (rand::random::<u32>() % (1 << 15)) * 4;
    (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2))
}
