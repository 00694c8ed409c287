//! What the command line can do: one file a command, each with its arguments and
//! `run(args) -> Result<Exit, Failure>`.

pub mod appliance;
pub mod check;
pub mod config;
pub mod demo;
pub mod discover;
pub mod export;
pub mod helper;
pub mod init;
pub mod login;
mod output;
mod progress;
pub mod run;
pub mod simulate_camera;
mod span;
pub mod steward;
pub mod ts;
pub mod upgrade;
pub mod users;

use moonfire_nvr::db;
use std::process::ExitCode;
use uuid::Uuid;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0.
    Fine,
    /// 1: it could not be done.
    Failed,
    /// 2: the arguments or the configuration are wrong.
    Usage,
    /// 3: `check` found something that is not as it should be (and did not mend all of it).
    Found,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Found => 3,
        })
    }
}

/// Why a command could not do what it should: one or more sentences for people.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Config(#[from] moonfire_nvr::config::ConfigError),
    #[error("{0}")]
    Database(#[from] db::Error),
    #[error("{}: {error}", path.display())]
    Io {
        path: std::path::PathBuf,
        error: std::io::Error,
    },
    /// Anything else that could not be done.
    #[error("{0}")]
    Failed(String),
    /// The arguments are wrong in a way that only the command itself could see.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Config(_) | Failure::Usage(_) => Exit::Usage,
            Failure::Database(_) | Failure::Io { .. } | Failure::Failed(_) => Exit::Failed,
        }
    }

    /// What may mend it, where the sentence itself cannot know.
    pub fn hint(&self) -> Option<&'static str> {
        let error = match self {
            Failure::Io { error, .. } | Failure::Database(db::Error::Io { error, .. }) => error,
            _ => return None,
        };
        (error.kind() == std::io::ErrorKind::PermissionDenied).then_some(
            "Is this the recorder's user? After an installation: `sudo -u moonfire-nvr moonfire-nvr ...`",
        )
    }
}

/// A fresh seed from the operating system, for [`db::Database::open`].
pub fn entropy() -> u128 {
    // Version and variant bits are fixed; 122 are not.
    Uuid::new_v4().as_u128()
}
