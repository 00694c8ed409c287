//! What is served, asked for as users and their programs do it: the real binary with its simulated
//! cameras; ffprobe, ffmpeg and Chromium judge what it sends, and a WebSocket client of others watches live.

#![cfg(feature = "ffmpeg")]

mod browser;
mod cameras;
mod client;
mod daemon;
mod files;
mod guide;
mod half_closed;
mod hls;
mod hostile;
mod live;
mod pictures;
mod read_only;
mod rights;
mod timeline;
mod webdriver;
