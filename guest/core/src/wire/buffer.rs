//! Buffers for what arrives in pieces.

use alloc::vec::Vec;

/// From this size on a buffer grows eightfold.
const LARGE: usize = 1 << 20;

/// Appends to a buffer that will never hold more than `max` bytes: it need not grow beyond that.
///
/// A large buffer grows by big steps: WebAssembly gives no memory back, so each buffer that was outgrown stays resident, while
/// room that was never written to does not count.
pub(crate) fn append(buffer: &mut Vec<u8>, bytes: &[u8], max: usize) {
    let needed = buffer.len() + bytes.len();
    if needed > buffer.capacity() {
        let factor = if buffer.capacity() < LARGE { 2 } else { 8 };
        let grown = buffer.capacity().saturating_mul(factor).min(max);
        buffer.reserve_exact(needed.max(grown) - buffer.len());
    }
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_grows_seldom_and_never_past_its_bound() {
        const MAX: usize = 40 << 20;
        let mut buffer = Vec::new();
        let mut outgrown = 0;
        while buffer.len() < MAX {
            let before = buffer.capacity();
            append(&mut buffer, &[b'x'; 1 << 16], MAX);
            assert!(buffer.capacity() <= MAX);
            if buffer.capacity() != before {
                outgrown += before;
            }
        }
        assert!(outgrown <= MAX, "buffers of {outgrown} bytes were outgrown");
    }

    /// Every bound and every size of pieces, and one piece that goes past the bound.
    #[test]
    fn a_small_buffer_holds_what_it_was_given_and_grows_no_further_than_it_needs() {
        for max in 0..=40 {
            for size in 1..=9 {
                let (mut buffer, mut given) = (Vec::new(), Vec::new());
                for number in 0..20 {
                    let (piece, before) = (alloc::vec![number; size], buffer.capacity());
                    given.extend_from_slice(&piece);
                    append(&mut buffer, &piece, max);
                    assert_eq!(buffer.capacity() > before, given.len() > before, "it grows where it must");
                    assert_eq!(buffer, given);
                    assert!(buffer.capacity() <= max.max(given.len()), "{} of {max}", buffer.capacity());
                }
            }
        }
    }

    #[test]
    fn a_buffer_is_doubled_and_a_large_one_grows_eightfold() {
        for (capacity, factor) in [(1000, 2), (LARGE - 1, 2), (LARGE, 8), (LARGE + 1, 8)] {
            let mut buffer = alloc::vec![0; capacity];
            append(&mut buffer, &[1], usize::MAX);
            assert_eq!(buffer.capacity(), factor * capacity);
        }
    }
}
