//! `moonfire-nvr demo`: simulated cameras and the recorder, to see it work with one command.

use super::{Exit, Failure, entropy};
use moonfire_nvr::config::Config;
use moonfire_nvr::db::{Database, Mode};
use moonfire_nvr::reactor::{self, DiskChoice};
use moonfire_nvr::simulated_camera::network::{Options, Picture, RunningCamera};
use moonfire_nvr::simulated_camera::onvif::OnvifConfig;
use moonfire_nvr::simulated_camera::onvif_network::RunningOnvif;
use moonfire_nvr::simulated_camera::{Authentication, Faults, Scheme};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, Signal};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many ports above the one asked for are tried before any that is free is taken.
const PORTS_TRIED: u16 = 20;
const USERNAME: &str = "admin";
/// The cameras are on this machine only and there is nothing to hide.
const PASSWORD: &str = "demonstration";

/// Show it at work: two simulated cameras and the recorder, all in one folder.
///
/// The cameras draw their pictures themselves, speak ONVIF and ask for passwords. They are not named anywhere:
/// the recorder, which is told a user name and password, finds them, and keeps 1 GB of each one's main stream
/// and 200 MB of its sub stream. Ctrl-C ends all of it in good order. Other
/// commands can look at the same recordings with --config and the file that is in the folder.
#[derive(clap::Args)]
pub struct Demo {
    /// The folder for everything; made if it is not there.
    ///
    /// Default: moonfire-nvr-demo in $XDG_STATE_HOME, which is ~/.local/state unless set.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Where to serve the page; if the port is taken, one after it. Port 0 takes any that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Name the cameras in the configuration, rather than let them be found.
    #[arg(long)]
    configured: bool,
}

pub fn run(args: Demo) -> Result<Exit, Failure> {
    let dir = match args.dir {
        Some(dir) => std::path::absolute(&dir).map_err(|error| Failure::Io { path: dir, error })?,
        None => default_dir()?,
    };
    make_dir(&dir)?;
    let _alone = lock(&dir)?;
    // So is a recorder that was started with the last demonstration's file.
    drop(Database::open(&dir.join("db"), Mode::Create, entropy())?);
    // The recorder takes these in its own thread; the cameras' threads, which inherit this, must
    // not be killed by them before it could end in good order.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals
        .thread_block()
        .map_err(|e| Failure::Failed(format!("signals: {e}")))?;
    let lan = match args.configured {
        true => None,
        false => Some(Lan::of(&dir)),
    };
    let cameras = start_cameras(lan)?;
    let _services = match lan {
        Some(lan) => start_services(lan, &cameras)?,
        None => Vec::new(),
    };
    let listen = free_address(args.listen)?;
    let config = write_config(&dir, listen, &cameras, lan)?;
    let taken = match listen == args.listen || args.listen.port() == 0 {
        true => String::new(),
        false => format!(" ({} is taken)", args.listen),
    };
    println!(
        "Recording two simulated cameras{}: look at http://{listen}/{taken}. Everything is in {}; \
         Ctrl-C ends it.",
        if lan.is_some() {
            ", once they are found"
        } else {
            ""
        },
        dir.display()
    );
    let options = reactor::Options {
        load_config: None,
        database: Mode::Create,
        disk: DiskChoice::default(),
    };
    reactor::run(config, options).map_err(|e| Failure::Failed(e.to_string()))?;
    // Whoever read the first line may not be there for the last.
    let _ = writeln!(
        io::stdout(),
        "Ended in good order. The next start goes on where this one ended."
    );
    Ok(Exit::Fine)
}

fn default_dir() -> Result<PathBuf, Failure> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        // The specification wants relative ones ignored.
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")))
        .filter(|p| p.is_absolute());
    match state {
        Some(state) => Ok(state.join("moonfire-nvr-demo")),
        None => Err(Failure::Usage(
            "there is no home folder (HOME is not set): say --dir FOLDER".to_owned(),
        )),
    }
}

/// Another demonstration in the same folder is to be noticed before its file is replaced, although the
/// database is locked only when the cameras are there.
fn lock(dir: &Path) -> Result<Flock<File>, Failure> {
    let fail = |error| Failure::Io {
        path: dir.to_owned(),
        error,
    };
    let folder = File::open(dir).map_err(fail)?;
    Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => Failure::Failed(format!(
            "another demonstration is using {}: end it, or give another --dir",
            dir.display()
        )),
        errno => fail(errno.into()),
    })
}

/// The folder and the one for samples in it, for their owner only.
fn make_dir(dir: &Path) -> Result<(), Failure> {
    let sample = dir.join("sample");
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&sample);
    made.map_err(|error| Failure::Io {
        path: sample,
        error,
    })
}

/// Addresses of a demonstration's own within 127.0.0.0/8, the same each time for one folder: so cameras are
/// found where they were, and two demonstrations do not find each other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lan([u8; 3]);

impl Lan {
    fn of(dir: &Path) -> Lan {
        let hash = Sha256::digest(dir.as_os_str().as_bytes());
        // Not 127.0.*, where others are.
        Lan([127, hash[0] % 254 + 1, hash[1]])
    }

    fn host(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.0[0], self.0[1], self.0[2], host)
    }

    /// As in `[onboard] only`.
    fn subnet(self) -> String {
        format!("{}/24", self.host(0))
    }
}

/// The ports of the cameras' RTSP and ONVIF, each on its own address.
const RTSP_PORT: u16 = 8554;
const ONVIF_PORT: u16 = 8000;

/// The cameras' ONVIF.
fn start_services(
    lan: Lan,
    cameras: &[(&'static str, RunningCamera)],
) -> Result<Vec<RunningOnvif>, Failure> {
    let hosts = 2..;
    let each = cameras.iter().zip(hosts);
    each.map(|((name, camera), host)| {
        let listen = SocketAddr::from((lan.host(host), ONVIF_PORT));
        let config = OnvifConfig {
            name: (*name).to_owned(),
            serial: u64::from(u32::from(lan.host(host))),
            authentication: Some(authentication(Scheme::Md5)),
            clock_ahead_secs: 0,
            rtsp: camera.addr(),
            services: listen,
            main: (1280, 720, 30),
            sub: (640, 360, 10),
        };
        let failed =
            |e| Failure::Failed(format!("simulated camera {name}, ONVIF on {listen}: {e}"));
        RunningOnvif::start(config, listen, true).map_err(failed)
    })
    .collect()
}

fn authentication(scheme: Scheme) -> Authentication {
    Authentication {
        username: USERNAME.to_owned(),
        password: PASSWORD.to_owned(),
        scheme,
    }
}

/// `driveway` and `garden`, with different ways to prove the password.
fn start_cameras(lan: Option<Lan>) -> Result<Vec<(&'static str, RunningCamera)>, Failure> {
    [("driveway", Scheme::Sha256, 2), ("garden", Scheme::Md5, 3)]
        .into_iter()
        .map(|(name, scheme, host)| {
            let camera = RunningCamera::start(Options {
                name: name.to_owned(),
                listen: match lan {
                    Some(lan) => SocketAddr::from((lan.host(host), RTSP_PORT)),
                    None => SocketAddr::from(([127, 0, 0, 1], 0)),
                },
                authentication: Some(authentication(scheme)),
                faults: Faults::none(),
                picture: picture(name),
                seed: u64::from(std::process::id()),
            });
            match camera {
                Ok(camera) => Ok((name, camera)),
                Err(e) => Err(Failure::Failed(format!("simulated camera {name}: {e}"))),
            }
        })
        .collect()
}

#[cfg(feature = "ffmpeg")]
fn picture(name: &str) -> Picture {
    use moonfire_nvr::simulated_camera::scene::Place;
    Picture::Drawn(match name {
        "garden" => Place::Garden,
        _ => Place::Driveway,
    })
}

/// Noise rather than a picture: without FFmpeg there is no encoder.
#[cfg(not(feature = "ffmpeg"))]
fn picture(_: &str) -> Picture {
    Picture::Synthetic(moonfire_nvr::simulated_camera::Synthetic::default())
}

/// The address asked for, or one like it whose port is free.
fn free_address(asked: SocketAddr) -> Result<SocketAddr, Failure> {
    let above = (0..=PORTS_TRIED).filter_map(|n| asked.port().checked_add(n));
    // Port 0 asks for any that is free, and so does the end of the list.
    let named = above.filter(|_| asked.port() != 0);
    for port in named.chain([0]) {
        let mut addr = asked;
        addr.set_port(port);
        match TcpListener::bind(addr).and_then(|l| l.local_addr()) {
            Ok(addr) => return Ok(addr),
            Err(e) if e.kind() == ErrorKind::AddrInUse => {}
            Err(e) => return Err(Failure::Failed(format!("cannot listen on {addr}: {e}"))),
        }
    }
    Err(Failure::Failed(format!("{}: no port is free", asked.ip())))
}

/// Writes the configuration into the folder, for other commands, and reads it back for this one.
fn write_config(
    dir: &Path,
    listen: SocketAddr,
    cameras: &[(&str, RunningCamera)],
    lan: Option<Lan>,
) -> Result<Config, Failure> {
    let text = |s: &str| toml::Value::from(s).to_string();
    let folder = |name: &str| text(&dir.join(name).to_string_lossy());
    let mut file = format!(
        "# Written anew by each `moonfire-nvr demo`.\n\
         db_dir = {}\nsample_dirs = [{}]\n\n\
         [[http]]\nlisten = {}\nallow_unauthenticated = [\"view_live\", \"view_recordings\"]\n",
        folder("db"),
        folder("sample"),
        text(&listen.to_string()),
    );
    if let Some(lan) = lan {
        file.push_str(&format!(
            "\n[onboard]\ninterfaces = [\"lo\"]\nauto = true\nonly = [{}]\nusername = {}\n\
             password = {}\nretain = \"1 GB\"\nsub_retain = \"200 MB\"\n",
            text(&lan.subnet()),
            text(USERNAME),
            text(PASSWORD)
        ));
    }
    // Those that are to be found are not named.
    let named = if lan.is_some() { &[] } else { cameras };
    for (name, camera) in named {
        file.push_str(&format!(
            "\n[[camera]]\nname = {}\nusername = {}\npassword = {}\n",
            text(name),
            text(USERNAME),
            text(PASSWORD)
        ));
        for (stream, retain) in [("main", "1 GB"), ("sub", "200 MB")] {
            file.push_str(&format!(
                "[camera.{stream}]\nurl = {}\nretain = {}\n",
                text(&camera.url(stream)),
                text(retain)
            ));
        }
    }
    let path = dir.join("moonfire-nvr.toml");
    match replace_file(&path, &file) {
        Ok(()) => Ok(Config::load(&path)?),
        Err(error) => Err(Failure::Io { path, error }),
    }
}

/// Writes a file for its owner only, whole or not at all.
fn replace_file(path: &Path, content: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(content.as_bytes())?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = taken.local_addr().unwrap();
        let free = free_address(asked).unwrap();
        assert_ne!(free, asked);
        assert_eq!(free.ip(), asked.ip());
        drop(taken);
        assert_eq!(free_address(asked).unwrap(), asked);
    }

    #[test]
    fn two_in_one_folder_are_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let first = lock(temp.path()).unwrap();
        let told = lock(temp.path()).unwrap_err().to_string();
        assert!(
            told.starts_with("another demonstration is using "),
            "{told}"
        );
        drop(first);
        lock(temp.path()).unwrap();
    }

    #[test]
    fn the_configuration_is_one_that_reads_back() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a \"quoted\" folder");
        make_dir(&dir).unwrap();
        make_dir(&dir).unwrap();
        let camera = RunningCamera::start(Options {
            name: "x".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            authentication: None,
            faults: Faults::none(),
            picture: Picture::Synthetic(Default::default()),
            seed: 1,
        })
        .unwrap();
        let url = camera.url("sub");
        let cameras = [("driveway", camera)];
        let listen = SocketAddr::from(([127, 0, 0, 1], 8081));
        let config = write_config(&dir, listen, &cameras, None).unwrap();
        assert_eq!(config.db_dir, dir.join("db"));
        assert_eq!(config.sample_dirs, [dir.join("sample")]);
        let sub = config.cameras[0].sub.as_ref().unwrap();
        assert_eq!((&sub.url, sub.retain.bytes), (&url, Some(200_000_000)));
        assert_eq!(config.cameras[0].password.0, PASSWORD);
        let lan = Lan::of(&dir);
        let config = write_config(&dir, listen, &cameras, Some(lan)).unwrap();
        assert_eq!(config.cameras, []);
        assert!(config.onboard.auto && config.onboard.may(lan.host(2)));
        assert!(!config.onboard.may([127, 0, 0, 1].into()));
    }
}
