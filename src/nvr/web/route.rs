//! Paths of the HTTP interface, as an enum. What a path means is said here and nowhere else.

use crate::access::{SessionId, TokenId, UserId};
use crate::db::{SignalId, StreamKind};
use std::borrow::Cow;
use uuid::Uuid;

/// Something that can be asked for by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A file of the page, by its path.
    Page,
    Health,
    Metrics,
    /// `/api/log`.
    Log,
    /// `/api/system`.
    System,
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
    /// `/api/cameras/<uuid>/index.m3u8`.
    Variants(Uuid),
    /// `/api/init/<id>.mp4` and its account.
    Init {
        id: i64,
        account: bool,
    },
    OfUsers(OfUsers),
    OfSignals(OfSignals),
    OfSetup(OfSetup),
    OfAppliance(OfAppliance),
    OfOnboard(OfOnboard),
}

/// What can be asked about the machine by its administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfAppliance {
    /// `/api/appliance`: how it fares and is set up.
    State,
    /// `/api/appliance/disks`.
    Disks,
    /// `/api/appliance/job`.
    Job,
    /// `/api/appliance/power`.
    Power,
    /// `/api/appliance/update`.
    Update,
    /// `/api/appliance/reset`.
    Reset,
    /// `/api/backup`.
    Backup,
    /// `/api/restore`.
    Restore,
    /// `/api/support`.
    Support,
}

/// What can be asked about cameras that are found on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfOnboard {
    /// `/api/onboard/`: what was found.
    List,
    /// `/api/onboard/search`.
    Search,
    /// `/api/onboard/try`: a user name and password, once on each.
    Try,
    /// `/api/onboard/record`.
    Record,
}

/// What can be asked by those who set up cameras and disks, beside changing [`Route::Camera`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfSetup {
    /// `/api/cameras/`: how they are set up, and new ones.
    Cameras,
    /// `/api/cameras/test`.
    Test,
    /// `/api/retention`.
    Retention,
    /// `/api/disks`.
    Disks,
}

/// What can be asked about users and by those who sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfUsers {
    Login,
    Logout,
    /// The first administrator is made.
    Setup,
    /// `/api/users/` and one of them.
    Users,
    User(UserId),
    /// `/api/sessions/` and one of them.
    Sessions,
    Session(SessionId),
    /// `/api/tokens/` and one of them.
    Tokens,
    Token(TokenId),
}

/// What can be asked about signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfSignals {
    /// `/api/signals`: how states change.
    Changes,
    /// `/api/signals/<id>`.
    Signal(SignalId),
    /// `/api/signalTypes/<uuid>`.
    Type(Uuid),
    /// `/api/signalTypes/<uuid>/signals`.
    OfType(Uuid),
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
    /// `vod.m3u8`: an HLS playlist of what was recorded.
    Playlist,
    /// `live.m3u8`: an HLS playlist of what is being recorded.
    LivePlaylist,
    /// `segment.m4s`: a segment of that, or a part of one.
    LiveSegment,
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
            ["api", "log"] => Route::Log,
            ["api", "system"] => Route::System,
            ["api", "signals"] => Route::OfSignals(OfSignals::Changes),
            ["api", "signals", id] => {
                Route::OfSignals(OfSignals::Signal(SignalId(id.parse().ok()?)))
            }
            ["api", "signalTypes", uuid] => Route::OfSignals(OfSignals::Type(uuid.parse().ok()?)),
            ["api", "signalTypes", uuid, "signals"] => {
                Route::OfSignals(OfSignals::OfType(uuid.parse().ok()?))
            }
            ["api", "init", name] => {
                let (name, account) = account(name);
                let id = name.strip_suffix(".mp4")?.parse().ok()?;
                Route::Init { id, account }
            }
            ["api", "cameras"] | ["api", "cameras", ""] => Route::OfSetup(OfSetup::Cameras),
            ["api", "cameras", "test"] => Route::OfSetup(OfSetup::Test),
            ["api", "onboard"] | ["api", "onboard", ""] => Route::OfOnboard(OfOnboard::List),
            ["api", "onboard", "search"] => Route::OfOnboard(OfOnboard::Search),
            ["api", "onboard", "try"] => Route::OfOnboard(OfOnboard::Try),
            ["api", "onboard", "record"] => Route::OfOnboard(OfOnboard::Record),
            ["api", "retention"] => Route::OfSetup(OfSetup::Retention),
            ["api", "disks"] => Route::OfSetup(OfSetup::Disks),
            ["api", "cameras", uuid] | ["api", "cameras", uuid, ""] => {
                Route::Camera(uuid.parse().ok()?)
            }
            ["api", "cameras", uuid, "index.m3u8"] => Route::Variants(uuid.parse().ok()?),
            ["api", "cameras", uuid, kind, what] => Route::Stream {
                camera: uuid.parse().ok()?,
                kind: StreamKind::ALL.into_iter().find(|k| k.as_str() == *kind)?,
                what: OfStream::of(what)?,
            },
            ["api", "backup"] => Route::OfAppliance(OfAppliance::Backup),
            ["api", "restore"] => Route::OfAppliance(OfAppliance::Restore),
            ["api", "support"] => Route::OfAppliance(OfAppliance::Support),
            ["api", "appliance", of @ ..] => Route::OfAppliance(OfAppliance::of(of)?),
            ["api", of_users @ ..] => Route::OfUsers(OfUsers::of(of_users)?),
            _ => Route::Page,
        })
    }
}

impl OfAppliance {
    fn of(segments: &[&str]) -> Option<OfAppliance> {
        Some(match segments {
            [] | [""] => OfAppliance::State,
            ["disks"] => OfAppliance::Disks,
            ["job"] => OfAppliance::Job,
            ["power"] => OfAppliance::Power,
            ["update"] => OfAppliance::Update,
            ["reset"] => OfAppliance::Reset,
            _ => return None,
        })
    }
}

impl OfUsers {
    fn of(segments: &[&str]) -> Option<OfUsers> {
        Some(match segments {
            ["login"] => OfUsers::Login,
            ["logout"] => OfUsers::Logout,
            ["setup"] => OfUsers::Setup,
            ["users"] | ["users", ""] => OfUsers::Users,
            ["users", id] => OfUsers::User(UserId(id.parse().ok()?)),
            ["sessions"] | ["sessions", ""] => OfUsers::Sessions,
            ["sessions", id] => OfUsers::Session(SessionId(id.parse().ok()?)),
            ["tokens"] | ["tokens", ""] => OfUsers::Tokens,
            ["tokens", id] => OfUsers::Token(TokenId(id.parse().ok()?)),
            _ => return None,
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
            ("vod.m3u8", false) => OfStream::Playlist,
            ("live.m3u8", false) => OfStream::LivePlaylist,
            ("segment.m4s", false) => OfStream::LiveSegment,
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
            ("/api/log", Some(Route::Log)),
            ("/api/system", Some(Route::System)),
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
            (
                "/api/users/3",
                Some(Route::OfUsers(OfUsers::User(UserId(3)))),
            ),
            ("/api/users/x", None),
            ("/api/users/3/", None),
            ("/api/sessions/", Some(Route::OfUsers(OfUsers::Sessions))),
            ("/api/tokens", Some(Route::OfUsers(OfUsers::Tokens))),
            ("/api/setup", Some(Route::OfUsers(OfUsers::Setup))),
            ("/api/signals", Some(Route::OfSignals(OfSignals::Changes))),
            (
                &format!("/api/signalTypes/{uuid}/signals"),
                Some(Route::OfSignals(OfSignals::OfType(camera))),
            ),
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
            (
                &format!("/api/cameras/{uuid}/index.m3u8"),
                Some(Route::Variants(camera)),
            ),
            (
                &format!("/api/cameras/{uuid}/main/live.m3u8"),
                Some(stream(StreamKind::Main, OfStream::LivePlaylist)),
            ),
            (&format!("/api/cameras/{uuid}/sub/live.m4s.txt"), None),
            (&format!("/api/cameras/{uuid}/third/view.mp4"), None),
        ] {
            let segments: Vec<_> = path[1..].split('/').map(Cow::Borrowed).collect();
            assert_eq!(Route::of(&segments), route, "{path}");
        }
    }
}
