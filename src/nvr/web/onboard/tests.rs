use super::*;
use crate::nvr::port::{Action, ConnId, Event, Interface};
use crate::nvr::web::client::{Browser, Site};
use std::net::SocketAddr;

const LIST: &str = "/api/onboard/";

/// A site on 192.0.2.0/24 that looks for cameras, and somebody who sets them up.
fn site() -> (Site, Browser, Browser) {
    let (mut site, anna, bert) = Site::with_users();
    site.pass(Duration::from_secs(4));
    site.network.clear();
    site.tell(Event::Interfaces(vec![Interface {
        name: "eth0".to_owned(),
        address: [192, 0, 2, 1].into(),
        prefix: 24,
        multicast: true,
        loopback: false,
    }]));
    (site, anna, bert)
}

/// The sockets that were bound, the probing one first.
fn bound(site: &mut Site) -> Vec<ConnId> {
    let all = std::mem::take(&mut site.network);
    let conns = all.into_iter().filter_map(|a| match a {
        Action::BindGroup { conn, .. } => Some(conn),
        _ => None,
    });
    conns.collect()
}

fn announce(site: &mut Site, conn: ConnId, from: [u8; 4], endpoint: &str) {
    let text = format!(
        "<Envelope><Body><ProbeMatches><ProbeMatch><EndpointReference><Address>{endpoint}</Address>\
         </EndpointReference><Types>dn:NetworkVideoTransmitter</Types><Scopes>\
         onvif://www.onvif.org/name/Shed</Scopes><XAddrs>http://10.9.9.9:8000/onvif/device_service\
         </XAddrs></ProbeMatch></ProbeMatches></Body></Envelope>"
    );
    let from = SocketAddr::from((from, 3702));
    let bytes = text.as_bytes();
    site.tell(Event::Datagram { conn, from, bytes });
}

fn devices(site: &mut Site, who: &Browser) -> Vec<Value> {
    let told = site.get(who, LIST).is(200).json();
    told["devices"].as_array().unwrap().clone()
}

/// The device answers the newest request on its newest connection.
fn answer(site: &mut Site, status: &str, body: &str) -> String {
    let conn = loop {
        match site.network.pop_front() {
            Some(Action::Connect { conn, addr }) => {
                assert_eq!(addr, SocketAddr::from(([192, 0, 2, 7], 8000)));
                break conn;
            }
            Some(_) => {}
            None => panic!("nothing is asked"),
        }
    };
    site.tell(Event::Connected { conn });
    let request = site.sent_to(conn);
    let body = format!("<Envelope><Body>{body}</Body></Envelope>");
    let len = body.len();
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n{body}");
    let bytes = text.as_bytes();
    site.tell(Event::Received { conn, bytes });
    request
}

#[test]
fn only_who_sets_up_cameras_may_ask() {
    let (mut site, anna, bert) = site();
    site.get(&bert, LIST).refuses(403, "you may not");
    for what in ["search", "try", "record"] {
        let path = format!("{LIST}{what}");
        site.guards(("POST", &path), &json!({}), &anna, Some(&bert));
        site.get(&anna, &path).refuses(405, "only POST");
    }
}

#[test]
fn a_device_elsewhere_is_passed_over_and_a_wrong_password_is_shown_once() {
    let (mut site, anna, _) = site();
    let conns = bound(&mut site);
    assert_eq!(conns.len(), 3);
    announce(&mut site, conns[0], [198, 51, 100, 7], "urn:uuid:1");
    assert_eq!(devices(&mut site, &anna), [Value::Null; 0]);
    announce(&mut site, conns[0], [192, 0, 2, 7], "urn:uuid:1");
    announce(&mut site, conns[1], [192, 0, 2, 7], "urn:uuid:1");
    let found = devices(&mut site, &anna);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0]["name"], &found[0]["state"]),
        (&json!("Shed"), &json!("found"))
    );
    site.network.clear();

    let ask = json!({ "username": "admin", "password": "hunter2" });
    let told = site.change(&anna, "POST", "/api/onboard/try", ask.clone());
    assert_eq!(told.is(200).json()["devices"], json!([1]));
    let refused = "<Fault><Code><Value>s:Sender</Value><Subcode><Value>ter:NotAuthorized</Value>\
                   </Subcode></Code></Fault>";
    // The clock, the services, and then what needs a name.
    answer(&mut site, "500 Internal Server Error", "<Fault/>");
    let first = answer(&mut site, "400 Bad Request", refused);
    assert!(!first.contains("UsernameToken"));
    let second = answer(&mut site, "400 Bad Request", refused);
    assert!(second.contains("UsernameToken") && !second.contains("hunter2"));
    let found = devices(&mut site, &anna);
    assert_eq!(found[0]["state"], "refused");
    site.network.clear();
    let told = site.change(&anna, "POST", "/api/onboard/try", ask).json();
    assert_eq!(told["devices"], json!([]));
    assert!(
        told["skipped"][0]["message"]
            .as_str()
            .unwrap()
            .contains("refused by it before")
    );
    let asked = site
        .network
        .iter()
        .any(|a| matches!(a, Action::Connect { .. }));
    assert!(!asked);
    let record = json!({ "devices": [{ "id": 1 }] });
    let told = site
        .change(&anna, "POST", "/api/onboard/record", record)
        .json();
    assert_eq!(told["devices"], json!([]));
}

#[test]
fn who_says_neither_yes_nor_no_is_not_shown_an_account_for_ever() {
    let (mut site, anna, _) = site();
    let conns = bound(&mut site);
    announce(&mut site, conns[0], [192, 0, 2, 7], "urn:uuid:1");
    site.network.clear();
    let ask = json!({ "username": "admin", "password": "hunter2" });
    let is_asked = |site: &Site| {
        let asks = |a: &Action| matches!(a, Action::Connect { .. });
        site.network.iter().any(asks)
    };
    // It is not asked before it is on record that it is.
    site.database_naps = true;
    site.change(&anna, "POST", "/api/onboard/try", ask.clone())
        .is(200);
    assert!(!is_asked(&site));
    assert_eq!(devices(&mut site, &anna)[0]["state"], "waiting");
    site.wake_database();
    assert!(is_asked(&site));
    // The clock, what wants a name, and then that with it, as often as may be.
    let refused = "<Fault><Code><Value>s:Sender</Value><Subcode><Value>ter:NotAuthorized</Value>\
                   </Subcode></Code></Fault>";
    let failed = "500 Internal Server Error";
    for shows in [2, 1] {
        answer(&mut site, failed, "<Fault/>");
        answer(&mut site, "400 Bad Request", refused);
        for _ in 0..shows {
            let request = answer(&mut site, failed, "<Fault/>");
            assert!(request.contains("UsernameToken"));
        }
        assert!(!is_asked(&site));
        assert_eq!(devices(&mut site, &anna)[0]["state"], "failed");
        site.network.clear();
        let told = site.change(&anna, "POST", "/api/onboard/try", ask.clone());
        let told = told.is(200).json();
        assert_eq!(is_asked(&site), shows == 2, "{told}");
        if shows == 1 {
            let why = told["skipped"][0]["message"].as_str().unwrap();
            assert!(why.contains("did not answer to them"), "{why}");
        }
    }
}

/// Somebody tells by multicast DNS of an RTSP server, "Shed" with the path "live".
fn announce_rtsp(site: &mut Site, conn: ConnId, from: [u8; 4]) {
    let mut message = vec![0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0];
    message.extend_from_slice(b"\x04Shed\x05_rtsp\x04_tcp\x05local\0");
    // SRV with port 554, and TXT, whose name is a pointer.
    message.extend_from_slice(&[0, 33, 0x80, 1, 0, 0, 0, 120, 0, 7, 0, 0, 0, 0, 2, 42, 0]);
    message.extend_from_slice(&[0xc0, 12, 0, 16, 0x80, 1, 0, 0, 0, 120, 0, 11]);
    message.extend_from_slice(b"\x0apath=/live");
    let from = SocketAddr::from((from, 5353));
    let bytes = &message;
    site.tell(Event::Datagram { conn, from, bytes });
}

#[test]
fn an_rtsp_server_that_says_neither_is_not_shown_an_account_for_ever() {
    let (mut site, anna, _) = site();
    let conns = bound(&mut site);
    announce_rtsp(&mut site, conns[2], [192, 0, 2, 8]);
    assert_eq!(devices(&mut site, &anna)[0]["via"], "mdns");
    let ask = json!({ "username": "admin", "password": "hunter2" });
    for attempt in 1..=4 {
        site.network.clear();
        let told = site.change(&anna, "POST", "/api/onboard/try", ask.clone());
        let told = told.is(200).json();
        let lookup = site.network.iter().find_map(|a| match a {
            Action::Lookup { lookup, .. } => Some(*lookup),
            _ => None,
        });
        let Some(lookup) = lookup else {
            assert_eq!(attempt, 4, "{told}");
            let why = told["skipped"][0]["message"].as_str().unwrap();
            assert!(why.contains("did not answer to them"), "{why}");
            let told = site.log.iter().filter(|l| l.event == "camera-not-set-up");
            assert_eq!(told.count(), 1, "the same is told once");
            return;
        };
        let result = Ok(vec![[192, 0, 2, 8].into()]);
        site.tell(Event::Resolved { lookup, result });
        let conn = site.network.iter().find_map(|a| match a {
            Action::Connect { conn, .. } => Some(*conn),
            _ => None,
        });
        let conn = conn.expect("a connection");
        site.tell(Event::Connected { conn });
        let mut request = site.sent_to(conn);
        while !request.contains("Authorization:") {
            let cseq = request.lines().find(|l| l.starts_with("CSeq:"));
            let (cseq, ask) = (cseq.unwrap(), "WWW-Authenticate: Basic realm=\"shed\"");
            let text = match request.starts_with("OPTIONS") {
                true => format!("RTSP/1.0 200 OK\r\n{cseq}\r\n\r\n"),
                false => format!("RTSP/1.0 401 Unauthorized\r\n{cseq}\r\n{ask}\r\n\r\n"),
            };
            let bytes = text.as_bytes();
            site.tell(Event::Received { conn, bytes });
            request = site.sent_to(conn);
        }
        site.pass(Duration::from_secs(12));
        assert_eq!(devices(&mut site, &anna)[0]["state"], "failed");
    }
    panic!("it is shown the account for ever");
}

#[test]
fn nothing_outside_own_subnets_is_asked() {
    let (mut site, anna, _) = site();
    let one = json!({ "address": "198.51.100.7" });
    site.change(&anna, "POST", "/api/onboard/search", one)
        .refuses(400, "none of the recorder's own networks");
    site.network.clear();
    let one = json!({ "address": "192.0.2.7" });
    site.change(&anna, "POST", "/api/onboard/search", one)
        .is(204);
    let sent: Vec<_> = std::mem::take(&mut site.network).into();
    let to = sent.iter().find_map(|a| match a {
        Action::SendTo { to, .. } => Some(*to),
        _ => None,
    });
    assert_eq!(to, Some(SocketAddr::from(([192, 0, 2, 7], 3702))));
}
