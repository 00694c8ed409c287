//! The values within the configuration's texts: sizes, spans of time, addresses, URLs.
//!
//! Each function takes the text and gives the value or what is wrong with it, a part of a sentence
//! that ends with the mend.

use super::{Listen, LogTarget, MAX_RETAIN_DAYS, Reserve, Retain, Subnet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use url::Url;

/// The longest URL that is taken, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// The longest host name (RFC 1035 section 2.3.4).
const MAX_NAME_BYTES: usize = 255;

/// A name that the page is asked for by, without a port.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(good) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!(
            "{text:?} is no host name: write it like \"nvr.example.net\", without http:// and port"
        )),
    }
}

/// An IP address.
pub(crate) fn ip_address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no IP address: write it like \"192.0.2.7\""))
}

/// "192.0.2.0/24", or one address.
pub(super) fn subnet(text: &str) -> Result<Subnet, String> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
    let prefix = prefix.parse().ok().filter(|p| *p <= 32);
    match (address.parse(), prefix) {
        (Ok(address), Some(prefix)) => Ok(Subnet { address, prefix }),
        _ => Err(format!(
            "{text:?} is no subnet: write it like \"192.0.2.0/24\", or an address like \"192.0.2.7\""
        )),
    }
}

/// What [`size`] understands.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// "30 days" and "30days" as number and unit, the unit in lower case.
fn number_and_unit(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim().to_ascii_lowercase()))
}

/// "500 GB", in bytes; `None` if it is no size at all. At most 2^53, so that it is exact.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    let bytes = (number * *factor as f64).round();
    (bytes <= (1u64 << 53) as f64).then_some(bytes as u64)
}

/// "30 days", "2 weeks"; `None` if it is no number of days.
fn days(text: &str) -> Option<u32> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit.as_str() {
        "day" | "days" | "d" => 1.0,
        "week" | "weeks" => 7.0,
        _ => return None,
    };
    let days = number * factor;
    (days.fract() == 0.0 && (0.0..=f64::from(MAX_RETAIN_DAYS)).contains(&days))
        .then_some(days as u32)
}

/// Writes what [`size`] reads, exactly.
fn write_size(bytes: i64) -> String {
    let bytes = u64::try_from(bytes).unwrap_or(0);
    // Thousandths of the largest unit that they are whole of; of two, the shorter text.
    let mut best = format!("{bytes} B");
    for (unit, name) in [
        (1_000, "kB"),
        (1_000_000, "MB"),
        (1_000_000_000, "GB"),
        (1_000_000_000_000, "TB"),
        (1 << 20, "MiB"),
        (1 << 30, "GiB"),
        (1 << 40, "TiB"),
    ] {
        let thousandths = u128::from(bytes) * 1_000;
        if bytes < unit || thousandths % u128::from(unit) != 0 {
            continue;
        }
        let (whole, part) = (bytes / unit, thousandths / u128::from(unit) % 1_000);
        let text = match part {
            0 => format!("{whole} {name}"),
            part => format!(
                "{} {name}",
                format!("{whole}.{part:03}").trim_end_matches('0')
            ),
        };
        if text.len() <= best.len() {
            best = text;
        }
    }
    best
}

impl std::fmt::Display for Retain {
    /// As in the file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.bytes.map(write_size);
        let days = self.days.map(|days| match days {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        });
        match (bytes, days) {
            (Some(bytes), Some(days)) => write!(f, "{bytes}, {days}"),
            (Some(one), None) | (None, Some(one)) => f.write_str(&one),
            (None, None) => f.write_str("unlimited"),
        }
    }
}

/// "500 GB", "30 days", "500 GB, 30 days", "unlimited".
pub fn retain(text: &str) -> Result<Retain, String> {
    let mut retain = Retain::default();
    if text.trim().eq_ignore_ascii_case("unlimited") {
        return Ok(retain);
    }
    for part in text.split(',') {
        let twice = match (size(part), days(part)) {
            (Some(bytes), _) => retain.bytes.replace(bytes as i64).is_some(),
            (_, Some(days)) => retain.days.replace(days).is_some(),
            (None, None) => {
                return Err(format!(
                    "\"{}\" is neither a size nor a number of days; \
                     write \"500 GB\", \"30 days\", \"500 GB, 30 days\" or \"unlimited\"",
                    part.trim()
                ));
            }
        };
        if twice {
            return Err(
                "two limits of one kind; give at most one size and one number of days".into(),
            );
        }
    }
    Ok(retain)
}

/// "5 %", "2 GB", "5 %, 2 GB", "none".
pub(super) fn reserve(text: &str) -> Result<Reserve, String> {
    let mut reserve = Reserve {
        percent: None,
        bytes: None,
    };
    if text.trim().eq_ignore_ascii_case("none") {
        return Ok(reserve);
    }
    for part in text.split(',') {
        let percent = number_and_unit(part)
            .filter(|(n, unit)| unit == "%" && n.fract() == 0.0 && *n < 100.0)
            .map(|(n, _)| n as u8);
        let twice = match (percent, size(part)) {
            (Some(percent), _) => reserve.percent.replace(percent).is_some(),
            (_, Some(bytes)) => reserve.bytes.replace(bytes).is_some(),
            (None, None) => {
                return Err(format!(
                    "\"{}\" is neither a share nor a size; \
                     write \"5 %\", \"2 GB\", \"5 %, 2 GB\" (the smaller of them) or \"none\"",
                    part.trim()
                ));
            }
        };
        if twice {
            return Err("two of one kind; give at most one share and one size".into());
        }
    }
    Ok(reserve)
}

/// "1 s", "500 ms", "2 min".
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let told = || format!("\"{text}\" is no span of time; write \"1 s\", \"500 ms\" or \"2 min\"");
    let (number, unit) = number_and_unit(text).ok_or_else(told)?;
    let seconds = match unit.as_str() {
        "ms" => number / 1000.0,
        "s" | "second" | "seconds" => number,
        "min" | "minute" | "minutes" => number * 60.0,
        _ => return Err(told()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| told())
}

/// An absolute path without "." and "..".
pub fn path(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err(format!(
            "\"{text}\" is not a whole path; write it from the root on, as in \"/var/lib/{}\"",
            text.trim_start_matches("./").trim_start_matches("../")
        ));
    }
    if path.components().any(|c| c == Component::ParentDir) || text.contains('\0') {
        return Err(format!(
            "\"{text}\" has \"..\" in it; write the path without"
        ));
    }
    Ok(path.components().collect())
}

/// "127.0.0.1:8080", "[::]:80", "unix:/run/nvr.sock", "systemd:name".
pub(super) fn listen(text: &str) -> Result<Listen, String> {
    if let Some(socket) = text.strip_prefix("unix:") {
        return Ok(Listen::Unix(path(socket)?));
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        // sd_listen_fds_with_names(3): at most 255 printable characters, no colon.
        if name.is_empty()
            || name.len() > 255
            || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
        {
            return Err(
                "there is no such name of a socket; write the FileDescriptorName= of the socket unit, \
                 as in \"systemd:moonfire-nvr.socket\""
                    .into(),
            );
        }
        return Ok(Listen::Systemd(name.to_owned()));
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return match addr.port() {
            0 => Err("port 0 is none; write for example port 8080".into()),
            _ => Ok(Listen::Tcp(addr)),
        };
    }
    Err(listen_mend(text))
}

/// What is wrong with an address that is none.
fn listen_mend(text: &str) -> String {
    if text.parse::<Ipv4Addr>().is_ok() {
        return format!("the port is missing; write \"{text}:8080\"");
    }
    let bare = text.trim_matches(['[', ']']);
    if bare.parse::<Ipv6Addr>().is_ok() {
        return format!("the port is missing; write \"[{bare}]:8080\"");
    }
    let port = text.trim_start_matches('*').trim_start_matches(':');
    if port.parse::<u16>().is_ok() {
        return format!(
            "the address is missing; write \"127.0.0.1:{port}\" for this machine only, \
             \"[::]:{port}\" for everybody"
        );
    }
    format!(
        "\"{text}\" is no address; write numbers such as \"127.0.0.1:8080\" or \"[::]:80\", \
         or \"unix:/run/nvr.sock\" or \"systemd:name\""
    )
}

/// "stderr", "local", "unix:/path", "udp:host:514", "tcp:host:601", "none".
pub(super) fn log_target(text: &str) -> Result<LogTarget, String> {
    let told = || {
        format!(
            "\"{text}\" is no place for logs; write \"stderr\", \"local\", \"udp:host:514\", \
             \"tcp:host:601\", \"unix:/path\" or \"none\""
        )
    };
    match text {
        "stderr" => return Ok(LogTarget::Stderr),
        "local" => return Ok(LogTarget::Unix("/dev/log".into())),
        "none" => return Ok(LogTarget::Nowhere),
        _ => {}
    }
    let (how, place) = text.split_once(':').ok_or_else(told)?;
    if how == "unix" {
        return Ok(LogTarget::Unix(path(place)?));
    }
    let (host, port) = place
        .rsplit_once(':')
        .ok_or_else(|| format!("the port is missing; write \"{how}:{place}:514\""))?;
    let port = port
        .parse()
        .ok()
        .filter(|p| *p != 0)
        .ok_or_else(|| format!("\"{port}\" is no port; write a number from 1 to 65535"))?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    if host.is_empty() {
        return Err(told());
    }
    match how {
        "udp" => Ok(LogTarget::Udp { host, port }),
        "tcp" => Ok(LogTarget::Tcp { host, port }),
        _ => Err(told()),
    }
}

/// A camera's URL, and the user and password that were in it.
#[derive(Debug, PartialEq, Eq)]
pub struct CameraUrl {
    /// Without user and password.
    pub url: String,
    pub credentials: Option<(String, String)>,
}

/// "rtsp://host[:port]/...". What is wrong never quotes the text: it may hold a password.
pub fn camera_url(text: &str) -> Result<CameraUrl, String> {
    const SHAPE: &str = "write it as in \"rtsp://192.0.2.10:554/main\"";
    if text.len() > MAX_URL_BYTES {
        return Err(format!("the URL is longer than {MAX_URL_BYTES} bytes"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(
            "the URL has a space or a control character in it; leave it out or write %20".into(),
        );
    }
    let parsed = Url::parse(text).map_err(|e| {
        let hint = match text.contains('@') {
            true => "; if the password has one of :/?#@ in it, give it by the key `password`",
            false => "",
        };
        format!("the URL cannot be read ({e}); {SHAPE}{hint}")
    })?;
    match parsed.scheme() {
        "rtsp" => {}
        "rtsps" => return Err("encrypted RTSP (rtsps) is not there yet; use rtsp".into()),
        other => {
            return Err(format!(
                "the URL begins with {other}: and not with rtsp:; {SHAPE}"
            ));
        }
    }
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(format!("the URL has no host; {SHAPE}"));
    }
    if parsed.port() == Some(0) {
        return Err("the URL has port 0; leave it out or write the camera's, mostly 554".into());
    }
    // A host that was parsed means that "//" is there.
    let rest = text.split_once("//").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let Some((userinfo, _)) = authority.rsplit_once('@') else {
        return Ok(CameraUrl {
            url: format!("rtsp://{rest}"),
            credentials: None,
        });
    };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decode = |s| {
        percent_decode(s)
            .ok_or("the user or password in the URL has a % that makes no sense; write %25")
    };
    Ok(CameraUrl {
        url: format!("rtsp://{}", &rest[userinfo.len() + 1..]),
        credentials: Some((decode(user)?, decode(password)?)),
    })
}

/// RFC 3986 section 2.1; `None` where it is not followed or the bytes are not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        if b == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let digit = |d: u8| char::from(d).to_digit(16);
            bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
            rest = after;
        } else {
            bytes.push(b);
        }
    }
    String::from_utf8(bytes).ok()
}
