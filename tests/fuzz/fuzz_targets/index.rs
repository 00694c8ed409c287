//! Any bytes are a sample index in its one encoding, or an error within them; packed or not, it stays the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::recording::index::{self, IndexEncoder, Sample};
use moonfire_nvr::recording::packed;

fuzz_target!(|bytes: &[u8]| {
    let unpacked = packed::unpack(bytes);
    assert_eq!(packed::unpack(&packed::pack(&unpacked)), unpacked);
    let bytes = &*unpacked;
    let decoded: Result<Vec<Sample>, _> = index::samples(bytes).collect();
    let Ok(samples) = decoded else {
        assert!(index::totals(bytes).is_err());
        return;
    };
    let totals = index::totals(bytes).expect("all samples could be decoded");
    index::check(bytes, &totals).expect("these are its sums");
    assert_eq!(totals.samples as usize, samples.len());
    let mut end = (0, 0);
    for s in &samples {
        assert!(s.bytes > 0 && s.duration_90k > 0);
        assert_eq!((s.media_start_90k, u64::from(s.offset)), end);
        end.0 += i64::from(s.duration_90k);
        end.1 += u64::from(s.bytes);
    }
    if !bytes.is_empty() {
        let mut again = Vec::new();
        let mut encoder = IndexEncoder::new(&mut again, bytes[0] & 1 != 0);
        for s in &samples {
            encoder.add(&mut again, s);
        }
        assert_eq!(again, bytes);
    }
});
