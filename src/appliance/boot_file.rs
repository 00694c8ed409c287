//! The boot file: what somebody writes onto the card, before its first start or later.
//!
//! `[appliance]` is about the machine, the rest is the recorder's configuration (`guide/configure.md`).
//! Reading it never fails: what is wrong is told with its line and is as if it were not there; all else
//! holds.

use super::settings::{Network, Settings, Wifi, emergency};
use crate::config::reader::{Reader, Section, Sections, not_a};
use crate::config::{self, Config, Problem, SECTIONS};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The largest boot file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// So many lines or sections that are no TOML are left out; with more, the whole file is.
const MAX_MENDED: usize = 19;

/// The keys before the first section: the recorder's, and the machine's section.
const TOP_KEYS: [&str; SECTIONS[0].1.len() + 1] = {
    let mut keys = ["appliance"; SECTIONS[0].1.len() + 1];
    let mut i = 0;
    while i < SECTIONS[0].1.len() {
        keys[i + 1] = SECTIONS[0].1[i];
        i += 1;
    }
    keys
};

/// The machine's sections.
const OF_MACHINE: [(&str, &[&str]); 3] = [
    (
        "[appliance]",
        &[
            "hostname",
            "timezone",
            "ntp",
            "ntp_server",
            "ssh_key",
            "emergency",
            "network",
            "wifi",
        ],
    ),
    (
        "[appliance.network]",
        &["dhcp", "interface", "address", "gateway", "dns"],
    ),
    ("[appliance.wifi]", &["ssid", "password", "country"]),
];

const ALL_SECTIONS: [(&str, &[&str]); SECTIONS.len() + OF_MACHINE.len()] = {
    let mut all = [(SECTIONS[0].0, &TOP_KEYS as &[&str]); SECTIONS.len() + OF_MACHINE.len()];
    let mut i = 1;
    while i < all.len() {
        all[i] = match i < SECTIONS.len() {
            true => SECTIONS[i],
            false => OF_MACHINE[i - SECTIONS.len()],
        };
        i += 1;
    }
    all
};

/// A boot file's [`Sections`]: the recorder's, each where its reader looks for it, and the machine's.
const BOOT_SECTIONS: &Sections = &ALL_SECTIONS;

const APPLIANCE: usize = SECTIONS.len();
const NETWORK: usize = APPLIANCE + 1;
const WIFI: usize = APPLIANCE + 2;

/// What a boot file says.
#[derive(Clone, Debug)]
pub struct BootFile {
    pub settings: Settings,
    /// Valid in itself; what the file does not say is the defaults'.
    pub config: Config,
    /// What is wrong, in order of line.
    pub problems: Vec<Problem>,
}

impl BootFile {
    /// Reads a boot file. `defaults` are the recorder's where the file does not say otherwise; its zone
    /// is the machine's if the file names one.
    pub fn parse(bytes: &[u8], defaults: &Config) -> BootFile {
        let alone = |message: String| BootFile {
            settings: Settings::default(),
            config: defaults.clone(),
            problems: vec![Problem { at: None, message }],
        };
        if bytes.len() > MAX_FILE_BYTES {
            return alone(format!(
                "is larger than {MAX_FILE_BYTES} bytes; nothing of it is taken"
            ));
        }
        // Editors of some systems begin a file with a mark (Unicode, section 23.8).
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let lossy = String::from_utf8_lossy(bytes);
        let text: &str = &lossy;
        let mut reader = Reader::new(text, BOOT_SECTIONS);
        let mended = mend(text, &mut reader);
        let (root, _) = DeTable::parse_recoverable(&mended);
        if std::str::from_utf8(bytes).is_err() {
            let at = text.find('\u{fffd}').unwrap_or(0);
            reader.problem(
                at..at,
                "this is not UTF-8; save the file as UTF-8".to_owned(),
            );
        }
        let settings = reader.appliance(root.get_ref());
        let mut defaults = defaults.clone();
        if let Some(zone) = &settings.time_zone {
            // It was found before.
            defaults.time_zone = config::time_zone(zone.as_str()).unwrap_or(defaults.time_zone);
        }
        let config = reader.config(&root, Some(&defaults));
        BootFile {
            settings,
            config,
            problems: reader.into_problems(),
        }
    }
}

/// The text with spaces in the place of what is no TOML, each told: lines, and from the head of a section
/// that cannot be read all of that section, so that its keys do not come to be another's.
fn mend(text: &str, reader: &mut Reader) -> String {
    let mut mended = text.to_owned();
    for _ in 0..MAX_MENDED {
        let Err(error) = DeTable::parse(&mended) else {
            return mended;
        };
        reader.syntax(&error);
        let at = error.span().map_or(0, |span| span.start).min(mended.len());
        let wrong = around(&mended, at);
        if mended[wrong.clone()].trim().is_empty() {
            break;
        }
        let blank = |b: u8| if b == b'\n' { b } else { b' ' };
        let bytes = mended.bytes().enumerate();
        // Whole lines are blanked, so that no character is cut.
        let bytes = bytes.map(|(i, b)| if wrong.contains(&i) { blank(b) } else { b });
        mended = String::from_utf8(bytes.collect()).unwrap_or_default();
    }
    if DeTable::parse(&mended).is_ok() {
        return mended;
    }
    let message = "there is too much in it that is no TOML; nothing of it is taken";
    reader.problem(0..0, message.to_owned());
    String::new()
}

/// The line at `at`, or the section that it begins.
fn around(text: &str, at: usize) -> Range<usize> {
    let start = text.as_bytes()[..at]
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |i| i + 1);
    let line_end = |from: usize| text[from..].find('\n').map_or(text.len(), |i| from + i);
    let head = |line: &str| {
        let name = line
            .trim_start()
            .strip_prefix('[')?
            .trim_start_matches('[')
            .trim_start();
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
        Some(name[..end.unwrap_or(name.len())].to_owned())
    };
    let mut end = line_end(start);
    let Some(name) = head(&text[start..end]) else {
        return start..end;
    };
    while end < text.len() {
        let next_end = line_end(end + 1);
        let line = &text[end + 1..next_end];
        let is_another =
            line.trim_start().starts_with("[[") || head(line).is_some_and(|n| n != name);
        if is_another {
            break;
        }
        end = next_end;
    }
    start..end
}

impl Reader<'_> {
    fn appliance(&mut self, root: &DeTable) -> Settings {
        let Some(value) = root.get("appliance") else {
            return Settings::default();
        };
        let DeValue::Table(table) = value.get_ref() else {
            let message =
                "write [appliance] as a section of its own, with one bracket on each side";
            self.problem(value.span(), message.to_owned());
            return Settings::default();
        };
        let section = self.section(APPLIANCE, "[appliance]".into(), table, value.span());
        Settings {
            hostname: self.optional(&section, "hostname", str::parse),
            time_zone: self.optional(&section, "timezone", str::parse),
            ntp: self.list(&section, "ntp", str::parse),
            ntp_server: self.boolean(&section, "ntp_server"),
            ssh_keys: self.list(&section, "ssh_key", str::parse),
            emergency_bytes: self.optional(&section, "emergency", |text| {
                if text == "none" {
                    return Ok(0);
                }
                let bytes = config::values::size(text);
                emergency(bytes.ok_or_else(|| {
                    format!("{text:?} is no size; write it like \"2 GB\", or \"none\"")
                })?)
            }),
            network: self.network(&section),
            wifi: self.wifi(&section),
        }
    }

    /// One text or a list of them. Those that are wrong are left out.
    fn list<T>(
        &mut self,
        section: &Section,
        key: &str,
        parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let value = section.get(key)?;
        let mut parse = parse;
        match value.get_ref() {
            DeValue::String(_) => Some(self.value(key, value, parse)?).map(|v| vec![v]),
            DeValue::Array(array) => {
                let given = array.len();
                let mut all = self.texts(section, key, &mut parse);
                if given > super::settings::MAX_LISTED {
                    let most = super::settings::MAX_LISTED;
                    self.problem(
                        value.span(),
                        format!("`{key}`: there are more than {most}; the first count"),
                    );
                    all.truncate(most);
                }
                // A list of nothing but mistakes says nothing.
                (given == 0 || !all.is_empty()).then(|| all.into_iter().map(|(v, _)| v).collect())
            }
            _ => {
                let message = not_a(value, "text in quotes, or a list of them in brackets");
                self.problem(value.span(), format!("`{key}`: {message}"));
                None
            }
        }
    }

    fn network(&mut self, appliance: &Section) -> Option<Network> {
        let section = self.table(appliance, "network", NETWORK, "[appliance.network]")?;
        let dhcp = self.boolean(&section, "dhcp");
        let ip = |text: &str| config::values::ip_address(text);
        let network = Network {
            interface: self.optional(&section, "interface", str::parse),
            address: self.optional(&section, "address", str::parse),
            gateway: self.optional(&section, "gateway", ip),
            dns: self.list(&section, "dns", ip).unwrap_or_default(),
        };
        let by_dhcp = |interface| Network {
            interface,
            ..Network::default()
        };
        let given = |key| section.get(key).is_some();
        let told = match (dhcp, &network.address) {
            (Some(true), Some(_)) => {
                Err("`dhcp = true` and an `address`; remove one: the address counts".to_owned())
            }
            (Some(false), None) if !given("address") => {
                Err("`dhcp = false` needs an `address`; DHCP is used".to_owned())
            }
            _ => Ok(()),
        };
        if let Err(message) = told {
            self.problem(section.span.clone(), message);
        }
        if given("address") && network.address.is_none() {
            // Told already. Its gateway means nothing alone.
            return Some(by_dhcp(network.interface));
        }
        match network.check() {
            Ok(()) => Some(network),
            Err(message) => {
                self.problem(section.span, format!("{message}; DHCP is used"));
                Some(by_dhcp(network.interface))
            }
        }
    }

    fn wifi(&mut self, appliance: &Section) -> Option<Wifi> {
        let section = self.table(appliance, "wifi", WIFI, "[appliance.wifi]")?;
        let ssid = self.required(&section, "ssid", str::parse);
        let password = self.optional(&section, "password", str::parse);
        let country = self.optional(&section, "country", str::parse);
        if password.is_none() && section.get("password").is_some() {
            // With a password that is wrong, an open network of that name is not the one meant.
            return None;
        }
        Some(Wifi {
            ssid: ssid?,
            password,
            country,
        })
    }
}

#[cfg(test)]
mod tests;
