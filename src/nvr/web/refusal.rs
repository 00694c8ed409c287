//! What clients are told when something cannot be done: a status for whose fault it is, and a sentence.

use crate::db::{self, CameraError, SignalError, UserError};
use crate::decoder;
use crate::http::{Response, Status};
use std::time::Duration;

/// How soon to come again when the helper does not answer.
const HELPER_BUSY: Duration = Duration::from_secs(2);

/// 400 with a sentence.
pub fn bad(sentence: &str) -> Box<Response> {
    Box::new(Response::text(Status::BadRequest, sentence))
}

/// A refusal that holds for some time (RFC 9110 section 10.2.3), told in whole seconds.
pub fn later(status: Status, sentence: &str, after: Duration) -> Box<Response> {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let response = Response::text(status, sentence);
    Box::new(response.field("Retry-After", seconds.max(1).to_string()))
}

/// The database or the helper answered something else than what was asked: our own fault.
pub fn unexpected() -> Response {
    Response::text(
        Status::InternalServerError,
        "the recorder does not understand itself",
    )
}

/// What the database's error is told as.
pub fn refused_by_database(error: &db::Error) -> Box<Response> {
    let status = match error {
        db::Error::User(e) => match e {
            UserError::UnknownUser | UserError::UnknownSession | UserError::UnknownToken => {
                Status::NotFound
            }
            UserError::Invalid(_) | UserError::NoAdministrator => Status::BadRequest,
            UserError::Changed => Status::Forbidden,
            UserError::NameTaken
            | UserError::LastAdministrator
            | UserError::AdministratorExists
            | UserError::TooMany { .. } => Status::Conflict,
        },
        db::Error::Signal(e) => match e {
            SignalError::Unknown(_) | SignalError::UnknownType(_) => Status::NotFound,
            SignalError::NameTaken(_) => Status::Conflict,
            _ => Status::BadRequest,
        },
        db::Error::Camera(e) => match e {
            CameraError::Unknown => Status::NotFound,
            CameraError::NameTaken | CameraError::InFile | CameraError::TooMany => Status::Conflict,
            CameraError::NoUrl(_)
            | CameraError::NoStream
            | CameraError::NoName
            | CameraError::OtherHost
            | CameraError::UnknownDir(_) => Status::BadRequest,
        },
        db::Error::Backup(_) => Status::BadRequest,
        db::Error::Full => Status::InsufficientStorage,
        e => {
            let sentence = format!("the database does not answer: {e}");
            return Box::new(Response::text(Status::ServiceUnavailable, &sentence));
        }
    };
    Box::new(Response::text(status, &error.to_string()))
}

/// What the helper says of a password, or what its failing is told as: nothing of whose password it is.
pub fn helped(
    result: Result<decoder::Reply, decoder::Error>,
) -> Result<decoder::Reply, Box<Response>> {
    result.map_err(|e| match e {
        decoder::Error::Unfit(unfit) => bad(&unfit.to_string()),
        _ => later(
            Status::ServiceUnavailable,
            "passwords cannot be looked at now: try again in a little while",
            HELPER_BUSY,
        ),
    })
}

/// A list that would be too long.
pub fn too_many() -> Box<Response> {
    Box::new(Response::text(
        Status::BadRequest,
        "that is more than can be listed at once: ask for a shorter span",
    ))
}
