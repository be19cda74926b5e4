//! What both ends agree on before the first byte, and the words for it: which
//! versions and capabilities there are, how large and how slow anything may be,
//! what things are called. Knows nothing of the rest.

pub mod asciicast;
pub mod capability;
pub mod ids;
pub mod limits;
pub mod session;
pub mod text;
pub mod version;
