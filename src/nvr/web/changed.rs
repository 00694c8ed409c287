//! What is put right when the database has answered a change: what the core remembers of users,
//! sessions and signals, and whoever watches by a right that is over.
//!
//! It is done whether or not the client that asked is still there: what was ended is over when the
//! database says so.

use super::Doing;
use crate::access::{
    CredentialId, PermissionsPatch, SessionId, SignedIn, SignedInCache, TokenId, UserId,
};
use crate::db::{
    self, Reply, SessionRequest, SignalId, SignalReply, SignalRequest, SignalType, UserPatch,
    UserRequest,
};
use crate::nvr::Nvr;
use crate::nvr::port::ConnId;
use crate::recording::StreamId;
use crate::time::{Now, Wall90k};

/// What a request changes that the core keeps a copy of.
pub enum Changed {
    /// A user, and what it may if `rights`.
    User {
        user: UserId,
        rights: bool,
    },
    Session(SessionId),
    Token(TokenId),
    SignalType(SignalType),
    /// One more, which the answer tells of.
    SignalMade,
    SignalRemoved(SignalId),
    /// Which cameras there are; the answer tells.
    Cameras,
    /// Settings were restored: cameras and users.
    Restored,
}

impl Changed {
    /// Looked at before the request is sent.
    pub fn by(request: &db::Request) -> Option<Changed> {
        Some(match request {
            db::Request::Users(UserRequest::Patch { user, patch, .. }) => Changed::User {
                user: *user,
                rights: changes_rights(patch),
            },
            db::Request::Users(UserRequest::Delete(user)) => Changed::User {
                user: *user,
                rights: true,
            },
            db::Request::Sessions(SessionRequest::Revoke { session, .. }) => {
                Changed::Session(*session)
            }
            db::Request::Sessions(SessionRequest::RemoveToken { token, .. }) => {
                Changed::Token(*token)
            }
            db::Request::Signals(SignalRequest::PutType(kind)) => Changed::SignalType(kind.clone()),
            db::Request::Signals(SignalRequest::Make(_)) => Changed::SignalMade,
            db::Request::Signals(SignalRequest::Remove(id)) => Changed::SignalRemoved(*id),
            db::Request::Cameras(_) => Changed::Cameras,
            db::Request::Restore { .. } => Changed::Restored,
            _ => return None,
        })
    }
}

/// Whether more is changed than a name and what a page remembers.
fn changes_rights(patch: &UserPatch) -> bool {
    patch.password_hash.is_some()
        || patch.permissions != PermissionsPatch::default()
        || patch.cameras.is_some()
        || patch.disabled.is_some()
}

impl Nvr {
    /// The database has made a change.
    pub(super) fn changed(&mut self, now: Now, changed: Changed, reply: &Reply) {
        match (changed, reply) {
            (Changed::User { user, rights }, _) => {
                self.web.signed_in.forget_user(user);
                if rights {
                    self.end_views(now, |who| who.user.id == user);
                }
            }
            (Changed::Session(id), _) => {
                self.web.signed_in.forget_session(id);
                self.end_views(now, |who| who.id() == CredentialId::Session(id));
            }
            (Changed::Token(id), _) => {
                self.web.signed_in.forget_token(id);
                self.end_views(now, |who| who.id() == CredentialId::Token(id));
            }
            (Changed::SignalType(kind), _) => self.web.signals.put_type(kind),
            (Changed::SignalMade, Reply::Signals(SignalReply::Signal(signal))) => {
                self.web.signals.put(signal.clone());
            }
            (Changed::SignalMade, _) => {}
            (Changed::Cameras, Reply::Cameras(reply)) => self.cameras_changed(now, &reply.snapshot),
            (Changed::Cameras, _) => {}
            (Changed::Restored, Reply::Restored(restored)) => {
                // What was remembered of users is asked for again.
                self.web.signed_in = SignedInCache::default();
                if let Some(snapshot) = &restored.snapshot {
                    self.cameras_changed(now, snapshot);
                }
            }
            (Changed::Restored, _) => {}
            (Changed::SignalRemoved(id), _) => self.web.signals.remove(id),
        }
    }

    /// Ends watching what will not come any more, because its camera or stream was removed.
    pub(in crate::nvr) fn end_views_of_removed(&mut self, now: Now) {
        let goes_on = |id| {
            self.streams
                .get(&id)
                .is_some_and(|s| !s.settings.url.is_empty())
        };
        let ended: Vec<ConnId> = self
            .web
            .clients
            .iter()
            .filter(|(_, c)| matches!(&c.doing, Doing::Watching(v) if !goes_on(v.stream())))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in ended {
            self.close_viewer(now, conn, "the camera was removed");
            self.close_client(conn, true);
        }
    }

    /// A stream is gone with all that it had.
    pub(in crate::nvr) fn web_forget_stream(&mut self, stream: StreamId) {
        self.web.calendar.forget(stream);
        self.web.thumbnails.forget(stream, Wall90k(i64::MAX));
    }

    /// Ends what is being shown to some: a page that may still see it asks again.
    pub(super) fn end_views(&mut self, now: Now, whose: impl Fn(&SignedIn) -> bool) {
        let ended: Vec<(ConnId, bool)> = self
            .web
            .clients
            .iter()
            .filter(|(_, c)| c.uses().is_some_and(&whose))
            .map(|(conn, c)| (*conn, matches!(c.doing, Doing::Watching(_))))
            .collect();
        for (conn, watches) in ended {
            self.close_viewer(now, conn, "what lets you see this was changed or has ended");
            // Of a file nothing more goes out, queued or not.
            self.close_client(conn, watches);
        }
    }
}
