//! What an appliance's settings come to: the files that the system's own programs read. No I/O.

use super::settings::{Network, Settings, Wifi};
use std::fmt::Write;

/// A file to be there, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// From the root on.
    pub path: &'static str,
    /// `None`: it must not be there.
    pub content: Option<String>,
    /// Nobody but root may read it.
    pub secret: bool,
}

/// Network devices with fixed addresses, and all others.
const FIXED_NETWORK: &str = "/run/systemd/network/10-moonfire-nvr.network";
const ANY_NETWORK: &str = "/run/systemd/network/20-moonfire-nvr.network";

/// All files of the settings. Each that is not needed is named without a content.
pub fn outputs(settings: &Settings) -> Vec<Output> {
    let public = |path, content| Output {
        path,
        content,
        secret: false,
    };
    let secret = |path, content| Output {
        path,
        content,
        secret: true,
    };
    let network = settings.network.as_ref();
    let keys = settings.ssh_keys.as_deref().unwrap_or_default();
    let keys: String = keys.iter().map(|key| format!("{key}\n")).collect();
    let servers = settings.ntp.as_deref().unwrap_or_default();
    let servers: Vec<&str> = servers.iter().map(|s| s.as_str()).collect();
    let some = |text: String| (!text.is_empty()).then_some(text);
    vec![
        public(FIXED_NETWORK, network.map(fixed)),
        public(ANY_NETWORK, Some(any())),
        public(
            "/run/moonfire-nvr/hostname",
            Some(format!("{}\n", settings.hostname())),
        ),
        public(
            "/run/systemd/timesyncd.conf.d/moonfire-nvr.conf",
            (!servers.is_empty()).then(|| format!("[Time]\nNTP={}\n", servers.join(" "))),
        ),
        public(
            "/run/moonfire-nvr/ntp-server",
            (settings.ntp_server == Some(true)).then(String::new),
        ),
        secret("/run/moonfire-nvr/authorized_keys", some(keys)),
        secret(
            "/run/moonfire-nvr/wpa_supplicant.conf",
            settings.wifi.as_ref().map(wpa_supplicant),
        ),
    ]
}

/// systemd.network(5) of the wired device.
fn fixed(network: &Network) -> String {
    let matched = match &network.interface {
        Some(interface) => format!("Name={interface}"),
        None => "Type=ether".to_owned(),
    };
    let mut out = format!("[Match]\n{matched}\n\n[Network]\n");
    match &network.address {
        Some(address) => {
            let _ = writeln!(out, "DHCP=no\nAddress={address}");
        }
        None => out.push_str("DHCP=yes\n"),
    }
    if let Some(gateway) = network.gateway {
        let _ = writeln!(out, "Gateway={gateway}");
    }
    for server in &network.dns {
        let _ = writeln!(out, "DNS={server}");
    }
    out + COMMON
}

fn any() -> String {
    format!("[Match]\nType=ether wlan\n\n[Network]\nDHCP=yes\n{COMMON}")
}

/// The name is answered for on the link; it is ours and not the DHCP server's to give; a lease is for
/// the device, so that the address stays whatever else changes.
const COMMON: &str = "\
MulticastDNS=yes
LLMNR=no

[DHCPv4]
ClientIdentifier=mac
UseHostname=no

[DHCPv6]
UseHostname=no

[Link]
RequiredForOnline=no
";

/// wpa_supplicant.conf(5). The name is in hexadecimal, so that nothing in it has to be quoted; between
/// the quotes of a password everything stands for itself.
fn wpa_supplicant(wifi: &Wifi) -> String {
    let mut out = String::new();
    if let Some(country) = &wifi.country {
        let _ = writeln!(out, "country={country}");
    }
    let ssid: String = wifi
        .ssid
        .as_str()
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect();
    let _ = writeln!(out, "network={{\n\tssid={ssid}\n\tscan_ssid=1");
    match wifi.password.as_ref().map(|p| p.0.0.as_str()) {
        None => out.push_str("\tkey_mgmt=NONE\n"),
        Some(key) if key.len() == 64 => {
            let _ = writeln!(out, "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tpsk={key}");
        }
        Some(password) => {
            let _ = writeln!(
                out,
                "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n\tpsk=\"{password}\""
            );
        }
    }
    out.push_str("}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(settings: &Settings, path: &str) -> Option<String> {
        let outputs = outputs(settings);
        let found = outputs.iter().find(|o| o.path.ends_with(path));
        found.unwrap_or_else(|| panic!("{path}")).content.clone()
    }

    #[test]
    fn without_settings_there_is_dhcp_and_no_ssh() {
        let none = Settings::default();
        assert_eq!(content(&none, "10-moonfire-nvr.network"), None);
        let any = content(&none, "20-moonfire-nvr.network").unwrap();
        assert!(
            any.contains("DHCP=yes") && any.contains("MulticastDNS=yes"),
            "{any}"
        );
        for absent in [
            "authorized_keys",
            "wpa_supplicant.conf",
            "ntp-server",
            "timesyncd.conf.d/moonfire-nvr.conf",
        ] {
            assert_eq!(content(&none, absent), None, "{absent}");
        }
        assert_eq!(content(&none, "hostname").unwrap(), "moonfire-nvr\n");
    }

    #[test]
    fn a_fixed_address_and_a_wireless_network() {
        let settings = Settings {
            ntp: Some(vec![
                "192.0.2.9".parse().unwrap(),
                "pool.ntp.org".parse().unwrap(),
            ]),
            ntp_server: Some(true),
            network: Some(Network {
                interface: Some("eth0".parse().unwrap()),
                address: Some("192.0.2.5/24".parse().unwrap()),
                gateway: Some("192.0.2.1".parse().unwrap()),
                dns: vec!["192.0.2.1".parse().unwrap()],
            }),
            wifi: Some(Wifi {
                ssid: "a \"b\"".parse().unwrap(),
                password: Some("say \"friend\"\\".parse().unwrap()),
                country: Some("ch".parse().unwrap()),
            }),
            ..Settings::default()
        };
        let fixed = content(&settings, "10-moonfire-nvr.network").unwrap();
        for line in [
            "Name=eth0",
            "DHCP=no",
            "Address=192.0.2.5/24",
            "Gateway=192.0.2.1",
            "DNS=192.0.2.1",
        ] {
            assert!(fixed.lines().any(|l| l == line), "{line}: {fixed}");
        }
        let time = content(&settings, "timesyncd.conf.d/moonfire-nvr.conf").unwrap();
        assert_eq!(time, "[Time]\nNTP=192.0.2.9 pool.ntp.org\n");
        assert!(content(&settings, "ntp-server").is_some());
        let wifi = content(&settings, "wpa_supplicant.conf").unwrap();
        let begins = "country=CH\nnetwork={\n\tssid=6120226222\n";
        assert!(wifi.starts_with(begins), "{wifi}");
        assert!(wifi.contains("\tpsk=\"say \"friend\"\\\"\n"), "{wifi}");
        let secrets = outputs(&settings).into_iter().filter(|o| o.secret).count();
        assert_eq!(secrets, 2);
    }
}
