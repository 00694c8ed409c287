//! `moonfire-nvr login`: makes the first administrator, or lets somebody in again.
//!
//! It writes to the database itself, beside a running recorder too: see `design/access.md`.

use super::{Exit, Failure, entropy};
use crate::ConfigArgs;
use moonfire_nvr::access::password::{self, MAX_BYTES, SALT_BYTES};
use moonfire_nvr::access::{Permission, Permissions, User, check_name};
use moonfire_nvr::config::Secret;
use moonfire_nvr::db::{
    Database, Mode, NewUser, Reply, Request, UserError, UserPatch, UserReply, UserRequest,
};
use nix::sys::signal::{SigSet, Signal};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// How often two passwords may differ, or one be too short, before it is given up.
const MAX_TRIES: u32 = 3;

/// Make an administrator, or set a user's password.
///
/// Use it after the installation, and when a password is forgotten. A user of that name that is not
/// there yet is made, and may do everything. One that is there gets the new password and keeps what
/// it may; it is enabled if it was disabled, and signed out everywhere.
///
/// It works while the recorder runs, too, which takes notice within a minute.
#[derive(clap::Args)]
pub struct Login {
    #[command(flatten)]
    config: ConfigArgs,

    /// Whose password it is.
    #[arg(value_name = "USER", default_value = "admin")]
    user: String,

    /// Let a user that is there already do everything from now on.
    #[arg(long)]
    administrator: bool,

    /// A file with the password and nothing else; `-` is standard input. Otherwise it is asked for on
    /// the terminal, twice, and does not show.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub fn run(args: Login) -> Result<Exit, Failure> {
    let config = args.config.load()?;
    check_name(&args.user).map_err(|e| Failure::Usage(format!("{}: {e}", args.user)))?;
    let mut db = Database::open(&config.db_dir, Mode::Beside, entropy())?;
    // Before anybody is asked for a password in vain.
    let there = find(&mut db, &args.user)?;
    let hash = match &args.password_file {
        Some(path) => hash(&read_password(path)?)?,
        None if io::stdin().is_terminal() => {
            let name = there.as_ref().map_or(&args.user, |u| &u.name);
            ask_for_password(name, &mut ask_on_terminal)?
        }
        None => hash(&read_password(Path::new("-"))?)?,
    };
    let done = match there {
        Some(user) => set_password(&mut db, &user, hash, args.administrator)?,
        None => make_administrator(&mut db, &args.user, hash)?,
    };
    println!("{done}");
    Ok(Exit::Fine)
}

/// All users, in order of name.
pub(super) fn users(db: &mut Database) -> Result<Vec<User>, Failure> {
    match db.handle(Request::Users(UserRequest::List))? {
        Reply::Users(UserReply::Users(users)) => Ok(users),
        other => Err(Failure::Failed(format!("unexpected answer: {other:?}"))),
    }
}

/// The user of this name.
pub(super) fn find(db: &mut Database, name: &str) -> Result<Option<User>, Failure> {
    let mut users = users(db)?.into_iter();
    Ok(users.find(|u| u.name.eq_ignore_ascii_case(name)))
}

/// Changes a user.
pub(super) fn change(db: &mut Database, user: &User, patch: UserPatch) -> Result<(), Failure> {
    db.handle(Request::Users(UserRequest::Patch {
        user: user.id,
        patch: Box::new(patch),
        keep: None,
    }))?;
    Ok(())
}

fn make_administrator(db: &mut Database, name: &str, hash: Secret) -> Result<String, Failure> {
    db.handle(Request::Users(UserRequest::Create(NewUser {
        name: name.to_owned(),
        password_hash: Some(hash),
        permissions: Permissions::all(),
        ..NewUser::default()
    })))?;
    Ok(format!(
        "made the administrator {name}, who can sign in now"
    ))
}

fn set_password(
    db: &mut Database,
    user: &User,
    hash: Secret,
    administrator: bool,
) -> Result<String, Failure> {
    let mut patch = UserPatch {
        password_hash: Some(Some(hash)),
        disabled: Some(false),
        ..UserPatch::default()
    };
    if administrator {
        patch.permissions = Permissions::all().into();
        // An administrator is one for all cameras.
        patch.cameras = Some(Default::default());
    }
    change(db, user, patch)?;
    let name = &user.name;
    let mut done = format!("set the password of {name} and signed it out everywhere");
    if user.disabled {
        done += "; it was disabled and is enabled again";
    }
    if administrator {
        done += "; it is an administrator now";
    } else if !user.permissions.has(Permission::Administer) {
        done += "; it is no administrator (--administrator makes it one)";
    }
    Ok(done)
}

/// What is kept of a password.
pub(super) fn hash(password: &str) -> Result<Secret, Failure> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)
        .map_err(|e| Failure::Failed(format!("the operating system has no random bytes: {e}")))?;
    match password::hash(password, salt) {
        Ok(hash) => Ok(Secret(hash)),
        Err(unfit) => Err(Failure::Usage(unfit.to_string())),
    }
}

/// Asks twice, and again if that leads nowhere.
fn ask_for_password(
    name: &str,
    ask: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Secret, Failure> {
    let mut ask = |prompt: &str| {
        ask(prompt).map_err(|e| Failure::Failed(format!("the password could not be read: {e}")))
    };
    for _ in 0..MAX_TRIES {
        let password = ask(&format!("New password of {name}: "))?;
        if let Err(unfit) = password::check(&password) {
            eprintln!("{unfit}");
        } else if ask("The same again: ")? != password {
            eprintln!("these two differ");
        } else {
            return hash(&password);
        }
    }
    Err(Failure::Failed("nothing was changed".to_owned()))
}

/// Asks without showing what is typed. Ctrl-C ends the program, but not before the terminal shows
/// again what is typed: the signal waits until then.
fn ask_on_terminal(prompt: &str) -> io::Result<String> {
    let mut interrupt = SigSet::empty();
    interrupt.add(Signal::SIGINT);
    interrupt.thread_block()?;
    let answer = rpassword::prompt_password(prompt);
    interrupt.thread_unblock()?;
    answer
}

/// Reads a file that holds a password and nothing else; an end of line after it is no part of it.
fn read_password(path: &Path) -> Result<String, Failure> {
    let fail = |error| Failure::Io {
        path: match path.as_os_str() == "-" {
            true => PathBuf::from("standard input"),
            false => path.to_owned(),
        },
        error,
    };
    let source: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(fail)?),
    };
    let mut text = String::new();
    // One byte more than is of use tells that it is too long.
    let most = MAX_BYTES as u64 + 3;
    source.take(most).read_to_string(&mut text).map_err(fail)?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.contains(['\n', '\r']) {
        return Err(Failure::Usage(
            "there is more than one line: the password must stand alone".to_owned(),
        ));
    }
    Ok(password.to_owned())
}

/// There is nobody of that name.
pub(super) fn unknown() -> Failure {
    moonfire_nvr::db::Error::from(UserError::UnknownUser).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use moonfire_nvr::access::Cameras;
    use std::collections::BTreeSet;
    use tempfile::TempDir;

    fn database() -> (TempDir, Database) {
        let temp = TempDir::new().unwrap();
        let db = Database::open(temp.path(), Mode::Create, 1).unwrap();
        (temp, db)
    }

    fn only(db: &mut Database) -> User {
        let mut users = users(db).unwrap();
        assert_eq!(users.len(), 1);
        users.remove(0)
    }

    /// The password that the user can sign in with, of these.
    fn good<'a>(db: &mut Database, name: &str, guesses: &[&'a str]) -> Vec<&'a str> {
        let name = name.to_owned();
        let request = Request::Users(UserRequest::Credentials { name });
        let Ok(Reply::Users(UserReply::Credentials(Some(found)))) = db.handle(request) else {
            return Vec::new();
        };
        let is_good = |p: &&str| password::verify(p, &found.password_hash.0).unwrap();
        guesses.iter().copied().filter(is_good).collect()
    }

    #[test]
    fn a_new_user_is_an_administrator_beside_a_recorder_too() {
        let (temp, recorder) = database();
        let mut db = Database::open(temp.path(), Mode::Beside, 1).unwrap();
        assert!(find(&mut db, "admin").unwrap().is_none());
        let said = make_administrator(&mut db, "admin", hash("correct horse").unwrap()).unwrap();
        assert!(said.contains("admin"), "{said}");
        let user = find(&mut db, "Admin").unwrap().unwrap();
        assert_eq!(user.permissions, Permissions::all());
        drop(recorder);
        let guesses = ["correct horse", "correct horse "];
        assert_eq!(good(&mut db, "admin", &guesses), guesses[..1]);
    }

    #[test]
    fn an_old_user_gets_a_password_and_no_more_than_was_asked_for() {
        let (_temp, mut db) = database();
        make_administrator(&mut db, "anna", hash("the old one").unwrap()).unwrap();
        let bert = NewUser {
            name: "bert".to_owned(),
            cameras: Cameras::Only(BTreeSet::new()),
            ..NewUser::default()
        };
        db.handle(Request::Users(UserRequest::Create(bert)))
            .unwrap();
        let bert = find(&mut db, "bert").unwrap().unwrap();
        let disabled = UserPatch {
            disabled: Some(true),
            ..UserPatch::default()
        };
        change(&mut db, &bert, disabled).unwrap();

        let bert = find(&mut db, "bert").unwrap().unwrap();
        let said = set_password(&mut db, &bert, hash("a new one").unwrap(), false).unwrap();
        assert!(said.contains("is enabled again"), "{said}");
        assert!(said.contains("--administrator"), "{said}");
        let bert = find(&mut db, "bert").unwrap().unwrap();
        assert!(bert.permissions.is_empty() && !bert.disabled);
        assert_eq!(good(&mut db, "bert", &["a new one"]), ["a new one"]);

        let said = set_password(&mut db, &bert, hash("another one").unwrap(), true).unwrap();
        assert!(said.contains("administrator now"), "{said}");
        let bert = find(&mut db, "bert").unwrap().unwrap();
        assert_eq!(bert.permissions, Permissions::all());
        assert_eq!(bert.cameras, Cameras::All);
        assert_eq!(
            good(&mut db, "anna", &["the old one", "another one"]),
            ["the old one"]
        );
    }

    #[test]
    fn a_password_is_asked_for_until_it_is_good_and_given_twice() {
        let asked = |answers: &[&str]| {
            let mut answers = answers.iter();
            let mut prompts = Vec::new();
            let hash = ask_for_password("anna", &mut |prompt| {
                prompts.push(prompt.to_owned());
                answers
                    .next()
                    .map(|a| (*a).to_owned())
                    .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
            });
            (hash.map(|h| h.0), prompts)
        };
        let (hash, prompts) = asked(&["correct horse", "correct horse"]);
        assert!(password::verify("correct horse", &hash.unwrap()).unwrap());
        assert_eq!(prompts, ["New password of anna: ", "The same again: "]);
        let (hash, prompts) = asked(&["short", "one thing", "another", "right now", "right now"]);
        assert!(password::verify("right now", &hash.unwrap()).unwrap());
        assert_eq!(prompts.len(), 5);
        let (given_up, prompts) = asked(&["short"; 9]);
        assert_eq!(given_up.unwrap_err().to_string(), "nothing was changed");
        assert_eq!(prompts.len(), 3);
        asked(&["correct horse"]).0.unwrap_err();
    }

    #[test]
    fn a_password_file_holds_the_password_alone() {
        let temp = TempDir::new().unwrap();
        let path = temp.path().join("password");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_password(&path).and_then(|p| hash(&p).map(|_| p))
        };
        for good in ["correct horse", "correct horse\n", "correct horse\r\n"] {
            assert_eq!(read(good.as_bytes()).unwrap(), "correct horse");
        }
        assert_eq!(read(b" with spaces ").unwrap(), " with spaces ");
        assert_eq!(read(&[b'x'; 256]).unwrap().len(), 256);
        for (bad, why) in [
            (&b"one line\nand another"[..], "more than one line"),
            (b"", "at least 8"),
            (b"short\n", "at least 8"),
            (&[b'x'; 257], "at most 256"),
            (&[b'x'; 100_000], "at most 256"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", "UTF-8"),
        ] {
            let told = read(bad).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
        std::fs::remove_file(&path).unwrap();
        let told = read_password(&path).unwrap_err().to_string();
        assert!(told.contains(path.to_str().unwrap()), "{told}");
    }

    #[test]
    fn the_default_name_is_a_name() {
        let (_temp, mut db) = database();
        check_name("admin").unwrap();
        make_administrator(&mut db, "admin", hash("correct horse").unwrap()).unwrap();
        assert_eq!(only(&mut db).name, "admin");
        // Somebody else made it meanwhile.
        let taken = make_administrator(&mut db, "ADMIN", hash("correct horse").unwrap());
        assert!(taken.unwrap_err().to_string().contains("already"));
    }
}
