//! The install script as this hub serves it: the project's `install.sh` with
//! the digests of this hub's agents filled in.

use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::binaries::Binary;

const SOURCE: &str = include_str!("../../../../install.sh");
/// The line that is filled in; it stands in the script once.
const EMPTY_TABLE: &str = "\nAGENTS=''\n";

/// A script and its digest.
#[derive(Clone, Debug)]
pub struct Script {
    /// The text.
    pub text: Bytes,
    /// SHA-256 of it.
    pub sha256: String,
    /// Which platforms it can install on.
    pub platforms: Vec<&'static str>,
}

impl Script {
    /// The script that installs these agents and no others.
    pub fn new(agents: &[Binary]) -> Self {
        // Only names of ours, digits and hexadecimal: nothing that a shell reads.
        let line = |agent: &Binary| format!("{} {} {}", agent.platform.as_str(), agent.hex(), agent.size);
        let table = agents.iter().map(line).collect::<Vec<_>>().join("\n");
        let text = SOURCE.replacen(EMPTY_TABLE, &format!("\nAGENTS='{table}'\n"), 1);
        let sha256 = data_encoding::HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref());
        let platforms = agents.iter().map(|agent| agent.platform.as_str()).collect();
        Self { text: text.into(), sha256, platforms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::installer::binaries::Platform;

    #[test]
    fn the_script_has_one_place_for_the_agents_and_it_is_filled_in() {
        assert_eq!(SOURCE.matches(EMPTY_TABLE).count(), 1);
        let agent = |platform, byte| Binary { platform, path: "/x".into(), size: 7, digest: [byte; 32] };
        let script = Script::new(&[agent(Platform::LinuxX86_64, 0xab), agent(Platform::LinuxAarch64, 0x01)]);
        let text = std::str::from_utf8(&script.text).unwrap();
        let (first, second) = ("ab".repeat(32), "01".repeat(32));
        assert!(text.contains(&format!("\nAGENTS='linux-x86_64 {first} 7\nlinux-aarch64 {second} 7'\n")));
        assert_ne!(script.sha256, Script::new(&[]).sha256);
    }

    #[test]
    fn a_hub_without_agents_serves_the_script_as_it_is() {
        assert_eq!(Script::new(&[]).text, SOURCE);
    }
}
