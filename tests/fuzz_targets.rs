//! The targets of tests/fuzz without the fuzzer: they stay true to the code, and what they found stays
//! mended. Each is run with what it found (tests/fixtures/fuzz), with what it begins from, and with
//! some noise. tests/fuzz/run.sh is the real thing.

// The targets ask for this crate's `fuzz_target`.
extern crate self as libfuzzer_sys;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::path::Path;

/// What a target does with an input, as a function.
#[macro_export]
macro_rules! fuzz_target {
    (|$input:ident: &[u8]| $body:block) => {
        pub fn run($input: &[u8]) {
            $body
        }
    };
}

macro_rules! targets {
    ($($name:ident $file:literal $seeds:expr;)*) => {$(
        // What makes them programs of their own means nothing here.
        #[allow(unused_attributes, unused_imports)]
        #[path = $file]
        mod $name;

        #[test]
        fn $name() {
            for input in inputs(stringify!($name), $seeds) {
                $name::run(&input);
            }
        }
    )*};
}

const DIALOGUES: Option<&str> = Some("src/rtsp/tests/dialogues");

targets! {
    rtp "fuzz/fuzz_targets/rtp.rs" None;
    h264 "fuzz/fuzz_targets/h264.rs" Some("tests/fixtures/h264");
    rtsp "fuzz/fuzz_targets/rtsp.rs" DIALOGUES;
    sdp "fuzz/fuzz_targets/sdp.rs" DIALOGUES;
    journal "fuzz/fuzz_targets/journal.rs" None;
    index "fuzz/fuzz_targets/index.rs" None;
    http "fuzz/fuzz_targets/http.rs" None;
    mp4 "fuzz/fuzz_targets/mp4.rs" None;
    discovery "fuzz/fuzz_targets/discovery.rs" Some("tests/fixtures/onvif/discovery");
    soap "fuzz/fuzz_targets/soap.rs" Some("tests/fixtures/onvif/soap");
    bundle "fuzz/fuzz_targets/bundle.rs" None;
    boot_file "fuzz/fuzz_targets/boot_file.rs" Some("etc");
}

/// How many inputs of noise, and the longest.
const NOISE: usize = 100;
const NOISE_BYTES: usize = 600;

fn inputs(target: &str, seeds: Option<&str>) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = root.join("tests/fixtures/fuzz").join(target);
    let mut inputs = Vec::new();
    for folder in [Some(found), seeds.map(|s| root.join(s))]
        .into_iter()
        .flatten()
        .filter(|f| f.exists())
    {
        for file in std::fs::read_dir(folder).expect("a folder") {
            inputs.push(std::fs::read(file.expect("a file").path()).expect("a file"));
        }
    }
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    for _ in 0..NOISE {
        let mut noise = vec![0; rng.next_u32() as usize % NOISE_BYTES];
        rng.fill_bytes(&mut noise);
        // Small numbers, and the same ones again, get further than any.
        let mask = rng.next_u32() as u8;
        noise.iter_mut().for_each(|b| *b &= mask);
        inputs.push(noise);
    }
    inputs
}
