use super::*;
use crate::h264::ParameterSets;
use crate::simulated_camera::canvas::{Canvas, Rgb, Shape};
use crate::simulated_camera::encoder::Encoder;

/// What is in the quarters of the picture, from left to right, then down.
const QUARTERS: [Rgb; 4] = [
    Rgb(200, 30, 30),
    Rgb(30, 180, 40),
    Rgb(40, 60, 210),
    Rgb(235, 235, 235),
];

/// Pictures of one size, as they are in a file: the first is a key frame, the others are not.
fn samples(size: (usize, usize), count: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (width, height) = (size.0 as f32, size.1 as f32);
    let mut encoder = Encoder::open((size.0 as u32, size.1 as u32), 10, 1000).unwrap();
    let mut sets = ParameterSets::default();
    sets.put(&encoder.parameters().sps).unwrap();
    sets.put(&encoder.parameters().pps).unwrap();
    let avcc = sets.entry_for(None).unwrap().avcc.clone();
    let mut canvas = Canvas::new(size.0, size.1);
    for (i, color) in (0_u8..).zip(QUARTERS) {
        let (x, y) = (
            f32::from(i % 2) * width / 2.0,
            f32::from(i / 2) * height / 2.0,
        );
        let quarter = Shape::Box {
            x0: x,
            y0: y,
            x1: x + width / 2.0,
            y1: y + height / 2.0,
            radius: 0.0,
        };
        canvas.fill(&quarter, color, 1.0);
    }
    let samples = (0..count).map(|n| {
        let encoded = encoder.encode(&canvas, n as i64 * 9000, n == 0).unwrap();
        assert_eq!(encoded.sync, n == 0);
        let nals = encoded.nals.iter();
        nals.flat_map(|n| [&(n.len() as u32).to_be_bytes(), n.as_slice()].concat())
            .collect()
    });
    (avcc, samples.collect())
}

fn head(max_width: u32, quality: u8) -> PictureHead {
    PictureHead {
        avcc_bytes: 0,
        sample_bytes: 0,
        pixel_h_spacing: 1,
        pixel_v_spacing: 1,
        max_width,
        quality,
    }
}

/// A JPEG's size, and of the middle of each quarter luma and both colour differences.
fn look_at(jpeg: &[u8]) -> ((u32, u32), [[u8; 3]; 4]) {
    let codec = decoder::find(Id::MJPEG).unwrap();
    let context = Context::new_with_codec(codec);
    let mut decoder = context.decoder().video().unwrap();
    decoder.send_packet(&Packet::copy(jpeg)).unwrap();
    let mut frame = Frame::empty();
    decoder.receive_frame(&mut frame).unwrap();
    assert_eq!(frame.format(), Pixel::YUVJ420P);
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let quarters = std::array::from_fn(|i| {
        let (x, y) = (
            width * (1 + 2 * (i % 2)) / 4,
            height * (1 + 2 * (i / 2)) / 4,
        );
        std::array::from_fn(|plane| {
            let by = if plane == 0 { 1 } else { 2 };
            frame.data(plane)[y / by * frame.stride(plane) + x / by]
        })
    });
    ((frame.width(), frame.height()), quarters)
}

/// JFIF 1.02: BT.601 with all 256 values.
fn jfif(Rgb(r, g, b): Rgb) -> [u8; 3] {
    let (r, g, b) = (f64::from(r), f64::from(g), f64::from(b));
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, 128.0 + (b - y) / 1.772, 128.0 + (r - y) / 1.402].map(|n| n.round() as u8)
}

#[test]
fn sizes_and_colours_are_right() {
    let (avcc, samples) = samples((640, 360), 1);
    for (max_width, size) in [
        (u32::MAX, (640, 360)),
        (320, (320, 180)),
        (101, (101, 57)),
        (0, (16, 9)),
    ] {
        let jpeg = jpeg(&head(max_width, 90), &avcc, &samples[0]).unwrap();
        assert_eq!(&jpeg[..4], [0xff, 0xd8, 0xff, 0xe0]);
        assert_eq!(&jpeg[6..11], b"JFIF\0");
        let (is, quarters) = look_at(&jpeg);
        assert_eq!(is, size);
        for (color, is) in QUARTERS.into_iter().zip(quarters) {
            let expected = jfif(color);
            let off = expected.iter().zip(is).map(|(a, b)| a.abs_diff(b)).max();
            assert!(
                off.unwrap() <= 6,
                "{color:?} in {max_width}: {is:?}, not {expected:?}"
            );
        }
    }
}

#[test]
fn no_side_grows_and_pixels_become_square() {
    let full = u32::MAX;
    for (size, spacing, max_width, expected) in [
        ((1920, 1080), (1, 1), full, (1920, 1080)),
        ((1920, 1080), (1, 1), 320, (320, 180)),
        ((640, 360), (1, 1), 1280, (640, 360)),
        ((704, 576), (12, 11), full, (704, 528)),
        ((704, 576), (12, 11), 352, (352, 264)),
        ((1440, 1080), (4, 3), full, (1440, 810)),
        ((1920, 1080), (1, 2), full, (960, 1080)),
        // Nonsense.
        ((1920, 1080), (0, 0), full, (1920, 1080)),
        ((1920, 1080), (65535, 1), full, (1920, 1080)),
        ((4096, 4096), (1, 1), full, (3072, 3072)),
        ((8192, 2), (1, 1), 100, (100, 1)),
    ] {
        let is = output_size(size, spacing, max_width);
        assert_eq!(is, expected, "{size:?} {spacing:?} {max_width}");
        assert!(is.0 * is.1 <= MAX_JPEG_PIXELS);
    }
}

#[test]
fn quality_is_paid_for_in_bytes() {
    let (avcc, samples) = samples((640, 360), 1);
    let len = |quality| {
        let jpeg = jpeg(&head(640, quality), &avcc, &samples[0]).unwrap();
        jpeg.len()
    };
    assert!(len(10) < len(60) && len(60) < len(95));
    let scales: Vec<u32> = (0..=255).map(table_scale).collect();
    assert!(scales.is_sorted_by(|a, b| a >= b), "{scales:?}");
    assert_eq!((scales[1], scales[50], scales[100]), (COARSEST, 8, FINEST));
}

#[test]
fn what_is_no_whole_key_frame_is_refused() {
    let (avcc, samples) = samples((320, 180), 2);
    let (key, other) = (&samples[0], &samples[1]);
    let make = |avcc: &[u8], sample: &[u8]| jpeg(&head(320, 70), avcc, sample);
    assert!(make(&avcc, key).is_ok());
    for (sample, what) in [
        (&[][..], "nothing"),
        (&[0, 0, 0, 200, 0x65], "a length too great"),
        (b"no H.264 at all, but some text", "text"),
        (&key[..key.len() / 2], "half a picture"),
        (other.as_slice(), "a picture that builds on another"),
    ] {
        let result = make(&avcc, sample);
        assert!(
            matches!(result, Err(Error::Undecodable(_))),
            "{what}: {result:?}"
        );
    }
    for avcc in [&[][..], &avcc[..5], &[1, 2, 3], &[0xff; 64]] {
        let result = make(avcc, key);
        assert!(matches!(result, Err(Error::Undecodable(_))), "{result:?}");
    }
}
