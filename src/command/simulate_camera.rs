//! `moonfire-nvr simulate-camera`: a camera made of software, for tests and for trying things out.

use super::{Exit, Failure};
use clap::ValueEnum;
use moonfire_nvr::simulated_camera::misbehave::Kind;
use moonfire_nvr::simulated_camera::network::{Options, Picture, RunningCamera};
use moonfire_nvr::simulated_camera::onvif::OnvifConfig;
use moonfire_nvr::simulated_camera::onvif_network::RunningOnvif;
use moonfire_nvr::simulated_camera::{Authentication, Fault, Scheme, Synthetic};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Play a camera: RTSP with a main and a sub stream, behaving well or badly.
///
/// The picture is drawn, with the time in it, and encoded while somebody watches; or a file is
/// looped; or small synthetic pictures are made, which cost next to nothing. It prints the streams'
/// URLs, one a line, and goes on until it is killed (Ctrl-C).
#[derive(clap::Args)]
#[command(after_help = list_faults())]
pub struct SimulateCamera {
    /// Address and port; port 0 takes any that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8554")]
    listen: SocketAddr,
    /// The camera's name, shown in the picture.
    #[arg(long, default_value = "driveway")]
    name: String,
    /// What is to be seen in the picture.
    #[arg(long, value_enum, default_value_t = Scene::Driveway)]
    scene: Scene,
    /// Loop the video of this file (H.264 in .mp4, .mkv or raw) instead of drawing.
    #[arg(long, value_name = "FILE", conflicts_with = "synthetic")]
    file: Option<PathBuf>,
    /// Synthetic pictures of 1280x720 at 30 frames and about this many bytes a second.
    #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "500000")]
    synthetic: Option<u32>,
    /// Ask for this user's name and password.
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// The password, with --username.
    #[arg(long, requires = "username")]
    password: Option<String>,
    /// How the password is proved.
    #[arg(long, value_enum, default_value_t = Digest::Md5)]
    digest: Digest,
    /// What to do wrong; see below. May be given several times.
    #[arg(long, value_name = "NAME[=N]")]
    misbehave: Vec<Fault>,
    /// Speak ONVIF at this address and answer WS-Discovery on its network; port 0 takes any that is free.
    #[arg(long, value_name = "ADDRESS")]
    onvif: Option<SocketAddr>,
    /// So many seconds is its clock ahead, as ONVIF tells; negative if it is behind.
    #[arg(
        long,
        value_name = "SECONDS",
        allow_negative_numbers = true,
        requires = "onvif",
        default_value_t = 0
    )]
    clock_ahead: i64,
    /// Where chance comes from: nonces, SSRCs, which packets are lost.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scene {
    /// A house at dusk; a car goes by.
    Driveway,
    /// A garden by day; a bird flies about.
    Garden,
}

#[derive(Clone, Copy, ValueEnum)]
enum Digest {
    #[value(name = "sha-256")]
    Sha256,
    Md5,
    Basic,
    /// Let everybody in, whatever --username says.
    None,
}

pub fn run(args: SimulateCamera) -> Result<Exit, Failure> {
    let (onvif, name) = (args.onvif, args.name.clone());
    let (clock_ahead_secs, serial) = (args.clock_ahead, args.seed);
    let authentication = args.authentication();
    let camera = RunningCamera::start(Options {
        picture: args.picture()?,
        authentication: args.authentication(),
        name: args.name,
        listen: args.listen,
        faults: args.misbehave.into_iter().collect(),
        seed: args.seed,
    })
    .map_err(|e| Failure::Failed(e.to_string()))?;
    for stream in ["main", "sub"] {
        println!("{}", camera.url(stream));
    }
    let _services = match onvif {
        None => None,
        Some(listen) => {
            let config = OnvifConfig {
                name,
                serial,
                authentication,
                clock_ahead_secs,
                rtsp: camera.addr(),
                services: listen,
                main: (1280, 720, 30),
                sub: (640, 360, 10),
            };
            let failed = |e| Failure::Failed(format!("ONVIF on {listen}: {e}"));
            let services = RunningOnvif::start(config, listen, true).map_err(failed)?;
            println!("http://{}/onvif/device_service", services.addr());
            Some(services)
        }
    };
    loop {
        std::thread::park();
    }
}

impl SimulateCamera {
    fn authentication(&self) -> Option<Authentication> {
        let scheme = match self.digest {
            Digest::Sha256 => Scheme::Sha256,
            Digest::Md5 => Scheme::Md5,
            Digest::Basic => Scheme::Basic,
            Digest::None => return None,
        };
        Some(Authentication {
            username: self.username.clone()?,
            password: self.password.clone()?,
            scheme,
        })
    }

    fn picture(&self) -> Result<Picture, Failure> {
        match (&self.file, self.synthetic) {
            (Some(file), _) => read_clip(file),
            (None, Some(bytes)) => Ok(Picture::Synthetic(synthetic(bytes, self.seed))),
            (None, None) => draw(self.scene),
        }
    }
}

/// 1280x720 at 30 frames a second, a sync sample of eight times the others' size every 2 s.
fn synthetic(bytes_per_second: u32, seed: u64) -> Synthetic {
    let other_bytes = bytes_per_second / 34;
    Synthetic {
        seed,
        width: 1280,
        height: 720,
        frame_rate: 30,
        gop_frames: 60,
        sync_bytes: other_bytes.saturating_mul(8),
        other_bytes,
        change_at: None,
    }
}

#[cfg(feature = "ffmpeg")]
fn read_clip(file: &std::path::Path) -> Result<Picture, Failure> {
    match moonfire_nvr::simulated_camera::clip::read(file) {
        Ok(clip) => Ok(Picture::Clip(clip.into())),
        Err(e) => Err(Failure::Failed(format!("{}: {e}", file.display()))),
    }
}

#[cfg(feature = "ffmpeg")]
fn draw(scene: Scene) -> Result<Picture, Failure> {
    use moonfire_nvr::simulated_camera::scene::Place;
    Ok(Picture::Drawn(match scene {
        Scene::Driveway => Place::Driveway,
        Scene::Garden => Place::Garden,
    }))
}

#[cfg(not(feature = "ffmpeg"))]
fn read_clip(_: &std::path::Path) -> Result<Picture, Failure> {
    Err(Failure::Usage(
        "this program was built without FFmpeg and cannot read --file: use --synthetic".to_owned(),
    ))
}

#[cfg(not(feature = "ffmpeg"))]
fn draw(_: Scene) -> Result<Picture, Failure> {
    Err(Failure::Usage(
        "this program was built without FFmpeg and cannot draw: use --synthetic".to_owned(),
    ))
}

/// The faults for the help, one a line.
fn list_faults() -> String {
    let mut text = "What can be misbehaved (N has a default where it is left out):".to_owned();
    for kind in Kind::all() {
        let name = match kind.default_number() {
            Some(default) => format!("{}={default}", kind.name()),
            None => kind.name().to_owned(),
        };
        text.push_str(&format!("\n  {name:<22} {}", kind.describe()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SimulateCamera,
    }

    fn parse(line: &str) -> Result<SimulateCamera, String> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        match Line::try_parse_from(words) {
            Ok(line) => Ok(line.args),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn arguments_are_understood() {
        let args = parse(
            "--synthetic --misbehave stall=9 --misbehave no-marker --username u --password p \
             --digest sha-256",
        )
        .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(args.misbehave.len(), 2);
        assert_eq!(args.authentication().unwrap().scheme, Scheme::Sha256);
        assert!(matches!(args.picture(), Ok(Picture::Synthetic(_))));
        for (line, part) in [
            ("--misbehave fly", "no fault named"),
            ("--misbehave stall=x", "a number from 1 to"),
            ("--username u", "--password"),
            ("--file a --synthetic", "cannot be used with"),
        ] {
            let told = parse(line).err().unwrap_or_default();
            assert!(told.contains(part), "{line}: {told}");
        }
    }

    #[test]
    fn the_help_lists_every_fault() {
        let help = list_faults();
        assert!(Kind::all().all(|k| help.contains(k.describe())));
    }

    #[test]
    fn synthetic_pictures_take_the_bytes_asked_for() {
        let stream = synthetic(500_000, 1);
        let bytes: usize = (0..60).map(|n| stream.frame(n).to_avc().len()).sum();
        assert!((900_000..1_100_000).contains(&bytes), "{bytes}");
    }
}
