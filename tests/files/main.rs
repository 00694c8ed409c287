//! Files: what is made of recordings, judged by ffmpeg and ffprobe.

mod boxes;
mod check;
mod export;
mod footage;
mod fragments;
mod recorder;
mod store;
mod virtual_file;
