//! What comes of a boot file on a card that is only a folder.

use super::*;
use std::path::PathBuf;
use tempfile::TempDir;

fn card(boot_file: &str) -> (TempDir, Places) {
    let temp = TempDir::new().unwrap();
    let places = Places::new(temp.path(), None);
    fs::create_dir_all(places.boot()).unwrap();
    fs::write(places.boot_file(), boot_file).unwrap();
    (temp, places)
}

fn text(places: &Places, path: &str) -> String {
    fs::read_to_string(places.at(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn a_good_file_comes_into_force_and_tells_nothing() {
    let (_temp, places) = card(
        "[appliance]\nhostname = \"barn\"\ntimezone = \"Europe/Zurich\"\nntp = \"192.0.2.9\"\n\
         [[camera]]\nname = \"a\"\npassword = \"secret\"\nmain.url = \"rtsp://192.0.2.10/main\"\n",
    );
    let loaded = apply(&places);
    assert_eq!(as_text(&loaded.problems), "");
    assert!(!places.problems_text().exists());
    assert_eq!(text(&places, "/run/moonfire-nvr/problems.json"), "[]");
    assert_eq!(text(&places, "/run/moonfire-nvr/hostname"), "barn\n");
    assert!(text(&places, "/run/systemd/timesyncd.conf.d/moonfire-nvr.conf").contains("192.0.2.9"));
    let zone = fs::read_link(places.at("/run/localtime")).unwrap();
    assert_eq!(zone, PathBuf::from("/usr/share/zoneinfo/Europe/Zurich"));
    let config = Config::load(&places.config()).unwrap();
    assert_eq!(config.cameras[0].password.0, "secret");
    assert_eq!(config.sample_dirs, [PathBuf::from(disks::NO_DISK)]);
    let mode = fs::metadata(places.config()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(!write_config(&places, &loaded.config).unwrap());
}

#[test]
fn what_is_wrong_is_told_beside_the_file_until_it_is_right() {
    let (_temp, places) = card("[appliance]\nhostname = \"a b\"\n");
    let loaded = apply(&places);
    assert_eq!(loaded.problems.len(), 1);
    let told = fs::read_to_string(places.problems_text()).unwrap();
    assert!(
        told.contains("moonfire-nvr.toml, line 2, column 12: `hostname`"),
        "{told}"
    );
    let json = text(&places, "/run/moonfire-nvr/problems.json");
    let json: Vec<Told> = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json[0].line, json[0].file.as_str()),
        (Some(2), "moonfire-nvr.toml")
    );
    assert_eq!(
        text(&places, "/run/moonfire-nvr/hostname"),
        "moonfire-nvr\n"
    );
    fs::write(places.boot_file(), "[appliance]\nhostname = \"ab\"\n").unwrap();
    assert_eq!(apply(&places).problems, []);
    assert!(!places.problems_text().exists());
    // Without a boot file, everything is as it comes.
    fs::remove_file(places.boot_file()).unwrap();
    assert_eq!(apply(&places).problems, []);
}

#[test]
fn the_boot_file_goes_before_the_page_and_what_is_off_vanishes() {
    let (_temp, places) = card("[appliance]\nhostname = \"file\"\n");
    let mut page = Settings {
        hostname: Some("page".parse().unwrap()),
        time_zone: Some("Europe/Zurich".parse().unwrap()),
        ntp_server: Some(true),
        ..Settings::default()
    };
    save_page_settings(&places, &page).unwrap();
    let loaded = apply(&places);
    assert_eq!(loaded.settings().hostname(), "file");
    assert_eq!(loaded.config.time_zone.iana_name(), Some("Europe/Zurich"));
    assert!(places.at("/run/moonfire-nvr/ntp-server").exists());
    page.ntp_server = None;
    save_page_settings(&places, &page).unwrap();
    apply(&places);
    assert!(!places.at("/run/moonfire-nvr/ntp-server").exists());
}

#[test]
fn nothing_stops_it() {
    let (_temp, places) = card("");
    fs::create_dir_all(places.data()).unwrap();
    fs::write(places.settings(), "hostname = \"a b\"\n").unwrap();
    fs::write(places.disks(), "what = is this").unwrap();
    // What is to be written cannot be: something else is there.
    fs::create_dir_all(places.at("/run/moonfire-nvr/hostname/x")).unwrap();
    let loaded = apply(&places);
    let told = as_text(&loaded.problems);
    for words in [
        "settings.toml: ",
        "disks.toml: ",
        "/run/moonfire-nvr/hostname: ",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(Config::load(&places.config()).is_ok());
    fs::remove_file(places.boot_file()).unwrap();
    fs::create_dir(places.boot_file()).unwrap();
    let told = as_text(&apply(&places).problems);
    assert!(told.contains("moonfire-nvr.toml: cannot be read"), "{told}");
}

#[test]
fn a_reset_forgets_before_anything_is_started() {
    let (_temp, places) = card("[appliance]\nhostname = \"file\"\n");
    let fill = |note: &str| {
        let settings = Settings {
            hostname: Some("page".parse().unwrap()),
            ntp_server: Some(true),
            ..Settings::default()
        };
        save_page_settings(&places, &settings).unwrap();
        let mut known = disks::Known::default();
        known.came("aaaaaaaa", &[]);
        known.save(&places).unwrap();
        for file in ["db/db", "tls/key.pem", "emergency.img", "../ssh/host_key"] {
            let file = places.data().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        fs::write(places.reset(), note).unwrap();
    };
    let there = |file: &str| places.data().join(file).exists();
    for (note, recordings) in [("settings\n", true), ("everything\n", false)] {
        fill(note);
        let loaded = apply(&places);
        assert_eq!(loaded.problems, [], "{note}");
        // What the boot file says holds on; what the page said does not.
        assert_eq!(loaded.settings().hostname(), "file");
        assert!(!places.at("/run/moonfire-nvr/ntp-server").exists());
        for gone in ["settings.toml", "tls", "../ssh/host_key", "reset"] {
            assert!(!there(gone), "{note}: {gone}");
        }
        for kept in ["db/db", "db/forget", "emergency.img"] {
            assert_eq!(there(kept), recordings, "{note}: {kept}");
        }
        let known = disks::Known::load(&places).unwrap();
        assert_eq!(known.is_to_be_erased("aaaaaaaa"), !recordings, "{note}");
    }
    // Once is enough.
    fs::create_dir_all(places.db()).unwrap();
    apply(&places);
    assert!(places.db().exists() && !there("db/forget"));
}
