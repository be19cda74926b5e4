//! What a container may be: one check for one that is made, one that is changed
//! and a program in one, over a typed form of what the engine would read.

mod check;
mod images;
mod inspected;
mod mounts;
mod place;
mod small;
mod spec;

pub(super) use self::check::{Needs, Rule, check_changes, check_container, check_exec, is_name};
pub(super) use self::images::{Allowed, Reference, is_image_id};
pub(super) use self::inspected::check_target;
pub(super) use self::place::Place;
pub(super) use self::small::{
    Connection, Disconnection, ExecStart, NewNetwork, NewVolume, check_network, check_volume,
};
pub(super) use self::spec::{Exec, HostConfig, NewContainer};

#[cfg(test)]
mod tests;
