//! Key frames as a camera's encoder makes them.

use moonfire_nvr::decoder::{Request, THUMBNAIL_QUALITY};
use moonfire_nvr::h264::{ParameterSets, VideoSampleEntry};
use moonfire_nvr::simulated_camera::canvas::{Canvas, Rgb};
use moonfire_nvr::simulated_camera::encoder::Encoder;
use moonfire_nvr::simulated_camera::scene::{Place, Scene};
use moonfire_nvr::time::Wall90k;
use std::sync::{Arc, OnceLock};

#[derive(Clone)]
pub struct KeyFrame {
    pub entry: Arc<VideoSampleEntry>,
    pub sample: Vec<u8>,
}

impl KeyFrame {
    pub fn request(&self, max_width: u32) -> Request {
        Request::Picture {
            entry: self.entry.clone(),
            sample: self.sample.clone(),
            max_width,
            quality: THUMBNAIL_QUALITY,
        }
    }
}

/// 320 x 180.
pub fn small() -> &'static KeyFrame {
    static SMALL: OnceLock<KeyFrame> = OnceLock::new();
    SMALL.get_or_init(|| of_scene(320, 180))
}

/// What a camera in a garden sees.
pub fn of_scene(width: usize, height: usize) -> KeyFrame {
    let size = (width, height);
    let mut scene = Scene::new(Place::Garden, "garden", size, 10, jiff::tz::TimeZone::UTC);
    of_canvas(scene.draw(Wall90k::from_unix_secs(1_795_341_600), 0))
}

/// Blue above, and orange below.
pub fn of_two_colours(width: usize, height: usize) -> KeyFrame {
    let mut canvas = Canvas::new(width, height);
    let (middle, height) = (height as f32 / 2.0, height as f32);
    canvas.gradient(0.0, middle, Rgb(40, 60, 210), Rgb(40, 60, 210));
    canvas.gradient(middle, height, Rgb(230, 140, 20), Rgb(230, 140, 20));
    of_canvas(&canvas)
}

fn of_canvas(canvas: &Canvas) -> KeyFrame {
    let size = (canvas.width() as u32, canvas.height() as u32);
    let mut encoder = Encoder::open(size, 10, 1000).unwrap();
    let mut sets = ParameterSets::default();
    sets.put(&encoder.parameters().sps).unwrap();
    sets.put(&encoder.parameters().pps).unwrap();
    let entry = sets.entry_for(None).unwrap().clone();
    let encoded = encoder.encode(canvas, 0, true).unwrap();
    assert!(encoded.sync);
    let nals = encoded.nals.iter();
    let sample = nals.flat_map(|n| [&(n.len() as u32).to_be_bytes(), n.as_slice()].concat());
    KeyFrame {
        entry,
        sample: sample.collect(),
    }
}
