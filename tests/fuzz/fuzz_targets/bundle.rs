//! Updates: pieces of any size give the same, and nothing comes out that was not signed. What is signed
//! here by a key that everybody knows may say anything, and is bounded all the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::appliance::bundle::{BOOT, Incoming, MAX_BOOT_BYTES, MAX_PARTS, MAX_ROOT_BYTES, Manifest, Part, ROOT, Sink};

#[derive(Default)]
struct Nothing;

impl Sink for Nothing {
    fn begin(&mut self, _: &Manifest) -> Result<(), String> {
        panic!("nobody has signed that");
    }

    fn write(&mut self, _: &Part, _: &[u8]) -> Result<(), String> {
        panic!("nobody has signed that");
    }
}

fn read(input: &[u8], piece: usize) -> String {
    let mut incoming = Incoming::new([7; 32]);
    for bytes in input.chunks(piece) {
        if let Err(e) = incoming.feed(bytes, &mut Nothing) {
            return e.to_string();
        }
    }
    incoming.end().expect_err("nobody has signed that").to_string()
}

fuzz_target!(|input: &[u8]| {
    assert_eq!(read(input, 1), read(input, 4096));
    if let Ok(manifest) = Manifest::parse(input) {
        assert!(manifest.parts.len() <= MAX_PARTS);
        assert!(manifest.bytes() <= MAX_ROOT_BYTES + MAX_BOOT_BYTES);
        for part in &manifest.parts {
            let file = part.name.strip_prefix(BOOT);
            assert!(part.name == ROOT || file.is_some_and(|f| !f.contains('/') && !f.starts_with('.')));
        }
    }
});
