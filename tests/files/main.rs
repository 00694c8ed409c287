//! Files: what is made of recordings, judged by ffmpeg and ffprobe.

mod footage;
mod virtual_file;
