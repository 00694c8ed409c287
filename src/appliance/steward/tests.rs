//! The steward over its socket, with programs that are run for real on files, and a list of disks that is
//! made up.

use super::server::{Terms, serve};
use super::*;
use crate::appliance::system::Programs;
use crate::reactor::steward::ask;
use serde_json::json;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A machine whose disks are files: what is to be done to a device is done to the file of that name.
struct Machine {
    folder: std::path::PathBuf,
    disks: Mutex<Value>,
    ran: Mutex<Vec<String>>,
}

impl System for Machine {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
        self.ran
            .lock()
            .unwrap()
            .push(format!("{program} {}", arguments.join(" ")));
        let here = |a: &&str| match a.strip_prefix("/dev/") {
            Some(name) => self.folder.join(name).to_string_lossy().into_owned(),
            None => (*a).to_owned(),
        };
        let arguments: Vec<String> = arguments.iter().map(here).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match program {
            "lsblk" => Ok(json!({ "blockdevices": *self.disks.lock().unwrap() })
                .to_string()
                .into_bytes()),
            "wipefs" | "e2fsck" => Programs.run(program, &arguments),
            "mke2fs" => {
                Programs.run(program, &arguments)?;
                let file = arguments[arguments.len() - 1];
                let mut disks = self.disks.lock().unwrap();
                let disk = disks
                    .as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .find(|d| file.ends_with(d["name"].as_str().unwrap()));
                let disk = disk.unwrap();
                disk["fstype"] = json!("ext4");
                disk["label"] = json!(tag(file, "LABEL"));
                disk["uuid"] = json!(tag(file, "UUID"));
                disk["children"] = json!([]);
                Ok(Vec::new())
            }
            // A stick's files are those of a folder.
            "mount" if arguments[1] == "vfat" => {
                for entry in fs::read_dir(self.folder.join("stick")).unwrap() {
                    let from = entry.unwrap();
                    fs::copy(from.path(), Path::new(arguments[5]).join(from.file_name())).unwrap();
                }
                Ok(Vec::new())
            }
            "umount" if arguments[0].contains("/stick-") => {
                fs::remove_dir_all(arguments[0]).unwrap();
                fs::create_dir(arguments[0]).unwrap();
                Ok(Vec::new())
            }
            "mount" => {
                let mut disks = self.disks.lock().unwrap();
                let disk = disks
                    .as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .find(|d| arguments[4].ends_with(d["name"].as_str().unwrap()));
                let target = arguments[5];
                let at = &target[target.find("/media/nvr").unwrap()..];
                disk.unwrap()["mountpoints"] = json!([at]);
                Ok(Vec::new())
            }
            "umount" => {
                let target = arguments[arguments.len() - 1];
                let at = json!([&target[target.find("/media/nvr").unwrap()..]]);
                for disk in self.disks.lock().unwrap().as_array_mut().unwrap() {
                    if disk["mountpoints"] == at {
                        disk["mountpoints"] = json!([]);
                    }
                }
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn tag(file: &str, what: &str) -> String {
    let out = Programs
        .run("blkid", &["-p", "-s", what, "-o", "value", file])
        .unwrap();
    String::from_utf8(out).unwrap().trim().to_owned()
}

struct Site {
    temp: TempDir,
    machine: Arc<Machine>,
    places: Places,
}

impl Site {
    /// A card, and a disk with something else on it. The steward answers until the test ends.
    fn new() -> Site {
        Site::with_page(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)))
    }

    /// The same, where the page is served at an address.
    fn with_page(page: SocketAddr) -> Site {
        let temp = TempDir::new().unwrap();
        let places = Places::new(temp.path(), None);
        fs::create_dir_all(places.boot()).unwrap();
        let file = fs::File::create(temp.path().join("sda")).unwrap();
        file.set_len(64 << 20).unwrap();
        let machine = Arc::new(Machine {
            folder: temp.path().to_owned(),
            disks: Mutex::new(json!([
                {"name": "mmcblk0", "type": "disk", "size": 16_000_000_000u64, "serial": "0x1", "children": [
                    {"name": "mmcblk0p4", "type": "part", "size": 1000, "fstype": "ext4", "mountpoints": ["/data"]}]},
                {"name": "sda", "type": "disk", "size": 64 << 20, "model": "WD Elements ", "serial": "575834",
                 "tran": "usb", "children": [{"name": "sda1", "type": "part", "size": 1000, "fstype": "ntfs"}]},
            ])),
            ran: Mutex::new(Vec::new()),
        });
        let listener = UnixListener::bind(temp.path().join("socket")).unwrap();
        let mut steward = Steward::new(places.clone(), machine.clone()).with_page(page);
        let terms = Terms {
            uid: nix::unistd::getuid().as_raw(),
            idle: Some(Duration::from_secs(20)),
        };
        std::thread::spawn(move || serve(&mut steward, &listener, terms));
        Site {
            temp,
            machine,
            places,
        }
    }

    fn ask(&self, request: Request) -> Answer {
        self.bring(request, &[])
    }

    fn bring(&self, request: Request, bytes: &[u8]) -> Answer {
        ask(&self.temp.path().join("socket"), &request, bytes)
    }

    fn refuses(&self, request: Request) -> RefusalKind {
        self.ask(request).unwrap_err().kind
    }

    fn last_ran(&self) -> String {
        // Some of it is done after the answer, and before the next one.
        self.ask(Request::Job).unwrap();
        self.machine.ran.lock().unwrap().last().unwrap().clone()
    }

    /// Waits for a job, and gives how it ended.
    fn job(&self) -> Value {
        let began = Instant::now();
        loop {
            let job = self.ask(Request::Job).unwrap()["job"].clone();
            if job["state"] != json!("running") {
                return job;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{job}");
            std::thread::yield_now();
        }
    }

    fn format(&self, disk: &str, confirm: &str) -> Answer {
        let (disk, confirm) = (disk.to_owned(), confirm.to_owned());
        self.ask(Request::Format { disk, confirm })
    }

    fn sample_dirs(&self) -> Vec<std::path::PathBuf> {
        crate::config::Config::load(&self.places.config())
            .unwrap()
            .sample_dirs
    }
}

#[test]
fn a_disk_is_formatted_only_if_it_is_the_one_meant_and_then_recorded_to() {
    let site = Site::new();
    let listed = site.ask(Request::Disks).unwrap();
    let disks = listed["disks"].as_array().unwrap();
    assert_eq!(
        (&disks[0]["state"], &disks[0]["system"]),
        (&json!("system"), &json!(true))
    );
    assert_eq!(
        (&disks[1]["state"], &disks[1]["confirm"]),
        (&json!("other"), &json!("WD Elements 575834"))
    );
    for (disk, confirm, kind) in [
        ("mmcblk0", "0x1", RefusalKind::Conflict),
        ("sda", "WD Elements 575835", RefusalKind::Conflict),
        ("sda", "", RefusalKind::Conflict),
        ("sda1", "WD Elements 575834", RefusalKind::NotFound),
        ("../sda", "WD Elements 575834", RefusalKind::NotFound),
    ] {
        assert_eq!(
            site.format(disk, confirm).unwrap_err().kind,
            kind,
            "{disk} {confirm}"
        );
    }
    assert!(
        !site
            .machine
            .ran
            .lock()
            .unwrap()
            .iter()
            .any(|r| r.starts_with("mke2fs"))
    );

    site.format("sda", "WD Elements 575834").unwrap();
    let job = site.job();
    assert_eq!(job["state"], json!("done"), "{job}");
    let file = site.temp.path().join("sda");
    assert_eq!(tag(&file.to_string_lossy(), "LABEL"), "MNVR-SAMPLE");
    Programs
        .run("e2fsck", &["-fn", &file.to_string_lossy()])
        .unwrap();
    let uuid = tag(&file.to_string_lossy(), "UUID");
    let expected = format!("/media/nvr/{}/sample", &uuid[..8]);
    assert_eq!(site.sample_dirs(), [Path::new(&expected)]);
    assert!(site.places.at(&expected).is_dir());
    let listed = site.ask(Request::Disks).unwrap();
    let disk = &listed["disks"][1];
    assert_eq!(
        (&disk["state"], &disk["partitions"][0]["recordings"]),
        (&json!("inUse"), &json!(0))
    );
    fs::write(site.places.at(&expected).join("0000000100000002"), "x").unwrap();
    fs::write(site.places.at(&expected).join("moonfire-nvr.toml"), "x").unwrap();
    let listed = site.ask(Request::Disks).unwrap();
    assert_eq!(listed["disks"][1]["partitions"][0]["recordings"], json!(1));
    // What is recorded to is not formatted.
    assert_eq!(
        site.format("sda", "WD Elements 575834").unwrap_err().kind,
        RefusalKind::Conflict
    );

    site.ask(Request::Unmount {
        disk: "sda".to_owned(),
    })
    .unwrap();
    assert_eq!(site.job()["state"], json!("done"));
    // It stays where recordings go: it may come back.
    assert_eq!(site.sample_dirs(), [Path::new(&expected)]);
    site.ask(Request::Mount {
        disk: "sda".to_owned(),
    })
    .unwrap();
    assert_eq!(site.job()["state"], json!("done"));
    assert_eq!(
        site.ask(Request::Mount {
            disk: "mmcblk0".to_owned()
        })
        .map(|_| ()),
        Ok(())
    );
    assert_eq!(site.job()["state"], json!("failed"));
}

#[test]
fn of_two_disks_the_one_that_stays_is_recorded_to() {
    let site = Site::new();
    let file = fs::File::create(site.temp.path().join("sdb")).unwrap();
    file.set_len(64 << 20).unwrap();
    let second = json!({ "name": "sdb", "type": "disk", "size": 64 << 20, "model": "Another", "serial": "1", "tran": "usb" });
    site.machine
        .disks
        .lock()
        .unwrap()
        .as_array_mut()
        .unwrap()
        .push(second);
    site.format("sda", "WD Elements 575834").unwrap();
    assert_eq!(site.job()["state"], json!("done"));
    let first = site.sample_dirs();
    site.format("sdb", "Another 1").unwrap();
    assert_eq!(site.job()["state"], json!("done"));
    let both = site.sample_dirs();
    assert_eq!((both.len(), &both[..1]), (2, &first[..]));

    // Pulled out, it may be back in a moment; after that its streams go to the other one.
    ready::unmount(&*site.machine, &site.places, "sda").unwrap();
    assert_eq!(site.sample_dirs(), both);
    assert!(site.last_ran().ends_with("moonfire-nvr-settle.timer"));
    ready::settle(&*site.machine, &site.places).unwrap();
    assert_eq!(site.sample_dirs(), both[1..]);
    ready::mount(&*site.machine, &site.places, "sda").unwrap();
    assert_eq!(site.sample_dirs().len(), 2);

    // Given up by somebody, at once.
    let disk = "sdb".to_owned();
    site.ask(Request::Unmount { disk }).unwrap();
    assert_eq!(site.job()["state"], json!("done"));
    assert_eq!(site.sample_dirs(), first);
}

#[test]
fn settings_change_unless_the_boot_file_names_them() {
    let site = Site::new();
    fs::write(
        site.places.boot_file(),
        "[appliance]\nhostname = \"barn\"\n",
    )
    .unwrap();
    let change = |settings: Value| {
        let Value::Object(settings) = settings else {
            panic!()
        };
        site.ask(Request::Change { settings })
    };
    let kind = |answer: Answer| answer.unwrap_err().kind;
    assert_eq!(
        kind(change(json!({ "hostname": "attic" }))),
        RefusalKind::Conflict
    );
    for bad in [
        json!({ "timeZone": "Mars" }),
        json!({ "colour": "red" }),
        json!({ "emergencyBytes": 1 }),
        json!({ "network": { "gateway": "192.0.2.1" } }),
        json!({ "ntp": vec!["a"; 100] }),
    ] {
        assert_eq!(kind(change(bad.clone())), RefusalKind::Bad, "{bad}");
    }
    let wifi = json!({ "ssid": "home", "password": "correct horse", "country": "CH" });
    let told = || {
        let all = site.machine.ran.lock().unwrap();
        all.iter().filter(|r| r.contains("--signal=HUP")).count()
    };
    let told_before = told();
    change(json!({ "timeZone": "Europe/Zurich", "wifi": wifi })).unwrap();
    // What the recorder is started with has another zone in it: it is told to read that again.
    assert_eq!(told(), told_before + 1);
    change(json!({ "ntpServer": true })).unwrap();
    assert_eq!(told(), told_before + 1);
    // A password that is not given again stays.
    change(json!({ "wifi": { "ssid": "home", "country": "DE", "hasPassword": true } })).unwrap();
    let written =
        fs::read_to_string(site.places.at("/run/moonfire-nvr/wpa_supplicant.conf")).unwrap();
    assert!(
        written.contains("correct horse") && written.contains("country=DE"),
        "{written}"
    );
    let state = site.ask(Request::State).unwrap();
    let settings = &state["settings"];
    assert_eq!(
        settings["hostname"],
        json!({ "value": "barn", "from": "bootFile" })
    );
    assert_eq!(
        settings["timeZone"],
        json!({ "value": "Europe/Zurich", "from": "page" })
    );
    assert_eq!(settings["wifi"]["value"]["hasPassword"], json!(true));
    assert_eq!(
        settings["network"],
        json!({ "value": null, "from": "default" })
    );
    assert!(!state.to_string().contains("correct horse"));
    change(json!({ "timeZone": null })).unwrap();
    let state = site.ask(Request::State).unwrap();
    assert_eq!(
        state["settings"]["timeZone"],
        json!({ "value": "UTC", "from": "default" })
    );
}

#[test]
fn the_machine_tells_how_it_fares() {
    let site = Site::new();
    let put = |path: &str, text: &str| {
        let path = site.places.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("/proc/uptime", "86400.50 1.00\n");
    put(
        "/proc/device-tree/model",
        "Raspberry Pi 2 Model B Rev 1.1\0",
    );
    put("/sys/class/thermal/thermal_zone0/temp", "48312\n");
    put("/sys/class/hwmon/hwmon0/name", "cpu_thermal\n");
    put("/sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    put("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    put(
        "/sys/class/block/mmcblk0/stat",
        "  9 9 9 9 9 9 2000 9 9 9 9\n",
    );
    put("/sys/class/leds/ACT/trigger", "none");
    let state = site.ask(Request::State).unwrap();
    assert_eq!(state["board"], json!("Raspberry Pi 2 Model B Rev 1.1"));
    assert_eq!(state["temperatureCelsius"], json!(48.3));
    assert_eq!(state["underVoltage"], json!(true));
    assert_eq!(state["uptimeSeconds"], json!(86400));
    assert_eq!(state["cardWrites"]["sinceBootBytes"], json!(1_024_000));
    assert_eq!(state["cardWrites"]["bytesPerDay"], json!(1_023_994));
    assert_eq!(state["serial"], Value::Null);
    let pattern = crate::appliance::protocol::Lamp::Fault;
    site.ask(Request::Lamp { pattern }).unwrap();
    let lamp =
        |file: &str| fs::read_to_string(site.places.at("/sys/class/leds/ACT").join(file)).unwrap();
    assert_eq!(
        (lamp("trigger").as_str(), lamp("delay_on").as_str()),
        ("timer", "100")
    );
    site.ask(Request::Power {
        action: Power::Reboot,
    })
    .unwrap();
    assert_eq!(site.last_ran(), "systemctl --no-block reboot");
}

#[test]
fn who_may_not_ask_and_what_makes_no_sense_costs_nothing_else() {
    use std::io::{Read, Write};
    let site = Site::new();
    let socket = site.temp.path().join("socket");
    for nonsense in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{}", b"\0\0", b""] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(nonsense).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || text.contains("cannot be read"),
            "{text}"
        );
    }
    assert!(site.ask(Request::State).is_ok());
    // Of another user, where we are root and so can be one: only root and the one named may ask.
    let listener = UnixListener::bind(site.temp.path().join("other")).unwrap();
    let mut steward = Steward::new(site.places.clone(), site.machine.clone());
    let terms = Terms {
        uid: 12_345,
        idle: Some(Duration::from_millis(1)),
    };
    serve(&mut steward, &listener, terms).unwrap();
    if !nix::unistd::getuid().is_root() {
        std::thread::spawn(move || {
            let terms = Terms {
                idle: Some(Duration::from_secs(20)),
                ..terms
            };
            serve(&mut steward, &listener, terms)
        });
        let refused = ask(&site.temp.path().join("other"), &Request::State, &[]);
        assert_eq!(refused.unwrap_err().kind, RefusalKind::Away);
    }
}

#[test]
fn without_a_disk_nothing_or_the_allowance_is_recorded_to() {
    let site = Site::new();
    apply::apply(&site.places);
    ready::settle(&*site.machine, &site.places).unwrap();
    assert_eq!(
        site.sample_dirs(),
        [Path::new(crate::appliance::disks::NO_DISK)]
    );
    let loop_device = json!({ "name": "emergency.img", "type": "loop", "size": 1 });
    site.machine
        .disks
        .lock()
        .unwrap()
        .as_array_mut()
        .unwrap()
        .push(loop_device);
    fs::create_dir_all(site.places.data()).unwrap();
    // Allowed while there is none, it holds at once.
    let allow = |bytes: u64| {
        let Value::Object(settings) = json!({ "emergencyBytes": bytes }) else {
            panic!()
        };
        site.ask(Request::Change { settings }).unwrap();
        fs::metadata(site.places.emergency_image()).unwrap().len()
    };
    assert_eq!(allow(64_000_000), 64_000_000);
    let sample = site.places.media().join("emergency/sample");
    assert_eq!(
        site.sample_dirs(),
        [Path::new("/media/nvr/emergency/sample")]
    );
    // Another size waits for as long as something is recorded there.
    let recorded = sample.join("0000000100000002");
    fs::write(&recorded, b"frames").unwrap();
    assert_eq!(allow(80_000_000), 64_000_000);
    assert!(recorded.exists());
    fs::remove_file(&recorded).unwrap();
    assert_eq!(allow(80_000_000), 80_000_000);
    // A disk comes: the card is left alone again.
    site.format("sda", "WD Elements 575834").unwrap();
    assert_eq!(site.job()["state"], json!("done"));
    assert!(!site.sample_dirs()[0].starts_with("/media/nvr/emergency"));
}

/// Serves a page at a port of its own, and says where.
fn page() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n{:64}", "page");
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn an_update_comes_in_pieces_is_tried_and_found_good_or_given_up() {
    use crate::appliance::slots::Slot;
    use crate::appliance::update::tests::{boot, make_card, update};
    const REBOOT: &str = "systemctl --no-block reboot";
    let site = Site::with_page(page());
    make_card(&site.places);
    let bundle = update("0.2.0");
    let begin = |bytes: usize| {
        let bytes = bytes as u64;
        site.ask(Request::UpdateBegin { bytes }).unwrap();
    };
    let start = |cameras: &[&str]| Request::StartUpdate {
        cameras: cameras.iter().map(|c| (*c).to_owned()).collect(),
    };
    // Nothing was begun, written or started yet.
    for early in [
        Request::UpdatePiece,
        Request::UpdateEnd,
        start(&[]),
        Request::MarkGood,
    ] {
        assert_eq!(
            site.refuses(early.clone()),
            RefusalKind::Conflict,
            "{early:?}"
        );
    }
    // What is cut short is no update; nor is what comes after a piece that was refused.
    begin(bundle.len());
    site.bring(Request::UpdatePiece, &bundle[..100]).unwrap();
    assert_eq!(site.refuses(Request::UpdateEnd), RefusalKind::Bad);
    begin(bundle.len());
    let refused = site.bring(Request::UpdatePiece, &[b'x'; 100]).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Bad);
    assert_eq!(site.refuses(Request::UpdateEnd), RefusalKind::Conflict);

    begin(bundle.len());
    for piece in bundle.chunks(100_000) {
        site.bring(Request::UpdatePiece, piece).unwrap();
    }
    let told = site.ask(Request::UpdateEnd).unwrap();
    assert_eq!(told, json!({ "version": "0.2.0" }));
    let state = site.ask(Request::State).unwrap();
    assert_eq!(state["update"]["state"], json!("written"));
    assert_eq!(state["slots"]["trying"], Value::Null);
    site.ask(start(&["driveway"])).unwrap();
    assert_eq!(site.last_ran(), REBOOT);

    boot(&site.places, Slot::B);
    let trial = site.ask(Request::Trial).unwrap();
    assert_eq!(trial, json!({ "trying": true, "cameras": ["driveway"] }));
    // Nothing else is tried meanwhile.
    let back = || Request::FallBack {
        why: "it lacks a camera".to_owned(),
    };
    let bytes = 1;
    assert_eq!(
        site.refuses(Request::UpdateBegin { bytes }),
        RefusalKind::Conflict
    );
    site.ask(back()).unwrap();
    assert_eq!(site.last_ran(), REBOOT);
    boot(&site.places, Slot::A);
    let state = site.ask(Request::State).unwrap();
    assert_eq!(state["slots"]["good"], json!("a"));
    assert_eq!(
        (&state["update"]["state"], &state["update"]["message"]),
        (&json!("fellBack"), &json!("it lacks a camera"))
    );

    // The same from a stick.
    fs::create_dir(site.temp.path().join("stick")).unwrap();
    for name in ["moonfire-nvr-0.2.0-armv7.update", "letter.txt"] {
        fs::write(site.temp.path().join("stick").join(name), &bundle).unwrap();
    }
    site.machine.disks.lock().unwrap().as_array_mut().unwrap().push(json!({
        "name": "sdb", "type": "disk", "size": 1000, "children": [
            {"name": "sdb1", "type": "part", "size": 1000, "fstype": "vfat", "uuid": "5A1C-33AA"}]}));
    let state = site.ask(Request::State).unwrap();
    let found = json!([{ "file": "sdb1/moonfire-nvr-0.2.0-armv7.update", "version": "0.2.0",
        "sizeBytes": bundle.len() }]);
    assert_eq!(state["updateFiles"], found);
    for (file, state) in [
        ("sdb1/letter.txt", "failed"),
        ("sdb1/../sdb1/moonfire-nvr-0.2.0-armv7.update", "failed"),
        ("mmcblk0p4/moonfire-nvr-0.2.0-armv7.update", "failed"),
        ("sdb1/moonfire-nvr-0.2.0-armv7.update", "done"),
    ] {
        let file = file.to_owned();
        site.ask(Request::Install { file: file.clone() }).unwrap();
        assert_eq!(site.job()["state"], json!(state), "{file}");
    }
    site.ask(start(&[])).unwrap();
    boot(&site.places, Slot::B);
    site.ask(Request::MarkGood).unwrap();
    let state = site.ask(Request::State).unwrap();
    assert_eq!(state["slots"]["good"], json!("b"));
    assert_eq!(state["update"]["state"], json!("good"));
    // An administrator may want the version before all the same: it is tried as well.
    site.ask(back()).unwrap();
    boot(&site.places, Slot::A);
    let trial = site.ask(Request::Trial).unwrap();
    assert_eq!(trial, json!({ "trying": true, "cameras": [] }));
}

#[test]
fn a_version_is_not_found_good_without_the_page_and_a_reset_wants_the_name() {
    use crate::appliance::slots::Slot;
    use crate::appliance::update::tests::{boot, make_card, update};
    // Nobody serves there: it is let go of again.
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let site = Site::with_page(nowhere);
    make_card(&site.places);
    let bundle = update("0.2.0");
    let bytes = bundle.len() as u64;
    site.ask(Request::UpdateBegin { bytes }).unwrap();
    for piece in bundle.chunks(100_000) {
        site.bring(Request::UpdatePiece, piece).unwrap();
    }
    site.ask(Request::UpdateEnd).unwrap();
    let cameras = Vec::new();
    site.ask(Request::StartUpdate { cameras }).unwrap();
    boot(&site.places, Slot::B);
    assert_eq!(site.refuses(Request::MarkGood), RefusalKind::Failed);
    assert_eq!(site.ask(Request::Trial).unwrap()["trying"], json!(true));

    let reset = |confirm: &str, recordings| Request::Reset {
        confirm: confirm.to_owned(),
        recordings,
    };
    assert_eq!(site.refuses(reset("barn", true)), RefusalKind::Conflict);
    assert!(!site.places.reset().exists());
    for (recordings, note) in [(false, "settings\n"), (true, "everything\n")] {
        site.ask(reset("moonfire-nvr", recordings)).unwrap();
        assert_eq!(fs::read_to_string(site.places.reset()).unwrap(), note);
        assert_eq!(site.last_ran(), "systemctl --no-block reboot");
    }
}
