//! What a container is to be: as `docker run` would say it, as an engine is
//! told it, and what must hold of it. Nothing in here asks anybody.

mod body;
mod docker_run;
mod parts;
mod reading;
mod rules;
#[cfg(test)]
mod tests;

pub use body::{is_endpoint, nano_cpus, new_body, write};
pub use docker_run::{DockerRun, ParsedRun};
pub use parts::{ContainerSpec, PublishedPort, PullPolicy, Resources, RestartPolicy};
pub use reading::read;
