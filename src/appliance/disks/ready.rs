//! Making a disk ready: formatting, mounting, taking it into use, letting it go.

use super::list::{self, Device};
use super::{EMERGENCY, Known, folder_name};
use crate::appliance::places::{Places, RECORDER_ID, SAMPLE_LABEL};
use crate::appliance::protocol::{Refusal, RefusalKind};
use crate::appliance::system::System;
use crate::appliance::{apply, settings};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;

/// It has [`settle`] called in two minutes.
const SETTLE_TIMER: &str = "moonfire-nvr-settle.timer";

/// Nothing on a disk for recordings is a program or a device, and nobody asks when a file was read.
const OPTIONS: &str = "nosuid,nodev,noexec,noatime,errors=remount-ro";

fn failed(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Failed, message)
}

/// Finds a disk that may be formatted, and that is the one meant.
pub fn to_be_formatted(system: &dyn System, disk: &str, confirm: &str) -> Result<Device, Refusal> {
    let conflict = |message: String| Refusal::new(RefusalKind::Conflict, message);
    let disks = list::list(system).map_err(failed)?;
    let found = disks.into_iter().find(|d| d.name == disk);
    let found = found
        .ok_or_else(|| Refusal::new(RefusalKind::NotFound, format!("there is no disk {disk}")))?;
    if found.is_system() {
        return Err(conflict(format!(
            "{disk} is the card that this machine runs from; it is not formatted"
        )));
    }
    if found.is_read_only() {
        return Err(conflict(format!(
            "{disk} cannot be written; look for a switch on it"
        )));
    }
    if found.confirm() != confirm {
        let message = format!(
            "to format {disk}, `confirm` must be {:?}, which is what is plugged in there now",
            found.confirm()
        );
        return Err(conflict(message));
    }
    if let Some(part) = found.parts().into_iter().find(|p| p.mounted_at().is_some()) {
        let at = part.mounted_at().unwrap_or_default();
        return Err(conflict(format!(
            "{} is in use, at {at}; unmount it first",
            part.name
        )));
    }
    Ok(found)
}

/// Makes a file system for recordings on all of a device, or in a file of a test.
///
/// Few and large files: one inode a MiB. Nothing is kept for root; the tables are written while it is
/// in use already, so that a large disk is not waited for.
pub fn make_file_system(system: &dyn System, device: &str) -> Result<(), Refusal> {
    system
        .run("wipefs", &["--all", "--quiet", device])
        .map_err(failed)?;
    let arguments = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-L",
        SAMPLE_LABEL,
        "-m",
        "0",
        "-i",
        "1048576",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1",
        device,
    ];
    system.run("mke2fs", &arguments).map_err(failed)?;
    Ok(())
}

/// Mounts a sample disk, if it is not, and takes it into use. Says in a sentence what was done.
pub fn mount(system: &dyn System, places: &Places, name: &str) -> Result<String, Refusal> {
    let disks = list::list(system).map_err(failed)?;
    let found = list::find(&disks, name);
    // A whole disk stands for the sample disk on it.
    let found = found.and_then(|(_, device)| device.parts().into_iter().find(|p| p.is_sample()));
    let device = found.ok_or_else(|| {
        Refusal::new(
            RefusalKind::NotFound,
            format!("{name} is no disk for recordings; format it first"),
        )
    })?;
    let folder = device.uuid.as_deref().and_then(folder_name);
    let folder = folder.ok_or_else(|| failed("its file system has no UUID"))?;
    let at = places.media().join(&folder);
    if device.mounted_as().is_none() {
        fs::create_dir_all(&at).map_err(|e| failed(format!("{}: {e}", at.display())))?;
        check(system, &device.path());
        let target = at.to_string_lossy().into_owned();
        let mounted = system.run(
            "mount",
            &["-t", "ext4", "-o", OPTIONS, &device.path(), &target],
        );
        if let Err(e) = mounted {
            // It may have been mounted meanwhile, because it was plugged in.
            let again = list::list(system).map_err(failed)?;
            let there =
                list::find(&again, &device.name).is_some_and(|(_, d)| d.mounted_as().is_some());
            if !there {
                return Err(failed(e));
            }
        }
    }
    let alone_with_known = alone(places)?;
    let mut known = Known::load(places).unwrap_or_default();
    if known.is_to_be_erased(&folder) {
        let mut erase = || -> io::Result<()> {
            match fs::remove_dir_all(at.join("sample")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            known.erased(&folder);
            known.save(places)
        };
        erase().map_err(|e| failed(format!("{}: {e}", at.display())))?;
    }
    drop(alone_with_known);
    make_sample_dir(&at).map_err(|e| failed(format!("{}: {e}", at.display())))?;
    let mut present = mounted(&disks);
    if !present.contains(&folder) {
        present.push(folder.clone());
    }
    update(system, places, |known| known.came(&folder, &present))?;
    Ok(format!("{} is in use for recordings", device.name))
}

/// Mounts what was just made. What udev knows of the device is from before: it is asked to look again, and has
/// then looked when this returns. That it has settled would not say so: it may not have noticed yet.
pub fn mount_settled(system: &dyn System, places: &Places, name: &str) -> Result<String, Refusal> {
    let device = format!("--name-match=/dev/{name}");
    let look_again = [
        "20",
        "udevadm",
        "trigger",
        "--settle",
        "--action=change",
        &device,
    ];
    if let Err(e) = system.run("timeout", &look_again) {
        eprintln!("{e}");
    }
    mount(system, places, name)
}

/// Mends what a power cut left. What it finds does not keep the disk from being mounted: that fails by
/// itself if it must.
fn check(system: &dyn System, device: &str) {
    if let Err(e) = system.run("e2fsck", &["-p", device]) {
        eprintln!("{e}");
    }
}

fn make_sample_dir(mounted: &Path) -> io::Result<()> {
    let folder = mounted.join("sample");
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    if nix::unistd::geteuid().is_root() {
        chown(&folder, Some(RECORDER_ID), Some(RECORDER_ID))?;
    }
    File::open(mounted)?.sync_all()
}

/// Lets a disk go because somebody wants that: its streams go to another one, if there is one.
pub fn give_up(system: &dyn System, places: &Places, name: &str) -> Result<String, Refusal> {
    let told = unmount(system, places, name)?;
    let present = mounted(&list::list(system).map_err(failed)?);
    update(system, places, |known| known.keep(&present))?;
    Ok(told)
}

/// Lets a disk go, as the machine goes off, or because it was unplugged. It may be back in a moment: its
/// streams wait for it until [`settle`] comes.
pub fn unmount(system: &dyn System, places: &Places, name: &str) -> Result<String, Refusal> {
    let disks = list::list(system).map_err(failed)?;
    let (folder, device) = match list::find(&disks, name) {
        Some((_, found)) => {
            let part = found.parts().into_iter().find(|p| p.mounted_as().is_some());
            let part = part.ok_or_else(|| {
                Refusal::new(
                    RefusalKind::Conflict,
                    format!("{name} is not in use for recordings"),
                )
            })?;
            (part.mounted_as().unwrap_or_default(), part.name.clone())
        }
        // It is gone already: what is mounted of no device.
        None => match orphan(places, name) {
            Some(folder) => (folder, name.to_owned()),
            None => {
                return Err(Refusal::new(
                    RefusalKind::NotFound,
                    format!("there is no disk {name}"),
                ));
            }
        },
    };
    let present: Vec<String> = mounted(&disks)
        .into_iter()
        .filter(|f| *f != folder)
        .collect();
    let at = places.media().join(&folder);
    nix::unistd::sync();
    let target = at.to_string_lossy().into_owned();
    // What is still open there is let go by those who have it open.
    let unmounted = system
        .run("umount", &[&target])
        .or_else(|_| system.run("umount", &["--lazy", &target]));
    unmounted.map_err(failed)?;
    if present.is_empty() {
        no_disk(system, places)?;
    } else if let Err(e) = system.run("systemctl", &["--no-block", "restart", SETTLE_TIMER]) {
        eprintln!("{e}");
    }
    Ok(format!("{device} may be unplugged"))
}

/// What is mounted in our place from a device that is not there any more.
fn orphan(places: &Places, name: &str) -> Option<String> {
    let mounts = fs::read_to_string(places.at("/proc/mounts")).ok()?;
    let device = format!("/dev/{name}");
    let mut of_it = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(&device)).then(|| words.next())?
    });
    let folder = of_it.find_map(|at| at.strip_prefix("/media/nvr/"))?;
    folder_name(folder).filter(|n| n == folder)
}

/// The folders of the sample disks that are mounted.
fn mounted(disks: &[Device]) -> Vec<String> {
    let parts = disks.iter().flat_map(Device::parts);
    parts
        .filter_map(Device::mounted_as)
        .filter(|f| f != EMERGENCY)
        .collect()
}

/// Some time after the start, some time after a disk went, or when what is allowed has changed: streams of
/// disks that are away go to those that are there; without a disk, recordings go to the card, if they may. Says
/// what was done.
pub fn settle(system: &dyn System, places: &Places) -> Result<String, Refusal> {
    let present = mounted(&list::list(system).map_err(failed)?);
    if present.is_empty() {
        return no_disk(system, places);
    }
    update(system, places, |known| known.keep(&present))?;
    if places.emergency_image().exists() {
        // What is in it was recorded while there was no disk, and can be looked at.
        let _alone = alone(places)?;
        mount_emergency(system, places)?;
    }
    Ok("there is a disk".to_owned())
}

fn no_disk(system: &dyn System, places: &Places) -> Result<String, Refusal> {
    let allowed = apply::load(places).settings().emergency_bytes();
    let ready = allowed > 0 && emergency(system, places, allowed)?;
    update(system, places, |known| known.none_is_there(ready))?;
    Ok(match ready {
        true => {
            "there is no disk: recordings go to the card, within what is allowed there".to_owned()
        }
        false => "there is no disk: nothing is recorded".to_owned(),
    })
}

/// Makes and mounts the file system on the card. It is a file of a fixed size, so that recordings never
/// take more of the card than that.
fn emergency(system: &dyn System, places: &Places, bytes: u64) -> Result<bool, Refusal> {
    let bytes = settings::emergency(bytes).map_err(failed)?;
    let _alone = alone(places)?;
    if is_mounted(places, &places.media().join(EMERGENCY)) {
        return Ok(true);
    }
    let image = places.emergency_image();
    let has = fs::metadata(&image).map(|m| m.len()).ok();
    if has.is_some_and(|has| has != bytes) {
        mount_emergency(system, places)?;
        let at = places.media().join(EMERGENCY);
        if list::count_recordings(&at.join("sample")) != Some(0) {
            // Another size has to wait until what is recorded there was given up.
            return Ok(true);
        }
        let run = system.run("umount", &[&*at.to_string_lossy()]);
        run.map_err(failed)?;
    }
    if has != Some(bytes) {
        // Under its name only once it is whole: a power cut leaves none, or the one before.
        let new = image.with_file_name("new-emergency.img");
        let io = |e: io::Error| failed(format!("{}: {e}", new.display()));
        let file = File::create(&new).map_err(io)?;
        file.set_len(bytes).map_err(io)?;
        make_file_system(system, &new.to_string_lossy())?;
        file.sync_all().map_err(io)?;
        fs::rename(&new, &image).map_err(io)?;
    }
    mount_emergency(system, places)?;
    Ok(true)
}

/// One at a time, of the steward and what udev and systemd start: until what is returned is dropped.
fn alone(places: &Places) -> Result<Flock<File>, Refusal> {
    let path = places.disks_lock();
    let io = |e: io::Error| failed(format!("{}: {e}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let file = File::create(&path).map_err(io)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| io(e.into()))
}

fn mount_emergency(system: &dyn System, places: &Places) -> Result<(), Refusal> {
    let at = places.media().join(EMERGENCY);
    if is_mounted(places, &at) {
        return Ok(());
    }
    let io = |e: io::Error| failed(format!("{}: {e}", at.display()));
    fs::create_dir_all(&at).map_err(io)?;
    let image = places.emergency_image();
    let (device, target) = (image.to_string_lossy(), at.to_string_lossy());
    let options = format!("loop,{OPTIONS}");
    system
        .run("mount", &["-t", "ext4", "-o", &options, &device, &target])
        .map_err(failed)?;
    make_sample_dir(&at).map_err(io)
}

fn is_mounted(places: &Places, at: &Path) -> bool {
    let mounts = fs::read_to_string(places.at("/proc/mounts")).unwrap_or_default();
    let at = at.to_str();
    mounts.lines().any(|l| l.split(' ').nth(1) == at)
}

/// Changes what is known of disks, and has the recorder take it in if that changes where it records to.
fn update(
    system: &dyn System,
    places: &Places,
    change: impl FnOnce(&mut Known) -> bool,
) -> Result<(), Refusal> {
    let alone = alone(places)?;
    let mut known = Known::load(places).unwrap_or_default();
    if change(&mut known) {
        known
            .save(places)
            .map_err(|e| failed(format!("disks.toml: {e}")))?;
    }
    drop(alone);
    take_in(system, places)
}

/// Writes the recorder's configuration anew, and tells it if that changed.
pub fn take_in(system: &dyn System, places: &Places) -> Result<(), Refusal> {
    let config = apply::load(places).config;
    let changed =
        apply::write_config(places, &config).map_err(|e| failed(format!("config.toml: {e}")))?;
    if changed {
        let arguments = [
            "kill",
            "--signal=HUP",
            "--kill-whom=main",
            "moonfire-nvr.service",
        ];
        if let Err(e) = system.run("systemctl", &arguments) {
            // It is not running: it reads what is there when it starts.
            eprintln!("{e}");
        }
    }
    Ok(())
}
