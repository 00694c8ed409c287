//! Users: making, changing and removing them, and what a sign-in needs to know of one.

use super::{Database, Error};
use crate::access::{
    Cameras, InvalidUser, Permission, Permissions, PermissionsPatch, Preferences, SessionId, User,
    UserId, check_name, check_permissions,
};
use crate::config::Secret;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

/// The most users. At the limit no more are made.
pub const MAX_USERS: u32 = 200;

/// What is asked about users. Each is one transaction.
#[derive(Debug)]
pub enum UserRequest {
    /// All, in order of name: [`UserReply::Users`].
    List,
    /// One: [`UserReply::User`].
    Get(UserId),
    /// [`UserReply::User`], with its id.
    Create(NewUser),
    /// The first administrator, made by whoever comes first: refused if there is one. Of two at the
    /// same time, one is refused. [`UserReply::User`].
    CreateFirst(NewUser),
    /// [`UserReply::User`], as it is afterwards. A new password, and disabling, end the user's
    /// sessions, but for `keep`: the one that asks.
    Patch {
        user: UserId,
        patch: Box<UserPatch>,
        keep: Option<SessionId>,
    },
    /// With its sessions and tokens: [`UserReply::Deleted`].
    Delete(UserId),
    /// What its password is to be verified against: [`UserReply::Credentials`].
    Credentials { name: String },
    /// Whether somebody can sign in and make users: [`UserReply::AnyAdministrator`].
    AnyAdministrator,
}

/// The answer to a [`UserRequest`].
#[derive(Debug)]
pub enum UserReply {
    Users(Vec<User>),
    User(Box<User>),
    Deleted,
    /// `None` if nobody of that name can sign in by password: it is unknown, disabled, or has none.
    Credentials(Option<Credentials>),
    AnyAdministrator(bool),
}

/// A user to be.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    pub name: String,
    /// Of [`crate::access::password::hash`]; without one it cannot sign in.
    pub password_hash: Option<Secret>,
    pub permissions: Permissions,
    pub cameras: Cameras,
    pub preferences: Preferences,
}

/// A change of a user: what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    pub name: Option<String>,
    /// `Some(None)` takes it away.
    pub password_hash: Option<Option<Secret>>,
    pub permissions: PermissionsPatch,
    pub cameras: Option<Cameras>,
    pub preferences: Option<Preferences>,
    pub disabled: Option<bool>,
}

/// What a sign-in by password needs.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub user: UserId,
    /// To [`crate::access::password::verify`] against.
    pub password_hash: Secret,
}

/// Why something about users, sessions or tokens could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    #[error("there is no such user")]
    UnknownUser,
    #[error("there is no such session")]
    UnknownSession,
    #[error("there is no such API token")]
    UnknownToken,
    #[error("there is a user of that name already")]
    NameTaken,
    #[error("{0}")]
    Invalid(#[from] InvalidUser),
    /// Without one, the page would let anybody make the next.
    #[error("this is the last administrator who can sign in: make another one first")]
    LastAdministrator,
    #[error("there is an administrator already: sign in")]
    AdministratorExists,
    #[error("the first user must be an administrator with a password")]
    NoAdministrator,
    /// Between verifying the password and beginning the session.
    #[error("the user was changed meanwhile: sign in again")]
    Changed,
    #[error("there are {most} {what} already, the most there can be: remove one first")]
    TooMany { what: &'static str, most: u32 },
}

impl From<InvalidUser> for Error {
    fn from(error: InvalidUser) -> Error {
        Error::User(UserError::Invalid(error))
    }
}

impl Database {
    pub(super) fn users(&mut self, request: UserRequest) -> Result<UserReply, Error> {
        Ok(match request {
            UserRequest::List => {
                let tx = self.connection.unchecked_transaction()?;
                UserReply::Users(list(&tx)?)
            }
            UserRequest::Get(id) => {
                let tx = self.connection.unchecked_transaction()?;
                UserReply::User(Box::new(get(&tx, id)?))
            }
            UserRequest::Credentials { name } => {
                UserReply::Credentials(credentials(&self.connection, &name)?)
            }
            UserRequest::AnyAdministrator => {
                UserReply::AnyAdministrator(any_administrator(&self.connection)?)
            }
            UserRequest::Create(new) => self.change_users(|tx| create(tx, &new))?,
            UserRequest::CreateFirst(new) => self.change_users(|tx| create_first(tx, &new))?,
            UserRequest::Patch { user, patch, keep } => {
                self.change_users(|tx| apply(tx, user, &patch, keep))?
            }
            UserRequest::Delete(user) => self.change_users(|tx| delete(tx, user))?,
        })
    }

    /// One change. If there was an administrator before, there is one afterwards, or nothing was done.
    fn change_users(
        &mut self,
        change: impl FnOnce(&Transaction) -> Result<UserReply, Error>,
    ) -> Result<UserReply, Error> {
        let tx = self.transaction()?;
        let before = any_administrator(&tx)?;
        let reply = change(&tx)?;
        if before && !any_administrator(&tx)? {
            return Err(UserError::LastAdministrator.into());
        }
        tx.commit()?;
        Ok(reply)
    }
}

const COLUMNS: &str = "id, name, permissions, all_cameras, preferences, disabled, \
    password_hash is not null";

fn list(tx: &Transaction) -> Result<Vec<User>, Error> {
    let mut select = tx.prepare_cached(&format!(
        "select {COLUMNS} from user order by name, id limit {MAX_USERS}"
    ))?;
    let mut rows = select.query([])?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        users.push(user(tx, row)?);
    }
    Ok(users)
}

/// All, each with the hash of its password, for a backup.
pub(super) fn list_with_hashes(
    connection: &Connection,
) -> Result<Vec<(User, Option<Secret>)>, Error> {
    let tx = connection.unchecked_transaction()?;
    let mut select = tx.prepare_cached("select password_hash from user where id = ?1")?;
    let with_hash = |user: User| {
        let hash: Option<String> = select.query_row([user.id.0], |r| r.get(0))?;
        Ok((user, hash.map(Secret)))
    };
    list(&tx)?.into_iter().map(with_hash).collect()
}

/// One by its id.
pub(super) fn get(connection: &Connection, id: UserId) -> Result<User, Error> {
    let mut select =
        connection.prepare_cached(&format!("select {COLUMNS} from user where id = ?1"))?;
    let mut rows = select.query([id.0])?;
    match rows.next()? {
        Some(row) => user(connection, row),
        None => Err(UserError::UnknownUser.into()),
    }
}

/// Reads a row of [`COLUMNS`].
fn user(connection: &Connection, r: &Row) -> Result<User, Error> {
    let id: i64 = r.get(0)?;
    let cameras = match r.get(3)? {
        true => Cameras::All,
        false => {
            let mut select = connection
                .prepare_cached("select camera_uuid from user_camera where user_id = ?1")?;
            let uuids = select.query_map([id], |r| r.get::<_, Uuid>(0))?;
            Cameras::Only(uuids.collect::<Result<_, _>>()?)
        }
    };
    Ok(User {
        id: UserId(id),
        name: r.get(1)?,
        permissions: Permissions::from_bits(r.get(2)?),
        cameras,
        preferences: Preferences::parse(r.get_ref(4)?.as_str().unwrap_or_default())
            .unwrap_or_default(),
        disabled: r.get(5)?,
        has_password: r.get(6)?,
    })
}

fn credentials(connection: &Connection, name: &str) -> Result<Option<Credentials>, Error> {
    Ok(connection
        .prepare_cached(
            "select id, password_hash from user
             where name = ?1 and disabled = 0 and password_hash is not null",
        )?
        .query_row([name], |r| {
            Ok(Credentials {
                user: UserId(r.get(0)?),
                password_hash: Secret(r.get(1)?),
            })
        })
        .optional()?)
}

/// Whether somebody can sign in by password and make users.
fn any_administrator(connection: &Connection) -> Result<bool, Error> {
    let mut select = connection.prepare_cached(
        "select permissions from user where disabled = 0 and password_hash is not null",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if Permissions::from_bits(row.get(0)?).has(Permission::Administer) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn create(tx: &Transaction, new: &NewUser) -> Result<UserReply, Error> {
    check_name(&new.name)?;
    check_permissions(new.permissions, &new.cameras)?;
    let users: u32 = tx.query_row("select count(*) from user", [], |r| r.get(0))?;
    if users >= MAX_USERS {
        return Err(UserError::TooMany {
            what: "users",
            most: MAX_USERS,
        }
        .into());
    }
    tx.execute(
        "insert into user (name, password_hash, permissions, all_cameras, preferences)
         values (?1, ?2, ?3, ?4, ?5)",
        params![
            new.name,
            new.password_hash.as_ref().map(|s| &s.0),
            new.permissions.bits(),
            new.cameras == Cameras::All,
            new.preferences.as_json()
        ],
    )
    .map_err(name_taken)?;
    let id = UserId(tx.last_insert_rowid());
    write_cameras(tx, id, &new.cameras)?;
    Ok(UserReply::User(Box::new(get(tx, id)?)))
}

fn create_first(tx: &Transaction, new: &NewUser) -> Result<UserReply, Error> {
    if any_administrator(tx)? {
        return Err(UserError::AdministratorExists.into());
    }
    let reply = create(tx, new)?;
    match any_administrator(tx)? {
        true => Ok(reply),
        false => Err(UserError::NoAdministrator.into()),
    }
}

fn apply(
    tx: &Transaction,
    id: UserId,
    patch: &UserPatch,
    keep: Option<SessionId>,
) -> Result<UserReply, Error> {
    let before = get(tx, id)?;
    let name = patch.name.as_ref().unwrap_or(&before.name);
    let permissions = patch.permissions.apply(before.permissions);
    let cameras = patch.cameras.as_ref().unwrap_or(&before.cameras);
    let preferences = patch.preferences.as_ref().unwrap_or(&before.preferences);
    let disabled = patch.disabled.unwrap_or(before.disabled);
    check_name(name)?;
    check_permissions(permissions, cameras)?;
    tx.execute(
        "update user set name = ?2, permissions = ?3, all_cameras = ?4, preferences = ?5,
           disabled = ?6 where id = ?1",
        params![
            id.0,
            name,
            permissions.bits(),
            *cameras == Cameras::All,
            preferences.as_json(),
            disabled
        ],
    )
    .map_err(name_taken)?;
    if patch.cameras.is_some() {
        write_cameras(tx, id, cameras)?;
    }
    if let Some(hash) = &patch.password_hash {
        tx.execute(
            "update user set password_hash = ?2 where id = ?1",
            params![id.0, hash.as_ref().map(|s| &s.0)],
        )?;
    }
    if disabled || patch.password_hash.is_some() {
        // Whoever knew the old password, or was let in before, is out.
        tx.execute(
            "delete from session where user_id = ?1 and id is not ?2",
            params![id.0, keep.map(|s| s.0)],
        )?;
    }
    Ok(UserReply::User(Box::new(get(tx, id)?)))
}

fn write_cameras(tx: &Transaction, id: UserId, cameras: &Cameras) -> Result<(), Error> {
    tx.execute("delete from user_camera where user_id = ?1", [id.0])?;
    if let Cameras::Only(uuids) = cameras {
        for uuid in uuids {
            tx.execute(
                "insert into user_camera (user_id, camera_uuid) values (?1, ?2)",
                params![id.0, uuid],
            )?;
        }
    }
    Ok(())
}

fn delete(tx: &Transaction, id: UserId) -> Result<UserReply, Error> {
    match tx.execute("delete from user where id = ?1", [id.0])? {
        0 => Err(UserError::UnknownUser.into()),
        _ => Ok(UserReply::Deleted),
    }
}

/// The name is the only column of a user that must be unique.
fn name_taken(error: rusqlite::Error) -> Error {
    match error.sqlite_error() {
        Some(e) if e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
            UserError::NameTaken.into()
        }
        _ => error.into(),
    }
}
