//! Requests right after the start, while the disk is looked at and nothing is recorded yet.

use super::*;
use crate::access::Permission;
use crate::config::{HttpConfig, Listen};

fn served() -> Config {
    let mut http = HttpConfig::new(Listen::Tcp("127.0.0.1:8080".parse().unwrap()));
    http.allow_unauthenticated = Permission::ALL.to_vec();
    Config {
        http: vec![http],
        ..config(&[URL], 1)
    }
}

impl Board {
    /// Somebody asks for something of the first camera.
    fn ask(&mut self, path: &str) -> ConnId {
        let camera = self.nvr.cameras[0].uuid;
        self.get(&format!("/api/cameras/{camera}/{path}"))
    }

    fn get(&mut self, path: &str) -> ConnId {
        let conn = self.nvr.allocate_conn();
        self.tell(Event::Accepted {
            conn,
            listener: 0,
            peer: Some(([127, 0, 0, 1], 40_000).into()),
            uid: None,
            tls: false,
        });
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let bytes = head.as_bytes();
        self.tell(Event::Received { conn, bytes });
        conn
    }

    /// The status that it was answered with, if it was.
    fn status(&self, asked: ConnId) -> Option<u16> {
        self.actions.iter().find_map(|a| match a {
            Action::Send { conn, bytes } if *conn == asked => {
                let head = String::from_utf8_lossy(bytes);
                Some(head[9..12].parse().unwrap())
            }
            _ => None,
        })
    }

    /// The helper was asked for a picture.
    fn pictures(&self) -> usize {
        let asked = |a: &&Action| matches!(a, Action::Helper { .. });
        self.actions.iter().filter(asked).count()
    }

    /// A recorder that was started anew: a minute was recorded before.
    fn started_anew() -> Board {
        let mut before = Board::new(Nvr::new(served(), 1));
        before.pass(0);
        before.answer_all();
        (0..20).for_each(|_| before.frame(&[1], 1_000));
        before.answer_all();
        before.tell(Event::Shutdown);
        for _ in 0..3 {
            before.pass(1_000);
            before.answer_all();
        }
        assert!(before.actions.iter().any(|a| matches!(a, Action::Exit)));
        let mut board = Board {
            nvr: Nvr::new(served(), 2),
            actions: VecDeque::new(),
            disk: VecDeque::new(),
            ..before
        };
        board.tell(Event::Timeout);
        board.pass(0);
        board
    }
}

fn is_attach(r: &DiskRequest) -> bool {
    matches!(r, DiskRequest::Attach { .. })
}

/// A thumbnail of what was recorded before.
fn thumbnail() -> String {
    let at = Wall90k::from_unix_secs(START_SECS + 1).0;
    format!("main/snapshot.jpg?time90k={at}&width=320")
}

#[test]
fn nothing_is_answered_before_it_is_known_what_there_is() {
    let mut board = Board::started_anew();
    let camera = board.nvr.cameras[0].uuid;
    let path = format!("/api/cameras/{camera}/main/recordings");
    board.nvr = Nvr::new(served(), 3);
    board.actions.clear();
    board.hanging = Some(Vec::new());
    board.tell(Event::Timeout);
    let (conn, health) = (board.get(&path), board.get("/healthz"));
    assert_eq!((board.status(conn), board.status(health)), (None, None));
    board.database_is_back();
    assert_eq!(board.status(conn), Some(200));
    assert_eq!(board.status(health), Some(200));

    // A database that does not answer keeps nobody for long.
    board.nvr = Nvr::new(served(), 4);
    board.actions.clear();
    board.hanging = Some(Vec::new());
    board.tell(Event::Timeout);
    let health = board.get("/healthz");
    board.pass(9_000);
    assert_eq!(board.status(health), None);
    board.pass(1_500);
    assert_eq!(board.status(health), Some(200));
}

#[test]
fn a_picture_of_before_waits_for_its_disk() {
    let mut board = Board::started_anew();
    let conn = board.ask(&thumbnail());
    assert_eq!((board.status(conn), board.pictures()), (None, 0));
    board.answer_those(is_attach);
    board.answer_those(|r| matches!(r, DiskRequest::Open { .. } | DiskRequest::Read { .. }));
    assert_eq!((board.status(conn), board.pictures()), (None, 1));
}

#[test]
fn a_picture_is_refused_when_its_disk_does_not_come() {
    let mut board = Board::started_anew();
    let waits = board.ask(&thumbnail());
    board.pass(9_000);
    assert_eq!(board.status(waits), None);
    board.pass(1_500);
    assert_eq!(board.status(waits), Some(503));

    // Nor is it waited for any longer once it is known to be away.
    let mut board = Board::started_anew();
    let waits = board.ask(&thumbnail());
    board.fail(is_attach);
    assert_eq!(board.status(waits), Some(503));
    let late = board.ask(&thumbnail());
    assert_eq!(board.status(late), Some(503));
}

#[test]
fn a_picture_is_refused_when_its_disk_is_lost_while_it_is_read() {
    let mut board = Board::started_anew();
    let waits = board.ask(&thumbnail());
    board.answer_those(is_attach);
    board.answer_those(|r| matches!(r, DiskRequest::Open { .. }));
    assert!(
        board
            .disk
            .iter()
            .any(|(_, r)| matches!(r, DiskRequest::Read { .. }))
    );
    assert_eq!(board.status(waits), None);
    board.fail(|r| matches!(r, DiskRequest::Create { .. }));
    assert_eq!(board.status(waits), Some(503));
}

#[test]
fn what_is_of_now_waits_until_something_is_recorded() {
    let mut board = Board::started_anew();
    let asked = ["main/snapshot.jpg", "main/live.m3u8", "index.m3u8"].map(|path| board.ask(path));
    board.answer_all();
    assert_eq!(asked.map(|conn| board.status(conn)), [None; 3]);
    (0..20).for_each(|_| {
        board.frame(&[1], 1_000);
        board.answer_all();
    });
    let [picture, list, variants] = asked;
    assert_eq!((board.status(picture), board.pictures()), (None, 1));
    assert_eq!(board.status(list), Some(200));
    assert_eq!(board.status(variants), Some(200));
}

#[test]
fn what_is_of_now_does_not_wait_for_a_camera_that_is_away() {
    let mut board = Board::started_anew();
    let paths = [
        ("main/snapshot.jpg", 404),
        ("main/live.m3u8", 503),
        ("index.m3u8", 503),
    ];
    let asked = paths.map(|(path, _)| board.ask(path));
    board.answer_all();
    board.pass(9_000);
    assert_eq!(asked.map(|conn| board.status(conn)), [None; 3]);
    board.pass(1_500);
    assert_eq!(
        asked.map(|conn| board.status(conn)),
        paths.map(|(_, status)| Some(status))
    );
    // Later nobody waits.
    for (path, status) in paths {
        let conn = board.ask(path);
        assert_eq!(board.status(conn), Some(status), "{path}");
    }
}
