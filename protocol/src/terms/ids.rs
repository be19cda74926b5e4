//! Identifiers that cross the wire. Each is its own type, so that an agent's
//! id is never taken for an environment's.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id that sorts by its time of creation.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// One hub, for as long as its database lives.
    HubId
}
id! {
    /// One enrolled agent. Its public key in the hub's database is what it is;
    /// this is its name.
    AgentId
}
id! {
    /// One Docker engine as users know it, however it is reached.
    EnvironmentId
}
id! {
    /// One connection of one agent, from welcome to close.
    SessionId
}
