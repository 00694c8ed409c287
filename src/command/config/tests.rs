//! The screens without a terminal: keys go in, and what is drawn is looked at.

use super::app::App;
use super::draw::lines;
use super::store::Store;
use moonfire_nvr::config::{CameraConfig, Config, Secret, StreamConfig};
use moonfire_nvr::db::{Database, Mode, StreamKind};
use moonfire_nvr::h264::VideoSampleEntry;
use moonfire_nvr::nvr::camera_test::{Failed, Outcomes, Seen, Target};
use moonfire_nvr::time::Duration90k;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use termion::event::Key;

/// The text interface on an empty database, whose file names the camera "attic".
struct Site {
    app: App,
    temp: TempDir,
}

impl Site {
    fn new() -> Site {
        let temp = TempDir::new().unwrap();
        let config = Config {
            file: Some("/etc/moonfire-nvr.toml".into()),
            cameras: vec![CameraConfig {
                name: "attic".to_owned(),
                main: Some(StreamConfig::new("rtsp://192.0.2.1/main")),
                ..CameraConfig::default()
            }],
            ..Config::embedded_default(temp.path())
        };
        super::super::init::init(&config, &mut |_| {}).unwrap();
        let mut store = Store::open(config).unwrap();
        store.look = look;
        Site {
            app: App::new(store),
            temp,
        }
    }

    /// Types this. A few signs stand for keys: up, down, Escape, Enter, Ctrl-O, Ctrl-T, Ctrl-U.
    fn type_in(&mut self, text: &str) -> &mut Site {
        for c in text.chars() {
            self.app.key(match c {
                '↑' => Key::Up,
                '↓' => Key::Down,
                '→' => Key::Right,
                '␛' => Key::Esc,
                '⏎' => Key::Char('\n'),
                '⓪' => Key::Ctrl('o'),
                'ⓣ' => Key::Ctrl('t'),
                'ⓤ' => Key::Ctrl('u'),
                c => Key::Char(c),
            });
        }
        self
    }

    fn screen(&mut self) -> String {
        let area = Rect::new(0, 0, 80, 24);
        let mut buf = Buffer::empty(area);
        self.app.draw(area, &mut buf);
        lines(&buf).join("\n")
    }

    /// Fails unless the screen shows these words, line breaks aside.
    #[track_caller]
    fn shows(&mut self, words: &str) -> &mut Site {
        let screen = self.screen();
        // Without the frames of dialogs.
        let bare = screen.replace(|c| ('\u{2500}'..='\u{257f}').contains(&c), " ");
        let flat = bare.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words:?} is not in\n{screen}");
        self
    }

    /// Waits until the screen shows something, as time passes.
    #[track_caller]
    fn waits_for(&mut self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.screen().contains(words) {
            assert!(Instant::now() < deadline, "{}", self.screen());
            self.app.tick();
            std::thread::yield_now();
        }
    }

    fn cameras(&mut self) -> Vec<String> {
        self.app.store.reload().unwrap();
        self.app.store.cameras().map(|c| c.name.clone()).collect()
    }
}

/// Cameras of these tests have a main stream, and a sub stream if the password is right.
fn look(targets: Vec<(StreamKind, Target)>, _: Arc<AtomicBool>) -> Result<Outcomes, String> {
    let look = |(kind, target): (StreamKind, Target)| {
        let good = kind == StreamKind::Main || target.password == Secret("hunter2".to_owned());
        let outcome = match good {
            true => Ok(Seen {
                entry: Arc::new(VideoSampleEntry {
                    width: 1920,
                    height: 1080,
                    pixel_h_spacing: 1,
                    pixel_v_spacing: 1,
                    rfc6381_codec: "avc1.4d401f".to_owned(),
                    avcc: Vec::new(),
                    reorder_frames: 0,
                }),
                frame_rate: Some(25.0),
                bit_rate: Some(4_000_000),
                key_frame_interval: Some(Duration90k::from_secs(2)),
                lost_packets: 3,
                transport: target.transport,
                clock_offset: Some(Duration90k::from_secs(-7_300)),
                without_key_frame: None,
                key_frame: None,
            }),
            false => Err(Failed {
                kind: "password",
                message: "the camera refuses this user name and password".to_owned(),
            }),
        };
        (kind, outcome)
    };
    Ok(targets.into_iter().map(look).collect())
}

#[test]
fn from_an_empty_database_to_a_camera() {
    let mut site = Site::new();
    site.shows("1 camera, 0 users, 1 sample directory")
        .shows("The recorder is not running")
        .type_in("1a")
        .shows("new camera")
        .type_in("⓪")
        .shows("Not saved. Name: the name is empty")
        .type_in("attic")
        .shows("! there is a camera of that name already")
        .type_in("ⓤdriveway↓above the door↓admin↓hunter2↓⓪")
        .shows("a camera needs the URL of a stream")
        .type_in("http://192.0.2.7/")
        .shows("begins with http: and not with rtsp:")
        .type_in("ⓤrtsp://192.0.2.7/main↓→↓ ↓ⓤ5 pieces")
        .shows("neither a size nor a number of days")
        .type_in("ⓤ500 GB, 30 days⓪")
        .shows("\"driveway\" is saved; the recorder takes it in when it starts.")
        .shows("driveway 192.0.2.7 main here off");
    assert_eq!(site.cameras(), ["attic", "driveway"]);
    let camera = site.app.store.cameras().nth(1).unwrap().clone();
    assert_eq!(
        (&*camera.username, &*camera.password.0),
        ("admin", "hunter2")
    );
    let main = &camera.streams[0];
    assert_eq!((main.transport.as_str(), main.record), ("udp", false));
    assert_eq!(
        (main.retain_bytes, main.retain_days),
        (Some(500_000_000_000), Some(30))
    );
    // What was left alone stays; the password goes nowhere else.
    site.type_in("↓⏎ⓤgarage↓↓↓")
        .shows("(unchanged)")
        .type_in("↓ⓤrtsp://192.0.2.8/main⓪")
        .shows("leads to another host than the password was given for")
        .type_in("ⓤrtsp://192.0.2.7/other⓪")
        .shows("\"garage\" is saved");
    let camera = site.app.store.cameras().nth(1).unwrap().clone();
    assert_eq!((&*camera.name, &*camera.password.0), ("garage", "hunter2"));
    assert_eq!(camera.streams[0].url, "rtsp://192.0.2.7/other");
}

#[test]
fn a_camera_is_tested_before_and_after_it_is_saved() {
    let mut site = Site::new();
    site.type_in("1adriveway↓↓admin↓hunter↓rtsp://192.0.2.7/main↓↓↓↓↓rtsp://192.0.2.7/subⓣ");
    site.waits_for("does not work");
    site.shows("Main stream works Codec H.264 (avc1.4d401f) Size 1920 x 1080 Frames 25 a second")
        .shows("Bit rate 4.00 Mbit/s, which is 43.2 GB a day Key frames every 2.0 s")
        .shows("Clock 2 h 1 min behind this machine's")
        .shows("Lost 3 packets")
        .shows("Worth doing Its clock is 2 hours behind")
        .shows("Sub stream does not work Why the camera refuses this user name and password")
        // What was typed is still there.
        .type_in("␛")
        .shows("[driveway")
        .type_in("↑↑↑↑↑↑2ⓣ");
    site.waits_for("Sub stream     works");
    site.type_in("r");
    site.waits_for("Sub stream     works");
    site.type_in("␛⓪").shows("is saved");
    // As it is stored, from the list.
    site.type_in("↓t");
    site.waits_for("Sub stream     works");
}

#[test]
fn what_the_file_names_is_shown_and_tested_and_not_changed() {
    let mut site = Site::new();
    site.type_in("1⏎")
        .shows("/etc/moonfire-nvr.toml names this camera: change it there")
        .shows("name = \"attic\"")
        .type_in("x")
        .shows("reload moonfire-nvr")
        .type_in("⓪")
        .shows("change it there")
        .type_in("ⓣ");
    site.waits_for("Main stream    works");
    site.type_in("␛␛d").shows("change it there");
    site.type_in("␛2x").shows("change `retain` there");
    site.type_in("␛4d")
        .shows("change it there, in `sample_dirs`");
    assert_eq!(site.cameras(), ["attic"]);
}

#[test]
fn escape_never_loses_what_was_typed_without_asking() {
    let mut site = Site::new();
    site.type_in("1agarden↓↓↓↓rtsp://192.0.2.7/main␛")
        .shows("What you typed here is not saved.")
        .type_in("␛x")
        .shows("mainx")
        .type_in("␛q⏎")
        .shows("s: save and leave")
        .shows("d: leave without saving")
        .shows("Esc: go on typing")
        .type_in("s")
        .shows("\"garden\" is saved");
    site.type_in("abarn␛d").shows("cameras");
    assert_eq!(site.cameras(), ["attic", "garden"]);
    // Nothing typed, nothing asked.
    site.type_in("a␛").shows("Enter edit");
    // A mistake keeps it open.
    site.type_in("a␛abarn␛s").shows("Not saved.").shows("[barn");
    assert!(site.app.is_dirty() && !site.app.has_ended());
    site.app.key(Key::Ctrl('c'));
    assert!(site.app.has_ended());
}

#[test]
fn a_camera_is_removed_with_its_recordings_or_without() {
    let mut site = Site::new();
    for (name, answer, told) in [
        ("one", "k", "its recordings are kept"),
        ("two", "d", "its recordings are being deleted"),
    ] {
        site.type_in(&format!("1a{name}↓↓↓↓rtsp://192.0.2.7/main⓪"));
        site.type_in("↓d")
            .shows("k: remove, keep recordings d: remove and delete them Esc: go back")
            .type_in("␛");
        assert_eq!(site.cameras(), ["attic", name]);
        site.type_in(&format!("d{answer}")).shows(told).type_in("␛");
        assert_eq!(site.cameras(), ["attic"]);
    }
}

#[test]
fn limits_are_edited_with_a_forecast() {
    let mut site = Site::new();
    site.type_in("1agarden↓↓↓↓rtsp://192.0.2.7/main⓪␛2")
        .shows("attic main unlimited (in file)")
        .shows("garden main [unlimited ]")
        .type_in("ⓤ1 TB, x")
        .shows("! \"x\" is neither a size nor a number of days")
        .type_in("⓪")
        .shows("Not saved")
        .type_in("ⓤ1 TB, 30 days")
        .shows("limits add up to 1.00 TB (1 unlimited)")
        .shows("too much: the oldest goes before its time")
        .type_in("␛s")
        .shows("What is kept is saved.");
    let camera = site.app.store.cameras().nth(1).unwrap().clone();
    let main = &camera.streams[0];
    assert_eq!(
        (main.retain_bytes, main.retain_days),
        (Some(1_000_000_000_000), Some(30))
    );
    site.type_in("2⓪").shows("Nothing was changed.");
}

#[test]
fn users_are_made_changed_and_deleted() {
    let mut site = Site::new();
    site.type_in("3")
        .shows("There is no user yet")
        .type_in("aanna↓short")
        .shows("at least 8 characters")
        .type_in(" no more↓short no mor⓪")
        .shows("these two differ")
        .type_in("e⓪")
        .shows("\"anna\" is saved.")
        .shows("anna everything all")
        .type_in("x")
        .shows("last administrator")
        .type_in("dy")
        .shows("last administrator");
    // Bert may watch, and for one camera only. What includes another brings it along.
    site.type_in("abert↓correct horse↓correct horse↓↓↓ ↓ ")
        .shows("Recordings [x] yes > Export [x] yes")
        .type_in("↑ ")
        .shows("> Recordings [ ] no Export [ ] no")
        .type_in("↓↓↓↓↓↓ ↓ ⓪")
        .shows("bert watch live 1 camera");
    site.type_in("↓x")
        .shows("\"bert\" is disabled")
        .shows("bert disabled");
    site.type_in("⏎↓↓↓")
        .shows("Disabled [x] yes")
        .type_in(" ⓪")
        .shows("bert watch live");
    let bert = site.app.store.users[1].clone();
    assert!(bert.has_password && !bert.disabled);
    site.type_in("dy").shows("\"bert\" was deleted.");
    assert_eq!(site.app.store.users.len(), 1);
}

#[test]
fn sample_directories_are_added_and_taken_out_of_use() {
    let mut site = Site::new();
    let more = site.temp.path().join("more").display().to_string();
    site.type_in("4")
        .shows("(in file): new, to be taken by the recorder")
        .type_in("amore")
        .shows("is not a whole path")
        .type_in("ⓤ/nowhere/at/all")
        .shows("there is no folder /nowhere/at")
        .type_in(&format!("ⓤ{more}⓪"))
        .shows("was added")
        .type_in("↓");
    assert!(std::path::Path::new(&more).is_dir());
    assert_eq!(site.app.store.dirs_in_use().count(), 2);
    std::fs::write(format!("{more}/stranger"), "x").unwrap();
    site.app.store.reload().unwrap();
    site.shows("it is not empty, and so not taken as a new one");
    std::fs::remove_dir_all(&more).unwrap();
    site.app.store.reload().unwrap();
    site.shows("there is no such folder: is the disk mounted?");
    site.type_in("d")
        .shows("out of use?")
        .type_in("y")
        .shows("is not recorded to any more");
    assert_eq!(site.app.store.dirs_in_use().count(), 1);
}

#[test]
fn a_running_recorder_is_noticed_and_nothing_taken_from_it() {
    let temp = TempDir::new().unwrap();
    let config = Config::embedded_default(temp.path());
    super::super::init::init(&config, &mut |_| {}).unwrap();
    let recorder = Database::open(&config.db_dir, Mode::ReadWrite, 1).unwrap();
    let mut store = Store::open(config).unwrap();
    assert!(store.recorder_runs);
    drop(recorder);
    store.reload().unwrap();
    assert!(!store.recorder_runs);
}

#[test]
fn no_screen_is_drawn_outside_a_small_terminal() {
    let mut site = Site::new();
    site.type_in("1agarden↓↓↓↓rtsp://192.0.2.7/main⓪␛");
    for place in ["", "1", "1⏎", "1a", "1d", "2", "3", "3a", "4", "4a"] {
        site.type_in(place);
        for (columns, rows) in [(80, 24), (40, 12), (39, 11), (200, 60), (1, 1), (80, 2)] {
            let area = Rect::new(0, 0, columns, rows);
            site.app.draw(area, &mut Buffer::empty(area));
        }
        // Back to the first screen, whatever was typed or asked; a further Escape would end it.
        for _ in 0..9 {
            if !site.screen().contains("q quit") {
                site.type_in("␛");
            }
        }
        site.shows("q quit");
    }
}
