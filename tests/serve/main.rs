//! What is served, asked for as users and their programs do it: the real binary with its simulated
//! cameras; ffprobe and ffmpeg judge what it sends, and a WebSocket client of others watches live.

#![cfg(feature = "ffmpeg")]

mod client;
mod daemon;
mod files;
mod hls;
mod live;
mod pictures;
