//! A request that is one question to the database, before which a password may have to be hashed.

use super::refusal::unexpected;
use super::task::Need;
use crate::config::Secret;
use crate::db::{self, Reply, UserRequest};
use crate::decoder;
use crate::http::Response;

/// How the database's answer is told.
type Tell = Box<dyn FnOnce(Reply) -> Response>;

/// See the module.
pub struct Exchange {
    step: Step,
    tell: Option<Tell>,
}

enum Step {
    /// A password is to be hashed, and its hash to be put into the request.
    Hash(Secret, db::Request),
    /// The helper is at it.
    Hashing(db::Request),
    /// The database is to be asked.
    Ask(db::Request),
    /// It was asked.
    Asked,
    Answered(Response),
}

impl Exchange {
    pub fn new(request: db::Request, tell: impl FnOnce(Reply) -> Response + 'static) -> Exchange {
        Exchange {
            step: Step::Ask(request),
            tell: Some(Box::new(tell)),
        }
    }

    /// A password is hashed first, and goes with the request, which makes or changes a user.
    pub fn with_password(mut self, password: Secret) -> Exchange {
        if let Step::Ask(request) = self.step {
            self.step = Step::Hash(password, request);
        }
        self
    }

    pub fn need(&mut self) -> Need {
        match std::mem::replace(&mut self.step, Step::Asked) {
            Step::Hash(password, request) => {
                self.step = Step::Hashing(request);
                Need::Helper(decoder::Request::HashPassword(password))
            }
            Step::Ask(request) => Need::Database(request),
            step @ (Step::Hashing(_) | Step::Asked | Step::Answered(_)) => {
                self.step = step;
                Need::Nothing
            }
        }
    }

    /// The helper has hashed the password.
    pub fn take_help(&mut self, reply: decoder::Reply) -> Result<(), Box<Response>> {
        let (Step::Hashing(mut request), decoder::Reply::Hash(hash)) =
            (std::mem::replace(&mut self.step, Step::Asked), reply)
        else {
            return Err(Box::new(unexpected()));
        };
        match &mut request {
            db::Request::Users(UserRequest::Create(new)) => new.password_hash = Some(hash),
            db::Request::Users(UserRequest::Patch { patch, .. }) => {
                patch.password_hash = Some(Some(hash));
            }
            _ => return Err(Box::new(unexpected())),
        }
        self.step = Step::Ask(request);
        Ok(())
    }

    /// The database has answered.
    pub fn take(&mut self, reply: Reply) {
        if let Some(tell) = self.tell.take() {
            self.step = Step::Answered(tell(reply));
        }
    }

    pub fn answer(self) -> Response {
        match self.step {
            Step::Answered(response) => response,
            _ => unexpected(),
        }
    }
}
