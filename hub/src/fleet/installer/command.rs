//! The ways to bring the agent to a host: what an administrator pastes there,
//! or hands to whoever makes the host. The console and the command line show
//! these texts as they are.

use serde::Serialize;
use utoipa::ToSchema;

use super::address::HubAddress;
use super::script::Script;

/// How to bring the agent to a host.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InstallCommands {
    /// The hub's URL as the commands name it.
    pub hub_url: String,
    /// Platforms that this hub has an agent for.
    pub platforms: Vec<&'static str>,
    /// Shell: installs and enrolls the agent, on any host with curl or wget.
    pub install_command: String,
    /// Shell: the same, with a look at the script before it runs.
    pub install_steps: String,
    /// User data of a new machine that reads cloud-init.
    pub cloud_init: String,
    /// A compose file for a host where the agent shall be a container.
    pub compose: String,
    /// An environment file for `windflow-agent`.
    pub env: String,
}

impl InstallCommands {
    pub(super) fn new(address: &HubAddress, token: &str, script: &Script) -> Self {
        let fetch = script_fetch(address, &script.sha256);
        let fill = |form: &str| form.replace("{url}", &address.to_string()).replace("{token}", token);
        let with_fetch = |form: &str, indent: &str| fill(&form.replace("{fetch}", &fetch.replace('\n', indent)));
        Self {
            hub_url: address.to_string(),
            platforms: script.platforms.clone(),
            install_command: with_fetch(COMMAND, "\n  "),
            install_steps: with_fetch(STEPS, "\n  "),
            cloud_init: with_fetch(CLOUD_INIT, "\n    "),
            compose: fill(COMPOSE),
            env: fill(ENV),
        }
    }
}

/// Shell: puts the verified script into the current folder. Whoever answers,
/// and with which certificate: only the digest counts.
fn script_fetch(address: &HubAddress, sha256: &str) -> String {
    format!(
        "{{ if command -v curl >/dev/null; then\n  \
           curl -fsSk --connect-timeout 15 -o windflow-install.sh {address}/install.sh\n\
         else\n  \
           timeout 60 wget -q --no-check-certificate -O windflow-install.sh {address}/install.sh\n\
         fi || {{ echo '{address} cannot be reached from here' >&2; false; }}; }} &&\n\
         echo '{sha256}  windflow-install.sh' | sha256sum -c -"
    )
}

/// In a folder of its own nobody can swap the file after the check; the
/// here-document keeps the token out of the list of processes.
const COMMAND: &str = "\
(folder=$(mktemp -d) && trap 'rm -rf \"$folder\"' EXIT && cd \"$folder\" &&
  {fetch} &&
  sh windflow-install.sh --hub {url} --token-stdin) <<'TOKEN'
{token}
TOKEN
";

const STEPS: &str = "\
{fetch} &&
  less windflow-install.sh &&
  sh windflow-install.sh --hub {url} --token-stdin <<'TOKEN'
{token}
TOKEN
";

const CLOUD_INIT: &str = "\
#cloud-config
write_files:
  - path: /run/windflow-token
    permissions: '0600'
    content: {token}
runcmd:
  - |
    cd /run &&
    {fetch} &&
    sh windflow-install.sh --hub {url} --token-file /run/windflow-token --wait 600
";

/// Enrolls at the first start; later ones find the identity in the volume.
const COMPOSE: &str = r#"services:
  windflow-agent:
    image: windflow-agent
    restart: unless-stopped
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    command: ["run", "--state-dir", "/state", "--hub", "{url}", "--token-file", "/run/windflow-token"]
    configs:
      - source: token
        target: /run/windflow-token
        mode: 0400
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock
      # The host's identity. Without this volume each new container is a new host.
      - state:/state
configs:
  token:
    content: {token}
volumes:
  state:
"#;

const ENV: &str = "\
WINDFLOW_HUB={url}
WINDFLOW_TOKEN={token}
";

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> InstallCommands {
        let address = HubAddress::parse("https://hub.example:8443").unwrap();
        InstallCommands::new(&address, "wfe1_secret", &Script::new(&[]))
    }

    fn every_way(of: &InstallCommands) -> [&str; 5] {
        [&of.install_command, &of.install_steps, &of.cloud_init, &of.compose, &of.env]
    }

    #[test]
    fn every_way_names_the_hub_and_holds_the_token_once() {
        for text in every_way(&commands()) {
            assert_eq!(text.matches("wfe1_secret").count(), 1, "{text}");
            assert!(text.contains("https://hub.example:8443"), "{text}");
            assert!(["{url}", "{token}", "{fetch}"].iter().all(|blank| !text.contains(blank)), "{text}");
            assert!(text.ends_with('\n'));
        }
    }

    #[test]
    fn no_way_puts_the_token_into_an_argument() {
        for line in every_way(&commands()).into_iter().flat_map(str::lines) {
            assert!(!(line.contains("--hub") && line.contains("wfe1_")), "{line}");
        }
    }

    #[test]
    fn the_script_is_checked_wherever_it_is_fetched() {
        let of = commands();
        for text in [&of.install_command, &of.install_steps, &of.cloud_init] {
            assert!(
                text.contains(&format!("echo '{}  windflow-install.sh' | sha256sum -c -", Script::new(&[]).sha256))
            );
        }
    }
}
