//! Paths of the HTTP interface, as an enum. What a path means is said here and nowhere else.

use crate::db::StreamKind;
use std::borrow::Cow;
use uuid::Uuid;

/// Something that can be asked for by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A file of the page, by its path.
    Page,
    Health,
    Metrics,
    /// `/api/`.
    TopLevel,
    /// `/api/cameras/<uuid>/`.
    Camera(Uuid),
    /// `/api/cameras/<uuid>/<stream>/...`.
    Stream {
        camera: Uuid,
        kind: StreamKind,
        what: OfStream,
    },
    /// `/api/init/<id>.mp4` and its account.
    Init {
        id: i64,
        account: bool,
    },
    Login,
    Logout,
    /// `/api/users/` and one of them.
    Users,
    User(i64),
    Signals,
}

/// What can be asked of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfStream {
    Recordings,
    /// `gaps`: why the rest is missing.
    Gaps,
    /// `view.mp4`.
    File {
        account: bool,
    },
    /// `view.m4s`.
    Segment {
        account: bool,
    },
    /// `snapshot.jpg`.
    Snapshot,
    /// `scrub.mp4`: sync samples only.
    Scrub,
    /// `live.m4s`, by WebSocket.
    Live,
}

impl Route {
    /// What a path names, given as its segments; `None` if nothing.
    pub fn of(segments: &[Cow<'_, str>]) -> Option<Route> {
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        Some(match segments.as_slice() {
            ["healthz"] => Route::Health,
            ["metrics"] => Route::Metrics,
            ["api"] | ["api", ""] => Route::TopLevel,
            ["api", "login"] => Route::Login,
            ["api", "logout"] => Route::Logout,
            ["api", "users"] | ["api", "users", ""] => Route::Users,
            ["api", "users", id] => Route::User(id.parse().ok()?),
            ["api", "signals"] => Route::Signals,
            ["api", "init", name] => {
                let (name, account) = account(name);
                let id = name.strip_suffix(".mp4")?.parse().ok()?;
                Route::Init { id, account }
            }
            ["api", "cameras", uuid] | ["api", "cameras", uuid, ""] => {
                Route::Camera(uuid.parse().ok()?)
            }
            ["api", "cameras", uuid, kind, what] => Route::Stream {
                camera: uuid.parse().ok()?,
                kind: StreamKind::ALL.into_iter().find(|k| k.as_str() == *kind)?,
                what: OfStream::of(what)?,
            },
            ["api", ..] => return None,
            _ => Route::Page,
        })
    }
}

impl OfStream {
    fn of(name: &str) -> Option<OfStream> {
        let (name, account) = account(name);
        Some(match (name, account) {
            ("recordings", false) => OfStream::Recordings,
            ("gaps", false) => OfStream::Gaps,
            ("view.mp4", account) => OfStream::File { account },
            ("view.m4s", account) => OfStream::Segment { account },
            ("snapshot.jpg", false) => OfStream::Snapshot,
            ("scrub.mp4", false) => OfStream::Scrub,
            ("live.m4s", false) => OfStream::Live,
            _ => return None,
        })
    }
}

/// A name with `.txt` behind it asks for an account of what is named.
fn account(name: &str) -> (&str, bool) {
    match name.strip_suffix(".txt") {
        Some(name) => (name, true),
        None => (name, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_clients_use() {
        let uuid = "3b1a7d3e-40e2-4ba4-8d5b-000000000001";
        let camera = uuid.parse().unwrap();
        let stream = |kind, what| Route::Stream { camera, kind, what };
        for (path, route) in [
            ("/", Some(Route::Page)),
            ("/ui/live.js", Some(Route::Page)),
            ("/api", Some(Route::TopLevel)),
            ("/api/", Some(Route::TopLevel)),
            ("/api/nonsense", None),
            (
                "/api/init/7.mp4",
                Some(Route::Init {
                    id: 7,
                    account: false,
                }),
            ),
            (
                "/api/init/7.mp4.txt",
                Some(Route::Init {
                    id: 7,
                    account: true,
                }),
            ),
            ("/api/init/7", None),
            ("/api/users/3", Some(Route::User(3))),
            (
                &format!("/api/cameras/{uuid}/"),
                Some(Route::Camera(camera)),
            ),
            ("/api/cameras/x/", None),
            (
                &format!("/api/cameras/{uuid}/main/recordings"),
                Some(stream(StreamKind::Main, OfStream::Recordings)),
            ),
            (
                &format!("/api/cameras/{uuid}/sub/view.mp4"),
                Some(stream(StreamKind::Sub, OfStream::File { account: false })),
            ),
            (
                &format!("/api/cameras/{uuid}/sub/view.m4s.txt"),
                Some(stream(StreamKind::Sub, OfStream::Segment { account: true })),
            ),
            (&format!("/api/cameras/{uuid}/sub/live.m4s.txt"), None),
            (&format!("/api/cameras/{uuid}/third/view.mp4"), None),
        ] {
            let segments: Vec<_> = path[1..].split('/').map(Cow::Borrowed).collect();
            assert_eq!(Route::of(&segments), route, "{path}");
        }
    }
}
