//! The command line: arguments in, exit code out. Each command is a file of its own in `command`.

mod command;

use clap::{Args, Parser, Subcommand};
use command::{Exit, Failure};
use moonfire_nvr::config::{self, Config};
use std::path::PathBuf;
use std::process::ExitCode;

/// Records what IP cameras send, loses nothing, costs little.
///
/// What to record, and where to, is in a configuration file; a sample with explanations is
/// etc/moonfire-nvr.toml. Begin with `moonfire-nvr init`, then `moonfire-nvr run`.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 all is well; 1 it could not be done; 2 the arguments or the \
                  configuration are wrong; 3 `check` found something."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(command::init::Init),
    Config(command::config::Configure),
    Login(command::login::Login),
    Run(command::run::Run),
    Export(command::export::Export),
    Check(command::check::Check),
    Upgrade(command::upgrade::Upgrade),
    Users(command::users::Users),
    Ts(command::ts::Ts),
    Discover(command::discover::Discover),
    Demo(command::demo::Demo),
    SimulateCamera(command::simulate_camera::SimulateCamera),
    Helper(command::helper::Helper),
    Appliance(command::appliance::Appliance),
    Steward(command::steward::Steward),
}

/// Where the configuration is.
#[derive(Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

impl ConfigArgs {
    /// Reads it; what is wrong with it is a failure of its own kind.
    fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.config)?)
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors, and go to standard output. Nothing can be done if
            // that is closed.
            let _ = e.print();
            return match e.use_stderr() {
                true => Exit::Usage.into(),
                false => Exit::Fine.into(),
            };
        }
    };
    let result = match cli.command {
        Command::Init(args) => command::init::run(args),
        Command::Config(args) => command::config::run(args),
        Command::Login(args) => command::login::run(args),
        Command::Run(args) => command::run::run(args),
        Command::Export(args) => command::export::run(args),
        Command::Check(args) => command::check::run(args),
        Command::Upgrade(args) => command::upgrade::run(args),
        Command::Users(args) => command::users::run(args),
        Command::Ts(args) => command::ts::run(args),
        Command::Discover(args) => command::discover::run(args),
        Command::Demo(args) => command::demo::run(args),
        Command::SimulateCamera(args) => command::simulate_camera::run(args),
        Command::Steward(args) => command::steward::run(args),
        Command::Appliance(args) => command::appliance::run(args),
        Command::Helper(args) => command::helper::run(args).map(|never| match never {}),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{failure}");
            if let Some(hint) = failure.hint() {
                eprintln!("{hint}");
            }
            failure.exit().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent_and_every_command_has_help() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {argument}",
                    command.get_name()
                );
            }
        }
    }
}
