//! What somebody should look at in an environment, judged by what is known of
//! it now: nothing here is remembered.

use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::environments::told::ContainerStates;
use crate::tunnel::HostUse;

/// From this part on, in percent, there is hardly any room left on a disk.
const DISK_FULL: u8 = 90;
/// From this part on, in percent, there is hardly any memory left.
const MEMORY_FULL: u8 = 95;

/// What somebody should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Alert {
    /// Its agent is there, and its engine does not answer.
    EngineSilent,
    /// The host's own policy cannot be used, so that only looking on is allowed.
    PolicyInvalid,
    /// Its engine takes orders over the network from whoever comes.
    EngineExposed,
    /// The fullest file system of its host has hardly any room.
    DiskFull {
        /// What is taken, in percent.
        percent: u8,
    },
    /// Its host has hardly any memory.
    MemoryFull {
        /// What is taken, in percent.
        percent: u8,
    },
    /// Containers run and fail their health check.
    Unhealthy {
        /// How many.
        containers: u32,
    },
    /// Containers end and are started again.
    Restarting {
        /// How many.
        containers: u32,
    },
}

/// What an environment is judged by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Condition {
    /// Whether its engine does not answer.
    pub is_degraded: bool,
    /// Whether its host has a policy that cannot be used.
    pub is_policy_invalid: bool,
    /// Whether its engine takes orders over the network from whoever comes.
    pub is_exposed: bool,
    /// What its host uses.
    pub host: HostUse,
    /// Its containers, where its engine answers.
    pub containers: ContainerStates,
}

impl Alert {
    /// What is to be looked at, the worst first.
    pub fn of(condition: &Condition) -> Vec<Self> {
        let Condition { is_degraded, is_policy_invalid, is_exposed, host, containers } = *condition;
        let disk = host.disk_bytes.zip(host.disk_total_bytes);
        let memory = host.memory_bytes.zip(host.memory_total_bytes);
        let found = [
            is_degraded.then_some(Self::EngineSilent),
            is_policy_invalid.then_some(Self::PolicyInvalid),
            is_exposed.then_some(Self::EngineExposed),
            full(disk, DISK_FULL).map(|percent| Self::DiskFull { percent }),
            full(memory, MEMORY_FULL).map(|percent| Self::MemoryFull { percent }),
            any(containers.unhealthy).map(|containers| Self::Unhealthy { containers }),
            any(containers.restarting).map(|containers| Self::Restarting { containers }),
        ];
        found.into_iter().flatten().collect()
    }
}

/// What is taken of a whole, in percent, where that is at least so much.
fn full(part: Option<(u64, u64)>, least: u8) -> Option<u8> {
    let (used, total) = part.filter(|(_, total)| *total > 0)?;
    let percent = (u128::from(used) * 100 / u128::from(total)).min(100);
    u8::try_from(percent).ok().filter(|percent| *percent >= least)
}

fn any(count: u32) -> Option<u32> {
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: HostUse = HostUse {
        cpu_percent: Some(100.0),
        memory_bytes: Some(95),
        memory_total_bytes: Some(100),
        disk_bytes: Some(899),
        disk_total_bytes: Some(1000),
    };

    #[test]
    fn an_environment_in_order_has_nothing_to_look_at() {
        assert_eq!(Alert::of(&Condition::default()), []);
    }

    #[test]
    fn what_is_full_or_fails_is_told_and_a_busy_processor_is_not() {
        let containers = ContainerStates { running: 3, unhealthy: 2, restarting: 1, ..ContainerStates::default() };
        let condition = Condition { host: FULL, containers, ..Condition::default() };
        let [unhealthy, restarting] = [Alert::Unhealthy { containers: 2 }, Alert::Restarting { containers: 1 }];
        assert_eq!(Alert::of(&condition), [Alert::MemoryFull { percent: 95 }, unhealthy, restarting]);
        let host = HostUse { disk_bytes: Some(u64::MAX), disk_total_bytes: Some(u64::MAX), ..FULL };
        assert_eq!(Alert::of(&Condition { host, ..condition }).first(), Some(&Alert::DiskFull { percent: 100 }));
        let host = HostUse { disk_bytes: Some(1), disk_total_bytes: Some(0), ..HostUse::default() };
        assert_eq!(Alert::of(&Condition { host, ..Condition::default() }), []);
    }

    #[test]
    fn a_silent_engine_a_policy_that_cannot_be_used_and_an_open_engine_come_first() {
        let condition = Condition { is_degraded: true, is_policy_invalid: true, host: FULL, ..Condition::default() };
        let memory = Alert::MemoryFull { percent: 95 };
        assert_eq!(Alert::of(&condition), [Alert::EngineSilent, Alert::PolicyInvalid, memory]);
        let exposed = Condition { is_exposed: true, host: FULL, ..Condition::default() };
        assert_eq!(Alert::of(&exposed), [Alert::EngineExposed, memory]);
    }
}
