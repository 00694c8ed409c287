//! Sessions and API tokens: making them, knowing them again, ending them.

use super::{Database, Error, UserError, users};
use crate::access::{
    ApiToken, At, Credential, CredentialId, CsrfSecret, Permissions, Presented, SESSION_LONGEST,
    Session, SessionId, SignedIn, Token, TokenHash, TokenId, TokenKind, Use, User, UserId,
};
use crate::config::Secret;
use crate::time::Wall90k;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

/// The most sessions that are kept for a user. At the limit a new one takes the place of one that is
/// over, or of the one that was not used for longest.
pub const MAX_SESSIONS_PER_USER: u32 = 50;

/// The most API tokens of a user. At the limit no more are made.
pub const MAX_TOKENS_PER_USER: u32 = 50;

/// The most sessions, or tokens, that a list tells: those used last.
pub const MAX_LISTED: u32 = 1000;

/// A browser's name for itself is kept up to here.
const MAX_USER_AGENT_CHARS: usize = 256;

/// An address is kept up to here; none is longer.
const MAX_ADDRESS_CHARS: usize = 64;

/// The longest name of a token.
pub const MAX_TOKEN_NAME_CHARS: usize = 64;

/// What is asked about sessions and API tokens. Each is one transaction.
#[derive(Debug)]
pub enum SessionRequest {
    /// A password was verified: begin a session. [`SessionReply::Started`].
    Start {
        user: UserId,
        /// What it was verified against ([`super::Credentials`]); if the user's is another by now, the
        /// session is refused.
        verified: Secret,
        at: At,
        user_agent: String,
        /// Empty if there is none.
        address: String,
    },
    /// Whose is this? [`SessionReply::SignedIn`].
    Resume { presented: Presented, at: At },
    /// End a session: [`SessionReply::Done`]. If `of` is given, it must be that user's. One that is over
    /// already is no error.
    Revoke {
        session: SessionId,
        of: Option<UserId>,
        at: Wall90k,
    },
    /// Those of a user, or of all; those that are over too, as long as they are kept; those used last
    /// first: [`SessionReply::Sessions`].
    List { of: Option<UserId> },
    /// [`SessionReply::TokenMade`].
    MakeToken {
        user: UserId,
        /// For people.
        name: String,
        mask: Permissions,
        at: Wall90k,
    },
    /// Those of a user, or of all; the newest first: [`SessionReply::Tokens`].
    ListTokens { of: Option<UserId> },
    /// [`SessionReply::Done`]. If `of` is given, it must be that user's.
    RemoveToken { token: TokenId, of: Option<UserId> },
    /// Has another program written to the database? [`SessionReply::ChangesOfOthers`].
    ChangesOfOthers,
    /// Where no [`super::Flush`] comes that could take them along: [`SessionReply::Done`].
    Uses(Vec<Use>),
}

/// The answer to a [`SessionRequest`].
#[derive(Debug)]
pub enum SessionReply {
    /// The token is told here and never again.
    Started {
        token: Token,
        who: Box<SignedIn>,
    },
    /// `None` if it is unknown or over, or the user is disabled.
    SignedIn(Option<Box<SignedIn>>),
    Sessions(Vec<Session>),
    /// The token itself is told here and never again.
    TokenMade {
        token: Token,
        made: ApiToken,
    },
    Tokens(Vec<ApiToken>),
    /// Another number than before if one has. Says nothing of what this connection wrote, nor about
    /// another opening of the database.
    ChangesOfOthers(i64),
    Done,
}

impl Database {
    pub(super) fn sessions(&mut self, request: SessionRequest) -> Result<SessionReply, Error> {
        match request {
            SessionRequest::Resume { presented, at } => {
                let tx = self.connection.unchecked_transaction()?;
                let who = resume(&tx, presented)?.filter(|who| who.is_good(at));
                Ok(SessionReply::SignedIn(who.map(Box::new)))
            }
            SessionRequest::ChangesOfOthers => {
                let version = self
                    .connection
                    .pragma_query_value(None, "data_version", |r| r.get(0))?;
                Ok(SessionReply::ChangesOfOthers(version))
            }
            SessionRequest::List { of } => Ok(SessionReply::Sessions(list(&self.connection, of)?)),
            SessionRequest::ListTokens { of } => {
                Ok(SessionReply::Tokens(list_tokens(&self.connection, of)?))
            }
            SessionRequest::Start {
                user,
                verified,
                at,
                user_agent,
                address,
            } => {
                let token = Token::new(TokenKind::Session, self.secret_bytes()?);
                let csrf = CsrfSecret(self.secret_bytes()?);
                let tx = self.transaction()?;
                let user = check_verified(&tx, user, &verified)?;
                let session = start(&tx, user.id, at, (&user_agent, &address), &token, csrf)?;
                tx.commit()?;
                let who = Box::new(SignedIn {
                    user,
                    credential: Credential::Session { session, csrf },
                    presented: token.presented(),
                });
                Ok(SessionReply::Started { token, who })
            }
            SessionRequest::MakeToken {
                user,
                name,
                mask,
                at,
            } => {
                let token = Token::new(TokenKind::Api, self.secret_bytes()?);
                let tx = self.transaction()?;
                let made = make_token(&tx, &token, user, &name, mask, at)?;
                tx.commit()?;
                Ok(SessionReply::TokenMade { token, made })
            }
            SessionRequest::Revoke { session, of, at } => {
                self.change_sessions(|tx| revoke(tx, session, of, at))
            }
            SessionRequest::RemoveToken { token, of } => {
                self.change_sessions(|tx| remove_token(tx, token, of))
            }
            SessionRequest::Uses(uses) => self.change_sessions(|tx| write_uses(tx, &uses)),
        }
    }

    fn change_sessions(
        &mut self,
        change: impl FnOnce(&Transaction) -> Result<(), Error>,
    ) -> Result<SessionReply, Error> {
        let tx = self.transaction()?;
        change(&tx)?;
        tx.commit()?;
        Ok(SessionReply::Done)
    }
}

/// The user, if its password is still the one that was verified.
fn check_verified(tx: &Transaction, id: UserId, verified: &Secret) -> Result<User, Error> {
    let user = users::get(tx, id)?;
    let hash: Option<String> = tx.query_row(
        "select password_hash from user where id = ?1",
        [id.0],
        |r| r.get(0),
    )?;
    match hash {
        Some(hash) if hash == verified.0 && !user.disabled => Ok(user),
        _ => Err(UserError::Changed.into()),
    }
}

fn start(
    tx: &Transaction,
    user: UserId,
    at: At,
    (user_agent, address): (&str, &str),
    token: &Token,
    csrf: CsrfSecret,
) -> Result<Session, Error> {
    // Those that are over sort last, then those not used for longest.
    tx.execute(
        "delete from session where id in (
           select id from session where user_id = ?1
           order by revoked_90k is null and expires_90k > ?2 desc, last_use_90k desc, id desc
           limit -1 offset ?3)",
        params![user.0, at.wall.0, MAX_SESSIONS_PER_USER - 1],
    )?;
    tx.execute(
        "insert into session (user_id, token_hash, csrf_secret, created_90k, last_use_90k,
           expires_90k, clock_untrusted, user_agent, address)
         values (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8)",
        params![
            user.0,
            token.presented().hash.0,
            csrf.0,
            at.wall.0,
            (at.wall + SESSION_LONGEST).0,
            !at.trusted,
            cut(user_agent, MAX_USER_AGENT_CHARS),
            cut(address, MAX_ADDRESS_CHARS),
        ],
    )?;
    let id = tx.last_insert_rowid();
    let select = format!("select {SESSION} from session s where s.id = ?1");
    Ok(tx.query_row(&select, [id], session)?)
}

/// The first characters of a text; control characters are no part of it.
fn cut(text: &str, chars: usize) -> String {
    let sane = text.chars().filter(|c| !c.is_control());
    sane.take(chars).collect()
}

/// The columns of a [`Session`].
const SESSION: &str = "s.id, s.user_id, s.created_90k, s.last_use_90k, s.expires_90k, \
    s.clock_untrusted, s.user_agent, s.address, s.revoked_90k";

/// Reads a row of [`SESSION`].
fn session(r: &Row) -> rusqlite::Result<Session> {
    Ok(Session {
        id: SessionId(r.get(0)?),
        user: UserId(r.get(1)?),
        created: Wall90k(r.get(2)?),
        last_use: Wall90k(r.get(3)?),
        expires: Wall90k(r.get(4)?),
        clock_untrusted: r.get(5)?,
        user_agent: r.get(6)?,
        address: r.get(7)?,
        revoked: r.get::<_, Option<i64>>(8)?.map(Wall90k),
    })
}

/// The columns of an [`ApiToken`].
const API_TOKEN: &str = "t.id, t.user_id, t.name, t.permissions, t.created_90k, t.last_use_90k";

/// Reads a row of [`API_TOKEN`].
fn api_token(r: &Row) -> rusqlite::Result<ApiToken> {
    Ok(ApiToken {
        id: TokenId(r.get(0)?),
        user: UserId(r.get(1)?),
        name: r.get(2)?,
        mask: Permissions::from_bits(r.get(3)?),
        created: Wall90k(r.get(4)?),
        last_use: r.get::<_, Option<i64>>(5)?.map(Wall90k),
    })
}

/// Who has shown this, be it over or not.
fn resume(connection: &Connection, presented: Presented) -> Result<Option<SignedIn>, Error> {
    let TokenHash(hash) = presented.hash;
    let credential = match presented.kind {
        TokenKind::Session => connection
            .prepare_cached(&format!(
                "select {SESSION}, s.csrf_secret from session s where s.token_hash = ?1"
            ))?
            .query_row([hash], |r| {
                let csrf = CsrfSecret(r.get(9)?);
                session(r).map(|session| Credential::Session { session, csrf })
            })
            .optional()?,
        TokenKind::Api => connection
            .prepare_cached(&format!(
                "select {API_TOKEN} from api_token t where t.token_hash = ?1"
            ))?
            .query_row([hash], |r| api_token(r).map(Credential::Token))
            .optional()?,
    };
    let Some(credential) = credential else {
        return Ok(None);
    };
    let user = match &credential {
        Credential::Session { session, .. } => session.user,
        Credential::Token(token) => token.user,
    };
    Ok(Some(SignedIn {
        user: users::get(connection, user)?,
        credential,
        presented,
    }))
}

fn revoke(
    tx: &Transaction,
    session: SessionId,
    of: Option<UserId>,
    at: Wall90k,
) -> Result<(), Error> {
    let found = tx.execute(
        "update session set revoked_90k = coalesce(revoked_90k, ?3)
         where id = ?1 and user_id = coalesce(?2, user_id)",
        params![session.0, of.map(|u| u.0), at.0],
    )?;
    match found {
        0 => Err(UserError::UnknownSession.into()),
        _ => Ok(()),
    }
}

fn list(connection: &Connection, of: Option<UserId>) -> Result<Vec<Session>, Error> {
    let mut select = connection.prepare_cached(&format!(
        "select {SESSION} from session s where s.user_id = coalesce(?1, s.user_id)
         order by s.last_use_90k desc, s.id desc limit {MAX_LISTED}"
    ))?;
    let rows = select.query_map([of.map(|u| u.0)], session)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn make_token(
    tx: &Transaction,
    token: &Token,
    user: UserId,
    name: &str,
    mask: Permissions,
    at: Wall90k,
) -> Result<ApiToken, Error> {
    // A row that names no user is SQLite's error, not ours.
    users::get(tx, user)?;
    let tokens: u32 = tx.query_row(
        "select count(*) from api_token where user_id = ?1",
        [user.0],
        |r| r.get(0),
    )?;
    if tokens >= MAX_TOKENS_PER_USER {
        return Err(UserError::TooMany {
            what: "API tokens of this user",
            most: MAX_TOKENS_PER_USER,
        }
        .into());
    }
    tx.execute(
        "insert into api_token (user_id, name, token_hash, permissions, created_90k)
         values (?1, ?2, ?3, ?4, ?5)",
        params![
            user.0,
            cut(name, MAX_TOKEN_NAME_CHARS),
            token.presented().hash.0,
            mask.bits(),
            at.0
        ],
    )?;
    let id = tx.last_insert_rowid();
    let select = format!("select {API_TOKEN} from api_token t where t.id = ?1");
    Ok(tx.query_row(&select, [id], api_token)?)
}

fn list_tokens(connection: &Connection, of: Option<UserId>) -> Result<Vec<ApiToken>, Error> {
    let mut select = connection.prepare_cached(&format!(
        "select {API_TOKEN} from api_token t where t.user_id = coalesce(?1, t.user_id)
         order by t.id desc limit {MAX_LISTED}"
    ))?;
    let rows = select.query_map([of.map(|u| u.0)], api_token)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn remove_token(tx: &Transaction, token: TokenId, of: Option<UserId>) -> Result<(), Error> {
    let found = tx.execute(
        "delete from api_token where id = ?1 and user_id = coalesce(?2, user_id)",
        params![token.0, of.map(|u| u.0)],
    )?;
    match found {
        0 => Err(UserError::UnknownToken.into()),
        _ => Ok(()),
    }
}

/// Writes uses down, as [`Session::used`] does; those of what has gone since are left out.
pub(super) fn write_uses(tx: &Transaction, uses: &[Use]) -> Result<(), Error> {
    for Use { of, at } in uses {
        match of {
            CredentialId::Session(id) => tx
                .prepare_cached(
                    "update session set last_use_90k = ?2,
                       created_90k = iif(clock_untrusted, ?2, created_90k),
                       expires_90k = iif(clock_untrusted, ?3, expires_90k),
                       clock_untrusted = 0
                     where id = ?1",
                )?
                .execute([id.0, at.0, (*at + SESSION_LONGEST).0])?,
            CredentialId::Token(id) => tx
                .prepare_cached("update api_token set last_use_90k = ?2 where id = ?1")?
                .execute([id.0, at.0])?,
        };
    }
    Ok(())
}
