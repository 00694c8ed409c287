//! NAL units (ITU-T H.264 section 7.3.1): their types, and the little of slices and SEI messages
//! that a recorder looks at.

/// Values of `nal_unit_type`, Table 7-1.
pub mod unit_type {
    pub const SLICE: u8 = 1;
    pub const PARTITION_A: u8 = 2;
    pub const PARTITION_B: u8 = 3;
    pub const PARTITION_C: u8 = 4;
    pub const IDR_SLICE: u8 = 5;
    pub const SEI: u8 = 6;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;
    pub const ACCESS_UNIT_DELIMITER: u8 = 9;
    pub const FILLER_DATA: u8 = 12;
    pub const SPS_EXTENSION: u8 = 13;
    pub const PREFIX: u8 = 14;
    /// The last of those that a NAL unit may have; RTP uses the ones above for itself.
    pub const LAST: u8 = 23;
}

/// `nal_unit_type` from the first byte of a NAL unit.
pub const fn unit_type(header: u8) -> u8 {
    header & 0x1f
}

/// True for slices and slice data partitions of a primary coded picture.
pub const fn is_slice(unit_type: u8) -> bool {
    matches!(unit_type, unit_type::SLICE..=unit_type::IDR_SLICE)
}

/// The beginning of a slice header (section 7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceStart {
    /// 0 for the first slice of a picture.
    pub first_mb: u32,
    /// Table 7-6.
    pub slice_type: u32,
    pub pps_id: u32,
}

impl SliceStart {
    /// Reads it from a slice NAL unit or its first bytes; eight bytes behind the header are always
    /// enough. `None` for partitions B and C, which have no slice header, and for nonsense.
    pub fn parse(nal: &[u8]) -> Option<SliceStart> {
        let (&header, body) = nal.split_first()?;
        if !matches!(
            unit_type(header),
            unit_type::SLICE | unit_type::PARTITION_A | unit_type::IDR_SLICE
        ) {
            return None;
        }
        let mut bits = 0u64;
        let mut left = 64;
        for b in Unescaped::new(body).take(8) {
            left -= 8;
            bits |= u64::from(b) << left;
        }
        let mut have = 64 - left;
        Some(SliceStart {
            first_mb: take_ue(&mut bits, &mut have)?,
            slice_type: take_ue(&mut bits, &mut have)?,
            pps_id: take_ue(&mut bits, &mut have)?,
        })
    }

    /// True if the slice is predicted from no other picture (I or SI).
    pub fn is_intra(&self) -> bool {
        matches!(self.slice_type, 2 | 4 | 7 | 9)
    }
}

/// Takes an unsigned Exp-Golomb code (section 9.1) from the top of `bits`, of which `have` are there.
fn take_ue(bits: &mut u64, have: &mut u32) -> Option<u32> {
    let zeros = bits.leading_zeros();
    let len = 2 * zeros + 1;
    if zeros > 31 || len > *have {
        return None;
    }
    let code = *bits >> (64 - len);
    *bits = bits.checked_shl(len).unwrap_or(0);
    *have -= len;
    u32::try_from(code - 1).ok()
}

/// The bytes of a NAL unit without emulation prevention bytes (section 7.4.1): the RBSP, when what
/// is given starts behind the NAL unit's header.
#[derive(Clone, Debug)]
pub struct Unescaped<'a> {
    bytes: std::slice::Iter<'a, u8>,
    zeros: u8,
}

impl<'a> Unescaped<'a> {
    pub fn new(data: &'a [u8]) -> Unescaped<'a> {
        Unescaped {
            bytes: data.iter(),
            zeros: 0,
        }
    }

    /// How many of the given bytes have not been looked at yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }
}

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let mut b = *self.bytes.next()?;
        if self.zeros >= 2 && b == 3 {
            self.zeros = 0;
            b = *self.bytes.next()?;
        }
        self.zeros = if b == 0 {
            self.zeros.saturating_add(1)
        } else {
            0
        };
        Some(b)
    }
}

/// The `recovery_frame_cnt` of an SEI NAL unit that holds a recovery point message (section D.1.8): so many
/// frames after its picture decoding is correct that begins there. `None` if there is none.
pub fn recovery_point(sei: &[u8]) -> Option<u32> {
    const RECOVERY_POINT: u32 = 6;
    let mut bytes = Unescaped::new(sei.get(1..).unwrap_or_default());
    // Each turn takes at least two bytes: it ends.
    loop {
        let payload_type = take_sei_number(&mut bytes)?;
        let size = take_sei_number(&mut bytes)?;
        if payload_type == RECOVERY_POINT {
            let mut bits = 0u64;
            let mut have = 0;
            for b in bytes.take(size.min(8) as usize) {
                have += 8;
                bits |= u64::from(b) << (64 - have);
            }
            return take_ue(&mut bits, &mut have);
        }
        if size > 0 {
            bytes.nth(size as usize - 1)?;
        }
    }
}

/// `payloadType` and `payloadSize` of section 7.3.2.3.1: bytes of 255, and one that is not, summed up.
fn take_sei_number(bytes: &mut Unescaped<'_>) -> Option<u32> {
    let mut sum = 0u32;
    loop {
        let b = bytes.next()?;
        sum = sum.checked_add(u32::from(b))?;
        if b != 255 {
            return Some(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_starts() {
        for (nal, expected) in [
            // ue(0) ue(7) ue(0): 1 0001000 1
            (&[0x65, 0b1000_1000, 0b1000_0000][..], Some((0, 7, 0))),
            // ue(0) ue(5) ue(1): 1 00110 010
            (&[0x41, 0b1001_1001, 0b0000_0000], Some((0, 5, 1))),
            // ue(99) ue(0) ue(0): 0000001100100 1 1
            (&[0x01, 0b0000_0011, 0b0010_0110], Some((99, 0, 0))),
            // Partition A has a slice header, partition B has none.
            (&[0x02, 0b1000_1000, 0b1000_0000], Some((0, 7, 0))),
            (&[0x03, 0b1000_1000, 0b1000_0000], None),
            // Cut short, and nothing but zeros.
            (&[0x65, 0b1000_1000], None),
            (&[0x65], None),
            (&[], None),
            (&[0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
        ] {
            let start = SliceStart::parse(nal).map(|s| (s.first_mb, s.slice_type, s.pps_id));
            assert_eq!(start, expected, "{nal:02x?}");
        }
    }

    #[test]
    fn a_slice_start_with_an_emulation_prevention_byte() {
        // ue(2^16 - 1) is 16 zeros, a one and 16 zeros: 00 00 [03] 80 00, then 1 1.
        let nal = [0x41, 0x00, 0x00, 0x03, 0x80, 0x00, 0x60];
        let start = SliceStart::parse(&nal).unwrap();
        assert_eq!(
            (start.first_mb, start.slice_type, start.pps_id),
            (65_535, 0, 0)
        );
    }

    #[test]
    fn the_largest_codes_do_not_overflow() {
        let mut bits = u64::MAX >> 31;
        let mut have = 64;
        assert_eq!(take_ue(&mut bits, &mut have), Some(u32::MAX - 1));
        assert_eq!(have, 1);
    }

    #[test]
    fn intra_slices() {
        let slice = |slice_type| SliceStart {
            first_mb: 0,
            slice_type,
            pps_id: 0,
        };
        let intra: Vec<u32> = (0..10).filter(|&t| slice(t).is_intra()).collect();
        assert_eq!(intra, [2, 4, 7, 9]);
    }

    #[test]
    fn recovery_points() {
        // recovery_frame_cnt 0, exact_match 1, broken_link 0, changing_slice_group_idc 0.
        let sei = [0x06, 0x06, 0x01, 0b1100_0100, 0x80];
        assert_eq!(recovery_point(&sei), Some(0));
        // Behind user data of 300 bytes that holds an escaped zero.
        let mut sei = vec![0x06, 0x05, 0xff, 45, 0, 0, 3, 0];
        sei.extend([0xaa; 297]);
        sei.extend([0x06, 0x01, 0xc4, 0x80]);
        assert_eq!(recovery_point(&sei), Some(0));
        // Only correct after some frames: ue(3) = 00100, and ue(299), which takes 17 bits.
        let sei = [0x06, 0x06, 0x01, 0b0010_0110, 0x80];
        assert_eq!(recovery_point(&sei), Some(3));
        let sei = [
            0x06,
            0x06,
            0x03,
            0b0000_0000,
            0b1001_0110,
            0b0100_0000,
            0x80,
        ];
        assert_eq!(recovery_point(&sei), Some(299));
        // Something else, cut short, empty.
        for sei in [
            &[0x06, 0x01, 0x01, 0xc4, 0x80][..],
            &[0x06, 0x05, 0xff],
            &[0x06, 0x06, 0x01],
            &[0x06, 0x06, 0x00, 0xc4],
            &[0x06],
            &[],
        ] {
            assert_eq!(recovery_point(sei), None, "{sei:02x?}");
        }
    }
}
