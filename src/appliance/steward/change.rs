//! Settings that are changed from the page.

use super::failed;
use crate::appliance::apply::{self, Loaded};
use crate::appliance::disks::ready;
use crate::appliance::protocol::{Answer, Refusal, RefusalKind};
use crate::appliance::system::System;
use crate::appliance::{Places, Settings};
use serde_json::{Map, Value, json};

/// All keys, and what each is without anybody saying so.
fn defaults() -> [(&'static str, Value); 8] {
    [
        ("hostname", json!(Settings::default().hostname())),
        ("timeZone", json!(Settings::default().time_zone())),
        ("ntp", json!([])),
        ("ntpServer", json!(false)),
        ("sshKeys", json!([])),
        ("emergencyBytes", json!(0)),
        ("network", Value::Null),
        ("wifi", Value::Null),
    ]
}

/// What is set, each with where that comes from. Passwords are not told.
pub fn told(loaded: &Loaded) -> Value {
    let boot = as_map(&loaded.boot);
    let page = as_map(&loaded.page);
    let all = defaults().map(|(key, default)| {
        let (value, from) = match (boot.get(key), page.get(key)) {
            (Some(value), _) => (value.clone(), "bootFile"),
            (None, Some(value)) => (value.clone(), "page"),
            (None, None) => (default, "default"),
        };
        let value = without_password(value);
        (key.to_owned(), json!({ "value": value, "from": from }))
    });
    Value::Object(all.into_iter().collect())
}

fn as_map(settings: &Settings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn without_password(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut().filter(|m| m.contains_key("ssid")) {
        let had = map.remove("password").is_some();
        map.insert("hasPassword".to_owned(), json!(had));
    }
    value
}

/// Changes some; all or nothing.
pub fn change(system: &dyn System, places: &Places, patch: &Map<String, Value>) -> Answer {
    let bad = |message: String| Refusal::new(RefusalKind::Bad, message);
    let loaded = apply::load(places);
    let boot = as_map(&loaded.boot);
    let mut page = as_map(&loaded.page);
    for (key, value) in patch {
        if !defaults().iter().any(|(known, _)| known == key) {
            return Err(bad(format!("there is no setting `{key}`")));
        }
        if boot.contains_key(key) {
            let message =
                format!("`{key}` is set in moonfire-nvr.toml on the card; change it there");
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        match value {
            Value::Null => page.remove(key),
            value => {
                let mut value = value.clone();
                keep_password(&mut value, page.get(key));
                page.insert(key.clone(), value)
            }
        };
    }
    let settings: Settings =
        serde_json::from_value(Value::Object(page)).map_err(|e| bad(e.to_string()))?;
    settings.check().map_err(bad)?;
    apply::save_page_settings(places, &settings)
        .map_err(|e| failed(format!("settings.toml: {e}")))?;
    // Before the rest is applied, which writes the recorder's configuration, too, and tells it nothing.
    ready::take_in(system, places)?;
    apply::apply(places);
    if patch.contains_key("emergencyBytes") {
        // It holds for the disk that is not there now, too.
        ready::settle(system, places)?;
    }
    let message = bring_in(system, places, patch);
    Ok(json!({ "settings": told(&apply::load(places)), "message": message }))
}

/// The password of a wireless network stays if none is given for the same one.
fn keep_password(value: &mut Value, old: Option<&Value>) {
    let Some(map) = value.as_object_mut().filter(|m| m.contains_key("ssid")) else {
        return;
    };
    map.remove("hasPassword");
    let old = old.filter(|old| old.get("ssid") == map.get("ssid"));
    if let (None, Some(password)) = (map.get("password"), old.and_then(|o| o.get("password"))) {
        map.insert("password".to_owned(), password.clone());
    }
    if map.get("password") == Some(&Value::Null) {
        map.remove("password");
    }
}

/// Has the system's programs take in what changed, and says what is left to be done.
fn bring_in(system: &dyn System, places: &Places, patch: &Map<String, Value>) -> &'static str {
    let changed = |key| patch.contains_key(key);
    if places.is_real() {
        let try_to = |program: &str, arguments: &[&str]| {
            if let Err(e) = system.run(program, arguments) {
                eprintln!("{e}");
            }
        };
        if changed("ntp") {
            try_to(
                "systemctl",
                &["--no-block", "try-restart", "systemd-timesyncd.service"],
            );
        }
        if changed("hostname") {
            try_to(
                "systemctl",
                &["--no-block", "try-restart", "systemd-resolved.service"],
            );
        }
        if changed("network") {
            try_to("networkctl", &["reload"]);
        }
        // Each is there if its file is, and stays away otherwise.
        for (key, unit) in [
            ("sshKeys", "moonfire-nvr-ssh.service"),
            ("wifi", "moonfire-nvr-wifi.service"),
            ("ntpServer", "moonfire-nvr-ntp-server.socket"),
        ] {
            if changed(key) {
                try_to("systemctl", &["stop", unit]);
                try_to("systemctl", &["--no-block", "start", unit]);
            }
        }
    }
    "saved, and in force"
}
