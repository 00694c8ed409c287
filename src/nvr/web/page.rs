//! The files of the page, which are in the program.

use super::not_found;
use crate::http::{Caching, Request, Response};
use std::borrow::Cow;

/// A path, its media type and its content.
struct File(&'static str, &'static str, &'static [u8]);

const FILES: [File; 7] = [
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
