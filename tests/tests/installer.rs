//! The installer for real: the script as a hub serves it, on machines with an
//! init system of their own. The command is the one that the hub prints.
#![expect(clippy::unwrap_used, reason = "all of it is tests, also what a test calls")]

mod installer {
    mod again;
    mod containers;
    mod fresh;
    mod hub;
    mod refusals;
    mod removal;
    mod script;
    mod secrets;
    mod shells;

    use std::net::SocketAddr;
    use std::time::Duration;

    use windflow_tests::machine::{Init, Machine};
    use windflow_tests::process::Output;
    use windflow_tests::product::{Hub, HubOptions};

    /// How long something may take that takes a moment.
    const SOON: Duration = Duration::from_secs(15);
    /// Where the tests put the script.
    const SCRIPT: &str = "/srv/windflow-install.sh";

    /// A hub, and a machine that shall become its host.
    struct Site {
        hub: Hub,
        machine: Machine,
    }

    impl Site {
        fn new(init: Init) -> Self {
            Self::with(init, HubOptions::default())
        }

        /// With a hub that is started like this, but for everybody.
        fn with(init: Init, options: HubOptions) -> Self {
            let hub = Hub::start_with(HubOptions { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..options });
            Self { hub, machine: Machine::boot(init) }
        }

        /// The hub as the machine reaches it.
        fn url(&self) -> String {
            self.hub.url_at(self.machine.outside())
        }

        /// What `token create NAME --print command` says.
        fn command(&self, name: &str) -> String {
            let url = self.url();
            self.hub.cli(["token", "create", name, "--print", "command", "--public-url", &url]).succeeded() + "\n"
        }

        /// The script as the hub serves it.
        fn script(&self) -> String {
            self.hub.request_with("GET", "/install.sh", &[]).body
        }

        /// Puts the hub's script on the machine, and runs it with these
        /// arguments and a token on its standard input.
        fn install(&self, arguments: &str, token: &str) -> Output {
            self.install_by("sh", arguments, token)
        }

        /// The same in another shell.
        fn install_by(&self, shell: &str, arguments: &str, token: &str) -> Output {
            self.machine.write(SCRIPT, "600", self.script().as_bytes());
            self.machine.shell_with_input(&format!("{shell} {SCRIPT} {arguments}"), token)
        }

        /// A fresh install under `name` that must succeed.
        fn installed(&self, name: &str) -> Output {
            let token = self.hub.enrollment_token(&[]);
            let output = self.install(&format!("--hub {} --token-stdin --name {name}", self.url()), &token);
            assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
            output
        }

        fn wait_until_online(&self, name: &str) {
            self.hub.wait_for_state(name, "online", SOON);
        }
    }
}
