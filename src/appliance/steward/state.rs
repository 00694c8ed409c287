//! How the machine fares, from what the kernel and the boot tell.

use super::{Steward, change};
use crate::appliance::apply;
use crate::appliance::places::Places;
use crate::appliance::protocol::{Answer, Lamp, Refusal, RefusalKind};
use crate::appliance::update::{Card, Writer};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// After so long, what was written to the card says something about a day.
const MEASURED_SECS: f64 = 3600.0;

impl Steward {
    pub(super) fn state(&mut self) -> Value {
        self.sticks.look(&*self.system, &self.places);
        let card = Card::find(&self.places).ok();
        let last = card.as_ref().map(Card::last).unwrap_or_default();
        let percent = self.writer.as_ref().map(Writer::percent);
        let loaded = apply::load(&self.places);
        let read = |path: &str| read(&self.places, path);
        let problems = fs::read_to_string(self.places.problems_json()).unwrap_or_default();
        let uptime = read("/proc/uptime").and_then(|t| t.split(' ').next()?.parse::<f64>().ok());
        json!({
            "appliance": true,
            "hostname": loaded.settings().hostname(),
            "board": read("/proc/device-tree/model"),
            "serial": read("/proc/device-tree/serial-number"),
            "version": version(&self.places),
            "uptimeSeconds": uptime.map(|t| t as u64),
            "temperatureCelsius": read("/sys/class/thermal/thermal_zone0/temp")
                .and_then(|t| t.parse::<f64>().ok()).map(|t| (t / 100.0).round() / 10.0),
            "underVoltage": under_voltage(&self.places),
            "clockSynchronized": self.places.clock_was_set().exists(),
            "cardWrites": card_writes(&self.places, uptime),
            "problems": serde_json::from_str(&problems).unwrap_or(Value::Array(Vec::new())),
            "settings": change::told(&loaded),
            "slots": card.as_ref().map(Card::to_json),
            "update": {
                "state": last.state,
                "version": last.version,
                "message": last.message,
                "percent": percent,
            },
            "updateFiles": self.sticks.files(),
            "job": self.jobs.to_json(),
        })
    }
}

/// The image's version (os-release(5)).
fn version(places: &Places) -> Option<String> {
    let text = fs::read_to_string(places.at("/etc/os-release")).ok()?;
    let value = text
        .lines()
        .find_map(|l| l.strip_prefix("IMAGE_VERSION="))?;
    Some(value.trim_matches('"').to_owned())
}

/// A short text that the kernel tells; the device tree's end with a NUL.
fn read(places: &Places, path: &str) -> Option<String> {
    let text = fs::read_to_string(places.at(path)).ok()?;
    let text = text.trim_end_matches('\0').trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The firmware's alarm (the kernel's raspberrypi-hwmon), which stays until it is read.
fn under_voltage(places: &Places) -> Option<bool> {
    let monitors = fs::read_dir(places.at("/sys/class/hwmon")).ok()?;
    let folder = monitors
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|folder| {
            fs::read_to_string(folder.join("name")).is_ok_and(|n| n.trim() == "rpi_volt")
        })?;
    let alarm = fs::read_to_string(folder.join("in0_lcrit_alarm")).ok()?;
    Some(alarm.trim() != "0")
}

/// What was written to the card since the start: the seventh number of its counters, in sectors of 512
/// bytes (the kernel's Documentation/block/stat.rst).
fn card_writes(places: &Places, uptime: Option<f64>) -> Value {
    let card = ["mmcblk0", "vda"];
    let sectors = card.iter().find_map(|name| {
        let stat = read(places, &format!("/sys/class/block/{name}/stat"))?;
        stat.split_ascii_whitespace().nth(6)?.parse::<u64>().ok()
    });
    let bytes = sectors.map(|n| n * 512);
    let per_day = bytes.zip(uptime.filter(|t| *t >= MEASURED_SECS));
    json!({
        "sinceBootBytes": bytes,
        "bytesPerDay": per_day.map(|(bytes, secs)| (bytes as f64 * 86_400.0 / secs) as u64),
    })
}

/// Lamps of the boards, the first that there is.
const LAMPS: [&str; 4] = ["ACT", "led0", "default-on", "PWR"];

/// Has the board's lamp show something. A board without a lamp shows nothing, which is no error.
pub fn show(places: &Places, pattern: Lamp) -> Answer {
    let folder = LAMPS
        .iter()
        .map(|name| places.at("/sys/class/leds").join(name))
        .find(|f| f.exists());
    let Some(folder) = folder else {
        return Ok(json!({ "lamp": null }));
    };
    let set = |file: &str, text: &str| -> Result<(), Refusal> {
        let path: PathBuf = folder.join(file);
        fs::write(&path, text)
            .map_err(|e| Refusal::new(RefusalKind::Failed, format!("{}: {e}", path.display())))
    };
    let (on, off) = match pattern {
        Lamp::Idle => {
            set("trigger", "none")?;
            set("brightness", "1")?;
            return Ok(json!({ "lamp": pattern }));
        }
        Lamp::Recording => ("100", "1900"),
        Lamp::NoDisk => ("1000", "1000"),
        Lamp::Fault => ("100", "100"),
    };
    // The kernel blinks (ledtrig-timer); the two files are there once the trigger is set.
    set("trigger", "timer")?;
    set("delay_on", on)?;
    set("delay_off", off)?;
    Ok(json!({ "lamp": pattern }))
}
