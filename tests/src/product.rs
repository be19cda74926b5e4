//! The real programs: the hub, agents, and the `docker` command through them.
//! They are started the way users start them and known by nothing but their
//! command lines, files and ports.

mod agent;
mod channels;
mod connection;
mod conversation;
mod docker_cli;
mod http;
mod hub;
mod postgres;
mod rogue;
mod web;

pub use self::agent::{Agent, AgentOptions, AgentStatus, enroll_command};
pub use self::channels::{LiveChannel, TerminalChannel, ask_for_terminal};
pub use self::connection::Connection;
pub use self::conversation::Conversation;
pub use self::docker_cli::DockerCli;
pub use self::http::{Answer, Caller};
pub use self::hub::{ADMINISTRATOR, Environment, Hub, HubOptions, contains};
pub use self::postgres::Postgres;
pub use self::rogue::{Rogue, RogueSession};
pub use self::web::WebClient;
