//! The networks between hub and agent, with what goes wrong in them.

mod background;
mod chance;
mod connect_proxy;
mod dns;
mod impostor;
mod namespace;
mod packets;
pub mod relay;
mod reverse_proxy;
mod servers;

pub(crate) use self::background::Background;
pub use self::connect_proxy::{ConnectProxy, Credentials};
pub use self::dns::{DnsConduct, ToyDns};
pub use self::impostor::{Conduct, Impostor};
pub use self::namespace::{Blocked, Netns, Nowhere};
pub(crate) use self::namespace::{namespace_file, wrap_in};
pub use self::packets::{PacketCounts, PacketLink, PacketOptions};
pub use self::relay::{Direction, Entrance, Flow, LinkOptions, Relay};
pub use self::reverse_proxy::{ReverseProxy, ReverseProxyKind, ReverseProxyOptions};
pub use self::servers::{Authority, Certificate, MailSecurity, MailServer, Redis, Slapd, TakenMail};
