//! What a machine's file system holds that was not there before.

use std::collections::BTreeSet;

/// Prints one line for each file of the folder `$1` that is not the same below
/// `/`: path, kind, mode, owner, content or target of a link.
pub(super) const LIST: &str = r#"
cd "$1"
tab=$(printf '\t')
find . -mindepth 1 -printf '%P\t%y\t%m\t%U:%G\t%l\n' | while IFS=$tab read -r path kind mode owner target; do
  here=
  case $kind in
    d) [ ! -d "/$path" ] || [ -L "/$path" ] || continue ;;
    f)
      here=$(sha256sum <"$path")
      if cmp -s "$path" "/$path" && [ "$mode $owner" = "$(stat -c '%a %u:%g' "/$path")" ]; then continue; fi
      ;;
  esac
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$path" "$kind" "$mode" "$owner" "$target" "${here%% *}"
done
"#;

/// Where a running machine writes by itself, whatever is installed on it.
const RESTLESS: [&str; 6] = ["var/log/", "var/cache/", "var/lib/systemd/", "var/tmp/", "etc/.pwd.lock", "srv/"];
/// What the programs that keep users leave behind: the lists of before.
const KEPT_LISTS: [&str; 6] =
    ["etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-"];

/// A set of files with all that matters of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(BTreeSet<String>);

impl Files {
    pub(super) fn read(list: &str) -> Self {
        let restless = |line: &str| RESTLESS.iter().chain(&KEPT_LISTS).any(|start| line.starts_with(start));
        Self(list.lines().filter(|line| !line.is_empty() && !restless(line)).map(str::to_owned).collect())
    }

    /// What is here and not in `before`, or there and not here.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let gone = before.0.difference(&self.0).map(|line| format!("- {line}"));
        let new = self.0.difference(&before.0).map(|line| format!("+ {line}"));
        gone.chain(new).collect()
    }

    /// Whether some file's path is `path`.
    pub fn has(&self, path: &str) -> bool {
        let start = format!("{}\t", path.trim_start_matches('/'));
        self.0.iter().any(|line| line.starts_with(&start))
    }

    /// The mode of the file at `path`, in octal.
    pub fn mode(&self, path: &str) -> Option<&str> {
        let start = format!("{}\t", path.trim_start_matches('/'));
        self.0.iter().find_map(|line| line.strip_prefix(&start)?.split('\t').nth(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_compared_by_its_mode_and_content_too() {
        let before = Files::read("etc/x\tf\t600\t0:0\t\tabc\n");
        let after = Files::read("etc/x\tf\t600\t0:0\t\tabd\nvar/log/y\tf\t644\t0:0\t\t\n");
        assert_eq!(after.differences(&before).len(), 2);
        assert_eq!(after.mode("/etc/x"), Some("600"));
        assert!(after.has("/etc/x") && !after.has("/var/log/y"));
    }
}
