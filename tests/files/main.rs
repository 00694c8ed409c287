//! Files: what is made of recordings, judged by ffmpeg and ffprobe.

mod check;
mod export;
mod footage;
mod recorder;
mod virtual_file;
