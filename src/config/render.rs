//! A [`Config`] as a file that is read to the same one: for where a program makes the configuration.

use super::{Config, LogTarget, TlsConfig};
use std::fmt::Write;
use std::path::Path;
use toml::Value;

/// The text of a configuration file. It holds the cameras' passwords.
///
/// A time zone without a name, which only a system can have, is left out: it is read as the system's.
pub fn render(config: &Config) -> String {
    let mut out = String::new();
    let dirs: Vec<Value> = config.sample_dirs.iter().map(|d| path(d)).collect();
    line(&mut out, "db_dir", path(&config.db_dir));
    line(&mut out, "sample_dirs", Value::Array(dirs));
    line(&mut out, "reserve", reserve(config));
    let interval = format!("{} ms", config.sync_interval.as_millis());
    line(&mut out, "sync_interval", interval);
    if let Some(name) = config.time_zone.iana_name() {
        line(&mut out, "time_zone", name);
    }
    out.push_str("\n[syslog]\n");
    let to = match &config.syslog.to {
        LogTarget::Stderr => "stderr".to_owned(),
        LogTarget::Unix(path) if path == Path::new("/dev/log") => "local".to_owned(),
        LogTarget::Unix(path) => format!("unix:{}", path.display()),
        LogTarget::Udp { host, port } => format!("udp:{host}:{port}"),
        LogTarget::Tcp { host, port } => format!("tcp:{host}:{port}"),
        LogTarget::Nowhere => "none".to_owned(),
    };
    line(&mut out, "to", to);
    line(&mut out, "level", config.syslog.level.as_str());
    for http in &config.http {
        out.push_str("\n[[http]]\n");
        line(&mut out, "listen", http.listen.to_string());
        let allowed = http.allow_unauthenticated.iter().map(|p| p.as_str());
        line(&mut out, "allow_unauthenticated", list(allowed));
        line(&mut out, "names", list(http.names.iter()));
        let proxies = http.trusted_proxies.iter().map(ToString::to_string);
        line(&mut out, "trusted_proxies", list(proxies));
        if http.owner_is_administrator {
            line(&mut out, "owner_is_administrator", true);
        }
        match &http.tls {
            None => {}
            Some(TlsConfig::Own) => line(&mut out, "tls", true),
            Some(TlsConfig::Files { certificate, key }) => {
                line(&mut out, "certificate", path(certificate));
                line(&mut out, "key", path(key));
            }
        }
    }
    for camera in &config.cameras {
        out.push_str("\n[[camera]]\n");
        line(&mut out, "name", camera.name.as_str());
        line(&mut out, "description", camera.description.as_str());
        line(&mut out, "username", camera.username.as_str());
        line(&mut out, "password", camera.password.0.as_str());
        for (kind, stream) in [("main", &camera.main), ("sub", &camera.sub)] {
            let Some(stream) = stream else { continue };
            let _ = writeln!(out, "[camera.{kind}]");
            line(&mut out, "url", stream.url.as_str());
            line(&mut out, "transport", stream.transport.as_str());
            line(&mut out, "record", stream.record);
            let bytes = stream.retain.bytes.map(|n| format!("{n} B"));
            let days = stream.retain.days.map(|n| format!("{n} days"));
            let retain: Vec<String> = bytes.into_iter().chain(days).collect();
            if !retain.is_empty() {
                line(&mut out, "retain", retain.join(", "));
            }
            if let Some(dir) = &stream.sample_dir {
                line(&mut out, "sample_dir", path(dir));
            }
        }
    }
    out
}

fn reserve(config: &Config) -> String {
    let percent = config.reserve.percent.map(|n| format!("{n} %"));
    let bytes = config.reserve.bytes.map(|n| format!("{n} B"));
    let parts: Vec<String> = percent.into_iter().chain(bytes).collect();
    match parts.is_empty() {
        true => "none".to_owned(),
        false => parts.join(", "),
    }
}

fn line(out: &mut String, key: &str, value: impl Into<Value>) {
    // Values have TOML's own quoting; writing to a string does not fail.
    let _ = writeln!(out, "{key} = {}", value.into());
}

/// Paths that the configuration names came from text.
fn path(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

fn list<T: Into<String>>(texts: impl Iterator<Item = T>) -> Value {
    Value::Array(texts.map(|t| Value::String(t.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        CameraConfig, HttpConfig, Permission, Retain, Secret, StreamConfig, TlsConfig, Transport,
    };
    use jiff::tz::TimeZone;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let text = include_str!("../../etc/moonfire-nvr.toml");
        let sample = Config::parse(Path::new("/x"), text).unwrap();
        let mut odd = sample.clone();
        odd.time_zone = TimeZone::get("Europe/Zurich").unwrap();
        odd.reserve.percent = None;
        odd.reserve.bytes = Some(12_345);
        odd.syslog.to = LogTarget::Udp {
            host: "::1".to_owned(),
            port: 514,
        };
        odd.http.push(HttpConfig {
            tls: Some(TlsConfig::Own),
            allow_unauthenticated: vec![Permission::ViewLive],
            names: vec!["nvr.example.net".to_owned()],
            trusted_proxies: vec!["192.0.2.7".parse().unwrap()],
            ..HttpConfig::new(crate::config::Listen::Tcp("[::]:443".parse().unwrap()))
        });
        odd.http.push(HttpConfig {
            owner_is_administrator: true,
            ..HttpConfig::new(crate::config::Listen::Unix("/run/x.sock".into()))
        });
        odd.http[0].tls = Some(TlsConfig::Files {
            certificate: "/a b/\"c\".pem".into(),
            key: "/k.pem".into(),
        });
        odd.cameras.push(CameraConfig {
            name: "a \"quoted\" \\ name\u{e9}".to_owned(),
            description: "two\nlines ''' \"\"\"".to_owned(),
            username: "u".to_owned(),
            password: Secret("p\"a'ss\\word # ] =".to_owned()),
            main: None,
            sub: Some(StreamConfig {
                transport: Transport::Udp,
                record: false,
                retain: Retain {
                    bytes: Some(1),
                    days: Some(7),
                },
                sample_dir: Some(odd.sample_dirs[0].clone()),
                ..StreamConfig::new("rtsp://192.0.2.1/x?a=\"b\"")
            }),
        });
        for config in [sample, odd] {
            let text = render(&config);
            let again =
                Config::parse(Path::new("/x"), &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            // Passwords do not show.
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
            assert_eq!(again.cameras, config.cameras);
        }
    }
}
