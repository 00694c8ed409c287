//! `moonfire-nvr users`: who there is, and who is kept out.

use super::login::{change, find, unknown, users};
use super::{Exit, Failure, entropy};
use crate::ConfigArgs;
use moonfire_nvr::access::{Cameras, Permissions, User};
use moonfire_nvr::db::{Database, Mode, UserPatch};

/// List the users, or keep one out.
///
/// `moonfire-nvr login` makes an administrator, who makes and changes the other users on the page. It
/// works while the recorder runs, too, which takes notice within a minute, and within seconds where
/// somebody is just watching.
#[derive(clap::Args)]
pub struct Users {
    #[command(flatten)]
    config: ConfigArgs,

    /// Keep this user out: it is signed out everywhere, and neither its password nor its API tokens
    /// are good any more. Nothing else of it is changed.
    #[arg(long, value_name = "USER", conflicts_with = "enable")]
    disable: Option<String>,

    /// Let a disabled user in again.
    #[arg(long, value_name = "USER")]
    enable: Option<String>,
}

pub fn run(args: Users) -> Result<Exit, Failure> {
    let config = args.config.load()?;
    let (mode, change) = match (args.disable, args.enable) {
        (Some(name), _) => (Mode::Beside, Some((name, true))),
        (None, Some(name)) => (Mode::Beside, Some((name, false))),
        (None, None) => (Mode::ReadOnly, None),
    };
    let mut db = Database::open(&config.db_dir, mode, entropy())?;
    match change {
        Some((name, disabled)) => println!("{}", set_disabled(&mut db, &name, disabled)?),
        None => list(&users(&mut db)?)
            .iter()
            .for_each(|line| println!("{line}")),
    }
    Ok(Exit::Fine)
}

fn set_disabled(db: &mut Database, name: &str, disabled: bool) -> Result<String, Failure> {
    let user = find(db, name)?.ok_or_else(unknown)?;
    let patch = UserPatch {
        disabled: Some(disabled),
        ..UserPatch::default()
    };
    change(db, &user, patch)?;
    let how = if disabled { "disabled" } else { "enabled" };
    Ok(format!("{} is {how} now", user.name))
}

/// A line for each.
fn list(users: &[User]) -> Vec<String> {
    if users.is_empty() {
        return vec![
            "there is no user yet: `moonfire-nvr login` makes an administrator".to_owned(),
        ];
    }
    users.iter().map(line).collect()
}

/// `anna: view_live, export; 2 cameras only; disabled`.
fn line(user: &User) -> String {
    let mut line = format!("{}: ", user.name);
    if user.permissions == Permissions::all() {
        line += "everything";
    } else if user.permissions.is_empty() {
        line += "nothing";
    } else {
        let words: Vec<_> = user.permissions.iter().map(|p| p.as_str()).collect();
        line += &words.join(", ");
    }
    match &user.cameras {
        Cameras::All => {}
        Cameras::Only(set) if set.len() == 1 => line += "; 1 camera only",
        Cameras::Only(set) => line += &format!("; {} cameras only", set.len()),
    }
    if !user.has_password {
        line += "; no password";
    }
    if user.disabled {
        line += "; disabled";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use moonfire_nvr::access::Permission;
    use moonfire_nvr::config::Secret;
    use moonfire_nvr::db::{NewUser, Request, UserRequest, memory};

    fn add(db: &mut Database, new: NewUser) {
        db.handle(Request::Users(UserRequest::Create(new))).unwrap();
    }

    #[test]
    fn users_are_listed_disabled_and_enabled() {
        let mut db = memory(1).unwrap();
        let lines = |db: &mut Database| list(&users(db).unwrap());
        assert!(lines(&mut db)[0].contains("moonfire-nvr login"));
        add(
            &mut db,
            NewUser {
                name: "anna".to_owned(),
                password_hash: Some(Secret("hash".to_owned())),
                permissions: Permissions::all(),
                ..NewUser::default()
            },
        );
        add(
            &mut db,
            NewUser {
                name: "bert".to_owned(),
                permissions: Permissions::from_iter([Permission::ViewLive, Permission::Export]),
                cameras: Cameras::Only([uuid::Uuid::nil()].into()),
                ..NewUser::default()
            },
        );
        set_disabled(&mut db, "BERT", true).unwrap();
        assert_eq!(
            lines(&mut db),
            [
                "anna: everything",
                "bert: view_live, view_recordings, export; 1 camera only; no password; disabled"
            ]
        );
        let said = set_disabled(&mut db, "bert", false).unwrap();
        assert_eq!(said, "bert is enabled now");
        assert!(!lines(&mut db)[1].contains("disabled"));
        let told = set_disabled(&mut db, "carl", true).unwrap_err();
        assert_eq!(told.to_string(), "there is no such user");
        let told = set_disabled(&mut db, "anna", true).unwrap_err();
        assert!(told.to_string().contains("last administrator"), "{told}");
    }
}
