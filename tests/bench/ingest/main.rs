//! `cargo bench --bench ingest [-- --streams 6,12,24,100 --seconds 20 --dir DIR]`
//!
//! What recording costs, against bare programs that take the same bytes, in the same run: for each
//! number of streams a source process sends 1080p30 H.264 at about 4 Mbit/s over interleaved RTSP, and
//! in turn the recorder (the whole daemon: hash, index, journal, SQLite) and the floors receive it.
//!
//! * `epoll-each`: epoll, one recv of up to 256 KiB and one write for each readiness.
//! * `tick100-parse`: no epoll; every 100 ms each socket is drained by recvs of up to 1 MiB, the packets
//!   are turned into AVC form in place, and written 256 KiB at a time.
//!
//! The source's CPU time is not counted. Only ratios within one run mean anything: machines are noisy.

mod floors;
mod measure;
mod recorder;
mod source;

use measure::Measured;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: measure::Counting = measure::Counting;

/// Who is measured, and the argument that makes this program it.
const RECORDER: &str = "recorder";
const FLOORS: [&str; 2] = ["epoll-each", "tick100-parse"];

struct Options {
    streams: Vec<usize>,
    seconds: u64,
    rounds: usize,
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |i: usize| args.get(i).cloned().unwrap_or_default();
    match arg(0).as_str() {
        "source" => source::run(),
        RECORDER => recorder::run(
            &arg(1),
            arg(2).parse().expect("streams"),
            Path::new(&arg(3)),
        ),
        floor if FLOORS.contains(&floor) => {
            floors::run(
                floor,
                &arg(1),
                arg(2).parse().expect("streams"),
                Path::new(&arg(3)),
            );
        }
        _ => return bench(&args),
    }
    ExitCode::SUCCESS
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        streams: vec![6, 12, 24, 100],
        seconds: 20,
        rounds: 1,
        dir: None,
    };
    let mut args = args.iter().filter(|a| *a != "--bench");
    while let Some(name) = args.next() {
        let value = args.next().ok_or(format!("{name} wants a value"))?;
        let bad = |_| format!("{name} {value} is no number");
        match name.as_str() {
            "--streams" => {
                options.streams = value
                    .split(',')
                    .map(|n| n.parse().map_err(bad))
                    .collect::<Result<_, _>>()?;
            }
            "--seconds" => options.seconds = value.parse().map_err(bad)?,
            "--rounds" => options.rounds = value.parse().map_err(bad)?,
            "--dir" => options.dir = Some(value.into()),
            _ => {
                return Err(format!(
                    "{name} is not known; there are --streams N,N --seconds N --rounds N --dir DIR"
                ));
            }
        }
    }
    Ok(options)
}

fn bench(args: &[String]) -> ExitCode {
    let options = match options(args) {
        Ok(o) => o,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(2);
        }
    };
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = options
        .dir
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    println!(
        "sample files in {}; {} s each",
        dir.display(),
        options.seconds
    );
    println!(
        "{:>7} {:14} {:>9} {:>8} {:>8} {:>9} {:>9} {:>8} {:>12} {:>15}",
        "streams",
        "who",
        "s/st-h",
        "RSS MB",
        "calls/fr",
        "alloc/fr",
        "alloc/rec",
        "threads",
        "/epoll-each",
        "/tick100-parse"
    );
    for n in &options.streams {
        for _ in 0..options.rounds {
            let source = source::Source::start();
            let floors: Vec<Measured> = FLOORS
                .iter()
                .map(|f| measure::child(f, &source.address, *n, &dir, options.seconds))
                .collect();
            let recorder = measure::child(RECORDER, &source.address, *n, &dir, options.seconds);
            for (who, m) in FLOORS.iter().zip(&floors).chain([(&RECORDER, &recorder)]) {
                println!(
                    "{n:>7} {who:14} {:>9.3} {:>8.1} {:>8} {:>9} {:>9} {:>8} {:>12.2} {:>15.2}",
                    m.cpu_seconds_per_stream_hour,
                    m.rss_mb,
                    m.calls_per_frame.map_or("-".into(), |c| format!("{c:.3}")),
                    m.allocations
                        .as_ref()
                        .map_or("-".into(), |a| format!("{:.4}", a.per_frame)),
                    m.allocations
                        .as_ref()
                        .map_or("-".into(), |a| format!("{:.0}", a.per_recording)),
                    m.threads,
                    m.cpu_seconds_per_stream_hour / floors[0].cpu_seconds_per_stream_hour,
                    m.cpu_seconds_per_stream_hour / floors[1].cpu_seconds_per_stream_hour,
                );
            }
        }
    }
    ExitCode::SUCCESS
}
