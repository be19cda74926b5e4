//! Which published flaws an engine has, by its version: those that make it
//! dangerous for the host to do what the console offers.

/// The first version of Docker in which a decompressor of the container's own
/// file system is not run as root for an archive that is copied into it
/// (CVE-2026-41567), and mounts are not raced for meanwhile (CVE-2026-42306).
const ARCHIVES_MENDED: [u64; 3] = [29, 5, 1];
const OF_ARCHIVES: &[&str] = &["CVE-2026-41567", "CVE-2026-42306"];
/// Podman, whose numbers are lower, is another program.
const DOCKER_SINCE: u64 = 17;

/// The flaws of Docker in this version, such as `26.1.5`. What is no such
/// version has none that are known.
pub(super) fn of_version(version: &str) -> &'static [&'static str] {
    match numbers(version) {
        Some(numbers) if numbers[0] >= DOCKER_SINCE && numbers < ARCHIVES_MENDED => OF_ARCHIVES,
        _ => &[],
    }
}

/// The three numbers that a version begins with; what follows them, such as
/// `+dfsg1` or `-rc.1`, is passed over.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    });
    Some([parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c27_docker_before_29_5_1_has_the_flaws_of_archives_and_nothing_else_has() {
        for flawed in ["20.10.24+dfsg1", "26.1.5", "29.5.0", "29.4.11", "28.0.0-rc.1", "29.5"] {
            assert_eq!(of_version(flawed), OF_ARCHIVES, "{flawed}");
        }
        for other in [
            "29.5.1",
            "29.5.1-1",
            "29.6.0",
            "30.0.0",
            "4.3.1",
            "5.8.2",
            "",
            "dev",
            "29",
            "29.x.0",
            "99999999999999999999.1.1",
        ] {
            assert_eq!(of_version(other), [""; 0], "{other}");
        }
    }
}
