//! The files of the page, which are in the program.

use super::not_found;
use crate::http::{Caching, Request, Response};
use std::borrow::Cow;

/// A path, its media type and its content.
struct File(&'static str, &'static str, &'static [u8]);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// In debug builds, a folder whose files are shown in place of those in the program: for who works on
/// the page. It is read in the loop's thread, which is why no recorder that matters does it.
#[cfg(debug_assertions)]
const FOLDER: &str = "MOONFIRE_NVR_UI";

/// A file in `src/ui/`, under `/ui/`.
macro_rules! ui {
    ($name:literal, $type:ident) => {
        File(
            concat!("/ui/", $name),
            $type,
            include_bytes!(concat!("../../ui/", $name)),
        )
    };
}

const FILES: &[File] = &[
    File("/", HTML, include_bytes!("../../ui/index.html")),
    File("/favicon.ico", ICON, include_bytes!("../../ui/icon.svg")),
    ui!("api.js", SCRIPT),
    ui!("app.js", SCRIPT),
    ui!("appliance.js", SCRIPT),
    ui!("arrange.js", SCRIPT),
    ui!("calendar.js", SCRIPT),
    ui!("camera-form.js", SCRIPT),
    ui!("camera-test.js", SCRIPT),
    ui!("cameras.js", SCRIPT),
    ui!("disks.js", SCRIPT),
    ui!("dom.js", SCRIPT),
    ui!("downloads.js", SCRIPT),
    ui!("empty.js", SCRIPT),
    ui!("events.js", SCRIPT),
    ui!("export.js", SCRIPT),
    ui!("facts.js", SCRIPT),
    ui!("forecast.js", SCRIPT),
    ui!("form.js", SCRIPT),
    ui!("format.js", SCRIPT),
    ui!("found.js", SCRIPT),
    ui!("grid.js", SCRIPT),
    ui!("live.js", SCRIPT),
    ui!("log.js", SCRIPT),
    ui!("machine.js", SCRIPT),
    ui!("makes.js", SCRIPT),
    ui!("pane.js", SCRIPT),
    ui!("player.js", SCRIPT),
    ui!("recorded.js", SCRIPT),
    ui!("reel.js", SCRIPT),
    ui!("scale.js", SCRIPT),
    ui!("scrub.js", SCRIPT),
    ui!("segments.js", SCRIPT),
    ui!("settings.js", SCRIPT),
    ui!("signin.js", SCRIPT),
    ui!("state.js", SCRIPT),
    ui!("steps.js", SCRIPT),
    ui!("storage.js", SCRIPT),
    ui!("strings-manage.js", SCRIPT),
    ui!("strings.js", SCRIPT),
    ui!("strips.js", SCRIPT),
    ui!("style.css", STYLE),
    ui!("system.js", SCRIPT),
    ui!("tile.js", SCRIPT),
    ui!("time.js", SCRIPT),
    ui!("timeline.js", SCRIPT),
    ui!("tokens.js", SCRIPT),
    ui!("users.js", SCRIPT),
    ui!("watch.css", STYLE),
    ui!("welcome.js", SCRIPT),
];

/// The file of the page that a request asks for.
pub fn file(request: &Request) -> Response {
    let Some(file) = FILES.iter().find(|f| f.0 == request.path) else {
        return not_found();
    };
    let content = content(file);
    let etag = format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(&content));
    Response::file(request, file.1, &etag, Caching::Revalidate, content)
}

#[cfg(debug_assertions)]
fn content(file: &File) -> Cow<'static, [u8]> {
    let name = match file.0 {
        "/" => "index.html",
        "/favicon.ico" => "icon.svg",
        path => path.trim_start_matches("/ui/"),
    };
    let folder = std::env::var_os(FOLDER);
    let shown = folder.and_then(|f| std::fs::read(std::path::Path::new(&f).join(name)).ok());
    shown.map_or(Cow::Borrowed(file.2), Cow::Owned)
}

#[cfg(not(debug_assertions))]
fn content(file: &File) -> Cow<'static, [u8]> {
    Cow::Borrowed(file.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The paths of this site that a file leads to.
    fn mentioned(text: &str) -> impl Iterator<Item = &str> {
        let quoted = text.split('"').skip(1).step_by(2);
        quoted.filter(|q| q.starts_with("/ui/"))
    }

    /// What the first page takes must come over a slow line in a few seconds.
    const MAX_BYTES: usize = 150_000;

    /// Adds a script with all that it cannot do without.
    fn with_imports(path: &str, all: &mut BTreeSet<String>) {
        if !all.insert(path.to_owned()) {
            return;
        }
        let file = FILES.iter().find(|f| f.0 == path).expect(path);
        let text = std::str::from_utf8(file.2).unwrap();
        for line in text.lines() {
            if let Some((_, from)) = line.split_once(" from \"") {
                with_imports(from.split('"').next().unwrap(), all);
            }
        }
    }

    #[test]
    fn each_page_is_small() {
        let shell = FILES.iter().find(|f| f.0 == "/ui/app.js").unwrap().2;
        let shell = std::str::from_utf8(shell).unwrap();
        let pages: Vec<&str> = shell
            .split("import(\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(pages.len() > 3);
        for page in pages {
            let mut all = BTreeSet::new();
            with_imports("/ui/app.js", &mut all);
            with_imports(page, &mut all);
            let always = |f: &&File| f.1 != SCRIPT || all.contains(f.0);
            let bytes: usize = FILES.iter().filter(always).map(|f| f.2.len()).sum();
            assert!(bytes < MAX_BYTES, "{page}: {bytes} bytes");
        }
    }

    #[test]
    fn every_file_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ui");
        for entry in std::fs::read_dir(folder).unwrap() {
            let content = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(
                FILES.iter().any(|f| f.2 == content),
                "{folder}: one is missing"
            );
        }
    }

    #[test]
    fn what_a_file_leads_to_is_there_and_nothing_is_inline() {
        let mut found = 0;
        for File(path, media_type, content) in FILES {
            let text = std::str::from_utf8(content).unwrap();
            if media_type.starts_with("text/css") {
                continue;
            }
            for to in mentioned(text) {
                assert!(FILES.iter().any(|f| f.0 == to), "{path} leads to {to}");
                found += 1;
            }
            if media_type.starts_with("text/html") {
                // The Content-Security-Policy lets none of it run.
                for inline in ["<style", " style=", "<script>", " onclick=", "javascript:"] {
                    assert!(!text.contains(inline), "{path} has {inline}");
                }
            }
        }
        assert!(found > 10, "{found}");
    }
}
