//! Rights that are taken away from the shell while somebody watches by them.

use crate::client::{self, PATIENCE};
use crate::daemon::Demo;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

const PASSWORD: &str = "correct horse";

/// Runs another command beside the recorder.
fn beside(demo: &Demo, args: &[&str]) {
    let run = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
        .args(args)
        .arg("--config")
        .arg(demo.config())
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
}

#[test]
fn a_user_that_is_disabled_from_the_shell_sees_no_more() {
    let demo = Demo::start();
    let base = demo.stream(0, "main", 1);
    let temp = tempfile::tempdir().unwrap();
    let password = temp.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let file = password.to_str().unwrap();
    for user in ["anna", "bert"] {
        beside(&demo, &["login", user, "--password-file", file]);
    }
    let body = format!(r#"{{"username": "bert", "password": "{PASSWORD}"}}"#);
    let login = client::send(&demo.addr, "POST", "/api/login", body.as_bytes());
    assert_eq!(login.status, 204, "{}", login.text());
    let cookie = login.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();

    let url = format!("ws://{}{base}/live.m4s", demo.addr);
    let mut request = url.into_client_request().unwrap();
    let fields = request.headers_mut();
    fields.insert("Cookie", cookie.parse().unwrap());
    let socket = TcpStream::connect(&demo.addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut viewer, _) = tungstenite::client(request, socket).unwrap();
    assert!(matches!(viewer.read(), Ok(Message::Binary(_))));

    beside(&demo, &["users", "--disable", "bert"]);
    let began = Instant::now();
    let told = loop {
        match viewer.read().unwrap() {
            Message::Text(text) => break text,
            Message::Binary(_) | Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["type"], "error");
    let sentence = told["message"].as_str().unwrap();
    assert!(sentence.contains("was changed or has ended"), "{sentence}");
    assert!(matches!(viewer.read(), Ok(Message::Close(_))));
    // Every five seconds is looked, on a machine that may have much to do.
    assert!(began.elapsed() < Duration::from_secs(20));
}
