//! What a boot file may say, and that no mistake in it costs more than itself.

use super::*;
use crate::appliance::apply::default_config;
use std::collections::BTreeSet;

const SAMPLE: &str = include_str!("../../../etc/moonfire-nvr-boot.toml");

fn read(text: &str) -> BootFile {
    BootFile::parse(text.as_bytes(), &default_config())
}

fn messages(file: &BootFile) -> Vec<String> {
    let line = |p: &Problem| format!("{}: {}", p.at.map_or(0, |(line, _)| line), p.message);
    file.problems.iter().map(line).collect()
}

/// The sample with its examples switched on.
fn switched_on() -> String {
    let is_code = |line: &str| {
        let key = line.split(" = ").next().unwrap_or("");
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        line.starts_with('[') || (is_key && line.contains(" = "))
    };
    let lines = SAMPLE.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_code(rest) => rest,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_sample_says_nothing_and_its_examples_are_good() {
    let sample = read(SAMPLE);
    assert_eq!(messages(&sample), [""; 0]);
    assert_eq!(sample.settings, Settings::default());
    assert!(sample.config.cameras.is_empty());
    let key = crate::appliance::settings::tests::KEY;
    let on = switched_on().replace("ssh-ed25519 AAAA... anna@desk", key);
    let on = read(&on);
    assert_eq!(messages(&on), [""; 0]);
    assert_eq!(on.settings.hostname(), "moonfire-nvr");
    assert_eq!(on.settings.ssh_keys.as_ref().map(Vec::len), Some(1));
    assert_eq!(on.settings.emergency_bytes, Some(0));
    assert!(on.settings.wifi.is_some());
    let network = on.settings.network.as_ref().unwrap();
    assert_eq!(network.address.as_ref().unwrap().as_str(), "192.0.2.5/24");
    assert_eq!(on.config.cameras.len(), 1);
    assert_eq!(on.config.time_zone.iana_name(), Some("Europe/Zurich"));
}

#[test]
fn the_sample_tells_of_every_key_of_the_machine() {
    let on = switched_on();
    let keys: BTreeSet<&str> = on
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(" = ").next())
        .collect();
    for (name, known) in &BOOT_SECTIONS[APPLIANCE..] {
        for key in *known {
            let section = format!("[appliance.{key}]");
            assert!(keys.contains(key) || on.contains(&section), "{name} {key}");
        }
    }
}

#[test]
fn each_mistake_costs_itself_alone() {
    let file = read(
        r#"
sync_interval = "3 years"
sample_dirs = [7]

[appliance]
hostname = "no good"
hostnam = "x"
timezone = "Mars/Olympus"
ntp = ["192.0.2.9", 5, "b/d"]
ntp_server = "yes"
ssh_key = "my key"
emergency = "2 parsecs"

[appliance.network]
address = "192.0.2.5"
gateway = "192.0.2.1"
interface = "eth1"

[appliance.wifi]
ssid = "home"
password = "short"

[syslog]
to = "udp:192.0.2.20:514"
level = "loud"

[[http]]
listen = "[::]:443"
certificate = "/x.pem"

[[http]]
listen = "[::]:8080"

[[camera]]
name = "good"
password = "secret"
main.url = "rtsp://192.0.2.10/main"
main.retain = "for ever"

[[camera]]
name = "bad"
main.url = "http://192.0.2.11/"

[[camera]]
main.url = "rtsp://192.0.2.12/main"

[[camera]]
name = "other"
colour = "red"
sub.url = "rtsp://192.0.2.13/sub"
main = 5
"#,
    );
    let told = messages(&file);
    let expected = [
        (2, "sync_interval"),
        (3, "sample_dirs"),
        (6, "hostname"),
        (7, "did you mean `hostname`?"),
        (8, "Mars/Olympus"),
        (9, "`ntp`: this is a number"),
        (9, "`ntp`: \"b/d\""),
        (10, "true or false, without quotes"),
        (11, "public key"),
        (12, "2 parsecs"),
        (15, "192.0.2.5/24"),
        (21, "8 to 63"),
        (25, "loud"),
        (27, "needs its `key`"),
        (38, "`retain`"),
        (42, "begins with http"),
        (44, "`name` is missing"),
        (49, "unknown key `colour`"),
        (51, "section of its own"),
    ];
    for (line, words) in expected {
        let found = |t: &String| t.starts_with(&format!("{line}: ")) && t.contains(words);
        assert!(told.iter().any(found), "{line} {words}: {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(
        !told
            .iter()
            .any(|t| t.contains("secret") || t.contains("short")),
        "{told:#?}"
    );

    let names: Vec<&str> = file
        .config
        .cameras
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names, ["good", "other"]);
    assert_eq!(file.config.sample_dirs, default_config().sample_dirs);
    // What was to be encrypted is not served in the clear.
    let served: Vec<String> = file
        .config
        .http
        .iter()
        .map(|h| h.listen.to_string())
        .collect();
    assert_eq!(served, ["[::]:8080"]);
    let settings = file.settings;
    assert_eq!(settings.ntp.as_ref().map(Vec::len), Some(1));
    assert_eq!(
        (settings.hostname(), settings.ntp_server),
        ("moonfire-nvr", None)
    );
    assert_eq!((&settings.ssh_keys, &settings.wifi), (&None, &None));
    let network = settings.network.unwrap();
    assert_eq!((network.address, network.gateway), (None, None));
    assert_eq!(network.interface.unwrap().as_str(), "eth1");
}

#[test]
fn a_line_that_is_no_toml_costs_itself_and_not_the_cameras() {
    let file = read(
        "[appliance]\nhostname = my-nvr\ntimezone = \"Europe/Zurich\"\nthis is no line\n\n\
         [[camera]]\nname = \"a\"\nmain.url = \"rtsp://192.0.2.10/main\"\n\n\
         [[camera]\nname = \"b\"\n[camera.sub]\nurl = \"rtsp://192.0.2.11/sub\"\n\n\
         [[camera]]\nname = \"c\"\nmain.url = \"rtsp://192.0.2.12/main\"\n",
    );
    let told = messages(&file);
    assert!(told.iter().any(|t| t.starts_with("2: ")), "{told:#?}");
    assert!(told.iter().any(|t| t.starts_with("4: ")), "{told:#?}");
    assert_eq!(file.settings.time_zone(), "Europe/Zurich");
    let names: Vec<&str> = file
        .config
        .cameras
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert!(
        names.contains(&"a") && names.contains(&"c"),
        "{names:?} {told:#?}"
    );
}

#[test]
fn where_nothing_can_be_understood_the_defaults_hold() {
    let file = read(&"this is no line\n".repeat(1_000));
    assert_eq!(file.problems.len(), MAX_MENDED + 1);
    assert!(
        messages(&file)
            .iter()
            .any(|t| t.contains("nothing of it is taken"))
    );
    assert_eq!(file.config.http.len(), 2);
}

#[test]
fn whatever_there_is_a_configuration_comes_of_it() {
    let marked = format!("\u{feff}{}", "[appliance]\r\nhostname = \"x\"\r\n");
    let file = read(&marked);
    assert_eq!(messages(&file), [""; 0]);
    assert_eq!(file.settings.hostname(), "x");
    let latin = b"[appliance]\nhostname = \"x\"\n# Z\xfcrich\n";
    let file = BootFile::parse(latin, &default_config());
    assert_eq!(file.settings.hostname(), "x");
    assert!(
        messages(&file)[0].starts_with("3: this is not UTF-8"),
        "{:?}",
        messages(&file)
    );
    let large = vec![b'#'; MAX_FILE_BYTES + 1];
    let file = BootFile::parse(&large, &default_config());
    assert!(messages(&file)[0].contains("larger"));
    assert_eq!(file.config.http.len(), 2);
    for odd in [
        "appliance = 5",
        "[[appliance]]",
        "camera = 1",
        "[camera]\nname = 1",
        "http = []",
    ] {
        let file = read(odd);
        assert_eq!(file.config.http.len(), 2, "{odd}");
        let text = crate::config::render(&file.config);
        Config::parse(std::path::Path::new("/x"), &text).unwrap();
    }
}

#[test]
fn what_does_not_go_together_in_a_network_is_told() {
    for (text, words) in [
        ("dhcp = true\naddress = \"192.0.2.5/24\"", "remove one"),
        ("dhcp = false", "needs an `address`"),
        (
            "address = \"192.0.2.5/24\"\ngateway = \"192.0.3.1\"",
            "not in the network",
        ),
        ("gateway = \"192.0.2.1\"", "goes with a fixed"),
    ] {
        let file = read(&format!("[appliance.network]\n{text}"));
        let told = messages(&file);
        assert!(
            told.len() == 1 && told[0].contains(words),
            "{text}: {told:?}"
        );
    }
}
