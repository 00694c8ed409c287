//! How an appliance is set up: what its boot file and its page may say, each value checked in itself.
//!
//! What is not said is `None`: the default. The boot file's word goes before the page's.

use crate::config::{self, Secret};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The name where none is given.
pub const DEFAULT_HOSTNAME: &str = "moonfire-nvr";

/// The most time servers, name servers and keys.
pub const MAX_LISTED: usize = 16;

/// The longest SSH key, in bytes: RSA of 16,384 bits takes 2,800.
const MAX_KEY_BYTES: usize = 4096;

/// A checked text, which is written as it was read.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<$name, String> {
                let check: fn(&str) -> Result<String, String> = $check;
                check(text).map($name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<$name, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked!(
    /// One label of a name (RFC 1123 section 2.1), in lower case.
    Hostname,
    hostname
);
checked!(
    /// A time zone's name, as in `Europe/Zurich`.
    ZoneName,
    |text| config::time_zone(text).map(|zone| zone.iana_name().unwrap_or(text).to_owned())
);
checked!(
    /// A name or an address.
    Host,
    |text| match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => config::values::host_name(text)
            .map_err(|_| format!("{text:?} is neither a name nor an address; write it like \"pool.ntp.org\" or \"192.0.2.1\"")),
    }
);
checked!(
    /// A public key as in `authorized_keys` (sshd(8)), without options.
    SshKey,
    ssh_key
);
checked!(
    /// A network device, as in `eth0`.
    Interface,
    interface
);
checked!(
    /// An address with the length of its network, as in `192.0.2.5/24`.
    Cidr,
    |text| cidr(text).map(|(address, bits)| format!("{address}/{bits}"))
);
checked!(
    /// The name of a wireless network: 1 to 32 bytes.
    Ssid,
    |text| match text.len() {
        1..=32 => Ok(text.to_owned()),
        _ => Err("the name of a Wi-Fi has 1 to 32 bytes".to_owned()),
    }
);
checked!(
    /// A country (ISO 3166-1 alpha-2), which says on which channels one may send.
    Country,
    |text| match text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        true => Ok(text.to_ascii_uppercase()),
        false => Err(format!("{text:?} is no country; write its two letters, as in \"CH\"")),
    }
);

/// All of it. `None` is the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<ZoneName>,
    /// Time servers; the system's if empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ntp: Option<Vec<Host>>,
    /// Cameras may ask this machine for the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ntp_server: Option<bool>,
    /// Without one there is no SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_keys: Option<Vec<SshKey>>,
    /// What may be recorded to the card while there is no disk, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency_bytes: Option<u64>,
    /// Fixed addresses; DHCP without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wifi: Option<Wifi>,
}

/// Fixed addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// Any wired one without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
    /// From DHCP without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Cidr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
}

/// A wireless network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wifi {
    pub ssid: Ssid,
    /// An open network without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<WifiPassword>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
}

/// 8 to 63 printable ASCII characters, or 64 hexadecimal digits of a key (IEEE 802.11 annex M.4).
/// Its `Debug` never shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WifiPassword(pub Secret);

impl FromStr for WifiPassword {
    type Err = String;

    fn from_str(text: &str) -> Result<WifiPassword, String> {
        let printable = text.bytes().all(|b| (32..127).contains(&b));
        let is_key = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match (printable && (8..=63).contains(&text.len())) || is_key {
            true => Ok(WifiPassword(Secret(text.to_owned()))),
            false => Err("a Wi-Fi password has 8 to 63 characters, all of ASCII".to_owned()),
        }
    }
}

impl TryFrom<String> for WifiPassword {
    type Error = String;

    fn try_from(text: String) -> Result<WifiPassword, String> {
        text.parse()
    }
}

impl From<WifiPassword> for String {
    fn from(password: WifiPassword) -> String {
        password.0.0
    }
}

impl Network {
    /// What does not go together, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        let Some(address) = &self.address else {
            return match self.gateway {
                Some(_) => Err(
                    "a gateway goes with a fixed `address`; write that, or leave it out".to_owned(),
                ),
                None => Ok(()),
            };
        };
        let (own, bits) = cidr(address.as_str())?;
        match self.gateway {
            Some(gateway) if gateway.is_ipv4() != own.is_ipv4() => Err(format!(
                "the gateway {gateway} is of another kind than the address {own}"
            )),
            Some(gateway) if gateway == own => Err(format!(
                "the gateway {gateway} is this machine's own address; write the router's"
            )),
            Some(gateway) if !same_network(own, gateway, bits) => Err(format!(
                "the gateway {gateway} is not in the network {address}; write the router's address"
            )),
            _ => Ok(()),
        }
    }
}

impl Settings {
    /// What is not said here is `other`'s.
    pub fn or(self, other: Settings) -> Settings {
        Settings {
            hostname: self.hostname.or(other.hostname),
            time_zone: self.time_zone.or(other.time_zone),
            ntp: self.ntp.or(other.ntp),
            ntp_server: self.ntp_server.or(other.ntp_server),
            ssh_keys: self.ssh_keys.or(other.ssh_keys),
            emergency_bytes: self.emergency_bytes.or(other.emergency_bytes),
            network: self.network.or(other.network),
            wifi: self.wifi.or(other.wifi),
        }
    }

    pub fn hostname(&self) -> &str {
        self.hostname
            .as_ref()
            .map_or(DEFAULT_HOSTNAME, Hostname::as_str)
    }

    /// UTC without.
    pub fn time_zone(&self) -> &str {
        self.time_zone.as_ref().map_or("UTC", ZoneName::as_str)
    }

    pub fn emergency_bytes(&self) -> u64 {
        self.emergency_bytes.unwrap_or(0)
    }

    /// What does not go together, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        let lists = [
            self.ntp.as_ref().map_or(0, Vec::len),
            self.ssh_keys.as_ref().map_or(0, Vec::len),
            self.network.as_ref().map_or(0, |n| n.dns.len()),
        ];
        if lists.into_iter().any(|n| n > MAX_LISTED) {
            return Err(format!("a list has more than {MAX_LISTED} entries"));
        }
        if let Some(bytes) = self.emergency_bytes {
            emergency(bytes)?;
        }
        self.network.as_ref().map_or(Ok(()), Network::check)
    }
}

/// The least and the most that may be recorded to the card, unless it is nothing.
const EMERGENCY_BYTES: std::ops::RangeInclusive<u64> = 64_000_000..=64_000_000_000;

/// How much may be recorded to the card, in bytes.
pub fn emergency(bytes: u64) -> Result<u64, String> {
    match bytes == 0 || EMERGENCY_BYTES.contains(&bytes) {
        true => Ok(bytes),
        false => Err("what may be recorded to the card is nothing, or 64 MB to 64 GB".to_owned()),
    }
}

fn hostname(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let edges = text.starts_with('-') || text.ends_with('-');
    match (1..=63).contains(&text.len()) && text.bytes().all(good) && !edges {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!(
            "{text:?} is no name for a machine; write letters, digits and hyphens, at most 63, as in \
             \"moonfire-nvr\""
        )),
    }
}

fn ssh_key(text: &str) -> Result<String, String> {
    const SHAPE: &str = "that is no public key; write the line of id_ed25519.pub, which begins with \"ssh-ed25519 \"";
    if text.len() > MAX_KEY_BYTES || text.chars().any(char::is_control) {
        return Err(SHAPE.to_owned());
    }
    let mut words = text.split(' ').filter(|w| !w.is_empty());
    let (kind, key) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let known = [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ];
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(key);
    // A key's first field is its kind again (RFC 4253 section 6.6).
    let says = bytes.is_ok_and(|b| {
        b.get(..4)
            .is_some_and(|n| n == (kind.len() as u32).to_be_bytes())
            && b.get(4..4 + kind.len()) == Some(kind.as_bytes())
    });
    match known.contains(&kind) && says {
        true => Ok(text.trim().to_owned()),
        false => Err(SHAPE.to_owned()),
    }
}

fn interface(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    // IFNAMSIZ with its NUL is 16 (netdevice(7)).
    match (1..=15).contains(&text.len()) && text.bytes().all(good) && text != "." && text != ".." {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no network device; write it like \"eth0\""
        )),
    }
}

fn cidr(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong =
        || format!("{text:?} is no address with its network; write it like \"192.0.2.5/24\"");
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let usable = !address.is_unspecified() && !address.is_multicast() && !address.is_loopback();
    match (1..=most).contains(&bits) && usable {
        true => Ok((address, bits)),
        false => Err(wrong()),
    }
}

fn same_network(a: IpAddr, b: IpAddr, bits: u8) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(a) => u128::from(u32::from(a)) << 96,
        IpAddr::V6(a) => u128::from(a),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    // A router of IPv6 may be known by its address on the link (RFC 4861 section 4.2).
    let on_link = matches!(b, IpAddr::V6(b) if b.is_unicast_link_local());
    on_link || number(a) & mask == number(b) & mask
}

#[cfg(test)]
pub(in crate::appliance) mod tests {
    use super::*;

    /// A key that `ssh-keygen` made.
    pub(in crate::appliance) const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqmTf8iN2lbCSFPWzvU1aXW2NzxUpYyGjHqZ9Z1sQ2b anna@desk";

    #[test]
    fn values_are_checked_in_themselves() {
        assert_eq!("NVR-1".parse::<Hostname>().unwrap().as_str(), "nvr-1");
        for bad in ["", "-a", "a-", "a.b", "a b", "\u{e9}", &"a".repeat(64)] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad}");
        }
        assert_eq!(KEY.parse::<SshKey>().unwrap().as_str(), KEY);
        let with_options = format!("command=\"x\" {KEY}");
        let two = format!("{KEY}\nssh-rsa AAAA");
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-dss AAAA",
            &with_options,
            &two,
        ] {
            assert!(bad.parse::<SshKey>().is_err(), "{bad}");
        }
        for good in ["192.0.2.5/24", "2001:db8::5/64"] {
            assert_eq!(good.parse::<Cidr>().unwrap().as_str(), good);
        }
        for bad in [
            "192.0.2.5",
            "192.0.2.5/0",
            "192.0.2.5/33",
            "0.0.0.0/8",
            "127.0.0.1/8",
            "x/24",
            "192.0.2.5/24/1",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "short",
            "with\nnewline",
            "p\u{e9}ssword",
            &"a".repeat(65),
        ] {
            let told = bad.parse::<WifiPassword>().unwrap_err();
            assert!(bad.is_empty() || !told.contains(bad), "{told}");
        }
        assert!("../eth0".parse::<Interface>().is_err());
        assert!("Europe/Zurich".parse::<ZoneName>().is_ok());
        for bad in ["../../etc/shadow", "Europe/Zuerich", ""] {
            assert!(bad.parse::<ZoneName>().is_err(), "{bad}");
        }
        assert!("CHE".parse::<Country>().is_err());
        assert!(emergency(1).is_err() && emergency(0).is_ok());
    }

    #[test]
    fn a_gateway_is_in_the_network() {
        let network = |address: &str, gateway: &str| Network {
            address: Some(address.parse().unwrap()),
            gateway: Some(gateway.parse().unwrap()),
            ..Network::default()
        };
        for (address, gateway, good) in [
            ("192.0.2.5/24", "192.0.2.1", true),
            ("192.0.2.5/24", "192.0.3.1", false),
            ("192.0.2.5/24", "192.0.2.5", false),
            ("192.0.2.5/24", "fe80::1", false),
            ("192.0.2.5/32", "192.0.2.1", false),
            ("2001:db8::5/64", "fe80::1", true),
            ("2001:db8::5/64", "2001:db8::1", true),
        ] {
            assert_eq!(
                network(address, gateway).check().is_ok(),
                good,
                "{address} {gateway}"
            );
        }
        let mut alone = network("192.0.2.5/24", "192.0.2.1");
        alone.address = None;
        assert!(alone.check().is_err());
    }

    #[test]
    fn the_first_word_counts_and_nothing_is_lost_on_the_way() {
        let file = Settings {
            hostname: Some("file".parse().unwrap()),
            ..Settings::default()
        };
        let page = Settings {
            hostname: Some("page".parse().unwrap()),
            wifi: Some(Wifi {
                ssid: "home".parse().unwrap(),
                password: Some("correct horse".parse().unwrap()),
                country: None,
            }),
            emergency_bytes: Some(1_000_000_000),
            ..Settings::default()
        };
        let both = file.or(page.clone());
        assert_eq!(both.hostname(), "file");
        assert_eq!(both.wifi, page.wifi);
        let text = toml::to_string(&both).unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), both, "{text}");
        assert!(!format!("{both:?}").contains("correct horse"));
        assert!(serde_json::from_str::<Settings>(r#"{"hostname": "a b"}"#).is_err());
        assert!(serde_json::from_str::<Settings>(r#"{"hostnam": "a"}"#).is_err());
    }
}
