//! What the tests play themselves, where the real thing would be too many or
//! too well-behaved: *simulated* engines, and a *simulated* fleet of agents.
//! The hub that they meet is the real one.

mod engine;
mod fleet;
mod front;

pub use self::engine::{Conduct, SimulatedEngine};
pub use self::fleet::{Manners, SimulatedFleet};
pub use self::front::Front;
