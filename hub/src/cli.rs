//! The command line: `windflow-hub serve`, and everything that talks to a
//! running hub.

mod agents;
mod client;
mod environments;
mod exit;
mod life;
mod operate;
mod output;
mod serve;
mod tokens;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::client::HubClient;
use self::exit::Failure;
use self::output::Format;
use crate::config::{DataDir, RemoteOptions, ServeOptions, StorageOptions};

/// Windflow hub: manages Docker hosts wherever they are
#[derive(Debug, Parser)]
#[command(name = "windflow-hub", version, after_help = exit::HELP)]
pub struct Cli {
    /// The hub's own directory
    #[arg(long, global = true, env = "WINDFLOW_DATA_DIR", default_value = "/var/lib/windflow-hub", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    remote: RemoteOptions,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the hub
    Serve(Box<ServeOptions>),
    /// Enrollment tokens, which bring new hosts to the hub
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Hosts that dialled in
    #[command(subcommand)]
    Agent(agents::AgentCommand),
    /// Docker engines that the hub knows
    #[command(subcommand)]
    Environment(environments::EnvironmentCommand),
    /// Users
    #[command(subcommand)]
    User(users::UserCommand),
    /// Makes a new setup code for the first user; those from before end
    SetupCode,
    /// API tokens, which programs send instead of a password
    #[command(subcommand)]
    ApiToken(users::ApiTokenCommand),
    /// Roles of one's own, beside those that come with the hub
    #[command(subcommand)]
    Role(users::access::RoleCommand),
    /// Teams of users, to whom something is granted together
    #[command(subcommand)]
    Team(users::access::TeamCommand),
    /// What users and teams may do in some environments only
    #[command(subcommand)]
    Grant(users::access::GrantCommand),
    /// What was done, and by whom
    #[command(subcommand)]
    Audit(operate::audit::AuditCommand),
    /// Backups of the hub itself: its database and its keys in one encrypted file
    #[command(subcommand)]
    Backup(Box<operate::backup::BackupCommand>),
    /// The keys of what is sealed in the database
    #[command(subcommand)]
    Keys(Box<operate::keys::KeysCommand>),
    /// Brings the database's schema to this version; `serve` does the same by itself
    Migrate(StorageOptions),
    /// Asks the running hub whether all of it works; for health checks
    Health,
    /// Looks at all that the hub needs on this machine
    Doctor(operate::DoctorOptions),
    /// Prints the OpenAPI document of this version; needs no hub that runs
    Openapi,
}

/// Runs what the command line says.
pub async fn run(cli: Cli) -> ExitCode {
    match dispatch(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("windflow-hub: {failure}");
            failure.code()
        }
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { data_dir, remote, output, command } = cli;
    let data_dir = DataDir::new(data_dir);
    let client = || HubClient::new(&data_dir, &remote);
    let url = remote.hub.as_ref();
    match command {
        Command::Serve(options) => Ok(serve::run(&data_dir, &options).await?),
        Command::Token(command) => tokens::run(&client()?, command, output, url).await,
        Command::Agent(command) => agents::run(&client()?, command, output, url).await,
        Command::Environment(command) => environments::run(&client()?, command, output).await,
        Command::User(command) => users::run_user(&client()?, command, output).await,
        Command::SetupCode => users::renew_setup_code(&client()?, output).await,
        Command::ApiToken(command) => users::run_api_token(&client()?, command, output).await,
        Command::Role(command) => users::access::run_role(&client()?, command, output).await,
        Command::Team(command) => users::access::run_team(&client()?, command, output).await,
        Command::Grant(command) => users::access::run_grant(&client()?, command, output).await,
        Command::Audit(command) => operate::audit::run(&client()?, command, output).await,
        Command::Backup(command) => operate::backup::run(&data_dir, &remote, *command, output).await,
        Command::Keys(command) => operate::keys::run(&data_dir, &remote, *command, output).await,
        Command::Migrate(options) => Ok(operate::migrate(&data_dir, &options).await?),
        Command::Health => operate::health(&client()?).await,
        Command::Doctor(options) => operate::doctor(&data_dir, &options, output).await,
        Command::Openapi => Ok(operate::print_openapi()?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_command_lines_of_the_contract_are_understood() {
        for line in [
            "serve --data-dir D --listen 127.0.0.1:8443 --database-url sqlite:///x --engine unix:///x --log-format json",
            "serve --data-dir D --listen 127.0.0.1:0 --engine none",
            "serve --trusted-proxy 10.0.0.1 --trusted-proxy fd00::/8 --proxy-headers forwarded --tls-certificate F --tls-key F",
            "--data-dir D user add NAME --role administrator --password-stdin",
            "--data-dir D user add NAME --password-hash-stdin",
            "--data-dir D user reset-second-factor NAME",
            "--data-dir D api-token create --user NAME --print token",
            "--data-dir D token create NAME --uses 1 --ttl 1h --print token",
            "--data-dir D token create NAME --label a=b --label c=d --name-pattern e* --cidr 10.0.0.0/8 --print cloud-init",
            "--data-dir D environment list --output json",
            "--data-dir D environment add NAME --tcp tcp://HOST:2376 --ca F --cert F --key F",
            "--data-dir D environment add NAME --tcp tcp://HOST:2375 --insecure",
            "--data-dir D environment connect NAME --socket PATH",
            "--data-dir D agent revoke NAME --reason TEXT",
            "--hub https://hub.example --ca-file F agent reissue NAME --print token",
            "migrate --data-dir D",
            "doctor --data-dir D",
            "openapi",
            "--data-dir D role add NAME --permission containers.view,containers.exec",
            "--data-dir D team join NAME USER",
            "--data-dir D grant add --user NAME --role operator --group NAME",
            "--data-dir D grant add --team NAME --role NAME --everywhere",
            "--data-dir D setup-code",
            "--data-dir D audit list --action user. --outcome denied --limit 20 --output json",
            "--data-dir D audit export --format csv --from 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z",
            "--data-dir D audit verify --expect 12:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "--data-dir D keys status --output json",
            "--data-dir D keys rotate",
            "--data-dir D keys rotate --generate-master-key",
            "--data-dir D keys rotate --new-master-key-command P --new-master-key-argument -x --keep-file",
            "--data-dir D keys rotate --new-master-key-file F --master-key-passphrase-file P",
            "--data-dir D serve --master-key-command P --master-key-argument read --master-key-argument --raw",
            "--data-dir D serve --master-key-passphrase-file P --rotate-keys-days 365",
            "--data-dir D backup create FILE --passphrase-file P",
            "--data-dir D backup verify FILE",
            "--data-dir D backup restore FILE",
            "--data-dir D backup restore FILE --force --passphrase-file P --database-url sqlite:///x",
        ] {
            let arguments = std::iter::once("windflow-hub").chain(line.split(' '));
            assert!(Cli::try_parse_from(arguments).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_password_never_comes_from_an_argument() {
        for line in [
            "user add ada --password x",
            "user add ada --password-hash x",
            "user add ada",
            "user add ada --password-stdin --password-hash-stdin",
            "user reset-password ada",
            "keys rotate --new-master-key x",
            "keys rotate --generate-master-key --new-master-key-file F",
            "keys rotate --generate-master-key --keep-file",
            "keys rotate --keep-file",
            "serve --master-key-file F --master-key-command P",
            "serve --master-key-argument x",
        ] {
            let arguments = std::iter::once("windflow-hub").chain(line.split(' '));
            assert!(Cli::try_parse_from(arguments).is_err(), "{line}");
        }
    }
}
