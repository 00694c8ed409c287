//! Chromium, driven by WebDriver (<https://www.w3.org/TR/webdriver2/>): as much of it as the tests need.

use crate::client;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What chromedriver says when it listens; the port follows.
const STARTED: &str = "started successfully on port ";

/// How long a script of a page may take, in milliseconds.
const SCRIPT_MS: u64 = 40_000;

/// A browser without a window, ended with the test.
pub struct Browser {
    driver: Child,
    /// It ends when nobody listens any more.
    _stdout: BufReader<ChildStdout>,
    addr: String,
    session: String,
}

impl Browser {
    /// Starts one; a test that needs it fails where there is none.
    pub fn start() -> Browser {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = driver.unwrap_or_else(|e| {
            panic!("chromedriver does not start ({e}): ./prep.sh test installs chromium and chromium-driver")
        });
        let mut stdout = BufReader::new(driver.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "chromedriver ended");
            if let Some((_, port)) = line.split_once(STARTED) {
                break port.trim().trim_end_matches('.').to_owned();
            }
        };
        let mut browser = Browser {
            driver,
            _stdout: stdout,
            addr: format!("127.0.0.1:{port}"),
            session: String::new(),
        };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            // It has a sandbox that root does not get.
            "goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required",
                "--window-size=1280,800"]},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": SCRIPT_MS},
        }}});
        let made = browser.ask("POST", "/session", &wanted);
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = client::send(&self.addr, method, path, body.to_string().as_bytes());
        let hint = "if Chromium is missing: ./prep.sh test installs it";
        assert_eq!(reply.status, 200, "{path}: {}; {hint}", reply.text());
        reply.json()["value"].take()
    }

    pub fn open(&self, url: &str) {
        let path = format!("{}/url", self.session);
        self.ask("POST", &path, &json!({ "url": url }));
    }

    /// Runs the body of an asynchronous function in the page: what it returns. What it throws fails the test.
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];\n\
             (async (...asked) => {{ {script} }})(...arguments).then(\n\
             (value) => done({{value}}), (e) => done({{thrown: String(e)}}));"
        );
        let body = json!({"script": script, "args": arguments});
        let path = format!("{}/execute/async", self.session);
        let mut told = self.ask("POST", &path, &body);
        assert!(told["thrown"].is_null(), "the page: {}", told["thrown"]);
        told["value"].take()
    }

    /// What the pages complained about since the last look.
    pub fn complaints(&self) -> Vec<String> {
        let path = format!("{}/se/log", self.session);
        let log = self.ask("POST", &path, &json!({"type": "browser"}));
        let entries = log.as_array().unwrap().iter();
        entries
            .filter(|e| e["level"] == "SEVERE" || e["level"] == "WARNING")
            .map(|e| e["message"].to_string())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its driver, killed, would leave the browser behind.
        if !self.session.is_empty() {
            client::try_send(&self.addr, "DELETE", &self.session);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
