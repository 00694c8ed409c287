//! What is asked of the machine by HTTP, of a steward that answers as it is told.

use super::super::client::{Browser, Site};
use super::*;
use crate::appliance::protocol::Request as Ask;

#[test]
fn a_machine_that_is_no_appliance_says_so() {
    let (mut site, anna, bert) = Site::with_users();
    site.get(&Browser::default(), "/api/appliance")
        .refuses(401, "sign in first");
    site.get(&bert, "/api/appliance")
        .refuses(403, "you may not");
    assert!(site.stewarded.is_empty());
    let told = site.get(&anna, "/api/appliance").is(200).json();
    assert_eq!(told["appliance"], json!(false));
    site.get(&anna, "/api/appliance/disks")
        .refuses(404, "is none");
    site.get(&anna, "/api/appliance/nonsense")
        .refuses(404, "nothing by that name");
}

#[test]
fn what_is_asked_for_reaches_the_steward_and_its_answer_the_page() {
    let (mut site, anna, bert) = Site::with_users();
    let format = json!({ "action": "format", "disk": "sda", "confirm": "WD 1" });
    site.guards(
        ("POST", "/api/appliance/disks"),
        &format,
        &anna,
        Some(&bert),
    );
    site.stewarded.clear();
    site.steward_answers
        .push_back(Ok(json!({ "job": { "id": 1 } })));
    let answer = site.change(&anna, "POST", "/api/appliance/disks", format);
    assert_eq!(answer.is(202).json()["job"]["id"], json!(1));
    let (disk, confirm) = ("sda".to_owned(), "WD 1".to_owned());
    assert_eq!(site.stewarded[0].0, Ask::Format { disk, confirm });
    site.change(
        &anna,
        "POST",
        "/api/appliance/disks",
        json!({ "action": "format", "disk": "sda" }),
    )
    .refuses(400, "repeat what the list tells");
    for (kind, status) in [
        (RefusalKind::Bad, 400),
        (RefusalKind::Conflict, 409),
        (RefusalKind::Failed, 500),
        (RefusalKind::Away, 503),
    ] {
        site.steward_answers
            .push_back(Err(Refusal::new(kind, "so it is")));
        let power = json!({ "action": "reboot" });
        site.change(&anna, "POST", "/api/appliance/power", power)
            .refuses(status, "so it is");
    }
    let settings = json!({ "settings": { "hostname": null } });
    site.steward_answers.push_back(Ok(json!({})));
    site.change(&anna, "PATCH", "/api/appliance", settings)
        .is(200);
    let Some((Ask::Change { settings }, _)) = site.stewarded.last() else {
        panic!("{:?}", site.stewarded.last());
    };
    assert!(settings["hostname"].is_null());
}

fn head(browser: &Browser, len: usize) -> String {
    format!(
        "PUT /api/appliance/update HTTP/1.1\r\nHost: nvr.local\r\nCookie: s={}\r\nX-CSRF-Token: {}\r\n\
         Content-Length: {len}\r\nExpect: 100-continue\r\n\r\n",
        browser.cookie.as_deref().unwrap(),
        browser.csrf.as_deref().unwrap()
    )
}

fn tell(site: &mut Site, conn: ConnId, bytes: &[u8]) {
    site.tell(crate::nvr::port::Event::Received { conn, bytes });
}

#[test]
fn a_bundle_goes_to_the_steward_as_it_comes() {
    let (mut site, anna, _) = Site::with_users();
    let body: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    for _ in 0..100 {
        site.steward_answers
            .push_back(Ok(json!({ "version": "0.2.0" })));
    }
    let conn = site.connect(&anna);
    tell(&mut site, conn, head(&anna, body.len()).as_bytes());
    assert!(site.sent_to(conn).contains("100 Continue"));
    for piece in body.chunks(60_000) {
        assert!(!site.paused.contains(&conn));
        tell(&mut site, conn, piece);
    }
    let answer = site.sent_to(conn);
    assert!(
        answer.contains("200 OK") && answer.contains("0.2.0"),
        "{answer}"
    );
    let asked: Vec<&Ask> = site.stewarded.iter().map(|(ask, _)| ask).collect();
    assert_eq!(asked[0], &Ask::UpdateBegin { bytes: 300_000 });
    assert_eq!(asked.last(), Some(&&Ask::UpdateEnd));
    let got: Vec<u8> = site
        .stewarded
        .iter()
        .flat_map(|(_, bytes)| bytes.clone())
        .collect();
    assert_eq!(got, body);
    let largest = site.stewarded.iter().map(|(_, b)| b.len()).max();
    assert!(largest <= Some(crate::appliance::protocol::MAX_PIECE_BYTES));
    // The connection serves on.
    assert!(!site.is_closed(conn) && !site.paused.contains(&conn));
}

#[test]
fn what_comes_faster_than_it_is_taken_waits_and_is_whole() {
    let (mut site, anna, _) = Site::with_users();
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    for _ in 0..100 {
        site.steward_answers
            .push_back(Ok(json!({ "version": "0.2.0" })));
    }
    let conn = site.connect(&anna);
    // The head and the first of the body at once, then as much as the reactor ever reads.
    let mut first = head(&anna, body.len())
        .replace("Expect: 100-continue\r\n", "")
        .into_bytes();
    first.extend_from_slice(&body[..1_000_000]);
    tell(&mut site, conn, &first);
    for piece in body[1_000_000..].chunks(1 << 20) {
        assert!(!site.paused.contains(&conn));
        tell(&mut site, conn, piece);
    }
    let answer = site.sent_to(conn);
    assert!(answer.contains("200 OK"), "{answer}");
    let pieces = site.stewarded.iter().map(|(_, bytes)| bytes);
    assert!(
        pieces
            .clone()
            .all(|b| b.len() <= crate::appliance::protocol::MAX_PIECE_BYTES)
    );
    assert!(pieces.flatten().eq(&body));
    assert!(!site.is_closed(conn) && !site.paused.contains(&conn));
}

#[test]
fn what_is_refused_meanwhile_ends_the_connection_and_nothing_else() {
    let (mut site, anna, bert) = Site::with_users();
    let conn = site.connect(&bert);
    tell(&mut site, conn, head(&bert, 300_000).as_bytes());
    assert!(site.sent_to(conn).contains("403 Forbidden"));
    assert!(site.stewarded.is_empty() && site.is_closed(conn));
    // The steward finds it wrong in its midst.
    site.steward_answers.push_back(Ok(json!({})));
    site.steward_answers
        .push_back(Err(Refusal::new(RefusalKind::Bad, "that is no bundle")));
    let conn = site.connect(&anna);
    tell(&mut site, conn, head(&anna, 300_000).as_bytes());
    let _ = site.sent_to(conn);
    tell(&mut site, conn, &[7; 1000]);
    let answer = site.sent_to(conn);
    assert!(
        answer.contains("400 Bad Request") && answer.contains("no bundle"),
        "{answer}"
    );
    assert!(site.is_closed(conn));
    // Nothing comes any more.
    site.steward_answers.push_back(Ok(json!({})));
    let conn = site.connect(&anna);
    tell(&mut site, conn, head(&anna, 300_000).as_bytes());
    site.pass(UPLOAD_STALL_LIMIT);
    assert!(site.is_closed(conn));
    let answer = site.sent_to(conn);
    assert!(
        answer.contains("408 ") && answer.contains("nothing more of it came"),
        "{answer}"
    );
    // Other paths take no bodies of that length.
    let conn = site.connect(&anna);
    let elsewhere = head(&anna, 300_000).replace("/api/appliance/update", "/api/users/1");
    tell(&mut site, conn, elsewhere.as_bytes());
    assert!(site.sent_to(conn).contains("413 "));
}
