//! Sessions and tokens: known again while they are good, and by nobody else.

use super::users::{ask as ask_users, create, new_user, patch};
use super::*;
use crate::access::{
    At, Credential, CredentialId, Permission, Permissions, Presented, SESSION_IDLE,
    SESSION_LONGEST, Session, SignedIn, Token, TokenKind, Use, User, UserId,
};
use crate::db::sessions::{MAX_SESSIONS_PER_USER, MAX_TOKENS_PER_USER};
use tempfile::TempDir;

const NOW: At = At {
    wall: TEN,
    trusted: true,
};

fn later(by: Duration90k) -> At {
    At {
        wall: TEN + by,
        trusted: true,
    }
}

fn ask(db: &mut Database, request: SessionRequest) -> Result<SessionReply, UserError> {
    match db.handle(Request::Sessions(request)) {
        Ok(Reply::Sessions(reply)) => Ok(reply),
        Err(Error::User(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn start_request(user: &User, at: At) -> SessionRequest {
    SessionRequest::Start {
        user: user.id,
        verified: Secret(format!("hash of {}", user.name)),
        at,
        user_agent: "Browser/1.0".to_owned(),
        address: "192.0.2.7".to_owned(),
    }
}

fn sign_in(db: &mut Database, user: &User, at: At) -> (Token, SignedIn) {
    match ask(db, start_request(user, at)).unwrap() {
        SessionReply::Started { token, who } => (token, *who),
        other => panic!("{other:?}"),
    }
}

fn make_token(db: &mut Database, user: UserId, mask: Permissions) -> Token {
    let request = SessionRequest::MakeToken {
        user,
        name: "doorbell".to_owned(),
        mask,
        at: TEN,
    };
    match ask(db, request).unwrap() {
        SessionReply::TokenMade { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

fn resume(db: &mut Database, presented: Presented, at: At) -> Option<SignedIn> {
    match ask(db, SessionRequest::Resume { presented, at }).unwrap() {
        SessionReply::SignedIn(who) => who.map(|who| *who),
        other => panic!("{other:?}"),
    }
}

fn sessions(db: &mut Database, of: Option<UserId>) -> Vec<Session> {
    match ask(db, SessionRequest::List { of }).unwrap() {
        SessionReply::Sessions(sessions) => sessions,
        other => panic!("{other:?}"),
    }
}

fn session(who: &SignedIn) -> Session {
    match &who.credential {
        Credential::Session { session, .. } => session.clone(),
        other => panic!("{other:?}"),
    }
}

fn anna_and_bert() -> (Database, User, User) {
    let mut db = memory(1).unwrap();
    let anna = create(&mut db, "anna", &Permission::ALL);
    let bert = create(&mut db, "bert", &[Permission::ViewLive]);
    (db, anna, bert)
}

#[test]
fn a_session_is_known_again_by_its_token_alone() {
    let (mut db, anna, bert) = anna_and_bert();
    let (token, begun) = sign_in(&mut db, &anna, NOW);
    let (other, _) = sign_in(&mut db, &bert, NOW);
    assert_ne!(token, other);
    let resumed = resume(&mut db, token.presented(), NOW).unwrap();
    assert_eq!(resumed, begun);
    assert_eq!(resumed.user, anna);
    assert_eq!(resumed.csrf(), begun.csrf());
    let s = session(&resumed);
    assert_eq!((s.created, s.last_use), (TEN, TEN));
    assert_eq!((&*s.user_agent, &*s.address), ("Browser/1.0", "192.0.2.7"));
    assert_eq!(resume(&mut db, other.presented(), NOW).unwrap().user, bert);
    // Nobody's; and a session's where an API token belongs.
    let nobodys = Token::new(TokenKind::Session, [9; 32]).presented();
    let misplaced = Presented {
        kind: TokenKind::Api,
        ..token.presented()
    };
    for presented in [nobodys, misplaced] {
        assert_eq!(resume(&mut db, presented, NOW), None);
    }
}

#[test]
fn the_database_holds_nothing_to_sign_in_with() {
    let (mut db, anna, _) = anna_and_bert();
    let (session, _) = sign_in(&mut db, &anna, NOW);
    let api = make_token(&mut db, anna.id, Permissions::all());
    let dump: Vec<Vec<u8>> = {
        let mut select = db
            .connection
            .prepare("select token_hash from session union all select token_hash from api_token")
            .unwrap();
        let rows = select.query_map([], |r| r.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(dump.len(), 2);
    for token in [session, api] {
        let hash = token.presented().hash.0.to_vec();
        assert!(dump.contains(&hash));
        // What is stored, shown as a token, is nobody's.
        let bytes = hash.try_into().unwrap();
        for kind in [TokenKind::Session, TokenKind::Api] {
            let forged = Token::new(kind, bytes).presented();
            assert_eq!(resume(&mut db, forged, NOW), None);
        }
    }
}

#[test]
fn a_session_that_is_over_is_not_known_any_more() {
    let (mut db, anna, bert) = anna_and_bert();
    let (token, who) = sign_in(&mut db, &anna, NOW);
    let idle = later(SESSION_IDLE);
    assert!(resume(&mut db, token.presented(), idle).is_none());
    let unset = At {
        trusted: false,
        ..idle
    };
    assert!(resume(&mut db, token.presented(), unset).is_some());
    let revoke = |session, of| SessionRequest::Revoke {
        session,
        of,
        at: TEN,
    };
    let id = session(&who).id;
    assert_eq!(
        ask(&mut db, revoke(id, Some(bert.id))).unwrap_err(),
        UserError::UnknownSession
    );
    assert!(resume(&mut db, token.presented(), NOW).is_some());
    ask(&mut db, revoke(id, Some(anna.id))).unwrap();
    assert!(resume(&mut db, token.presented(), NOW).is_none());
    assert_eq!(sessions(&mut db, Some(anna.id))[0].revoked, Some(TEN));
    // Twice is no error, and the first time counts.
    let again = SessionRequest::Revoke {
        session: id,
        of: None,
        at: TEN + MINUTE,
    };
    ask(&mut db, again).unwrap();
    assert_eq!(sessions(&mut db, None)[0].revoked, Some(TEN));
}

#[test]
fn a_session_begins_only_with_the_password_of_now() {
    let (mut db, anna, bert) = anna_and_bert();
    let refused = |db: &mut Database, user: &User| {
        let error = ask(db, start_request(user, NOW)).unwrap_err();
        assert_eq!(error, UserError::Changed);
    };
    // While it was being verified, it was changed, taken away, or the user disabled.
    let other = UserPatch {
        password_hash: Some(Some(Secret("other".to_owned()))),
        ..UserPatch::default()
    };
    patch(&mut db, anna.id, other).unwrap();
    refused(&mut db, &anna);
    let disabled = UserPatch {
        disabled: Some(true),
        ..UserPatch::default()
    };
    patch(&mut db, bert.id, disabled).unwrap();
    refused(&mut db, &bert);
    let carl = create(&mut db, "carl", &[]);
    let none = UserPatch {
        password_hash: Some(None),
        ..UserPatch::default()
    };
    patch(&mut db, carl.id, none).unwrap();
    refused(&mut db, &carl);
    ask_users(&mut db, UserRequest::Delete(carl.id)).unwrap();
    assert_eq!(
        ask(&mut db, start_request(&carl, NOW)).unwrap_err(),
        UserError::UnknownUser
    );
    assert_eq!(count(&db, "session"), 0);
}

#[test]
fn a_new_password_ends_all_sessions_but_the_one_that_asks() {
    let (mut db, anna, bert) = anna_and_bert();
    let tokens: Vec<_> = (0..3).map(|_| sign_in(&mut db, &anna, NOW)).collect();
    let (berts, _) = sign_in(&mut db, &bert, NOW);
    let good = |db: &mut Database| -> Vec<bool> {
        let tokens = tokens.iter().map(|(t, _)| t).chain([&berts]);
        tokens
            .map(|t| resume(db, t.presented(), NOW).is_some())
            .collect()
    };
    let request = UserRequest::Patch {
        user: anna.id,
        patch: Box::new(UserPatch {
            password_hash: Some(Some(Secret("new".to_owned()))),
            ..UserPatch::default()
        }),
        keep: Some(session(&tokens[1].1).id),
    };
    // What changes no password ends nothing.
    patch(&mut db, anna.id, UserPatch::default()).unwrap();
    assert_eq!(good(&mut db), [true; 4]);
    ask_users(&mut db, request).unwrap();
    assert_eq!(good(&mut db), [false, true, false, true]);
}

#[test]
fn a_disabled_user_is_out_at_once_and_its_sessions_for_good() {
    let (mut db, _, bert) = anna_and_bert();
    let (cookie, _) = sign_in(&mut db, &bert, NOW);
    let api = make_token(&mut db, bert.id, Permissions::all());
    let mut good_after = |disabled| {
        let change = UserPatch {
            disabled: Some(disabled),
            ..UserPatch::default()
        };
        patch(&mut db, bert.id, change).unwrap();
        [&cookie, &api].map(|t| resume(&mut db, t.presented(), NOW).is_some())
    };
    assert_eq!(good_after(true), [false, false]);
    // The token is its own password, which nobody has changed.
    assert_eq!(good_after(false), [false, true]);
    ask_users(&mut db, UserRequest::Delete(bert.id)).unwrap();
    assert_eq!(resume(&mut db, api.presented(), NOW), None);
    assert_eq!(count(&db, "session") + count(&db, "api_token"), 0);
}

#[test]
fn sessions_are_bounded_and_the_useless_go_first() {
    let (mut db, anna, bert) = anna_and_bert();
    sign_in(&mut db, &bert, NOW);
    let mut ids = Vec::new();
    for n in 0..MAX_SESSIONS_PER_USER {
        let (_, who) = sign_in(&mut db, &anna, later(Duration90k(n.into())));
        ids.push(session(&who).id);
    }
    // One was ended; of the others, the first was not used for longest.
    let ended = SessionRequest::Revoke {
        session: ids[20],
        of: None,
        at: TEN,
    };
    ask(&mut db, ended).unwrap();
    sign_in(&mut db, &anna, later(MINUTE));
    sign_in(&mut db, &anna, later(MINUTE));
    let kept: Vec<_> = sessions(&mut db, Some(anna.id))
        .iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(kept.len(), MAX_SESSIONS_PER_USER as usize);
    assert!(!kept.contains(&ids[20]) && !kept.contains(&ids[0]));
    assert!(kept.contains(&ids[1]));
    assert_eq!(sessions(&mut db, Some(bert.id)).len(), 1);
    assert_eq!(sessions(&mut db, None).len(), kept.len() + 1);
}

#[test]
fn what_a_browser_says_of_itself_is_cut() {
    let (mut db, anna, _) = anna_and_bert();
    let request = SessionRequest::Start {
        user: anna.id,
        verified: Secret("hash of anna".to_owned()),
        at: NOW,
        user_agent: format!("a\r\n\x1b[2Jb{}", "é".repeat(10_000)),
        address: "1".repeat(1000),
    };
    ask(&mut db, request).unwrap();
    let kept = &sessions(&mut db, None)[0];
    assert!(kept.user_agent.starts_with("a[2Jbé"));
    assert_eq!(kept.user_agent.chars().count(), 256);
    assert_eq!(kept.address.len(), 64);
}

#[test]
fn uses_are_written_with_a_commit() {
    let (mut db, anna, _) = anna_and_bert();
    start(&mut db, &["/a"], &[camera("driveway")]);
    let (cookie, who) = sign_in(&mut db, &anna, NOW);
    let api = make_token(&mut db, anna.id, Permissions::all());
    let api_who = resume(&mut db, api.presented(), NOW).unwrap();
    let uses = |at| {
        let of = |of| Use { of, at };
        let gone = CredentialId::Session(crate::access::SessionId(99));
        vec![of(who.id()), of(api_who.id()), of(gone)]
    };
    let request = Flush {
        uses: uses(TEN + MINUTE),
        ..Flush::default()
    };
    flush(&mut db, request).unwrap();
    let last_uses = |db: &mut Database| {
        let cookie = resume(db, cookie.presented(), NOW).unwrap();
        match resume(db, api.presented(), NOW).unwrap().credential {
            Credential::Token(token) => (session(&cookie).last_use, token.last_use),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(last_uses(&mut db), (TEN + MINUTE, Some(TEN + MINUTE)));
    let two = TEN + MINUTE + MINUTE;
    ask(&mut db, SessionRequest::Uses(uses(two))).unwrap();
    assert_eq!(last_uses(&mut db), (two, Some(two)));
    let kept = &sessions(&mut db, None)[0];
    assert_eq!((kept.created, kept.expires), (TEN, TEN + SESSION_LONGEST));
    assert_eq!(
        *kept,
        Session {
            last_use: two,
            ..session(&who)
        }
    );
}

#[test]
fn a_session_of_before_the_clock_was_set_begins_at_its_next_use() {
    let (mut db, anna, _) = anna_and_bert();
    let unset = At {
        wall: Wall90k(0),
        trusted: false,
    };
    let (cookie, who) = sign_in(&mut db, &anna, unset);
    let mut resumed = resume(&mut db, cookie.presented(), NOW).unwrap();
    assert_eq!(resumed, who);
    let use_ = Use {
        of: who.id(),
        at: TEN,
    };
    ask(&mut db, SessionRequest::Uses(vec![use_])).unwrap();
    // As the rule says.
    if let Credential::Session { session, .. } = &mut resumed.credential {
        session.used(TEN);
    }
    let written = resume(&mut db, cookie.presented(), NOW).unwrap();
    assert_eq!(written, resumed);
    assert!(resume(&mut db, cookie.presented(), later(SESSION_IDLE)).is_none());
}

#[test]
fn tokens_are_made_told_once_and_removed() {
    let (mut db, anna, bert) = anna_and_bert();
    let mask = Permissions::from_iter([Permission::UpdateSignals]);
    let token = make_token(&mut db, anna.id, mask);
    let who = resume(&mut db, token.presented(), later(SESSION_LONGEST)).unwrap();
    assert_eq!(who.permissions(), mask);
    assert_eq!(who.user, anna);
    let listed = |db: &mut Database, of| match ask(db, SessionRequest::ListTokens { of }).unwrap() {
        SessionReply::Tokens(tokens) => tokens,
        other => panic!("{other:?}"),
    };
    assert_eq!(listed(&mut db, Some(bert.id)), []);
    let all = listed(&mut db, None);
    assert_eq!((all.len(), &*all[0].name), (1, "doorbell"));
    let remove = |of| SessionRequest::RemoveToken {
        token: all[0].id,
        of,
    };
    assert_eq!(
        ask(&mut db, remove(Some(bert.id))).unwrap_err(),
        UserError::UnknownToken
    );
    ask(&mut db, remove(Some(anna.id))).unwrap();
    assert_eq!(resume(&mut db, token.presented(), NOW), None);
    assert_eq!(
        ask(&mut db, remove(None)).unwrap_err(),
        UserError::UnknownToken
    );
    for _ in 0..MAX_TOKENS_PER_USER {
        make_token(&mut db, anna.id, mask);
    }
    let one_more = |user| SessionRequest::MakeToken {
        user,
        name: String::new(),
        mask,
        at: TEN,
    };
    assert!(matches!(
        ask(&mut db, one_more(anna.id)),
        Err(UserError::TooMany { .. })
    ));
    assert_eq!(
        ask(&mut db, one_more(UserId(99))).unwrap_err(),
        UserError::UnknownUser
    );
}

#[test]
fn tokens_are_repeatable_in_a_simulation_and_nowhere_else() {
    let of = |mut db: Database| {
        let anna = create(&mut db, "anna", &Permission::ALL);
        let (token, who) = sign_in(&mut db, &anna, NOW);
        (token.to_text(), who.csrf())
    };
    assert_eq!(of(memory(7).unwrap()), of(memory(7).unwrap()));
    assert_ne!(of(memory(7).unwrap()), of(memory(8).unwrap()));
    let real = || {
        let temp = TempDir::new().unwrap();
        of(Database::open(temp.path(), Mode::Create, 7).unwrap())
    };
    let (one, other) = (real(), real());
    assert_ne!(one.0, other.0);
    assert_ne!(one.1, other.1);
}

#[test]
fn who_only_looks_may_sign_in_nobody_but_knows_them() {
    let temp = TempDir::new().unwrap();
    let mut db = Database::open(temp.path(), Mode::Create, 1).unwrap();
    let anna = create(&mut db, "anna", &Permission::ALL);
    let (token, _) = sign_in(&mut db, &anna, NOW);
    let mut looking = Database::open(temp.path(), Mode::ReadOnly, 1).unwrap();
    assert!(resume(&mut looking, token.presented(), NOW).is_some());
    let refused = looking.handle(Request::Sessions(start_request(&anna, NOW)));
    assert!(matches!(refused, Err(Error::ReadOnly)));
}

#[test]
fn users_are_changed_beside_a_recorder_and_nothing_else() {
    let temp = TempDir::new().unwrap();
    let mut recorder = Database::open(temp.path(), Mode::Create, 1).unwrap();
    start(&mut recorder, &["/a"], &[camera("driveway")]);
    assert!(matches!(
        Database::open(temp.path(), Mode::ReadWrite, 1),
        Err(Error::Locked(_))
    ));
    let mut beside = Database::open(temp.path(), Mode::Beside, 1).unwrap();
    let made = create(&mut beside, "anna", &Permission::ALL);
    let seen = sign_in(&mut recorder, &made, NOW).1.user;
    assert_eq!(seen, made);
    for request in [
        Request::Start {
            wall: TEN,
            sample_dirs: dirs(&["/b"]),
            cameras: Vec::new(),
        },
        Request::Flush(Box::default()),
        Request::DirAttached { dir: DirId(1) },
    ] {
        let refused = beside.handle(request).unwrap_err().to_string();
        assert!(refused.contains("another moonfire-nvr"), "{refused}");
    }
    // The recorder goes on.
    flush(&mut recorder, Flush::default()).unwrap();
}

#[test]
fn what_another_program_writes_is_noticed_and_nothing_else() {
    let temp = TempDir::new().unwrap();
    let mut recorder = Database::open(temp.path(), Mode::Create, 1).unwrap();
    start(&mut recorder, &["/a"], &[camera("driveway")]);
    let mut beside = Database::open(temp.path(), Mode::Beside, 1).unwrap();
    let look = |db: &mut Database| match ask(db, SessionRequest::ChangesOfOthers).unwrap() {
        SessionReply::ChangesOfOthers(seen) => seen,
        other => panic!("{other:?}"),
    };
    let before = look(&mut recorder);
    flush(&mut recorder, Flush::default()).unwrap();
    create(&mut recorder, "bert", &[]);
    assert_eq!(look(&mut recorder), before);
    ask_users(&mut beside, UserRequest::List).unwrap();
    assert_eq!(look(&mut recorder), before);
    create(&mut beside, "anna", &Permission::ALL);
    let after = look(&mut recorder);
    assert_ne!(after, before);
    assert_eq!(look(&mut recorder), after);
}

#[test]
fn nobody_writes_beside_an_upgrade() {
    let temp = TempDir::new().unwrap();
    let upgrading = Database::open(temp.path(), Mode::Create, 1).unwrap();
    let mut beside = Database::open(temp.path(), Mode::Beside, 1).unwrap();
    let mut refused = || {
        let request = Request::Users(UserRequest::Create(new_user("anna", &[])));
        beside.handle(request).unwrap_err()
    };
    let set = |sql| upgrading.connection.execute_batch(sql).unwrap();
    set("update meta set upgrade_to = 1000, upgrade_position = 0");
    assert!(matches!(refused(), Error::NewSchema { .. }));
    set("update meta set upgrade_to = null; pragma user_version = 1000");
    assert!(matches!(refused(), Error::NewSchema { .. }));
    set("pragma user_version = 0");
    assert!(matches!(refused(), Error::OldSchema { .. }));
}
