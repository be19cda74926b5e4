//! The hub's WebSockets, as programs have them.

mod live;
mod terminal;

pub use self::live::LiveChannel;
pub use self::terminal::{TerminalChannel, ask_for_terminal};
