//! Users: who there is, and that there is always somebody who can mend it.

use super::*;
use crate::access::{
    Cameras, InvalidUser, Permission, Permissions, PermissionsPatch, Preferences, User, UserId,
};
use crate::db::users::MAX_USERS;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::BTreeSet;
use uuid::Uuid;

pub(super) fn ask(db: &mut Database, request: UserRequest) -> Result<UserReply, UserError> {
    match db.handle(Request::Users(request)) {
        Ok(Reply::Users(reply)) => Ok(reply),
        Err(Error::User(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

pub(super) fn new_user(name: &str, permissions: &[Permission]) -> NewUser {
    NewUser {
        name: name.to_owned(),
        password_hash: Some(Secret(format!("hash of {name}"))),
        permissions: permissions.iter().copied().collect(),
        ..NewUser::default()
    }
}

fn user(reply: Result<UserReply, UserError>) -> User {
    match reply.unwrap() {
        UserReply::User(user) => *user,
        other => panic!("{other:?}"),
    }
}

pub(super) fn create(db: &mut Database, name: &str, permissions: &[Permission]) -> User {
    user(ask(db, UserRequest::Create(new_user(name, permissions))))
}

pub(super) fn patch(
    db: &mut Database,
    user: UserId,
    patch: UserPatch,
) -> Result<UserReply, UserError> {
    let patch = Box::new(patch);
    ask(
        db,
        UserRequest::Patch {
            user,
            patch,
            keep: None,
        },
    )
}

fn users(db: &mut Database) -> Vec<User> {
    match ask(db, UserRequest::List).unwrap() {
        UserReply::Users(users) => users,
        other => panic!("{other:?}"),
    }
}

fn any_administrator(db: &mut Database) -> bool {
    match ask(db, UserRequest::AnyAdministrator).unwrap() {
        UserReply::AnyAdministrator(any) => any,
        other => panic!("{other:?}"),
    }
}

fn credentials(db: &mut Database, name: &str) -> Option<Credentials> {
    let name = name.to_owned();
    match ask(db, UserRequest::Credentials { name }).unwrap() {
        UserReply::Credentials(credentials) => credentials,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_user_is_kept_as_it_was_made_and_changed() {
    let mut db = memory(1).unwrap();
    let cameras = Cameras::Only(BTreeSet::from([Uuid::from_u128(1), Uuid::from_u128(2)]));
    let made = user(ask(
        &mut db,
        UserRequest::Create(NewUser {
            cameras: cameras.clone(),
            preferences: Preferences::parse(r#"{"theme":"dark"}"#).unwrap(),
            ..new_user("Anna", &[Permission::Export])
        }),
    ));
    assert_eq!(made.cameras, cameras);
    assert!(made.permissions.has(Permission::ViewRecordings));
    assert!(made.has_password && !made.disabled);
    assert_eq!(user(ask(&mut db, UserRequest::Get(made.id))), made);
    assert_eq!(users(&mut db), std::slice::from_ref(&made));

    // What a change leaves out stays.
    let renamed = user(patch(
        &mut db,
        made.id,
        UserPatch {
            name: Some("Anne".to_owned()),
            ..UserPatch::default()
        },
    ));
    let expected = User {
        name: "Anne".to_owned(),
        ..made.clone()
    };
    assert_eq!(renamed, expected);
    let changed = user(patch(
        &mut db,
        made.id,
        UserPatch {
            password_hash: Some(None),
            permissions: PermissionsPatch {
                view_live: Some(true),
                export: Some(false),
                ..PermissionsPatch::default()
            },
            cameras: Some(Cameras::Only(BTreeSet::new())),
            preferences: Some(Preferences::default()),
            disabled: Some(true),
            ..UserPatch::default()
        },
    ));
    let expected = User {
        permissions: [Permission::ViewLive, Permission::ViewRecordings]
            .into_iter()
            .collect(),
        cameras: Cameras::Only(BTreeSet::new()),
        preferences: Preferences::default(),
        disabled: true,
        has_password: false,
        ..expected
    };
    assert_eq!(changed, expected);
    assert_eq!(count(&db, "user_camera"), 0);
}

#[test]
fn an_id_is_never_anothers() {
    let mut db = memory(1).unwrap();
    let anna = create(&mut db, "anna", &[]);
    ask(&mut db, UserRequest::Delete(anna.id)).unwrap();
    assert_eq!(
        ask(&mut db, UserRequest::Get(anna.id)).unwrap_err(),
        UserError::UnknownUser
    );
    assert_eq!(
        ask(&mut db, UserRequest::Delete(anna.id)).unwrap_err(),
        UserError::UnknownUser
    );
    assert_ne!(create(&mut db, "anna", &[]).id, anna.id);
}

#[test]
fn a_name_is_one_whatever_its_case() {
    let mut db = memory(1).unwrap();
    let anna = create(&mut db, "anna", &[]);
    let bert = create(&mut db, "bert", &[]);
    let again = UserRequest::Create(new_user("ANNA", &[]));
    assert_eq!(ask(&mut db, again).unwrap_err(), UserError::NameTaken);
    let rename = |name: &str| UserPatch {
        name: Some(name.to_owned()),
        ..UserPatch::default()
    };
    assert_eq!(
        patch(&mut db, bert.id, rename("Anna")).unwrap_err(),
        UserError::NameTaken
    );
    // But its own may be written differently.
    patch(&mut db, anna.id, rename("Anna")).unwrap();
    let found = credentials(&mut db, "aNNa").unwrap();
    assert_eq!(found.user, anna.id);
    assert_eq!(found.password_hash.0, "hash of anna");
}

#[test]
fn who_cannot_sign_in_has_no_credentials() {
    let mut db = memory(1).unwrap();
    let anna = create(&mut db, "anna", &[]);
    for (change, may) in [
        (UserPatch::default(), true),
        (
            UserPatch {
                disabled: Some(true),
                ..UserPatch::default()
            },
            false,
        ),
        (
            UserPatch {
                disabled: Some(false),
                ..UserPatch::default()
            },
            true,
        ),
        (
            UserPatch {
                password_hash: Some(None),
                ..UserPatch::default()
            },
            false,
        ),
    ] {
        patch(&mut db, anna.id, change).unwrap();
        assert_eq!(credentials(&mut db, "anna").is_some(), may);
    }
    assert!(credentials(&mut db, "nobody").is_none());
    assert!(credentials(&mut db, "' or 1 --").is_none());
}

#[test]
fn what_cannot_be_is_refused_and_nothing_of_it_is_done() {
    let mut db = memory(1).unwrap();
    let anna = create(&mut db, "anna", &[Permission::ViewLive]);
    let only = Cameras::Only(BTreeSet::from([Uuid::nil()]));
    let administrator = PermissionsPatch {
        administer: Some(true),
        ..PermissionsPatch::default()
    };
    let refused = patch(
        &mut db,
        anna.id,
        UserPatch {
            name: Some("Anne".to_owned()),
            password_hash: Some(None),
            permissions: administrator,
            cameras: Some(only.clone()),
            ..UserPatch::default()
        },
    );
    assert_eq!(
        refused.unwrap_err(),
        UserError::Invalid(InvalidUser::RestrictedAdministrator)
    );
    assert_eq!(users(&mut db), [anna]);
    let bad_name = UserRequest::Create(new_user(" x", &[]));
    assert_eq!(
        ask(&mut db, bad_name).unwrap_err(),
        UserError::Invalid(InvalidUser::NameCharacters)
    );
    for n in 1..MAX_USERS {
        create(&mut db, &format!("user{n}"), &[]);
    }
    let one_more = ask(&mut db, UserRequest::Create(new_user("more", &[]))).unwrap_err();
    assert!(
        one_more.to_string().contains("200 users already"),
        "{one_more}"
    );
}

#[test]
fn the_first_administrator_is_made_once() {
    let mut db = memory(1).unwrap();
    assert!(!any_administrator(&mut db));
    let first = |name, permissions: &[_]| UserRequest::CreateFirst(new_user(name, permissions));
    assert_eq!(
        ask(&mut db, first("anna", &[Permission::Configure])).unwrap_err(),
        UserError::NoAdministrator
    );
    let no_password = NewUser {
        password_hash: None,
        ..new_user("anna", &Permission::ALL)
    };
    assert_eq!(
        ask(&mut db, UserRequest::CreateFirst(no_password)).unwrap_err(),
        UserError::NoAdministrator
    );
    assert!(users(&mut db).is_empty());
    ask(&mut db, first("anna", &Permission::ALL)).unwrap();
    assert!(any_administrator(&mut db));
    assert_eq!(
        ask(&mut db, first("mallory", &Permission::ALL)).unwrap_err(),
        UserError::AdministratorExists
    );
}

/// Whoever asks for whatever: once there was somebody who can sign in and mend things, there always
/// is. Else the page would let anybody make the next administrator.
#[test]
fn there_is_always_an_administrator() {
    let mut refused = 0;
    for seed in 0..20 {
        let mut db = memory(1).unwrap();
        let mut rng = Pcg64::seed_from_u64(seed);
        create(&mut db, "first", &Permission::ALL);
        for step in 0..100 {
            let present = users(&mut db);
            let chosen = &present[rng.next_u32() as usize % present.len()];
            let said = |n: u32| [None, Some(true), Some(false), Some(false)][n as usize % 4];
            let request = match rng.next_u32() % 5 {
                0 => UserRequest::Delete(chosen.id),
                1 => UserRequest::Create(new_user(
                    &format!("user{step}"),
                    &Permission::ALL[rng.next_u32() as usize % 7..],
                )),
                _ => UserRequest::Patch {
                    user: chosen.id,
                    patch: Box::new(UserPatch {
                        disabled: said(rng.next_u32()),
                        permissions: PermissionsPatch {
                            admin_users: said(rng.next_u32()),
                            ..PermissionsPatch::default()
                        },
                        password_hash: match rng.next_u32() % 4 {
                            0 => Some(None),
                            1 => Some(Some(Secret("other".to_owned()))),
                            _ => None,
                        },
                        ..UserPatch::default()
                    }),
                    keep: None,
                },
            };
            let before = present.clone();
            match ask(&mut db, request) {
                Ok(_) => {}
                Err(UserError::LastAdministrator) => {
                    refused += 1;
                    assert_eq!(users(&mut db), before, "seed {seed}, step {step}");
                }
                Err(other) => panic!("seed {seed}, step {step}: {other}"),
            }
            let administrators = users(&mut db)
                .into_iter()
                .filter(|u| u.permissions.has(Permission::Administer))
                .filter(|u| u.has_password && !u.disabled);
            assert!(administrators.count() > 0, "seed {seed}, step {step}");
            assert!(any_administrator(&mut db));
        }
    }
    assert!(refused > 20, "{refused}: the test tries too little");
}

#[test]
fn a_password_hash_is_never_shown() {
    let request = UserRequest::Create(new_user("anna", &Permission::ALL));
    let shown = format!("{request:?}");
    assert!(
        shown.contains("anna") && !shown.contains("hash of"),
        "{shown}"
    );
    let mut db = memory(1).unwrap();
    ask(&mut db, request).unwrap();
    let shown = format!("{:?}", credentials(&mut db, "anna").unwrap());
    assert!(!shown.contains("hash of"), "{shown}");
}

#[test]
fn a_newer_programs_permissions_are_not_ours_to_grant() {
    let mut db = memory(1).unwrap();
    let anna = create(&mut db, "anna", &[Permission::ViewLive]);
    db.connection
        .execute("update user set permissions = permissions | 4096", [])
        .unwrap();
    assert_eq!(
        user(ask(&mut db, UserRequest::Get(anna.id))).permissions,
        Permissions::from_iter([Permission::ViewLive])
    );
}

#[test]
fn a_database_of_version_2_gets_the_tables() {
    let temp = tempfile::TempDir::new().unwrap();
    /// Every table and index, without comments and white space.
    fn schema(db: &Database) -> Vec<String> {
        let mut select = db
            .connection
            .prepare("select sql from sqlite_schema where sql is not null order by name")
            .unwrap();
        let sql = select.query_map([], |r| r.get::<_, String>(0)).unwrap();
        sql.map(|sql| {
            let sql = sql.unwrap();
            let bare = sql.lines().map(|l| l.split("--").next().unwrap_or(l));
            bare.flat_map(str::split_whitespace).collect()
        })
        .collect()
    }
    let db = Database::open(temp.path(), Mode::Create, 1).unwrap();
    let fresh = schema(&db);
    db.connection.execute_batch(UNDO_3).unwrap();
    assert!(schema(&db).len() < fresh.len());
    drop(db);
    assert_eq!(upgrade(temp.path(), &mut |_| {}).unwrap(), 2);
    let mut db = Database::open(temp.path(), Mode::ReadWrite, 1).unwrap();
    assert_eq!(schema(&db), fresh);
    create(&mut db, "anna", &Permission::ALL);
}
