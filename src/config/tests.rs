use super::values::*;
use super::*;

const HEAD: &str = "db_dir = \"/db\"\nsample_dirs = [\"/a\", \"/b\"]\n";

fn parse(rest: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/nvr.toml"), &format!("{HEAD}{rest}"))
}

/// All that is wrong, told as a user reads it.
fn wrong(rest: &str) -> String {
    parse(rest).unwrap_err().to_string()
}

fn camera(keys: &str, main: &str) -> String {
    format!(
        "[[camera]]\nname = \"x\"\n{keys}\n[camera.main]\nurl = \"rtsp://192.0.2.1/m\"\n{main}\n"
    )
}

#[test]
fn the_sample_file_is_good_and_says_what_the_defaults_are() {
    let text = include_str!("../../etc/moonfire-nvr.toml");
    let path = Path::new("etc/moonfire-nvr.toml");
    let config = Config::parse(path, text).unwrap();
    assert_eq!(config.db_dir, Path::new("/var/lib/moonfire-nvr/db"));
    let camera = &config.cameras[0];
    assert_eq!(camera.name, "driveway");
    let main = camera.main.as_ref().unwrap();
    assert_eq!(main.retain.bytes, Some(500_000_000_000));
    assert_eq!(
        config.http[0].allow_unauthenticated,
        Permission::OF_VISITORS
    );

    // With every line in force that is off, it is still good, and the defaults are true.
    let all_on: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| is_key(key)) => rest,
            Some(rest) if rest.starts_with('[') => rest,
            _ => line,
        })
        .filter(|line| !line.starts_with("password_file"))
        .map(|line| format!("{line}\n"))
        .collect();
    let all_on = Config::parse(path, &all_on).unwrap();
    assert_eq!(all_on.reserve, config.reserve);
    assert_eq!(all_on.sync_interval, config.sync_interval);
    assert_eq!(all_on.time_zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(all_on.syslog.to, LogTarget::Unix("/dev/log".into()));
    assert_eq!(config.syslog.to, LogTarget::Stderr);
    assert_eq!(all_on.syslog.level, config.syslog.level);
    assert_eq!(all_on.cameras[0].description, "above the garage door");
    let all_main = all_on.cameras[0].main.as_ref().unwrap();
    assert_eq!(
        (all_main.transport, all_main.record),
        (main.transport, main.record)
    );
    assert_eq!(
        all_main.sample_dir.as_deref(),
        Some(Path::new("/media/nvr/sample"))
    );
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse(&camera("", "")).unwrap();
    assert_eq!(config.sync_interval, Duration::from_secs(1));
    assert_eq!(config.http, []);
    let x = &config.cameras[0];
    assert_eq!((x.username.as_str(), x.password.0.as_str()), ("", ""));
    assert_eq!(x.main, Some(StreamConfig::new("rtsp://192.0.2.1/m")));
    assert_eq!(x.sub, None);
}

#[test]
fn unknown_keys_are_named_with_line_and_mend() {
    assert_eq!(
        wrong(&camera("usrname = \"admin\"", "")),
        "/etc/nvr.toml:5:1: unknown key `usrname` in [[camera]]; did you mean `username`?"
    );
    assert_eq!(
        wrong(&camera("", "password = \"p\"")),
        "/etc/nvr.toml:8:1: unknown key `password` in [camera.main]; it belongs in [[camera]]"
    );
    assert_eq!(
        wrong("[syslog]\nreserve = \"1 GB\"\n"),
        "/etc/nvr.toml:4:1: unknown key `reserve` in [syslog]; \
         it belongs in the part before the first [section]"
    );
    assert_eq!(
        wrong("[[http]]\nlisten = \"127.0.0.1:80\"\nzzz = 1\n"),
        "/etc/nvr.toml:5:1: unknown key `zzz` in [[http]]; there are listen, allow_unauthenticated, \
         tls, certificate, key, names, trusted_proxies, owner_is_administrator"
    );
}

#[test]
fn without_signing_in_one_may_watch_at_most() {
    let allow = |what: &str| {
        wrong(&format!(
            "[[http]]\nlisten = \"[::]:80\"\nallow_unauthenticated = [\"{what}\"]\n"
        ))
    };
    for beyond in ["administer", "configure", "export", "update_signals"] {
        let told = allow(beyond);
        assert!(told.contains("view_live"), "{told}");
        assert!(told.contains(beyond), "{told}");
    }
}

#[test]
fn tls_by_files_or_by_a_certificate_of_its_own() {
    let http = |listen: &str, rest: &str| format!("[[http]]\nlisten = \"{listen}\"\n{rest}");
    let tls = |rest: &str| parse(&http("[::]:443", rest)).unwrap().http[0].tls.clone();
    assert_eq!(tls(""), None);
    assert_eq!(tls("tls = false\n"), None);
    assert_eq!(tls("tls = true\n"), Some(TlsConfig::Own));
    let files = "certificate = \"/etc/nvr/c.pem\"\nkey = \"/etc/nvr/k.pem\"\n";
    let expected = Some(TlsConfig::Files {
        certificate: "/etc/nvr/c.pem".into(),
        key: "/etc/nvr/k.pem".into(),
    });
    assert_eq!(tls(files), expected);
    assert_eq!(tls(&format!("tls = true\n{files}")), expected);
    for (rest, told) in [
        (format!("tls = false\n{files}"), "leave out `tls`"),
        ("certificate = \"/c\"\n".to_owned(), "needs its `key`"),
        (
            "tls = true\nkey = \"/k\"\n".to_owned(),
            "`tls = true` alone",
        ),
        (
            "certificate = \"c\"\nkey = \"/k\"\n".to_owned(),
            "not a whole path",
        ),
        ("tls = \"yes\"\n".to_owned(), "true or false"),
    ] {
        let message = wrong(&http("[::]:443", &rest));
        assert!(message.contains(told), "{message}");
    }
    let message = wrong(&http("unix:/run/nvr.sock", "tls = true\n"));
    assert!(message.contains("UNIX socket"), "{message}");
}

#[test]
fn two_of_one_name_are_told_with_both_lines() {
    let two = camera("", "") + &camera("", "");
    assert_eq!(
        wrong(&two),
        "/etc/nvr.toml:10:8: two cameras are named \"x\" (lines 4 and 10); rename one"
    );
    let listen = "[[http]]\nlisten = \"[::]:80\"\n";
    let twice = format!("{listen}{listen}");
    assert!(wrong(&twice).contains("two [[http]] sections listen on [::]:80"));
}

#[test]
fn everything_wrong_is_told_at_once_in_order() {
    let text = "[[camera]]\nname = 7\n[camera.main]\ntransport = \"tpc\"\nretain = \"much\"\n\
                [[camera]]\nname = \"y\"\n[http]\nlisten = \"80\"\n";
    let all = wrong(text);
    let lines: Vec<&str> = all.lines().collect();
    let expected = [
        "/etc/nvr.toml:4:8: `name`: this is a number; write text in quotes",
        "/etc/nvr.toml:5:1: `url` is missing in [camera.main]",
        "/etc/nvr.toml:6:13: `transport`: \"tpc\" is not known; write \"tcp\" or \"udp\"",
        "/etc/nvr.toml:7:10: `retain`: \"much\" is neither a size nor a number of days; \
         write \"500 GB\", \"30 days\", \"500 GB, 30 days\" or \"unlimited\"",
        "/etc/nvr.toml:8:1: camera \"y\" has no stream; add a section [camera.main] with its `url`",
        "/etc/nvr.toml:10:1: write [[http]] with two brackets: there may be several",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn folders_are_whole_paths_named_once() {
    let told = |text: &str| Config::parse(Path::new("f"), text).unwrap_err().to_string();
    assert!(told("").contains("f:1:1: `db_dir` is missing in the part before the first [section]"));
    assert!(told("").contains("`sample_dirs` is missing"));
    assert!(
        told("db_dir = \"db\"\nsample_dirs = [\"/a\"]")
            .contains("f:1:10: `db_dir`: \"db\" is not a whole path; write it from the root on")
    );
    assert!(told("db_dir = \"/db\"\nsample_dirs = []").contains("name at least one folder"));
    assert!(told("db_dir = \"/db\"\nsample_dirs = [\"/a\", \"/a/\"]").contains("names /a twice"));
    assert!(
        told("db_dir = \"/db\"\nsample_dirs = [\"/db\"]").contains("the folder of the database")
    );
    assert!(told("db_dir = \"/db\"\nsample_dirs = \"/a\"").contains("write a list in brackets"));
    assert!(told("db_dir = \"/x/../db\"\nsample_dirs = [\"/a\"]").contains("has \"..\" in it"));
}

#[test]
fn a_syntax_error_has_its_place_and_quotes_nothing() {
    let told = wrong("[[camera]]\nname = \"x\"\npassword = \"hunter2\n");
    assert!(told.starts_with("/etc/nvr.toml:5:"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn no_password_is_ever_shown() {
    let good = camera("password = \"hunter2\"", "");
    let shown = format!("{:?}", parse(&good).unwrap());
    assert!(
        shown.contains("***") && !shown.contains("hunter2"),
        "{shown}"
    );
    for url in [
        "http://admin:hunter2@192.0.2.1/",
        "rtsp://admin:hunter2@/",
        "rtsp://admin:hunter2/x@192.0.2.1/",
        "rtsp://admin:hunter2@192.0.2.1:0/",
        "rtsp://admin:hunter2%@192.0.2.1/",
        "rtsp://admin:hunter2 @192.0.2.1/",
        "admin:hunter2@192.0.2.1",
    ] {
        let told = wrong(&format!(
            "[[camera]]\nname = \"x\"\n[camera.main]\nurl = \"{url}\"\n"
        ));
        assert!(told.contains(":6:7: `url`: "), "{url}: {told}");
        assert!(!told.contains("hunter2"), "{url}: {told}");
    }
}

#[test]
fn credentials_in_a_url_are_taken_out_of_it() {
    let text = "[[camera]]\nname = \"x\"\n\
                [camera.main]\nurl = \"rtsp://ad%40min:p%3ass:w@192.0.2.1:8554/m?a=b@c\"\n\
                [camera.sub]\nurl = \"rtsp://192.0.2.1/s\"\n";
    let config = parse(text).unwrap();
    let x = &config.cameras[0];
    assert_eq!(x.username, "ad@min");
    assert_eq!(x.password.0, "p:ss:w");
    assert_eq!(
        x.main.as_ref().unwrap().url,
        "rtsp://192.0.2.1:8554/m?a=b@c"
    );
    assert_eq!(x.sub.as_ref().unwrap().url, "rtsp://192.0.2.1/s");
    let other = text.replace("name = \"x\"", "name = \"x\"\nusername = \"root\"");
    assert!(wrong(&other).contains("another user or password"));
}

#[test]
fn a_password_can_be_in_a_file() {
    let temp = tempfile::TempDir::new().unwrap();
    let file = temp.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let key = format!("password_file = \"{}\"", file.display());
    assert_eq!(
        parse(&camera(&key, "")).unwrap().cameras[0].password.0,
        "hunter2"
    );
    let both = format!("{key}\npassword = \"other\"");
    assert!(wrong(&camera(&both, "")).contains("both `password` and `password_file`"));
    std::fs::write(&file, vec![b'x'; 5000]).unwrap();
    assert!(wrong(&camera(&key, "")).contains("is larger than 4096 bytes"));
    std::fs::remove_file(&file).unwrap();
    assert!(wrong(&camera(&key, "")).contains("cannot be read"));
}

#[test]
fn a_missing_file_says_what_to_do() {
    let told = Config::load(Path::new("/nonexistent/nvr.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        told.starts_with("/nonexistent/nvr.toml: there is no such file"),
        "{told}"
    );
    assert!(told.contains("--config"), "{told}");
}

#[test]
fn a_stream_names_its_directory_by_path_or_place() {
    let of = |value: &str| {
        parse(&camera("", &format!("sample_dir = {value}"))).map(|c| {
            c.cameras[0]
                .main
                .as_ref()
                .unwrap()
                .sample_dir
                .clone()
                .unwrap()
        })
    };
    assert_eq!(of("\"/b\"").unwrap(), Path::new("/b"));
    assert_eq!(of("2").unwrap(), Path::new("/b"));
    for bad in ["0", "3", "-1", "\"/c\"", "true"] {
        assert!(
            of(bad).unwrap_err().to_string().contains("no such one"),
            "{bad}"
        );
    }
}

#[test]
fn retention_is_bytes_or_days_or_both() {
    let good = |text, bytes, days| assert_eq!(retain(text), Ok(Retain { bytes, days }), "{text}");
    good("500 GB", Some(500_000_000_000), None);
    good("500gb", Some(500_000_000_000), None);
    good("1.5 TiB", Some(3 << 39), None);
    good("30 days", None, Some(30));
    good("1 day", None, Some(1));
    good("2 weeks, 20 GB", Some(20_000_000_000), Some(14));
    good("unlimited", None, None);
    for bad in [
        "",
        "500",
        "GB",
        "500 G",
        "1.5 days",
        "-1 GB",
        "1 GB,",
        "9999999 TB",
    ] {
        assert!(retain(bad).is_err(), "{bad}");
    }
    assert!(
        retain("1 GB, 2 GB")
            .unwrap_err()
            .contains("two limits of one kind")
    );
}

#[test]
fn the_reserve_is_the_smaller_of_share_and_size() {
    let of = |text| reserve(text).unwrap().bytes_of(8_000_000_000_000);
    assert_eq!(Reserve::default().bytes_of(16_000_000_000), 800_000_000);
    assert_eq!(
        Reserve::default().bytes_of(8_000_000_000_000),
        2_000_000_000
    );
    assert_eq!(of("5 %, 2 GB"), 2_000_000_000);
    assert_eq!(of("10%"), 800_000_000_000);
    assert_eq!(of("none"), 0);
    assert!(reserve("100 %").is_err());
    assert!(reserve("5").is_err());
}

#[test]
fn spans_of_time_have_units() {
    assert_eq!(duration("1 s"), Ok(Duration::from_secs(1)));
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("2 min"), Ok(Duration::from_secs(120)));
    for bad in ["1", "s", "", "1 h", "1e400 s"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
    let told = wrong("[[camera]]\n").replace('\n', " ");
    assert!(told.contains("`name` is missing in [[camera]]"));
    let mut text = HEAD.to_owned();
    text.insert_str(0, "sync_interval = \"1 ms\"\n");
    let told = Config::parse(Path::new("f"), &text)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("f:1:17: `sync_interval`: write something from"),
        "{told}"
    );
}

#[test]
fn addresses_to_listen_on() {
    let tcp = |text: &str| assert_eq!(listen(text), Ok(Listen::Tcp(text.parse().unwrap())));
    tcp("127.0.0.1:8080");
    tcp("[::]:80");
    assert_eq!(
        listen("unix:/run/nvr.sock"),
        Ok(Listen::Unix("/run/nvr.sock".into()))
    );
    assert_eq!(listen("systemd:web"), Ok(Listen::Systemd("web".into())));
    for (bad, mend) in [
        (
            "8080",
            "write \"127.0.0.1:8080\" for this machine only, \"[::]:8080\" for everybody",
        ),
        (":8080", "\"[::]:8080\" for everybody"),
        ("*:80", "\"[::]:80\" for everybody"),
        ("192.0.2.1", "the port is missing; write \"192.0.2.1:8080\""),
        ("::1", "the port is missing; write \"[::1]:8080\""),
        ("[::1]", "the port is missing; write \"[::1]:8080\""),
        ("127.0.0.1:0", "port 0 is none"),
        (
            "localhost:8080",
            "is no address; write numbers such as \"127.0.0.1:8080\"",
        ),
        ("127.0.0.1:99999", "is no address"),
        ("unix:run", "not a whole path"),
        ("systemd:", "no such name"),
        ("systemd:a:b", "no such name"),
    ] {
        let told = listen(bad).unwrap_err();
        assert!(told.contains(mend), "{bad}: {told}");
    }
    // What is shown is what is written.
    for text in [
        "127.0.0.1:8080",
        "[::]:80",
        "unix:/run/nvr.sock",
        "systemd:web",
    ] {
        assert_eq!(listen(text).unwrap().to_string(), text);
    }
}

#[test]
fn places_for_logs() {
    let host = |text: &str| log_target(text).unwrap();
    assert_eq!(host("local"), LogTarget::Unix("/dev/log".into()));
    assert_eq!(host("unix:/run/log"), LogTarget::Unix("/run/log".into()));
    assert_eq!(
        host("udp:[2001:db8::1]:514"),
        LogTarget::Udp {
            host: "2001:db8::1".into(),
            port: 514
        }
    );
    assert_eq!(
        host("tcp:logs.example:601"),
        LogTarget::Tcp {
            host: "logs.example".into(),
            port: 601
        }
    );
    assert_eq!(host("stderr"), LogTarget::Stderr);
    assert_eq!(host("none"), LogTarget::Nowhere);
    for bad in [
        "",
        "terminal",
        "udp:host",
        "udp::514",
        "tls:host:6514",
        "tcp:host:0",
    ] {
        assert!(log_target(bad).is_err(), "{bad}");
    }
    assert!(
        log_target("udp:host")
            .unwrap_err()
            .contains("the port is missing")
    );
}

#[test]
fn urls_of_cameras() {
    let good = |text: &str| {
        let url = camera_url(text).unwrap();
        assert_eq!((url.url.as_str(), url.credentials), (text, None));
    };
    good("rtsp://192.0.2.10/main");
    good("rtsp://camera.lan:8554/cam/realmonitor?channel=1&subtype=0");
    good("rtsp://[2001:db8::1]/");
    good("rtsp://192.0.2.10");
    assert_eq!(
        camera_url("RTSP://192.0.2.10/A").unwrap().url,
        "rtsp://192.0.2.10/A"
    );
    for (bad, mend) in [
        ("192.0.2.10/main", "write it as in"),
        ("rtsp:/192.0.2.10/main", "has no host"),
        ("rtsp://192.0.2.10:port/", "cannot be read"),
        ("rtsps://192.0.2.10/", "not there yet"),
        ("http://192.0.2.10/", "begins with http:"),
        ("rtsp://192.0.2.10/a b", "write %20"),
    ] {
        let told = camera_url(bad).unwrap_err();
        assert!(told.contains(mend), "{bad}: {told}");
    }
    assert!(camera_url(&format!("rtsp://h/{}", "x".repeat(3000))).is_err());
}

#[test]
fn time_zones_are_known_by_name() {
    let with =
        |zone: &str| Config::parse(Path::new("f"), &format!("time_zone = \"{zone}\"\n{HEAD}"));
    assert_eq!(
        with("America/Los_Angeles").unwrap().time_zone.iana_name(),
        Some("America/Los_Angeles")
    );
    let told = with("Europe/Berln").unwrap_err().to_string();
    assert!(told.contains("did you mean \"Europe/Berlin\"?"), "{told}");
}

#[test]
fn the_embedded_default_is_within_its_folder() {
    let config = Config::embedded_default(Path::new("/home/me/.local/state/nvr"));
    assert!(config.db_dir.starts_with("/home/me/.local/state/nvr"));
    assert!(config.sample_dirs[0].starts_with("/home/me/.local/state/nvr"));
    assert_eq!(config.http[0].listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn limits_are_written_as_they_are_read() {
    for text in [
        "unlimited",
        "500 GB",
        "1.5 TB, 30 days",
        "1 day",
        "0 B",
        "64 GiB",
        "1333 MB",
        "1234567 B",
        "20 MB, 100000 days",
    ] {
        let retain = super::retain(text).unwrap();
        assert_eq!(retain.to_string(), text);
    }
    let mut bytes = 1_i64;
    while bytes < 1 << 53 {
        let retain = super::Retain {
            bytes: Some(bytes),
            days: None,
        };
        assert_eq!(super::retain(&retain.to_string()).unwrap(), retain);
        bytes = bytes * 7 / 3 + 1;
    }
}
