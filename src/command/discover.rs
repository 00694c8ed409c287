//! `moonfire-nvr discover`: which cameras are on the network. It needs no recorder and no configuration, and
//! shows nobody a password.

use super::{Exit, Failure};
use moonfire_nvr::config::Secret;
use moonfire_nvr::http::{ClientResponse, ResponseReader};
use moonfire_nvr::mdns;
use moonfire_nvr::onvif::Interview;
use moonfire_nvr::onvif::discovery::{self, Announcement, Message};
use moonfire_nvr::reactor;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime};
use url::Url;
use uuid::Uuid;

/// When it is asked, for datagrams get lost.
const PROBES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_millis(1_200),
];
/// How long answers are waited for.
const LISTEN_TIME: Duration = Duration::from_millis(2_500);
/// How long a device may take to tell its time.
const CLOCK_LIMIT: Duration = Duration::from_millis(1_500);
/// Devices that are listed; further ones are passed over.
const MAX_DEVICES: usize = 256;
/// Devices that are asked for their time, at once.
const MAX_ASKED: usize = 64;

/// List the cameras on the network, within five seconds.
///
/// Cameras that speak ONVIF answer to WS-Discovery, and other RTSP servers may tell of themselves by multicast
/// DNS. They are told no user name and password; only their clocks are asked, which needs none. The recorder's
/// page, and `[onboard]` in the configuration, make cameras of them.
#[derive(clap::Args)]
pub struct Discover {
    /// Look on this interface only, by its name; may be given several times. Default: all but loopback.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Ask this address by itself as well, on one of this machine's own networks.
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<Ipv4Addr>,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A device that has answered.
struct Found {
    address: Ipv4Addr,
    name: Option<String>,
    model: Option<String>,
    location: Option<String>,
    /// What it is known by in ONVIF; `None` of one that told of its RTSP server alone.
    endpoint: Option<String>,
    /// Its ONVIF device service at that address.
    service: Option<Url>,
    /// The RTSP server that it told of.
    rtsp: Option<Url>,
    /// So many seconds is its clock ahead of ours.
    clock_ahead_secs: Option<i64>,
}

impl Found {
    fn onvif(address: Ipv4Addr, it: Announcement) -> Found {
        Found {
            address,
            service: it.service_at(address),
            name: it.name,
            model: it.hardware,
            location: it.location,
            endpoint: Some(it.endpoint),
            rtsp: None,
            clock_ahead_secs: None,
        }
    }

    fn rtsp(address: Ipv4Addr, it: mdns::Server) -> Found {
        let path = it.path.unwrap_or_default();
        Found {
            address,
            name: Some(it.name).filter(|n| !n.is_empty()),
            model: None,
            location: None,
            endpoint: None,
            service: None,
            rtsp: Url::parse(&format!("rtsp://{address}:{}/{path}", it.port)).ok(),
            clock_ahead_secs: None,
        }
    }

    /// What tells it from others. An address tells one that has no identity.
    fn is_same(&self, other: &Found) -> bool {
        match (&self.endpoint, &other.endpoint) {
            (Some(a), Some(b)) => a == b,
            _ => self.address == other.address,
        }
    }
}

/// Adds a device, once. ONVIF tells more than multicast DNS does.
fn add(found: &mut Vec<Found>, device: Found) {
    match found.iter().position(|f| f.is_same(&device)) {
        Some(at) if found[at].endpoint.is_none() && device.endpoint.is_some() => found[at] = device,
        None if found.len() < MAX_DEVICES => found.push(device),
        _ => {}
    }
}

pub fn run(args: Discover) -> Result<Exit, Failure> {
    let interfaces: Vec<_> = reactor::interfaces()
        .into_iter()
        .filter(|i| match args.interface.is_empty() {
            true => i.multicast && !i.loopback,
            false => args.interface.contains(&i.name),
        })
        .collect();
    for name in &args.interface {
        if !interfaces.iter().any(|i| i.name == *name) {
            return Err(Failure::Usage(format!(
                "there is no interface {name} that is up and has an IPv4 address"
            )));
        }
    }
    if interfaces.is_empty() {
        return Err(Failure::Failed(
            "no network is up: there is no interface with an IPv4 address but loopback".to_owned(),
        ));
    }
    for address in &args.address {
        if !interfaces.iter().any(|i| i.holds(*address)) {
            return Err(Failure::Usage(format!(
                "{address} is on none of this machine's own networks, and nothing else is asked"
            )));
        }
    }
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = interfaces
            .iter()
            .map(|i| {
                let addresses: Vec<Ipv4Addr> = args
                    .address
                    .iter()
                    .copied()
                    .filter(|a| i.holds(*a))
                    .collect();
                scope.spawn(move || listen(i, &addresses))
            })
            .collect();
        for thread in threads {
            // A thread that panicked has found nothing.
            for device in thread.join().unwrap_or_default() {
                add(&mut found, device);
            }
        }
    });
    found.sort_by_key(|f| f.address);
    ask_clocks(&mut found);
    match args.json {
        true => {
            let all: Vec<Value> = found.iter().map(to_json).collect();
            let text = serde_json::to_string_pretty(&all).unwrap_or_default();
            print(&format!("{text}\n"));
        }
        false => {
            let names: Vec<&str> = interfaces.iter().map(|i| i.name.as_str()).collect();
            print(&table(&found, &names.join(", ")));
        }
    }
    Ok(Exit::Fine)
}

/// Whoever reads may have gone.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Probes on one interface, and gathers what answers from its subnet.
fn listen(interface: &reactor::Interface, addresses: &[Ipv4Addr]) -> Vec<Found> {
    let Ok(socket) = UdpSocket::bind(SocketAddrV4::new(interface.address, 0)) else {
        return Vec::new();
    };
    let start = Instant::now();
    let mut sent = 0;
    let mut found: Vec<Found> = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while start.elapsed() < LISTEN_TIME {
        if PROBES.get(sent).is_some_and(|at| *at <= start.elapsed()) {
            sent += 1;
            let ask = |to: SocketAddrV4| {
                let _ = socket.send_to(&discovery::probe(Uuid::new_v4()), to);
            };
            ask(discovery::GROUP);
            let _ = socket.send_to(&mdns::question(), mdns::GROUP);
            addresses
                .iter()
                .for_each(|a| ask(SocketAddrV4::new(*a, discovery::GROUP.port())));
        }
        let next = PROBES.get(sent).copied().unwrap_or(LISTEN_TIME);
        let wait = next
            .saturating_sub(start.elapsed())
            .max(Duration::from_millis(1));
        if socket.set_read_timeout(Some(wait)).is_err() {
            return found;
        }
        let Ok((len, SocketAddr::V4(from))) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if !interface.holds(*from.ip()) {
            continue;
        }
        let address = *from.ip();
        match Message::parse(&buffer[..len]) {
            Ok(Some(Message::Here(all))) => {
                let devices = all.into_iter().map(|it| Found::onvif(address, it));
                devices.for_each(|d| add(&mut found, d));
            }
            Ok(_) => {}
            // An answer to the other question, if anything.
            Err(_) => {
                let servers = mdns::servers(&buffer[..len]).into_iter();
                servers.for_each(|it| add(&mut found, Found::rtsp(address, it)));
            }
        }
    }
    found
}

/// Asks all at once what time it is there.
fn ask_clocks(found: &mut [Found]) {
    std::thread::scope(|scope| {
        for device in found.iter_mut().take(MAX_ASKED) {
            scope.spawn(|| device.clock_ahead_secs = clock_ahead(device));
        }
    });
}

fn clock_ahead(device: &Found) -> Option<i64> {
    let service = device.service.clone()?;
    let port = service.port().unwrap_or(80);
    let mut interview = Interview::new(service, "", &Secret::default(), 0);
    let request = interview.next_request(unix_secs())?;
    let response = exchange(
        SocketAddr::from((device.address, port)),
        &request.to_bytes(),
    )?;
    interview.answered(&response, unix_secs()).ok()?;
    interview.report().clock_ahead_secs
}

fn exchange(to: SocketAddr, request: &[u8]) -> Option<ClientResponse> {
    let until = Instant::now() + CLOCK_LIMIT;
    let mut stream = TcpStream::connect_timeout(&to, CLOCK_LIMIT).ok()?;
    stream.set_write_timeout(Some(CLOCK_LIMIT)).ok()?;
    stream.write_all(request).ok()?;
    let mut reader = ResponseReader::default();
    let mut buffer = [0; 4096];
    loop {
        let left = until.checked_duration_since(Instant::now())?;
        stream
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .ok()?;
        match stream.read(&mut buffer).ok()? {
            0 => return reader.end().ok(),
            len => {
                if let Some(response) = reader.receive(&buffer[..len]).ok()? {
                    return Some(response);
                }
            }
        }
    }
}

fn unix_secs() -> i64 {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    unix.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0))
}

fn to_json(device: &Found) -> Value {
    json!({
        "address": device.address,
        "name": device.name,
        "model": device.model,
        "location": device.location,
        "endpoint": device.endpoint,
        "service": device.service.as_ref().map(Url::as_str),
        "rtsp": device.rtsp.as_ref().map(Url::as_str),
        "clockAheadSeconds": device.clock_ahead_secs,
    })
}

/// The table for people.
fn table(found: &[Found], interfaces: &str) -> String {
    if found.is_empty() {
        return format!(
            "No camera has answered on {interfaces}.\n\
             Is ONVIF (or \"Integration protocol\") switched on in the cameras, and are they on the same \
             network as this machine?\n"
        );
    }
    let clock = |d: &Found| match d.clock_ahead_secs {
        None => "?".to_owned(),
        Some(secs) if secs.abs() <= 2 => "right".to_owned(),
        Some(secs) if secs > 0 => format!("{} ahead", span(secs)),
        Some(secs) => format!("{} behind", span(-secs)),
    };
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let mut rows = vec![["ADDRESS", "NAME", "MODEL", "CLOCK", "SERVICE"].map(str::to_owned)];
    rows.extend(found.iter().map(|d| {
        let service = d.service.as_ref().or(d.rtsp.as_ref());
        let service = service.map_or("HTTPS only", Url::as_str);
        [
            d.address.to_string(),
            text(&d.name),
            text(&d.model),
            clock(d),
            service.to_owned(),
        ]
    }));
    let widths: Vec<usize> = (0..5)
        .map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// "90 s", "3 h", "20000 days".
fn span(secs: i64) -> String {
    match secs {
        s if s < 300 => format!("{s} s"),
        s if s < 10_800 => format!("{} min", s / 60),
        s if s < 259_200 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moonfire_nvr::simulated_camera::onvif::OnvifConfig;
    use moonfire_nvr::simulated_camera::onvif_network::RunningOnvif;

    #[test]
    fn a_camera_on_this_machine_is_found_in_time() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = OnvifConfig {
            name: "the shed".to_owned(),
            serial: u64::from(std::process::id()),
            authentication: None,
            clock_ahead_secs: -1_000_000,
            rtsp: any,
            services: any,
            main: (1280, 720, 30),
            sub: (640, 360, 10),
        };
        let camera = RunningOnvif::start(config, any, true).unwrap();
        let loopback = reactor::interfaces()
            .into_iter()
            .find(|i| i.loopback)
            .unwrap();
        let start = Instant::now();
        let mut found = listen(&loopback, &[]);
        ask_clocks(&mut found);
        assert!(start.elapsed() < Duration::from_secs(5));
        let service = format!("http://{}/onvif/device_service", camera.addr());
        let is_ours = |f: &&Found| f.service.as_ref().map(Url::as_str) == Some(&service);
        let ours = found.iter().find(is_ours).unwrap();
        assert_eq!(ours.name.as_deref(), Some("the shed"));
        let ahead = ours.clock_ahead_secs.unwrap();
        assert!((ahead + 1_000_000).abs() <= 2, "{ahead}");
        let told = table(&found, "lo");
        assert!(
            told.contains("the shed") && told.contains("11 days behind"),
            "{told}"
        );
        assert!(table(&[], "lo").contains("No camera has answered on lo"));
    }
}
