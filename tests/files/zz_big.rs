use crate::footage::{Clip, Frame};
use crate::recorder::{Recorder, TEN};
use moonfire_nvr::time::Duration90k;
#[test]
#[ignore]
fn big() {
    let mut r = Recorder::new();
    let f = Clip::SMALL.code();
    let frames: Vec<Frame> = (0..1800).map(|i| Frame { bytes: { let mut b = vec![(i % 251) as u8; 15_000]; b[..4].copy_from_slice(&14_996u32.to_be_bytes()); b[4] = if i % 60 == 0 { 0x65 } else { 0x41 }; b }, dts: i * 3000, pts: i * 3000, duration: 3000, sync: i % 60 == 0, hash: String::new() }).collect();
    for n in 0..60 { let m = r.main(); r.record(m, &f, &frames, TEN + Duration90k(n * 1800 * 3000)); }
    r.stop();
    let out = std::env::var("OUT").unwrap();
    println!("{}", r.path("").display()); std::mem::forget(r); let _ = out;
}
