//! `moonfire-nvr appliance new-key`, `bundle` and `slots`.

use super::super::{Exit, Failure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use moonfire_nvr::appliance::bundle::{self, BOOT, Manifest, Part, ROOT};
use moonfire_nvr::appliance::slots::{Records, State};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Make a pair of keys for updates: one to sign them with, and one that the image holds.
///
/// Keep the first where nobody else can read it: who has it can install what he likes on every machine
/// whose image was built with the second. Without it, those machines take no update.
#[derive(clap::Args)]
pub struct NewKey {
    /// The file to be made; the public half is put beside it, with .pub behind its name.
    file: PathBuf,
}

/// Make an update of an image's parts, signed.
#[derive(clap::Args)]
pub struct Bundle {
    /// The file of the key to sign with.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The version, as in 0.2.0.
    #[arg(long)]
    version: String,
    /// The root file system.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The folder with the files of a slot on the boot partition.
    #[arg(long, value_name = "FOLDER")]
    boot: PathBuf,
    /// The update to be made, as in moonfire-nvr-0.2.0-armv7.update.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// Show which slot a card boots, or write its first record.
#[derive(clap::Args)]
pub struct Slots {
    /// The card, or an image of one.
    #[arg(long, value_name = "FILE", default_value = "/dev/mmcblk0")]
    card: PathBuf,
    /// Write the record of a new card: slot a is good.
    #[arg(long)]
    first: bool,
}

fn at(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::Io {
        path: path.to_owned(),
        error,
    }
}

pub fn new_key(args: &NewKey) -> Result<Exit, Failure> {
    let failed = |what: &str| Failure::Failed(format!("no key can be made: {what}"));
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| failed("no random numbers"))?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|e| failed(&e.to_string()))?;
    let mut public = args.file.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file)
        .map_err(at(&args.file))?;
    writeln!(file, "{}", STANDARD.encode(pkcs8.as_ref())).map_err(at(&args.file))?;
    let line = format!("{}\n", STANDARD.encode(pair.public_key().as_ref()));
    fs::write(&public, line).map_err(at(&public))?;
    println!(
        "{}: to sign updates with; keep it to yourself",
        args.file.display()
    );
    println!("{}: for the image", public.display());
    Ok(Exit::Fine)
}

pub fn make(args: &Bundle) -> Result<Exit, Failure> {
    let text = fs::read_to_string(&args.key).map_err(at(&args.key))?;
    let wrong = || {
        Failure::Failed(format!(
            "{}: that is no key of `appliance new-key`",
            args.key.display()
        ))
    };
    let pkcs8 = STANDARD.decode(text.trim()).map_err(|_| wrong())?;
    let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| wrong())?;
    let mut files = vec![(ROOT.to_owned(), args.root.clone())];
    let entries = fs::read_dir(&args.boot).map_err(at(&args.boot))?;
    let mut names: Vec<_> = entries
        .collect::<Result<Vec<_>, _>>()
        .map_err(at(&args.boot))?;
    // The same parts are the same bytes.
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        if !entry.file_type().map_err(at(&args.boot))?.is_file() {
            let message = format!(
                "{}: only files, no folders, are in a slot",
                entry.path().display()
            );
            return Err(Failure::Failed(message));
        }
        files.push((
            format!("{BOOT}{}", entry.file_name().to_string_lossy()),
            entry.path(),
        ));
    }
    let parts: Result<Vec<Part>, Failure> =
        files.iter().map(|(name, path)| part(name, path)).collect();
    let manifest = Manifest {
        version: args.version.clone(),
        machine: bundle::MACHINE.to_owned(),
        parts: parts?,
    };
    let head = bundle::head(&manifest, &pair).map_err(|e| Failure::Failed(e.to_string()))?;
    let mut out = File::create(&args.output).map_err(at(&args.output))?;
    out.write_all(&head).map_err(at(&args.output))?;
    for (_, path) in &files {
        let mut file = File::open(path).map_err(at(path))?;
        io::copy(&mut file, &mut out).map_err(at(path))?;
    }
    out.sync_all().map_err(at(&args.output))?;
    let bytes = head.len() as u64 + manifest.bytes();
    println!(
        "{}: {} parts, {bytes} bytes, signed",
        args.output.display(),
        manifest.parts.len()
    );
    Ok(Exit::Fine)
}

fn part(name: &str, path: &Path) -> Result<Part, Failure> {
    let mut file = File::open(path).map_err(at(path))?;
    let mut digest = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(at(path))? {
            0 => break,
            n => {
                digest.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
    Ok(Part {
        name: name.to_owned(),
        bytes,
        sha256: bundle::hex(&digest.finalize()),
    })
}

pub fn slots(args: &Slots) -> Result<Exit, Failure> {
    let file = OpenOptions::new()
        .read(true)
        .write(args.first)
        .open(&args.card)
        .map_err(at(&args.card))?;
    let records = Records(&file);
    let there = records.read().map_err(at(&args.card))?;
    if args.first && there.is_none() {
        records.write(State::FIRST).map_err(at(&args.card))?;
    }
    match records.read().map_err(at(&args.card))? {
        None => println!("there is no record: the card boots what its first partition says"),
        Some(State {
            serial,
            good,
            trial,
        }) => {
            println!("slot {good} is good (record {serial})");
            if let Some((slot, left)) = trial {
                println!("slot {slot} is on trial, and is booted {left} more times at most");
            }
        }
    }
    Ok(Exit::Fine)
}
