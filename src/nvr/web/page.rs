//! The files of the page, which are in the program.

use super::not_found;
use crate::http::{Caching, Request, Response};
use std::borrow::Cow;

/// A path, its media type and its content.
struct File(&'static str, &'static str, &'static [u8]);

const FILES: &[File] = &[
    File(
        "/",
        "text/html; charset=utf-8",
        include_bytes!("../../ui/index.html"),
    ),
    File(
        "/ui/status.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/status.js"),
    ),
    File(
        "/ui/live.html",
        "text/html; charset=utf-8",
        include_bytes!("../../ui/live.html"),
    ),
    File(
        "/ui/live.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/live.js"),
    ),
    File(
        "/ui/player.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/player.js"),
    ),
    File(
        "/ui/login.html",
        "text/html; charset=utf-8",
        include_bytes!("../../ui/login.html"),
    ),
    File(
        "/ui/login.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/login.js"),
    ),
    File(
        "/ui/setup.html",
        "text/html; charset=utf-8",
        include_bytes!("../../ui/setup.html"),
    ),
    File(
        "/ui/setup.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/setup.js"),
    ),
    File(
        "/ui/form.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/form.js"),
    ),
    File(
        "/ui/style.css",
        "text/css; charset=utf-8",
        include_bytes!("../../ui/style.css"),
    ),
    File(
        "/favicon.ico",
        "image/svg+xml",
        include_bytes!("../../ui/icon.svg"),
    ),
];

/// The file of the page that a request asks for.
pub fn file(request: &Request) -> Response {
    let Some(File(_, media_type, content)) = FILES.iter().find(|f| f.0 == request.path) else {
        return not_found();
    };
    let etag = format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(content));
    let content = Cow::Borrowed(*content);
    Response::file(request, *media_type, &etag, Caching::Revalidate, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of this site that a file leads to.
    fn mentioned(text: &str) -> impl Iterator<Item = &str> {
        let quoted = text.split('"').skip(1).step_by(2);
        quoted.filter(|q| q.starts_with("/ui/"))
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
